"""`freeproviders catalogue show`: one service, with the age of each fact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from freeproviders.cli import options, rows, terminal
from freeproviders.cli.commands import examples

if TYPE_CHECKING:
    from freeproviders.catalogue import Service


@examples("freeproviders catalogue show groq", "freeproviders catalogue show groq --json")
def show(
    name: Annotated[str, typer.Argument(metavar="SERVICE", help="Its id or name.", autocompletion=rows.ids)],
    as_json: Annotated[bool, options.as_json("Print the whole row as a JSON object.")] = False,
) -> None:
    """Show one service: limits, models, terms, privacy, where a key is had; and how old each fact is.

    `show` may be left out: `freeproviders catalogue groq`.
    """
    from freeproviders.catalogue import catalogue

    service = catalogue().service(name)
    if as_json:
        terminal.show_json(asdict(service), indent=2, default=str)
        return
    for line in about(service, rows.today()):
        typer.echo(terminal.printable(line))
    if service.gone is None or service.gone.what == "free tier":
        _show_models(service)


def about(service: Service, today: date) -> Iterator[str]:
    """Write what is known of a service beside its models, line by line."""
    from freeproviders.catalogue.words import dated, day, free, seen

    yield f"{service.name} ({service.id}), {service.base_url}"
    if service.gone is not None:
        what = "It is gone" if service.gone.what == "service" else "Its free tier is gone"
        yield f"{what} since {day(service.gone.on)}: {service.gone.why}"
        yield f"  source: {dated(service, service.gone).source}"
        if service.gone.what == "service":
            return
    yield ""
    yield f"Free: {free(service, today)}"
    yield from _way_in(service)
    yield from _limits(service, today)
    yield from _policy(service, today)
    if service.embeddings:
        yield "Embeddings:"
        for name, row in service.embeddings.items():
            yield f"  {seen(f'{name}, {row.size} numbers', dated(service, row), today)}"
    if service.retired:
        yield "Retired models:"
        for name, gone in service.retired.items():
            successor = f", use {gone.successor}" if gone.successor else ""
            yield f"  {name}: gone since {day(gone.on)}{successor}{f' ({gone.why})' if gone.why else ''}"
    if service.note:
        yield f"Note: {service.note}"
    yield _checked(service, today)
    if service.file:
        yield f"Your file {service.file} changes it: `freeproviders catalogue check` says what."


def _checked(service: Service, today: date) -> str:
    from freeproviders.catalogue.rows import STALE_DAYS
    from freeproviders.catalogue.words import day, is_stale

    when = "no date was recorded" if service.checked is None else day(service.checked)
    old = f", more than {STALE_DAYS} days ago" if is_stale(service, today) else ""
    return (
        f"All else was checked: {when}{old} ({service.source}), confidence {service.confidence or 'unknown'}"
    )


def _way_in(service: Service) -> Iterator[str]:
    where = f"; keys are issued at {service.key_address}" if service.key_address else ""
    yield f"Key: {rows.key_state(service)}{where}"
    if service.documentation:
        yield f"Documentation: {service.documentation}"
    models = [name for name in (service.default_model, *service.fallback_models) if name]
    yield f"Default model: {', else '.join(models) or 'none, name one'}"


def _limits(service: Service, today: date) -> Iterator[str]:
    from freeproviders.catalogue.words import conditions, dated, seen, shown

    if service.local:
        return
    yield "Limits:" if service.limit else "Limits: none is known."
    for limit in service.limit:
        for_whom = conditions(limit)
        what = f"{shown(limit)} ({for_whom})" if for_whom else shown(limit)
        note = f". {limit.note}" if limit.note else ""
        yield f"  {seen(what, dated(service, limit), today)}{note}"


def _policy(service: Service, today: date) -> Iterator[str]:
    from freeproviders.catalogue.words import dated, seen, terms

    note = f". {service.privacy.note}" if service.privacy.note else ""
    yield f"Prompts: {rows.privacy(service)}{note}"
    if words := terms(service.terms):
        yield f"Terms: {seen(words, dated(service, service.terms), today)}"
    if service.terms.address:
        yield f"  {service.terms.address}" if words else f"Terms: {service.terms.address}"


def _show_models(service: Service) -> None:
    from freeproviders.cli.offers import show_models

    if service.models:
        typer.echo("")
        show_models(service, dict.fromkeys(service.models, ""))
