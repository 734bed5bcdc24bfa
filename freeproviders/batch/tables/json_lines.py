"""Tables of JSON lines: each line an object with the cells of a row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from freeproviders.batch.tables.record import LONGEST_ROW, Format, Record
from freeproviders.batch.tables.text_files import encoding_of, opened_text, undecoded
from freeproviders.errors import UsageError

_REST: Final = 2**20


class JsonLines:
    """A file with a JSON object on each line; blank lines are no rows."""

    format: Format = "jsonl"
    columns: tuple[str, ...] | None = None

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.path = path
        self._encoding = encoding_of(path, encoding)

    def records(self, columns: Sequence[str] | None = None) -> Iterator[Record]:
        """Yield the rows; a line that is no object is a row that cannot be used."""
        del columns
        index = 0
        with opened_text(self.path, self._encoding, newline="\n") as lines:
            number = 0
            while line := lines.readline(LONGEST_ROW):
                number += 1
                place = f"line {number}"
                if len(line) == LONGEST_ROW and not line.endswith("\n"):
                    while (rest := lines.readline(_REST)) and not rest.endswith("\n"):
                        pass
                    yield Record(
                        index, place, wrong=f"It has more than {LONGEST_ROW >> 20} million characters."
                    )
                elif line.isspace():
                    continue
                else:
                    if index == 0 and line.lstrip().startswith("["):
                        raise UsageError(
                            f"{self.path} is one JSON list, where each line should be a JSON object: "
                            "`jq -c '.[]' list.json > table.jsonl` writes it so."
                        )
                    yield _record(index, place, line, self._encoding)
                index += 1


def _record(index: int, place: str, line: str, encoding: str) -> Record:
    if undecoded(line):
        return Record(index, place, wrong=f"It is no text in the encoding {encoding}.")
    twice: list[str] = []

    def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice.append(next(name for name in names if names.count(name) > 1))
        return found

    try:
        values = json.loads(line, object_pairs_hook=object_of)
    except ValueError as error:
        return Record(index, place, wrong=f"It is not JSON: {error}.")
    except RecursionError:
        return Record(index, place, wrong="It is not JSON: it is nested too deeply.")
    if not isinstance(values, dict):
        return Record(index, place, wrong="It is JSON, but no object: a row is written as {...}.")
    return Record(index, place, values, f"It has {twice[0]!r} twice." if twice else "")
