"""Python values as JSON and back, lossless or refused; only classes that were named are made again.

What JSON has stays as it is. Everything else is a mapping with one marked key: `{"$": "tuple", "of":
[...]}`. A mapping of the caller's that looks like one, or has keys that are no text, is written as
pairs. Nothing is imported when it is read, and no class is looked up by a name that the text has.
"""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from freeproviders.errors import UsageError

_MARK: Final = "$"
_MOST_LEVELS: Final = 100

_AS_TEXT: Final[Mapping[type, tuple[str, Callable[[Any], str], Callable[[str], Any]]]] = MappingProxyType(
    {
        bytes: ("bytes", bytes.hex, bytes.fromhex),
        complex: ("complex", str, complex),
        date: ("date", date.isoformat, date.fromisoformat),
        datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
        Decimal: ("decimal", str, Decimal),
        time: ("time", time.isoformat, time.fromisoformat),
        UUID: ("uuid", str, UUID),
    }
)
_FROM_TEXT: Final = {name: read for name, _, read in _AS_TEXT.values()}
_AS_LIST: Final[Mapping[type, str]] = {tuple: "tuple", set: "set", frozenset: "frozenset"}
_FROM_LIST: Final[Mapping[str, Callable[[Iterable[Any]], Any]]] = {
    name: cls for cls, name in _AS_LIST.items()
}


