"""Answers and errors as JSON text, and read from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from datetime import date, datetime
from typing import Any, Final, cast

from freeproviders import errors
from freeproviders.errors import AnswerStoreError, FreeProvidersError
from freeproviders.naming import Words
from freeproviders.types import (
    Attempt,
    CallExtra,
    Completion,
    Finish,
    InvalidToolCall,
    Left,
    Seam,
    ToolCall,
    Usage,
)
from freeproviders.wire.limits import Allowance

_KIND: Final = "$"
"""The name under which an object of JSON says what it stands for, where it is no plain one."""
_CLASSES: Final[Mapping[str, type]] = {
    cls.__name__: cls
    for cls in (
        Allowance,
        Attempt,
        CallExtra,
        Completion,
        Finish,
        InvalidToolCall,
        Left,
        Seam,
        ToolCall,
        Usage,
    )
}
_LEFT_OUT: Final = frozenset({(Finish, "headers")})
_FIELDS: Final[Mapping[type, tuple[tuple[str, Any], ...]]] = {
    cls: tuple(
        [
            (one.name, one.default_factory() if one.default_factory is not MISSING else one.default)
            for one in fields(cls)
            if (cls, one.name) not in _LEFT_OUT
        ]
    )
    for cls in _CLASSES.values()
}
_ERRORS: Final[Mapping[str, type[FreeProvidersError]]] = {
    name: cls
    for name, cls in vars(errors).items()
    if isinstance(cls, type) and issubclass(cls, FreeProvidersError)
}
_UNREADABLE: Final = "What is kept is no {what} of freeproviders, or is damaged."


def to_plain(completion: Completion) -> bytes:
    """Write an answer as JSON text; all of it is kept but the headers.

    Raises `TypeError` where the arguments of a tool call hold what JSON cannot.
    """
    return _dumps(_plain(completion))


def from_plain(data: bytes) -> Completion:
    """Read what `to_plain` wrote. Raises `AnswerStoreError` for anything else."""
    return cast("Completion", _read(data, Completion, "answer"))


def error_to_plain(error: BaseException) -> bytes:
    """Write an error as JSON text: its class, its words, the service, the time and the trail.

    What has no form in JSON, as the sign by which a refusal was known, is left out. An error of
    another library is written as a `FreeProvidersError` that names it.
    """
    if not isinstance(error, FreeProvidersError):
        error = FreeProvidersError(f"{type(error).__name__}: {error}")
    return _dumps(_plain_error(error))


def error_from_plain(data: bytes) -> FreeProvidersError:
    """Read what `error_to_plain` wrote. Raises `AnswerStoreError` for anything else.

    An error of a class that is not known here, as of a program's own, is one of the nearest class
    above it.
    """
    return cast("FreeProvidersError", _read(data, FreeProvidersError, "error"))


def _dumps(value: Any) -> bytes:
    # Halves of characters pass, as services and models sometimes send them.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _read(data: bytes, cls: type, what: str) -> object:
    try:
        value = _value(json.loads(data.decode("utf-8", "surrogatepass")))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise AnswerStoreError(_UNREADABLE.format(what=what)) from error
    if not isinstance(value, cls):
        raise AnswerStoreError(_UNREADABLE.format(what=what))
    return value


# --- writing --------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is str or kind is int or kind is float or kind is bool:
        return value
    if kind in _FIELDS:
        return {
            _KIND: kind.__name__,
            **{
                name: [_plain(one) for one in found] if type(found) is tuple else _plain(found)
                for name, usual in _FIELDS[kind]
                if (found := getattr(value, name)) is not usual and found != usual
            },
        }
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value) or _KIND in value:
            return {_KIND: "items", "of": [[_plain(name), _plain(one)] for name, one in value.items()]}
        return {name: _plain(one) for name, one in value.items()}
    return _rarely(value)


def _rarely(value: Any) -> Any:
    match value:
        case list():
            return [_plain(one) for one in value]
        case tuple():
            return {_KIND: "tuple", "of": [_plain(one) for one in value]}
        case Words():
            return {_KIND: "words", "of": value.marked}
        case datetime() | date():
            return {_KIND: "datetime" if isinstance(value, datetime) else "date", "of": value.isoformat()}
        case FreeProvidersError():
            return _plain_error(value)
        case str():
            return str(value)
    raise TypeError(f"JSON cannot hold {type(value).__name__}")


def _plain_error(error: FreeProvidersError) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name, value in vars(error).items():
        try:
            state[name] = _plain(value)
        except (TypeError, RecursionError):
            continue
    known = [cls.__name__ for cls in type(error).__mro__ if issubclass(cls, FreeProvidersError)]
    return {_KIND: "error", "of": known, "has": state}


# --- reading --------------------------------------------------------------------------------------


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(one) for one in plain]
    if not isinstance(plain, dict):
        return plain
    kind = plain.get(_KIND)
    if kind is None:
        return {name: _value(one) for name, one in plain.items()}
    if (cls := _CLASSES.get(kind)) is not None:
        # A file of a later version may have fields that are not known here.
        has = {name: _value(plain[name]) for name, _ in _FIELDS[cls] if name in plain}
        return cls(**{name: tuple(one) if isinstance(one, list) else one for name, one in has.items()})
    of = plain["of"]
    match kind:
        case "items":
            return {_value(name): _value(one) for name, one in of}
        case "tuple":
            return tuple([_value(one) for one in of])
        case "words":
            return Words(of)
        case "datetime":
            return datetime.fromisoformat(of)
        case "date":
            return date.fromisoformat(of)
        case "error":
            return _error(of, _value(plain["has"]))
    raise ValueError(kind)


def _error(names: list[str], state: dict[str, Any]) -> FreeProvidersError:
    cls = next((_ERRORS[name] for name in names if name in _ERRORS), FreeProvidersError)
    error = cls(state["message"])
    error.__dict__.update(state)
    return error
