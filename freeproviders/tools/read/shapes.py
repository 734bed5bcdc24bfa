"""The JSON shapes of calls: while one arrives (`CallProbe`), and when it is there (`calls_in`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.lenient import read_json, read_whole
from freeproviders.tools.toolbox import Toolbox, is_identifier, properties
from freeproviders.types import Tool
from freeproviders.wire.json import loads

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
LIST_KEYS: Final = ("tool_calls", "function_calls", "calls")
_META_KEYS: Final = ("id", "call_id", "tool_call_id", "index", "type", "role", "content")
_TYPES: Final = frozenset({"function", "function_call", "tool_call", "tool_use", "tool"})

_KNOWN_KEYS: Final = frozenset({*NAME_KEYS, *ARGUMENT_KEYS, *_INNER_KEYS, *LIST_KEYS, *_META_KEYS})
_KEY_BEGINNINGS: Final = frozenset(key[:size] for key in _KNOWN_KEYS for size in range(len(key) + 1))
KEY_LETTERS: Final = "".join(sorted({key[0] for key in _KNOWN_KEYS}))
"""What the keys of a call begin with."""
_MAX_NAME_CHARS: Final = 64
_MAX_STRANGE: Final = 8
"""How many unknown keys may stand in an object before it names a tool."""
_DOUBLED = re.compile(
    rf"(?P<before>.*?[\"'](?P<key>{'|'.join(ARGUMENT_KEYS)})[\"']\s*:\s*)(?P<given>\{{.*\}})(?P<rest>\s*\}}\s*)",
    re.DOTALL | re.IGNORECASE,
)
_EMPTY: Final = frozenset({"", "null", "None"})


class _Call:
    """The facts of one call while it arrives."""

    __slots__ = ("complete", "odd", "strange", "tool", "unbound")

    def __init__(self) -> None:
        self.tool: Tool | None = None
        self.unbound = False  # it names no bound tool
        self.odd = False  # nor could what it names be one
        self.complete = False  # it has arguments, or holds other calls
        self.strange = 0  # keys that no call has


class CallProbe:
    """Rules out a JSON value as soon as it cannot be a call to a bound tool.

    With `at_start`, where nothing has been said before, also what looks like a call to *no* bound
    tool goes through (`{"name": "bye"}`): small models answer small talk so, and whoever judges
    asks them again. A call there may also have keys that no call has (`{"thought": ..., "name":
    ...}`). `unfit` says that the value, which has ended, is no call all the same.
    """

    def __init__(self, box: Toolbox, *, at_start: bool) -> None:
        self._box = box
        self._at_start = at_start
        self._levels: list[tuple[str, _Call]] = []
        self._key = ""
        self.watching = True
        self.named = False
        self.unfit = False

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
        fits = self._close()
        self.unfit = self.unfit or not fits
        listed = len(self._levels) == 1 and self._levels[0][0] == "calls"
        return fits or (self._at_start and not listed)

    def _close(self) -> bool:
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
        if call.strange and (call.unbound or not call.complete):
            return False
        return (
            call.complete
            or (self._at_start and not call.odd)
            or (call.tool is not None and not properties(call.tool))
        )

    def doubled(self, bracket: str) -> bool:
        """Return whether a container may stand where a key is due: more arguments of the same call."""
        return self._at_start and bracket == "{" and self._levels[-1][1].tool is not None

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
        if not self._at_start or call.unbound or self._levels[-1][0] != "call":
            return False
        tool = None if call.tool is not None else self._box.match(key)
        if tool is not None:  # {"get_weather": {"city": ...}}
            call.tool, call.complete, self.named = tool, True, True
        call.strange += tool is None
        return self.named or call.strange <= _MAX_STRANGE

    def key_begins(self, prefix: str) -> bool:
        """Return whether a key that begins so may pass."""
        if prefix.lower() in _KEY_BEGINNINGS:
            return True
        role, call = self._levels[-1]
        if self._at_start and role == "call" and not call.unbound:
            return True
        tool = call.tool
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
        if key == "content" and self._at_start:
            return True
        if key in {"content", *LIST_KEYS, *_INNER_KEYS}:
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
            return self._key not in {"content", *LIST_KEYS} or not prefix or self._at_start
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
        if key in LIST_KEYS:
            return ("calls" if bracket == "[" else "call"), _Call()
        if call.tool is not None and key in properties(call.tool):
            return "data", call
        return ("data" if self._at_start else ""), call


def read_call(text: str) -> Any:
    """Decode the JSON of a call, leniently.

    Several objects of arguments behind one name stand for several calls.
    """
    match = _DOUBLED.fullmatch(text.strip())
    if match is not None:
        try:
            value = loads(f"{match['before']}[{match['given']}]{match['rest']}")
        except ValueError:
            pass
        else:
            given = value.get(match["key"])
            if isinstance(given, list) and len(given) > 1:
                return [{**value, match["key"]: one} for one in given]
    return read_json(text)


def is_definition(value: object) -> bool:
    """Return whether arguments are a schema: a tool is described, and not called."""
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        return False
    known = value.get("properties")
    return isinstance(known, Mapping) and all(isinstance(item, Mapping) for item in known.values())


def describes(value: Mapping[str, Any], tool: Tool | None) -> bool:
    """Return whether an object has a tool's own description, as the prompt has: it is no call."""
    described = value.get("description")
    if tool is None or not tool.description or not isinstance(described, str):
        return False
    return described.split() == tool.description.split()


def calls_in(value: object, box: Toolbox, source: str = "") -> list[RawCall]:
    """The calls that a JSON value stands for, none if it is no call at all."""
    match value:
        case list():
            return [call for item in value for call in calls_in(item, box, source)]
        case Mapping():
            return _calls_of(value, box, source)
        case str() if value.lstrip()[:1] in {"{", "["}:
            try:
                return calls_in(read_whole(value), box, source)
            except ValueError:
                return []
    return []


def _calls_of(value: Mapping[str, Any], box: Toolbox, source: str) -> list[RawCall]:
    lowered = {key.lower(): item for key, item in value.items()}
    for key in LIST_KEYS:
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
    if name_key is None:  # {"get_weather": {"city": ...}}
        return [
            RawCall(name, arguments, source)
            for name, arguments in value.items()
            if box.match(name) is not None and (len(value) == 1 or isinstance(arguments, Mapping))
        ]
    name = lowered[name_key]
    argument_key = next((key for key in ARGUMENT_KEYS if key in lowered), None)
    tool = box.match(name)
    if describes(lowered, tool) or (argument_key is not None and is_definition(lowered[argument_key])):
        return []
    is_parameter = tool is not None and argument_key in properties(tool)
    if argument_key is not None and (isinstance(lowered[argument_key], Mapping) or not is_parameter):
        return [RawCall(name, lowered[argument_key], source)]
    flat = {
        key: item for key, item in value.items() if key.lower() != name_key and key.lower() not in _META_KEYS
    }
    return [RawCall(name, flat, source)]
