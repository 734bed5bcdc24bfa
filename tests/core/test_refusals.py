"""A provider that is a service of the catalogue, and a server that refuses in that service's way."""

import json
import threading
import warnings
from datetime import UTC, datetime

import pytest
from aiohttp import web

from freeproviders import OpenAICompatible, errors
from freeproviders.catalogue import Service, facts
from freeproviders.catalogue.rows import Headers
from freeproviders.errors import UnsupportedOptionWarning
from freeproviders.types import Finish
from freeproviders.wire.limits import AllowanceHeaders
from freeproviders.wire.signs import Sign
from tests.core.chunks import delta, sse
from tests.core.servers import serve
from tests.core.services import FAST

facts("")  # files are read when a provider is made, which these tests do on their event loop
HI = [{"role": "user", "content": "Hi"}]
ONE_CALL = Sign(
    "request",
    status=400,
    match=("single tool-calls at once",),
    scope="model",
    send={"parallel_tool_calls": False},
)
NO_SEED = Sign("request", status=400, match=("no seed",), leave_out=("seed", "user"))
MASK = Sign("minute", text="Ratelimit Exceeded!", scope="account")
LIMITS = (
    AllowanceHeaders(
        "requests", "day", limit="x-limit", remaining="x-left", reset="x-reset", reset_form="iso"
    ),
    AllowanceHeaders("tokens", "minute", pair="x-tokens"),
)
ANSWER = sse(delta(role="assistant", content="Hello"), delta("stop"))


def service(url, *signs, **facts):
    """A row of a service that is on this machine."""
    row = {"id": "testing", "name": "Testing", "base_url": url, "key": "none", "default_model": "m1", **facts}
    return Service(error=signs, **row)


def provider(served, *signs, retry=0, facts=None, **configuration):
    return OpenAICompatible(
        service=service(served.url, *signs, **(facts or {})), retry=retry, **configuration
    )


def refused(message, status=400, headers=None, **more):
    return web.json_response({"error": {"message": message, **more}}, status=status, headers=headers)


def streamed(body=ANSWER, headers=None):
    return web.Response(body=body, content_type="text/event-stream", headers=headers)


def sent(served):
    """The bodies of the requests so far."""
    return [json.loads(body) for *_, body in served.requests]


# --- a field that is refused ----------------------------------------------------------------------


TOOLS = [
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
]


async def takes_one_call(request, served):
    body = json.loads(await request.read())
    if "tools" not in body and "parallel_tool_calls" in body:
        return refused("'parallel_tool_calls' is only allowed when 'tools' are specified.")
    if body["model"] == "m1" and "tools" in body and body.get("parallel_tool_calls") is not False:
        return refused("This model only supports single tool-calls at once!")
    return streamed()


async def test_a_refused_field_is_changed_at_once_and_from_then_on():
    """One refused request in all, without a retry: of this model, in every copy and of nobody else."""
    with serve(takes_one_call) as served:
        asker = provider(served, ONE_CALL, native_tools=True)

        assert (await asker.complete("Hi", tools=TOOLS)).text == "Hello"
        assert [body.get("parallel_tool_calls") for body in sent(served)] == [None, False]

        assert (await asker.configured(timeout=30).complete("Hi", tools=TOOLS)).text == "Hello"
        assert (await asker.complete("Hi", model="m2", tools=TOOLS)).text == "Hello"
        assert [body.get("parallel_tool_calls") for body in sent(served)[2:]] == [False, None]
        assert (await asker.complete("Hi")).text == "Hello"  # the field is one of tools

        (lesson,) = asker.learned.lessons
        assert (lesson.feature, lesson.model, lesson.verdict) == ("fields", "m1", "refused")
        assert lesson.why == "This model only supports single tool-calls at once!"


