"""LangChain's own integration suite, over replicas and a backend of one's own.

The model behind them is scripted and obeys.

It is run for one protocol without tools and for one with tools of its own. That the other protocols
send the same is held by `tests/real/test_prompts.py`, and that they answer in the same parts by
`tests/core/test_protocols.py`. The real model sits the suite in `test_standard_real.py`;
`test_llms.py` has the string models, which it does not know.
"""

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from freeproviders.testing import replica
from langchain_freeproviders import ChatBackend, ChatOpenAICompatible
from tests.brain import brain, native_brain
from tests.langchain.services import FLOW, OPENAI
from tests.langchain.test_backends import Scripted


class IntegrationSuite(ChatModelIntegrationTests):
    """Skipped by the suite itself.

    Pictures, PDFs and audio, which it fetches from the internet, and recordings of HTTP.
    """

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
        return {}  # temperature and the rest are for real models; some services take none

    @property
    def model_override_value(self):
        return self.override


class TestFlowGpt(IntegrationSuite):
    service = FLOW


class TestOwnToolsOfTheService(IntegrationSuite):
    """A service that calls tools and keeps to schemas itself."""

    service = OPENAI
    override = "another-model"
    answer = staticmethod(native_brain)

    @property
    def chat_model_params(self):
        return {**self.service.options, "native_tools": True, "json_schema": True}


class TestServiceOfTheCatalogue(ChatModelIntegrationTests):
    """A service by its id: its replica keeps to the row, and so does the model."""

    chat_model_class = ChatOpenAICompatible
    chat_model_params = {"service": "groq", "api_key": "gsk_1"}  # noqa: RUF012 - the suite's property
    supports_json_mode = True
    standard_chat_model_params = {}  # noqa: RUF012
    model_override_value = "openai/gpt-oss-20b"

    @pytest.fixture(autouse=True)
    def _replica(self, monkeypatch):
        with replica(service="groq", answer=native_brain, api_key="gsk_1", limits=False) as server:
            monkeypatch.setenv("GROQ_API_BASE", server.base_url)
            yield

    @pytest.fixture
    def model(self, _replica, request):
        extra = getattr(request, "param", None) or {}
        return ChatOpenAICompatible(**self.chat_model_params, **extra)


class TestAnyBackend(ChatModelIntegrationTests):
    """An object that is none of our classes, and speaks no protocol at all."""

    chat_model_class = ChatBackend
    chat_model_params = {"backend": Scripted()}  # noqa: RUF012 - the suite's property
    supports_json_mode = True
    standard_chat_model_params = {}  # noqa: RUF012
    model_override_value = "blend-2"
