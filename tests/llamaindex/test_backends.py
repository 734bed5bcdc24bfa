"""Any backend as an LLM: one of the core, and one of somebody else's with three members."""

import copy
import json
import pickle

import pytest
from llama_index.core import Settings
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms.loading import load_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import freeproviders
from freeproviders.abilities import Abilities
from freeproviders.errors import UsageError
from freeproviders.testing import replica
from freeproviders.types import Finish, Text, Usage
from llama_index_freeproviders import BackendLLM, OpenAICompatible
from llama_index_freeproviders.base import DEFAULT_WINDOW
from tests.llamaindex.services import HI, gathered


class Mine:
    """A backend of somebody else's, which says what it was told to say, and keeps the requests."""

    name = "Mine"
    model = "mine-1"

    def __init__(self, *says):
        self.says = list(says)
        self.requests = []

    async def batches(self, request):
        self.requests.append(request)
        said = self.says.pop(0)
        half = len(said) // 2
        yield [Text(said[:half])]
        yield [Text(said[half:]), Usage(3, 4), Finish(provider=self.name, model=request.model)]


class Song(BaseModel):
    """A song."""

    title: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(add)
CALL = '<tool_call>{"name": "add", "arguments": {"a": 20, "b": 22}}</tool_call>'
SONG = '{"title": "Rain"}'
PROMPT = PromptTemplate("A song about {what}.")


async def test_three_members_make_an_llm():
    """Eight methods, objects, tools and an agent on a name, a model and a stream of parts."""
    mine = Mine(*["Hello there."] * 8, SONG, SONG, CALL, CALL, "It is 42.")
    llm = BackendLLM(backend=mine)
    assert llm.chat(HI).message.content == llm.complete("Hi").text == "Hello there."
    assert (await llm.achat(HI)).message.content == (await llm.acomplete("Hi")).text == "Hello there."
    for chunks in (
        list(llm.stream_chat(HI)),
        list(llm.stream_complete("Hi")),
        await gathered(llm.astream_chat(HI)),
        await gathered(llm.astream_complete("Hi")),
    ):
        assert "".join(chunk.delta for chunk in chunks) == "Hello there."
        assert chunks[-1].raw["usage"]["total_tokens"] == 7
    assert llm.structured_predict(Song, PROMPT, what="rain") == Song(title="Rain")
    assert (await llm.as_structured_llm(Song).achat(HI)).raw == Song(title="Rain")
    response = await llm.achat_with_tools([ADD], "What is 20 + 22?")
    assert [call.tool_kwargs for call in llm.get_tool_calls_from_response(response)] == [{"a": 20, "b": 22}]
    assert "42" in str(await FunctionAgent(tools=[add], llm=llm).run("What is 20 + 22?"))
    assert not mine.says
    assert not any(request.tools for request in mine.requests)  # they went through the prompt


def test_what_llamaindex_is_told():
    llm = BackendLLM(backend=Mine())
    assert llm.metadata.model_name == llm.to_payload()["model"] == "mine-1"
    assert llm.model == ""  # only what the caller named: another backend has a model of its own
    assert llm.to_payload()["provider"] == "Mine"
    assert llm.metadata.context_window == DEFAULT_WINDOW
    assert llm.metadata.is_chat_model
    assert llm.metadata.is_function_calling_model
    assert not BackendLLM(backend=Mine(), function_calling="off").metadata.is_function_calling_model
    assert BackendLLM(backend=Mine(), context_window=5000).metadata.context_window == 5000
    Settings.llm = llm
    assert Settings.llm is llm


class Able(Mine):
    """One that says that its model has tools, and how much it reads."""

    def abilities(self, model=None):
        return Abilities(tools=True, window=50_000 if model == "big" else 5_000)


def test_its_abilities_count():
    """Tools go to a backend that has them, unless they are to go through the prompt."""
    for function_calling, native in (("auto", True), ("native", True), ("emulate", False)):
        able = Able(CALL)
        BackendLLM(backend=able, function_calling=function_calling).chat_with_tools([ADD], "Add!")
        assert bool(able.requests[0].tools) == native
    with pytest.raises(UsageError, match=r"\[Mine\].* no tools of its own"):
        BackendLLM(backend=Mine(), function_calling="native")
    assert BackendLLM(backend=Able()).metadata.context_window == 5_000
    assert BackendLLM("big", backend=Able()).metadata.context_window == 50_000


