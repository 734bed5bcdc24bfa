"""Limits of a chat model: a field, another for one call, and the errors of a limit that is spent."""

import copy
import pickle
from itertools import count

import pytest

from freeproviders.quota.quota import Quota
from freeproviders.testing import replica
from langchain_freeproviders import ChatEmbedded, ChatFlowGpt
from langchain_freeproviders.errors import QuotaSpentError

_names = count()


def twice(**facts):
    """Two requests a minute, of a name that no other test has."""
    limits = [{"metric": "requests", "per": "minute", "cap": 2}]
    return Quota(limits, **{"name": f"langchain-{next(_names)}", "ledger": "memory", **facts})


@pytest.fixture
def server():
    with replica("flow-gpt") as server:
        yield server


def test_a_quota_is_kept_by_all_models_that_have_it(server):
    quota = twice()
    first = ChatFlowGpt(base_url=server.base_url, quota=quota, max_retries=0)
    other = ChatFlowGpt(base_url=server.base_url, quota=quota, max_retries=0)
    assert first.invoke("a").content == "a"
    assert other.invoke("b").content == "b"
    with pytest.raises(QuotaSpentError) as caught:
        first.invoke("c")
    assert caught.value.soonest is not None
    assert len(server.requests) == 2


def test_a_call_may_have_another_quota_or_none(server):
    model = ChatFlowGpt(base_url=server.base_url, quota=twice(), max_retries=0)
    assert [model.invoke("a", quota=None).content for _ in range(3)] == ["a"] * 3
    assert [model.bind(quota=twice()).invoke("b").content for _ in range(3)] == ["b"] * 3
    with pytest.raises(QuotaSpentError):
        for _ in range(3):
            model.invoke("c")


async def test_a_coroutine_keeps_it(server):
    model = ChatFlowGpt(base_url=server.base_url, quota=twice(), max_retries=0)
    assert [(await model.ainvoke("a")).content for _ in range(2)] == ["a", "a"]
    with pytest.raises(QuotaSpentError):
        await model.ainvoke("a")


def test_copies_count_together(server):
    model = ChatFlowGpt(base_url=server.base_url, quota=twice(), max_retries=0)
    model.invoke("a")
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.copy(model)]
    copies[0].invoke("a")
    for one in copies:
        with pytest.raises(QuotaSpentError):
            one.invoke("a")


def test_a_quota_is_neither_saved_nor_shown(server):
    model = ChatFlowGpt(base_url=server.base_url, quota=twice(name="nobody-else"))
    assert "nobody-else" not in repr(model)
    assert "quota" not in model.model_dump()
    assert "quota" not in model.to_json()["kwargs"]
    assert "quota" not in str(model._get_llm_string(quota=twice()))


@pytest.mark.filterwarnings("error")
def test_a_model_on_this_machine_has_nothing_to_keep():
    ChatEmbedded()
    ChatEmbedded(quota=None)
