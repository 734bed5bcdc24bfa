"""LangChain's own integration suite with the real 0.5B model, as far as it has the wits."""

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_freeproviders import ChatEmbedded

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]


class TestEmbedded(ChatModelIntegrationTests):
    chat_model_class = ChatEmbedded
    chat_model_params = {"model": "qwen2.5-coder-0.5b", "prompt_cache": False}  # noqa: RUF012
    supports_json_mode = True

    @pytest.fixture(autouse=True)
    def _weights(self, weights_05b):
        assert weights_05b.exists()

    @property
    def standard_chat_model_params(self):
        return {"temperature": 0, "max_tokens": 200}

    @property
    def model_override_value(self):
        return "smollm2-135m"
