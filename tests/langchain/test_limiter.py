"""`SharedQuota`: LangChain's rate limiter over the ledger that all processes share."""

import asyncio
import copy
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.rate_limiters import BaseRateLimiter

from freeproviders.errors import UnknownServiceError as CoreUnknownServiceError
from freeproviders.quota.opening import open_ledger
from freeproviders.testing import replica
from langchain_freeproviders import ChatFlowGpt, ChatOpenAICompatible, SharedQuota
from langchain_freeproviders.errors import (
    QuotaSpentError,
    QuotaTooSmallError,
    UnknownServiceError,
    UsageError,
)

KEY = "key-of-nobody-0123456789"
_names = count()


def requests(cap, per="minute"):
    return {"metric": "requests", "per": per, "cap": cap}


def tokens(cap):
    return {"metric": "tokens", "per": "minute", "cap": cap}


def shared(*limits, **facts):
    """A quota of a name that no other test has, which waits for nothing unless told."""
    return SharedQuota(f"limiter-{next(_names)}", limits, **{"ledger": "memory", "wait_up_to": 0, **facts})


def fake(quota, *answers, settling=True, **facts):
    """Somebody else's chat model with a rate limiter."""
    said = answers or tuple(f"answer {number}" for number in range(20))
    return GenericFakeChatModel(
        messages=iter(said),
        rate_limiter=quota,
        callbacks=[quota.handler] if settling else None,
        **facts,
    )


def used_up(asked, answered):
    """An answer with its usage."""
    usage = {"input_tokens": asked, "output_tokens": answered, "total_tokens": asked + answered}
    return AIMessage("said", usage_metadata=usage)


def standing(quota, metric):
    """What the ledger has counted."""
    found = asyncio.run(open_ledger("memory").standings(quota.service))
    (one,) = [one for one in found if one.rule.metric == metric and one.rule.per]
    return one


def test_a_model_of_somebody_else_keeps_it():
    quota = shared(requests(2))
    assert isinstance(quota, BaseRateLimiter)
    model, other = fake(quota), fake(quota)
    model.invoke("a")
    list(other.stream("b"))
    with pytest.raises(QuotaSpentError) as caught:
        model.invoke("c")
    assert caught.value.soonest is not None
    assert caught.value.provider == quota.service
    with pytest.raises(QuotaSpentError):
        list(other.stream("d"))


