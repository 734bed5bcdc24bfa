"""A model is its settings: shown, saved, copied, pickled, compared; and never its secrets."""

import asyncio
import copy
import inspect
import json
import pickle
import re
import subprocess
import sys
import textwrap
import threading
from typing import Any, get_args

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import ModelInvalidRequestError
from langchain_core.load import dumpd, dumps, load
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    convert_to_openai_messages,
    get_buffer_string,
    trim_messages,
)
from langchain_core.runnables import ConfigurableField
from pydantic import Secret, SecretStr

import freeproviders
from freeproviders import Retry, Timeout
from freeproviders.configuration import KeySource
from freeproviders.provider import Provider
from freeproviders.testing import replica
from langchain_freeproviders import (
    ChatEmbedded,
    ChatFlowGpt,
    ChatOpenAICompatible,
    EmbeddedLLM,
    FlowGptLLM,
    OpenAICompatibleEmbeddings,
    chat_models,
    llms,
)
from tests.brain import CHAT, brain
from tests.langchain.services import CHATS, FLOW, LLMS, OPENAI

SECRETS = {
    "api_key": "sk-secret-1",
    "proxy": "http://user:sk-secret-2@127.0.0.1:1",
    "headers": {"X-Key": "sk-secret-3"},
    "cookies": {"session": "sk-secret-4"},
}


SUM_SCHEMA = {
    "title": "Sum",
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}


def full(**fields):
    settings = {
        "base_url": "http://127.0.0.1:1/v1",
        "model": "m-1",
        "temperature": 0.5,
        "max_tokens": 10,
        "stop": ["END"],
        "timeout": Timeout(total=9.0, stall=None),
        "max_retries": Retry(attempts=2, first=0.1),
        "model_kwargs": {"seed": 1},
        "native_tools": True,
        **SECRETS,
    }
    return ChatOpenAICompatible(**{**settings, **fields})


def test_each_provider_has_its_classes():
    names = {name for name in freeproviders.__all__ if inspect.isclass(getattr(freeproviders, name))}
    providers = {
        name
        for name in names
        if issubclass(getattr(freeproviders, name), Provider)
        and not inspect.isabstract(getattr(freeproviders, name))
    }
    for classes, head, tail, module in ((CHATS, "Chat", "", chat_models), (LLMS, "", "LLM", llms)):
        assert {cls.provider_class.name for cls in classes} == providers
        for cls in classes:
            provider = cls.provider_class
            assert cls.__name__ == f"{head}{provider.name}{tail}"
            assert cls.__module__ == module.__name__
            default = cls.model_fields["model_name"].default
            assert default == (
                "" if provider.name in {"OpenAICompatible", "Embedded"} else provider.default_model
            )


def test_every_keyword_of_a_provider_has_a_field():
    renamed = {"model": "model_name", "retry": "max_retries"}
    for cls in (*CHATS, *LLMS):
        keywords: set = set()
        for base in cls.provider_class.__mro__:
            keywords |= {
                p.name
                for p in inspect.signature(base.__init__).parameters.values()
                if p.kind in {p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD}
            }
        if issubclass(cls.provider_class, freeproviders.Embedded):
            keywords -= {"native_tools", "json_schema"}  # its own business
        if cls.__name__ == "OpenAICompatibleLLM":
            keywords -= {"native_tools", "json_schema"}  # a string model calls no tools
        assert {
            renamed.get(name, name) for name in keywords - {"self", "args", "kwargs", "configuration"}
        } <= set(cls.model_fields)


def test_names_that_langchain_users_know():
    model = ChatOpenAICompatible(
        base_url="http://127.0.0.1:1/v1",
        model="m",
        request_timeout=5,
        stop_sequences=["a"],
        default_headers={"X": "y"},
        max_retries=0,
        streaming=True,
    )
    assert (model.timeout, model.stop, model.headers, model.model_name, model.model) == (
        5,
        ["a"],
        {"X": "y"},
        "m",
        "m",
    )
    assert (
        ChatOpenAICompatible(base_url="http://127.0.0.1:1/v1", model_name="m", headers={"X": "y"}).model
        == "m"
    )


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"temperatur": 1}, "'temperatur'. Did you mean temperature?"),
        ({"seed": 7}, "'seed'. A service's own options go into model_kwargs or extra_body."),
        ({"max_token": 7, "seed": 1}, "'max_token', 'seed'. Did you mean max_tokens? A service's own"),
        ({"reasoning_effort": "low"}, "'reasoning_effort'. A service's own options go into model_kwargs"),
        ({"top_k": 5}, "'top_k'. A service's own options go into model_kwargs"),
        ({"verbosity": "low"}, "'verbosity'. A service's own options go into model_kwargs"),
        ({"tools": []}, "tools is a setting of a request"),
    ],
)
@pytest.mark.parametrize("cls", [ChatFlowGpt, FlowGptLLM])
def test_an_unknown_field_is_refused_with_a_suggestion(cls, wrong, hint):
    """As in the core and in LlamaIndex: a mistyped temperature is never sent as an option."""
    with pytest.raises(ValueError, match="Unknown argument") as info:
        cls(**wrong)
    assert hint in str(info.value)


