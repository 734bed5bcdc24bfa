"""Limits of an LLM: a field, another for one call, and the errors of a limit that is spent."""

import copy
import pickle
from itertools import count

import pytest

from freeproviders.errors import QuotaSpentError
from freeproviders.quota.quota import Quota
from freeproviders.testing import replica
from llama_index_freeproviders import Embedded, FlowGpt

_names = count()


def twice(**facts):
    """Two requests a minute, of a name that no other test has."""
    limits = [{"metric": "requests", "per": "minute", "cap": 2}]
    return Quota(limits, **{"name": f"llamaindex-{next(_names)}", "ledger": "memory", **facts})


@pytest.fixture
def server():
    with replica("flow-gpt") as server:
        yield server


def test_a_quota_is_kept_by_all_llms_that_have_it(server):
    quota = twice()
    first = FlowGpt(base_url=server.base_url, quota=quota, retry=0)
    other = FlowGpt(base_url=server.base_url, quota=quota, retry=0)
    assert [first.complete("a").text, other.complete("b").text] == ["a", "b"]
    with pytest.raises(QuotaSpentError) as caught:
        first.complete("c")
    assert caught.value.soonest is not None
    assert len(server.requests) == 2


def test_a_call_may_have_another_quota_or_none(server):
    llm = FlowGpt(base_url=server.base_url, quota=twice(), retry=0)
    assert [llm.complete("a", quota=None).text for _ in range(3)] == ["a"] * 3
    assert [llm.complete("b", quota=twice()).text for _ in range(3)] == ["b"] * 3
    with pytest.raises(QuotaSpentError):
        for _ in range(3):
            llm.complete("c")


async def test_a_coroutine_keeps_it(server):
    llm = FlowGpt(base_url=server.base_url, quota=twice(), retry=0)
    assert [(await llm.acomplete("a")).text for _ in range(2)] == ["a", "a"]
    with pytest.raises(QuotaSpentError):
        await llm.acomplete("a")


def test_copies_count_together(server):
    llm = FlowGpt(base_url=server.base_url, quota=twice(), retry=0)
    llm.complete("a")
    copies = [copy.deepcopy(llm), pickle.loads(pickle.dumps(llm)), copy.copy(llm)]
    copies[0].complete("a")
    for one in copies:
        with pytest.raises(QuotaSpentError):
            one.complete("a")


def test_a_quota_is_neither_saved_nor_shown(server):
    llm = FlowGpt(base_url=server.base_url, quota=twice(name="nobody-else"))
    assert "nobody-else" not in repr(llm)
    assert "quota" not in llm.to_dict()


@pytest.mark.filterwarnings("error")
def test_a_model_on_this_machine_has_nothing_to_keep():
    Embedded()
    Embedded(quota=None)
