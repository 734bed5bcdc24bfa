"""Values as JSON and back: equal, or refused with the name of the type."""

import json
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from freeproviders.answers.values import Values, named
from freeproviders.errors import UsageError


class Colour(Enum):
    RED = "red"


class Place(NamedTuple):
    x: int
    y: float


@dataclass
class Source:
    title: str
    pages: list[int] = field(default_factory=list)


class Cite(BaseModel):
    source: Source
    when: datetime | None = None


class Verdict(BaseModel):
    score: float = Field(alias="Score")
    cites: list[Cite] = []
    colour: Colour | None = None
    where: Place | None = None


BARE = Values({})
TYPED = Values(named([Verdict]))


def there_and_back(values, value):
    return values.restored(json.loads(json.dumps(values.plain(value))))


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(10**40),
        1.5,
        "",
        "half a character \ud83d",
        [],
        {},
        (),
        ((1, "a"), [(2,)]),
        {1: "a", "1": "b", None: "c", (1, 2): "d"},
        {"$": "tuple", "of": [1]},
        {"$": "object", "class": "os.system", "of": {}},
        [{"$": {"$": 1}}],
        b"\x00\xff",
        {3, 1, 2},
        frozenset({"a", ("b",)}),
        complex(1, -2),
        date(2026, 11, 22),
        datetime(2026, 11, 22, 10, 7, 47, 5, tzinfo=UTC),
        datetime.fromisoformat("2026-11-22T10:07"),
        time(10, 7),
        timedelta(days=-1, microseconds=7),
        Decimal("1.10"),
        UUID(int=7),
        float("inf"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_comes_back_is_equal_and_of_the_same_types(value):
    """Also where a mapping looks like one of the marks."""
    found = there_and_back(BARE, value)
    assert found == value
    assert repr(found) == repr(value)


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates()
keys = st.text() | st.integers() | st.sampled_from(["$", "of", "class"])


@given(
    st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(keys, inner),
        max_leaves=20,
    )
)
def test_any_nesting_comes_back(value):
    """As `repr` shows it, for which a NaN is equal to itself."""
    assert repr(there_and_back(BARE, value)) == repr(value)


def test_classes_that_are_named_come_back():
    """With those of their fields, whether they are models, dataclasses, tuples or enumerations."""
    verdict = Verdict(
        Score=0.5,
        cites=[Cite(source=Source("A", [1, 2]), when=datetime(2026, 1, 1, tzinfo=UTC))],
        colour=Colour.RED,
        where=Place(1, 2.5),
    )
    found = there_and_back(TYPED, {"all": [verdict, (verdict,)]})
    assert found == {"all": [verdict, (verdict,)]}
    assert type(found["all"][1]) is tuple
    assert type(found["all"][0].where) is Place


def test_a_subclass_of_text_or_of_a_mapping_is_kept_as_the_plain_one():
    """As the texts of LangChain's messages are; they are equal."""

    class Text(str):
        __slots__ = ()

    found = there_and_back(BARE, [Text("a"), OrderedDict(b=1)])
    assert found == ["a", {"b": 1}]
    assert [type(one) for one in found] == [str, dict]


class Other(BaseModel):
    x: int = 1


class Better(Cite):
    extra: int = 1


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Other(), "Other"),
        (Better(source=Source("A")), "Better"),
        ({"a": [object()]}, "builtins.object"),
        (Place, "builtins.type"),
        (iter([1]), "list_iterator"),
        (Other, "ModelMetaclass"),
    ],
)
def test_what_cannot_be_kept_is_named(value, name):
    """With what to do about it; a subclass of a class that is named is another class."""
    with pytest.raises(UsageError, match=rf"{name} cannot be kept.*types="):
        TYPED.plain(value)


def test_an_object_that_would_come_back_as_another_is_refused():
    """Here its model changes what it is given."""

    class Counted(BaseModel):
        n: int

        def model_post_init(self, context):
            self.n += 1

    with pytest.raises(UsageError, match="Counted cannot be kept: it would not come back as it was"):
        Values(named([Counted])).plain(Counted(n=1))


def test_nesting_has_an_end():
    """Also that of a list that is in itself."""
    endless = []
    endless.append(endless)
    with pytest.raises(UsageError, match="levels"):
        BARE.plain(endless)


@pytest.mark.parametrize("name", ["os.system", "subprocess.Popen", "Colour", "tabnanny.NannyNag"])
def test_a_text_makes_no_class_that_was_not_named(name):
    """And imports nothing."""
    before = set(sys.modules)
    with pytest.raises(UsageError, match=f"an object of '{name}'"):
        BARE.restored({"$": "object", "class": name, "of": {}})
    assert set(sys.modules) == before


@pytest.mark.parametrize("types", [[int], ["Verdict"], [list[Verdict]], [Place, len]])
def test_types_are_classes_that_can_be_made_again(types):
    """Others are found before anything is asked."""
    with pytest.raises(UsageError, match="types must be"):
        named(types)


def test_two_classes_of_one_name_are_refused():
    """Since it could not be told which one is meant."""

    def made():
        class Twin(BaseModel):
            pass

        return Twin

    with pytest.raises(UsageError, match="two classes named"):
        named([made(), made()])


def test_the_canonical_text_does_not_depend_on_order_or_labels():
    """But on everything else, types included."""
    labelled = Values(named([Source]), labels={"Source": ("title",)})
    text = labelled.canonical
    assert text({"a": 1, "b": [2]}) == text({"b": [2], "a": 1})
    assert text(Source("A", [1])) == text(Source("B", [1]))
    different = [1, "1", True, (1,), [1], None, {"1": 1}, {1: 1}, Source("A", [2]), {"pages": [2]}]
    assert len({text(one) for one in different}) == len(different)
    assert labelled.restored(labelled.plain(Source("B"))).title == "B"
