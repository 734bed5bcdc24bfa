"""`freeproviders replica`: a local server that speaks a service's protocol, run by hand."""

from __future__ import annotations

import json
import shlex
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
    faults: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help='Failures and delays: {"status": 503} for every request, [{"status": 503}, {"pace": 0.1}] '
            "for the first two. All names: python -m pydoc freeproviders.testing.faults",
        ),
    ] = None,
    limits: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help='Other limits than a service\'s own: {"requests/minute": 3}, or false for none.',
        ),
    ] = None,
) -> None:
    """Run a local server that speaks a service's protocol.

    It is as strict as the service was, and runs until Ctrl-C. Each request is one line on standard
    error, with the reason where it was refused.
    """
    from freeproviders.testing import serve

    if (provider is None) == (service is None):
        raise typer.BadParameter(
            f"Name one of {', '.join(REPLICAS)}, or a service with --service.", param_hint="PROVIDER"
        )
    row = None if service is None else _row(service)
    name, options = _of_provider(provider or "") if row is None else _of_service(row)
    more = {} if limits is None else {"limits": _limits(limits, row)}

    def started(server: Replica) -> None:
        terminal.say("Ctrl-C ends it.")  # first: who sees the address may press it at once
        typer.echo(f"A replica of {name} listens at {server.base_url}. Ask it from another terminal:\n")
        typer.echo(f'    freeproviders chat {options} --base-url {server.base_url} "Hello"\n')

    def watch(request: RecordedRequest) -> None:
        refused = f": refused, {request.refusal}" if request.refusal else ""
        terminal.say(f"{request.method} {request.path}{refused}")

    try:
        serve(
            provider,
            _answer(backend, model),
            port,
            service=row,
            faults=_faults(faults),
            started=started,
            watch=watch,
            **more,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from None
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


def _faults(text: str | None) -> Faults:
    faults = None if text is None else _json(text, "--faults")
    rows = faults if isinstance(faults, list) else [faults]
    if not all(row is None or isinstance(row, dict) for row in rows):
        raise typer.BadParameter("It must be an object or a list of objects.", param_hint="--faults")
    return cast("Faults", faults)


def _answer(backend: str, model: str | None) -> Answer:
    if backend == "echo":
        return None
    if backend == "embedded":
        from freeproviders.cli.weights import embedded

        return embedded(model, {})
    return backend
