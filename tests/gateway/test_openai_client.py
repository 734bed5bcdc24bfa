"""The gateway, judged by OpenAI's own client."""

from __future__ import annotations

import json
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from freeproviders import FlowGpt, FreeNetfly, OpenAICompatible
from freeproviders.gateway import Gateway
from freeproviders.testing import Replica
from freeproviders.types import Finish, Reasoning, Text, ToolCall, Usage
from tests.brain import brain
from tests.gateway.conftest import HI, Through, async_client, client

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tell the weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int
    mood: Literal["glad", "sad"]


def test_a_whole_answer(flow: tuple[Replica, Gateway]) -> None:
    answer = client(flow[1]).chat.completions.create(model="auto", messages=HI)
    assert answer.choices[0].message.content == "Hello there, friend"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.model == "gpt-3.5-turbo"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 2
    extra = (answer.model_extra or {})["freeproviders"]
    assert (extra["provider"], extra["attempts"], extra["usage_estimated"]) == ("FlowGpt", 1, True)


def test_a_stream(flow: tuple[Replica, Gateway]) -> None:
    chunks = list(client(flow[1]).chat.completions.create(model="auto", messages=HI, stream=True))
    first, *pieces, last = chunks
    assert first.choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in pieces] == ["Hello", " there,", " friend"]
    assert last.choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert (last.model_extra or {})["freeproviders"]["provider"] == "FlowGpt"


def test_usage_comes_where_it_is_asked_for(flow: tuple[Replica, Gateway]) -> None:
    *chunks, last = client(flow[1]).chat.completions.create(
        model="auto", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in chunks)


async def test_the_asynchronous_client(flow: tuple[Replica, Gateway]) -> None:
    async with async_client(flow[1]) as asking:
        whole = await asking.chat.completions.create(model="auto", messages=HI)
        assert whole.choices[0].message.content == "Hello there, friend"
        text = ""
        async for chunk in await asking.chat.completions.create(model="auto", messages=HI, stream=True):
            text += chunk.choices[0].delta.content or ""
        assert text == "Hello there, friend"


def test_thinking_is_told_apart(through: Through) -> None:
    _, gateway = through(OpenAICompatible, [Reasoning("Let me"), Reasoning(" see."), Text("Yes.")])
    answer = client(gateway).chat.completions.create(model="auto", messages=HI)
    assert (answer.choices[0].message.model_extra or {})["reasoning_content"] == "Let me see."
    thoughts, words = [], []
    for chunk in client(gateway).chat.completions.create(model="auto", messages=HI, stream=True):
        delta = chunk.choices[0].delta
        thoughts.append((delta.model_extra or {}).get("reasoning_content"))
        words.append(delta.content)
    assert [thought for thought in thoughts if thought] == ["Let me", " see."]
    assert [word for word in words if word] == ["Yes."]


# --- tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", [FlowGpt, FreeNetfly, OpenAICompatible], ids=lambda cls: cls.slug)
@pytest.mark.parametrize("stream", [False, True])
def test_an_agents_loop(through: Through, provider: Any, stream: bool) -> None:
    """A call, its result, and the words that make use of it; on services without tools too."""
    _, gateway = through(provider, brain)
    asking = client(gateway)
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is the weather in Paris?"},
    ]
    message = _asked(asking, messages, stream)
    (call,) = message["tool_calls"]
    assert message["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"])["city"] == "Paris"
    assert call["id"]
    messages += [
        {"role": "assistant", "content": message["content"], "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "21 degrees, sunny"},
    ]
    ended = _asked(asking, messages, stream)
    assert not ended["tool_calls"]
    assert "21 degrees" in ended["content"]
    assert ended["finish_reason"] == "stop"


def _asked(asking: openai.OpenAI, messages: Any, stream: bool) -> dict[str, Any]:
    if not stream:
        choice = asking.chat.completions.create(model="auto", messages=messages, tools=[WEATHER]).choices[0]
        calls = [call.model_dump(exclude_none=True) for call in choice.message.tool_calls or ()]
        return {
            "content": choice.message.content,
            "tool_calls": calls,
            "finish_reason": choice.finish_reason,
        }
    # The client's own accumulator reads indices, ids and pieces of arguments.
    with asking.chat.completions.stream(model="auto", messages=messages, tools=[WEATHER]) as events:
        choice = events.get_final_completion().choices[0]
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.function.name, "arguments": call.function.arguments},
        }
        for call in choice.message.tool_calls or ()
    ]
    return {"content": choice.message.content, "tool_calls": calls, "finish_reason": choice.finish_reason}


def test_two_calls_have_two_indices(through: Through) -> None:
    calls = [ToolCall("a", "f", {"x": 1}), ToolCall("b", "f", {"x": 2})]
    _, gateway = through(OpenAICompatible, calls, claims={"native_tools": True})
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    deltas = [
        delta
        for chunk in client(gateway).chat.completions.create(
            model="auto", messages=HI, tools=[tool], stream=True
        )
        for delta in chunk.choices[0].delta.tool_calls or ()
    ]
    assert [(d.index, d.id, d.function and d.function.arguments) for d in deltas] == [
        (0, "a", '{"x":1}'),
        (1, "b", '{"x":2}'),
    ]


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}], ids=["any", "named"]
)
def test_a_call_can_be_required(through: Through, choice: Any) -> None:
    _, gateway = through(FlowGpt, brain)
    answer = client(gateway).chat.completions.create(
        model="auto", messages=HI, tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False
    )
    (call,) = answer.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


