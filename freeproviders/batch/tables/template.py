"""Prompts with places for the cells of a row: `Translate {text} into {language}.`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from freeproviders.batch.tables.cells import as_text
from freeproviders.errors import UsageError

_PIECES: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Template:
    """A text with `{column}` where a cell of the row is put in; `{{` and `}}` are braces.

    A name is a column's and nothing else: no attribute, no index and no format can be asked for.

    Raises `UsageError` where a brace stands alone.
    """

    def __init__(self, text: str) -> None:
        self._pieces: list[tuple[bool, str]] = []
        end = 0
        for found in _PIECES.finditer(text):
            self._pieces.append((False, text[end : found.start()]))
            end = found.end()
            if found[1] is not None and found[1].strip():
                self._pieces.append((True, found[1].strip()))
            elif found[0] in {"{{", "}}"}:
                self._pieces.append((False, found[0][0]))
            else:
                line = text.count("\n", 0, found.start()) + 1
                raise UsageError(
                    f"The template has {found[0]!r} on line {line}, which names no column: "
                    "write {{ and }} for braces."
                )
        self._pieces.append((False, text[end:]))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it names, each once."""
        return tuple(dict.fromkeys(text for is_name, text in self._pieces if is_name))

    def check(self, columns: Iterable[str]) -> None:
        """Raise `UsageError` where it names a column that there is not."""
        known = list(columns)
        for name in self.names:
            if name not in known:
                raise UsageError(
                    f"The template names {{{name}}}, and the table has no such column. It has: "
                    f"{', '.join(known) or 'none'}. Write {{{{ and }}}} for braces."
                )

    def fill(self, values: Mapping[str, Any]) -> str:
        """Put the cells of a row in. Raises `UsageError` for a cell that is missing or empty."""
        return "".join([_cell(values, text) if is_name else text for is_name, text in self._pieces])


def _cell(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise UsageError(f"The column {name!r} is {'empty' if name in values else 'missing'}.")
    return as_text(value)
