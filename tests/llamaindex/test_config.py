"""Configuration: what is planned with, saved, loaded, pickled and copied, and what never leaves."""

import copy
import inspect
import json
import pickle
import subprocess
import sys

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.loading import RECOGNIZED_LLMS, load_llm
from llama_index.core.llms.utils import resolve_llm
from pydantic import SecretStr

import freeproviders
from freeproviders import Retry, Timeout
from freeproviders.errors import AuthenticationError, ContextOverflowError, UnknownModelError, UsageError
from freeproviders.provider import Provider
from freeproviders.testing import replica
from llama_index_freeproviders import (
    AIChatFree,
    ChatgptFree,
    Embedded,
    FlowGpt,
    FreeNetfly,
    OpenAICompatible,
    ProviderLLM,
)
from llama_index_freeproviders.base import DEFAULT_WINDOW
from tests.core.servers import forward_proxy
from tests.llamaindex.services import ALL, HI

SECRET = "sk-very-secret"


def make(cls, **fields):
    return (
        cls(**{"base_url": "http://127.0.0.1:9/v1", "model": "m"} | fields)
        if cls is OpenAICompatible
        else cls(**fields)
    )


def test_every_provider_of_the_core_has_a_class():
    cores = {
        value
        for name in freeproviders.__all__
        if isinstance(value := getattr(freeproviders, name), type)
        and issubclass(value, Provider)
        and not inspect.isabstract(value)
    }
    assert {cls.provider_class for cls in ALL} == cores
    assert len(ALL) == 6
    for cls in ALL:
        assert cls.__name__ == cls.provider_class.name
        assert issubclass(cls, FunctionCallingLLM)
        assert cls.__doc__


def test_the_namespaces_hold_the_same_classes():
    import llama_index.embeddings.freeproviders as embeddings
    import llama_index.llms.freeproviders as llms
    import llama_index_freeproviders as package

    for namespace in (llms, embeddings):
        assert namespace.__all__
        for name in namespace.__all__:
            assert getattr(namespace, name) is getattr(package, name)


def test_the_namespace_is_nobodys():
    """PEP 420: with an `__init__.py` there, other packages' `llama_index.*` would vanish."""
    import llama_index
    import llama_index.embeddings
    import llama_index.llms

    assert llama_index.__file__ is None
    assert llama_index.embeddings.__file__ is None
    assert llama_index.llms.__file__ is None


