"""`freeproviders replica`: a local server that speaks a service's protocol, run by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from freeproviders.cli import terminal
from freeproviders.cli.lookup import REPLICAS, completing
from freeproviders.providers import find_provider, load_provider

if TYPE_CHECKING:
    from freeproviders.testing import RecordedRequest, Replica
    from freeproviders.testing.answers import Answer
    from freeproviders.testing.faults import Faults


def replica(
    provider: Annotated[
        str,
        typer.Argument(
            help=f"Whose protocol to speak: {', '.join(REPLICAS)}.", autocompletion=completing(REPLICAS)
        ),
    ],
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
) -> None:
    """Run a local server that speaks a service's protocol.

    It is as strict as the service was, and runs until Ctrl-C. Each request is one line on standard
    error, with the reason where it was refused.
    """
    from freeproviders.testing import serve

    row = find_provider(provider)
    if row is None or not row.replica:
        raise typer.BadParameter(
            f"There is no replica of {provider!r}: use one of {', '.join(REPLICAS)}.", param_hint="PROVIDER"
        )
    slug = row.slug
    needed = "" if load_provider(row).default_model else " --model replica"

    def started(server: Replica) -> None:
        typer.echo(f"A replica of {slug} listens at {server.base_url}. Ask it from another terminal:\n")
        typer.echo(f'    freeproviders chat --provider {slug}{needed} --base-url {server.base_url} "Hello"\n')
        terminal.say("Ctrl-C ends it.")

    def watch(request: RecordedRequest) -> None:
        refused = f": refused, {request.refusal}" if request.refusal else ""
        terminal.say(f"{request.method} {request.path}{refused}")

    try:
        serve(slug, _answer(backend, model), port, faults=_faults(faults), started=started, watch=watch)
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


def _faults(text: str | None) -> Faults:
    try:
        faults = json.loads(text) if text is not None else None
    except ValueError as error:
        raise typer.BadParameter(f"This is not JSON: {error}.", param_hint="--faults") from None
    rows = faults if isinstance(faults, list) else [faults]
    if not all(row is None or isinstance(row, dict) for row in rows):
        raise typer.BadParameter("It must be an object or a list of objects.", param_hint="--faults")
    return faults


def _answer(backend: str, model: str | None) -> Answer:
    if backend == "echo":
        return None
    if backend == "embedded":
        from freeproviders.cli.weights import embedded

        return embedded(model, {})
    return backend
