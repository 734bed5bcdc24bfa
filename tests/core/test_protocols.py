"""Any answer, over any protocol, cut anywhere, arrives whole and once.

What goes out is what the service wants.
"""

import random
import re
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeproviders import AIChatFree, FlowGpt, FreeNetfly, OpenAICompatible, errors
from freeproviders.errors import UnsupportedOptionWarning
from freeproviders.streams import whole
from freeproviders.testing import replica
from freeproviders.types import Finish, Reasoning, Text, ToolCall, Usage
from tests.core.services import HI, SERVICES, text_of

ODD = [
    "\u2028",
    "\u2029",
    "\x85",
    "\r",
    "\r\n",
    "\n\n",
    "data: x",
    "[DONE]",
    "🙂",
    "\ufeff",
    '"',
    "\\",
    "é",
    "{",
    "}",
    "\x0b",
    " ",
    "<html>",
    "\ud7ff",
]
pieces = st.lists(st.one_of(st.text(min_size=1, max_size=10), st.sampled_from(ODD)), min_size=1, max_size=6)


@pytest.fixture(scope="module", params=SERVICES, ids=str)
def running(request):
    with replica(request.param.cls, **request.param.style) as r:
        yield request.param, r


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answer=pieces,
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    encoding=st.sampled_from([None, None, "gzip", "deflate"]),
)
async def test_any_answer_at_any_cut(running, answer, sizes, encoding):
    """Whatever is said arrives whole and once, whatever the size of the writes."""
    service, r = running
    if service.cls is AIChatFree:
        answer = ["I: ", *answer]  # a byte order mark at the start of raw text is none of it
    r.answer, r.faults = answer, {"chunk": sizes, **({"encoding": encoding} if encoding else {})}

    assert await text_of(service.provider(r)) == "".join(answer)


async def test_600_kb_in_one_line(running):
    """A line of 600 KB is no line too long."""
    service, r = running
    text = "".join(random.Random(1).choices("abcdefghij klmnop🙂", k=600_000))
    r.answer, r.faults = [text], None

    assert await text_of(service.provider(r)) == text


async def test_3_mb_question(running):
    """A question of 3 MB goes out whole, and without a warning."""
    service, r = running
    r.answer, r.faults = "ok", None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await text_of(service.provider(r), [{"role": "user", "content": "x" * 3_000_000}]) == "ok"
    assert b"x" * 3_000_000 in r.requests[-1].body


async def test_the_end_is_said_once(running):
    """Usage and Finish come last and once, and say who answered."""
    service, r = running
    r.answer, r.faults = ["Hello", " there"], None
    parts = [part async for part in service.provider(r).stream(HI)]

    assert [type(part) for part in parts if not isinstance(part, Text)] == [Usage, Finish]
    usage, finish = parts[-2:]
    assert finish.provider == service.cls.name
    assert finish.model
    assert (finish.reason, finish.attempts, finish.confirmed) == ("stop", 1, True)
    assert usage.output_tokens > 0
    assert usage.input_tokens > 0
    assert usage.estimated is (service.cls is not OpenAICompatible)


async def test_whole_answer(running):
    """`complete` collects the same."""
    service, r = running
    r.answer, r.faults = ["Hello", " there"], None
    completion = await service.provider(r).complete(HI)

    assert completion.text == str(completion) == "Hello there"
    assert completion.finish.reason == "stop"


async def test_stop_sequences_on_every_service(running):
    """The text is cut where a stop sequence begins, across pieces, and the request is ended."""
    service, r = running
    r.answer, r.faults = (
        ["one tw", "o thr", "ee"] + [" more"] * 5,
        {"pace": 0.02} if service.style.get("style") != "json" else None,
    )
    provider = service.provider(r)

    assert await text_of(provider, stop=["two", "zzz"]) == "one "
    assert await text_of(provider, stop="o thre") == "one tw"
    assert await text_of(provider, stop="one") == ""
    finish = [part async for part in provider.stream(HI, stop="thr")][-1]
    assert finish.reason == "stop"


