"""Replicas of the catalogue's services, asked without our client."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from freeproviders.catalogue import Limit, ModelRow, Service, catalogue, look_again
from freeproviders.catalogue.rows import Headers, Retired
from freeproviders.errors import CatalogueError, UnknownServiceError
from freeproviders.testing import Replica, replica
from freeproviders.types import Text, ToolCall, Usage
from freeproviders.wire.limits import AllowanceHeaders
from freeproviders.wire.openai.style import Style
from freeproviders.wire.signs import Sign
from tests.testing.asking import HI, Clock, ask, send

ALIVE = [row.id for row in catalogue() if row.gone is None]
SIGNS = [(row.id, n) for row in catalogue() for n in range(len(row.error))]
START = datetime(2026, 11, 20, 13, 7, 31, tzinfo=UTC).timestamp()
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def row(**fields: Any) -> Service:
    return Service(**{"id": "mine", "name": "Mine", "base_url": "https://mine.test/api/v3/", **fields})


def model_of(service: Service) -> str:
    return service.default_model or next((name for name in service.models if "*" not in name), "m")


# --- every row ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALIVE)
def test_every_row_answers(name: str) -> None:
    """A plain question, and a stream; the list has the default model."""
    service = catalogue().service(name)
    with replica(service=name, answer="So it is.") as server:
        assert server.base_url.endswith(("/v1", "/v3", "/v4", "/v2", "/openai", "/gateway")), server.base_url
        answered = ask(server, model_of(service))
        assert (answered.status, answered.json["choices"][0]["message"]["content"]) == (200, "So it is.")
        streamed = ask(server, model_of(service), stream=True)
        assert streamed.text.rstrip().endswith("data: [DONE]")
        names = [one["id"] for one in send(server, "GET", "/models").json["data"]]
        assert service.default_model in {"", *names}
        assert not [one for one in names if "*" in one]
        counts = server.counts
    assert (counts.admitted, counts.refused) == (2, 0)
    counted = {count.limit for count in counts.limits}
    applying = [line for line in service.limit if line.counts(model_of(service)) and line.keyless is not True]
    assert counted == set(applying)


@pytest.mark.parametrize(("name", "n"), SIGNS)
@pytest.mark.parametrize("stream", [False, True])
def test_every_sign_on_demand(name: str, n: int, stream: bool) -> None:
    """Status, words, code and header are those that the sign names, and no place is left open."""
    service = catalogue().service(name)
    sign = service.error[n]
    with replica(service=name, faults={"sign": n}) as server:
        answered = ask(server, model_of(service), stream=stream)
    assert answered.status == (sign.status or answered.status)
    for words in sign.match:
        assert words.lower() in answered.text.lower()
    if sign.code and sign.body:
        assert sign.code in answered.text
    if sign.header:
        key, _, value = sign.header.partition(":")
        assert answered.headers[key.strip().lower()] == value.strip()
    for place in ("model", "limit", "used", "remaining", "requested", "seconds", "duration", "epoch_ms"):
        assert f"{{{place}}}" not in answered.text
    if answered.headers["content-type"] == "application/json":
        assert answered.json
    if answered.headers["content-type"].startswith("text/event-stream"):
        assert answered.status == 200
        assert stream
        assert answered.text.startswith("data: ")


def caps_of(service: Service) -> list[float]:
    """The caps of the requests to a row's first model, with a key."""
    model = model_of(service)
    lines = [line for line in service.limit if line.counts(model) and line.keyless is not True]
    return [line.cap for line in lines if line.metric == "requests"]


LIMITED = [name for name in ALIVE if min(caps_of(catalogue().service(name)), default=99) < 99]