def test_two_names_of_one_field():
    with pytest.raises(ValueError, match="base_url and openai_api_base are two names of one thing"):
        ChatFlowGpt(base_url="http://127.0.0.1:1", openai_api_base="http://127.0.0.1:2")
    with pytest.raises(ValueError, match="model and model_name are two names of one thing: pass one"):
        ChatFlowGpt(model="gpt-4-turbo", model_name="gpt-3.5-turbo")
    with pytest.raises(ValueError, match="retry and max_retries are two names"):
        ChatFlowGpt(retry=1, max_retries=2)
    assert ChatFlowGpt(base_url="http://127.0.0.1:1", openai_api_base=None).base_url == "http://127.0.0.1:1"


def test_names_of_chat_openai():
    """A swap of the class sends the key where a key belongs, and to the address that was given."""
    with OPENAI.replica("ok") as r:
        model = ChatOpenAICompatible(
            model="m",
            openai_api_key="sk-secret-6",
            openai_api_base=r.base_url,
            openai_proxy=None,
            request_timeout=5,
            max_completion_tokens=7,
        )
        model.invoke("Hi")
        model.invoke("Hi", openai_api_key="sk-secret-7", max_completion_tokens=8)
    assert (model.model_kwargs, model.timeout, model.max_tokens) == ({}, 5, 7)
    for text in (repr(model), dumps(model), model.model_dump_json(), model._get_llm_string()):
        assert "sk-secret" not in text
    assert [request.headers["Authorization"] for request in r.requests] == [
        "Bearer sk-secret-6",
        "Bearer sk-secret-7",
    ]
    assert [request.json["max_tokens"] for request in r.requests] == [7, 8]
    assert "sk-secret" not in str([request.json for request in r.requests])
    with pytest.raises(ValueError, match="proxy"):
        ChatOpenAICompatible(model="m", base_url="http://127.0.0.1:1", openai_proxy="no address")