class Values:
    """The values of one kind of caller: what JSON has, common Python types, and classes that are named.

    Args:
        classes: models of pydantic, dataclasses, named tuples and enumerations, by the names under
            which they are written. Their subclasses are others.
        labels: for names of classes, the fields that only label an object: they come back, and are
            no part of a key.

    Raises `UsageError` where a class is none of these.
    """

    def __init__(
        self,
        classes: Mapping[str, type[Any]],
        *,
        labels: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        self._classes = dict(classes)
        self._labels = labels
        for cls in self._classes.values():
            if not _can_be_made(cls):
                raise UsageError(
                    f"{_name(cls)} cannot be kept: it is no model of pydantic, dataclass, named tuple or "
                    "enumeration."
                )
        self._names = {cls: name for name, cls in self._classes.items()}

    def plain(self, value: Any) -> Any:
        """Return the value as JSON has it, from which `restored` makes an equal one.

        Raises:
            UsageError: something in it is of another type, which the error names, or would come back
                as something else.
        """
        plain, made = self._plain(value)
        if made and not self._comes_back(plain):
            raise UsageError(
                f"A value of {_name(type(value))} cannot be kept: it would not come back as it was."
            )
        return plain

    def _comes_back(self, plain: Any) -> bool:
        try:
            return bool(self._plain(self.restored(plain))[0] == plain)
        except Exception:  # noqa: BLE001 - classes of others, which may refuse what they once were
            return False

    def canonical(self, value: Any) -> str:
        """Return the value as JSON text that is the same for equal values, without labels.

        Raises:
            UsageError: something in it is of another type, which the error names.
        """
        walk = _Walk(self._names, self._labels)
        return json.dumps(walk.plain(value, 0), sort_keys=True, separators=(",", ":"))

    def _plain(self, value: Any) -> tuple[Any, bool]:
        walk = _Walk(self._names)
        return walk.plain(value, 0), walk.made

    def restored(self, plain: Any) -> Any:
        """Return the value that was written; raises `UsageError` where the text is of other classes."""
        if isinstance(plain, list):
            return [self.restored(one) for one in plain]
        if not isinstance(plain, dict):
            return plain
        kind = plain.get(_MARK)
        if kind is None:
            return {name: self.restored(one) for name, one in plain.items()}
        if kind == "pairs":
            return {self.restored(key): self.restored(one) for key, one in plain["of"]}
        if kind == "float":
            return float(plain["of"])
        if kind == "timedelta":
            return timedelta(*plain["of"])
        if kind in _FROM_TEXT:
            return _FROM_TEXT[kind](plain["of"])
        if kind in _FROM_LIST:
            return _FROM_LIST[kind](self.restored(one) for one in plain["of"])
        cls = self._classes.get(str(plain.get("class")))
        if kind != "object" or cls is None:
            raise UsageError(
                f"What is kept has an object of {plain.get('class', kind)!r}, and no class of that name is "
                "given: pass it in types=[...]."
            )
        return _made(cls, self.restored(plain["of"]))


class _Walk:
    """One value on its way to JSON; `made` says whether a named class is in it."""

    def __init__(
        self, names: Mapping[type, str], labels: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> None:
        self._names = names
        self._labels = labels
        self.made = False

    def plain(self, value: Any, level: int) -> Any:
        if level > _MOST_LEVELS:
            raise UsageError(f"A value of more than {_MOST_LEVELS} levels cannot be kept.")
        if value is None or value is True or value is False:
            return value
        cls = type(value)
        if (name := self._names.get(cls)) is not None:
            self.made = True
            state = _state(value)
            if name in self._labels:
                state = {field: one for field, one in state.items() if field not in self._labels[name]}
            return {_MARK: "object", "class": name, "of": self.plain(state, level + 1)}
        if cls in _AS_TEXT:
            kind, write, _ = _AS_TEXT[cls]
            return {_MARK: kind, "of": write(value)}
        if cls in _AS_LIST:
            items = [self.plain(one, level + 1) for one in value]
            return {_MARK: _AS_LIST[cls], "of": items if cls is tuple else sorted(items, key=repr)}
        if cls is timedelta:
            return {_MARK: "timedelta", "of": [value.days, value.seconds, value.microseconds]}
        if isinstance(value, Enum):
            raise _unknown(value)
        # Subclasses of these are equal to the plain ones, as the texts of messages are in LangChain.
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            number = float(value)
            return number if math.isfinite(number) else {_MARK: "float", "of": str(number)}
        if isinstance(value, list):
            return [self.plain(one, level + 1) for one in value]
        if isinstance(value, dict):
            if _MARK not in value and all(type(key) is str for key in value):
                return {key: self.plain(one, level + 1) for key, one in value.items()}
            pairs = [[self.plain(key, level + 1), self.plain(one, level + 1)] for key, one in value.items()]
            return {_MARK: "pairs", "of": pairs}
        raise _unknown(value)


def _unknown(value: object) -> UsageError:
    return UsageError(
        f"A value of {_name(type(value))} cannot be kept: turn it into text, numbers, lists and mappings, or "
        "pass its class in types=[...] where it is a model of pydantic, a dataclass, a named tuple or an "
        "enumeration."
    )


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _is_named_tuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def _can_be_made(cls: object) -> bool:
    return isinstance(cls, type) and (
        issubclass(cls, BaseModel | Enum) or is_dataclass(cls) or _is_named_tuple(cls)
    )


def _state(value: Any) -> Any:
    """What makes the object again."""
    if isinstance(value, BaseModel):
        model = type(value).model_fields
        own = {
            name: one
            for name, one in value.__dict__.items()
            if name in model and not (one is None and model[name].default is None)
        }
        return {**own, **(value.__pydantic_extra__ or {})}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return list(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _made(cls: type[Any], state: Any) -> Any:
    if issubclass(cls, BaseModel):
        return cls.model_validate(state, by_alias=False, by_name=True)
    if issubclass(cls, Enum):
        return cls(state)
    if _is_named_tuple(cls):
        return cls(*state)
    known = {field.name for field in fields(cls) if field.init}
    return cls(**{name: one for name, one in state.items() if name in known})


def named(types: Iterable[type[Any]]) -> dict[str, type[Any]]:
    """Return classes by their names, with the classes of their fields.

    Raises:
        UsageError: one is of no kind that can be kept, or two have one name.
    """
    waiting: list[Any] = list(types)
    for one in waiting:
        if not _can_be_made(one):
            raise UsageError(
                f"types must be models of pydantic, dataclasses, named tuples or enumerations, not {one!r}."
            )
    found: dict[str, type[Any]] = {}
    while waiting:
        one = waiting.pop()
        waiting += typing.get_args(one)
        if not _can_be_made(one) or found.get(one.__qualname__) is one:
            continue
        if (other := found.get(one.__qualname__)) is not None:
            raise UsageError(
                f"types has two classes named {one.__qualname__}: {_name(other)} and {_name(one)}."
            )
        found[one.__qualname__] = one
        waiting += _hints(one)
    return found


def _hints(cls: type[Any]) -> list[Any]:
    """The types of a class's fields."""
    if issubclass(cls, BaseModel):
        return [field.annotation for field in cls.model_fields.values()]
    if issubclass(cls, Enum):
        return []
    try:
        return list(typing.get_type_hints(cls).values())
    except (NameError, TypeError):  # a class inside a function: its fields' classes are to be given too
        return []