@pytest.mark.parametrize("name", LIMITED)
def test_every_limit_of_requests_is_kept(name: str) -> None:
    """As many calls as the tightest limit of a row has at one moment, and not one more."""
    service = catalogue().service(name)
    cap = int(min(caps_of(service)))
    with replica(service=name, answer="Yes", clock=Clock(START)) as server:
        statuses = [ask(server, model_of(service)).status for _ in range(cap + 1)]
        assert (server.counts.admitted, server.counts.refused) == (cap, 1)
    assert statuses == [200] * cap + [429]


# --- limits ---------------------------------------------------------------------------------------

GO = AllowanceHeaders("requests", "minute", "x-limit", "x-left", "x-reset", "duration", scope="account")


@pytest.mark.parametrize(
    ("reset", "waits", "announced"),
    [
        ("fixed", 29, ("0", "29s")),  # the minute's border
        ("rolling", 60, ("0", "1m0s")),
        ("refill", 20, ("0", "1m0s")),  # a third of the bucket; full after the whole minute
        ("unknown", 60, ("0", "1m0s")),
    ],
)
def test_three_meanings(reset: Any, waits: int, announced: tuple[str, str]) -> None:
    clock = Clock(START)
    service = row(
        limit=(Limit(metric="requests", per="minute", cap=3, reset=reset),),
        headers=Headers("every", (GO,), ("minute",)),
    )
    with replica(service=service, clock=clock) as server:
        left = [ask(server).headers["x-left"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        refused = ask(server)
        assert refused.status == 429
        assert refused.headers["retry-after"] == str(waits)
        assert refused.headers["x-limit"] == "3"
        assert (refused.headers["x-left"], refused.headers["x-reset"]) == announced
        clock.now += waits - 0.001
        assert ask(server).status == 429
        clock.now += 0.001
        assert ask(server).status == 200
        assert server.counts.of("requests/minute").largest == 3
        assert (server.counts.admitted, server.counts.refused) == (4, 2)
        reason = server.requests[-2].refusal
    assert reason == "the limit of 3 requests per minute is reached"


def test_groq_in_its_own_words() -> None:
    """Headers on every answer, and the words of the limit that is used up."""
    clock = Clock(START)
    with replica(service="groq", answer="a b c", clock=clock, limits={"tokens/minute": 20}) as server:
        first = ask(server, "openai/gpt-oss-120b")
        assert {key: value for key, value in first.headers.items() if key.startswith("x-ratelimit")} == {
            "x-ratelimit-limit-requests": "1000",
            "x-ratelimit-remaining-requests": "999",
            "x-ratelimit-reset-requests": "1m26.4s",
            "x-ratelimit-limit-tokens": "20",
            "x-ratelimit-remaining-tokens": "19",
            "x-ratelimit-reset-tokens": "3s",
        }
        long = {"role": "user", "content": "word " * 18}
        refused = ask(server, "openai/gpt-oss-120b", messages=[long])
        assert (refused.status, refused.headers["retry-after"]) == (429, "6")
        error = refused.json["error"]
        assert error["code"] == "rate_limit_exceeded"
        assert error["message"].endswith(
            "on tokens per minute (TPM): Limit 20, Used 4, Requested 18. Please try again in 6s."
        )
        assert "retry-after" not in first.headers
        clock.now += 6
        assert ask(server, "openai/gpt-oss-120b", messages=[long]).status == 200
        large = ask(server, "openai/gpt-oss-120b", messages=[{"role": "user", "content": "word " * 21}])
        assert large.status == 413
        assert "Limit 20, Requested 21, please reduce" in large.text
        assert ask(server, "openai/gpt-oss-20b").status == 200  # each model has its own


def test_openrouter_in_its_own_words() -> None:
    """One pool for all free models, the day's border as epoch milliseconds, no Retry-After with it."""
    clock = Clock(START)
    caps = {"requests/day": 2, "requests/minute": 20}
    with replica(service="openrouter", clock=clock, limits=caps) as server:
        for model in ("openrouter/free", "openai/gpt-oss-20b:free"):
            assert ask(server, model).status == 200
        refused = ask(server, "google/gemma-4-31b-it:free")
    midnight = int(datetime(2026, 11, 21, tzinfo=UTC).timestamp() * 1000)
    assert refused.status == 429
    assert "free-models-per-day" in refused.text
    assert refused.json["error"]["metadata"]["headers"]["X-RateLimit-Reset"] == str(midnight)
    assert "retry-after" not in refused.headers


def test_limits_that_a_row_announces_and_does_not_know() -> None:
    """Mistral has no published numbers, but a header for them; a limit of 0 is another refusal."""
    with replica(service="mistral", limits={"requests/minute": 2}) as server:
        answers = [ask(server, "mistral-small-latest") for _ in range(3)]
    assert [one.status for one in answers] == [200, 200, 429]
    assert [one.headers["x-ratelimit-remaining-req-minute"] for one in answers] == ["1", "0", "0"]
    with replica(service="mistral", limits={"requests/minute": 0}) as server:
        refused = ask(server, "mistral-small-latest")
    assert refused.status == 429
    assert refused.headers["x-ratelimit-limit-req-minute"] == "0"


def test_headers_on_errors_only_are_those_of_the_limit_that_refuses() -> None:
    names = [
        AllowanceHeaders("requests", per, "X-Limit", "X-Left", "X-Reset", "epoch_s")
        for per in ("minute", "day")
    ]
    lines = [Limit(metric="requests", per="minute", cap=1), Limit(metric="requests", per="day", cap=9)]
    with replica(
        service=row(limit=tuple(lines), headers=Headers("errors", tuple(names))), clock=Clock(START)
    ) as server:
        assert "x-limit" not in ask(server).headers
        refused = ask(server).headers
    assert (refused["x-limit"], refused["x-left"], refused["x-reset"]) == ("1", "0", str(int(START) + 60))


def test_tokens_are_the_prompts_and_the_answers() -> None:
    """What a script says of usage counts; else each part of the answer is one."""
    service = row(limit=(Limit(metric="tokens", per="day", cap=100),))
    for answer, used in (("a b c", 4), ([Text("a"), Usage(30, 40)], 70)):
        with replica(service=service, answer=answer) as server:
            told = ask(server).json["usage"]["total_tokens"]
            assert server.counts.of("tokens/day").used == told == used


def test_a_call_is_counted_though_a_fault_spoils_it() -> None:
    service = row(limit=(Limit(metric="requests", per="day", cap=2), Limit(metric="concurrency", cap=1)))
    with replica(service=service, faults=[{"kind": "overload"}, {"status": 500}]) as server:
        assert [ask(server).status for _ in range(3)] == [503, 500, 429]
        assert server.counts.of("requests/day").admitted == 2


def test_many_at_once_get_exactly_the_limit() -> None:
    service = row(limit=(Limit(metric="requests", per="day", cap=7),))
    with replica(service=service, answer="Yes") as server, ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: ask(server).status, range(24)))
        counts = server.counts
    assert sorted(statuses) == [200] * 7 + [429] * 17
    assert (counts.admitted, counts.refused, counts.of("requests/day").largest) == (7, 17, 7)


