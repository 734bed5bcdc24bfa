"""`freeproviders probe`: a service asked whether it is as its row in the catalogue says."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from freeproviders.cli import options, rows, terminal
from freeproviders.cli.commands import examples

if TYPE_CHECKING:
    from freeproviders.probing import Finding, Outcome, Plan, Prober, Report

ENDED_EXIT = 1
_VERDICTS = {"differs": "Differs", "unsaid": "Not in the row", "open": "Cannot be told"}


@examples("freeproviders probe groq", "freeproviders probe groq -m openai/gpt-oss-20b --yes --json")
def probe(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE", help="The id of a service of the catalogue, as groq.", autocompletion=rows.ids
        ),
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model to ask; the row's default if left out.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Where the service is: a mirror, a self-hosted one, a replica.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(help="The service's key. Other processes can see it here: better in the environment."),
    ] = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Ask for a vector too.")] = False,
    fixture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Write what was answered to a file of exchanges, without what is private.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send the requests without a question.")] = False,
    as_json: Annotated[bool, options.as_json("Print the report as a JSON object.")] = False,
    verbose: Annotated[int, options.verbose()] = 0,
) -> None:
    """Ask a service, with your own key, whether it is as the catalogue says; print what differs.

    A few small requests are sent, after you were told how many: a list of models, a whole and a
    streamed answer, a tool call, an answer in the form of a schema, and a deliberate mistake. Each
    difference comes with the lines that correct it in a file of your own. The exit code is 1 where
    the service ended the probe, as by a limit.
    """
    from freeproviders.cli.commands import INTERRUPTED_EXIT
    from freeproviders.errors import UnsupportedOptionWarning
    from freeproviders.probing import Prober

    terminal.log(verbose)
    if fixture is not None and not fixture.parent.is_dir():
        raise typer.BadParameter(f"There is no folder {fixture.parent}.", param_hint="--fixture")
    prober = Prober(service, model, embeddings=embeddings, base_url=base_url, api_key=api_key)
    try:
        _announce(prober.plan, sure=yes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnsupportedOptionWarning)  # what a row leaves out is left out
            report = _run(prober)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED_EXIT) from None
    if fixture is not None:
        _write(fixture, prober, report)
    if as_json:
        terminal.show_json(report.plain(), indent=2)
    else:
        for line in _lines(report):
            typer.echo(terminal.printable(line))
    if report.ended is not None:
        terminal.complain(report.ended)
        raise typer.Exit(ENDED_EXIT)


def _announce(plan: Plan, *, sure: bool) -> None:
    """Say what will be sent, and ask whether it may be."""
    for sentence in plan.sentences():
        terminal.say(sentence)
    if sure:
        return
    if not terminal.is_terminal(sys.stdin):
        raise typer.BadParameter("It sends requests in your name: confirm it with --yes.", param_hint="--yes")
    if not typer.confirm("Send them?", err=True):
        raise typer.Exit


def _run(prober: Prober) -> Report:
    import asyncio

    return asyncio.run(prober.run(_show))


def _show(outcome: Outcome) -> None:
    """Tell one outcome, while the next question is on its way."""
    from freeproviders.display import counted
    from freeproviders.probing.report import WHAT

    if outcome.skipped:
        came = f"not asked, {outcome.skipped}"
    elif outcome.error is not None:
        status = f"HTTP {outcome.status}" if outcome.status else type(outcome.error).__name__
        came = f"refused, {status}" if outcome.question == "error" else f"failed, {status}"
    else:
        came = counted(len(outcome.models), "model") if outcome.question == "models" else "answered"
    terminal.say(f"{WHAT[outcome.question]}: {came}")


def _write(path: Path, prober: Prober, report: Report) -> None:
    from freeproviders.probing import recorded

    file = recorded(report, prober.row, prober.secrets())
    path.write_text(f"{json.dumps(file, indent=1, ensure_ascii=False)}\n", encoding="utf-8")
    terminal.say(
        f"{path} has {len(file['exchanges'])} exchanges. Read it before you share it: what looked "
        "private was taken out."
    )


def _lines(report: Report) -> Iterator[str]:
    if not report.findings:
        if report.ended is None:
            yield f"{report.service} is as its row says."
        return
    for verdict, title in _VERDICTS.items():
        found = [finding for finding in report.findings if finding.verdict == verdict]
        if found:
            yield f"{title}:"
        for finding in found:
            yield from _about(finding)
    if report.toml:
        from freeproviders.catalogue.places import user_folder

        yield ""
        yield f"# Together, for {user_folder() / f'{report.service}.toml'}:"
        yield report.toml.rstrip("\n")
    if not report.differences and report.ended is None:
        yield ""
        yield f"Nothing differs from the row of {report.service}."


def _about(finding: Finding) -> Iterator[str]:
    yield f"  {finding.about}: {' '.join(finding.said.split())}"
    if finding.advice:
        yield f"    {finding.advice}"
    for line in finding.toml.splitlines():
        yield f"      {line}"
