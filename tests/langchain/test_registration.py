"""Models by name."""

import re
import subprocess
import sys

import pytest
from langchain.agents import create_agent
from langchain.chat_models import base, init_chat_model
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.messages import HumanMessage

from freeproviders.errors import MissingKeyError, UnknownServiceError, UsageError
from langchain_freeproviders import ChatFlowGpt, ChatFreeProviders, ChatOpenAICompatible, registration
from tests.langchain.services import CHATS, FLOW, OPENAI


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
async def test_the_router_by_its_name(monkeypatch, tmp_path):
    """With a member behind the colon; LangChain's own function and agents know it too."""
    monkeypatch.setenv("FREEPROVIDERS_QUOTA", str(tmp_path / "ledger.sqlite"))
    registration.register()
    with FLOW.replica("Hello") as r:
        monkeypatch.setenv("FLOW_GPT_API_BASE", r.base_url)
        for make in (registration.init_chat_model, init_chat_model):
            model = make("free_providers:flow-gpt", temperature=0.5)
            assert (type(model), model.models, model.temperature) == (ChatFreeProviders, ["flow-gpt"], 0.5)
            assert model.invoke("Hi").content == "Hello"
        state = await create_agent("free_providers:flow-gpt", []).ainvoke({"messages": [HumanMessage("Hi")]})
        assert state["messages"][-1].content == "Hello"


@pytest.fixture
def groq(monkeypatch):
    """A replica in the place of a service of the catalogue, which wants the service's key."""
    with OPENAI.replica("Hello", api_key="gsk_1") as r:
        monkeypatch.setenv("GROQ_API_BASE", r.base_url)
        monkeypatch.setenv("GROQ_API_KEY", "gsk_1")
        yield r


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({"model": "freeproviders:groq"}, "openai/gpt-oss-120b"),
        ({"model": "freeproviders:groq/openai/gpt-oss-20b"}, "openai/gpt-oss-20b"),
        ({"model": "freeproviders:groq/house/blend:free"}, "house/blend:free"),
        ({"model": "groq/openai/gpt-oss-20b", "model_provider": "freeproviders"}, "openai/gpt-oss-20b"),
        ({"model": "house/blend", "model_provider": "freeproviders", "service": "groq"}, "house/blend"),
        ({"model": "Freeproviders:Groq"}, "openai/gpt-oss-120b"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("langchains_list")
def test_a_service_of_the_catalogue(groq, given, model):
    """By this package's function and, but for capitals, by LangChain's own."""
    registration.register()
    makers = [registration.init_chat_model, *([init_chat_model] if "Free" not in given["model"] else [])]
    for make in makers:
        made = make(**given, temperature=0.5, max_retries=0)
        assert type(made) is ChatOpenAICompatible
        assert (made.model, made.temperature) == (model, 0.5)
        assert made.invoke("Hi").content == "Hello"
        assert groq.requests[-1].json["model"] == model


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("freeproviders:grok/x", UnknownServiceError, "Did you mean 'groq'"),
        ("freeproviders:no such service", UnknownServiceError, "freeproviders catalogue"),
        ("freeproviders:", UsageError, "freeproviders:groq/"),
        ("freeproviders:/x", UsageError, "freeproviders:groq/"),
        ("freeproviders:mistral", MissingKeyError, "MISTRAL_API_KEY"),
    ],
)
@pytest.mark.usefixtures("langchains_list")
def test_a_name_that_cannot_be_asked(monkeypatch, name, error, said):
    """The error says what would do; it is LangChain's own as well."""
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    registration.register()
    for make in (registration.init_chat_model, init_chat_model, create_agent):
        with pytest.raises(error, match=re.escape(said)) as caught:
            make(name)
        assert isinstance(caught.value, ModelInvalidRequestError)


@pytest.mark.usefixtures("langchains_list")
async def test_agents_know_services_by_name(groq):
    """With the model in a string, as with any of LangChain's own."""
    registration.register()
    state = await create_agent("freeproviders:groq/openai/gpt-oss-20b", []).ainvoke(
        {"messages": [HumanMessage("Hi")]}
    )
    assert state["messages"][-1].content == "Hello"
    any_model = init_chat_model(configurable_fields=("model", "model_provider"))
    config = {"configurable": {"model": "groq", "model_provider": "freeproviders"}}
    assert (await any_model.ainvoke("Hi", config)).content == "Hello"
    assert [request.json["model"] for request in groq.requests] == [
        "openai/gpt-oss-20b",
        "openai/gpt-oss-120b",
    ]


@pytest.mark.usefixtures("langchains_list")
def test_no_name_of_langchains_is_replaced():
    """Neither those that it has nor one of ours that it may have some day."""
    base._BUILTIN_PROVIDERS["embedded"] = theirs = ("langchain_embedded", "ChatEmbedded", base._call)
    before = dict(base._BUILTIN_PROVIDERS)
    registration.register()
    after = dict(base._BUILTIN_PROVIDERS)
    assert {name: after[name] for name in before} == before
    assert after["embedded"] is theirs
    ours = {name for name, row in after.items() if row[0].startswith("langchain_freeproviders")}
    names = {"free_providers", "freeproviders", *registration.PROVIDERS}
    assert ours == names - {"embedded"} == after.keys() - before.keys()
    assert {"groq", "mistralai", "ollama"} <= before.keys()


@pytest.mark.parametrize("name", ["groq", "mistralai", "ollama", "openrouter"])
def test_langchains_own_names_stay_langchains(name):
    """Our function hands them on, although the catalogue may have a service of that name."""
    assert name not in registration.PROVIDERS
    with pytest.raises(ImportError, match=f"langchain.{name}"):
        registration.init_chat_model(f"{name}:some-model")


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
