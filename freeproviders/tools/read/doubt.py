"""Answers that begin as a call does and are in no form that is known: reasons to ask again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from freeproviders.tools.read.shapes import ARGUMENT_KEYS, NAME_KEYS, describes, is_definition
from freeproviders.tools.toolbox import Toolbox, properties

UNREADABLE: Final = "it is in no form that can be read"
"""The reason where a bound tool must be named as well."""
ANNOUNCED: Final = "it is announced, and is in no form that can be read"
"""The same; a call that follows settles it."""
MARKED: Final = "it begins as a call does, and is none"
INVENTED: Final = "it is the result of a function, which only the function can give; call the function"
CERTAIN: Final = frozenset({MARKED, INVENTED})
"""The reasons that need no tool's name."""

_HINT: Final = r"tool|func|call|invoke|action|plugin|arg_|args|param|execute|api_|use_"
SPECIAL = re.compile(rf"[|\uff5c].*(?:{_HINT}|python)|.*(?:{_HINT}).*[|\uff5c]", re.IGNORECASE)
"""The inside of a special token that has to do with calls."""
TAG = re.compile(rf"[\w:.\-]*(?:{_HINT})", re.IGNORECASE)
"""The inside of a tag that may have to do with calls."""
SQUARE = re.compile(r"\[/?[A-Z_ ]*(?:TOOL|FUNC|CALL|ARGS|ACTION)[A-Z_ ]*\]")
"""A template's word in square brackets that has to do with calls."""
SQUARE_BEGINS = re.compile(r"\[/?[A-Z_ ]*")

_MARKS = re.compile(r"(?:\s*(?:<[^<>\s]*>|\[[A-Z_/ ]*\]))+\s*")


def is_bare(text: str) -> bool:
    """Return whether a text is nothing but marks, as `[TOOL_CALLS]`: it says nothing."""
    return _MARKS.fullmatch(text) is not None


def names_tool(text: str, box: Toolbox) -> bool:
    """Return whether a text holds the name of a bound tool, as a word."""
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in box.names)


def holds_call(value: Any, box: Toolbox) -> bool:
    """Return whether there is a call to a bound tool somewhere in a JSON value."""
    match value:
        case list():
            return any(holds_call(item, box) for item in value)
        case Mapping():
            return _is_call(value, box) or any(holds_call(item, box) for item in value.values())
    return False


def _is_call(value: Mapping[str, Any], box: Toolbox) -> bool:
    for key, item in value.items():
        tool = box.match(item) if key.lower() in NAME_KEYS and isinstance(item, str) else None
        if tool is None:
            tool = box.match(key) if isinstance(item, Mapping) and not is_definition(item) else None
            if tool is not None and item.keys() <= properties(tool).keys():
                return True
            continue
        if describes(value, tool):
            return False
        given = [inner for other, inner in value.items() if other.lower() in ARGUMENT_KEYS]
        if given:
            return not all(map(is_definition, given))
        if any(other != key and other in properties(tool) for other in value):
            return True
    return False