async def test_coroutines_keep_it():
    quota = shared(requests(3))
    model = fake(quota)
    await model.ainvoke("a")
    assert [chunk async for chunk in model.astream("b")]
    done = await asyncio.gather(*(model.ainvoke("c") for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in done].count(QuotaSpentError) == 2


def test_without_blocking_it_says_no():
    quota = shared(requests(1), wait_up_to=60)
    assert quota.acquire(blocking=False) is True
    assert quota.acquire(blocking=False) is False
    assert asyncio.run(quota.aacquire(blocking=False)) is False


def test_it_waits_for_room():
    """The third request of a second's limit of two waits for the first to leave the window."""
    quota = shared(requests(2, "second"), wait_up_to=30)
    assert [quota.acquire() for _ in range(3)] == [True] * 3


def test_the_transit_is_the_callers():
    """A model that needs long to begin holds its place for longer."""
    quota = shared(requests(1, "second"), transit=40)
    quota.acquire()
    with pytest.raises(QuotaSpentError) as caught:
        quota.acquire()
    assert 30 < (caught.value.soonest - datetime.now(UTC)).total_seconds() <= 51
    assert copy.copy(pickle.loads(pickle.dumps(quota)))._arguments["transit"] == 40


def test_a_request_larger_than_a_limit_fails_at_once():
    quota = shared(tokens(100), tokens_per_request=101, wait_up_to=60)
    with pytest.raises(QuotaTooSmallError):
        quota.acquire()


def test_tokens_count_as_reserved_without_the_handler():
    quota = shared(tokens(100), tokens_per_request=40)
    model = fake(quota, used_up(1, 1), settling=False)
    model.invoke("a")
    assert (standing(quota, "tokens").used, standing(quota, "tokens").running) == (40, 0)


@pytest.mark.parametrize("way", ["invoke", "stream", "ainvoke", "astream"])
def test_the_handler_settles_what_was_used(way):
    quota = shared(tokens(100), tokens_per_request=40)
    model = fake(quota, used_up(3, 5))

    async def ask():
        if way == "ainvoke":
            return await model.ainvoke("a")
        return [chunk async for chunk in model.astream("a")]

    if way.startswith("a"):
        asyncio.run(ask())
    elif way == "invoke":
        model.invoke("a")
    else:
        list(model.stream("a"))
    counted = standing(quota, "tokens")
    assert counted.running == 0
    assert counted.used == (40 if "stream" in way else 8)  # the fake's chunks have no usage


def test_each_of_several_calls_at_once_settles_its_own():
    quota = shared(tokens(100), tokens_per_request=20)

    async def ask():
        first, second = fake(quota, used_up(1, 1)), fake(quota, used_up(10, 1))
        await asyncio.gather(first.ainvoke("a"), second.ainvoke("b"))

    asyncio.run(ask())
    assert standing(quota, "tokens").used == 13
    fake(quota, used_up(1, 1), used_up(2, 2)).generate([[AIMessage("a")], [AIMessage("b")]])
    assert (standing(quota, "tokens").used, standing(quota, "tokens").running) == (19, 0)


def test_an_error_before_content_keeps_the_request_and_gives_tokens_back():
    quota = shared(requests(5), tokens(100), tokens_per_request=40)
    model = fake(quota, used_up(1, 1))
    model.invoke("a")
    with pytest.raises(StopIteration):
        model.invoke("its answers have run out")
    assert (standing(quota, "tokens").used, standing(quota, "tokens").running) == (2, 0)
    assert standing(quota, "requests").used == 2


class Refusing(GenericFakeChatModel):
    """Somebody else's model whose service refuses, as its SDK tells it."""

    answer: Any = None

    def _generate(self, *args, **kwargs):
        error = RuntimeError("429")
        error.response = self.answer
        raise error


@pytest.mark.parametrize("text", ["Slow down.", None])
def test_a_refusal_is_learned(text):
    """Nobody asks again before the service wants to be asked, in no process."""

    class Answer:
        status_code = 429
        headers = {"retry-after": "50"}  # noqa: RUF012 - as an SDK has it

        @property
        def text(self):
            if text is None:
                raise RuntimeError("the stream was not read")
            return text

    quota = shared(requests(100))
    model = Refusing(messages=iter(()), rate_limiter=quota, callbacks=[quota.handler], answer=Answer())
    with pytest.raises(RuntimeError):
        model.invoke("a")
    with pytest.raises(QuotaSpentError) as caught:
        model.invoke("b")
    assert 0 < (caught.value.soonest - datetime.now(UTC)).total_seconds() < 60


def test_an_error_without_an_answer_teaches_nothing():
    quota = shared(requests(100))
    for answer in (None, object(), SimpleNamespace(status_code="429", headers={})):
        model = Refusing(messages=iter(()), rate_limiter=quota, callbacks=[quota.handler], answer=answer)
        with pytest.raises(RuntimeError):
            model.invoke("a")
    assert standing(quota, "requests").used == 3


def test_the_handler_hears_which_model_is_asked():
    """Where limits are a model's own; a model that was named to the quota counts all the same."""

    class Named(GenericFakeChatModel):
        name_of_it: str = ""

        def _get_invocation_params(self, stop=None, **kwargs):
            return {**super()._get_invocation_params(stop, **kwargs), "model": self.name_of_it}

    own = {**requests(1), "scope": "model"}
    quota = shared(own)
    for name in ("m-1", "m-2"):
        model = Named(messages=iter("ab"), rate_limiter=quota, callbacks=[quota.handler], name_of_it=name)
        model.invoke("a")
        with pytest.raises(QuotaSpentError):
            model.invoke("b")
    quota = shared(own, model="m-1")
    Named(messages=iter("a"), rate_limiter=quota, callbacks=[quota.handler], name_of_it="m-2").invoke("a")
    assert standing(quota, "requests").rule.pool == "m-1"


def test_a_cached_answer_counts_nothing():
    from langchain_core.caches import InMemoryCache

    quota = shared(requests(2), tokens(100), tokens_per_request=10)
    model = fake(quota, used_up(1, 1), used_up(1, 1), cache=InMemoryCache())
    for _ in range(5):
        model.invoke("the same")
    model.invoke("another")
    assert standing(quota, "requests").used == 2
    assert standing(quota, "tokens").used == 4


CHILD = """
import sys
from langchain_core.language_models import GenericFakeChatModel
from langchain_freeproviders import SharedQuota
from langchain_freeproviders.errors import QuotaSpentError

quota = SharedQuota("house", [{"metric": "requests", "per": "day", "cap": 25}], key=KEY, ledger=sys.argv[1],
    wait_up_to=0)
model = GenericFakeChatModel(messages=iter("x" * 50), rate_limiter=quota, callbacks=[quota.handler])
done = 0
for _ in range(50):
    try:
        model.invoke("a")
        done += 1
    except QuotaSpentError:
        break
print(done)
"""


def test_two_processes_and_this_one_share_it(tmp_path):
    ledger = tmp_path / "quota.db"
    command = [sys.executable, "-c", CHILD.replace("KEY", repr(KEY)), str(ledger)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    done = [int(child.communicate(timeout=120)[0]) for child in children]
    assert sum(done) == 25
    quota = SharedQuota("house", [requests(25, "day")], key=KEY, ledger=ledger, wait_up_to=0)
    assert quota.acquire(blocking=False) is False
    assert KEY.encode() not in ledger.read_bytes()


def test_a_model_of_ours_takes_it_as_its_quota_and_counts_once():
    quota = shared(requests(3))
    with replica("flow-gpt") as server:
        ours = ChatFlowGpt(base_url=server.base_url, rate_limiter=quota, max_retries=0)
        assert ours.quota is quota.quota
        theirs = fake(quota)
        ours.invoke("a")
        theirs.invoke("b")
        ours.invoke("c")
        for model in (ours, theirs):
            with pytest.raises(QuotaSpentError):
                model.invoke("d")
        assert len(server.requests) == 2
        late = ChatFlowGpt(base_url=server.base_url, max_retries=0)
        late.rate_limiter = quota
        with pytest.raises(QuotaSpentError):
            late.invoke("e")
        free = ChatFlowGpt(
            base_url=server.base_url, max_retries=0, quota=None, rate_limiter=shared(requests(1))
        )
        assert free.rate_limiter is not None
        free.invoke("f")
    assert standing(quota, "requests").used == 3


def test_a_service_of_the_catalogue_and_our_model_of_it_share_a_pool(monkeypatch, tmp_path):
    """The same service, model and key are one account, whoever asks."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    quota = SharedQuota("groq", ledger=tmp_path / "quota.db", wait_up_to=0)
    assert quota.model == "openai/gpt-oss-120b"
    ours = ChatOpenAICompatible(service="groq", rate_limiter=quota)
    meter = asyncio.run(ours._backend.metered())
    grant = asyncio.run(meter.ledger.reserve(quota._limiter._ask(meter, 0, "")))
    meter.ledger.settle(grant)
    quota.acquire()
    rules = {claim.rule for claim in grant.ask.claims}
    assert {(rule.metric, rule.per) for rule in rules} >= {("requests", "minute"), ("requests", "day")}
    found = asyncio.run(meter.ledger.standings("groq"))
    assert {one.used for one in found if one.rule.per} == {2}
    assert KEY not in repr(found)


@pytest.mark.parametrize("service", ["groq", "gemini"])
async def test_it_is_made_and_asked_inside_a_coroutine(service, tmp_path):
    """Nothing blocks the event loop, on which the first use of a process may be."""
    quota = SharedQuota(service, ledger=tmp_path / "quota.db", key=KEY, tokens_per_request=100)
    assert await quota.aacquire() is True
    assert await quota.embeddings(DeterministicFakeEmbedding(size=2)).aembed_query("a")


def test_copies_share_it():
    quota = shared(requests(2))
    assert copy.deepcopy(quota) is quota
    assert copy.deepcopy(fake(quota)).rate_limiter is quota
    other = pickle.loads(pickle.dumps(quota))
    assert pickle.loads(pickle.dumps(quota.handler)).next_run() is None
    assert [quota.acquire(), other.acquire()] == [True, True]
    assert not other.acquire(blocking=False)


def test_what_cannot_work_is_said_at_once():
    with pytest.raises(UnknownServiceError) as caught:
        SharedQuota("no-such-service")
    assert isinstance(caught.value, CoreUnknownServiceError)
    with pytest.raises(UsageError, match="knows no limits"):
        SharedQuota("ollama")
    with pytest.raises(UsageError, match="tokens_per_request"):
        shared(requests(1), tokens_per_request=-1)
    with pytest.raises(UsageError, match="wait_up_to"):
        shared(requests(1), wait_up_to=-1)
    with pytest.raises(UsageError, match="metric, cap and per"):
        shared({"cap": 3})


def test_no_key_is_shown():
    quota = shared(requests(1), key=KEY)
    assert KEY not in repr(quota)
    assert KEY not in repr(quota._limiter)


def test_embeddings_keep_it():
    quota = shared(requests(3), tokens(1000))
    vectors = quota.embeddings(DeterministicFakeEmbedding(size=4), batch=2)
    plain = DeterministicFakeEmbedding(size=4)
    texts = ["a", "b", "c"]
    assert vectors.embed_documents(texts) == plain.embed_documents(texts)
    assert vectors.embed_query("a") == plain.embed_query("a")
    assert standing(quota, "requests").used == 3
    assert standing(quota, "tokens").used > 0
    with pytest.raises(QuotaSpentError):
        vectors.embed_query("d")
    with pytest.raises(QuotaSpentError):
        asyncio.run(vectors.aembed_documents(["d"]))
    with pytest.raises(UsageError):
        quota.embeddings(plain, batch=0)


async def test_embeddings_in_a_coroutine_keep_it():
    quota = shared(requests(2))
    vectors = quota.embeddings(DeterministicFakeEmbedding(size=4))
    assert len(await vectors.aembed_documents(["a", "b"])) == 2
    with pytest.raises(QuotaSpentError):
        await vectors.aembed_query("c")


def test_embeddings_that_fail_give_their_tokens_back():
    class Failing(DeterministicFakeEmbedding):
        def embed_query(self, text):
            raise ConnectionError(text)

    quota = shared(requests(3), tokens(1000))
    with pytest.raises(ConnectionError):
        quota.embeddings(Failing(size=4)).embed_query("a")
    assert (standing(quota, "requests").used, standing(quota, "tokens").used) == (1, 0)
