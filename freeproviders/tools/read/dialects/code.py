"""Calls as lines of a program: `get_weather(city="Paris")`, `print(default_api.get_weather(...))`.

Code is mostly code, and a call in it a line of a program. It is a call where it is the whole answer,
or the whole of a block that says `tool_code`.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from freeproviders.tools.read.cursor import Cursor, RawCall, Waiting, more, peek, skip
from freeproviders.tools.read.dialects.loosepython import loose_arguments
from freeproviders.tools.read.dialects.pythonic import MAX_ARGUMENT_CHARS, arguments_of
from freeproviders.tools.read.lenient import parse_python, read_json
from freeproviders.tools.read.shapes import calls_in, read_call
from freeproviders.tools.toolbox import Toolbox, beginnings

LANGUAGES: Final = frozenset(
    {"python", "py", "python3", "javascript", "js", "typescript", "ts", "jsx", "tsx", "bash", "sh", "shell"}
)
"""Languages of blocks that are code, unless they are nothing but calls."""

LABELS: Final = (
    "tool:", "tool call:", "tool_call:", "toolcall:", "tool calls:", "tool_calls:", "function:",
    "function call:", "function_call:", "call:", "to=", "assistant to=",
    "commentary to=",
)  # fmt: skip
"""What begins a call in words, in lower case."""

_MAX_BEFORE: Final = 4
_MAX_WORD_CHARS: Final = 64

_WORD = re.compile(rf"[\w.]{{0,{_MAX_WORD_CHARS}}}")
_BLANKS = re.compile(r"[ \t]*")
_DIGITS = re.compile(r"\d*")
_COMMENT_LINE = re.compile(r"^[ \t]*//.*$", re.MULTILINE)
_WITH_OBJECT = re.compile(
    r"(?:await\s+)?(?P<name>[\w.:/\-]+)\s*:?\s*\(?\s*(?P<given>\{.*\})\s*\)?\s*;?", re.DOTALL
)
_CALL = re.compile(r"(?P<name>[\w.]+)(?P<given>\(.*\))", re.DOTALL)
_PASSING: Final = frozenset({"print", "await", "return"})
_LABEL_BEGINNINGS: Final = beginnings(LABELS)
_PASSING_BEGINNINGS: Final = beginnings(_PASSING)


def begins_line(c: Cursor, box: Toolbox) -> Waiting:
    """Read the words with which an answer begins; return "call", "label", or "" as soon as neither.

    "name" says that a bound tool's name was read, and that a square bracket follows.
    """
    word = ""
    while True:
        match = _WORD.match(c.text, c.pos)
        found = match.group() if match else ""
        for size in range(1, len(found) + 1):
            if not may_begin(word + found[:size], box):
                c.pos += size
                return ""
        word += found
        c.pos += len(found)
        if c.pos < len(c.text) or not (yield from more(c)):
            break
    text = word.lower()
    while text in _LABEL_BEGINNINGS:
        if text in LABELS:
            return "label"
        text += (yield from peek(c)).lower()
        if c.pos >= len(c.text) or text not in _LABEL_BEGINNINGS:
            break
        c.pos += 1
    if word in _PASSING:
        following = yield from skip(c, _BLANKS)
        c.pos += following == "("
        return "call" if (yield from begins_call(c, box)) else ""
    if word not in box.names and ("." not in word or box.match(word) is None):
        return ""
    following = yield from peek(c)
    if following == "[":
        return "name"
    if following == ":":  # and Kimi's number of the call
        c.pos += 1
        yield from skip(c, _DIGITS)
    return "call" if following == "(" or (yield from _object_follows(c)) else ""


def may_begin(text: str, box: Toolbox) -> bool:
    """Return whether a line of calls, or what labels one, may begin with a text."""
    return (
        text in _PASSING_BEGINNINGS
        or text.lower() in _LABEL_BEGINNINGS
        or (box.could_begin(text) and not text[0].isdigit())
    )


def _object_follows(c: Cursor) -> Waiting:
    """Read over a colon and white space; return whether an object comes next."""
    following = yield from skip(c)
    if following == ":":
        c.pos += 1
        following = yield from skip(c)
    return following == "{"


def begins_call(c: Cursor, box: Toolbox) -> Waiting:
    """Read what stands before the arguments of a call to a bound tool; False as soon as it is none."""
    for _ in range(_MAX_BEFORE):
        word = yield from _word(c)
        if not word:
            return False
        following = yield from skip(c, _BLANKS)
        if box.match(word) is not None:
            return following == "(" or (yield from _object_follows(c))
        if following == "=" and word.isidentifier():
            c.pos += 1
        elif word in _PASSING:
            c.pos += following == "("
        else:
            return False
        yield from skip(c, _BLANKS)
    return False


def _word(c: Cursor) -> Waiting:
    """Read a name; "" for none and for a long one."""
    start = c.tell()
    while c.tell() - start <= _MAX_WORD_CHARS:
        yield from skip(c, _WORD)
        if c.pos < len(c.text) or not (yield from more(c)):
            return c.since(start)
    return ""


def code_calls(text: str, box: Toolbox) -> list[RawCall]:
    """Read the calls to bound tools that a program consists of; none where it holds anything else."""
    text = _COMMENT_LINE.sub("", text).strip().rstrip(";")
    if not text or len(text) > MAX_ARGUMENT_CHARS:
        return []
    if text[0] in "{[":
        try:
            found = calls_in(read_call(text), box, text)
        except ValueError:
            found = []
        if found:
            return found if all(box.match(call.name) for call in found) else []
    match = _WITH_OBJECT.fullmatch(text)
    if match is not None and box.match(match["name"]) is not None:
        try:
            return [RawCall(match["name"], read_json(match["given"], guess=False), text)]
        except ValueError:
            pass
    try:
        tree = parse_python(text)
        return [call for node in tree.body for call in _of_statement(node, box, text)]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    match = _CALL.fullmatch(text)
    if match is None or box.match(match["name"]) is None:
        return []
    try:
        return [RawCall(match["name"], loose_arguments(match["given"]), text)]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return []


def _of_statement(node: ast.stmt, box: Toolbox, source: str) -> list[RawCall]:
    if not isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return) or node.value is None:
        raise TypeError("no call")
    return _of_expression(node.value, box, source)


def _of_expression(node: ast.expr, box: Toolbox, source: str) -> list[RawCall]:
    match node:
        case ast.Await(value=value):
            return _of_expression(value, box, source)
        case ast.List(elts=items) | ast.Tuple(elts=items) if items:
            return [call for item in items for call in _of_expression(item, box, source)]
        case ast.Call(func=ast.Name(id="print"), args=[inner], keywords=[]) if box.match("print") is None:
            return _of_expression(inner, box, source)
        case ast.Call(func=func):
            name = ast.unparse(func)
            if box.match(name) is None:
                name = name.rpartition(".")[2]
            if box.match(name) is not None:
                return [RawCall(name, arguments_of(node, box, name), source)]
    raise TypeError("no call")