@pytest.mark.parametrize(
    "wrong",
    [
        {"openai_api_key": "sk-secret"},
        {"api_key": "sk-secret"},
        {"Authorization": "Bearer sk-secret"},
        {"x-api-key": "sk-secret"},
        {"access_token": "sk-secret"},
        {"headers": {"X": "sk-secret"}},
        {"cookies": {"session": "sk-secret"}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_credential_is_no_option(wrong):
    """In `model_kwargs` it would be sent in the body, shown and saved."""
    with pytest.raises(ValueError, match=next(iter(wrong))) as info:
        ChatOpenAICompatible(base_url="http://127.0.0.1:1", model="m", model_kwargs=wrong)
    assert "sk-secret" not in str(info.value)
    assert re.search(
        r"pass (it as )?(api_key|openai_api_key|headers|cookies)", str(info.value), re.IGNORECASE
    )


@pytest.mark.parametrize("name", ["temperature", "stop", "tools", "base_url", "timeout", "stream", "model"])
def test_settings_are_no_options(name):
    with pytest.raises(
        ValueError, match=f"model_kwargs holds {name}: .* Pass {name} as an argument of its own"
    ):
        ChatOpenAICompatible(base_url="http://127.0.0.1:1", model="m", model_kwargs={name: None, "seed": 1})


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"top_p": 0},
        {"top_p": 1.5},
        {"max_tokens": 0},
        {"n": 0},
        {"on_empty": "perhaps"},
        {"max_repairs": -1},
        {"on_invalid": "shrug"},
        {"reasoning": "aloud"},
        {"wait_up_to": -1},
    ],
    ids=str,
)
@pytest.mark.parametrize("cls", [ChatFlowGpt, FlowGptLLM])
def test_what_makes_no_sense_is_refused(cls, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        cls(**wrong)


def test_settings_reach_the_service():
    with OPENAI.replica("ok") as r:
        model = full(base_url=r.base_url, proxy=None, native_tools=False, stop=["END", "FIN"])
        model.invoke("Hi")
        model.invoke(
            "Hi", temperature=0.1, max_tokens=5, top_p=0.9, stop=["X"], model="m-2", seed=2, user="ann", n=1
        )
    first, second = r.requests
    assert first.json["model"] == "m-1"
    assert {key: first.json[key] for key in ("temperature", "max_tokens", "stop", "seed", "stream")} == {
        "temperature": 0.5,
        "max_tokens": 10,
        "stop": ["END", "FIN"],
        "seed": 1,
        "stream": False,
    }
    assert first.headers["Authorization"] == "Bearer sk-secret-1"
    assert first.headers["X-Key"] == "sk-secret-3"
    assert "sk-secret-4" in first.headers["Cookie"]
    assert {
        key: second.json[key]
        for key in ("model", "temperature", "max_tokens", "top_p", "stop", "seed", "user")
    } == {
        "model": "m-2",
        "temperature": 0.1,
        "max_tokens": 5,
        "top_p": 0.9,
        "stop": ["X"],
        "seed": 2,
        "user": "ann",
    }
    assert "n" not in second.json


def test_from_the_environment(monkeypatch):
    monkeypatch.setenv("FLOW_GPT_API_BASE", "http://127.0.0.1:2")
    monkeypatch.setenv("FLOW_GPT_PROXY", "http://127.0.0.1:3")
    monkeypatch.setenv("FLOW_GPT_API_KEY", "sk-env")
    model = ChatFlowGpt()
    assert (model.base_url, model.proxy, model.api_key.get_secret_value()) == (
        "http://127.0.0.1:2",
        "http://127.0.0.1:3",
        "sk-env",
    )
    assert ChatFlowGpt(base_url="http://127.0.0.1:4").base_url == "http://127.0.0.1:4"


def test_secrets_are_nowhere():
    with OPENAI.replica("ok") as r:
        model = full(base_url=r.base_url, proxy=None)
        model.invoke("Hi")  # all that is computed on the way is there now
        texts = [
            repr(model),
            str(model),
            dumps(model),
            model.model_dump_json(),
            str(model._identifying_params),
            model._get_llm_string(),
            str(model._get_ls_params()),
        ]
        texts.append(str(model._get_invocation_params(stop=["a"])))
    for text in texts:
        assert "sk-secret" not in text


def test_a_password_in_the_address_is_a_secret():
    """And goes along, also with a copy."""
    with OPENAI.replica("ok") as r:
        model = OPENAI.chat(
            base_url=r.base_url.replace("://", "://ann:sk-secret-5@"), model="m", max_retries=0
        )
        for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            each.invoke("Hi")
            for text in (
                repr(each),
                dumps(each),
                each.model_dump_json(),
                each._get_llm_string(),
                str(each._get_invocation_params()),
            ):
                assert "sk-secret" not in text
    assert {request.headers["Authorization"] for request in r.requests} == {"Basic YW5uOnNrLXNlY3JldC01"}


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": "hot"}, {"base_url": "ftp://127.0.0.1"}, {"timeout": -1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_setting_shows_no_secret(wrong):
    """pydantic would show all that was passed."""
    with pytest.raises(ValueError, match=next(iter(wrong))) as info:
        full(**wrong)
    assert "secret" not in str(info.value)


def test_saved_and_loaded(monkeypatch):
    model = full(proxy=None, headers=None, cookies=None)
    saved = json.loads(json.dumps(dumpd(model)))
    assert saved["id"] == ["langchain_freeproviders", "chat_models", "ChatOpenAICompatible"]
    assert saved["kwargs"]["api_key"] == {"lc": 1, "type": "secret", "id": ["OPENAI_COMPATIBLE_API_KEY"]}
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-secret-1")
    loaded = load(
        saved,
        allowed_objects=[ChatOpenAICompatible],
        valid_namespaces=["langchain_freeproviders"],
        secrets_from_env=True,
    )
    assert loaded == model
    assert loaded.asdict() == model.asdict()
    assert (loaded.timeout, loaded.max_retries) == (model.timeout, model.max_retries)


def test_bound_models_travel_too():
    with FLOW.replica(brain) as r:
        for bound in (
            FLOW.model(r).bind_tools([add], tool_choice="any"),
            FLOW.model(r).with_structured_output(SUM_SCHEMA),
            FLOW.model(r).bind(stop=["x"]),
        ):
            answers = [
                model.invoke("Add 3 and 4")
                for model in (bound, pickle.loads(pickle.dumps(bound)), copy.deepcopy(bound))
            ]
            found = [getattr(answer, "tool_calls", answer) for answer in answers]
            assert [
                [{**call, "id": None} for call in each] if isinstance(each, list) else each for each in found
            ][1:] == [
                [{**call, "id": None} for call in found[0]] if isinstance(found[0], list) else found[0]
            ] * 2


@pytest.mark.parametrize("use_before", [False, True])
def test_pickled_and_copied(use_before):
    with FLOW.replica("Hello") as r:
        model = FLOW.model(r, api_key="sk-1", temperature=0.5)
        if use_before:
            assert model.invoke("Hi").content == "Hello"
        for other in (
            pickle.loads(pickle.dumps(model)),
            copy.copy(model),
            copy.deepcopy(model),
            model.model_copy(),
            model.model_copy(deep=True),
        ):
            assert other == model
            assert other.invoke("Hi").content == "Hello"
            assert other.api_key == SecretStr("sk-1")


def test_copies_share_what_was_learned():
    """A refused feature is refused once for a service, whichever copy asked first, and how it is reached."""
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    call = '<tool_call>{"name": "add", "arguments": {}}</tool_call>'
    with replica("openai-compatible", answer=call, native_tools=False) as r:
        model = ChatOpenAICompatible(base_url=r.base_url, model="m", native_tools=True, max_retries=0)
        early = model.model_copy(update={"timeout": 19})
        changed = copy.copy(model)
        changed.timeout = 18
        copies = [
            model,
            early,
            changed,
            model.model_copy(update={"temperature": 0.5}),
            model.model_copy(update={"timeout": 20}, deep=True),
            early.model_copy(deep=True),
            copy.deepcopy(changed),
        ]
        for one in copies:
            assert one.invoke("Add!", tools=tools).tool_calls[0]["name"] == "add"
        assert len(r.requests) == len(copies) + 1
        model.close()  # forgets it
        model.invoke("Add!", tools=tools)
        assert len(r.requests) == len(copies) + 3


def test_a_change_counts():
    """The provider, the trace and the cache's key follow the fields."""
    with FLOW.replica("one") as one, FLOW.replica("two") as two:
        model = FLOW.model(one)
        assert model.invoke("Hi").content == "one"
        key = model._get_llm_string()
        other = model.model_copy(update={"base_url": two.base_url})
        assert other.invoke("Hi").content == "two"
        model.base_url = two.base_url
        assert model.invoke("Hi").content == "two"
        assert model._get_llm_string() == other._get_llm_string() != key


@pytest.mark.parametrize("kind", ["chat", "llm"])
def test_a_key_that_is_set_later_is_a_secret_too(kind):
    """pydantic checks neither an assignment nor the update of a copy."""
    with OPENAI.replica("ok") as r:
        model = getattr(OPENAI, kind)(base_url=r.base_url, model="m", max_retries=0)
        other = model.model_copy(update={"api_key": "sk-secret-8"})
        model.api_key = "sk-secret-9"
        for each in (other, model):
            each.invoke("Hi")
            assert "sk-secret" not in repr(each) + dumps(each) + each.model_dump_json()
        model.api_key = None
        model.invoke("Hi")
    assert [request.headers.get("Authorization") for request in r.requests] == [
        "Bearer sk-secret-8",
        "Bearer sk-secret-9",
        None,
    ]


@pytest.mark.parametrize("cls", [ChatFlowGpt, FlowGptLLM])
def test_an_address_of_the_environment_is_not_saved(cls, monkeypatch):
    """A chain that is saved on one machine asks on another what that one's environment says."""
    monkeypatch.setenv("FLOW_GPT_API_BASE", "http://127.0.0.1:2")
    model = cls()
    for each in (model, copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert each.base_url == "http://127.0.0.1:2"
        assert "127.0.0.1:2" not in dumps(each)
    given = cls(base_url="http://127.0.0.1:2")
    changed = model.model_copy(update={"base_url": "http://127.0.0.1:3"})
    second = cls(openai_api_base="http://127.0.0.1:2")
    saved = dumpd(model)
    monkeypatch.setenv("FLOW_GPT_API_BASE", "http://127.0.0.1:4")
    for each, port in ((saved, 4), (dumpd(given), 2), (dumpd(changed), 3), (dumpd(second), 2)):
        loaded = load(each, allowed_objects=[cls], valid_namespaces=["langchain_freeproviders"])
        assert loaded.base_url == f"http://127.0.0.1:{port}"


def test_configurable_fields():
    with OPENAI.replica("ok") as r:
        model = OPENAI.model(r).configurable_fields(
            model_name=ConfigurableField(id="model"), temperature=ConfigurableField(id="warmth")
        )
        model.invoke("Hi", {"configurable": {"model": "m-9", "warmth": 0.1}})
    assert (r.requests[-1].json["model"], r.requests[-1].json["temperature"]) == ("m-9", 0.1)


def test_configurable_alternatives():
    with OPENAI.replica("openai") as openai, FLOW.replica("flow") as flow:
        model = OPENAI.model(openai).configurable_alternatives(
            ConfigurableField(id="who"), default_key="openai", flow=FLOW.model(flow)
        )
        assert model.invoke("Hi").content == "openai"
        assert model.with_config(configurable={"who": "flow"}).invoke("Hi").content == "flow"


async def test_settings_of_one_call():
    """Also by their second names, and those that are the client's."""
    with OPENAI.replica("ok END", faults=[{}, {"status": 503}, {}, {"delay_first": 30}]) as r:
        model = OPENAI.model(r)
        assert (
            await model.ainvoke("Hi", model_name="m-2", stop_sequences=["END"], n=None, temperature=None)
        ).content == "ok "
        assert r.requests[-1].json == {
            "messages": [{"role": "user", "content": "Hi"}],
            "stream": False,
            "model": "m-2",
            "stop": ["END"],
        }
        assert (await model.ainvoke("Hi", max_retries=Retry(attempts=2, first=0.01))).response_metadata[
            "attempts"
        ] == 2
        with pytest.raises(TimeoutError):
            await model.bind(timeout=0.2).ainvoke("Hi")
        assert (
            await model.bind(request_timeout=20, max_retries=None).with_config(tags=["a"]).ainvoke("Hi")
        ).content == "ok END"
        assert "timeout" not in r.requests[-1].json


async def test_usage_of_a_stream_can_be_left_out():
    with FLOW.replica("Hello") as r:
        for model, options, shown in (
            (FLOW.model(r), {}, True),
            (FLOW.model(r), {"stream_usage": False}, False),
            (FLOW.model(r, stream_usage=False), {}, False),
            (FLOW.model(r), {"stream_usage": None}, True),
            (FLOW.model(r, stream_usage=False), {"stream_usage": True}, True),
        ):
            chunks = [chunk async for chunk in model.astream("Hi", **options)]
            sync = await asyncio.to_thread(lambda m=model, o=options: list(m.stream("Hi", **o)))
            assert sync[-1].usage_metadata == chunks[-1].usage_metadata
            assert (chunks[-1].usage_metadata is not None) is shown
            assert (await model.ainvoke("Hi", **options)).usage_metadata is not None


def test_caches_tell_the_forms_of_a_message_apart():
    cache = InMemoryCache()
    with FLOW.replica("Hello") as r:
        for _ in range(2):
            assert FLOW.model(r, cache=cache).invoke("Hi").content == "Hello"
            assert FLOW.model(r, cache=cache, output_version="v1").invoke("Hi").content == [
                {"type": "text", "text": "Hello"}
            ]
        assert len(r.requests) == 2


def test_caches_tell_models_apart():
    """By provider, base_url, model, settings and what the call adds."""
    cache = InMemoryCache()
    with (
        FLOW.replica("flow") as flow,
        OPENAI.replica("openai") as openai,
        OPENAI.replica("another") as another,
    ):
        models = [
            FLOW.model(flow, cache=cache),
            FLOW.model(flow, cache=cache, model="gpt-4-turbo"),
            OPENAI.model(openai, cache=cache),
            OPENAI.model(openai, cache=cache, temperature=0.3),
            OPENAI.model(another, cache=cache),
        ]
        for _ in range(2):
            assert [model.invoke("Hi").content for model in models] == [
                "flow",
                "flow",
                "openai",
                "openai",
                "another",
            ]
            models[2].invoke("Hi", stop=["x"])
            models[2].invoke("Hi", model="m-2")
        assert (len(flow.requests), len(openai.requests), len(another.requests)) == (2, 4, 1)
        assert (
            models[0].invoke("Hi").usage_metadata["total_cost"] == 0
        )  # how LangChain marks what came from a cache
        assert len({model._get_llm_string() for model in models}) == len(models)


@pytest.mark.parametrize("cls", [ChatEmbedded, EmbeddedLLM])
def test_caches_tell_files_of_embedded_models_apart(cls, tmp_path, monkeypatch):
    """Two files may have one name; one file may have two paths."""
    monkeypatch.chdir(tmp_path)
    identities = {
        str(cls(**fields)._identity)
        for fields in (
            {"model_path": tmp_path / "a" / "m.gguf"},
            {"model_path": "a/m.gguf"},
            {"model_path": tmp_path / "b" / "m.gguf"},
            {"model_path": tmp_path / "b" / "m.gguf", "context_window": 512},
        )
    }
    assert len(identities) == 3
    named = cls(model_path="c/m.gguf")
    monkeypatch.setenv("FREEPROVIDERS_MODEL", str(tmp_path / "c" / "m.gguf"))
    assert cls()._identity == named._identity


async def test_a_cache_works_for_async_calls_too():
    with FLOW.replica("Hello") as r:
        model = FLOW.model(r, cache=InMemoryCache())
        assert [(await model.ainvoke("Hi")).content for _ in range(3)] == ["Hello"] * 3
        assert len(r.requests) == 1


def test_threads_share_one_provider():
    model = ChatFlowGpt()
    model._forget()
    found, start = [], threading.Barrier(8)

    def look():
        start.wait()
        found.append(model._backend)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(provider) for provider in found}) == 1


