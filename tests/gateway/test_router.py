"""A router behind the gateway: names, who answered, and nobody who can."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest

from freeproviders import FlowGpt, FreeProviders, OpenAICompatible
from freeproviders.gateway import Gateway, serve
from freeproviders.testing import Replica, replica
from freeproviders.types import Finish, Seam, Text, Usage
from tests.brain import brain
from tests.gateway.conftest import HI, client


@contextmanager
def routed(
    first: Any = None, second: Any = None, **options: Any
) -> Iterator[tuple[Replica, Replica, Gateway]]:
    """A gateway to a router over two members, with the faults of each."""
    with ExitStack() as stack:
        flow = stack.enter_context(replica(FlowGpt, answer="From flow", faults=first))
        other = stack.enter_context(replica(OpenAICompatible, answer="From other", faults=second))
        members = [
            FlowGpt(base_url=flow.base_url, retry=0),
            OpenAICompatible("org/m", base_url=other.base_url, retry=0),
        ]
        router = FreeProviders(*members, **options).configured(retry=0)
        yield flow, other, stack.enter_context(serve(router, embedder=None))


def test_members_by_name() -> None:
    with routed() as (_, _, gateway):
        asking = client(gateway)
        assert [model.id for model in asking.models.list()] == [
            "auto",
            "flow-gpt/gpt-3.5-turbo",
            "openai-compatible/org/m",
        ]
        for name, text in (
            ("auto", "From flow"),
            ("flow-gpt", "From flow"),
            ("flow-gpt/gpt-3.5-turbo", "From flow"),
            ("openai-compatible/org/m", "From other"),
            ("org/m", "From other"),
        ):
            answer = asking.chat.completions.create(model=name, messages=HI)
            assert answer.choices[0].message.content == text
        assert asking.models.retrieve("openai-compatible/org/m").owned_by == "openai-compatible"
        with pytest.raises(openai.NotFoundError, match="openai-compatible/org/m"):
            asking.chat.completions.create(model="gpt-4o", messages=HI)


@pytest.mark.parametrize("stream", [False, True])
def test_who_has_answered(stream: bool) -> None:
    """The next member takes the place of one that fails; the answer tells it."""
    with routed(first={"status": 503}) as (flow, _, gateway):
        made = client(gateway).chat.completions.create(model="auto", messages=HI, stream=stream)
        last: Any = list(made)[-1] if stream else made
        extra = last.model_extra["freeproviders"]
        assert (last.model, extra["provider"]) == ("org/m", "OpenAICompatible")
        assert [one["provider"] for one in extra["trail"]] == ["FlowGpt", "OpenAICompatible"]
        assert "503" in extra["trail"][0]["error"]
        assert len(flow.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_can_answer_now(stream: bool) -> None:
    """A 429 with the soonest time, by which the client's own retries go."""
    limited = {"status": 429, "retry_after": 30}
    with routed(first={"status": 429, "retry_after": 90}, second=limited) as (flow, other, gateway):
        with pytest.raises(openai.RateLimitError) as caught:
            client(gateway).chat.completions.create(
                model="auto", messages=HI, stream=stream, extra_body={"wait_up_to": 0}
            )
        assert 28 <= int(caught.value.response.headers["retry-after"]) <= 31
        assert caught.value.response.headers["x-should-retry"] == "true"
        assert "No member has answered" in caught.value.message
        assert len(flow.requests) == len(other.requests) == 1


def test_nobody_answers_and_nobody_says_when() -> None:
    with routed(first={"html": True}, second={"status": 401}) as (_, _, gateway):
        with pytest.raises(openai.InternalServerError) as caught:
            client(gateway).chat.completions.create(model="auto", messages=HI)
        assert caught.value.status_code in {502, 503}
        assert caught.value.code == "no_provider"


def test_what_is_wrong_with_the_question_is_the_clients() -> None:
    picture: Any = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    with (
        replica(FlowGpt) as flow,
        serve(FreeProviders(FlowGpt(base_url=flow.base_url)), embedder=None) as gateway,
        pytest.raises(openai.BadRequestError),
    ):
        client(gateway).chat.completions.create(model="auto", messages=[{"role": "user", "content": picture}])


def test_tools_through_a_router() -> None:
    with (
        replica(FlowGpt, answer=brain) as flow,
        serve(FreeProviders(FlowGpt(base_url=flow.base_url)), embedder=None) as gateway,
    ):
        tool: Any = {
            "type": "function",
            "function": {
                "name": "get_weather",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
        answer = client(gateway).chat.completions.create(
            model="flow-gpt",
            messages=[{"role": "user", "content": "What is the weather in Paris?"}],
            tools=[tool],
        )
        assert answer.choices[0].message.tool_calls


class Restarted:
    """A backend whose answer broke off and began anew, as its caller has allowed."""

    name, model = "Restarted", "m"

    def batches(self, request: Any) -> Any:
        return self._parts()

    async def _parts(self) -> Any:
        yield [Text("Once up")]
        yield [Text("Again")]
        yield [Usage(1, 1), Finish(seams=(Seam(7, "a/m", "b/m", "restart"),))]


def test_an_answer_that_began_anew_is_no_stream() -> None:
    """What was sent cannot be taken back; a whole answer has what is valid."""
    with serve(Restarted(), embedder=None) as gateway:
        whole = client(gateway).chat.completions.create(model="auto", messages=HI)
        assert whole.choices[0].message.content == "Again"
        assert (whole.model_extra or {})["freeproviders"]["seams"][0]["how"] == "restart"
        with pytest.raises(openai.APIError) as caught:
            list(client(gateway).chat.completions.create(model="auto", messages=HI, stream=True))
        assert caught.value.code == "answer_restarted"


def test_times_are_read_too() -> None:
    from freeproviders.errors import NoProviderError
    from freeproviders.gateway.refusals import refusal_of

    error = NoProviderError("Nobody.")
    error.soonest = datetime.now(UTC) + timedelta(hours=3)
    error.is_retryable = True
    refusal = refusal_of(error)
    assert refusal.status == 429
    assert 10_790 < int(refusal.headers["Retry-After"]) <= 10_800
    assert refusal.headers["X-Should-Retry"] == "false"  # nobody waits so long in a retry
