"""LangChain's own integration suite, for the five protocols over their replicas, and for a backend of ones own.

The model behind them is scripted and obeys.

The real model goes through the suite in `test_standard_real.py`.
"""

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_freeproviders import ChatBackend
from tests.brain import brain, native_brain
from tests.langchain.services import FLOW, OPENAI, SERVICES
from tests.langchain.test_backends import Scripted

FREE_NETFLY, CHATGPT_FREE, _, AI_CHAT_FREE, _ = SERVICES


class IntegrationSuite(ChatModelIntegrationTests):
    """Skipped by the suite itself: pictures, PDFs and audio, which it fetches from the internet, and recordings of HTTP."""

    service = FLOW
    supports_json_mode = True
    override = "gpt-4-turbo"
    answer = staticmethod(brain)

    @pytest.fixture(autouse=True)
    def _replica(self, monkeypatch):
        with self.service.replica(self.answer) as replica:
            monkeypatch.setenv(
                f"{self.service.chat.provider_class.slug.upper().replace('-', '_')}_API_BASE",
                replica.base_url,
            )
            yield

    @pytest.fixture
    def model(self, _replica, request):
        extra = getattr(request, "param", None) or {}
        return self.chat_model_class(**{**self.standard_chat_model_params, **self.chat_model_params, **extra})

    @property
    def chat_model_class(self):
        return self.service.chat

    @property
    def chat_model_params(self):
        return self.service.options

    @property
    def standard_chat_model_params(self):
        return {}  # temperature and the rest are for real models; some services take none, which is said in a warning

    @property
    def model_override_value(self):
        return self.override


class TestFreeNetfly(IntegrationSuite):
    service = FREE_NETFLY
    override = "gpt-4"


class TestChatgptFree(IntegrationSuite):
    service = CHATGPT_FREE
    override = "gpt-4o-mini-2024-07-18"


class TestFlowGpt(IntegrationSuite):
    service = FLOW


class TestAIChatFree(IntegrationSuite):
    service = AI_CHAT_FREE
    override = "gemini-pro"


class TestOpenAICompatible(IntegrationSuite):
    service = OPENAI
    override = "another-model"


class TestStructuredOutputByCalling(IntegrationSuite):
    """The other way to an object: as the arguments of a call."""

    service = FLOW
    structured_output_kwargs = {"method": "function_calling"}  # noqa: RUF012 - the suite's property


class TestOwnToolsOfTheService(IntegrationSuite):
    """A service that calls tools and keeps to schemas itself."""

    service = OPENAI
    override = "another-model"
    answer = staticmethod(native_brain)

    @property
    def chat_model_params(self):
        return {**self.service.options, "native_tools": True, "json_schema": True}


class TestAnyBackend(ChatModelIntegrationTests):
    """An object that is none of our classes, and speaks no protocol at all."""

    chat_model_class = ChatBackend
    chat_model_params = {"backend": Scripted()}  # noqa: RUF012 - the suite's property
    supports_json_mode = True
    standard_chat_model_params = {}  # noqa: RUF012
    model_override_value = "blend-2"