def test_counting_needs_no_network_and_no_tokenizer():
    model = ChatFlowGpt()
    text = "some words " * 40
    tokens = model.get_num_tokens(text)
    assert 75 < tokens < 120
    assert 0 < model.get_num_tokens_from_messages(model._convert_input(text).to_messages()) - tokens < 20
    assert model.get_num_tokens("图书馆为每一位读者都准备了一本小小的笔记本。") > 15
    qwen = ChatOpenAICompatible(base_url="http://127.0.0.1:1", model="qwen3-32b")
    assert qwen.get_num_tokens("12345678" * 10) > 70 > model.get_num_tokens("12345678" * 10)
    with pytest.raises(NotImplementedError, match="custom_get_token_ids"):
        model.get_token_ids("Hi")
    counted = ChatFlowGpt(custom_get_token_ids=lambda text: [1] * len(text.split()))
    assert counted.get_num_tokens("one two three") == 3
    assert counted.get_token_ids("one two") == [1, 1]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_tools_count():
    model = ChatFlowGpt()
    messages = model._convert_input("Hi").to_messages()
    assert (
        model.get_num_tokens_from_messages(messages, tools=[add])
        > model.get_num_tokens_from_messages(messages) + 10
    )


def test_traces_name_provider_model_and_version():
    model = ChatFlowGpt(temperature=0.5, max_tokens=7)
    assert model._get_ls_params(stop=["x"]) == {
        "ls_provider": "flow_gpt",
        "ls_model_name": "gpt-3.5-turbo",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 7,
        "ls_stop": ["x"],
    }
    assert model._get_ls_params(model="gpt-4-turbo", temperature=0)["ls_model_name"] == "gpt-4-turbo"
    assert model._get_ls_params(temperature=0)["ls_temperature"] == 0
    assert model.metadata["lc_versions"]["langchain-freeproviders"] == freeproviders.__version__


