"""Conversations and tools in the form that services with tools of their own take.

Such services refuse a conversation in which a call has no result or a result no call, as a run that
was cancelled or a memory that was cut leaves them, and names that are no identifiers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from freeproviders.tools.plan import Plan
from freeproviders.tools.schema.sent import strict_tool
from freeproviders.types import Block, ChatRequest, Message, TextBlock, Tool, ToolCall

LOST: Final = (
    "There is no result: the call was cancelled, or its result was lost. "
    "It is not known whether the tool has run."
)
"""The result of a call that has none."""
ORPHANED: Final = "[An earlier call of {name}, which is not shown any more, gave this result: {content}]"
"""The words for a result whose call is not there, in a turn of the user."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_STRANGE = re.compile(r"[^a-zA-Z0-9_-]+")
_BASE_CHARS: Final = 55  # with a line and eight digits, 64


class Names:
    """Names of tools as services take them: 1 to 64 letters, digits, `_` and `-`.

    A name that is not of that kind is replaced by one that is, the same at each request with the
    same tools. `sent` and `own` translate; names that need none stay as they are.
    """

    def __init__(self, names: Iterable[str]) -> None:
        names = dict.fromkeys(names)
        self._own: dict[str, str] = {}
        self._sent: dict[str, str] = {}
        for name in names:
            if _NAME.fullmatch(name):
                continue
            sent = _STRANGE.sub("_", name).strip("_")
            if not sent or len(sent) > _BASE_CHARS or sent in names or sent in self._own:
                digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
                sent = f"{sent[:_BASE_CHARS] or 'tool'}_{digest}"
            self._own[sent] = name
            self._sent[name] = sent

    @property
    def own(self) -> Mapping[str, str]:
        """The tools' own names, by those that are sent in their place."""
        return self._own

    def sent(self, name: str) -> str:
        """Return the name that is sent."""
        return self._sent.get(name, name)

    def tools(self, tools: Iterable[Tool]) -> tuple[Tool, ...]:
        """Rename tools."""
        return tuple([replace(tool, name=self.sent(tool.name)) for tool in tools] if self._sent else tools)

    def messages(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Rename the tools of calls and results."""
        return tuple([self._renamed(message) for message in messages] if self._sent else messages)

    def _renamed(self, message: Message) -> Message:
        if message.tool_calls:
            calls = tuple([replace(call, name=self.sent(call.name)) for call in message.tool_calls])
            return replace(message, tool_calls=calls)
        if message.role == "tool" and message.name:
            return replace(message, name=self.sent(message.name))
        return message


def names_of(request: ChatRequest) -> Names:
    """Make the names for all tools of a request, also for those that only its messages know."""
    names = [tool.name for tool in request.tools]
    for message in request.messages:
        if message.tool_calls:
            names += [call.name for call in message.tool_calls]
        elif message.role == "tool" and message.name:
            names.append(message.name)
    return _names(tuple(names))


@lru_cache(maxsize=256)
def _names(names: tuple[str, ...]) -> Names:
    return Names(names)


def native_form(request: ChatRequest, plan: Plan, names: Names) -> dict[str, Any]:
    """Write what a request for a service with tools of its own has in another form."""
    choice = plan.choice
    return {
        "messages": names.messages(mended(request.messages)),
        "tools": names.tools([strict_tool(tool) for tool in plan.box.tools]),
        "tool_choice": choice if choice is None else names.sent(choice),
    }


@dataclass(slots=True, eq=False)
class _Made:
    """A call of the conversation, and its result."""

    call: ToolCall
    turn: int
    result: Message | None = None


def mended(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Give each call an id of its own and one result, right behind it.

    A call without a result gets one that says so. A result without a call, and a second one of the
    same call, are told in a turn of the user.
    """
    made: dict[int, list[_Made]] = {}
    waiting: dict[str, list[_Made]] = {}  # for results, by their ids
    orphans: set[int] = set()
    for at, message in enumerate(messages):
        if message.role == "tool":
            if not _answer(message, waiting):
                orphans.add(at)
        elif message.tool_calls:
            made[at] = [_Made(call, at) for call in message.tool_calls]
            for one in made[at]:
                waiting.setdefault(one.call.id, []).append(one)
    _number(one for some in made.values() for one in some)
    out = _Turns()
    for at, message in enumerate(messages):
        if message.role == "tool":
            if at in orphans:
                out.note(message)
            continue
        mine = made.get(at, ())
        out.add(replace(message, tool_calls=tuple([one.call for one in mine])) if mine else message)
        for one in mine:
            result = one.result or Message("tool", LOST, name=one.call.name, is_error=True)
            out.add(replace(result, tool_call_id=one.call.id))
    return tuple(out.done)


def _answer(result: Message, waiting: Mapping[str, list[_Made]]) -> bool:
    """Give a result to its call: the first of the latest turn that fits; False where there is none.

    One that names no call is the result of any call of its tool.
    """
    if result.tool_call_id:
        found = waiting.get(result.tool_call_id, [])
    else:
        all_waiting = [one for some in waiting.values() for one in some]
        found = [one for one in all_waiting if not result.name or one.call.name == result.name]
    if not found:
        return False
    latest = max(one.turn for one in found)
    call = next(one for one in found if one.turn == latest)
    call.result = result
    waiting[call.call.id].remove(call)
    return True


def _number(made: Iterable[_Made]) -> None:
    """Give each call an id that no other has; the same conversation gets the same ids again."""
    known: set[str] = set()
    for number, one in enumerate(made):
        identity = one.call.id
        if not identity or identity in known:
            seed = f"{number} {identity} {one.call.name}".encode("utf-8", "replace")
            identity = hashlib.sha256(seed).hexdigest()[:9]  # the form that the strictest service has
            one.call = replace(one.call, id=identity)
        known.add(identity)


class _Turns:
    """The turns of a mended conversation; notes share a turn with the user's words beside them."""

    def __init__(self) -> None:
        self.done: list[Message] = []
        self._noted = False  # the last turn holds a note

    def add(self, message: Message) -> None:
        if self._noted and message.role == "user":
            message = _joined(self.done.pop(), message)
        self.done.append(message)
        self._noted = False

    def note(self, result: Message) -> None:
        text = ORPHANED.replace("{name}", result.name or "a tool").replace("{content}", result.text)
        note = Message("user", (TextBlock(text), *result.media) if result.media else text)
        if self.done and self.done[-1].role == "user":
            note = _joined(self.done.pop(), note)
        self.done.append(note)
        self._noted = True


def _joined(first: Message, second: Message) -> Message:
    """Put two turns of the user into one."""
    if isinstance(first.content, str) and isinstance(second.content, str):
        return replace(second, content=f"{first.content}\n\n{second.content}")
    return replace(second, content=(*_blocks(first), *_blocks(second)))


def _blocks(message: Message) -> tuple[Block, ...]:
    return (TextBlock(message.content),) if isinstance(message.content, str) else message.content
