"""The rows of a run: questions that go in, and what became of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from freeproviders.errors import FreeProvidersError
from freeproviders.types import Attempt, ChatRequest, Completion, Message

RowState = Literal["done", "refused", "poisoned", "exhausted"]
"""What became of a row.

"done": it was answered. "refused": the question itself was refused, or cannot be asked; it is never
asked again. "poisoned": it was given up after failing while other rows were answered. "exhausted":
it has no answer yet, since limits are spent, time is over or no service could be reached; the next
start asks it.
"""


class Question:
    """A question with settings of its own, which win over those of the run.

    `messages` are a text, or messages as `Backend.request` takes them; `settings` are its keywords.
    """

    __slots__ = ("messages", "settings")

    def __init__(self, messages: Iterable[Message | Mapping[str, Any]] | str, **settings: Any) -> None:
        self.messages = messages
        self.settings = settings

    def __repr__(self) -> str:
        settings = "".join([f", {name}={value!r:.100}" for name, value in self.settings.items()])
        return f"Question({self.messages!r:.200}{settings})"


Asked = str | Iterable[Message | Mapping[str, Any]] | ChatRequest | Question | FreeProvidersError
"""What a row may be; an error stands for one that no question could be made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row that has ended.

    Attributes:
        index: its place among the questions, from 0.
        state: what became of it.
        completion: the answer, None where there is none.
        data: the object of a typed answer: an instance of the class, else plain data.
        error: why there is no answer, None where it was not asked at all.
        kept: whether the answer was there before, so that nothing was sent.
        tries: attempts that have failed while other rows were answered.
        key: the key of its entry in the store, b"" where the row could not be read.
    """

    index: int
    state: RowState
    completion: Completion | None = None
    data: Any = None
    error: FreeProvidersError | None = None
    kept: bool = False
    tries: int = 0
    key: bytes = field(default=b"", repr=False)

    @property
    def trail(self) -> tuple[Attempt, ...]:
        """The attempts and how each ended: of the answer, or of all tries that failed."""
        if self.completion is not None:
            return self.completion.finish.trail
        return trail_of(self.error)


def trail_of(error: FreeProvidersError | None) -> tuple[Attempt, ...]:
    """Return the attempts that an error tells of, () where it tells of none."""
    return tuple(getattr(error, "trail", ()))