@pytest.mark.parametrize("cls", CHATS, ids=lambda cls: cls.__name__)
def test_profiles_have_known_keys(cls, recwarn):
    model = cls(base_url="http://127.0.0.1:1") if cls is ChatOpenAICompatible else cls()
    assert model.profile["tool_calling"] is True
    assert not [warning for warning in recwarn if "profile" in str(warning.message)]
    assert model.profile["image_inputs"] is (cls is ChatOpenAICompatible)
    assert model.profile["pdf_inputs"] is (cls is ChatOpenAICompatible)
    assert model.profile["audio_inputs"] is (cls is ChatOpenAICompatible)
    if cls is ChatEmbedded:
        assert 0 < model.profile["max_input_tokens"] <= 8192
    else:
        assert model.profile.get("max_input_tokens") == model._backend.window_of()
    assert cls(
        **({"base_url": "http://127.0.0.1:1"} if cls is ChatOpenAICompatible else {}),
        profile={"max_input_tokens": 5},
    ).profile == {"max_input_tokens": 5}


def test_a_profile_follows_the_model():
    """Its window is known by the model's name, where the service does not say.

    An unknown name has none.
    """
    windows = {
        name: ChatFlowGpt(model=name).profile.get("max_input_tokens")
        for name in ("gpt-3.5-turbo", "gpt-4-turbo", "claude-v2")
    }
    assert windows == {"gpt-3.5-turbo": 16_385, "gpt-4-turbo": 128_000, "claude-v2": 100_000}
    assert (
        "max_input_tokens"
        not in ChatOpenAICompatible(base_url="http://127.0.0.1:1", model="house-blend").profile
    )
    model = ChatFlowGpt(max_retries=0)
    assert pickle.loads(pickle.dumps(model)).profile == model.profile
    configured = model.configurable_fields(model_name=ConfigurableField(id="model"))
    prepared, _ = configured.prepare({"configurable": {"model": "gpt-4-turbo"}})
    assert prepared.profile["max_input_tokens"] == 128_000
    mine, _ = (
        ChatFlowGpt(profile={"max_input_tokens": 5})
        .configurable_fields(model_name=ConfigurableField(id="model"))
        .prepare({"configurable": {"model": "gpt-4-turbo"}})
    )
    assert mine.profile == {"max_input_tokens": 5}