def test_importing_is_quiet_and_loads_no_langchain():
    code = (
        "import sys, llama_index_freeproviders\n"
        "heavy = {'langchain_core', 'wordllama', 'xllamacpp', 'json_repair'}\n"
        "print([m for m in sys.modules if m.split('.')[0] in heavy])"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_importing_loads_what_a_chat_needs_and_no_more():
    """Beside LlamaIndex and aiohttp: this package, the core's way to a service, and no provider."""
    code = (
        "import sys, aiohttp, llama_index.core.llms\n"
        "before = set(sys.modules)\n"
        "from llama_index.llms.freeproviders import OpenAICompatible\n"
        "after = set(sys.modules)\n"
        "OpenAICompatible('m', base_url='http://127.0.0.1:9')\n"
        "print(*sorted(after - before), '|', *sorted(set(sys.modules) - after))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, _, made = (part.split() for part in done.stdout.partition("|"))
    ours = ("freeproviders", "llama_index_freeproviders", "llama_index.llms")
    # What suggests a name is here beforehand: the first call may come from an event loop.
    others = [name for name in loaded if not name.startswith(ours)]
    # LlamaIndex's table of classes is not: it imports the LLMs of other packages, and their clients.
    assert others == ["difflib"]
    of_tools = {name for name in loaded if name.startswith("freeproviders.tools")}
    assert of_tools == {"freeproviders.tools", "freeproviders.tools.choice", "freeproviders.tools.loading"}
    assert not [name for name in loaded if name.startswith("freeproviders.embedded")]
    assert not [name for name in loaded if name.startswith("freeproviders.providers.")]
    assert {name for name in made if name.startswith("freeproviders.providers.")} == {
        "freeproviders.providers.openai_compatible"
    }


# --- metadata -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("llm", "window"),
    [
        (FreeNetfly(), 16_385),
        (FreeNetfly("gpt-4"), 8192),
        (ChatgptFree(), 128_000),
        (AIChatFree(), 1_048_576),
        (FlowGpt("gemini"), 32_768),
        (FlowGpt("llama2-13b"), 4096),
        (FlowGpt("claude-v2"), 100_000),
        (OpenAICompatible("nobody-knows", base_url="http://127.0.0.1:9/v1"), DEFAULT_WINDOW),
        (OpenAICompatible("nobody-knows", base_url="http://127.0.0.1:9/v1", context_window=5000), 5000),
        (OpenAICompatible("meta-llama/Llama-3.3-70B-Instruct", base_url="http://127.0.0.1:9/v1"), 128_000),
        (Embedded("smollm2-135m"), 8192),
        (Embedded("smollm2-135m", context_window=2048), 2048),
    ],
)
def test_metadata_is_right_for_the_model(llm, window):
    metadata = llm.metadata
    assert metadata.context_window == window
    assert 0 < metadata.num_output <= window // 4
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert metadata.model_name == llm.model


def test_metadata_has_the_window_that_the_service_told():
    """What a refusal names replaces what was looked up before; what the user sets stays."""
    long = {"error": {"message": "This model's maximum context length is 2000 tokens."}}
    with replica("openai-compatible", "fine", faults=[{"status": 400, "body": long}] * 2) as r:
        llm = OpenAICompatible("gpt-4", base_url=r.base_url)
        own = OpenAICompatible("gpt-4", base_url=r.base_url, context_window=5000)
        assert llm.metadata.context_window == 8192
        for one in (llm, own):
            with pytest.raises(ContextOverflowError):
                one.chat(HI)
        assert llm.metadata.context_window == 2000
        assert llm.metadata.num_output == 500
        assert own.metadata.context_window == 5000


def test_every_model_of_the_services_has_a_window():
    for cls in (FreeNetfly, ChatgptFree, FlowGpt, AIChatFree):
        for model in cls.provider_class.models:
            assert cls.provider_class().window_of(model), model


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 1024),
        ({"max_tokens": 300}, 300),
        ({"num_output": 200, "max_tokens": 300}, 200),
        ({"context_window": 512}, 128),
        ({"context_window": 2}, 1),
    ],
)
def test_room_for_the_answer_is_clamped(fields, expected):
    assert FlowGpt(**fields).metadata.num_output == expected


def test_no_context_window_breaks_the_prompt_helper():
    from llama_index.core.indices.prompt_helper import PromptHelper
    from llama_index.core.prompts import PromptTemplate

    for window in (600, 2048, 4096):
        metadata = FlowGpt(context_window=window, max_tokens=4096).metadata
        assert (
            PromptHelper.from_llm_metadata(metadata)._get_available_context_size(
                len(PromptTemplate("{q}").template)
            )
            > 0
        )


def test_an_alias_that_is_set_later_is_told_by_the_models_name():
    llm = FlowGpt("gpt-4-turbo")
    copied = llm.model_copy(update={"model": "gemini"})
    llm.model = "gemini"
    for later in (copied, llm):
        assert (
            later.metadata.model_name
            == later.to_payload()["model"]
            == later.to_payload()["model_name"]
            == "google-gemini"
        )
        assert later.metadata.context_window == 32_768


def test_metadata_and_payload_touch_nothing(monkeypatch):
    """LlamaIndex reads both on every call."""
    llm = make(Embedded, model="smollm2-135m")
    llm.metadata  # noqa: B018 - the first may look into the model's file
    monkeypatch.setattr("builtins.open", lambda *a, **k: pytest.fail("a file was opened"))
    monkeypatch.setattr("socket.socket.connect", lambda *a: pytest.fail("a connection was made"))
    assert llm.metadata == llm.metadata
    assert isinstance(llm.metadata, LLMMetadata)
    assert llm.to_payload()["model"] == "smollm2-135m"


