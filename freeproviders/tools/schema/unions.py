"""`anyOf` and `oneOf` for `jsonschema`, in linear time.

`jsonschema` reads every branch of a union to its end, and so every branch of the unions inside: a
value nested twelve deep under `Expr = Num | Add | Mul` would take a minute. Here a branch is only
asked whether it fits, what was found is remembered, and errors are collected from the one branch
that was most probably meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from freeproviders.tools.schema.coerce import is_type, required_keys, resolved

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator


class _Memory:
    """The record of which values fit which schemas of one document.

    The objects are kept with their verdicts, so that their ids stay theirs.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.verdicts: dict[tuple[int, int], tuple[object, object, bool]] = {}


_memory: ContextVar[_Memory] = ContextVar("memory")


@contextmanager
def remembering(root: Mapping[str, Any]) -> Iterator[None]:
    """Remember what fits until the outermost of these ends; `root` is the references' document."""
    memory = _memory.get(None)
    if memory is not None and memory.root is root:
        yield
        return
    token = _memory.set(_Memory(root))
    try:
        yield
    finally:
        _memory.reset(token)


@cache
def adapted(cls: type[Validator]) -> type[Validator]:
    """Adapt a validator's class: these unions, and integers that are integers.

    3.0 is an integer to JSON, but not to the function that gets it.
    """
    from jsonschema.validators import extend  # noqa: PLC0415 - takes a while

    checker = cls.TYPE_CHECKER.redefine("integer", lambda _checker, value: is_type(value, "integer"))
    unions = {"anyOf": _any_of, "oneOf": _one_of}
    out: type[Validator] = extend(cls, unions, type_checker=checker)  # type: ignore[no-untyped-call]
    return out


def _any_of(validator: Any, branches: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    del schema
    if not any(_fits(validator, value, branch) for branch in branches):
        yield _misfit(validator, branches, value)


def _one_of(validator: Any, branches: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError  # noqa: PLC0415 - loaded by now

    del schema
    fitting = sum(_fits(validator, value, branch) for branch in branches)
    if not fitting:
        yield _misfit(validator, branches, value)
    elif fitting > 1:
        yield ValidationError(f"{value!r:.200} is valid under more than one of the given schemas")


def _fits(validator: Any, value: object, schema: object) -> bool:
    verdicts = _memory.get().verdicts
    key = id(value), id(schema)
    if key not in verdicts:
        verdicts[key] = value, schema, next(validator.descend(value, schema), None) is None
    return verdicts[key][2]


def _misfit(validator: Any, branches: Any, value: Any) -> ValidationError:
    from jsonschema.exceptions import ValidationError  # noqa: PLC0415 - loaded by now

    at = max(range(len(branches)), key=lambda number: _likeness(branches[number], value), default=None)
    context = [] if at is None else list(validator.descend(value, branches[at], schema_path=at))
    return ValidationError(f"{value!r:.200} is not valid under any of the given schemas", context=context)


def _likeness(branch: object, value: object) -> int:
    """Measure how much a value looks like what a branch wants, by type, constants and keys."""
    if not isinstance(branch, Mapping):
        return 0
    schema = resolved(branch, _memory.get().root)
    types = schema.get("type")
    names = [types] if isinstance(types, str) else types or ()
    if names and not any(is_type(value, name) for name in names):
        return -100
    properties = schema.get("properties")
    if not isinstance(value, Mapping) or not isinstance(properties, Mapping):
        return 0
    likeness = sum(key in properties for key in value) - sum(
        key not in value for key in required_keys(schema)
    )
    for key, part in properties.items():
        if key in value and isinstance(part, Mapping) and ("const" in part or "enum" in part):
            likeness += 10 if value[key] in (part["enum"] if "enum" in part else [part["const"]]) else -10
    return likeness
