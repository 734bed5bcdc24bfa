"""Stored answers, so that no question is asked twice: for batches, and as a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freeproviders.lazy import lazy

if TYPE_CHECKING:
    from freeproviders.answers.entry import Entry, Run
    from freeproviders.answers.keys import request_key
    from freeproviders.answers.opening import open_store
    from freeproviders.answers.plain import error_from_plain, error_to_plain, from_plain, to_plain
    from freeproviders.answers.store import AnswerStore, Kept

__all__ = [
    "AnswerStore",
    "Entry",
    "Kept",
    "Run",
    "error_from_plain",
    "error_to_plain",
    "from_plain",
    "open_store",
    "request_key",
    "to_plain",
]

__getattr__, __dir__ = lazy(
    globals(),
    {
        "AnswerStore": "store",
        "Entry": "entry",
        "Kept": "store",
        "Run": "entry",
        "error_from_plain": "plain",
        "error_to_plain": "plain",
        "from_plain": "plain",
        "open_store": "opening",
        "request_key": "keys",
        "to_plain": "plain",
    },
)
