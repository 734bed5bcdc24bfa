"""Requests in the style of a service: what is renamed, left out, bounded, added, and what stays."""

import json
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import OpenAICompatible
from freeproviders.errors import UnsupportedOptionWarning
from freeproviders.types import CallExtra, ChatRequest, ImageBlock, Message, TextBlock, Tool, ToolCall
from freeproviders.wire.openai.request import request_body
from freeproviders.wire.openai.style import PLAIN, Style
from freeproviders.wire.openai.styled import AFTER_TOOL

ASK = Message("user", "Hi")
TOOL = Tool("f", "does", {"$schema": "x", "type": "object", "properties": {}, "additionalProperties": False})
RUN = (
    ASK,
    Message("assistant", "", tool_calls=(ToolCall("call_1", "f", {}), ToolCall("abcDEF123", "f", {}))),
    Message("tool", "one", tool_call_id="call_1", name="f"),
    Message("tool", "two", tool_call_id="abcDEF123", name="f"),
    Message("user", "And?", name="bob"),
)


def body(style, messages=(ASK,), said=None, **fields):
    said = [] if said is None else said
    return request_body(
        ChatRequest(messages=tuple(messages), **{"stream": False, **fields}),
        style,
        say=lambda what, words: said.append(words),
    )


def test_without_a_style_nothing_changes():
    """A style without facts writes what no style writes."""
    request = {"max_tokens": 5, "stop": tuple("abcdef"), "tools": (TOOL,), "options": {"seed": 1}}
    assert body(Style(), RUN, **request) == body(PLAIN, RUN, **request)
    assert body(PLAIN, **request)["stop"] == tuple("abcd")


def test_names_and_bounds_of_the_limit():
    said = []
    style = Style(max_tokens="max_completion_tokens", at_least={"max_tokens": 16}, at_most={"top_k": 40})
    sent = body(style, said=said, max_tokens=5, options={"top_k": 50})
    assert "max_tokens" not in sent
    assert (sent["max_completion_tokens"], sent["top_k"]) == (16, 40)
    assert said == [
        "takes max_completion_tokens of at least 16: 5 is sent as 16.",
        "takes top_k of at most 40: 50 is sent as 40.",
    ]
    assert "max_completion_tokens" not in body(style)
    assert body(style, max_tokens=16)["max_completion_tokens"] == 16


def test_a_bound_of_a_file_is_sent_as_a_whole_number():
    """Files' numbers are read as 16.0, which is no number of tokens for strict services."""
    sent = body(Style(at_least={"max_tokens": 16.0, "temperature": 0.5}), max_tokens=5, temperature=0.1)
    assert json.dumps([sent["max_tokens"], sent["temperature"]]) == "[16, 0.5]"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_bounds_by_either_name(name):
    assert body(Style(at_most={"max_tokens": 10}), options={name: 20})[name] == 10


@pytest.mark.parametrize(
    ("refused", "fields", "said"),
    [
        ("stream_options", {"stream": True}, False),
        ("stop", {"stop": ("x",)}, False),
        ("parallel_tool_calls", {"parallel_tool_calls": False, "tools": (TOOL,)}, False),
        ("tool_choice", {"tool_choice": "auto", "tools": (TOOL,)}, False),
        ("tool_choice", {"tool_choice": "required", "tools": (TOOL,)}, True),
        ("temperature", {"temperature": 0}, True),
        ("max_tokens", {"options": {"max_completion_tokens": 5}}, True),
        ("logprobs", {"options": {"logprobs": True}}, True),
    ],
)
def test_refused_fields(refused, fields, said):
    """What a caller would miss is said; what is done here anyway, or by the service, is not.

    An answer ends here after the first call where only one is wanted.
    """
    told = []
    name = next(iter(fields.get("options", ())), refused)
    assert name in body(PLAIN, **fields)
    assert name not in body(Style(leave_out=(refused,)), said=told, **fields)
    assert told == ([f"cannot take {name}: left out of the request."] if said else [])


def test_fields_that_each_request_has():
    """What the caller says counts, in a field of a field too; nobody's mapping is changed."""
    own = {"order": ["a"], "data": {"keep": True}}
    style = Style(send={"provider": {"allow_fallbacks": False, "order": [], "data": {"x": 1}}, "safe": True})
    sent = body(style, options={"provider": own, "safe": None})
    assert sent["provider"] == {"order": ["a"], "allow_fallbacks": False, "data": {"keep": True, "x": 1}}
    assert sent["safe"] is None
    assert own == {"order": ["a"], "data": {"keep": True}}
    assert body(style)["safe"] is True


