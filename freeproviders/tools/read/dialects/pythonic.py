"""Calls as Python has them: `[get_weather(city="Paris"), get_time()]`.

Llama 3.2 and 4 write so, and others inside their markup.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from freeproviders.tools.read.cursor import (
    CALLS,
    CUT_OFF,
    TEXT,
    Cursor,
    RawCall,
    Recogniser,
    Waiting,
    find,
    more,
    skip,
)
from freeproviders.tools.read.dialects.loosepython import loose_arguments
from freeproviders.tools.read.dialects.render import calls_json
from freeproviders.tools.read.lenient import parse_python
from freeproviders.tools.read.markup import OWN
from freeproviders.tools.toolbox import Toolbox, is_identifier, properties
from freeproviders.types import ToolCall

MAX_ARGUMENT_CHARS: Final = 2**16
MAX_DEPTH: Final = 64
MAX_NAME_CHARS: Final = 256

NAME_START = re.compile(r"[A-Za-z_]")
_NAME = re.compile(r"[\w.:/\-]+")
_STRUCTURE = re.compile(r"[\"'()\[\]{}]")
_STRING_END: Final = {'"': re.compile(r'["\\]'), "'": re.compile(r"['\\]")}
_LITERALS: Final = {"true": True, "false": False, "null": None}


def call_list(c: Cursor, box: Toolbox) -> Recogniser:
    """Read on behind `[` and white space, where a name begins."""
    calls: list[RawCall] = yield from read_list(c, box)
    yield from calls
    return CALLS if calls else TEXT


def read_list(c: Cursor, box: Toolbox) -> Waiting:
    """Read the calls behind `[`; an empty list as soon as it is no list of calls to bound tools."""
    calls: list[RawCall] = []
    while True:
        call = yield from _call(c, box)
        if call is None:
            return []
        calls.append(call)
        following = yield from skip(c)
        if following == ",":
            c.pos += 1
            following = yield from skip(c)
            if following not in {"", "]"}:
                continue
        if following not in {"", "]"}:
            return []
        c.pos += len(following)  # a forgotten bracket is forgiven
        return calls


def bound_name(c: Cursor, box: Toolbox) -> Waiting:
    """Read the name of a bound tool; "" as soon as it can be none."""
    start = c.tell()
    while c.tell() - start <= MAX_NAME_CHARS:
        known = c.since(start)
        match = _NAME.match(c.text, c.pos)
        if match:
            text = (known + match.group())[: MAX_NAME_CHARS + 1]
            for size in range(len(known) + 1, len(text) + 1):
                if not box.could_begin(text[:size]) and not _is_method(text[:size], box):
                    c.pos += size - len(known)
                    return ""
            c.pos = match.end()
        if c.pos < len(c.text) or not (yield from more(c)):
            break
    if c.tell() - start > MAX_NAME_CHARS:
        return ""
    name = c.since(start)
    return name.removesuffix(".call") if box.match(name) is None else name


def _is_method(text: str, box: Toolbox) -> bool:
    """Read over `.call`, since Llama 3 writes `name.call(...)`."""
    name, dot, method = text.rpartition(".")
    return bool(dot) and "call".startswith(method) and box.match(name) is not None


def _call(c: Cursor, box: Toolbox) -> Waiting:
    start = c.tell()
    name = yield from bound_name(c, box)
    if not name or box.match(name) is None or (yield from skip(c)) != "(":
        return None
    call = yield from call_arguments(c, box, name, start)
    return None if call.fault else call


def call_arguments(c: Cursor, box: Toolbox, name: str, start: int) -> Waiting:
    """Read from an opening parenthesis to its closing one."""
    inner = c.tell()
    if not (yield from _balanced(c)):
        return RawCall(name, source=c.since(start), fault=CUT_OFF)
    text = c.since(inner)
    try:
        return RawCall(name, _evaluate(text, box, name), c.since(start))
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        fault = f"its arguments cannot be read: {error}"
    if len(text) <= MAX_ARGUMENT_CHARS:
        with suppress(SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            return RawCall(name, loose_arguments(text), c.since(start))
    return RawCall(name, source=c.since(start), fault=fault)


def _balanced(c: Cursor) -> Waiting:
    depth = 0
    while char := (yield from find(c, _STRUCTURE)):
        if char in "\"'":
            if not (yield from _string(c, char)):
                return False
        elif char in "([{":
            depth += 1
            if depth > MAX_DEPTH:
                return False
        else:
            depth -= 1
            if depth == 0:
                return True
    return False


def _string(c: Cursor, quote: str) -> Waiting:
    while char := (yield from find(c, _STRING_END[quote])):
        if char == quote:
            return True
        if not (yield from more(c)):
            return False
        c.pos += 1  # what is escaped
    return False


def _evaluate(text: str, box: Toolbox, name: str) -> Any:
    if len(text) > MAX_ARGUMENT_CHARS:
        raise ValueError(f"more than {MAX_ARGUMENT_CHARS} characters")
    statement = parse_python("f" + text).body[0]
    node = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(node, ast.Call):
        raise TypeError(text[:100])
    return arguments_of(node, box, name)


def arguments_of(node: ast.Call, box: Toolbox, name: str) -> Any:
    """Return the arguments of a call as JSON has them: mostly by name, positions filled in."""
    arguments: dict[str, Any] = {}
    tool = box.match(name)
    if tool is not None:
        for key, value in zip(properties(tool), node.args, strict=False):
            arguments[key] = _literal(value)
    if len(node.args) > len(arguments):
        if len(node.args) == 1 and not node.keywords:
            return _literal(node.args[0])
        raise ValueError("too many positional arguments")
    for keyword in node.keywords:
        value = _literal(keyword.value)
        if keyword.arg is None:
            arguments.update(value)
        else:
            arguments[keyword.arg] = value
    only = next(iter(arguments.values()), None)  # of `f({"city": "Paris"})`
    return only if len(node.args) == len(arguments) == 1 and isinstance(only, dict) else arguments


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Name(id=name) if name in _LITERALS:
            return _LITERALS[name]
        case ast.List() | ast.Tuple() | ast.Set():
            return [_literal(item) for item in node.elts]
        case ast.Dict():
            return {
                str(_evaluated(key)): _literal(value)
                for key, value in zip(node.keys, node.values, strict=True)
                if key is not None
            }
    value = _evaluated(node)
    if not isinstance(value, str | int | float | bool | None):
        raise TypeError(f"{value!r:.100} is not a JSON value")
    return value


def _evaluated(node: ast.expr) -> Any:
    """Return what an expression stands for; an error says which one stands for nothing."""
    try:
        return ast.literal_eval(node)
    except ValueError:  # Python's own words name an address in memory
        raise ValueError(f"{ast.unparse(node):.100} is not a value") from None


def render(calls: Sequence[ToolCall]) -> str:
    """Write calls in this dialect, or as JSON where a name could not stand in it."""
    if not all(NAME_START.match(call.name) and is_identifier(call.name) for call in calls):
        return calls_json(calls)
    return f"[{', '.join(map(_render, calls))}]"


def _render(call: ToolCall) -> str:
    plain = {
        key: value for key, value in call.arguments.items() if key.isidentifier() and not _is_keyword(key)
    }
    pieces = [f"{key}={_plain(value)}" for key, value in plain.items()]
    rest = {key: value for key, value in call.arguments.items() if key not in plain}
    if rest:
        pieces.append(f"**{_plain(rest)}")
    return f"{call.name}({', '.join(pieces)})"


def _plain(value: object) -> str:
    """A Python literal in which no string can hold a tag."""
    return OWN.sub(lambda match: f"\\x{ord(match.group()):02x}", repr(value))


def _is_keyword(name: str) -> bool:
    import keyword  # noqa: PLC0415 - for writing only

    return keyword.iskeyword(name)
