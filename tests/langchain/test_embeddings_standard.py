"""LangChain's own suites of embeddings, unit and integration, for all our classes over replicas."""

import pytest
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from langchain_freeproviders import OpenAICompatibleEmbeddings


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


class TestOpenAICompatible(EmbeddingsIntegrationTests):
    embeddings_class = OpenAICompatibleEmbeddings

    @pytest.fixture(autouse=True)
    def service(self):
        with replica(OpenAICompatible) as self.server:
            yield

    @property
    def embedding_model_params(self):
        return {"model": "m", "base_url": self.server.base_url}