def test_calls_at_the_same_time() -> None:
    """A place is taken until the answer ends, and free when a client leaves."""
    going, arrived = threading.Event(), threading.Event()

    def answer(messages: list[dict[str, Any]]) -> Any:
        async def slowly() -> Any:
            arrived.set()
            await asyncio.to_thread(going.wait, 30)
            yield "Done"

        return slowly() if messages[-1]["content"] == "Slow" else "Quick"

    service = row(limit=(Limit(metric="concurrency", cap=1),), error=(Sign("concurrency", 429, code="1302"),))
    with replica(service=service, answer=answer) as server, ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, server, messages=[{"role": "user", "content": "Slow"}])
        assert arrived.wait(30)
        refused = ask(server)
        assert (refused.status, refused.json["error"]["code"]) == (429, "1302")
        going.set()
        assert slow.result(30).status == 200
        assert [ask(server).status for _ in range(3)] == [200] * 3
        assert server.counts.of("concurrency").largest == 1


@contextmanager
def begun(server: Replica, until: bytes) -> Iterator[None]:
    """A stream of which so much has come, and that goes on."""
    url = urlsplit(server.base_url)
    body = json.dumps({"model": "m", "stream": True, "messages": [HI]}).encode()
    head = (
        f"POST {url.path}/chat/completions HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer a\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port), timeout=30) as connection:
        connection.sendall(head.encode() + body)
        seen = b""
        while until not in seen:
            seen += connection.recv(4096)
        yield


def test_a_refusal_on_demand_holds_no_place() -> None:
    """Whoever has read it can ask again, though its connection is still open."""
    service = row(limit=(Limit(metric="concurrency", cap=1),))
    with (
        replica(service=service, faults=[{"kind": "overload", "stall": 1}]) as server,
        begun(server, b"overloaded"),
    ):
        assert ask(server, key="a").status == 200


def test_the_nearest_sign_of_a_limit_is_written() -> None:
    """That of its metric and scope, wherever it stands, and never that of another metric."""
    signs = (
        Sign("minute", 429, ("any",)),
        Sign("minute", 429, ("tokens",), metric="tokens"),
        Sign("minute", 429, ("requests",), metric="requests"),
        Sign("minute", 429, ("of the model",), scope="model", metric="requests"),
    )
    for limit, words in (
        (Limit(metric="requests", per="minute", cap=1), "requests"),
        (Limit(metric="requests", per="minute", cap=1, scope="model"), "of the model"),
        (Limit(metric="input tokens", per="minute", cap=1), "any"),
    ):
        with replica(service=row(limit=(limit,), error=signs)) as server:
            assert ask(server).status == 200
            assert ask(server).json["error"]["message"].startswith(words)


def test_a_client_that_leaves_gives_its_place_back() -> None:
    service = row(limit=(Limit(metric="concurrency", cap=1), Limit(metric="tokens", per="day", cap=99)))
    with replica(service=service, answer=["a", "b", "c"], faults=[{"stall": 2}]) as server:
        with begun(server, b'"b"'):
            assert ask(server, key="a").status == 429
        server.wait_disconnect()
        assert ask(server, key="a").status == 200
        assert server.counts.of("tokens/day").used == 3 + 4  # the broken answer counts as far as it came


def test_with_and_without_a_key() -> None:
    service = row(
        key="optional",
        anonymous_key="unused",
        limit=(
            Limit(metric="requests", per="minute", cap=1, keyless=True, by="ip"),
            Limit(metric="requests", per="minute", cap=2, keyless=False),
        ),
    )
    with replica(service=service, api_key="right") as server:
        keys = [None, "unused", "right", "right", "right", "wrong"]
        assert [ask(server, key=key).status for key in keys] == [200, 429, 200, 200, 429, 401]


def test_other_limits_and_none() -> None:
    service = row(limit=(Limit(metric="requests", per="minute", cap=1),))
    with replica(service=service, limits=False) as server:
        assert [ask(server).status for _ in range(3)] == [200] * 3
        assert (server.counts.admitted, server.counts.limits) == (3, ())
    with replica(service=service, limits=[Limit(metric="requests", per="day", cap=2)]) as server:
        assert [ask(server).status for _ in range(3)] == [200, 200, 429]
    neurons = row(limit=(Limit(metric="neurons", per="day", cap=100, reset="fixed"),))
    with replica(service=neurons, charges={"neurons": 50}) as server:
        assert [ask(server).status for _ in range(3)] == [200, 200, 429]
    tokens = row(limit=(Limit(metric="tokens", per="day", cap=100),))
    with replica(service=tokens, reserve=True, answer="Yes") as server:
        assert [ask(server, max_tokens=n).status for n in (90, 98, 97)] == [200, 429, 200]
    with pytest.raises(ValueError, match="a limit is named as"):
        replica(service=service, limits={"rpm": 3})


# --- who may ask, and for what ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("needs", "given", "options", "status"),
    [
        ("required", None, {}, 401),
        ("required", "any", {}, 200),
        ("required", "wrong", {"api_key": "right"}, 401),
        ("required", "right", {"api_key": "right"}, 200),
        ("none", None, {}, 200),
        ("none", "any", {}, 200),
        ("none", None, {"api_key": "right"}, 401),
        ("optional", None, {"api_key": "right"}, 200),
    ],
)
def test_keys(needs: Any, given: str | None, options: dict[str, Any], status: int) -> None:
    with replica(service=row(key=needs), **options) as server:
        assert ask(server, key=given).status == status
        assert send(server, "GET", "/models", key=given).status == status