def test_contents_are_text():
    """A message with calls has null or no text; a list is there for pictures alone."""
    texts = Message("user", (TextBlock("a"), TextBlock("b")))
    picture = Message("user", (TextBlock("a"), ImageBlock("https://x/y.png")))
    sent = body(Style(flat_content=True, null_content=False), [*RUN, texts, picture])["messages"]
    assert [message["content"] for message in sent[:-1]] == ["Hi", "", "one", "two", "And?", "a\nb"]
    assert [part["type"] for part in sent[-1]["content"]] == ["text", "image_url"]
    assert body(PLAIN, RUN)["messages"][1]["content"] is None


def test_refused_fields_of_messages():
    said = []
    sent = body(Style(leave_out_of_messages=("name",)), RUN, said=said)["messages"]
    assert not any("name" in message for message in sent)
    assert sent[1]["tool_calls"][0]["function"]["name"] == "f"
    assert said == ["cannot take the name of a message: left out of the request."]


def test_the_assistant_speaks_between_a_result_and_the_user():
    style = Style(assistant_after_tool=True)
    roles = [message["role"] for message in body(style, RUN)["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "assistant", "user"]
    assert body(style, RUN)["messages"][4]["content"] == AFTER_TOOL
    assert len(body(style, RUN[:4])["messages"]) == 4  # the model speaks next


@pytest.mark.parametrize("stops", [0, 1, 6])
def test_so_many_stop_sequences(stops):
    assert body(Style(stops=stops), stop=tuple("abcdef")).get("stop", ()) == tuple("abcdef")[:stops]


def test_thinking_goes_back_in_the_services_own_field():
    run = (ASK, Message("assistant", "", tool_calls=(ToolCall("a", "f", {}),), reasoning="hm"))
    request = ChatRequest(messages=(*run, Message("tool", "1", tool_call_id="a")))
    assert (
        request_body(request, Style(reasoning="thoughts"), reasoning=True)["messages"][1]["thoughts"] == "hm"
    )
    assert request_body(request, reasoning=True)["messages"][1]["reasoning_content"] == "hm"


# --- ids of calls ---------------------------------------------------------------------------------

IDS = st.lists(
    st.one_of(st.text(max_size=12), st.from_regex(r"[A-Za-z0-9]{9}", fullmatch=True)),
    unique=True,
    max_size=30,
)


def ids_sent(ids, chars=9):
    calls = tuple([ToolCall(identity, "f", {}) for identity in ids])
    results = [Message("tool", "x", tool_call_id=identity) for identity in ids]
    sent = body(Style(call_id_chars=chars), [ASK, Message("assistant", "", tool_calls=calls), *results])
    made = [call["id"] for call in sent["messages"][1].get("tool_calls", ())]
    assert [message["tool_call_id"] for message in sent["messages"][2:]] == made
    return made


@given(IDS, st.lists(st.text(max_size=12), max_size=5))
def test_ids_that_fit(ids, more):
    """Calls and results agree, different ids stay different, the same id is the same again."""
    sent = ids_sent(ids)
    assert all(re.fullmatch("[A-Za-z0-9]{9}", identity) for identity in sent)
    assert len(set(sent)) == len(ids)
    assert all(new == old for new, old in zip(sent, ids, strict=True) if re.fullmatch("[A-Za-z0-9]{9}", old))
    assert ids_sent([*ids, *dict.fromkeys(one for one in more if one not in ids)])[: len(ids)] == sent


@given(st.lists(st.text(min_size=2, max_size=4), unique=True, max_size=62))
def test_ids_of_one_letter_stay_different(ids):
    """However often two ids would become the same one."""
    assert len(set(ids_sent(ids, 1))) == len(ids)


# --- schemas --------------------------------------------------------------------------------------

REFUSED = ("additionalProperties", "$schema", "default")
NAMES = (*REFUSED, "type", "properties", "a", "enum")


def some_data(random, depth=2):
    """Data in which refused keywords are mere words."""
    kind = random.randrange(4 if depth else 2)
    if kind == 2:
        return [some_data(random, depth - 1) for _ in range(random.randrange(3))]
    if kind == 3:
        return {name: some_data(random, depth - 1) for name in random.sample(NAMES, random.randrange(3))}
    return random.choice(NAMES) if kind else random.randrange(9)


def some_schema(random, depth=4):
    """A schema, and the same without what is refused."""
    given_, expected = {}, {}
    for key in random.sample(("enum", "const", "examples"), random.randrange(3)):
        given_[key] = expected[key] = some_data(random)
    if depth:
        for key in random.sample(("properties", "$defs", "patternProperties"), random.randrange(3)):
            named = {name: some_schema(random, depth - 1) for name in random.sample(NAMES, 2)}
            given_[key] = {name: pair[0] for name, pair in named.items()}
            expected[key] = {name: pair[1] for name, pair in named.items()}
            if key == "properties":
                given_["required"] = expected["required"] = sorted(named)
        for key in random.sample(("items", "not", "if", "contains"), random.randrange(3)):
            given_[key], expected[key] = some_schema(random, depth - 1)
        if random.randrange(2):
            options = [some_schema(random, depth - 1) for _ in range(2)]
            given_["anyOf"], expected["anyOf"] = map(list, zip(*options, strict=True))
    for key in random.sample(REFUSED, random.randrange(len(REFUSED) + 1)):
        given_[key] = some_data(random)
    return given_, expected


@given(st.integers())
@settings(deadline=None)
def test_refused_keywords_of_schemas(seed):
    """They go at any depth; properties of that name, and data, stay; the caller's schema is not changed."""
    given_, expected = some_schema(Random(seed))
    before = json.dumps(given_)
    tool = Tool("f", "", given_)
    sent = body(Style(leave_out_of_schemas=REFUSED), tools=(tool,))["tools"][0]["function"]["parameters"]
    assert sent == expected
    assert json.dumps(given_) == before


def test_strict_goes_with_the_schemas_keywords():
    tools = (Tool("f", "", {"type": "object"}, strict=True),)
    assert "strict" not in body(Style(leave_out_of_schemas=("strict",)), tools=tools)["tools"][0]["function"]
    assert body(Style(leave_out_of_schemas=("x",)), tools=tools)["tools"][0]["function"]["strict"] is True


# --- what services add to calls -------------------------------------------------------------------

SIGNED = CallExtra("one", {"extra_content": {"google": {"thought_signature": "s"}}, "id": "forged"})
DEFAULT = {"extra_content": {"google": {"thought_signature": "skip"}}}


@pytest.mark.parametrize(
    ("extras", "origin", "default", "expected"),
    [
        ((SIGNED, None), "one", DEFAULT, ["s", None]),
        ((None, SIGNED), "one", DEFAULT, [None, "s"]),
        ((SIGNED, None), "two", DEFAULT, ["skip", None]),
        ((SIGNED, None), "two", {}, [None, None]),
        ((None, None), "one", DEFAULT, ["skip", None]),
        ((SIGNED, SIGNED), "", DEFAULT, [None, None]),
    ],
)
def test_extras_go_to_the_service_that_they_came_from(extras, origin, default, expected):
    calls = tuple([ToolCall(f"c{n}", "f", {}, extra) for n, extra in enumerate(extras)])
    request = ChatRequest(messages=(ASK, Message("assistant", "", tool_calls=calls)))
    style = Style(tool_extras=True, tool_extra_default=default)
    sent = request_body(request, style, extras_of=origin)["messages"][1]["tool_calls"]
    told = [call.get("extra_content", {}).get("google", {}).get("thought_signature") for call in sent]
    assert told == expected
    assert [call["id"] for call in sent] == ["c0", "c1"]


def test_what_stood_beside_the_calls_does_so_again():
    """In the answer, not in its calls; no field of the protocol is replaced by it."""
    beside = {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}], "role": "system"}
    calls = (ToolCall("a", "f", {}, CallExtra("one", beside=beside)), ToolCall("b", "f", {}))
    request = ChatRequest(messages=(ASK, Message("assistant", "", tool_calls=calls)))
    for origin, told in (("one", beside["reasoning_details"]), ("two", None), ("", None)):
        sent = request_body(request, Style(tool_extras=True), extras_of=origin)["messages"][1]
        assert sent.get("reasoning_details") == told
        assert sent["role"] == "assistant"
        assert sent["tool_calls"] == [call.to_openai() for call in calls]


