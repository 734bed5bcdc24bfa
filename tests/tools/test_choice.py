"""The choice among tools, in every notation that callers use."""

import pytest

from freeproviders import FlowGpt
from freeproviders.errors import UsageError
from freeproviders.tools.choice import offered, read_choice
from freeproviders.types import ChatRequest, Message, Tool

NAMES = ("add", "look_up")


def openai(name):
    return {"type": "function", "function": {"name": name}}


def allowed(mode, *names):
    return {
        "type": "allowed_tools",
        "allowed_tools": {"mode": mode, "tools": [openai(name) for name in names]},
    }


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        (False, None),
        ("", None),
        (True, "required"),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        ({"type": "auto"}, "auto"),
        ({"type": "none"}, "none"),
        ({"type": "any"}, "required"),
        ({"type": "required"}, "required"),
        ("add", "add"),
        ({"name": "add"}, "add"),
        (openai("add"), "add"),
        ({"type": "function", "name": "add"}, "add"),
        ({"type": "tool", "name": "add"}, "add"),
        ({"function": {"name": "add"}}, "add"),
        (["look_up", "add", "look_up"], ("look_up", "add")),
        (("add",), ("add",)),
        ([openai("add"), {"name": "look_up"}], NAMES),
        (allowed("required", "add"), ("add",)),
        (allowed("auto", "add"), "auto"),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"name": "add"}]}, ("add",)),
        ({"type": "allowed_tools", "tools": [{"name": "add"}]}, "auto"),
    ],
    ids=str,
)
def test_every_notation(choice, expected):
    assert read_choice(choice, NAMES) == expected
    assert read_choice(read_choice(choice, NAMES), NAMES) == expected


@pytest.mark.parametrize(
    "choice",
    [
        *(
            "fly",
            "Add",
            openai("fly"),
            {"type": "tool"},
            {},
            {"function": 5},
            {"name": 5},
            {"type": ["auto"]},
        ),
        *((), [], ["fly"], ["add", 5], [["add"]], b"add", 5, 1.0, {1}),
        *(allowed("required"), allowed("auto"), allowed("auto", "fly"), allowed("never", "add")),
        {"type": "allowed_tools", "tools": "add"},
    ],
    ids=str,
)
def test_what_is_no_choice_is_the_callers_mistake(choice):
    with pytest.raises(UsageError, match="tool_choice"):
        read_choice(choice, NAMES)


def test_a_tool_may_be_named_like_a_word():
    """A word means itself.

    A mapping that names a tool means the tool, in a form that cannot be mistaken.
    """
    assert read_choice("any", ("any", "auto")) == "required"
    assert read_choice(openai("auto"), ("any", "auto")) == ("auto",)
    assert read_choice(("auto",), ("any", "auto")) == ("auto",)


def test_fewer_tools_on_offer_without_requiring_one():
    assert offered(allowed("auto", "look_up"), NAMES) == ("look_up",)
    assert offered("look_up", NAMES) == offered(None, NAMES) == NAMES


def test_the_core_takes_all_of_them():
    """A request holds the canonical form; tools that are not allowed are not in it."""
    tools = [Tool(name) for name in NAMES]
    ask = FlowGpt().request
    assert ask("Hi", tools=tools, tool_choice=openai("add")).tool_choice == "add"
    assert ask("Hi", tools=tools, tool_choice=True).tool_choice == "required"
    narrowed = ask("Hi", tools=tools, tool_choice=allowed("auto", "add"))
    assert ([tool.name for tool in narrowed.tools], narrowed.tool_choice) == (["add"], "auto")
    with pytest.raises(UsageError, match="add, look_up"):
        ask("Hi", tools=tools, tool_choice="fly")


def test_a_required_call_needs_a_tool():
    with pytest.raises(UsageError, match="has none"):
        FlowGpt().answer(FlowGpt().request("Hi", tool_choice="any"))
    with pytest.raises(UsageError, match="has none"):
        FlowGpt().answer(ChatRequest(messages=(Message("user", "Hi"),), tool_choice="required"))
