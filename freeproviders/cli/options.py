"""Options that several commands have in common."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from freeproviders.cli import completion, rows
from freeproviders.cli.lookup import SLUGS, completing

BACKEND: Final = "Provider and model"
QUESTION: Final = "The question"

Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        "-p",
        metavar="NAME",
        help="The provider to ask: see `freeproviders providers`. Default: what is free for you.",
        rich_help_panel=BACKEND,
        autocompletion=completing(SLUGS),
    ),
]
Service = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="A service of the OpenAI protocol: see `freeproviders catalogue`.",
        rich_help_panel=BACKEND,
        autocompletion=rows.ids,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="One of the provider's models, or a GGUF file. Alone: one of the embedded models, or a "
        "service's, as groq/openai/gpt-oss-120b.",
        rich_help_panel=BACKEND,
        autocompletion=completion.models,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where the service is: a mirror, a self-hosted one, a replica.",
        rich_help_panel=BACKEND,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="The service's key. Other processes can see it here: better in the environment.",
        rich_help_panel=BACKEND,
    ),
]
Proxy = Annotated[
    str | None, typer.Option(metavar="URL", help="http://user:password@host:port", rich_help_panel=BACKEND)
]
System = Annotated[
    str | None,
    typer.Option(
        "--system", "-s", metavar="TEXT", help="Instructions to the model.", rich_help_panel=QUESTION
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        metavar="NUMBER",
        help="0 for the likeliest words, higher for variety.",
        rich_help_panel=QUESTION,
    ),
]
MaxTokens = Annotated[
    int | None, typer.Option(metavar="N", help="Longest answer, in tokens.", rich_help_panel=QUESTION)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def as_json(text: str = "Print a JSON object.", panel: str | None = None) -> Any:
    """Make the option `--json`; `text` is its help, `panel` its group in the help."""
    return typer.Option("--json", help=text, rich_help_panel=panel)


def verbose(panel: str | None = None) -> Any:
    """Make the option `--verbose`, whose count goes to `terminal.log`; `panel` is its group in the help."""
    return typer.Option(
        "--verbose",
        "-v",
        count=True,
        help="Log each request on standard error, without keys and texts; -vv with headers' names.",
        rich_help_panel=panel,
        show_default=False,
    )
