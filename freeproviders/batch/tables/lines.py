"""Plain text as a table: a prompt on each line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from freeproviders.batch.tables.cells import encodable
from freeproviders.batch.tables.record import LONGEST_ROW, Format, Record
from freeproviders.batch.tables.text_files import encoding_of, opened_text, undecoded
from freeproviders.errors import UsageError

PROMPT: Final = "prompt"
"""The name of the one column."""


class Lines:
    """A file with a prompt on each line; blank lines are no rows."""

    format: Format = "text"
    columns: tuple[str, ...] = (PROMPT,)

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path = path
        self._encoding = encoding_of(path, encoding)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[Record]:
        """Yield the rows, without the ends of lines."""
        del columns
        index = number = 0
        with opened_text(self.path, self._encoding, newline="") as lines:
            while line := lines.readline(LONGEST_ROW):
                number += 1
                if len(line) >= LONGEST_ROW:
                    raise UsageError(
                        f"{self.path} has a line of more than {LONGEST_ROW >> 20} million characters."
                    )
                if line.isspace():
                    continue
                text, wrong = line.rstrip("\r\n"), ""
                if undecoded(text):
                    wrong = f"It is no text in the encoding {self._encoding}."
                    text = encodable(text)
                yield Record(index, f"line {number}", {PROMPT: text}, wrong)
                index += 1
