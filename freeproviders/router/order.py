"""The order in which members are asked, and the member that a conversation stays with."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, Literal

from freeproviders.router.member import PLACES, Key, Member
from freeproviders.router.statistics import Speed
from freeproviders.types import ChatRequest, Message

Strategy = Literal["ordered", "spread", "auto"]
"""How members are ordered.

"ordered" as they are listed, the best model of every service before any second one. "spread" takes
the one that was asked least recently. "auto" takes the one that is likely to answer soonest, of
those that call tools themselves where there are tools.
"""

_CONVERSATIONS: Final = 4096
"""How many conversations are remembered; the one without a question for longest is forgotten first."""


class Order:
    """Orders the members of one router; thread-safe."""

    def __init__(self, strategy: Strategy, speed: Callable[[Key], Speed], prefer: Sequence[str] = ()) -> None:
        self._strategy = strategy
        self._speed = speed
        self._prefer = prefer
        self._asked: dict[int, int] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._with: OrderedDict[int, Member] = OrderedDict()

    def of(self, members: Sequence[Member], request: ChatRequest) -> list[Member]:
        """Return the members in the order in which they are to be asked for a request.

        The member that a conversation is with is the first. Services come before servers of this
        machine, unless the caller listed them otherwise, and our own engine is the last, unless the
        list begins with it.
        """
        if not members:
            return []
        with self._lock:
            ordered = sorted(members, key=self._key(request, members[0]))
            stays = self._with.get(_history(request.messages)) if self._with else None
            if stays is not None and stays in ordered:
                ordered.remove(stays)
                ordered.insert(0, stays)
            # Noted here already: questions that come at the same time would all take the same one.
            self._note(ordered[0])
        return ordered

    def asked(self, member: Member) -> None:
        """Note that a member is asked now."""
        with self._lock:
            self._note(member)

    def _note(self, member: Member) -> None:
        self._number += 1
        self._asked[id(member)] = self._number

    def answered(self, member: Member, request: ChatRequest) -> None:
        """Note that the conversation of a request is with a member now."""
        mark = _mark(request.messages, _last_of_the_user(request.messages))
        if not mark:
            return
        with self._lock:
            self._with[mark] = member
            self._with.move_to_end(mark)
            while len(self._with) > _CONVERSATIONS:
                self._with.popitem(last=False)

    def _key(self, request: ChatRequest, first: Member) -> Callable[[Member], tuple[float, ...]]:
        def group(member: Member) -> tuple[float, int, int]:
            """Return the place of the group in which a strategy chooses; preferred members stand alone."""
            place = PLACES[member.place]
            if member.named and (member.place != "embedded" or member is first):
                place = 0
            return member.wanted(self._prefer), place, member.rank

        if self._strategy == "ordered":
            return group
        if self._strategy == "spread":
            return lambda member: (*group(member), self._asked.get(id(member), 0))
        tools = bool(request.tools)
        return lambda member: (
            *group(member),
            tools and not member.backend.abilities(member.model or None).tools,
            self._expected(member),
            self._asked.get(id(member), 0),
        )

    def _expected(self, member: Member) -> float:
        """Return the seconds after which an answer of a member begins, failures reckoned in.

        A member that has never answered comes first, so that all are known soon.
        """
        speed = self._speed(member.key)
        if speed.first is None:
            return 0.0
        return speed.first / max(speed.success, 0.05)


def _history(messages: Sequence[Message]) -> int:
    """Return the mark of a conversation as it was when it was last answered.

    Within a run of tool calls that is up to the user's last turn, else up to the one before it.
    """
    last = _last_of_the_user(messages)
    if last == len(messages) - 1:
        last = _last_of_the_user(messages[:last])
    return _mark(messages, last)


def _last_of_the_user(messages: Sequence[Message]) -> int:
    """Return the place of the user's last turn, -1 where there is none."""
    return next((place for place in range(len(messages) - 1, -1, -1) if messages[place].role == "user"), -1)


def _mark(messages: Sequence[Message], last: int) -> int:
    """Make a mark of the user's and the system's turns up to a place; 0 where there is none.

    It is kept in memory only, and says nothing outside of this process.
    """
    if last < 0:
        return 0
    turns = [(turn.role, turn.text) for turn in messages[: last + 1] if turn.role in {"user", "system"}]
    return hash(tuple(turns))
