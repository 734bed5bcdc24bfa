"""`freeproviders embed`: the vectors of texts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from freeproviders.cli import options, rows, terminal
from freeproviders.cli.commands import examples

if TYPE_CHECKING:
    from freeproviders.embeddings.embedder import Embedder
    from freeproviders.embeddings.result import Embeddings


@examples(
    'freeproviders embed "A cat."',
    "freeproviders embed --json < texts.txt",
    'freeproviders embed --service gemini --role query "Where is the cat?"',
)
def embed(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TEXT]...",
            help="Without one, each line of standard input is a text.",
            show_default=False,
        ),
    ] = None,
    service: Annotated[
        str | None,
        typer.Option(
            help="A service of the catalogue by its id: see `freeproviders catalogue`.",
            autocompletion=rows.ids,
        ),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="Where the service is: a server of your own, a mirror, a replica.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="One of the service's models, or a GGUF file.")
    ] = None,
    role: Annotated[
        Literal["document", "query"], typer.Option(help="Whether the texts are to be found, or find.")
    ] = "document",
    size: Annotated[
        int | None, typer.Option(help="Numbers of a vector, where the model has several sizes.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(help="The service's key. Other processes can see it here: better in the environment."),
    ] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Keep the vectors: see `freeproviders embeddings`.")
    ] = False,
    as_json: Annotated[
        bool, options.as_json("Print one JSON object: vectors, family, model, tokens.")
    ] = False,
    verbose: Annotated[int, options.verbose()] = 0,
) -> None:
    """Print the vectors of texts, one a line: its numbers, with spaces between them.

    Without a service or a file the vectors are those of the offline floor, which needs no key and
    no network.
    """
    terminal.log(verbose)
    found = texts or _lines()
    if not found:
        raise typer.BadParameter("There is no text.", param_hint="TEXT")
    given: dict[str, Any] = {"base_url": base_url, "api_key": api_key, "size": size}
    made = _embedder(service, model, {key: value for key, value in given.items() if value is not None}, cache)
    result = made.embed_sync(found, role=role)
    if as_json:
        terminal.show_json(_facts(made, result))
        return
    terminal.say(f"{made.name} {made.model}: {result.family.fingerprint}")
    for vector in result.vectors:
        typer.echo(" ".join(map(_shown, vector)))


def _lines() -> list[str]:
    if sys.stdin is None or terminal.is_terminal(sys.stdin):
        return []
    return [line for line in sys.stdin.read().splitlines() if line.strip()]


def _embedder(service: str | None, model: str | None, given: dict[str, Any], cache: bool) -> Embedder:
    """Make the embedder that the options name; `given` are those that only services have."""
    from freeproviders.embedded.choice import looks_like_path
    from freeproviders.embeddings import EmbeddedEmbedder, OfflineEmbedder, OpenAICompatibleEmbedder

    if service is not None or "base_url" in given:
        return OpenAICompatibleEmbedder(model, service=service, cache=cache, **given)
    for key in given:
        raise typer.BadParameter(
            "It is for a service: name one with --service or --base-url.",
            param_hint=f"--{key.replace('_', '-')}",
        )
    if model is None:
        return OfflineEmbedder()
    if looks_like_path(model):
        return EmbeddedEmbedder(model, cache=cache)
    raise typer.BadParameter(
        "It is no file: name the service that has it with --service or --base-url.", param_hint="--model"
    )


def _facts(made: Embedder, result: Embeddings) -> dict[str, Any]:
    return {
        "vectors": [[float(_shown(number)) for number in vector] for vector in result.vectors],
        "family": result.family.fingerprint,
        "model": made.model,
        "tokens": result.usage.input_tokens,
    }


def _shown(number: float) -> str:
    """Write a number of 32 bits with as many digits as it has."""
    return f"{number:.9g}"
