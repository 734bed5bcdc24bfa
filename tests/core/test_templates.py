"""Copies of validated pydantic objects, which nothing can tell from validated ones."""

import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from freeproviders.templates import identical, quick_or_validated, separate, template


class Block(BaseModel):
    text: str = ""


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    content: str
    more: dict[str, str] = Field(default_factory=dict)
    blocks: list[Block] = Field(default_factory=list)


class Private(BaseModel):
    text: str = ""
    _seen: int = PrivateAttr(default=0)


def validated(text):
    return Open(content=text, blocks=[Block(text=text)])


def quick():
    block_values, make_block = template(Block(text=""))
    values, make = template(validated(""))

    def copied(text):
        block = make_block({**block_values, "text": text})
        return make({**values, "content": text, "more": {}, "blocks": [block]})

    return copied


COPIED = quick()


@given(st.text())
def test_a_copy_is_a_validated_object(text):
    one, usual = COPIED(text), validated(text)
    assert identical(one, usual)
    assert one == usual
    assert repr(one) == repr(usual)
    assert one.model_fields_set == usual.model_fields_set == {"content", "blocks"}
    assert one.model_dump_json() == usual.model_dump_json()
    assert pickle.loads(pickle.dumps(one)) == one.model_copy(deep=True) == usual


def test_copies_share_nothing():
    one, other = COPIED("a"), COPIED("a")
    assert separate(one, other)
    one.more["k"] = "v"
    one.blocks[0].text = "changed"
    one.blocks.append(Block())
    one.extra = "a field of nobody's"
    assert identical(other, validated("a"))
    assert identical(COPIED("a"), validated("a"))


def test_the_quick_way_is_taken_where_it_leads_to_the_same():
    chosen = quick_or_validated(quick, validated, "text")
    assert chosen is not validated
    assert identical(chosen("b"), validated("b"))


def shares_a_container():
    values, make = template(validated(""))
    return lambda text: make(
        {**values, "content": text, "blocks": [Block(text=text)]}
    )  # `more` is everybody's


def shares_an_object():
    values, make = template(validated(""))
    block = Block(text="text")
    return lambda text: make({**values, "content": text, "more": {}, "blocks": [block]})


def another_field_counts_as_set():
    values, make = template(Open(content="", more={}, blocks=[Block(text="")]))
    return lambda text: make({**values, "content": text, "more": {}, "blocks": [Block(text=text)]})


def another_field_of_an_inner_object_counts_as_set():
    values, make = template(validated(""))
    return lambda text: make(
        {**values, "content": text, "more": {}, "blocks": [Block.model_construct(set(), text=text)]}
    )


def a_value_is_missing():
    _, make = template(validated(""))
    return lambda text: make({"content": text, "blocks": [Block(text=text)]})


def another_class():
    return lambda text: type("Other", (Open,), {})(content=text, blocks=[Block(text=text)])


def breaks():
    raise KeyError("__dict__")


def breaks_later():
    return lambda text: text.no_such_thing


@pytest.mark.parametrize(
    "quick",
    [
        shares_a_container,
        shares_an_object,
        another_field_counts_as_set,
        another_field_of_an_inner_object_counts_as_set,
        a_value_is_missing,
        another_class,
        breaks,
        breaks_later,
    ],
    ids=lambda quick: quick.__name__,
)
def test_any_difference_or_failure_means_validating(quick):
    assert quick_or_validated(quick, validated, "text") is validated


def test_what_the_caller_passes_may_be_kept():
    """Each trial has arguments of its own.

    So an object that holds them is not taken for one that shares.
    """
    values, make = template(Open(content="", more={}))

    def usual(more):
        return Open(content="", more=more)

    chosen = quick_or_validated(
        lambda: lambda more: make({**values, "more": more, "blocks": []}), usual, {"a": "b"}
    )
    assert chosen is not usual
    given = {"c": "d"}
    assert chosen(given).more is given


def test_private_attributes_are_refused():
    with pytest.raises(ValueError, match="Private has private attributes"):
        template(Private())


@pytest.mark.parametrize(
    "other",
    [
        Open(content="b"),
        Open(content="a", more={}),  # equal, yet another field counts as set
        Open(content="a", extra="x"),
        Open(content="a", blocks=[Block(text="")]),
        Block(text="a"),
    ],
)
def test_identical_sees_every_difference(other):
    assert identical(Open(content="a"), Open(content="a"))
    assert not identical(Open(content="a"), other)


def test_separate_sees_what_is_shared():
    one = validated("a")
    assert not separate(one, one)
    assert not separate(one, one.model_copy())
    assert separate(one, one.model_copy(deep=True))


def test_the_core_does_not_import_it():
    code = "import json, sys, freeproviders; freeproviders.FlowGpt; print(json.dumps([*sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    modules = json.loads(done.stdout)
    assert "freeproviders.templates" not in modules
    assert "pydantic" not in modules
