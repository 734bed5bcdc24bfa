"""Options that several commands have in common."""

from __future__ import annotations

from typing import Any

import typer


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
