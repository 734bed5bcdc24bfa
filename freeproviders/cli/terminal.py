"""Output: answers and tables go to standard output, all else to standard error."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import IO, Final

import typer

# An answer may hold sequences that move the cursor, rename the window or write to the clipboard.
# Line breaks and tabs stay.
_CONTROLS: Final = dict.fromkeys([*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)])
WIDE: Final = 400
"""Columns of a table that no terminal limits."""

_OPTIONS: Final = {
    "timeout=Timeout(...)": "--timeout",
    "base_url": "--base-url",
    "api_key": "--api-key",
    "max_tokens": "--max-tokens",
    "model_path": "--model",
    "Check base_url and model.": "Check --base-url and --model.",
    "no default model: name one.": "no default model: name one with --model.",
}
"""What the core's errors name, and what it is called here."""
_NAMES: Final = re.compile(f"({'|'.join(map(re.escape, _OPTIONS))})=?")
_KEY_ADVICE: Final = re.compile(
    r"(?:Set [\w ]+ or pass|Pass a valid) api_key\.(?: Keys are issued at <[^>]*>\.)?$"
)


def prepare() -> None:
    """Keep unencodable characters and an output that was closed (`>&-`) from ending the program."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - open to the end
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a stream is a terminal; it may be missing or closed."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def printable(text: str) -> str:
    """Remove control characters from a text."""
    return text.translate(_CONTROLS)


def dimmed(text: str, stream: IO[str]) -> str:
    """Colour a text paler, where the stream can show that."""
    if not is_terminal(stream) or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb":
        return text
    return typer.style(text, dim=True)


def say(text: str) -> None:
    """Write a remark that is no part of the answer, in one line."""
    typer.echo(dimmed(_one_line(text), sys.stderr), err=True)


def complain(error: Exception) -> None:
    """Write an error in one line, with the command line's own names for what can be changed."""
    typer.echo(f"Error: {_one_line(_in_options(error))}", err=True)


def _in_options(error: Exception) -> str:
    """Write an error with `--base-url` for `base_url` and so on, but for a service's own words."""
    from freeproviders.errors import CatalogueError, FreeProvidersError, ProviderError

    text = str(error)
    if not isinstance(error, FreeProvidersError) or isinstance(error, CatalogueError):
        return text  # a file's fields have names of their own
    ours = error.advice if isinstance(error, ProviderError) else text
    if (advice := _KEY_ADVICE.search(text)) and len(advice[0]) > len(ours):
        ours = advice[0]
    theirs = text.removesuffix(ours)
    return theirs + _NAMES.sub(lambda name: _OPTIONS[name[1]], ours)


def forget_output() -> None:
    """Drop output that could not be written; else Python tries again at its end and complains."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, narrowest: int) -> None:
    """Print a table without a frame; in a pipe each row is one line, however wide.

    A terminal of fewer columns than `narrowest` gets a list, since cells of three letters cannot be
    read.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(
        width=None if is_terminal(sys.stdout) else WIDE, highlight=False, emoji=False, markup=False
    )
    rows = [[printable(cell) for cell in row] for row in rows]
    if console.width < narrowest:
        for first, *others in rows:
            typer.echo(
                "\n".join(
                    [
                        first,
                        *(
                            f"  {column}: {cell}"
                            for column, cell in zip(columns[1:], others, strict=True)
                            if cell
                        ),
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
