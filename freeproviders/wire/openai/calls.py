"""Native tool calls, put together from the deltas of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from freeproviders.errors import (
    MalformedResponseError,
    ResponseTooLargeError,
    TruncatedResponseError,
)
from freeproviders.naming import argument
from freeproviders.types import Batch, CallExtra, InvalidToolCall, ToolCall, ToolCallDelta, new_call_id
from freeproviders.wire.json import dumps, loads, loads_leniently, loads_several
from freeproviders.wire.openai.details import Details
from freeproviders.wire.text import mended, mended_json, split_half

MAX_CALLS: Final = 1024
MAX_CALLS_IN_ONE: Final = 64
"""The most objects in the arguments of one call that are read as several calls."""
MAX_NAME_CHARS: Final = 1024
MAX_ARGUMENT_CHARS: Final = 16 * 2**20
"""The most characters of arguments in all calls of an answer together."""


class CallAssembler:
    """Puts tool calls together from their deltas, each in constant time.

    Deltas name their call by index; services leave the index out, give several calls the same one,
    or send calls out of order. A delta with an id that is not its slot's begins another call, and so
    does one with another name behind the arguments. Several objects as the arguments of one call
    are several calls. `ResponseTooLargeError` is raised where an answer has more calls or arguments
    than a real answer has. What a call has in `extra_content`, and the answer in `reasoning_details`,
    is kept as of the service `origin`.
    """

    def __init__(self, origin: str = "") -> None:
        self.origin = origin
        self._slots: list[_Slot] = []
        self._by_index: dict[int, _Slot] = {}
        self._by_id: dict[str, _Slot] = {}
        self._chars = 0
        self._details: Details | None = None

    @property
    def open(self) -> bool:
        """Whether a call has begun."""
        return bool(self._slots)

    def beside(self, details: list[Any]) -> None:
        """Take what the answer has beside its calls, to be sent back with them."""
        if self._details is None:
            self._details = Details()
        self._details.add(details)

    def add(self, delta: Mapping[str, Any], shown: Batch | None = None) -> int:
        """Take one delta of one call; return the number of characters that the model wrote in it.

        What it adds goes into `shown`, where there is one.
        """
        chars, added = 0, ""
        index, identity = _index(delta.get("index")), delta.get("id")
        identity = str(identity) if isinstance(identity, str | int) and identity != "" else None
        function = delta.get("function")
        if not isinstance(function, dict):
            function = {}
        name = function.get("name")
        slot = self._slot(index, identity, name)
        if identity is not None and slot.id is None:
            slot.id = identity
            self._by_id[identity] = slot
        if isinstance(name, str) and slot.name != name:
            slot.name += name
            chars, added = len(name), name
            if len(slot.name) > MAX_NAME_CHARS:
                raise ResponseTooLargeError(
                    f"The name of a tool call is longer than {MAX_NAME_CHARS} characters."
                )
        arguments = function.get("arguments")
        if isinstance(arguments, dict):
            arguments = _written(arguments)
        if isinstance(arguments, str):
            slot.arguments.append(arguments)
            self._chars += len(arguments)
            chars += len(arguments)
        if delta.get("extra_content"):
            self._chars += slot.keep(delta["extra_content"])
        if self._chars > MAX_ARGUMENT_CHARS:
            raise ResponseTooLargeError(
                f"The arguments of tool calls are longer than {MAX_ARGUMENT_CHARS} characters."
            )
        if shown is not None:
            text = slot.piece_to_show(arguments) if isinstance(arguments, str) else ""
            shown.append(ToolCallDelta(slot.position, slot.id_to_show(), mended(added), text))
        return chars

    def halves(self) -> list[ToolCallDelta]:
        """Return what ends the shown pieces of calls that end in half a surrogate pair."""
        return [ToolCallDelta(slot.position, "", "", mended(slot.half)) for slot in self._slots if slot.half]

    def complete(self, *, truncated: bool) -> list[ToolCall | InvalidToolCall]:
        """Take all calls out, in the order of their indexes.

        Raises `TruncatedResponseError` where a token limit cut one (`truncated`).
        """
        if not self._slots:
            return []
        slots = sorted(self._slots, key=lambda slot: slot.order)
        beside = self._written_beside()
        self.__init__(self.origin)  # type: ignore[misc]
        calls = [call for slot in slots for call in slot.calls(self.origin, truncated=truncated)]
        if beside and self.origin:
            _keep_beside(calls, beside, self.origin)
        return calls

    def _written_beside(self) -> dict[str, Any]:
        """Return what the answer has beside its calls, as it is sent back."""
        try:
            details = [] if self._details is None else self._details.joined()
        except ValueError as error:
            raise MalformedResponseError(
                f"What the service adds to its answer cannot be read: {error}."
            ) from error
        return {"reasoning_details": details} if details else {}

    def _slot(self, index: int | None, identity: str | None, name: object) -> _Slot:
        """Return the call of a delta: the latest with its id, or its index and no other id."""
        by_id = None if identity is None else self._by_id.get(identity)
        by_index = None if index is None else self._by_index.get(index)
        if by_index is not None and (
            by_index.id is not None if identity is not None else by_index.ends_before(name)
        ):
            by_index = None
        if by_id is not None and by_index is not None:
            return max(by_id, by_index, key=lambda slot: slot.position)
        slot = by_id or by_index
        if slot is not None:
            return slot
        if index is None and identity is None and self._slots and not (name and self._slots[-1].name):
            return self._slots[-1]
        if len(self._slots) == MAX_CALLS:
            raise ResponseTooLargeError(f"The answer has more than {MAX_CALLS} tool calls.")
        slot = _Slot(index, len(self._slots))
        self._slots.append(slot)
        if index is not None:
            self._by_index[index] = slot
        return slot


def _index(value: object) -> int | None:
    """Read the index of a tool call, which some services write as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 5:
        return int(value)
    return value if isinstance(value, int) else None


