"""Thinking in the form in which OpenRouter wants it back, `reasoning_details`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from freeproviders.wire.text import mended_json

MAX_DETAILS: Final = 4096
"""An answer with more than this has none: so many would not be sent back with the next request."""

_IN_PIECES: Final[Mapping[str, str]] = {"reasoning.text": "text", "reasoning.summary": "summary"}
"""The kinds that come piece by piece, and the field that does."""


class Details:
    """Joins the pieces of a stream to the list that a whole answer has.

    A piece belongs to the item before it where both have the same kind and index. Its text is
    added, other fields, as the signature that comes last, are taken over. Encrypted items are whole.
    """

    def __init__(self) -> None:
        self._items: list[dict[str, Any]] = []
        self._text: list[str] = []
        """The pieces of the last item's text."""
        self._too_many = False

    def add(self, details: Iterable[object]) -> None:
        """Take the details of one delta."""
        for detail in details:
            if not isinstance(detail, dict) or self._too_many:
                continue
            kind = detail.get("type")
            field = _IN_PIECES.get(kind) if isinstance(kind, str) else None
            if field is None or not self._goes_on(detail):
                self._close()
                self._items.append({})
                self._too_many = len(self._items) > MAX_DETAILS
            item = self._items[-1]
            for name, value in detail.items():
                if name == field and isinstance(value, str):
                    self._text.append(value)
                elif value is not None or name not in item:
                    item[name] = value

    def joined(self) -> list[dict[str, Any]]:
        """Return the whole list; raises `ValueError` where it cannot be written."""
        self._close()
        items: list[dict[str, Any]] = mended_json([] if self._too_many else self._items)
        return items

    def _goes_on(self, detail: Mapping[str, Any]) -> bool:
        if not self._items:
            return False
        last = self._items[-1]
        return bool(last.get("type") == detail["type"] and last.get("index") == detail.get("index"))

    def _close(self) -> None:
        if self._text:
            item = self._items[-1]
            item[_IN_PIECES[item["type"]]] = "".join(self._text)
            self._text = []
