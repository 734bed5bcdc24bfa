"""Native tool calls, put together from the deltas of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freeproviders.errors import ToolCallError, TruncatedResponseError
from freeproviders.types import ToolCall, new_call_id
from freeproviders.wire.json import dumps, loads


class CallAssembler:
    """Puts tool calls together from their deltas.

    Deltas name their call by index; services leave the index out, give several calls the same one, or send
    calls out of order. A delta with an id that is not its slot's begins another call.
    """

    def __init__(self) -> None:
        self._slots: list[_Slot] = []

    @property
    def open(self) -> bool:
        """Whether a call has begun."""
        return bool(self._slots)

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take one delta of one call."""
        index, identity = _index(delta.get("index")), delta.get("id")
        identity = str(identity) if isinstance(identity, str | int) and identity != "" else None
        function = delta.get("function")
        if not isinstance(function, dict):
            function = {}
        slot = self._slot(index, identity, named=bool(function.get("name")))
        slot.id = slot.id or identity
        name = function.get("name")
        if isinstance(name, str) and slot.name != name:
            slot.name += name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            slot.arguments.append(arguments)
        elif isinstance(arguments, dict):
            slot.arguments.append(dumps(arguments).decode())

    def complete(self, *, truncated: bool) -> list[ToolCall]:
        """Take all calls out, in the order of their indexes.

        Raises `ToolCallError` where a call is no call, `TruncatedResponseError` where a token limit cut it
        (`truncated`).
        """
        slots = sorted(self._slots, key=lambda slot: slot.order)
        self._slots = []
        return [slot.call(truncated=truncated) for slot in slots]

    def _slot(self, index: int | None, identity: str | None, *, named: bool) -> _Slot:
        for slot in reversed(self._slots):
            if identity is not None and slot.id == identity:
                return slot
            if index is not None and slot.index == index and (identity is None or slot.id is None):
                return slot
        if index is None and identity is None and self._slots and not (named and self._slots[-1].name):
            return self._slots[-1]
        slot = _Slot(index, len(self._slots))
        self._slots.append(slot)
        return slot


def _index(value: object) -> int | None:
    """Read the index of a tool call, which some services write as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 5:
        return int(value)
    return value if isinstance(value, int) else None


class _Slot:
    """A tool call in the making."""

    def __init__(self, index: int | None, position: int) -> None:
        self.index = index
        self.order = (position if index is None else index, position)
        self.id: str | None = None
        self.name = ""
        self.arguments: list[str] = []

    def call(self, *, truncated: bool) -> ToolCall:
        """The whole call; raises where it is not whole."""
        text = "".join(self.arguments)
        try:
            arguments = loads(text) if text.strip() else {}
            if isinstance(arguments, str):
                arguments = loads(arguments) if arguments.strip() else {}  # encoded twice
        except ValueError as error:
            if truncated:
                raise TruncatedResponseError(
                    f"The token limit cut the arguments of tool call {self.name!r}."
                ) from error
            arguments = None
        if not self.name or not isinstance(arguments, dict):
            raise ToolCallError(
                f"The service's tool call {self.name!r} has no name or arguments that are no JSON object.",
                said=text,
            )
        return ToolCall(self.id or new_call_id(), self.name, arguments)
