"""The JSON shapes of calls: while one arrives (`CallProbe`), and when it is there (`calls_in`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.lenient import read_json
from freeproviders.tools.toolbox import Toolbox, is_identifier, properties
from freeproviders.types import Tool

NAME_KEYS: Final = ("name", "tool_name", "function_name", "tool", "function", "action", "recipient_name")
ARGUMENT_KEYS: Final = (
    "arguments",
    "parameters",
    "args",
    "params",
    "input",
    "tool_input",
    "action_input",
    "kwargs",
)
_INNER_KEYS: Final = ("function", "function_call", "tool_call", "tool")
_LIST_KEYS: Final = ("tool_calls", "function_calls", "calls")
_META_KEYS: Final = ("id", "call_id", "tool_call_id", "index", "type", "role", "content")
_TYPES: Final = frozenset({"function", "function_call", "tool_call", "tool_use", "tool"})

_KNOWN_KEYS: Final = frozenset({*NAME_KEYS, *ARGUMENT_KEYS, *_INNER_KEYS, *_LIST_KEYS, *_META_KEYS})
_KEY_BEGINNINGS: Final = frozenset(key[:size] for key in _KNOWN_KEYS for size in range(len(key) + 1))
KEY_LETTERS: Final = "".join(sorted({key[0] for key in _KNOWN_KEYS}))
"""What the keys of a call begin with."""
_MAX_NAME_CHARS: Final = 64
_EMPTY: Final = frozenset({"", "null", "None"})


class _Call:
    """The facts of one call while it arrives."""

    __slots__ = ("complete", "odd", "tool", "unbound")

    def __init__(self) -> None:
        self.tool: Tool | None = None
        self.unbound = False  # it names no bound tool
        self.odd = False  # nor could what it names be one
        self.complete = False  # it has arguments, or holds other calls


class CallProbe:
    """Rules out a JSON value as soon as it cannot be a call to a bound tool.

    With `at_start`, where nothing has been said before, also what looks like a call to *no* bound
    tool goes through (`{"name": "bye"}`): small models answer small talk so, and whoever judges
    asks them again.
    """

    def __init__(self, box: Toolbox, *, at_start: bool) -> None:
        self._box = box
        self._at_start = at_start
        self._levels: list[tuple[str, _Call]] = []
        self._key = ""
        self.watching = True
        self.named = False

    def open(self, bracket: str) -> bool:
        """A container begins: a call, a list of calls, what is inside a call, or its arguments."""
        role, call = self._role(bracket)
        if not role:
            return False
        self._levels.append((role, call))
        self.watching = role != "data"
        self._key = ""
        return True

    def close(self) -> bool:
        """Take the end of a container: a call needs a name, and arguments unless it is plain."""
        role, call = self._levels.pop()
        self.watching = bool(self._levels) and self._levels[-1][0] != "data"
        if role == "function":
            return True
        if role == "calls" and self._levels:
            self._levels[-1][1].complete = True
        if role != "call":
            return True
        if self._levels and self._levels[-1][0] == "call":
            self._levels[-1][1].complete = True
        if call.tool is None and not call.unbound:
            return call.complete
        return (
            call.complete
            or (self._at_start and not call.odd)
            or (call.tool is not None and not properties(call.tool))
        )

    def key(self, key: str) -> bool:
        """Take a key of a call; one that is not known must be a parameter of the named tool."""
        self._key = key.lower()
        if not self.watching:
            return True
        if self._key in _KNOWN_KEYS:
            return True
        call = self._levels[-1][1]
        if call.tool is not None and key in properties(call.tool):
            call.complete = True
            return True
        return False

    def key_begins(self, prefix: str) -> bool:
        """Return whether a key that begins so may pass."""
        if prefix.lower() in _KEY_BEGINNINGS:
            return True
        tool = self._levels[-1][1].tool
        return tool is not None and any(name.startswith(prefix) for name in properties(tool))

    def scalar(self, value: str, *, quoted: bool) -> bool:
        """A value of a call's key."""
        role, call = self._levels[-1]
        if role == "data":
            return True
        if role == "calls":
            return False
        key = self._key
        if key in ARGUMENT_KEYS:
            call.complete = True
            return True
        if key in NAME_KEYS and not (call.tool is not None and key in properties(call.tool)):
            return self._name(call, value)
        if key == "type":
            return value in _TYPES
        if key in {"content", *_LIST_KEYS, *_INNER_KEYS}:
            return value in _EMPTY and (quoted or bool(value))
        return True

    def scalar_begins(self, prefix: str) -> bool:
        """Return whether a name that begins so may pass."""
        role, call = self._levels[-1]
        if role == "calls":
            return False
        if (
            role == "data"
            or self._key not in NAME_KEYS
            or (call.tool is not None and self._key in properties(call.tool))
        ):
            return self._key not in {"content", *_LIST_KEYS} or not prefix
        return self._box.could_begin(prefix) or (self._at_start and len(prefix) <= _MAX_NAME_CHARS)

    def _name(self, call: _Call, value: str) -> bool:
        tool = self._box.match(value)
        if tool is not None:
            call.tool = tool
            self.named = True
            return True
        call.unbound = self._at_start and 0 < len(value) <= _MAX_NAME_CHARS
        call.odd = not is_identifier(value)
        return call.unbound

    def _role(self, bracket: str) -> tuple[str, _Call]:
        if not self._levels:
            return ("call" if bracket == "{" else "calls"), _Call()
        role, call = self._levels[-1]
        if role == "data":
            return role, call
        if role == "calls":
            return ("call" if bracket == "{" else ""), _Call()
        key = self._key
        if key in ARGUMENT_KEYS:
            call.complete = True
            return "data", call
        if key in _INNER_KEYS and bracket == "{":
            return "function", call
        if key in _LIST_KEYS:
            return ("calls" if bracket == "[" else "call"), _Call()
        if call.tool is not None and key in properties(call.tool):
            return "data", call
        return "", call


