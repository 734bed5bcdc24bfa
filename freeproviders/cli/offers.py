"""The models of a service: those of its row, and those that it listed when it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from freeproviders.cli import rows, terminal

if TYPE_CHECKING:
    from freeproviders.catalogue import Service
    from freeproviders.listed import Listed


def offers(name: str, *, refresh: bool, as_json: bool) -> None:
    """Print the models of a service, after asking it for its list where `refresh` says so."""
    from freeproviders.catalogue.words import day
    from freeproviders.services import Served

    served = Served(name)
    row = served.row
    listed = _ask(row) if refresh else _last(row)
    states = compared(row, listed)
    if as_json:
        document = {
            "service": row.id,
            "listed_at": None if listed is None else listed.at.isoformat(),
            "models": [{**facts_as_json(row, model), "state": state.word} for model, state in states.items()],
        }
        terminal.show_json(document, indent=2)
        return
    show_models(row, {model: state.remark for model, state in states.items()})
    if listed is None:
        terminal.say(f"These are the catalogue's; --refresh asks {row.name} for its own list.")
    else:
        terminal.say(f"{row.name} listed its models on {day(listed.at.date())}; --refresh asks again.")


@dataclass(frozen=True, slots=True)
class State:
    """How row and list agree about a model: a word for programs, a remark for people."""

    word: str = ""
    remark: str = ""


def compared(row: Service, listed: Listed | None) -> dict[str, State]:
    """Compare a service's row with its list: the row's models first, then what only the list has."""
    from freeproviders.catalogue.facts import row_of
    from freeproviders.catalogue.words import day

    names = [name for name in row.models if "*" not in name]
    if listed is None:
        return dict.fromkeys(names, State())
    there = set(listed.models)
    missing = State("missing", "not in the service's list: gone?")
    states = {name: State() if name in there else missing for name in names}
    for name in listed.models:
        if name in states:
            continue
        if (gone := row.retired.get(name)) is not None:
            remark = f"retired on {day(gone.on)} says the catalogue; the service lists it"
            states[name] = State("retired but listed", remark)
        elif name in row.embeddings:
            states[name] = State("embeddings", "for embeddings")
        elif row_of(row, name) is not None:
            states[name] = State("by pattern", "")
        else:
            states[name] = State("new", "new: not in the catalogue")
    return states


def facts_as_json(service: Service, name: str) -> dict[str, Any]:
    """Collect the facts of a model that a user chooses by; None is what is not known."""
    from freeproviders.catalogue import facts_of

    facts = facts_of(service, name)
    return {
        "name": name,
        "cost": facts.cost,
        "window": facts.context,
        "output": facts.output,
        "tools": facts.tools,
        "schema": facts.schema,
        "images": facts.images,
        "retires": None if facts.retires is None else facts.retires.isoformat(),
        "note": facts.note,
    }


def show_models(service: Service, remarks: Mapping[str, str]) -> None:
    """Print a table of models, each with a remark or ""."""
    terminal.show_table(
        ("Model", "Cost", "Window", "Output", "Tools", "Schema", "Images", "Remarks"),
        _lines(service, remarks),
        narrowest=100,
    )


def _lines(service: Service, remarks: Mapping[str, str]) -> Iterable[tuple[str, ...]]:
    from freeproviders.catalogue import facts_of
    from freeproviders.catalogue.words import amount, day

    for name, remark in remarks.items():
        facts = facts_of(service, name)
        said = (remark, f"retires {day(facts.retires)}" if facts.retires else "", facts.note)
        yield (
            name,
            _cost(service, name),
            "?" if facts.context is None else amount(facts.context),
            "?" if facts.output is None else amount(facts.output),
            *(rows.yes_or_no(flag) for flag in (facts.tools, facts.schema, facts.images)),
            "; ".join(filter(None, said)),
        )


def _cost(service: Service, name: str) -> str:
    """Write what a model costs, with the age of the line that says so; servers here stay free."""
    from freeproviders.catalogue.facts import row_of
    from freeproviders.catalogue.words import aged, dated

    row = row_of(service, name)
    if row is None or row.cost is None:
        return "?"
    return row.cost if service.local else aged(row.cost, dated(service, row), rows.today())


def _ask(row: Service) -> Listed:
    """Ask a service for its models, and keep the list."""
    from freeproviders import OpenAICompatible
    from freeproviders.listed import keep

    # Any name will do: a list is asked for without a model.
    provider = OpenAICompatible(row.default_model or "any", service=row)
    models = asyncio.run(provider.list_models())
    return keep(row, _own(row, provider.base_url), models)


def _last(row: Service) -> Listed | None:
    """Return the list that a service told when it was asked before."""
    from freeproviders.listed import listed_at

    outside = rows.outside_address(row)
    return listed_at(row, "" if outside is None else _own(row, outside))


def _own(row: Service, base_url: str) -> str:
    """Return the address of the row where that is meant: what it takes from the environment stays out."""
    from freeproviders.services import Served

    return row.base_url if base_url == Served(row).address() else base_url