def test_function_calling_off_is_what_agents_see():
    assert not FlowGpt(function_calling="off").metadata.is_function_calling_model


def test_function_calling_native_needs_a_service_that_has_it():
    with pytest.raises(UsageError, match="native"):
        FlowGpt(function_calling="native")
    assert make(OpenAICompatible, function_calling="native").core.abilities().tools
    assert not make(OpenAICompatible, function_calling="emulate").core.abilities().tools
    llm = make(OpenAICompatible)
    for value, native in (("native", True), ("auto", False), ("native", True), ("emulate", False)):
        llm.function_calling = value
        assert llm.core.abilities().tools == native


class NativeProvider(freeproviders.OpenAICompatible):
    """One whose service is known to have tools."""

    name = "NativeProvider"
    slug = "native"

    def __init__(self, model=None, **configuration):
        super().__init__(model, **{"native_tools": True} | configuration)


class Native(ProviderLLM):
    """One's own class for it."""

    provider_class = NativeProvider


@pytest.mark.parametrize(("value", "native"), [("auto", True), ("native", True), ("emulate", False)])
def test_auto_is_native_where_the_provider_knows_and_emulate_never_is(value, native):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    with replica("openai-compatible", answer="ok") as r:
        Native("m", base_url=r.base_url, function_calling=value).chat(HI, tools=[tool])
        assert ("tools" in r.requests[-1].json) == native


# --- saving and loading ---------------------------------------------------------------------------


@pytest.mark.parametrize("cls", ALL)
def test_saved_and_loaded(cls):
    llm = make(
        cls,
        temperature=0.25,
        max_tokens=99,
        stop=["END"],
        timeout=Timeout(total=7),
        retry=Retry(attempts=2),
        system_prompt="Be kind.",
        function_calling="emulate",
        context_window=4000,
    )
    data = json.loads(llm.to_json())
    assert RECOGNIZED_LLMS[data["class_name"]] is cls
    again = load_llm(data)
    assert type(again) is cls
    assert again.to_dict() == llm.to_dict()
    assert (again.timeout, again.retry, again.system_prompt) == (
        Timeout(total=7),
        Retry(attempts=2),
        "Be kind.",
    )
    assert repr(again.provider) == repr(llm.provider)
    assert again.provider.timeout == llm.provider.timeout


def secretive():
    return FlowGpt(
        base_url="http://127.0.0.1:9",
        api_key=SECRET,
        headers={"Authorization": SECRET},
        cookies={"session": SECRET},
        proxy=f"http://user:{SECRET}@127.0.0.1:3128",
        extra_body={"session": SECRET},
    )


def test_secrets_are_not_saved_shown_or_told():
    llm = secretive()
    for shown in (
        llm.to_json(),
        repr(llm),
        str(llm),
        str(llm.to_payload()),
        llm.model_dump_json(),
        str(llm.metadata),
    ):
        assert SECRET not in shown


def test_a_login_in_the_address_is_a_secret():
    address, shown = f"http://ada:{SECRET}@127.0.0.1:9/v1", "http://127.0.0.1:9/v1"
    made, changed = (
        OpenAICompatible("m", base_url=address),
        OpenAICompatible("m", base_url="http://127.0.0.1:1/v1"),
    )
    changed.base_url = address
    for llm in (
        made,
        changed,
        changed.model_copy(),
        made.model_copy(update={"base_url": address}),
        pickle.loads(pickle.dumps(made)),
    ):
        for text in (llm.to_json(), repr(llm), str(llm), str(llm.to_payload()), llm.model_dump_json()):
            assert SECRET not in text
        assert shown in llm.to_json()
        assert f"base_url={shown!r}" in repr(llm)
        assert llm.provider.http_headers()["Authorization"].startswith("Basic ")
    changed.base_url = "http://127.0.0.1:2/@v1"
    assert "127.0.0.1:2/@v1" in changed.to_json()
    assert "Authorization" not in changed.provider.http_headers()  # a login is for its own host


