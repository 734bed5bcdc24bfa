import pytest
from langchain.chat_models import base
from langchain.embeddings import base as embeddings

from tests.langchain.services import SERVICES, Service


@pytest.fixture(params=SERVICES, ids=str)
def service(request) -> Service:
    """Each service, with a replica to be had from it."""
    return request.param


@pytest.fixture
def langchains_list(monkeypatch):
    """LangChain's own lists of providers, as they were after a test that registered ours."""
    for module in (base, embeddings):
        monkeypatch.setattr(module, "_BUILTIN_PROVIDERS", dict(module._BUILTIN_PROVIDERS))
    caches = base._get_chat_model_creator, embeddings._get_embeddings_class_creator
    for creator in caches:
        creator.cache_clear()
    yield
    for creator in caches:
        creator.cache_clear()
