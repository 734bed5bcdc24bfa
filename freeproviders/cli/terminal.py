"""What is said and where: answers and tables go to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import IO, Final

import typer

# A model's words may hold sequences that move the cursor, rename the window or write to the clipboard. Line breaks and tabs stay.
_CONTROLS: Final = dict.fromkeys([*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)])
WIDE: Final = 400
"""Columns of a table that no terminal limits."""


def prepare() -> None:
    """Let no character that a stream cannot carry end the program, nor an output that was closed (`>&-`)."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - open to the end
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether somebody looks at the stream; it may be missing or closed."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def printable(text: str) -> str:
    """The text without control characters."""
    return text.translate(_CONTROLS)


def dimmed(text: str, stream: IO[str]) -> str:
    """The text in a paler colour, where that can be shown."""
    if not is_terminal(stream) or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return typer.style(text, dim=True)


def say(text: str) -> None:
    """A remark that is no part of the answer: one line."""
    typer.echo(dimmed(_one_line(text), sys.stderr), err=True)


def complain(error: Exception) -> None:
    """Say what went wrong: one line."""
    typer.echo(f"Error: {_one_line(str(error))}", err=True)


def forget_output() -> None:
    """Let what could not be written go, or Python tries once more at its end and says so."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, narrowest: int) -> None:
    """Print a table without a frame; into a pipe as wide as it wants to be, so that a line is a row.

    A terminal of fewer columns than `narrowest` gets a list: cells of three letters can be read by nobody.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(
        width=None if is_terminal(sys.stdout) else WIDE, highlight=False, emoji=False, markup=False
    )
    if console.width < narrowest:
        for first, *others in rows:
            typer.echo(
                "\n".join(
                    [
                        first,
                        *(f"  {column}: {cell}" for column, cell in zip(columns[1:], others, strict=True)),
                    ]
                )
            )
        return
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for number, column in enumerate(columns):
        drawn.add_column(column, overflow="fold", no_wrap=number == 0)  # a name is no use without its end
    for row in rows:
        drawn.add_row(*row)
    console.print(drawn)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
