"""The bound tools, by name: exactly, and leniently where that is unambiguous."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any

from freeproviders.tools.schema.coerce import resolved
from freeproviders.types import Tool
from freeproviders.wire.json import dumps, loads

_PREFIXES = ("functions.", "function.", "tools.", "tool.", "default_api.", "functions:", "functions/")
_NAME = re.compile(r"[\w.:/\-]{1,128}")
_NUMBER = re.compile(r":\d+\Z")
_NO_LETTERS = re.compile(r"[\W_]+")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")


def beginnings(words: Iterable[str]) -> frozenset[str]:
    """All texts with which some words begin, themselves among them."""
    return frozenset(word[:size] for word in words for size in range(len(word) + 1))


_PREFIX_BEGINNINGS = beginnings(_PREFIXES)


class Toolbox:
    """Some tools, looked up by the names that models give them.

    A lenient match ignores case, `-`, `_`, dots, spaces, brackets and a `functions.` in front:
    `Get-Weather` is `get_weather`, and `Box_int_` is `Box[int]`. Two tools that differ in nothing
    else are only matched exactly.

    What is found out about a box is kept in caches by the box itself: `of` gives all requests with
    equal tools the same one.
    """

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = tuple(tools)
        self._exact = {tool.name: tool for tool in self.tools}

    @staticmethod
    def of(tools: Iterable[Tool]) -> Toolbox:
        """Return the box of some tools, the same for all that say the same.

        Its tools are copies: whatever becomes of the schemas that were passed, they stay.
        """
        return _of_facts(tuple([_facts(tool) for tool in tools]))

    def __bool__(self) -> bool:
        return bool(self.tools)

    def __len__(self) -> int:
        return len(self.tools)

    @property
    def names(self) -> tuple[str, ...]:
        """The tools' names, in order."""
        return tuple(self._exact)

    def match(self, name: str) -> Tool | None:
        """The tool that a name means, None if there is none or more than one."""
        return self._exact.get(name) or self._lenient.get(_bare(name))

    def may_be_named(self, text: str) -> bool:
        """Return whether a text may hold a tool's name, however it is written there."""
        if "\\" in text:
            text = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
        letters = _NO_LETTERS.sub("", text.casefold())
        return any(_bare(name) in letters if _bare(name) else name in text for name in self._exact)

    def could_begin(self, prefix: str) -> bool:
        """Return whether a name that begins so may yet match."""
        return _bare(prefix) in self._beginnings or prefix.lower() in _PREFIX_BEGINNINGS

    def only(self, names: Iterable[str]) -> Toolbox:
        """The tools of these names, in a box that is the same each time."""
        wanted = set(names)
        among = tuple([name for name in self._exact if name in wanted])
        return self if len(among) == len(self.tools) else _among(self, among)

    @cached_property
    def _lenient(self) -> dict[str, Tool | None]:
        found: dict[str, Tool | None] = {}
        for name, tool in self._exact.items():
            key = _bare(name)
            if key:
                found[key] = None if key in found else tool
        return found

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return beginnings(map(_bare, self._exact))


_Facts = tuple[str, str, bytes, bool | None, type | None]


def _facts(tool: Tool) -> _Facts:
    return tool.name, tool.description, dumps(tool.parameters), tool.strict, tool.source


@lru_cache(maxsize=128)
def _of_facts(facts: tuple[_Facts, ...]) -> Toolbox:
    return Toolbox(
        [Tool(name, told, loads(schema), strict, source) for name, told, schema, strict, source in facts]
    )


@lru_cache(maxsize=256)
def _among(box: Toolbox, names: tuple[str, ...]) -> Toolbox:
    return Toolbox(tool for tool in box.tools if tool.name in names)


def parameters(tool: Tool) -> Mapping[str, Any]:
    """The schema of a tool's arguments; one that is only a reference is written out."""
    schema = tool.parameters
    if "$ref" not in schema:
        return schema
    return {**resolved(schema, schema), **{key: part for key, part in schema.items() if key != "$ref"}}


def properties(tool: Tool) -> Mapping[str, Any]:
    """A tool's parameters by name."""
    found = parameters(tool).get("properties")
    return found if isinstance(found, Mapping) else {}


def is_identifier(name: str) -> bool:
    """Return whether a text could be the name of a tool at all."""
    return _NAME.fullmatch(name) is not None


def _bare(name: str) -> str:
    name = name.strip().casefold()
    if name.isalnum():
        return name
    if ":" in name:
        name = _NUMBER.sub("", name)  # Kimi's, of the call
    if name.startswith(_PREFIXES):
        name = next(name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix))
    if "." in name:
        first, _, rest = name.partition(".")
        name = rest if first == rest else name  # Muse's, of a tool without a namespace
    return "".join(filter(str.isalnum, name))