def test_what_langchain_counts_and_prints_with_a_model():
    with OPENAI.replica(brain) as r:
        model = OPENAI.model(r)
        called = model.bind_tools([add]).invoke("Add 3 and 4")
        long, short = HumanMessage("word " * 100), HumanMessage("Hi")
        assert trim_messages([long, short], max_tokens=50, token_counter=model, strategy="last") == [short]
        assert trim_messages([long, called], max_tokens=500, token_counter=model, strategy="last") == [
            long,
            called,
        ]
        assert (
            model.get_num_tokens_from_messages([called])
            > model.get_num_tokens_from_messages([AIMessage("")]) + 4
        )
        shown = HumanMessage([{"type": "image", "url": "https://example.org/a.png"}])
        assert model.get_num_tokens_from_messages([shown]) >= 85
        assert get_buffer_string([short, model.invoke("Hi")]) == f"Human: Hi\nAI: {CHAT}"
        (written,) = convert_to_openai_messages([called])
        assert json.loads(written["tool_calls"][0]["function"]["arguments"]) == {"a": 3, "b": 4}
    with pytest.raises(ModelInvalidRequestError):
        model.get_num_tokens_from_messages([HumanMessage([{"type": "video", "base64": "AAAA"}])])


def test_making_a_model_sends_nothing():
    """Nor does it start the thread that sync calls go through."""
    program = textwrap.dedent("""
        import socket, threading
        def refuse(*args, **kwargs):
            raise AssertionError("a socket was opened")
        socket.socket.connect = socket.socket.bind = refuse
        from langchain_freeproviders import ChatFlowGpt, ChatOpenAICompatible
        ChatFlowGpt().bind_tools([]), ChatOpenAICompatible(base_url="http://127.0.0.1:1").get_num_tokens("Hi")
        print(threading.active_count())
    """)
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        ).stdout
        == "1\n"
    )


@pytest.mark.parametrize("cls", [ChatOpenAICompatible, OpenAICompatibleEmbeddings])
def test_a_key_is_a_plain_string_for_type_checkers(cls):
    """The annotation takes it, and a function; what is kept is hidden, however it came."""
    taken = {str, SecretStr, Secret[Any], KeySource, type(None)}
    assert set(get_args(cls.model_fields["api_key"].annotation)) == taken
    for key in ("sk-one-of-mine", SecretStr("sk-one-of-mine")):
        model = cls(model="m", base_url="http://127.0.0.1:9/v1", api_key=key)
        assert model.api_key == SecretStr("sk-one-of-mine")
        assert "sk-one-of-mine" not in f"{model!r}{model}"
