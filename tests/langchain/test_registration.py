"""Models by name."""

import subprocess
import sys

import pytest
from langchain.agents import create_agent
from langchain.chat_models import base, init_chat_model
from langchain_core.messages import HumanMessage

from freeproviders.errors import UsageError
from langchain_freeproviders import ChatFlowGpt, ChatOpenAICompatible, registration
from tests.langchain.services import CHATS, FLOW


def test_every_class_has_a_name():
    assert set(registration.PROVIDERS.values()) == set(CHATS)
    for name, cls in registration.PROVIDERS.items():
        model = cls(base_url="http://127.0.0.1:1") if cls is ChatOpenAICompatible else cls()
        assert model._get_ls_params()["ls_provider"] == name


def test_our_own_function():
    model = registration.init_chat_model("flow_gpt:gpt-4-turbo", temperature=0.5)
    assert isinstance(model, ChatFlowGpt)
    assert (model.model, model.temperature) == ("gpt-4-turbo", 0.5)
    assert registration.init_chat_model("flow-gpt").model == "gpt-3.5-turbo"
    assert registration.init_chat_model("gpt-4-turbo", model_provider="flow_gpt").model == "gpt-4-turbo"
    colons = registration.init_chat_model("openai_compatible:llama3:8b", base_url="http://127.0.0.1:1")
    assert colons.model == "llama3:8b"


def test_a_configurable_model_is_langchains_matter():
    """Such keywords would otherwise be sent to the service."""
    for keywords in ({"configurable_fields": "any"}, {"config_prefix": "a"}):
        with pytest.raises(UsageError, match="register"):
            registration.init_chat_model("flow_gpt", **keywords)


def test_others_are_langchains():
    with pytest.raises(ValueError, match=r"no.such.provider"):
        registration.init_chat_model("x", model_provider="no-such-provider")


@pytest.mark.usefixtures("langchains_list")
async def test_langchains_own_function(monkeypatch):
    with pytest.raises(ValueError, match="flow_gpt"):
        init_chat_model("flow_gpt:gpt-4-turbo")
    registration.register()
    registration.register()
    model = init_chat_model("flow_gpt:gpt-4-turbo", temperature=0.5)
    assert type(model) is ChatFlowGpt
    assert (model.model, model.temperature) == ("gpt-4-turbo", 0.5)
    with FLOW.replica("Hello") as r:
        monkeypatch.setenv("FLOW_GPT_API_BASE", r.base_url)
        any_model = init_chat_model(configurable_fields=("model", "model_provider"))
        config = {"configurable": {"model": "gpt-4-turbo", "model_provider": "flow_gpt"}}
        assert (await any_model.ainvoke("Hi", config)).content == "Hello"
        state = await create_agent("flow_gpt:gpt-3.5-turbo", []).ainvoke({"messages": [HumanMessage("Hi")]})
        assert state["messages"][-1].content == "Hello"


@pytest.mark.usefixtures("langchains_list")
@pytest.mark.parametrize("other", [None, [], {"openai": "ChatOpenAI"}])
def test_another_form_is_said(monkeypatch, other):
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", other)
    with pytest.raises(UsageError, match="another way"):
        registration.register()


def test_nothing_is_registered_by_importing():
    program = (
        "import langchain_freeproviders, langchain.chat_models.base as b; "
        "print('flow_gpt' in b._BUILTIN_PROVIDERS)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        == "False\n"
    )
