"""Backends whose limits are kept: what is reserved, what is given back, and who is stopped before sending."""

import asyncio
import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from freeproviders import FlowGpt, OpenAICompatible, Quota, Retry
from freeproviders.catalogue import catalogue
from freeproviders.errors import (
    BadRequestError,
    ProviderConnectionError,
    ProviderError,
    QuotaSpentError,
    QuotaTooSmallError,
    RateLimitError,
    UsageError,
)
from freeproviders.quota.ledger import SharedLedger
from freeproviders.quota.opening import open_ledger
from freeproviders.quota.rules import rules_of
from freeproviders.quota.sqlite import SQLiteStore
from freeproviders.quota.steps import Settle, StoreError
from freeproviders.testing import replica
from tests.quota.stores import Clock, sqlite_store

REQUESTS = {"metric": "requests", "per": "minute", "cap": 3}
TOKENS = {"metric": "tokens", "per": "minute", "cap": 500}


@pytest.fixture
def quota(tmp_path):
    """Make a quota over a ledger of this test's own."""
    return lambda *limits, **more: Quota(limits or None, name="mine", ledger=tmp_path / "quota.db", **more)


@pytest.fixture
def standings(tmp_path):
    """Tell what counts against each limit in that ledger."""

    async def told(metric="requests"):
        rows = await open_ledger(tmp_path / "quota.db").standings()
        return [(row.used, row.running) for row in rows if row.rule.metric == metric and row.rule.per]

    return told


def made(server, quota, **more):
    return OpenAICompatible("m", base_url=server.base_url, quota=quota, **more)


async def test_the_call_above_the_limit_is_not_sent(quota):
    with replica(OpenAICompatible) as server:
        provider = made(server, quota(REQUESTS))
        for _ in range(3):
            await provider.complete("Hi", wait_up_to=0)
        with pytest.raises(QuotaSpentError, match=r"\[OpenAICompatible m\].*requests a minute") as caught:
            await provider.complete("Hi", wait_up_to=0)
        assert caught.value.soonest is not None
        assert isinstance(caught.value, RateLimitError)
        assert len(server.requests) == 3


async def test_every_request_is_reserved_also_a_retry(quota, standings):
    with replica(OpenAICompatible, faults=[{"status": 503}, {"status": 503}]) as server:
        await made(server, quota(REQUESTS), retry=Retry(attempts=3, first=0)).complete("Hi")
        assert len(server.requests) == 3
    assert await standings() == [(3, 0)]


async def test_a_request_that_a_dead_connection_took_is_reserved_again(quota, standings):
    """The service may have counted it: what is sent a second time is a second request."""
    with replica(OpenAICompatible, faults=[{}, {"drop": True}]) as server:
        provider = made(server, quota(REQUESTS))
        for _ in range(2):
            await provider.complete("Hi")
        assert [request.connection for request in server.requests] == [1, 1, 2]
        with pytest.raises(QuotaSpentError):
            await provider.complete("Hi", wait_up_to=0)
        assert len(server.requests) == 3
    assert await standings() == [(3, 0)]


async def test_a_dead_connection_takes_no_request_above_the_limit(quota, standings):
    with replica(OpenAICompatible, faults=[{}, {}, {"drop": True}]) as server:
        provider = made(server, quota(REQUESTS))
        for _ in range(2):
            await provider.complete("Hi")
        with pytest.raises(QuotaSpentError):
            await provider.complete("Hi", wait_up_to=0)
        assert len(server.requests) == 3
    assert await standings() == [(3, 0)]


async def test_a_retry_for_which_there_is_no_room_is_not_sent(quota):
    with replica(OpenAICompatible, faults={"status": 503}) as server:
        with pytest.raises(QuotaSpentError):
            limits = quota({**REQUESTS, "cap": 2})
            await made(server, limits, retry=Retry(attempts=6, first=0)).complete("Hi", wait_up_to=0)
        assert len(server.requests) == 2


async def test_tokens_are_settled_at_what_the_answer_took(quota, standings):
    with replica(OpenAICompatible, answer="one two three") as server:
        answer = await made(server, quota(TOKENS)).complete("Hi there", max_tokens=300)
    taken = answer.usage.input_tokens + answer.usage.output_tokens
    assert await standings("tokens") == [(taken, 0)]
    assert taken < 100


async def test_tokens_that_count_as_a_request_comes_in_are_not_given_back(quota, standings):
    with replica(OpenAICompatible, answer="one two three") as server:
        await made(server, quota({**TOKENS, "counted": "admission"})).complete("Hi there", max_tokens=300)
    [(used, running)] = await standings("tokens")
    assert used > 300
    assert running == 0


