"""`SharedQuota`: LlamaIndex's rate limiter over the ledger that all processes share."""

import asyncio
import copy
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from itertools import count

import pytest
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.llms import CompletionResponse, MockLLM
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.rate_limiter import BaseRateLimiter

from freeproviders.errors import QuotaSpentError, QuotaTooSmallError, UnknownServiceError
from freeproviders.quota.opening import open_ledger
from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt, SharedQuota

KEY = "key-of-nobody-0123456789"
_names = count()


def requests(cap, per="minute"):
    return {"metric": "requests", "per": per, "cap": cap}


def tokens(cap):
    return {"metric": "tokens", "per": "minute", "cap": cap}


def shared(*limits, **facts):
    """A quota of a name that no other test has, which waits for nothing unless told."""
    name = f"llamaindex-limiter-{next(_names)}"
    return SharedQuota(name, limits, **{"ledger": "memory", "wait_up_to": 0, **facts})


class Coroutines(MockLLM):
    """LlamaIndex's mock with a coroutine of its own: without one it asks a limiter twice, and blocks."""

    @llm_completion_callback()
    async def acomplete(self, prompt, formatted=False, **kwargs):
        return CompletionResponse(text=prompt)


def mock(quota):
    """Somebody else's LLM with a rate limiter."""
    llm = Coroutines()
    llm.rate_limiter = quota
    return llm


def counted(quota, metric):
    """How much the ledger has counted, and how much of that is not yet final."""
    found = asyncio.run(open_ledger("memory").standings(quota.service))
    (one,) = [one for one in found if one.rule.metric == metric and one.rule.per]
    return one.used, one.running


def test_llms_and_embeddings_share_it():
    quota = shared(requests(3))
    assert isinstance(quota, BaseRateLimiter)
    llm, vectors = mock(quota), MockEmbedding(embed_dim=3, rate_limiter=quota)
    llm.complete("a")
    assert len(vectors.get_text_embedding("b")) == 3
    list(llm.stream_complete("c"))
    for ask in (llm.complete, vectors.get_text_embedding):
        with pytest.raises(QuotaSpentError) as caught:
            ask("d")
        assert caught.value.soonest is not None


async def test_coroutines_share_it():
    quota = shared(requests(2))
    llm, vectors = mock(quota), MockEmbedding(embed_dim=3, rate_limiter=quota)
    await llm.acomplete("a")
    await vectors.aget_text_embedding("b")
    for ask in (llm.acomplete, vectors.aget_text_embedding):
        with pytest.raises(QuotaSpentError):
            await ask("c")


def test_it_waits_for_room():
    """The third request of a second's limit of two waits for the first to leave the window."""
    quota = shared(requests(2, "second"), wait_up_to=30)
    for _ in range(3):
        quota.acquire()


def test_the_transit_is_the_callers():
    """An LLM that needs long to begin holds its place for longer."""
    quota = shared(requests(1, "second"), transit=40)
    quota.acquire()
    with pytest.raises(QuotaSpentError) as caught:
        quota.acquire()
    assert 30 < (caught.value.soonest - datetime.now(UTC)).total_seconds() <= 51


def test_tokens_are_those_of_the_call_else_those_of_each_request():
    quota = shared(tokens(100), tokens_per_request=40)
    quota.acquire()
    assert counted(quota, "tokens") == (40, 0)
    quota.acquire(num_tokens=25)
    asyncio.run(quota.async_acquire(num_tokens=5))
    assert counted(quota, "tokens") == (70, 0)
    with pytest.raises(QuotaSpentError):
        quota.acquire()


def test_a_request_larger_than_a_limit_fails_at_once():
    with pytest.raises(QuotaTooSmallError):
        shared(tokens(100), wait_up_to=60).acquire(num_tokens=101)


CHILD = """
import sys
from llama_index.core.llms import MockLLM
from llama_index_freeproviders import SharedQuota
from freeproviders.errors import QuotaSpentError

quota = SharedQuota("house", [{"metric": "requests", "per": "day", "cap": 25}], key=KEY, ledger=sys.argv[1],
    wait_up_to=0)
llm = MockLLM()
llm.rate_limiter = quota
done = 0
for _ in range(50):
    try:
        llm.complete("a")
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
    with pytest.raises(QuotaSpentError):
        quota.acquire()


def test_an_llm_of_ours_takes_it_as_its_quota_and_counts_once():
    quota = shared(requests(3), wait_up_to=0)
    with replica("flow-gpt") as server:
        ours = FlowGpt(base_url=server.base_url, rate_limiter=quota, retry=0)
        assert ours.quota is quota.quota
        theirs = mock(quota)
        ours.complete("a")
        theirs.complete("b")
        ours.complete("c")
        for llm in (ours, theirs):
            with pytest.raises(QuotaSpentError):
                llm.complete("d")
        assert len(server.requests) == 2
        late = FlowGpt(base_url=server.base_url, retry=0)
        late.rate_limiter = quota
        with pytest.raises(QuotaSpentError):
            late.complete("e")
        free = FlowGpt(base_url=server.base_url, retry=0, quota=None, rate_limiter=shared(requests(1)))
        assert free.rate_limiter is not None
        assert free.complete("f").text == "f"
        with pytest.raises(QuotaSpentError):
            free.complete("g")
    assert counted(quota, "requests") == (3, 0)


def test_copies_share_it():
    quota = shared(requests(2))
    assert copy.deepcopy(mock(quota)).rate_limiter is quota
    other = pickle.loads(pickle.dumps(quota))
    quota.acquire()
    other.acquire()
    with pytest.raises(QuotaSpentError):
        quota.acquire()


def test_what_cannot_work_is_said_at_once_and_no_key_is_shown():
    with pytest.raises(UnknownServiceError):
        SharedQuota("no-such-service")
    assert KEY not in repr(shared(requests(1), key=KEY))
