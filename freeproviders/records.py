"""Frozen dataclasses that cost less than the standard ones, at import and where they are made.

The standard decorator compiles each method of each class from text, and its `__init__` goes through
`object.__setattr__` for each field. A record compiles its `__init__` alone, which writes a few fields
into their slots, and assigns many while the object is still of a class that is open; the other
methods are shared. All else is as with `dataclass(frozen=True, slots=True)`: `fields`, `replace`,
`field`, `__post_init__`, equality, hashes, pickles. A record is no base of another one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

T = TypeVar("T")

_MANY = 6
"""So many fields are assigned in less time than written into their slots one by one."""


class _MadeAnew:
    def __repr__(self) -> str:
        return "<factory>"


_MADE_ANEW = _MadeAnew()
"""The default of an argument for whose field a factory makes a value for each object."""


@overload
def record(cls: type[T], /) -> type[T]: ...


@overload
def record(cls: None = None, /, *, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T] | None = None, /, *, kw_only: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a frozen dataclass with slots. Methods that the class writes itself stay."""
    if cls is None:
        return lambda given: _made(given, kw_only)
    return _made(cls, kw_only)


def _made(given: type[T], kw_only: bool) -> type[T]:
    own = dict(vars(given))
    # The standard decorator finds the fields and makes the class with slots.
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(given)
    about = made.__dataclass_params__
    about.init = about.repr = about.eq = about.frozen = True
    all_fields = fields(made)
    compared = _values([item.name for item in all_fields if item.compare])
    methods = {
        "__init__": _init(made, all_fields),
        "__repr__": _repr([item.name for item in all_fields if item.repr]),
        "__eq__": _eq(compared),
        "__hash__": _hash(compared),
        "__setattr__": _no_assignment,
        "__delattr__": _no_deletion,
        "__getstate__": _state,
        "__setstate__": _set_state,
        "__init_subclass__": classmethod(_no_subclass),
    }
    for name, method in methods.items():
        if own.get(name) is None:  # Python itself puts None for `__hash__` where there is an `__eq__`
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]


def _init(made: type, all_fields: Sequence[Field[Any]]) -> Callable[..., None]:
    """Write `__init__`, which is quick only where each argument is written out."""
    around: dict[str, Any] = {"_made_anew": _MADE_ANEW}
    taken, named, values = ["self"], ["*"], {}
    for item in all_fields:
        name = argument = value = item.name
        if item.default is not MISSING:
            around[f"_default_{name}"] = item.default
            argument = f"{name}=_default_{name}"
        elif item.default_factory is not MISSING:
            around[f"_new_{name}"] = item.default_factory
            argument, value = f"{name}=_made_anew", f"_new_{name}() if {name} is _made_anew else {name}"
        (named if item.kw_only else taken).append(argument)
        values[name] = value
    if len(values) >= _MANY:
        around |= {"_set": object.__setattr__, "_open": _open(made), "_made": made}
        lines = ["_set(self, '__class__', _open)", *_assignments("self", values), "self.__class__ = _made"]
    else:
        around |= {f"_set_{name}": vars(made)[name].__set__ for name in values}
        lines = [f"_set_{name}(self, {value})" for name, value in values.items()]
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    arguments = ", ".join(taken + (named if len(named) > 1 else []))
    init = _compiled(made, f"__init__({arguments})", lines, around)
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__annotations__ = {**{item.name: item.type for item in all_fields}, "return": None}
    return init


def changer(made: type[T]) -> Callable[[T, Mapping[str, Any]], T]:
    """Return a function that copies a record of this very class, with other values for some fields.

    It raises `AttributeError` for what is no field.
    """
    values = {item.name: f"self.{item.name}" for item in fields(made)}  # type: ignore[arg-type]  # a dataclass
    lines = [
        "copy = _new(_open)",
        *_assignments("copy", values),
        "for name, value in changes.items(): setattr(copy, name, value)",
        "copy.__class__ = _made",
        "return copy",
    ]
    around = {"_new": object.__new__, "_open": _open(made), "_made": made}
    return _compiled(made, "changed(self, changes)", lines, around)


def _open(made: type) -> type:
    """Make the class with the same slots in which a record's fields are assigned, before it is frozen.

    To assign an attribute takes a tenth of the time of a call that writes into a slot, and to change
    the class of an object as much as two such calls.
    """
    return type(made.__name__, made.__bases__, {"__slots__": vars(made)["__slots__"]})


def _assignments(name: str, values: Mapping[str, str]) -> list[str]:
    """Write the assignments to the fields of an object of the open class."""
    return [f"{name}.{field} = {value}" for field, value in values.items()]


def _compiled(made: type, head: str, lines: Sequence[str], around: dict[str, Any]) -> Callable[..., Any]:
    """Compile a function of a record's module; `around` are the names that it uses beside its arguments."""
    body = "".join([f"  {line}\n" for line in [*lines, "pass"]])
    written = f"def make({', '.join(around)}):\n def {head}:\n{body} return {head.partition('(')[0]}"
    space: dict[str, Any] = {}
    exec(written, vars(sys.modules[made.__module__]), space)  # noqa: S102 - names of fields and nothing else
    function: Callable[..., Any] = space["make"](**around)
    return function


def _values(names: Sequence[str]) -> Callable[[object], Any]:
    """Return what gets the values of some fields, to be compared."""
    return attrgetter(*names) if names else lambda _: ()


def _eq(compared: Callable[[object], Any]) -> Callable[[Any, object], Any]:
    def equals(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return compared(self) == compared(other)

    return equals


def _hash(compared: Callable[[object], Any]) -> Callable[[Any], int]:
    def hashed(self: Any) -> int:
        return hash(compared(self))

    return hashed


def _repr(names: Sequence[str]) -> Callable[[Any], str]:
    @recursive_repr()
    def shown(self: Any) -> str:
        values = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{type(self).__qualname__}({values})"

    return shown


def _no_assignment(self: Any, name: str, value: object) -> NoReturn:
    del self, value
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _no_deletion(self: Any, name: str) -> NoReturn:
    del self
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _no_subclass(cls: type, /, **_: object) -> NoReturn:
    raise TypeError(f"{cls.__bases__[0].__name__} is no base of another class: keep one in an attribute.")


def _state(self: Any) -> list[object]:
    return [getattr(self, item.name) for item in fields(self)]


def _set_state(self: Any, state: Sequence[object]) -> None:
    for item, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, item.name, value)