async def test_a_cut_document_has_come_in(quota, standings):
    """What it counts as it comes in is not given back for half an answer of which nothing can be read."""
    with replica(OpenAICompatible, answer="one two three", faults={"cut": 40}) as server:
        with pytest.raises(ProviderError):
            provider = made(server, quota({**TOKENS, "counted": "admission"}), retry=0)
            await provider.complete("Hi there", max_tokens=300)
    [(used, running)] = await standings("tokens")
    assert used > 300
    assert running == 0


async def test_each_answer_tells_what_is_left(quota):
    """Streamed or whole: what the ledger has after it, tokens that were not used given back."""
    with replica(OpenAICompatible, answer="one two three") as server:
        provider = made(server, quota(REQUESTS, TOKENS))
        before = datetime.now(UTC)
        first = await provider.complete("Hi there", max_tokens=300)
        batches = [batch async for batch in provider.batches(provider.request("Hi there", max_tokens=300))]
        plain = await provider.configured(quota=None).complete("Hi")
    second = batches[-1][-1]
    taken = first.usage.input_tokens + first.usage.output_tokens
    for number, finish in ((1, first.finish), (2, second)):
        requests, tokens = finish.quota
        assert (requests.metric, requests.per, requests.scope, requests.cap) == (
            "requests",
            "minute",
            "account",
            3,
        )
        assert (requests.left, tokens.left) == (3 - number, 500 - number * taken)
        for one in (requests, tokens):
            assert timedelta(seconds=59) < one.back_at - before < timedelta(seconds=120)
        assert json.loads(json.dumps(tokens.plain()))["left"] == tokens.left
    assert plain.finish.quota == ()


class Breaking(SQLiteStore):
    """A store in memory that breaks as soon as something is settled."""

    def run(self, steps):
        if any(isinstance(step, Settle) for step in steps):
            raise StoreError("The ledger is gone.")
        return super().run(steps)


async def test_an_answer_is_not_lost_with_the_ledger():
    """It only does not tell what is left."""
    ledger = SharedLedger(lambda: Breaking(None), lambda store: None)
    with replica(OpenAICompatible, answer="one two three") as server:
        answer = await made(server, Quota([REQUESTS], ledger=ledger)).complete("Hi")
    await asyncio.to_thread(ledger.close)
    assert answer.text == "one two three"
    assert answer.finish.quota == ()


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 429}, {"drop": True}, {"cut": 40}, {"error": "Gone."}]
)
async def test_an_error_before_content_keeps_what_the_service_may_have_counted(quota, standings, fault):
    """The request and the question's tokens, by the upper estimate; not those of the answer."""
    question = "word " * 50
    with replica(OpenAICompatible, faults=fault) as server:
        with pytest.raises(ProviderError):
            await made(server, quota(REQUESTS, TOKENS), retry=0).complete(question, max_tokens=200)
    assert await standings() == [(1, 0)]
    [(used, running)] = await standings("tokens")
    assert 50 <= used < 300
    assert running == 0


async def test_a_question_that_is_refused_as_such_gives_its_tokens_back(quota, standings):
    """Before any model has read it."""
    with replica(OpenAICompatible, faults={"status": 400}) as server:
        with pytest.raises(BadRequestError):
            await made(server, quota(REQUESTS, TOKENS)).complete("word " * 50, max_tokens=200)
    assert await standings() == [(1, 0)]
    assert await standings("tokens") == [(0, 0)]


async def test_an_answer_that_breaks_off_keeps_the_upper_estimate_of_its_question(quota, standings):
    """The likely one may be lower than what the service has counted."""
    question = "한국어 문장입니다. " * 5
    with replica(OpenAICompatible, answer=["word "] * 9, faults={"error": "Gone.", "error_at": 2}) as server:
        provider = made(server, quota(TOKENS), retry=0)
        with pytest.raises(ProviderError):
            await provider.complete(question, max_tokens=30)
    [(used, _)] = await standings("tokens")
    assert used > 1.5 * provider.estimated_usage(provider.request(question), 0).input_tokens


async def test_what_was_never_written_is_given_back(quota, standings):
    with pytest.raises(ProviderConnectionError):
        await OpenAICompatible(
            "m", base_url="http://127.0.0.1:9/v1", quota=quota(REQUESTS), retry=0
        ).complete("Hi")
    assert await standings() in ([], [(0, 0)])


