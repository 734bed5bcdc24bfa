"""The options by which several commands name the backend and its settings."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from freeproviders.cli import completion, rows
from freeproviders.cli.lookup import SLUGS, completing

WHO: Final = "Provider and model"
QUESTION: Final = "The question"

Provider = Annotated[
    str | None,
    typer.Option(
        "--provider",
        "-p",
        metavar="NAME",
        help="The provider to ask: see `freeproviders providers`. Default: what is free for you.",
        rich_help_panel=WHO,
        autocompletion=completing(SLUGS),
    ),
]
Service = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="A service of the OpenAI protocol: see `freeproviders catalogue`.",
        rich_help_panel=WHO,
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
        rich_help_panel=WHO,
        autocompletion=completion.models,
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where the service is: a mirror, a self-hosted one, a replica.",
        rich_help_panel=WHO,
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="The service's key. Other processes can see it here: better in the environment.",
        rich_help_panel=WHO,
    ),
]
Proxy = Annotated[
    str | None, typer.Option(metavar="URL", help="http://user:password@host:port", rich_help_panel=WHO)
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
