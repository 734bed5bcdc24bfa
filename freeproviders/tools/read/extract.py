"""Finding the object in an answer - in prose, in code, wrapped - and showing it while it grows."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping
from itertools import takewhile
from typing import Any, Final

from freeproviders.tools.read.cursor import Cursor
from freeproviders.tools.read.jsonscan import End, scan_json
from freeproviders.tools.read.lenient import read_json
from freeproviders.tools.read.shapes import ARGUMENT_KEYS, NAME_KEYS
from freeproviders.tools.schema.coerce import Coercer, is_type, resolved
from freeproviders.tools.schema.target import Misfit, Target
from freeproviders.wire.json import dumps, from_json, loads

MAX_CANDIDATES: Final = 1000
MAX_UNCLOSED: Final = 32
"""How often text is read again behind a bracket that nothing closes: this keeps time linear."""

_UNFIT: Final = object()

_BRACKET = re.compile(r"[{\[]")
_FENCE = re.compile(r"```[\w+.\-]*[ \t]*\n")
_NUMBER_END = re.compile(r"[-+0-9.eE]{1,40}\Z")


def extract(text: str, target: Target, *, truncated: bool = False, confirmed: bool = True) -> tuple[Any, Any]:
    """The first JSON value in a text that fits the target: (object, JSON value).

    `truncated`: the answer hit a limit; not `confirmed`: the connection ended, and the service
    never said that the answer was complete. Either way, a value whose brackets are open may lack
    more than these.

    Raises `Misfit` that says what is wrong with the largest one, or that there is none.
    """
    found: tuple[int, Misfit] | None = None
    plain = target.root.get("type") not in {"object", "array"} and not truncated
    lists: list[tuple[int, Any]] = []
    key = _key_of_a_list(target)
    for size, value in _values(text, cut=truncated or not confirmed, plain=plain):
        if key and isinstance(value, list):
            lists.append((size, {key: value}))
        for variant in _variants(value, target):
            try:
                return target.load(variant), target.check.coerced(variant)
            except Misfit as misfit:
                if found is None or size > found[0]:
                    found = size, misfit
    # A bare list is the object's only one, unless there is an object: the prose may hold lists.
    for size, wrapped in sorted(lists, key=lambda item: -item[0]):
        try:
            return target.load(wrapped), target.check.coerced(wrapped)
        except Misfit as misfit:
            if found is None or size >= found[0]:
                found = size, misfit
    if found is not None:
        raise found[1]
    if truncated:
        raise Misfit("it was cut off by the limit of tokens (max_tokens) before its end")
    if not confirmed:
        raise Misfit("it was cut off before its end")
    raise Misfit("there is no JSON in it")


def _key_of_a_list(target: Target) -> str:
    """The key of an object that has one field for a list; "" where there is none, or more."""
    root = target.root
    if root.get("type") != "object":
        return ""
    keys = [key for key, part in (root.get("properties") or {}).items() if _holds_list(part, target)]
    return keys[0] if len(keys) == 1 else ""


def _holds_list(schema: object, target: Target) -> bool:
    if not isinstance(schema, Mapping):
        return False
    schema = resolved(schema, target.schema)
    branches = schema.get("anyOf") or schema.get("oneOf") or ()
    types = schema.get("type")
    return "array" in ([types] if isinstance(types, str) else types or ()) or any(
        _holds_list(branch, target) for branch in branches
    )


def _values(text: str, *, cut: bool, plain: bool) -> Iterator[tuple[int, Any]]:
    """Find the JSON values in a text, with their sizes; with `plain`, the text is the last."""
    stripped = text.strip()
    try:
        whole = loads(stripped)
    except ValueError:
        pass
    else:
        yield len(stripped), whole
        return
    for candidate, end in _spans(text):
        if end is End.CUT or (end is End.OPEN and cut):
            continue
        try:
            yield len(candidate), read_json(candidate)
        except ValueError:
            continue
    if stripped and plain:
        fenced = _FENCE.match(stripped)
        yield 0, stripped[fenced.end() : -3].strip() if fenced and stripped.endswith("```") else stripped


def _spans(text: str) -> Iterator[tuple[str, End]]:
    c = Cursor()
    c.feed(text)
    c.ended = True
    unclosed = 0
    for _ in range(MAX_CANDIDATES):
        match = _BRACKET.search(text, c.pos)
        if match is None:
            return
        c.pos = match.start()
        c.commit()
        end = _finish(scan_json(c))
        yield c.held(), end
        if end is not End.CLOSED:
            c.pos = match.end()  # a bracket in the prose, perhaps: look behind it
            unclosed += 1
            if unclosed >= MAX_UNCLOSED:
                return


def _finish(waiting: Generator[None, None, Any]) -> Any:
    try:
        next(waiting)
    except StopIteration as stop:
        return stop.value
    return End.CUT  # an ended text leaves nothing to wait for


def _variants(value: Any, target: Target) -> Iterator[Any]:
    """Yield a value, and what it holds as arguments, under a schema's name or `properties`."""
    known = target.root.get("properties") or {}
    echoed = isinstance(value, Mapping) and "properties" in value and "properties" not in known
    if not echoed or not isinstance(value.get("type"), str):
        yield value
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if key in known or not isinstance(inner, Mapping | list | str):
            continue
        if key in ARGUMENT_KEYS or key == "properties" or len(value) == 1:
            if not isinstance(inner, str):
                yield inner
                continue
            try:
                read = read_json(inner)
            except ValueError:
                continue
            yield read


