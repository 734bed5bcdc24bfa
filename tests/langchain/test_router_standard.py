"""LangChain's own suites over the router: its first member is down, and another package's answers."""

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from freeproviders import OpenAICompatible
from langchain_freeproviders import ChatFreeProviders
from tests.brain import brain, native_brain
from tests.langchain.services import OPENAI
from tests.langchain.test_standard_unit import UnitSuite
from tests.langchain.theirs import ChatTheirs


def either_brain(messages, request):
    """A model with tools of its own that finds a schema in its prompt."""
    return native_brain(messages, request) if request.json.get("tools") else brain(messages)


class TestUnit(UnitSuite):
    chat_model_class = ChatFreeProviders
    chat_model_params = {"models": ["flow-gpt"]}  # noqa: RUF012 - the suite's property

    @property
    def standard_chat_model_params(self):
        # A key belongs to a member.
        return {"temperature": 0, "max_tokens": 100, "timeout": 60, "stop": [], "max_retries": 2}


class TestRouter(ChatModelIntegrationTests):
    """Of another's model with tools of its own, which LangChain's own code offers and reads.

    That a service without tools does the same behind the router is held by `test_router_agents.py`.
    """

    chat_model_class = ChatFreeProviders
    supports_json_mode = True
    standard_chat_model_params = {}  # noqa: RUF012
    model_override_value = "their-model"

    @pytest.fixture(autouse=True)
    def _replicas(self, monkeypatch, tmp_path):
        monkeypatch.setenv("FREEPROVIDERS_QUOTA", str(tmp_path / "ledger.sqlite"))
        with OPENAI.replica(faults={"status": 503}) as down, OPENAI.replica(either_brain) as theirs:
            first = OpenAICompatible("m1", base_url=down.base_url)
            self.members = [first, ChatTheirs(base_url=theirs.base_url)]
            yield

    @pytest.fixture
    def model(self, _replicas, request):
        extra = getattr(request, "param", None) or {}
        return ChatFreeProviders(models=self.members, **extra)

    @property
    def chat_model_params(self):
        return {"models": self.members}