@pytest.mark.parametrize(
    "saved",
    [None, "x", {}, {"origin": 1}, {"origin": "a", "fields": "x"}, {"origin": "a", "beside": [1]}],
    ids=str,
)
def test_what_is_no_extra(saved):
    """Messages come from files of anybody."""
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}, "extra": saved}
    assert Message.of({"role": "assistant", "tool_calls": [call]}).tool_calls[0].extra is None


def test_extras_are_in_no_repr():
    assert "secret" not in repr(ToolCall("c", "f", {}, CallExtra("one", {"a": "secret"})))
    assert "secret" not in repr(CallExtra("one", {"a": "secret"}))


# --- a provider -----------------------------------------------------------------------------------


def test_what_is_changed_is_said_once():
    """By the provider's name, at the caller's line, for each provider object."""
    provider = OpenAICompatible("m", base_url="http://127.0.0.1:1/v1")
    provider.style = Style(at_least={"max_tokens": 16}, headers={"X-Title": "a", "Accept": "b"})
    request = ChatRequest(messages=(ASK,), max_tokens=5)
    with pytest.warns(
        UnsupportedOptionWarning, match="OpenAICompatible takes max_tokens of at least 16"
    ) as seen:
        sent = [provider.encode(request) for _ in range(2)]
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert [json.loads(one.body)["max_tokens"] for one in sent] == [16, 16]
    assert sent[0].headers["X-Title"] == "a"
    provider = provider.configured(headers={"X-Title": "mine"})
    assert provider.encode(request).headers["X-Title"] == "mine"