class Growing:
    """The object while it arrives: snapshots, of which each extends the one before.

    A number, a word of an enumeration, a date is shown when it is complete; text grows. Reading
    again what has come costs time, so it is done after every 3 % more. `keeps_unknown` keeps keys
    that the schema does not name and does not forbid.
    """

    def __init__(self, target: Target, *, keeps_unknown: bool = False) -> None:
        self._target = target
        self._keeps_unknown = keeps_unknown
        self._text = ""
        self._pieces: list[str] = []  # what has come since
        self._size = 0
        self._start = -1
        self._next = 0
        self._bracket = re.compile(r"\[" if target.root.get("type") == "array" else r"\{")
        self._last: Any = None

    def feed(self, text: str) -> Any:
        """Take more of the answer; return a larger snapshot, or None if there is none."""
        self._pieces.append(text)
        self._size += len(text)
        if self._size < self._next:
            return None
        self._next = self._size + self._size // 32
        self._text = "".join((self._text, *self._pieces))
        self._pieces.clear()
        if self._start < 0 and not self._seek(0):
            return None
        snapshot = self._snapshot()
        if snapshot is None or snapshot == self._last or not extends(self._last, snapshot):
            return None
        self._last = snapshot
        return snapshot

    def _seek(self, start: int) -> bool:
        match = self._bracket.search(self._text, start)
        self._start = match.start() if match else -1
        return match is not None

    def _snapshot(self) -> Any:
        body = _NUMBER_END.sub("", self._text[self._start :])
        try:
            whole, grown = (
                from_json(body, allow_partial=True),
                from_json(body, allow_partial="trailing-strings"),
            )
        except (ValueError, TypeError):  # the latter for half a character
            if self._last is None:
                self._seek(self._start + 1)  # a bracket in the prose
            return None
        merged = self._merge(whole, grown, self._target.schema)
        if self._may_be_wrapped(merged):
            return None
        check = self._target.check
        shown = self._fitting(Coercer(check.schema, check.fits).coerce(merged, check.schema), check.schema)
        return None if shown is _UNFIT or (not shown and merged) else shown

    def _may_be_wrapped(self, value: Any) -> bool:
        """Return whether this may become a call that has the object for arguments.

        As in `{"name": "Person", "arguments": {`.
        """
        if not isinstance(value, Mapping):
            return False
        known = self._target.root.get("properties") or {}
        if any(key in ARGUMENT_KEYS and key not in known for key in value):
            return True
        key, first = next(iter(value.items()), ("", None))
        return (
            len(value) == 1
            and key in NAME_KEYS
            and isinstance(first, str)
            and self._target.name.casefold().startswith(first.casefold())
        )

    def _fitting(self, value: Any, schema: Mapping[str, Any]) -> Any:
        """The value without what is not, or not yet, what the schema wants there."""
        schema = resolved(schema, self._target.schema)
        types = schema.get("type")
        names = [types] if isinstance(types, str) else types
        if names and not any(is_type(value, name) for name in names):
            return _UNFIT
        if isinstance(value, dict) and isinstance(schema.get("properties"), Mapping):
            rest = schema.get("additionalProperties")
            parts = {key: schema["properties"].get(key, rest) for key in value}
            fitting = {
                key: self._fitting(value[key], part if isinstance(part, Mapping) else {})
                for key, part in parts.items()
                if part is not False and (part is not None or self._keeps_unknown)
            }
            return {key: item for key, item in fitting.items() if item is not _UNFIT}
        if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
            return list(
                takewhile(
                    lambda item: item is not _UNFIT, [self._fitting(item, schema["items"]) for item in value]
                )
            )
        return value

    def _merge(self, whole: Any, grown: Any, schema: Mapping[str, Any]) -> Any:
        """The complete values, and the growing text where text is what the schema wants."""
        schema = resolved(schema, self._target.schema)
        if isinstance(grown, dict) and isinstance(whole, dict):
            out = dict(whole)
            for key in list(grown)[-1:]:
                part = (schema.get("properties") or {}).get(key, schema.get("additionalProperties"))
                part = part if isinstance(part, Mapping) else {}
                if key in whole:
                    out[key] = self._merge(whole[key], grown[key], part)
                elif isinstance(grown[key], str) and self._is_text(part):
                    out[key] = grown[key]
            return out
        if isinstance(grown, list) and isinstance(whole, list):
            part = schema.get("items")
            part = part if isinstance(part, Mapping) else {}
            if len(grown) > len(whole):
                return [*whole, grown[-1]] if isinstance(grown[-1], str) and self._is_text(part) else whole
            return [*whole[:-1], self._merge(whole[-1], grown[-1], part)] if whole else whole
        return whole

    def _is_text(self, schema: Mapping[str, Any]) -> bool:
        schema = resolved(schema, self._target.schema)
        if schema.keys() & {"enum", "const", "format", "pattern"}:
            return False
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(branches, list):
            return all(branch == {"type": "null"} or self._is_text(branch) for branch in branches)
        return schema.get("type") in ("string", ["string", "null"])


def unfinished(value: Any) -> str:
    """Write a JSON value without its end, so that what extends it begins with the same text."""
    if isinstance(value, str):
        return dumps(value).decode()[:-1]
    if isinstance(value, dict):
        members = [f"{dumps(key).decode()}:{dumps(item).decode()}" for key, item in [*value.items()][:-1]]
        last = [f"{dumps(key).decode()}:{unfinished(value[key])}" for key in [*value][-1:]]
        return "{" + ",".join([*members, *last])
    if isinstance(value, list):
        return "[" + ",".join([*(dumps(item).decode() for item in value[:-1]), *map(unfinished, value[-1:])])
    return dumps(value).decode()


def extends(old: Any, new: Any) -> bool:
    """Return whether a JSON value is another one, grown by text, items or keys at its end."""
    match old, new:
        case None, _:
            return True
        case str(), str():
            return new.startswith(old)
        case list(), list():
            return len(new) >= len(old) and all(map(extends, old, new))
        case dict(), dict():
            return all(key in new and extends(item, new[key]) for key, item in old.items())
    return bool(old == new)