def test_no_call_is_made_where_none_may_be(through: Through) -> None:
    _, gateway = through(FlowGpt, brain)
    answer = client(gateway).chat.completions.create(
        model="auto",
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice="none",
    )
    assert answer.choices[0].message.tool_calls is None


# --- typed answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", [FlowGpt, OpenAICompatible], ids=lambda cls: cls.slug)
def test_parse(through: Through, provider: Any) -> None:
    _, gateway = through(provider, brain)
    answer = client(gateway).chat.completions.parse(
        model="auto",
        messages=[{"role": "user", "content": "Ada is 36 years old and glad."}],
        response_format=Person,
    )
    person = answer.choices[0].message.parsed
    assert isinstance(person, Person)
    assert person.age == 36


def test_a_stream_is_parsed(through: Through) -> None:
    _, gateway = through(FlowGpt, brain)
    with client(gateway).chat.completions.stream(
        model="auto",
        messages=[{"role": "user", "content": "Ada is 36 years old and glad."}],
        response_format=Person,
    ) as events:
        for _ in events:
            pass
        person = events.get_final_completion().choices[0].message.parsed
    assert isinstance(person, Person)


def test_any_object(through: Through) -> None:
    _, gateway = through(FlowGpt, 'Here it is: {"a": [1, 2]}')
    answer = client(gateway).chat.completions.create(
        model="auto", messages=HI, response_format={"type": "json_object"}
    )
    assert json.loads(answer.choices[0].message.content or "") == {"a": [1, 2]}


def test_no_object_came(through: Through) -> None:
    server, gateway = through(FlowGpt, "I would rather not.")
    with pytest.raises(openai.InternalServerError) as caught:
        client(gateway, max_retries=2).chat.completions.parse(
            model="auto", messages=HI, response_format=Person
        )
    assert caught.value.code == "invalid_object"
    assert len(server.requests) == 3  # the core's own tries, and none of the client's


# --- settings and content -------------------------------------------------------------------------


def test_settings_reach_the_service(through: Through) -> None:
    server, gateway = through()
    client(gateway).chat.completions.create(
        model="auto",
        messages=[{"role": "developer", "content": "Be brief."}, *HI],
        temperature=0.5,
        top_p=0.9,
        max_completion_tokens=7,
        stop=["END", "STOP"],
        seed=3,
        presence_penalty=0.1,
        user="somebody",
        extra_headers={"X-Anything": "1"},
    )
    sent = server.requests[-1].json
    assert {key: sent[key] for key in ("temperature", "top_p", "max_tokens", "stop", "seed")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop": ["END", "STOP"],
        "seed": 3,
    }
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert "user" not in sent


def test_stop_sequences_hold_everywhere(through: Through) -> None:
    _, gateway = through(FlowGpt, "one two three")
    answer = client(gateway).chat.completions.create(model="auto", messages=HI, stop=" three")
    assert answer.choices[0].message.content == "one two"


def test_pictures_reach_who_takes_them(through: Through) -> None:
    picture: Any = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    server, gateway = through()
    client(gateway).chat.completions.create(model="auto", messages=[{"role": "user", "content": picture}])
    assert server.requests[-1].json["messages"][0]["content"] == picture
    _, gateway = through(FlowGpt)
    with pytest.raises(openai.BadRequestError, match="takes no pictures"):
        client(gateway).chat.completions.create(model="auto", messages=[{"role": "user", "content": picture}])


def test_the_length_limit_is_told(through: Through) -> None:
    _, gateway = through(OpenAICompatible, [Text("Once upon"), Finish("length"), Usage(3, 2)])
    answer = client(gateway).chat.completions.create(model="auto", messages=HI, max_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


# --- errors ---------------------------------------------------------------------------------------


def test_a_wrong_key(through: Through) -> None:
    _, gateway = through(api_key="the-right-key")
    for given in ("wrong", "the-right-kez"):
        with pytest.raises(openai.AuthenticationError) as caught:
            client(gateway, api_key=given).models.list()
        assert caught.value.code == "invalid_api_key"
        assert "the-right-key" not in str(caught.value)
    assert client(gateway, api_key="the-right-key").chat.completions.create(model="auto", messages=HI)


def test_a_model_that_is_not_there(flow: tuple[Replica, Gateway]) -> None:
    with pytest.raises(openai.NotFoundError, match=r"gpt-9.*Use auto, gpt-3.5-turbo") as caught:
        client(flow[1]).chat.completions.create(model="gpt-9", messages=HI)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError):
        client(flow[1]).models.retrieve("gpt-9")
    assert flow[0].requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_service_that_limits(through: Through, stream: bool) -> None:
    server, gateway = through(faults={"status": 429, "retry_after": 40})
    asking = client(gateway, max_retries=0)
    with pytest.raises(openai.RateLimitError) as caught:
        asking.chat.completions.create(model="auto", messages=HI, stream=stream)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "40"
    assert caught.value.response.headers["x-should-retry"] == "true"
    assert len(server.requests) == 1