async def test_an_abandoned_stream_settles_at_what_was_seen(quota, standings):
    with replica(OpenAICompatible, answer=["word "] * 50, faults={"stall": 3}) as server:
        stream = made(server, quota(TOKENS)).stream("Hi", max_tokens=300)
        async for _ in stream:
            break
        assert (await standings("tokens"))[0][0] > 300
        await stream.aclose()
    [(used, running)] = await standings("tokens")
    assert 0 < used < 200
    assert running == 0


async def test_a_request_above_the_cap_fails_at_once(quota):
    with replica(OpenAICompatible) as server:
        with pytest.raises(QuotaTooSmallError):
            await made(server, quota(TOKENS)).complete("Hi", max_tokens=1000, wait_up_to=60)
        assert server.requests == []


async def test_an_answer_without_a_limit_reserves_what_fits(quota):
    """Nobody has to name max_tokens where the limit is small."""
    with replica(OpenAICompatible, answer="Fine.") as server:
        assert (await made(server, quota(TOKENS)).complete("Hi")).text == "Fine."


async def test_two_backends_of_one_name_share_their_limits(quota):
    with replica(OpenAICompatible) as one, replica(FlowGpt) as other:
        first = made(one, quota({**REQUESTS, "cap": 2, "scope": "all"}))
        second = FlowGpt(base_url=other.base_url, quota=quota({**REQUESTS, "cap": 2, "scope": "all"}))
        await first.complete("Hi", wait_up_to=0)
        await second.complete("Hi", wait_up_to=0)
        for backend in (first, second):
            with pytest.raises(QuotaSpentError):
                await backend.complete("Hi", wait_up_to=0)


async def test_what_the_service_announces_is_taken_over(quota):
    """A header that says that less is left than we counted stops the next call."""
    with replica(service="groq", answer="Fine.", limits={"requests/day": 2}) as server:
        provider = OpenAICompatible(
            service="groq", base_url=server.base_url, api_key="any", quota=Quota(ledger=_of(quota))
        )
        await provider.complete("Hi", wait_up_to=0)
        await OpenAICompatible(service="groq", base_url=server.base_url, api_key="any", quota=None).complete(
            "Hi"
        )
        with pytest.raises(RateLimitError):
            await provider.complete("Hi", wait_up_to=0)
        sent = len(server.requests)
        with pytest.raises(QuotaSpentError):
            await provider.complete("Hi", wait_up_to=0)
        assert len(server.requests) == sent


async def test_a_refusal_shuts_the_door_for_others_too(quota):
    """A service that wants to be left alone for a minute is asked by nobody meanwhile."""
    with replica(service="groq", answer="Fine.", faults={"kind": "minute"}) as server:
        ledger = _of(quota)

        def asked():
            return OpenAICompatible(
                service="groq", base_url=server.base_url, api_key="any", retry=0, quota=Quota(ledger=ledger)
            )

        with pytest.raises(RateLimitError) as refused:
            await asked().complete("Hi")
        assert not isinstance(refused.value, QuotaSpentError)
        with pytest.raises(QuotaSpentError):
            await asked().complete("Hi", wait_up_to=0)
        assert len(server.requests) == 1


async def test_waiting_is_bounded_and_ends_when_there_is_room(quota):
    with replica(OpenAICompatible) as server:
        provider = made(server, quota({"metric": "requests", "per": "second", "cap": 2}, transit=0.2))
        answers = await asyncio.gather(*[provider.complete("Hi", wait_up_to=30) for _ in range(3)])
        assert len(answers) == len(server.requests) == 3


class Preparing(OpenAICompatible):
    """Needs some time between the reservation and the write, in which others may have its place."""

    async def prepared(self):
        """Wait for what the test waits for."""

    async def ready(self, request, fetch):
        await self.prepared()


ONE_A_SECOND = {"metric": "requests", "per": "second", "cap": 1}


TRANSIT = 0.05


@pytest.fixture
def one_a_second():
    """A limit of one request a second, its ledger, and the ledger's clock, which stands still."""
    clock = Clock()
    ledger = SharedLedger(lambda: sqlite_store(clock), lambda store: None)
    yield Quota([ONE_A_SECOND], name="mine", ledger=ledger, transit=TRANSIT), ledger, clock
    ledger.close()


async def test_a_request_that_is_written_late_is_reserved_anew(one_a_second):
    """Else the next one would be in the same second."""
    limits, ledger, clock = one_a_second

    async def for_longer_than_the_transit():
        clock.at += 1.2
        await asyncio.sleep(2 * TRANSIT)

    with replica(OpenAICompatible) as server:
        late = Preparing("m", base_url=server.base_url, quota=limits)
        late.prepared = for_longer_than_the_transit
        await late.complete("Hi", wait_up_to=0)
        rows = await ledger.standings()
        assert [(row.used, row.running) for row in rows if row.rule.per] == [(1, 0)]
        late.prepared = lambda: asyncio.sleep(0)
        with pytest.raises(QuotaSpentError):
            await late.complete("Hi", wait_up_to=0)
        assert len(server.requests) == 1


