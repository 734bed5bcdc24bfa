"""Records are what `dataclass(frozen=True, slots=True)` makes, made in another way."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import (
    FrozenInstanceError,
    asdict,
    astuple,
    dataclass,
    field,
    fields,
    is_dataclass,
    replace,
)
from typing import Any, ClassVar

import pytest

from freeproviders.records import record


class Point:
    """A point."""

    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="", repr=False)
    kind: ClassVar[str] = "point"


class Named:
    """A point with arguments by name only."""

    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="", repr=False)


class Doubled:
    """A point that changes what it is given."""

    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", self.x * 2)


class Large:
    """A point with more fields than are written into slots one by one."""

    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="", repr=False)
    a: int = 1
    b: int | None = None
    c: str = "c"
    kind: ClassVar[str] = "point"

    def __post_init__(self) -> None:
        object.__setattr__(self, "b", self.x + self.a)


class OfItsOwn:  # noqa: PLW1641 - the decorator adds the hash
    """A point with methods that stay."""

    x: int
    y: float = 0.5
    tags: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="", repr=False)

    def __repr__(self) -> str:
        return f"at {self.x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other.x == self.x


def anew(source: type) -> type:
    """A new class with the same body: a decorator may change the one that it is given."""
    body = {name: value for name, value in vars(source).items() if name not in {"__dict__", "__weakref__"}}
    return type(source.__name__, (), body)


BOTH = {
    source.__name__: (record(anew(source)), dataclass(frozen=True, slots=True)(anew(source)))
    for source in (Point, Doubled, Large, OfItsOwn)
}
BOTH["Named"] = (
    record(kw_only=True)(anew(Named)),
    dataclass(frozen=True, slots=True, kw_only=True)(anew(Named)),
)
KINDS = pytest.mark.parametrize("kind", sorted(BOTH))


def seen(cls: Any) -> list[object]:
    """What can be seen of a class and its objects, but for the class itself."""
    one, same, other = cls(x=1, tags=["a"], secret="s"), cls(x=1, secret="s"), cls(x=2)
    return [
        repr(one),
        [one == same, one == other, one == 1, one != same],
        hash(one) == hash(same),
        [(item.name, item.type, item.repr, item.compare, item.kw_only) for item in fields(cls)],
        str(inspect.signature(cls)),
        inspect.get_annotations(cls.__init__),
        cls.__match_args__,
        cls.__slots__,
        cls.__doc__,
        repr(cls.__dataclass_params__),
        is_dataclass(cls),
        asdict(one),
        astuple(one),
        astuple(replace(one, y=2.0)),
        astuple(copy.copy(one)),
        astuple(copy.deepcopy(one)),
        one.__getstate__(),
        same.tags is not cls(x=1).tags,
        hasattr(one, "__dict__"),
    ]


@KINDS
def test_a_record_looks_like_a_dataclass(kind: str) -> None:
    ours, standard = BOTH[kind]
    assert seen(ours) == seen(standard)


@KINDS
def test_a_record_is_frozen(kind: str) -> None:
    for cls in BOTH[kind]:
        one = cls(x=1)
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
            one.x = 2
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
            del one.x
        with pytest.raises((FrozenInstanceError, TypeError)):  # the standard one stumbles over its slots
            one.unknown = 1
        assert one == cls(x=1)


@KINDS
def test_a_record_is_no_base(kind: str) -> None:
    with pytest.raises(TypeError, match=f"{BOTH[kind][0].__name__} is no base of another class"):
        type("Sub", (BOTH[kind][0],), {})


@KINDS
@pytest.mark.parametrize("arguments", [{}, {"x": 1, "unknown": 2}], ids=["missing", "unknown"])
def test_wrong_arguments_are_told_in_the_same_words(kind: str, arguments: dict[str, int]) -> None:
    said = []
    for cls in BOTH[kind]:
        with pytest.raises(TypeError) as raised:
            cls(**arguments)
        said.append(str(raised.value))
    assert said[0] == said[1]


@record
class Saved:
    """A record that a pickle can find."""

    name: str
    more: Saved | None = None


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_record_pickles(protocol: int) -> None:
    saved = Saved("a", Saved("b"))
    assert pickle.loads(pickle.dumps(saved, protocol)) == saved


def test_a_record_may_hold_itself() -> None:
    saved = Saved("a")
    object.__setattr__(saved, "more", saved)
    assert repr(saved) == "Saved(name='a', more=...)"


def test_a_record_without_fields() -> None:
    @record
    class Nothing:
        """An empty record."""

    assert (Nothing() == Nothing(), repr(Nothing())[-9:], hash(Nothing()) == hash(())) == (
        True,
        "Nothing()",
        True,
    )
