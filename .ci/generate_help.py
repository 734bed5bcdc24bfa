"""The page of all commands with their options: what `--help` says of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from freeproviders.cli.app import app

WIDTH = 92
HEAD = """# Commands and options

What `--help` says of each command. [The command line](../command-line.md) shows how they are used.
This page is made by `make docs-tables`.
"""


def pages(docs: Path) -> dict[Path, str]:
    """Give the page."""
    command = get_command(app)
    return {docs / "reference" / "commands.md": "\n".join([HEAD, *sections(command, "freeproviders", None)])}


def sections(command: Any, name: str, above: Any) -> Iterator[str]:
    """Write a command's help, and those of the commands below it."""
    context = command.make_context(
        name, [], parent=above, resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH
    )
    said = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"## `{context.command_path}`\n\n```text\n{said.strip()}\n```\n"
    for inner, one in getattr(command, "commands", {}).items():
        if not one.hidden:
            yield from sections(one, inner, context)