async def test_a_field_that_the_caller_asked_for_is_left_out_with_a_word():
    """Once it is known that the service refuses a field, a warning says that it is not sent."""

    async def handle(request, served):
        return refused("There is no seed here.") if b'"seed"' in await request.read() else streamed()

    with serve(handle) as served:
        asker = provider(served, NO_SEED)

        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            for _ in range(3):
                assert (await asker.complete("Hi", seed=7)).text == "Hello"

        assert [(one.category, str(one.message)) for one in warned] == [
            (UnsupportedOptionWarning, "Testing cannot take seed: left out of the request.")
        ]
        assert ["seed" in body for body in sent(served)] == [True, False, False, False]
        # Without a scope it is so for all models.
        await asker.complete("Hi", model="m2", seed=7)
        assert "seed" not in sent(served)[-1]


async def test_a_service_that_refuses_again():
    """A change that does not help costs one request of each call, and its refusal is the error."""

    async def handle(request, served):
        return refused("There is no seed here.")

    with serve(handle) as served:
        asker = provider(served, NO_SEED, retry=2)

        with pytest.raises(errors.BadRequestError, match="There is no seed here") as raised:
            await asker.complete("Hi")

        assert raised.value.kind == "request"
        assert len(served.requests) == 2


async def test_a_request_without_a_cure_is_an_error():
    """A row may know a refusal and no way around it."""

    async def handle(request, served):
        return refused("extra_forbidden", status=422)

    with serve(handle) as served, pytest.raises(errors.BadRequestError) as raised:
        await provider(served, Sign("request", status=422, advice="Send less.")).complete("Hi")

    assert str(raised.value).endswith("Send less.")
    assert len(served.requests) == 1


# --- in the place of an answer --------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_as_an_answer_is_tried_again_before_anything_is_shown(stream):
    """The caller sees the second answer, whole and alone, and pays for nothing else."""
    disguise = sse(*[delta(content=piece) for piece in ("Rate", "limit ", "Exceeded!")], delta("stop"))

    async def handle(request, served):
        if not stream:
            text = "Hello" if len(served.requests) > 1 else MASK.text
            message = {"role": "assistant", "content": text}
            return web.json_response({"choices": [{"message": message, "finish_reason": "stop"}]})
        return streamed(ANSWER if len(served.requests) > 1 else disguise)

    with serve(handle) as served:
        asker = provider(served, MASK, retry=FAST)
        if stream:
            shown = [text async for text in asker.create_async_generator(messages=HI)]
            assert "".join(shown) == "Hello"
        else:
            answer = await asker.complete("Hi")
            assert (answer.text, answer.finish.attempts) == ("Hello", 2)
            assert answer.usage.output_tokens < 5
        assert len(served.requests) == 2


async def test_a_refusal_as_an_answer_is_an_error_in_the_end():
    """The last one is raised, as the limit that it is."""

    async def handle(request, served):
        return streamed(sse(delta(content="Ratelimit Exceeded!"), delta("stop")))

    with serve(handle) as served, pytest.raises(errors.RateLimitError, match="Ratelimit Exceeded!") as raised:
        await provider(served, MASK, retry=FAST).complete("Hi")

    assert (raised.value.kind, raised.value.scope, raised.value.attempts) == ("minute", "account", 3)
    assert (raised.value.provider, raised.value.model) == ("Testing", "m1")


# --- limits that are announced --------------------------------------------------------------------

ANNOUNCED = {"X-Limit": "1000", "X-Left": "7", "X-Reset": "2036-01-01T00:00:00Z", "X-Tokens": "12/20"}


async def test_limits_announced_with_an_answer():
    """They are in the finish of a stream and of a whole answer; without a dialect there are none."""
    with serve(lambda request, served: answered(ANNOUNCED)) as served:
        asker = provider(served, facts={"headers": Headers("every", LIMITS)})
        whole = (await asker.complete("Hi")).finish.allowances
        parts = [part async for part in asker.stream("Hi")]
        plain = (await OpenAICompatible("m", base_url=served.url).complete("Hi")).finish.allowances

    assert [(one.metric, one.per, one.cap, one.remaining) for one in whole] == [
        ("requests", "day", 1000, 7),
        ("tokens", "minute", 20, 12),
    ]
    assert whole[0].reset_at > datetime.now(UTC)
    assert isinstance(parts[-1], Finish)
    assert [one.remaining for one in parts[-1].allowances] == [7, 12]
    assert plain == ()


