import pytest
from langchain.chat_models import base

from tests.langchain.services import SERVICES, Service


@pytest.fixture(params=SERVICES, ids=str)
def service(request) -> Service:
    """Each service, with a replica to be had from it."""
    return request.param


@pytest.fixture
def langchains_list(monkeypatch):
    """LangChain's own list of providers, as it was after a test that registered ours."""
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", dict(base._BUILTIN_PROVIDERS))
    base._get_chat_model_creator.cache_clear()
    yield
    base._get_chat_model_creator.cache_clear()