def test_a_wrong_key_in_geminis_words() -> None:
    with replica(service="gemini", api_key="right") as server:
        refused = ask(server, "gemini-3.5-flash-lite", key="wrong")
    assert refused.status == 400
    assert refused.json[0]["error"]["status"] == "INVALID_ARGUMENT"


def test_models() -> None:
    """Those of the row, by name or pattern; a retired one gets the sign of that."""
    retired = Retired(on=datetime(2026, 8, 16, tzinfo=UTC).date(), successor="new")
    service = row(
        models={"new": ModelRow(), "free/*": ModelRow()},
        retired={"old": retired},
        error=(Sign("retired", 410, body='{"title":"Gone","detail":"{model} is no longer available"}'),),
    )
    with replica(service=service) as server:
        assert [ask(server, name).status for name in ("new", "free/a", "old", "none")] == [200, 200, 410, 404]
        assert ask(server, "old").json["detail"] == "old is no longer available"
        assert ask(server, "none").json["title"] == "Error"  # in the shape of the row's errors
        assert [one["id"] for one in send(server, "GET", "/models").json["data"]] == ["new"]
    with replica(service=service, models=["old", "newest"]) as server:  # a service that has changed
        assert [ask(server, name).status for name in ("new", "old", "newest")] == [404, 200, 200]
        assert [one["id"] for one in send(server, "GET", "/models").json["data"]] == ["old", "newest"]


