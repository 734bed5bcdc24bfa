"""Output: answers and tables go to standard output, all else to standard error."""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import IO, Any, ClassVar, Final

import typer

# An answer may hold sequences that move the cursor, rename the window or write to the clipboard.
# Line breaks and tabs stay.
_CONTROLS: Final = dict.fromkeys([*range(0x09), *range(0x0B, 0x20), *range(0x7F, 0xA0)])
# JSON itself escapes the others.
_ESCAPED: Final = {number: f"\\u{number:04x}" for number in range(0x7F, 0xA0)}
WIDE: Final = 400
"""Columns of a table that no terminal limits."""

_TO_THE_END: Final = "\x1b[K"

_options: dict[str, str] = {}
"""The options of the command that runs, by the names of the core's arguments."""
_SECOND_NAMES: Final = {"model_path": "model", "response_format": "schema"}


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


def printable_json(text: str) -> str:
    r"""Escape the control characters of a JSON text, as in `\u009b`; it means the same."""
    return text.translate(_ESCAPED)


def show_json(
    document: Any, *, indent: int | None = None, default: Callable[[Any], Any] | None = None
) -> None:
    """Print a JSON document; `default` writes what JSON has no form for."""
    import json

    typer.echo(printable_json(json.dumps(document, indent=indent, ensure_ascii=False, default=default)))


def takes_sequences() -> bool:
    """Whether the terminal may be drawn on: its cursor moved, a line erased."""
    return os.environ.get("TERM", "") not in {"dumb", "unknown"}


def colours(stream: IO[str] | None) -> bool:
    """Whether a stream gets colours: as `NO_COLOR` and `FORCE_COLOR` say, else if it is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in {"", "0"}:
        return True
    return is_terminal(stream) and takes_sequences()


def dimmed(text: str, stream: IO[str]) -> str:
    """Colour a text paler, where the stream can show that."""
    return typer.style(text, dim=True) if text and colours(stream) else text


def say(text: str, *, keep_blanks: bool = False) -> None:
    """Write a remark that is no part of the answer, in one line, or as many as the terminal needs."""
    text = printable(text) if keep_blanks else _one_line(text)
    _write("\n".join(dimmed(line, sys.stderr) for line in _wrapped(text, "")))


def _write(text: str) -> None:
    erase_sign()
    typer.echo(text, err=True, color=colours(sys.stderr))


def _wrapped(text: str, indent: str) -> list[str]:
    """Cut a text into the lines of the terminal, between words; elsewhere it is one line."""
    if not is_terminal(sys.stderr):
        return [text]
    columns = max(20, min(100, shutil.get_terminal_size().columns - 1))
    if len(text) <= columns:
        return [text]
    return textwrap.wrap(
        text, columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


class Sign:
    """A line at the terminal that is there for a while; whatever else is written erases it first."""

    _shown: ClassVar[Sign | None] = None

    def __init__(self) -> None:
        self.ended = False

    def draw(self, text: str) -> None:
        """Show the line, or another text in it."""
        if self.ended:
            return
        text = text[: max(0, shutil.get_terminal_size().columns - 1)]
        sys.stderr.write(f"\r{dimmed(text, sys.stderr)}{_TO_THE_END}")
        sys.stderr.flush()
        Sign._shown = self

    def erase(self) -> None:
        """Take the line away until it is drawn again."""
        if Sign._shown is self:
            Sign._shown = None
            with suppress(OSError, ValueError):
                sys.stderr.write(f"\r{_TO_THE_END}")
                sys.stderr.flush()

    def end(self) -> None:
        """Take the line away for good."""
        self.erase()
        self.ended = True

    @classmethod
    def shown(cls) -> Sign | None:
        """Return the sign that is shown."""
        return cls._shown


def erase_sign() -> None:
    """Take away the sign that is shown, before something else is written."""
    if (sign := Sign.shown()) is not None:
        sign.erase()


def complain(error: Exception) -> None:
    """Write an error, with the command line's own names for what can be changed."""
    line, *more = _wrapped(f"Error: {_one_line(in_options(error))}", "  ")
    if colours(sys.stderr):
        line = typer.style("Error:", fg="red", bold=True) + line.removeprefix("Error:")
    _write("\n".join([line, *more]))


def speak_of(options: Mapping[str, str]) -> None:
    """Name the options of the command that runs, by the names of the core's arguments."""
    _options.clear()
    _options.update(options)
    _options.update({name: options[own] for name, own in _SECOND_NAMES.items() if own in options})


def in_options(error: Exception) -> str:
    """Write an error with `--base-url` for `base_url` and so on.

    A sentence of advice about arguments that the command has no option for is of no use, and left out.
    """
    from freeproviders.naming import Words

    text = getattr(error, "wording", None) or str(error)
    advice = getattr(error, "advice", "")
    return _in_options(text, advice.marked) if isinstance(advice, Words) else renamed(text)


def told(text: str) -> str:
    """Write what is told of errors as `in_options` writes one."""
    return _in_options(text, getattr(text, "marked", text))


def _in_options(text: str, advice: str) -> str:
    from freeproviders.naming import Words

    for sentence in map(Words, _SENTENCES.split(advice)):
        if sentence.arguments and not _options.keys() & set(sentence.arguments) and isinstance(text, Words):
            text = Words(" ".join(text.marked.replace(sentence.marked, "").split()))
    return renamed(text)


def renamed(text: str) -> str:
    """Write `--base-url` for `base_url` and so on, where a text of the core marks its names."""
    from freeproviders.naming import Words

    return text.renamed(_options.get) if isinstance(text, Words) else text


_SENTENCES: Final = re.compile(r"(?<=\.)\s+")


def log(verbose: int) -> None:
    """Write what the core logs to standard error: 1 is each request, 2 more of each; 0 nothing."""
    if not verbose:
        return
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            say(self.format(record))

    handler = Lines()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("freeproviders")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose == 1 else logging.DEBUG)


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
