"""An answer that broke off, with everything that going on needs to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from freeproviders.errors import FreeProvidersError
from freeproviders.router.member import Member
from freeproviders.types import ChatRequest, Finish, OnBrokenStream, Part, Reasoning, Text, Usage

MAX_HOPS: Final = 2
"""So many members may go on with one answer, or give another one, at most."""


@dataclass(slots=True)
class Said:
    """What has been shown of an answer, noted batch by batch."""

    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    kinds: set[type] = field(default_factory=set)
    """The kinds of the other parts."""
    usage: Usage | None = None
    finish: Finish | None = None

    def note(self, batch: Iterable[Part]) -> None:
        """Note the parts of a batch that is shown."""
        for part in batch:
            kind = part.__class__
            if kind is Text:
                self.texts.append(part.text)  # type: ignore[union-attr]
            elif kind is Reasoning:
                self.reasoning.append(part.text)  # type: ignore[union-attr]
            elif isinstance(part, Usage):
                self.usage = part
            elif isinstance(part, Finish):
                self.finish = part
            else:
                self.kinds.add(kind)

    @property
    def begun(self) -> bool:
        """Whether anything has been shown that cannot be taken back."""
        return bool(self.texts or self.reasoning or self.kinds)

    @property
    def text(self) -> str:
        """All the text."""
        return "".join(self.texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """An answer that broke off after something of it had been shown.

    Attributes:
        request: the question, as the caller asked it.
        member: the member that broke off.
        error: how.
        said: what has been shown. `said.usage` is what it has cost where that is known; it is
            estimated otherwise.
        others: the members that the question may go to next, in order: healthy, and able to answer it.
        policy: what the caller wants.
        hops: how many members may go on, or give another answer.
    """

    request: ChatRequest
    member: Member
    error: FreeProvidersError
    said: Said
    others: tuple[Member, ...] = ()
    policy: OnBrokenStream = "raise"
    hops: int = MAX_HOPS