async def test_a_request_that_is_written_late_waits_as_a_new_one(one_a_second):
    """Others have taken what there was, so it is not sent."""
    limits, ledger, clock = one_a_second
    other = asyncio.Event()
    with replica(OpenAICompatible) as server:
        late = Preparing("m", base_url=server.base_url, quota=limits)
        late.prepared = other.wait
        first = asyncio.create_task(late.complete("Hi", wait_up_to=0))
        while not await ledger.standings():
            await asyncio.sleep(0.01)
        clock.at += 1.2
        await asyncio.sleep(2 * TRANSIT)
        await made(server, limits).complete("Hi", wait_up_to=0)
        other.set()
        with pytest.raises(QuotaSpentError):
            await first
        assert len(server.requests) == 1


@pytest.mark.parametrize("transit", [0, -1, float("inf"), float("nan")])
def test_a_transit_that_is_none(transit):
    with pytest.raises(UsageError, match="transit"):
        Quota([REQUESTS], transit=transit)


async def test_the_transit_of_a_row_counts(quota):
    """A service that is far away has a bound of its own, which the caller's own Quota may change."""
    far = dataclasses.replace(catalogue().service("groq"), transit=4.0)
    [seconds] = {Quota(ledger="memory").meter("groq", far, "key", None).transit}
    assert seconds == 4.0
    assert Quota(ledger="memory", transit=2.0).meter("groq", far, "key", None).transit == 2.0
    assert Quota([REQUESTS], ledger="memory").meter("mine", None, None, None).transit == 1.0


async def test_limits_are_kept_unasked_where_the_service_itself_is_asked(monkeypatch):
    """A server on this machine in its place is a replica, whose limits are nobody's."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_a1b2c3d4e5f6g7h8")
    assert OpenAICompatible(service="groq").keeps_limits
    assert not OpenAICompatible(service="groq", quota=None).keeps_limits
    assert not OpenAICompatible(service="groq", base_url="http://127.0.0.1:9/v1").keeps_limits
    assert not OpenAICompatible("llama3.2", service="ollama").keeps_limits
    assert not OpenAICompatible("m", base_url="https://house.example/v1").keeps_limits
    assert not FlowGpt().keeps_limits


async def test_a_second_key_of_one_service_is_refused(quota):
    """Keys are not rotated to get around limits; two accounts have names of their own."""
    with replica(OpenAICompatible) as server:
        await made(server, quota(REQUESTS), api_key="key-number-one").complete("Hi")
        second = made(server, quota(REQUESTS), api_key="key-number-two")
        with pytest.raises(UsageError, match="another key"):
            await second.complete("Hi")
        other = Quota([REQUESTS], name="another account", ledger="memory")
        assert await second.configured(quota=other).complete("Hi")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Quota([{"metric": "requests", "caps": 3}]), "A limit has metric, cap and per"),
        (lambda: Quota([{"metric": "requests", "cap": 3, "per": "1.5 hours"}]), "'1.5 hours' is no period"),
        (lambda: Quota([{"metric": "requests", "cap": 3, "per": 2.0}]), "A limit's period is text"),
        (lambda: Quota([REQUESTS], keep=1.5), "keep must be a share"),
        (lambda: OpenAICompatible("m", base_url="http://127.0.0.1:9/v1", quota=5), "quota must be"),
    ],
)
def test_bad_limits_are_told(wrong, said):
    with pytest.raises(UsageError, match=said):
        wrong()


def test_a_limit_that_nobody_is_sure_of_is_no_rule():
    """A number of confidence D may be far too low; a user's own file is believed."""
    gemini = catalogue().service("gemini")
    doubtful = {(limit.per, limit.cap) for limit in gemini.limit if limit.confidence == "D"}
    assert doubtful
    ruled = {(rule.per, rule.cap) for rule in rules_of(gemini, gemini.default_model, keyless=False)}
    assert not ruled & doubtful
    own = rules_of(dataclasses.replace(gemini, file="mine.toml"), gemini.default_model, keyless=False)
    assert {(rule.per, rule.cap) for rule in own} & doubtful


def _of(quota):
    """The ledger of a quota that the fixture makes."""
    return quota(REQUESTS).ledger