async def test_multi_turn(running):
    """A conversation with a system message and list contents takes the form of each protocol."""
    service, r = running
    r.answer, r.faults = "ok", None
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}]},
        {"role": "assistant", "content": "A test."},
        {"role": "user", "content": "Of what?"},
    ]
    assert await text_of(service.provider(r), messages) == "ok"
    request = r.requests[-1]
    match service.cls.slug:
        case "free-netfly" | "openai-compatible":
            assert [(m["role"], m["content"]) for m in request.json["messages"]] == [
                ("system", "Be brief."),
                ("user", "What is\nthis?"),
                ("assistant", "A test."),
                ("user", "Of what?"),
            ]
        case "chatgpt-free":
            assert (
                request.form["message"]
                == "System: Be brief.\nUser: What is\nthis?\nAssistant: A test.\nUser: Of what?\nAssistant:"
            )
            assert request.form["url"] == "https://chatgptfree.ai"
        case "flow-gpt":
            assert request.json["system"] == "Be brief."
            assert request.json["question"] == "Of what?"
            assert [m["content"] for m in request.json["history"]] == [
                "Hello, how can I help you today?",
                "What is\nthis?",
                "A test.",
            ]
        case "ai-chat-free":
            assert [(m["role"], m["parts"][0]["text"]) for m in request.json["messages"]] == [
                ("user", "Be brief."),
                ("user", "What is\nthis?"),
                ("model", "A test."),
                ("user", "Of what?"),
            ]


async def test_pictures_are_refused_before_anything_is_sent(running):
    """A picture where there is no place for one is an error at the call; OpenAICompatible passes it on."""
    service, r = running
    r.answer, r.faults = "ok", None
    before = len(r.requests)
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        }
    ]
    provider = service.provider(r)
    if service.cls is OpenAICompatible:
        assert await text_of(provider, messages) == "ok"
        assert r.requests[-1].json["messages"][0]["content"][1] == {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,AA=="},
        }
    else:
        with pytest.raises(errors.UnsupportedInputError, match="pictures"):
            provider.create_async_generator(messages=messages)
        assert len(r.requests) == before


async def test_unsupported_options_are_said_once(running):
    """A setting that the service cannot take is left out, and said once for each provider object."""
    service, r = running
    r.answer, r.faults = "ok", None
    provider = service.provider(r)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert await text_of(provider, seed=1, temperature=0.1) == "ok"
    said = [str(w.message) for w in caught if w.category is UnsupportedOptionWarning]
    expected = {
        "free-netfly": "seed",
        "chatgpt-free": "seed, temperature",
        "flow-gpt": "seed",
        "ai-chat-free": "seed, temperature",
    }.get(service.cls.slug)
    assert said == (
        [f"{service.cls.name} cannot take {expected}: left out of the request."] if expected else []
    )
    if service.cls is OpenAICompatible:
        assert r.requests[-1].json["seed"] == 1


async def test_headers_and_cookies(running):
    """The caller's headers win over the protocol's own, and his cookies are sent with every request."""
    service, r = running
    r.answer, r.faults = "ok", None
    before = len(r.requests)
    provider = service.provider(
        r, headers={"x-mine": "1", "user-agent": "me/1"}, cookies={"a": "1", "b": "two"}
    )
    assert await text_of(provider) == "ok"
    for request in r.requests[before:]:
        assert request.headers["X-Mine"] == "1"
        assert request.headers.getall("User-Agent") == ["me/1"]
        assert {"a": "1", "b": "two"}.items() <= request.cookies.items()
    for bad in ({"a": "1\r\nb: 2"}, {"a\n": "1"}):
        with pytest.raises(errors.UsageError, match="Header"):
            service.provider(r, headers=bad)


MISTAKES = [
    ({"messages": []}, "empty"),
    ({"messages": [{"role": "boss", "content": "x"}]}, "boss"),
    ({"messages": [{"role": "user", "content": 7}]}, "int"),
    ({"messages": ["x"]}, "mapping"),
    ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "audio"),
    ({"messages": HI, "stop": [""]}, "stop"),
    ({"messages": HI, "max_tokens": 0}, "max_tokens"),
    ({}, "messages is missing"),
    ({"messages": HI, "timeout": -1}, "timeout"),
    ({"messages": HI, "retry": -1}, "retry"),
    ({"messages": HI, "proxy": "socks5://x:1"}, "SOCKS"),
    ({"messages": HI, "base_url": "ftp://x"}, "base_url"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=str)
