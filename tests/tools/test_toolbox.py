"""What is kept of tools between requests, and requests that are written from others."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest
from pydantic import BaseModel

from freeproviders.errors import UsageError
from freeproviders.retry import Patience, Retry
from freeproviders.tools.plan import plan_of
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import ChatRequest, Message, Tool


def tool(**properties):
    return Tool("f", "Told.", {"type": "object", "properties": properties})


class Arguments(BaseModel):
    """The class of a tool."""

    x: int


def test_equal_tools_share_a_box():
    """What is found out about them is found out once, also where each request has its own objects."""
    assert Toolbox.of([tool(x={})]) is Toolbox.of((tool(x={}),))


@pytest.mark.parametrize(
    "other",
    [
        replace(tool(x={}), name="g"),
        replace(tool(x={}), description=""),
        replace(tool(x={}), strict=True),
        replace(tool(x={}), source=Arguments),
        tool(x={"type": "integer"}),
    ],
)
def test_other_tools_have_another_box(other):
    """Whatever differs, the class whose validators judge among it."""
    assert Toolbox.of([other]) is not Toolbox.of([tool(x={})])
    assert Toolbox.of([other]).tools == (other,)
    assert Toolbox.of([other]).tools[0].source is other.source


def test_a_name_that_is_written_twice_means_the_tool():
    """So Muse calls one that has no namespace; two different names are none."""
    box = Toolbox.of([Tool("get_weather"), Tool("a.a"), Tool("a")])
    assert box.match("get_weather.get_weather").name == "get_weather"
    assert box.match("a.a").name == "a.a"
    assert box.match("weather.get_weather") is None
    assert box.match("get_weather.get_weather.get_weather") is None


def test_a_schema_that_is_changed_is_another_one():
    """The caller's own mapping may change between two questions, and changes no other's tools."""
    own = tool(x={})
    before = Toolbox.of([own])
    own.parameters["properties"]["y"] = {}
    assert list(Toolbox.of([own]).tools[0].parameters["properties"]) == ["x", "y"]
    assert Toolbox.of([tool(x={})]) is before
    assert list(before.tools[0].parameters["properties"]) == ["x"]


def test_a_choice_of_the_same_tools_is_the_same_box():
    """A choice that leaves out none is no other box, and one that leaves out some is one box."""
    box = Toolbox.of([tool(x={}), Tool("g"), Tool("h")])
    assert box.only(["h", "g", "f"]) is box
    assert box.only(["h", "f"]) is box.only(["f", "h", "unknown"])
    assert box.only(["h", "f"]).names == ("f", "h")
    assert not box.only(())


def test_a_broken_schema_is_refused_each_time():
    """The check is kept where it found nothing."""
    request = ChatRequest(messages=(Message("user", "Hi"),), tools=(tool(x={"$ref": "#/$defs/Lost"}),))
    for _ in range(2):
        with pytest.raises(UsageError, match="names no part"):
            plan_of(request)


def test_a_request_with_changes_is_that_of_replace():
    """Every field is taken over, those that do not count in comparisons among them."""
    request = ChatRequest(
        messages=(Message("user", "Hi"),),
        temperature=0.5,
        options={"seed": 1},
        patience=Patience(Retry()),
        listener=print,
    )
    changed, replaced = request.changed(stream=False, model="m"), replace(request, stream=False, model="m")
    for field in fields(ChatRequest):
        assert getattr(changed, field.name) is getattr(replaced, field.name)
    assert request.model is None
    with pytest.raises(AttributeError):
        request.changed(modle="m")
    with pytest.raises(FrozenInstanceError):
        changed.model = "n"