def test_secrets_survive_where_they_must():
    again = pickle.loads(pickle.dumps(secretive()))
    assert again.api_key.get_secret_value() == SECRET
    assert again.provider.headers == {"Authorization": SECRET}
    assert again.provider.cookies == {"session": SECRET}
    assert SECRET in again.provider.route.proxy
    assert again.extra_body == {"session": SECRET}


@pytest.mark.parametrize(
    "clone",
    [
        lambda llm: pickle.loads(pickle.dumps(llm)),
        copy.copy,
        copy.deepcopy,
        lambda llm: llm.model_copy(),
        lambda llm: llm.model_copy(deep=True),
    ],
)
def test_clones_answer(clone):
    with replica("flow-gpt") as r:
        llm = FlowGpt("gemini", base_url=r.base_url, temperature=0.1)
        llm.complete("warm")
        again = clone(llm)
        assert again.complete("hello").text == "hello"
        assert again.to_dict() == llm.to_dict()


def test_copies_share_what_was_learned():
    """A refused feature is refused once for a service, whichever copy asked first, and how it is reached."""
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    call = '<tool_call>{"name": "add", "arguments": {}}</tool_call>'
    with replica("openai-compatible", answer=call, native_tools=False) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, function_calling="native", retry=0)
        early = llm.model_copy(update={"timeout": 19})
        changed = copy.copy(llm)
        changed.timeout = 18
        copies = [
            llm,
            early,
            changed,
            llm.model_copy(update={"temperature": 0.5}),
            llm.model_copy(update={"timeout": 20}, deep=True),
            early.model_copy(deep=True),
            copy.deepcopy(changed),
        ]
        for one in copies:
            assert one.get_tool_calls_from_response(one.chat(HI, tools=tools))[0].tool_name == "add"
        assert len(r.requests) == len(copies) + 1


def test_changed_settings_count():
    with replica("flow-gpt", answer="one") as one, replica("flow-gpt", answer="two") as two:
        llm = FlowGpt(base_url=one.base_url)
        assert llm.complete("x").text == "one"
        other = llm.model_copy(update={"base_url": two.base_url})
        assert other.complete("x").text == "two"
        llm.base_url = two.base_url
        llm.model = "gpt-4-turbo"
        llm.temperature = 0.1
        assert llm.complete("x").text == "two"
        assert (two.requests[-1].json["model"], two.requests[-1].json["temperature"]) == ("gpt-4-turbo", 0.1)
        assert llm.metadata.context_window == 128_000


def test_aliases_are_resolved():
    assert FlowGpt("gemini").model == FlowGpt(model="gemini-pro").model == "google-gemini"
    assert FlowGpt().model == "gpt-3.5-turbo"


@pytest.mark.parametrize(
    ("make_it", "error"),
    [
        (lambda: FlowGpt("no-such-model"), UnknownModelError),
        (lambda: FlowGpt(base_url="ftp://x"), UsageError),
        (lambda: OpenAICompatible("m"), UsageError),
        (lambda: FlowGpt(proxy="socks5://x:1"), UsageError),
        (lambda: FlowGpt(temperature=-1), ValueError),
        (lambda: FlowGpt(max_tokens=0), ValueError),
        (lambda: FlowGpt(timeout=0), ValueError),
        (lambda: FlowGpt(function_calling="maybe"), ValueError),
        (lambda: FlowGpt(temprature=0.5), UsageError),
        (lambda: ProviderLLM("m"), UsageError),
    ],
)
def test_wrong_settings_are_found_at_once(make_it, error):
    with pytest.raises(error):
        make_it()


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"temprature": 0.5}, "Did you mean temperature"),
        ({"max_token": 5}, "Did you mean max_tokens"),
        ({"modle": "m"}, "Did you mean model?"),
        ({"model_nam": "m"}, "Did you mean model_name?"),
        ({"api_bse": "http://127.0.0.1:9"}, "Did you mean api_base?"),
        ({"seed": 7}, "additional_kwargs"),
    ],
)
def test_a_setting_that_is_none_is_no_setting_in_silence(fields, hint):
    """LlamaIndex drops what it does not know."""
    with pytest.raises(UsageError, match=hint):
        FlowGpt(**fields)


