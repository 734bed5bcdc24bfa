"""What a store keeps: an answer or a failure under the key of its question, and runs over tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["done", "refused", "poisoned", "failed"]
"""What became of a question.

"done": it was answered. "refused": the question itself was refused, and asking again would not help.
"poisoned": it was given up after attempts that failed while other questions were answered. "failed":
attempts have failed, and it is asked again.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is kept of one question.

    Attributes:
        state: what became of it.
        value: JSON text: the answer, or the error with its trail.
        tries: attempts that have failed so far.
        at: when it was written, in seconds since 1970 (UTC).
    """

    state: State
    value: bytes
    tries: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A table of questions that was begun, to be listed, gone on with and deleted.

    Attributes:
        name: tells it from other runs: the absolute path of its output, or the caller's own name.
        source: where its rows come from, "" for rows of a program.
        rows: how many rows it has, None while that is not known.
        began: when it was begun first, in seconds since 1970 (UTC).
    """

    name: str
    source: str = ""
    rows: int | None = None
    began: float = 0.0