def calls_in(value: object, box: Toolbox, source: str = "") -> list[RawCall]:
    """The calls that a JSON value stands for, none if it is no call at all."""
    match value:
        case list():
            return [call for item in value for call in calls_in(item, box, source)]
        case Mapping():
            return _calls_of(value, box, source)
        case str() if value.lstrip()[:1] in {"{", "["}:
            try:
                return calls_in(read_json(value), box, source)
            except ValueError:
                return []
    return []


def _calls_of(value: Mapping[str, Any], box: Toolbox, source: str) -> list[RawCall]:
    lowered = {key.lower(): item for key, item in value.items()}
    for key in _LIST_KEYS:
        if isinstance(lowered.get(key), list | Mapping):
            return calls_in(lowered[key], box, source)
    for key in _INNER_KEYS:
        inner = lowered.get(key)
        if isinstance(inner, Mapping):
            return _calls_of(
                {**{k: v for k, v in value.items() if k.lower() in ARGUMENT_KEYS}, **inner}, box, source
            )
    name_key = next(
        (key for key in NAME_KEYS if isinstance(lowered.get(key), str) and lowered[key].strip()), None
    )
    if name_key is None:
        if len(value) == 1:  # {"get_weather": {"city": ...}}
            ((name, arguments),) = value.items()
            return [RawCall(name, arguments, source)] if box.match(name) is not None else []
        return []
    name = lowered[name_key]
    argument_key = next((key for key in ARGUMENT_KEYS if key in lowered), None)
    tool = box.match(name)
    is_parameter = tool is not None and argument_key in properties(tool)
    if argument_key is not None and (isinstance(lowered[argument_key], Mapping) or not is_parameter):
        return [RawCall(name, lowered[argument_key], source)]
    flat = {
        key: item for key, item in value.items() if key.lower() != name_key and key.lower() not in _META_KEYS
    }
    return [RawCall(name, flat, source)]