@pytest.mark.parametrize(
    "wrong",
    [
        {"proxy": "socks5://x:1"},
        {"temperature": -1},
        {"headers": [SECRET]},
        {"cookies": SECRET},
        {"model": "no-such"},
    ],
)
def test_errors_of_configuration_show_no_secrets(wrong):
    with pytest.raises(ValueError) as caught:
        FlowGpt(**{"api_key": SECRET, "headers": {"Authorization": SECRET}} | wrong)
    assert SECRET not in str(caught.value)


# --- configuration --------------------------------------------------------------------------------


def test_the_environment_configures(monkeypatch):
    """`<NAME>_API_BASE`, `_API_KEY`, `_PROXY` count where nothing is passed, and are not saved."""
    with replica("openai-compatible", answer="ok", api_key=SECRET) as r, forward_proxy() as proxy:
        monkeypatch.setenv("OPENAI_COMPATIBLE_API_BASE", r.base_url)
        monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", SECRET)
        llm = OpenAICompatible("m")
        assert llm.complete("Hi").text == "ok"
        assert pickle.loads(pickle.dumps(llm)).complete("Hi").text == "ok"
        for shown in (llm.to_json(), repr(llm), str(llm.to_payload())):
            assert SECRET not in shown
            assert r.base_url not in shown
        with pytest.raises(AuthenticationError):
            OpenAICompatible("m", api_key="sk-other", retry=0).complete("Hi")
        with pytest.raises(AuthenticationError):  # no key at all is a choice, too
            OpenAICompatible("m", api_key="", retry=0).complete("Hi")
        monkeypatch.setenv("OPENAI_COMPATIBLE_PROXY", proxy.url)
        assert OpenAICompatible("m").complete("Hi").text == "ok"
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("key", [SECRET, SecretStr(SECRET)], ids=["text", "SecretStr"])
def test_a_key_may_be_text(key):
    with replica("openai-compatible", answer="ok", api_key=SECRET) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, api_key=key)
        assert llm.complete("Hi").text == "ok"
        assert isinstance(llm.api_key, SecretStr)
        llm.api_key = "sk-other"
        llm.retry = 0
        with pytest.raises(AuthenticationError):
            llm.complete("Hi")
        llm.api_key = key
        assert llm.complete("Hi").text == "ok"
        assert SECRET not in repr(llm) + llm.to_json()


def test_the_names_of_openailike():
    """Its names for the same things are understood; for other names an error says what to do."""
    with replica("openai-compatible", answer="ok") as r:
        llm = OpenAICompatible(
            model="m",
            api_base=r.base_url,
            api_key=SECRET,
            max_retries=1,
            default_headers={"X-Mine": "1"},
            timeout=7,
            context_window=9000,
        )
        assert llm.complete("Hi").text == "ok"
        assert r.requests[-1].headers["X-Mine"] == "1"
        assert (llm.base_url, llm.retry, llm.metadata.context_window) == (r.base_url, 1, 9000)
        assert load_llm(json.loads(llm.to_json())).base_url == r.base_url
    for fields, hint in (
        ({"is_chat_model": False}, "leave it out"),
        ({"http_client": object()}, "Use proxy, connector"),
        ({"native_tools": True}, "function_calling='native'"),
        ({"strict": True}, "leave it out"),
        ({"max_retries": 1, "retry": 1}, "two names of one thing"),
        ({"tools": []}, "tools is a setting of a request"),
    ):
        with pytest.raises(UsageError, match=hint):
            make(OpenAICompatible, **fields)


