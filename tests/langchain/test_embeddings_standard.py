"""LangChain's own suites of embeddings, unit and integration, for all our classes over replicas."""

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from langchain_freeproviders import (
    EmbeddedEmbeddings,
    FreeProvidersEmbeddings,
    OfflineEmbeddings,
    OpenAICompatibleEmbeddings,
)
from tests.embedded.tiny_bert import written


class TestOpenAICompatibleUnit(EmbeddingsUnitTests):
    embeddings_class = OpenAICompatibleEmbeddings

    @property
    def embedding_model_params(self):
        return {"model": "m", "base_url": "http://127.0.0.1:1/v1"}

    @property
    def init_from_env_params(self):
        return (
            {
                "OPENAI_COMPATIBLE_API_KEY": "sk-1",
                "OPENAI_COMPATIBLE_API_BASE": "http://127.0.0.1:1",
                "OPENAI_COMPATIBLE_PROXY": "http://127.0.0.1:2",
            },
            {"model": "m"},
            {"api_key": "sk-1", "base_url": "http://127.0.0.1:1", "proxy": "http://127.0.0.1:2"},
        )


class TestOfflineUnit(EmbeddingsUnitTests):
    embeddings_class = OfflineEmbeddings


class TestFreeProvidersUnit(EmbeddingsUnitTests):
    embeddings_class = FreeProvidersEmbeddings


class TestEmbeddedUnit(EmbeddingsUnitTests):
    embeddings_class = EmbeddedEmbeddings

    @pytest.fixture(autouse=True)
    def file(self, tmp_path):
        self.path = written(tmp_path)

    @property
    def embedding_model_params(self):
        return {"model_path": self.path}

    @property
    def init_from_env_params(self):
        return {"FREEPROVIDERS_EMBEDDING_MODEL": str(self.path)}, {}, {"model": "tiny-bert"}


class TestOpenAICompatible(EmbeddingsIntegrationTests):
    embeddings_class = OpenAICompatibleEmbeddings

    @pytest.fixture(autouse=True)
    def service(self):
        with replica(OpenAICompatible) as self.server:
            yield

    @property
    def embedding_model_params(self):
        return {"model": "m", "base_url": self.server.base_url}


class TestOffline(EmbeddingsIntegrationTests):
    embeddings_class = OfflineEmbeddings


class TestFreeProviders(EmbeddingsIntegrationTests):
    """The second service answers, since the first one is down."""

    embeddings_class = FreeProvidersEmbeddings

    @pytest.fixture(autouse=True)
    def services(self):
        down = {"on": "embeddings", "status": 503}
        with replica(OpenAICompatible, faults=down) as one, replica(OpenAICompatible) as self.other:
            more = {"model": "m", "family": "one", "max_retries": 0}
            self.members = [
                OpenAICompatibleEmbeddings(base_url=server.base_url, **more) for server in (one, self.other)
            ]
            yield

    @property
    def embedding_model_params(self):
        return {"members": self.members}