def test_what_no_wait_helps(through: Through) -> None:
    """A client that tries again by itself is told not to."""
    server, gateway = through(faults={"quota": True})
    with pytest.raises(openai.RateLimitError) as caught:
        client(gateway, max_retries=2).chat.completions.create(model="auto", messages=HI)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(server.requests) == 1


def test_the_clients_own_retries(through: Through) -> None:
    server, gateway = through(
        FlowGpt,
        "At last",
        faults=[{"status": 503, "retry_after": 0}, {}],
        claims={"retry": 0},
    )
    answer = client(gateway, max_retries=2).chat.completions.create(model="auto", messages=HI)
    assert answer.choices[0].message.content == "At last"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"messages": []}, "messages must be a list"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "Unknown message role 'robot'"),
        ({"temperature": 3}, "temperature must be a number from 0 to 2"),
        ({"n": 2}, "n must be 1"),
        ({"max_tokens": 0}, "max_tokens must be a whole number"),
        ({"response_format": {"type": "xml"}}, "response_format must be"),
        ({"tool_choice": "required"}, "tool"),
        ({"tools": [{"type": "function", "function": {}}]}, "tool"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "send the functions as tools"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_input(flow: tuple[Replica, Gateway], wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(openai.BadRequestError, match=says) as caught:
        client(flow[1]).chat.completions.create(**{"model": "auto", "messages": HI, **wrong})
    assert caught.value.type == "invalid_request_error"
    assert flow[0].requests == []


def test_a_key_that_the_service_refuses_is_not_the_clients(through: Through) -> None:
    _, gateway = through(options={"api_key": "right"}, claims={"api_key": "wrong-service-key"})
    with pytest.raises(openai.InternalServerError) as caught:
        client(gateway).chat.completions.create(model="auto", messages=HI)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_authentication"
    assert "wrong-service-key" not in str(caught.value)


def test_an_error_in_the_middle(through: Through) -> None:
    _, gateway = through(
        OpenAICompatible, "one two three four", faults={"error": "Out of luck", "error_at": 2}
    )
    seen = []
    with pytest.raises(openai.APIError, match="Out of luck"):
        for chunk in client(gateway).chat.completions.create(model="auto", messages=HI, stream=True):
            seen.append(chunk.choices[0].delta.content)
    assert seen == ["", "one", " two"]


def test_a_service_that_breaks_off(through: Through) -> None:
    _, gateway = through(OpenAICompatible, "one two three four", faults={"cut": 700})
    with pytest.raises(openai.APIError) as caught:
        for _ in client(gateway).chat.completions.create(model="auto", messages=HI, stream=True):
            pass
    assert caught.value.code == "upstream_error"


# --- leaving --------------------------------------------------------------------------------------


def test_a_client_that_leaves_a_stream_ends_the_question(through: Through) -> None:
    server, gateway = through(OpenAICompatible, "one two three", faults={"stall": 2})
    with client(gateway).chat.completions.create(model="auto", messages=HI, stream=True) as stream:
        next(iter(stream))
    assert server.wait_disconnect() == 1


def test_a_client_that_leaves_before_the_first_word(through: Through) -> None:
    server, gateway = through(faults={"delay_headers": 60})
    with pytest.raises(openai.APITimeoutError):
        client(gateway, timeout=0.3).chat.completions.create(model="auto", messages=HI)
    assert server.wait_disconnect() == 1


# --- the rest -------------------------------------------------------------------------------------


def test_raw_responses(flow: tuple[Replica, Gateway]) -> None:
    raw = client(flow[1]).chat.completions.with_raw_response.create(model="auto", messages=HI)
    assert raw.headers["content-type"] == "application/json"
    assert raw.headers["x-request-id"].startswith("req_")
    answer = raw.parse()
    assert answer.choices[0].message.content == "Hello there, friend"
    assert answer._request_id == raw.headers["x-request-id"]


def test_what_is_not_read_is_said(flow: tuple[Replica, Gateway]) -> None:
    raw = client(flow[1]).chat.completions.with_raw_response.create(
        model="auto", messages=HI, store=True, extra_body={"guided_regex": "a+"}
    )
    assert raw.headers["x-freeproviders-ignored"] == "guided_regex, store"


def test_the_list_of_models(flow: tuple[Replica, Gateway]) -> None:
    asking = client(flow[1])
    assert [model.id for model in asking.models.list()] == ["auto", "gpt-3.5-turbo"]
    assert asking.models.retrieve("gpt-3.5-turbo").owned_by == "flow-gpt"
    for name in ("flow-gpt/gpt-3.5-turbo", "flow-gpt", "gpt-3.5-turbo", "auto"):
        assert asking.chat.completions.create(model=name, messages=HI).choices[0].message.content