@pytest.mark.parametrize(
    "name", ["openai_api_key", "api_key", "Authorization", "headers", "default_headers", "cookies", "proxy"]
)
def test_no_credential_becomes_an_option(name):
    """Options are saved, shown and sent in the body: credentials are refused there by any name."""
    with pytest.raises(UsageError, match=name.removeprefix("default_").removeprefix("openai_")) as caught:
        make(OpenAICompatible, additional_kwargs={name: SECRET})
    assert SECRET not in str(caught.value)
    if name == "Authorization":
        with pytest.raises(UsageError) as caught:
            make(OpenAICompatible, **{name: SECRET})
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"temperature": 9}, r"pass temperature= to the constructor or with the call\.$"),
        ({"timeout": 3}, r"pass timeout= to the constructor"),
        ({"tools": []}, r"pass tools= with the call\.$"),
        ({"stream": True}, "method decides"),
        ({"messages": []}, "method decides"),
    ],
)
def test_no_setting_becomes_an_option(options, hint):
    """It would win over the field of its name without a word."""
    with pytest.raises(UsageError, match=hint) as caught:
        make(OpenAICompatible, additional_kwargs=options)
    assert SECRET not in str(caught.value)


def test_the_embedded_model_has_arguments_of_its_own():
    """They reach the core's provider; a function is not saved."""
    given = {}

    class Recording(freeproviders.Embedded):
        def __init__(self, model=None, **arguments):
            given.update(arguments)
            super().__init__(model, **arguments)

    class Mine(Embedded):
        provider_class = Recording

    llm = Mine("smollm2-135m", progress=print, slots=2, context_window=2048, prompt_cache=False)
    own = {"progress": print, "slots": 2, "context_window": 2048, "prompt_cache": False}
    assert {name: given[name] for name in own} == own
    assert "progress" not in llm.to_dict()
    llm.context_window = 1024
    assert llm.metadata.context_window == 1024
    assert llm.core.context_window == given["context_window"] == 1024


def test_a_model_file_may_be_a_path(tmp_path):
    llm = Embedded(model_path=tmp_path / "mine.gguf")
    assert llm.core.model == llm.model == "mine"
    saved = json.loads(llm.to_json())
    assert saved["model_path"] == str(tmp_path / "mine.gguf")
    assert load_llm(saved).core.model == "mine"
    assert Embedded(model_path=str(tmp_path / "mine.gguf")).core.model == "mine"


def test_settings_take_the_model():
    with replica("flow-gpt", answer="ok") as r:
        llm = FlowGpt(base_url=r.base_url)
        Settings.llm = llm
        assert Settings.llm is llm
        assert resolve_llm(llm) is llm
        assert Settings.llm.complete("Hi").text == "ok"


def test_a_proxy_is_used():
    with replica("flow-gpt", answer="ok") as r, forward_proxy() as proxy:
        llm = FlowGpt(base_url=r.base_url, proxy=proxy.url)
        assert llm.complete("Hi").text == "ok"
        assert pickle.loads(pickle.dumps(llm)).complete("Hi").text == "ok"
        assert len(proxy.requests) == len(r.requests) == 2


async def test_it_can_be_used_as_a_context():
    async with replica("flow-gpt", answer="ok") as r, FlowGpt(base_url=r.base_url) as llm:
        assert (await llm.achat(HI)).message.content == "ok"


def test_a_base_class_of_ones_own():
    """Users may bring a provider of their own with three lines."""

    class Mine(ProviderLLM):
        provider_class = freeproviders.FlowGpt

    with replica("flow-gpt", answer="ok") as r:
        assert Mine(base_url=r.base_url).complete("Hi").text == "ok"
    assert ProviderLLM.class_name() == "freeproviders"