def test_mistakes_are_found_before_anything_is_sent(running, arguments, said):
    """Bad input is an error at the call, which is a ValueError and says what is wrong."""
    service, r = running
    before = len(r.requests)
    with pytest.raises(ValueError, match=said):
        service.provider(r).create_async_generator(**arguments)
    assert len(r.requests) == before


def test_what_the_four_send_is_exact():
    """The values that go out, where the replica checks only their form.

    It refuses anything but the exact request.
    """
    with replica(FlowGpt, answer="ok") as r:
        flow = FlowGpt(base_url=r.base_url)
        assert flow.complete_sync("x", model="gemini").text == "ok"
        body, headers = r.requests[-1].json, r.requests[-1].headers
        assert (body["model"], body["promptId"], body["temperature"]) == (
            "google-gemini",
            "model-google-gemini",
            0.7,
        )
        assert re.fullmatch(r"f-[a-z0-9]{19}", headers["x-flow-device-id"])
    with replica(FreeNetfly, answer="ok") as r:
        FreeNetfly(base_url=r.base_url).complete_sync(
            "x", temperature=0.1, top_p=0.2, presence_penalty=0.3, max_tokens=9
        )
        body = r.requests[-1].json
        assert {
            key: body[key]
            for key in (
                "temperature",
                "top_p",
                "presence_penalty",
                "frequency_penalty",
                "stream",
                "max_tokens",
            )
        } == {
            "temperature": 0.1,
            "top_p": 0.2,
            "presence_penalty": 0.3,
            "frequency_penalty": 0,
            "stream": True,
            "max_tokens": 9,
        }
    with replica(AIChatFree, answer="ok") as r:
        AIChatFree(base_url=r.base_url).complete_sync("x")
        assert r.requests[-1].headers["Content-Type"] == "text/plain;charset=UTF-8"
        assert isinstance(r.requests[-1].json["time"], int)


async def test_openai_tools_reasoning_and_key():
    """OpenAICompatible sends native tools and a key, and reads reasoning and tool calls."""
    tool = {
        "type": "function",
        "function": {
            "name": "f",
            "description": "d",
            "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
    }
    answer = lambda messages: [Reasoning("hm"), Text("ok"), ToolCall("call_1", "f", {"x": 1})]  # noqa: E731
    with replica(OpenAICompatible, answer=answer, api_key="sk-right") as r:
        provider = OpenAICompatible("m", base_url=r.base_url, api_key="sk-right", native_tools=True)
        for stream in (True, False):
            completion = await whole(
                provider.batches(
                    provider.request(
                        "x", tools=[tool], tool_choice="required", parallel_tool_calls=False, stream=stream
                    )
                )
            )
            assert completion.reasoning == "hm"
            assert completion.text == "ok"
            assert completion.tool_calls == (ToolCall("call_1", "f", {"x": 1}),)
            assert completion.finish.reason == "tool_calls"
            body = r.requests[-1].json
            assert body["tools"][0]["function"]["name"] == "f"
            assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
        other = {"name": "g", "parameters": {"type": "object", "properties": {}}}
        await whole(provider.batches(provider.request("x", tools=[tool, other], tool_choice=("f",))))
        assert [row["function"]["name"] for row in r.requests[-1].json["tools"]] == ["f"]
        assert r.requests[-1].json["tool_choice"] == "required"
        assert await provider.list_models()
        with pytest.raises(errors.AuthenticationError) as caught:
            await OpenAICompatible("m", base_url=r.base_url, api_key="sk-wrong").complete("x")
        assert "sk-wrong" not in str(caught.value) + repr(provider)
    with pytest.raises(errors.UsageError, match="no native tools"):
        without = OpenAICompatible("m", base_url="http://127.0.0.1:1/v1", native_tools=False)
        without.batches(provider.request("x", tools=[tool]))


def test_get_rid_of_secrets():
    """No key, cookie or proxy password is in what is printed of a provider."""
    provider = OpenAICompatible(
        "m",
        base_url="http://127.0.0.1:1/v1",
        api_key="k-secret",
        proxy="http://u:p-secret@127.0.0.1:2",
        cookies={"c": "c-secret"},
        headers={"x": "h-secret"},
    )
    request = provider.encode(provider.request("x"))
    assert "secret" not in f"{provider!r} {provider.route!r} {request!r}"
