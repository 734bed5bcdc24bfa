"""Calls of MiniMax M3: a tag for each parameter and each level, with a mark before every tag.

`]<]minimax[>[<invoke name="f">]<]minimax[>[<city>Paris]<]minimax[>[</city>]<]minimax[>[</invoke>`.
"""

from __future__ import annotations

import re
from typing import Any, Final

from freeproviders.tools.read.cursor import (
    CALLS,
    CUT_OFF,
    TEXT,
    Cursor,
    RawCall,
    Recogniser,
    literal,
    skip,
    until,
    word,
)
from freeproviders.tools.read.dialects.values import Values
from freeproviders.tools.toolbox import Toolbox, is_identifier

MARK: Final = "]<]minimax[>["
OPENERS: Final = (f"{MARK}<tool_call>", f"{MARK}<invoke name=")
_CLOSER: Final = f"{MARK}</tool_call>"
_INVOKE_CLOSER: Final = f"{MARK}</invoke>"
_MAX_NAME_CHARS: Final = 256
_MAX_DEPTH: Final = 32
_TEXT: Final = "$text"
"""The key of the text that stands beside the tags of an object, as the model's template has it."""

_NAME = re.compile(r"[^<>\n]*")
_TAG = re.compile(r"<(/?)([^<>\n]{1,256})>")


def minimax(c: Cursor, box: Toolbox, opener: str) -> Recogniser:
    """Read on behind what opens a block of calls, or a call."""
    found, mark = False, opener
    while True:
        if mark == _CLOSER:
            return CALLS if found else TEXT
        if mark == OPENERS[1]:
            start = c.tell()
            name = (yield from word(c, _NAME, _MAX_NAME_CHARS)).strip(" \"'")
            if not is_identifier(name) or not (yield from literal(c, (">",))):
                return TEXT
            inner = c.tell()
            closed = yield from until(c, (_INVOKE_CLOSER,))
            values = Values(box, name)
            fault = CUT_OFF if not closed else _fill(values, c.since(inner)[: -len(_INVOKE_CLOSER)])
            yield RawCall(name, values.values, c.since(start), fault)
            found = True
            if opener == OPENERS[1]:
                return CALLS
        yield from skip(c)
        mark = yield from literal(c, (OPENERS[1], _CLOSER))
        if not mark:
            return CALLS if found else TEXT


def _fill(values: Values, body: str) -> str:
    """Read the parameters in a call's body; return the fault, if there is one."""
    root: list[_Node] = [_Node("", "")]
    at = 0
    for piece in body.split(MARK):
        begin, at = at, at + len(piece) + len(MARK)
        tag = _TAG.match(piece)
        if tag is None:
            root[-1].text += piece
            continue
        if not tag.group(1):
            node = _Node(tag.group(2), piece[tag.end() :])
            node.start = begin + tag.end()
            root[-1].inner.append(node)
            root.append(node)
            if len(root) > _MAX_DEPTH:
                return "it is nested too deeply"
            continue
        if len(root) == 1 or root[-1].name != tag.group(2):
            return f"</{tag.group(2)[:100]}> closes nothing"
        root.pop().end = begin - len(MARK)
        root[-1].text += piece[tag.end() :]
    if len(root) > 1:
        return f"<{root[-1].name[:100]}> is not closed"
    for node in _grouped(root[0].inner):
        types = values.types(node.name)
        if types and types.isdisjoint({"object", "array"}) and node.inner:
            values.add(node.name, body[node.start : node.end], plain=True)
        elif node.inner:
            values.values[node.name] = node.value()
        else:
            values.add(node.name, node.text, plain=True if types == {"string"} else None)
    return ""


class _Node:
    """One tag: its text, or the tags inside, and the place of its content in the body."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.inner: list[_Node] = []
        self.start = self.end = 0

    def value(self) -> Any:
        """Return what the tag stands for: a text, a list of items or an object."""
        if not self.inner:
            return self.text
        if all(node.name == "item" for node in self.inner):
            return [node.value() for node in self.inner]
        found = {node.name: node.value() for node in _grouped(self.inner)}
        if self.text.strip():
            key = _TEXT
            while key in found:
                key = f"${key}"
            found[key] = self.text
        return found


def _grouped(nodes: list[_Node]) -> list[_Node]:
    """Make one list of the nodes that have the same name."""
    named: dict[str, list[_Node]] = {}
    for node in nodes:
        named.setdefault(node.name, []).append(node)
    return [same[0] if len(same) == 1 else _Items(name, same) for name, same in named.items()]


class _Items(_Node):
    """Several tags of one name, which are a list."""

    def __init__(self, name: str, inner: list[_Node]) -> None:
        super().__init__(name, "")
        self.inner = inner

    def value(self) -> Any:
        """Return the values of all."""
        return [node.value() for node in self.inner]