def test_a_local_server_answers_its_probe() -> None:
    with replica(service="ollama") as server:
        assert send(server, "GET", "//api/version", key=None).status == 200
        assert ask(server, "anything", key=None).status == 200
        server.faults = {"on": "probe", "status": 503}
        assert send(server, "GET", "//api/version").status == 503


PICTURE = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
]


@pytest.mark.parametrize(
    ("ability", "body"),
    [
        ("tools", {"tools": [TOOL]}),
        ("schema", {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}}),
        ("images", {"messages": [{"role": "user", "content": PICTURE}]}),
    ],
)
def test_abilities(ability: str, body: dict[str, Any]) -> None:
    """They are the row's; an option disagrees with it."""
    assert row() != row()  # what is cached by service is of that very one
    service = row(models={"can": ModelRow(), "cannot": ModelRow(**{ability: False})})
    with replica(service=service) as server:
        assert [ask(server, name, **body).status for name in ("can", "cannot")] == [200, 400]
    with replica(service=service, lacks=[ability]) as server:
        assert [ask(server, name, **body).status for name in ("can", "cannot")] == [400, 400]


def test_tools_refused_in_the_services_own_words() -> None:
    """Those that are known: by the service's id, or by its name."""
    for name, words in (("groq", "`tool calling` is not supported"), ("llamacpp", "requires --jinja flag")):
        with replica(service=name, lacks=["tools"]) as server:
            assert words in ask(server, model_of(catalogue().service(name)), tools=[TOOL]).text


