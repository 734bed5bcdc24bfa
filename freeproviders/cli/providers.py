"""`freeproviders providers`: the services and their facts."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freeproviders.cli import options, terminal
from freeproviders.cli.commands import examples

if TYPE_CHECKING:
    from freeproviders.provider import Provider

_FACTS = {
    "history": "supports_message_history",
    "system": "supports_system_message",
    "streaming": "supports_stream",
}


@examples("freeproviders providers", "freeproviders providers --json")
def providers(as_json: Annotated[bool, options.as_json("Print a JSON list.")] = False) -> None:
    """List the providers and their facts.

    "no" under Working is about the public service; the protocol works with any --base-url that
    speaks it.
    """
    from freeproviders.cli.lookup import all_providers

    rows = [facts(cls) for cls in all_providers()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    apart = "\n" if terminal.is_terminal(sys.stdout) else " "  # in a pipe, a line is a row
    lines = [
        (
            f"{row['name']}{apart}({row['slug']})",
            row["protocol"],
            "yes" if row["working"] else "no",
            row["status"],
            _models(row),
            ", ".join(row["abilities"]),
        )
        for row in rows
    ]
    terminal.show_table(
        ("Provider", "Protocol", "Working", "Since when", "Models", "Abilities"), lines, narrowest=76
    )


def facts(cls: type[Provider]) -> dict[str, Any]:
    """Collect the facts of a provider's class."""
    return {
        "name": cls.name,
        "slug": cls.slug,
        "protocol": cls.protocol,
        "url": cls.url,
        "base_url": cls.default_base_url,
        "working": cls.working,
        "status": cls.status_note,
        "default_model": cls.default_model,
        "models": list(getattr(cls, "models", ())),
        "abilities": [
            *(word for word, attribute in _FACTS.items() if getattr(cls, attribute) is True),
            *(word for word in ("images", "tools", "schema") if getattr(cls.default_abilities, word)),
        ],
    }


def _models(row: dict[str, Any]) -> str:
    others = len(row["models"]) - 1
    if not row["default_model"]:
        return "any"
    return f"{row['default_model']} and {others} more" if others > 0 else row["default_model"]