def test_a_model_may_be_named_for_the_llm_and_for_a_call():
    mine = Mine("a", "b", "c")
    BackendLLM(backend=mine).chat(HI)
    llm = BackendLLM("other", backend=mine)
    assert llm.metadata.model_name == "other"
    llm.chat(HI)
    llm.chat(HI, model="third")
    assert [request.model for request in mine.requests] == ["mine-1", "other", "third"]
    assert mine.model == "mine-1"  # it is nobody's to change


@pytest.mark.parametrize(
    ("name", "value", "other"),
    [
        ("temperature", 0.5, 0.0),
        ("top_p", 0.5, 0.9),
        ("max_tokens", 5, 7),
        ("stop", ("END",), ("STOP",)),
        ("max_repairs", 1, 0),
        ("allow_repeats", True, False),
        ("on_invalid", "pass", "raise"),
        ("reasoning", "split", "drop"),
        ("wait_up_to", 5.0, 0.0),
    ],
)
def test_every_setting_is_a_field_and_a_keyword_of_a_call(name, value, other):
    """A field counts for every call, a call's own value wins, and None leaves things alone."""
    mine = Mine("a", "b", "c")
    llm = BackendLLM(backend=mine, **{name: list(value) if name == "stop" else value})
    llm.chat(HI)
    llm.chat(HI, **{name: other})
    llm.chat(HI, **{name: None})
    assert [getattr(request, name) for request in mine.requests] == [value, other, value]


async def test_a_provider_of_the_core_is_a_backend():
    """Its configuration is its own; a call may change it as ever."""
    async with replica("openai-compatible", answer=SONG) as r:
        provider = freeproviders.OpenAICompatible("m", base_url="http://127.0.0.1:9", json_schema=True)
        llm = BackendLLM(backend=provider)
        song = await llm.astructured_predict(Song, PROMPT, {"base_url": r.base_url}, what="rain")
        assert song == Song(title="Rain")
        assert "response_format" in r.requests[-1].json
        assert (await llm.achat(HI, api_base=r.base_url, timeout=5)).message.content == SONG
        assert llm.core is provider
        assert llm.metadata.model_name == "m"


async def test_an_llm_of_a_provider_lends_its_backend():
    """Whoever wants the core behind an LLM has it."""
    async with replica("openai-compatible", answer="ok") as r:
        llm = OpenAICompatible("m", base_url=r.base_url)
        assert (await BackendLLM(backend=llm.core).achat(HI)).message.content == "ok"
        assert (await llm.core.complete("Hi")).text == "ok"


def test_what_is_no_backend():
    with pytest.raises(UsageError, match="backend is missing"):
        BackendLLM()
    with pytest.raises(UsageError, match="str has no name, model, batches"):
        BackendLLM(backend="gpt")
    with pytest.raises(UsageError, match="pass an instance of Mine"):
        BackendLLM(backend=Mine)
    with pytest.raises(UsageError, match="takes no configuration: timeout"):
        BackendLLM(backend=Mine("x")).chat(HI, timeout=3)
    with pytest.raises(UsageError, match="Unknown argument 'api_key'"):
        BackendLLM(backend=Mine("x"), api_key="sk-hidden")


def test_it_is_saved_without_its_backend_and_copied_with_it():
    """What a backend holds is unknown, so it is neither saved nor shown."""
    mine = Mine(*["ok"] * 4)
    mine.secret = "sk-hidden"
    llm = BackendLLM(backend=mine, temperature=0.5)
    assert "sk-hidden" not in llm.to_json() + repr(llm)
    saved = json.loads(llm.to_json())
    assert "backend" not in saved
    with pytest.raises(UsageError, match="must be passed again"):
        load_llm(saved)
    for copied in (
        pickle.loads(pickle.dumps(llm)),
        copy.copy(llm),
        copy.deepcopy(llm),
        llm.model_copy(update={"temperature": 0.7}),
    ):
        assert copied.chat(HI).message.content == "ok"
    other = Mine("other")
    llm.backend = other
    assert llm.chat(HI).message.content == "other"


def test_another_backend_is_asked_for_its_own_model():
    """Only a model that the caller named goes on to another backend."""
    other = Mine("one", "two", "three")
    other.model = "mine-2"
    llm = BackendLLM(backend=Mine())
    llm.model_copy(update={"backend": other}).complete("Hi")
    llm.backend = other
    llm.complete("Hi")
    assert llm.metadata.model_name == "mine-2"
    named = BackendLLM("named", backend=Mine())
    named.backend = other
    named.complete("Hi")
    assert [request.model for request in other.requests] == ["mine-2", "mine-2", "named"]