class _Slot:
    """A tool call in the making."""

    def __init__(self, index: int | None, position: int) -> None:
        self.position = position
        self.order = (position if index is None else index, position)
        self.id: str | None = None
        self._shown_id = ""
        self.half = ""
        """The first half of a surrogate pair at the end of the shown pieces, until the second one comes."""
        self.name = ""
        self.arguments: list[str] = []
        self._extra: Mapping[str, Any] | None = None

    @property
    def was_shown(self) -> bool:
        """Whether pieces of the call have gone out."""
        return bool(self._shown_id)

    def id_to_show(self) -> str:
        """Return the id for the first piece that is shown, "" for later ones."""
        if self._shown_id:
            return ""
        self._shown_id = mended(self.id or new_call_id())
        return self._shown_id

    def piece_to_show(self, arguments: str) -> str:
        """Return what can be shown once a piece of the arguments has come."""
        text, self.half = split_half(self.half + arguments)
        return text

    def ends_before(self, name: object) -> bool:
        """Return whether a name in the next delta begins another call: its own came before its arguments."""
        return bool(name and self.name) and name != self.name and any(self.arguments)

    def keep(self, content: Any) -> int:
        """Keep what the service adds to the call; return its length as JSON."""
        try:
            self._extra = {"extra_content": mended_json(content)}
            return len(dumps(self._extra))
        except ValueError as error:
            raise MalformedResponseError(
                f"What the service adds to a tool call cannot be read: {error}."
            ) from error

    def calls(self, origin: str, *, truncated: bool) -> list[ToolCall | InvalidToolCall]:
        """Return the call, which may be none; raise where a token limit cut it.

        Some services write several calls of a tool as one: their arguments are then the objects, all
        of them different.
        """
        name, text = mended(self.name), mended("".join(self.arguments))
        try:
            arguments = _read(text)
            if isinstance(arguments, str):
                arguments = _read(arguments)  # encoded twice
        except ValueError as error:
            several = [] if self.was_shown else _several(text)
            if name and several:
                first, *others = several
                return [
                    ToolCall(mended(self.id or new_call_id()), name, first, self._kept(origin)),
                    *[ToolCall(new_call_id(), name, other) for other in others],
                ]
            if truncated:
                cut = TruncatedResponseError(
                    f"The token limit cut the arguments of tool call {name!r}.",
                    advice=f"Raise {argument('max_tokens')}, or leave it out.",
                )
                cut.is_retryable = False  # the same limit would cut the next answer too
                raise cut from error
            arguments = None
        identity = self._shown_id or mended(self.id or new_call_id())
        if name and isinstance(arguments, dict):
            return [ToolCall(identity, name, arguments, self._kept(origin))]
        what = f"The service's tool call {name!r} has no name or arguments that are no JSON object."
        return [InvalidToolCall(identity, name, text, what)]

    def _kept(self, origin: str) -> CallExtra | None:
        return CallExtra(origin, self._extra) if self._extra and origin else None


def _keep_beside(calls: list[ToolCall | InvalidToolCall], beside: Mapping[str, Any], origin: str) -> None:
    """Keep what the answer had beside its calls with the first valid call."""
    for n, call in enumerate(calls):
        if isinstance(call, ToolCall):
            extra = CallExtra(origin, {} if call.extra is None else call.extra.fields, beside)
            calls[n] = replace(call, extra=extra)
            return


def _several(text: str) -> list[dict[str, Any]]:
    """Read different objects that stand one behind the other; none where it is anything else."""
    try:
        objects = mended_json(loads_several(text, MAX_CALLS_IN_ONE))
    except ValueError:
        return []
    found = [one for n, one in enumerate(objects) if isinstance(one, dict) and one not in objects[:n]]
    return found if len(found) == len(objects) > 1 else []


def _written(arguments: dict[str, Any]) -> str:
    """Write arguments that came as an object instead of its text."""
    try:
        return dumps(mended_json(arguments)).decode()
    except ValueError as error:
        raise MalformedResponseError(f"The arguments of a tool call cannot be read: {error}.") from error


def _read(text: str) -> Any:
    """Read the arguments of a call; none at all are an empty object."""
    if not text.strip():
        return {}
    try:
        return loads(text)
    except ValueError:
        return mended_json(loads_leniently(text.encode(), constants=False))
