"""Our client against replicas of the catalogue's services, which were not written from it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import pytest

from freeproviders import OpenAICompatible
from freeproviders.catalogue import Service, catalogue, facts_of
from freeproviders.errors import NotInPlanError, ProviderError, RateLimitError, RequestTooLargeError
from freeproviders.testing import Replica, replica
from freeproviders.types import ToolCall
from tests.testing.asking import Clock

ALIVE = [row.id for row in catalogue() if row.gone is None]
HI = [{"role": "user", "content": "Hi"}]
LONG_ID = "call_of_another_service_1"
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Weather",
    "type": "object",
    "additionalProperties": False,
    "required": ["city"],
    "properties": {
        "city": {"type": "string", "title": "City", "minLength": 1, "examples": ["Paris"]},
        "title": {"$ref": "#/$defs/Names"},
        "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None},
    },
    "$defs": {
        "Names": {
            "type": "object",
            "propertyNames": {"pattern": "^a"},
            "patternProperties": {"^a": {"type": "integer", "exclusiveMinimum": 0}},
        }
    },
}
TOOL = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": SCHEMA}}
HISTORY = [
    {"role": "system", "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "short."}]},
    {"role": "user", "content": [{"type": "text", "text": "The weather?"}, {"type": "text", "text": "Now."}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": LONG_ID, "type": "function", "function": {"name": "look", "arguments": '{"city":"Paris"}'}}
        ],
    },
    {"role": "tool", "tool_call_id": LONG_ID, "content": "21"},
]
TOMORROW = {"role": "user", "content": "And tomorrow?"}
EVERYTHING = {
    "temperature": 2.0,
    "top_p": 1.0,
    "max_tokens": 5,
    "stop": ["a", "b", "c", "d"],
    "seed": 1,
    "presence_penalty": 1.0,
    "frequency_penalty": -1.0,
}
REQUESTS: dict[str, tuple[Sequence[Any], dict[str, Any]]] = {
    "a history with calls of another service": ([*HISTORY, TOMORROW], {}),
    "a call of another service that was just answered": (HISTORY, {"tools": [TOOL]}),
    "a tool": ([*HISTORY, TOMORROW], {"tools": [TOOL]}),
    "every setting": ([TOMORROW], EVERYTHING),
}


def model_of(service: Service) -> str:
    """A model of a service: it calls tools where the service's own default does."""
    return service.default_model or next((name for name in service.models if "*" not in name), "m")


def client(server: Replica, name: str, **configuration: Any) -> OpenAICompatible:
    service = catalogue().service(name)
    given = {"model": model_of(service), "api_key": "secret", "retry": 0, **configuration}
    return OpenAICompatible(service=name, base_url=server.base_url, **given)


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("name", ALIVE)
def test_what_our_client_writes_is_taken(name: str, what: str) -> None:
    """No field, content, id, schema or number that the service does not take."""
    messages, settings = REQUESTS[what]
    with replica(service=name, answer="So it is.", limits=False) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the service cannot take is told, which is not asked here
            answer = client(server, name).complete_sync(messages, **settings)
        refusals = [request.refusal for request in server.requests if request.refusal]
    assert answer.text == "So it is."
    assert not refusals


def has_tools(name: str) -> bool:
    service = catalogue().service(name)
    return facts_of(service, model_of(service)).tools is not False


@pytest.mark.parametrize("name", [name for name in ALIVE if has_tools(name)])
def test_a_loop_of_calls(name: str) -> None:
    """A call goes back with its id and with what the service added to it, with its result."""

    def answer(messages: list[dict[str, Any]]) -> Any:
        return "21 degrees" if messages[-1]["role"] == "tool" else [ToolCall("call_1", "look", {"city": "a"})]

    with replica(service=name, answer=answer, limits=False) as server:
        provider = client(server, name)
        first = provider.complete_sync(HI, tools=[TOOL])
        (call,) = first.tool_calls
        said = {"role": "assistant", "content": first.text, "tool_calls": first.tool_calls}
        told = {"role": "tool", "tool_call_id": call.id, "content": "21"}
        assert provider.complete_sync([*HI, said, told], tools=[TOOL]).text == "21 degrees"
        assert [request.refusal for request in server.requests] == [None, None]


SIGNS = [
    (name, n)
    for name in ALIVE
    for n, sign in enumerate(catalogue().service(name).error)
    if not sign.send and not sign.leave_out
]


@pytest.mark.parametrize(("name", "n"), SIGNS)
def test_each_refusal_is_understood(name: str, n: int) -> None:
    """Its kind is that of the sign which the replica wrote, in a stream as in one document."""
    sign = catalogue().service(name).error[n]
    with replica(service=name, faults={"sign": n}, limits=False) as server:
        provider = client(server, name)
        for ask in (provider.complete_sync, provider.stream_sync):
            with pytest.raises(ProviderError) as caught:
                list(ask(HI))
            assert caught.value.kind == sign.kind
            assert caught.value.scope == sign.scope


MENDED = [
    (name, n)
    for name in ALIVE
    for n, sign in enumerate(catalogue().service(name).error)
    if sign.send or sign.leave_out
]


@pytest.mark.parametrize(("name", "n"), MENDED)
def test_a_request_that_a_row_mends_is_sent_again(name: str, n: int) -> None:
    with replica(service=name, answer="So it is.", faults={"sign": n}, limits=False) as server:
        assert client(server, name).complete_sync(HI, tools=[TOOL]).text == "So it is."
        assert len(server.requests) == 2


def tightest(name: str) -> float:
    """The lowest cap of the requests to a service's model."""
    service = catalogue().service(name)
    model = model_of(service)
    lines = [line for line in service.limit if line.counts(model) and line.keyless is not True]
    return min((line.cap for line in lines if line.metric == "requests"), default=0)


@pytest.mark.parametrize("name", [name for name in ALIVE if 0 < tightest(name) < 99])
def test_who_waits_as_told_is_served(name: str) -> None:
    """The moment that an error names, where the service names any, is not too early."""
    clock = Clock(time.time())  # clients compare moments with their own clock
    with replica(service=name, answer="Yes", clock=clock) as server:
        provider = client(server, name)
        for _ in range(int(tightest(name))):
            provider.complete_sync(HI)
        with pytest.raises(RateLimitError) as caught:
            provider.complete_sync(HI)
        if caught.value.soonest is not None:
            clock.now = caught.value.soonest.timestamp()
            assert provider.complete_sync(HI).text == "Yes"
        assert server.counts.refused == 1


def test_no_allowance_at_all() -> None:
    with (
        replica(service="mistral", limits={"requests/minute": 0}) as server,
        pytest.raises(NotInPlanError) as caught,
    ):
        client(server, "mistral").complete_sync(HI)
    assert caught.value.soonest is None


def test_too_large_for_groq() -> None:
    with replica(service="groq") as server, pytest.raises(RequestTooLargeError) as caught:
        client(server, "groq").complete_sync("word " * 9000)
    assert caught.value.kind == "too-large"