@pytest.mark.parametrize("events", [(delta(content="Hel"), {"error": {"message": "broken"}}), ()])
async def test_limits_announced_with_an_answer_that_fails(events):
    """An error after the first text, and an answer without one, have what its headers said."""

    async def handle(request, served):
        return streamed(sse(*events), ANNOUNCED)

    with serve(handle) as served, pytest.raises(errors.ProviderError) as raised:
        asker = provider(served, facts={"headers": Headers("every", LIMITS)})
        async for _ in asker.create_async_generator(messages=HI, on_empty="error"):
            pass

    assert [one.remaining for one in raised.value.allowances] == [7, 12]


async def answered(headers):
    return streamed(headers=headers)


async def test_limits_announced_with_a_refusal_and_with_a_list_of_models():
    """Whatever was asked for, a refusal is read by the row."""
    sign = Sign("day", status=429, match=("daily",), scope="account", metric="requests")
    headers = {"X-Limit": "1000", "X-Left": "0", "X-Reset": "2036-01-01T00:00:00Z"}

    async def handle(request, served):
        return refused("Your daily requests are used up", status=429, headers=headers)

    with serve(handle) as served:
        asker = provider(served, sign, facts={"headers": Headers("every", LIMITS)}, retry=FAST)
        raised = []
        for ask in (lambda: asker.complete("Hi"), asker.list_models):
            with pytest.raises(errors.QuotaExceededError) as caught:
                await ask()
            raised.append(caught.value)

    assert len(served.requests) == 2  # a day is not waited for
    for error in raised:
        assert (error.kind, error.scope, error.metric) == ("day", "account", "requests")
        assert error.allowances[0].remaining == 0
        assert error.soonest == error.allowances[0].reset_at > datetime.now(UTC)


# --- what the row adds ----------------------------------------------------------------------------


async def test_a_model_that_is_gone_is_answered_with_its_successor():
    """The catalogue may not know of it yet: then the row's next model is named."""
    sign = Sign("retired", status=404, match=("decommissioned",), scope="model")

    async def handle(request, served):
        return refused("The model has been decommissioned", status=404)

    with serve(handle) as served:
        with pytest.raises(errors.RetiredModelError) as raised:
            await provider(served, sign, facts={"fallback_models": ("m2",)}).complete("Hi")

    assert (raised.value.kind, raised.value.successor, raised.value.retired_on) == ("retired", "m2", None)
    assert str(raised.value).endswith("has been decommissioned. Use m2 in its place.")


async def test_a_wrong_key_is_told_with_the_page_where_keys_are_issued():
    """The error names the variable too."""

    async def handle(request, served):
        return refused("Invalid API Key", status=401)

    facts = {"key": "optional", "keys": ("TESTING_KEY",), "key_address": "https://testing.example/keys"}
    with serve(handle) as served, pytest.raises(errors.AuthenticationError) as raised:
        await provider(served, facts=facts, api_key="wrong").complete("Hi")

    assert "Set TESTING_KEY or pass api_key." in str(raised.value)
    assert str(raised.value).endswith("Keys are issued at <https://testing.example/keys>.")


def test_what_was_learned_is_safe_to_share():
    """Threads that meet the same refusal at the same time leave one lesson each at most."""
    learned_of = []
    with serve(takes_one_call) as served:
        asker = provider(served, ONE_CALL, native_tools=True)

        def ask():
            learned_of.append(asker.complete_sync("Hi", tools=TOOLS).text)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert learned_of == ["Hello"] * 4
    assert len(served.requests) <= 8
    assert {lesson.feature for lesson in asker.learned.lessons} == {"fields"}
