"""`freeproviders replica`: a local server that speaks a service's protocol, run by hand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from freeproviders.cli import rows, terminal
from freeproviders.cli.lookup import REPLICAS, completing
from freeproviders.providers import find_provider, load_provider

if TYPE_CHECKING:
    from freeproviders.catalogue import Service
    from freeproviders.testing import RecordedRequest, Replica
    from freeproviders.testing.answers import Answer
    from freeproviders.testing.faults import Faults
    from freeproviders.testing.limits import Caps


def replica(
    provider: Annotated[
        str | None,
        typer.Argument(
            help=f"Whose protocol to speak: {', '.join(REPLICAS)}.", autocompletion=completing(REPLICAS)
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            help="In place of a provider: a service of the catalogue, as groq, or the TOML file of one. "
            "Its models, limits and refusals are those of its row.",
            autocompletion=rows.ids,
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen on 127.0.0.1; 0 is any free port.")
    ] = 8801,
    backend: Annotated[
        str,
        typer.Option(
            help='The answer: "echo" repeats the question, "embedded" asks the model on this machine, '
            "any other text is the answer itself."
        ),
    ] = "echo",
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The embedded model: a name or a GGUF file.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPEC",
            help="What goes wrong with a request: a status, or names with values, as 503, drop, "
            "status=429,retry_after=60 or pace=0.1; ok is nothing. Given several times, the first is for the "
            "first request, the second for the second; later requests are answered. list shows "
            "all, or those that the provider or service has.",
        ),
    ] = None,
    always: Annotated[bool, typer.Option("--always", help="The one --fault is for every request.")] = False,
    share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="One of the --fault is drawn for so many of the requests, as 0.3 of them."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="With --share: another number is another order.")] = 0,
    faults: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="The same as JSON, or the name of a file with it: an object is for every request, a list "
            "has one for each.",
        ),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help='Other limits than a service\'s own: {"requests/minute": 3}, or false for none.',
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Leave out the line for each request.")
    ] = False,
) -> None:
    """Run a local server that speaks a service's protocol.

    It is as strict as the service was, and runs until Ctrl-C. Each request is one line on standard
    error at the end of its answer: method, path, status, seconds, and why it was refused, which fault it
    had, and whether its client left early.
    """
    from freeproviders.testing import serve

    only_listed = fault == ["list"]
    if (provider is None) == (service is None) and not (only_listed and provider is None):
        raise typer.BadParameter(
            f"Name one of {', '.join(REPLICAS)}, or a service with --service.", param_hint="PROVIDER"
        )
    row = None if service is None else _row(service)
    if only_listed:
        if provider is not None:
            _of_provider(provider)
        _list_faults(provider if row is None else row)
        return
    name, options = _of_provider(provider or "") if row is None else _of_service(row)
    planned = _faults(faults, fault or [], share, seed, always=always)
    more: dict[str, Any] = {} if limits is None else {"limits": _limits(limits, row)}

    def started(server: Replica) -> None:
        terminal.say("Ctrl-C ends it.")  # first: a user who sees the address may press it at once
        typer.echo(f"A replica of {name} listens at {server.base_url}. Ask it from another terminal:\n")
        typer.echo(f'    freeproviders chat {options} --base-url {server.base_url} "Hello"\n')

    def log(request: RecordedRequest) -> None:
        terminal.say(request.line)

    try:
        serve(
            provider,
            _answer(backend, model),
            port,
            service=row,
            faults=planned,
            started=started,
            log=None if quiet else log,
            **more,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--fault" if fault else "--faults") from None
    except OSError as error:
        terminal.complain(
            OSError(
                f"Port {port} cannot be used ({error.strerror or error}): "
                "choose another --port, or 0 for any."
            )
        )
        raise typer.Exit(1) from None
    except KeyboardInterrupt:  # before it listened
        raise typer.Exit(130) from None


def _of_provider(provider: str) -> tuple[str, str]:
    """Return the slug of a provider, and the options with which `chat` asks its replica."""
    row = find_provider(provider)
    if row is None and provider in rows.ids(provider):
        raise typer.BadParameter(
            f"{provider!r} is a service: write --service {provider}.", param_hint="PROVIDER"
        )
    if row is None or not row.replica:
        raise typer.BadParameter(
            f"There is no replica of {provider!r}: use one of {', '.join(REPLICAS)}.", param_hint="PROVIDER"
        )
    needed = "" if load_provider(row).default_model else " --model replica"
    return row.slug, f"--provider {row.slug}{needed}"


def _row(service: str) -> Service:
    from freeproviders.errors import UsageError
    from freeproviders.testing.services import service_row

    try:
        return service_row(service)
    except UsageError as error:
        raise typer.BadParameter(str(error), param_hint="--service") from None


def _of_service(row: Service) -> tuple[str, str]:
    """Return the name of a service, and the options with which `chat` asks its replica."""
    listed = [name for name in row.models if "*" not in name]
    model = row.default_model or next(iter(listed), "replica")
    key = " --api-key replica" if row.key == "required" else ""
    return row.name, f"--provider openai-compatible --model {shlex.quote(model)}{key}"


def _limits(text: str, row: Service | None) -> Caps:
    from freeproviders.testing.limits import changed

    if row is None:
        raise typer.BadParameter("Only a --service has limits.", param_hint="--limits")
    caps = _json(text, "--limits")
    if not isinstance(caps, dict) and caps is not False:
        raise typer.BadParameter("It must be an object, or false.", param_hint="--limits")
    try:
        changed(row.limit, caps)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--limits") from None
    return caps


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"This is not JSON: {error}.", param_hint=option) from None


def _faults(
    text: str | None, words: Sequence[str], share: float | None, seed: int, *, always: bool
) -> Faults:
    from freeproviders.testing.faults import RandomFaults, read_words

    if text is not None and words:
        raise typer.BadParameter("Use --fault or --faults, not both.", param_hint="--faults")
    if (always or share is not None) and not words:
        raise typer.BadParameter("It needs a --fault.", param_hint="--always" if always else "--share")
    if always and (len(words) > 1 or share is not None):
        raise typer.BadParameter("It takes one --fault, and no --share.", param_hint="--always")
    if words:
        try:
            specs = [read_words(word) for word in words]
        except ValueError as error:
            raise typer.BadParameter(f"This cannot be read: {error}.", param_hint="--fault") from None
        if share is not None:
            return RandomFaults(specs, share=share, seed=seed)
        return specs[0] if always else specs
    faults = None if text is None else _json(_text_of(text), "--faults")
    rows = faults if isinstance(faults, list) else [faults]
    if not all(row is None or isinstance(row, dict) for row in rows):
        raise typer.BadParameter("It must be an object or a list of objects.", param_hint="--faults")
    return cast("Faults", faults)


def _text_of(given: str) -> str:
    """Return JSON as it was given, or the text of the file that was named."""
    if given.lstrip()[:1] in {"{", "["} or not Path(given).is_file():
        return given
    return Path(given).read_text("utf-8")


def _list_faults(provider: object) -> None:
    """List the faults that a service's protocol has a place for, all where none is named."""
    from freeproviders.catalogue import Service
    from freeproviders.testing.faults import FAULT_NAMES, described
    from freeproviders.testing.services import catalogued_class, service_class

    said, names = described(), list(FAULT_NAMES)
    if provider is not None:
        own = catalogued_class(provider) if isinstance(provider, Service) else service_class(provider)
        names = [name for name in names if name in own().fault_names]
    rows = [(name, *said.get(name, ("", ""))) for name in names]
    terminal.show_table(("Fault", "Value", "What happens"), rows, narrowest=80)


def _answer(backend: str, model: str | None) -> Answer:
    if backend == "echo":
        return None
    if backend == "embedded":
        from freeproviders.cli.weights import embedded, fetch_weights

        made = embedded(model, {})
        fetch_weights(made)
        return made
    return backend