def test_disagreeing_with_the_row() -> None:
    service = row(limit=(Limit(metric="requests", per="minute", cap=3),), headers=Headers("every", (GO,)))
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    with replica(service=service) as server:
        assert '"prompt_tokens":1' in ask(server, **usage).text
        assert ask(server).headers["x-limit"] == "3"
    with replica(service=service, lacks=("streaming",)) as server:
        assert ask(server, stream=True).json["object"] == "chat.completion"
    with replica(service=service, lacks=("usage",), headers=False) as server:
        answered = ask(server, **usage)
        assert '"prompt_tokens"' not in answered.text
        assert "x-limit" not in answered.headers
    other = Headers("every", (AllowanceHeaders("requests", "minute", pair="X-Other"),))
    with replica(service=service, headers=other) as server:
        assert ask(server).headers["x-other"] == "2/3"
    with pytest.raises(ValueError, match="lacks takes some of"):
        replica(service=service, lacks="tools")


# --- how requests are written -----------------------------------------------------------------------


def with_call(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "tool_calls": [{**CALL, **fields}]}


def result(identity: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": "21"}


def schema(**parameters: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "a", "parameters": parameters}}]}


@pytest.mark.parametrize(
    ("style", "right", "wrong"),
    [
        ({}, {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ({"max_tokens": "max_completion_tokens"}, {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ({"leave_out": ("seed",)}, {"temperature": 1}, {"seed": 1}),
        (
            {"leave_out_of_messages": ("name",)},
            {"messages": [HI]},
            {"messages": [{**HI, "name": "Ann"}]},
        ),
        (
            {"leave_out_of_schemas": ("default",)},
            schema(type="object", properties={"default": {"type": "string", "enum": [{"default": 1}]}}),
            schema(type="object", properties={"a": {"anyOf": [{"type": "integer", "default": 1}]}}),
        ),
        (
            {"leave_out_of_schemas": ("title",)},
            schema(type="object", properties={"title": {"type": "string"}}),
            schema(type="object", **{"$defs": {"a": {"items": {"title": "A"}}}}),
        ),
        (
            {"flat_content": True},
            {"messages": [{"role": "user", "content": PICTURE}]},
            {"messages": [{"role": "user", "content": PICTURE[:1]}]},
        ),
        (
            {"null_content": False},
            {"messages": [HI, with_call(), result()]},
            {"messages": [HI, {**with_call(), "content": None}, result()]},
        ),
        (
            {"call_id_chars": 9},
            {"messages": [HI, with_call(id="Abcdefg12"), result("Abcdefg12")]},
            {"messages": [HI, with_call(id="call_1234"), result("call_1234")]},
        ),
        (
            {"assistant_after_tool": True},
            {"messages": [HI, with_call(), result(), {"role": "assistant", "content": "21."}, HI]},
            {"messages": [HI, with_call(), result(), HI]},
        ),
        ({"stops": 1}, {"stop": ["a"]}, {"stop": ["a", "b"]}),
        ({"stops": 6}, {"stop": list("abcdef")}, {"stop": list("abcdefg")}),
        ({"at_most": {"temperature": 1}}, {"temperature": 1}, {"temperature": 1.1}),
        ({"at_least": {"max_tokens": 16}}, {"max_tokens": 16}, {"max_tokens": 15}),
        ({"send": {"route": "free"}}, {"route": "free"}, {"other": "free"}),
        (
            {"reasoning": "reasoning"},
            {"messages": [HI, {"role": "assistant", "content": "a", "reasoning": "Hm."}, HI]},
            {"messages": [HI, {"role": "assistant", "content": "a", "reasoning_content": "Hm."}, HI]},
        ),
        (
            {},
            {"messages": [HI, with_call(), result()]},
            {"messages": [HI, with_call(extra_content={}), result()]},
        ),
    ],
)
def test_style(style: dict[str, Any], right: dict[str, Any], wrong: dict[str, Any]) -> None:
    with replica(service=row(request=Style(**style))) as server:
        assert ask(server, **right).status == 200, server.requests[-1].refusal
        assert ask(server, **wrong).status == 400


def test_a_refused_field_in_the_services_words() -> None:
    sign = Sign(
        "request", 422, body='{"detail":[{"loc":["body","seed"],"msg":"Extra"}]}', leave_out=("seed",)
    )
    with replica(service=row(error=(sign,), request=Style(leave_out=("seed", "user")))) as server:
        assert ask(server, seed=1).json == json.loads(sign.body)
        assert ask(server, seed=1).status == 422
        other = ask(server, user="me")
        assert (other.status, other.json) == (400, {"detail": "Extra inputs are not permitted: user."})


def test_a_request_that_was_mended_is_answered() -> None:
    sign = Sign("request", 400, ("single tool-calls",), send={"parallel_tool_calls": False})
    with replica(service=row(error=(sign,)), faults={"kind": "request"}) as server:
        assert ask(server, tools=[TOOL]).status == 400
        assert ask(server, tools=[TOOL], parallel_tool_calls=False).status == 200


def test_ids_of_nine_characters() -> None:
    """The service gives such ids itself, whatever the script says."""
    calls = [
        ToolCall("call_1", "look", {}),
        ToolCall("call_2", "look", {}),
        ToolCall("Abcdefg12", "look", {}),
    ]
    with replica(service=row(request=Style(call_id_chars=9)), answer=calls) as server:
        ids = [call["id"] for call in ask(server, tools=[TOOL]).json["choices"][0]["message"]["tool_calls"]]
    assert ids[2] == "Abcdefg12"
    assert len(set(ids)) == 3
    assert all(len(one) == 9 and one.isalnum() for one in ids)


def test_thought_signatures() -> None:
    """What the service adds to a call must come back with it, unchanged, in the same turn."""
    with replica(service=row(request=Style(tool_extras=True)), answer=[ToolCall("c", "look", {})]) as server:
        (call,) = ask(server, tools=[TOOL]).json["choices"][0]["message"]["tool_calls"]
        streamed = ask(server, tools=[TOOL], stream=True).text
        signature = call["extra_content"]["google"]["thought_signature"]
        assert streamed.count(f'"thought_signature":"{signature}"') == 1

        def asked(sent: dict[str, Any], *more: dict[str, Any]) -> tuple[int, str | None]:
            said = {"role": "assistant", "content": None, "tool_calls": [sent]}
            answered = ask(server, messages=[HI, said, result("c"), *more], tools=[TOOL])
            return answered.status, server.requests[-1].refusal

        bare = {key: value for key, value in call.items() if key != "extra_content"}
        assert asked(call) == (200, None)
        assert asked(bare) == (400, "messages[1].tool_calls[0] is missing a thought_signature.")
        assert asked(bare, HI) == (200, None)  # a turn that is over
        other = {**call, "extra_content": {"google": {"thought_signature": "bXkgb3du"}}}
        assert asked(other) == (400, "messages[1].tool_calls[0]: Thought signature is not valid.")
        assert asked({**CALL, "id": "c", "extra_content": other["extra_content"]})[0] == 400


def test_signatures_of_another_services_calls() -> None:
    """The row's stand-in is taken with the first call of an answer, and for no call of this service."""
    extra = {"extra_content": {"google": {"thought_signature": "skip"}}}
    style = Style(tool_extras=True, tool_extra_default=extra)
    results = [result("call_1"), result("call_2")]
    with replica(service=row(request=style), answer=[ToolCall("own", "look", {})]) as server:

        def asked(*calls: dict[str, Any], over: bool = False) -> int:
            said = {"role": "assistant", "content": None, "tool_calls": list(calls)}
            messages = [HI, said, *results[: len(calls)], *([HI] if over else [])]
            return ask(server, messages=messages).status

        second = {**CALL, "id": "call_2"}
        assert asked({**CALL, **extra}) == 200
        assert asked(CALL) == 400
        assert asked({**CALL, **extra}, second) == 200
        assert asked(CALL, {**second, **extra}) == 400
        assert asked(CALL, second, over=True) == 200
        ask(server, tools=[TOOL])
        assert ask(server, messages=[HI, with_call(id="own", **extra), result("own")]).status == 400


# --- refusals on demand -----------------------------------------------------------------------------


def test_a_row_without_signs_refuses_as_openai_does() -> None:
    statuses = {
        "minute": 429,
        "day": 429,
        "credit": 402,
        "overload": 503,
        "too-large": 413,
        "retired": 404,
        "region": 403,
    }
    for kind, status in statuses.items():
        with replica(service=row(), faults={"kind": kind}) as server:
            answered = ask(server)
        assert answered.status == status
        assert answered.json["error"]["message"]
    service = row(headers=Headers(retry_after=("minute",)))
    with replica(service=service, faults={"kind": "minute"}, clock=Clock(START)) as server:
        answered = ask(server)
    assert answered.headers["retry-after"] == "60"
    assert "Try again in 60 s." in answered.text


def test_the_time_of_a_refusal_on_demand() -> None:
    with replica(service="groq", faults={"kind": "minute", "retry_after": 5.5}) as server:
        refused = ask(server, "openai/gpt-oss-120b")
    assert refused.headers["retry-after"] == "5.5"
    assert refused.headers["x-ratelimit-remaining-tokens"] == "0"  # what is announced agrees with it
    assert "Please try again in 5.5s." in refused.text


def test_faults_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"Mine has 1 signs, numbered from 0; there is no 1\."):
        replica(service=row(error=(Sign("day"),)), faults={"sign": 1})
    with pytest.raises(ValueError, match="Fault 'kind' takes one of 'minute', "):
        replica(service=row(), faults={"kind": "minutes"})
    with pytest.raises(ValueError, match="FlowGpt has no place for the fault 'kind'"):
        replica("flow-gpt", faults={"kind": "day"})


# --- which service ----------------------------------------------------------------------------------

FILE = """
name = "My server"
base_url = "https://llm.example.org/v1"
default_model = "big"
checked = 2026-11-20
source = "my own server"
limit = [{ metric = "requests", per = "minute", cap = 2, reset = "rolling" }]
error = [{ kind = "minute", status = 429, body = '{"detail":"{limit} a minute: wait {seconds} s"}' }]
[models]
big = {}
[headers]
on = "every"
allowance = [{ metric = "requests", per = "minute", pair = "X-Quota" }]
"""


def test_a_service_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file is enough: by its name where the environment names it, or by its path."""
    path = tmp_path / "my-server.toml"
    path.write_text(FILE)
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", str(path))
    look_again()
    try:
        for service in ("my-server", path, str(path), catalogue().service("my-server")):
            with replica(service=service, clock=Clock(START)) as server:
                assert [ask(server, "big").headers["x-quota"] for _ in range(2)] == ["1/2", "0/2"]
                assert ask(server, "big").json == {"detail": "2 a minute: wait 60 s"}
    finally:
        look_again()


def test_services_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UnknownServiceError, match="groqq"):
        replica(service="groqq")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("nme = 1")
    with pytest.raises(CatalogueError, match=r"wrong\.toml"):
        replica(service=wrong)
    with pytest.raises(TypeError, match="of a provider or of a service"):
        replica("flow-gpt", service="groq")
    with pytest.raises(ValueError, match="use one of openai-compatible"):
        replica()
    with pytest.raises(TypeError, match="The replica of Groq has no option 'style'"):
        replica(service="groq", style="json")
    with replica("flow-gpt") as server, pytest.raises(TypeError, match="counts no limits"):
        _ = server.counts
