"""Parameters as texts between tags, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from freeproviders.tools.schema.coerce import is_type, resolved
from freeproviders.tools.toolbox import Toolbox, parameters, properties
from freeproviders.wire.json import loads

_MAX_BRANCHES: Final = 64
_EMPTY: Final = {"array": list, "object": dict}
"""What no text at all stands for."""
_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
"""The types of a JSON schema. Some tools say `float` or `dict`, which only JSON can be read for."""


class Values:
    """The values of one call's parameters, by the schema of the tool that it names."""

    def __init__(self, box: Toolbox, name: str) -> None:
        tool = box.match(name)
        self._judged = tool is not None
        self._root: Mapping[str, Any] = {} if tool is None else parameters(tool)
        self._known: Mapping[str, Any] = {} if tool is None else properties(tool)
        self.values: dict[str, Any] = {}
        self.fault = ""
        """Why they are no arguments: a parameter has two values, and none may be lost in silence."""

    def add(self, key: str, text: str, *, plain: bool | None = None) -> None:
        """Take a parameter; `plain` says that its text is text, or False that it is JSON."""
        value = self.read(key, text if plain else unpadded(text), plain=plain)
        if self._judged and self.values.get(key, value) != value:
            value = self._several(key, value)
        self.values[key] = value

    def _several(self, key: str, value: Any) -> Any:
        """Return what a parameter is that was written once more, with another value."""
        given = self.values[key]
        if "array" in self.types(key) and not str(value).startswith("["):
            return [*(given if isinstance(given, list) else [given]), value]
        self.fault = f"{key[:100]} has two values: make one call for each"
        return value

    def read(self, key: str, text: str, *, plain: bool | None = None) -> Any:
        """Return what a text stands for.

        Where the schema says nothing else it is the text itself: what bends values towards a
        schema makes numbers of it. A union that has texts among others is different, since every
        text would do.
        """
        types = self.types(key)
        if not text.strip() and types & _EMPTY.keys() and "string" not in types:
            return next(empty for kind, empty in _EMPTY.items() if kind in types)()
        bent = "string" not in types and types <= _TYPES  # by whoever judges the call
        if plain or types == {"string"} or (plain is None and bent):
            return text
        try:
            value = loads(text)
        except ValueError:
            return text
        if types and types <= _TYPES and not any(is_type(value, name) for name in types):
            return text
        return value

    def types(self, key: str) -> frozenset[str]:
        """Return the types that a parameter may have, none if that is not said."""
        found: set[str] = set()
        todo = [self._known.get(key)]
        for _ in range(_MAX_BRANCHES):
            if not todo:
                break
            schema = todo.pop()
            if not isinstance(schema, Mapping):
                continue
            schema = resolved(schema, self._root)
            types = schema.get("type")
            found.update([types] if isinstance(types, str) else types if isinstance(types, list) else ())
            for branches in ("anyOf", "oneOf", "allOf"):
                if isinstance(schema.get(branches), list):
                    todo += schema[branches]
        return frozenset(found)


def unpadded(text: str) -> str:
    """Return a value without the line breaks around one that stands on lines of its own."""
    return text[1:].removesuffix("\n") if text.startswith("\n") else text
