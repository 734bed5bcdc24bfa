"""No file, no import and no blocking call on the event loop, from the first call of a process on.

`langgraph dev` switches the guard of these tests on, and serves models that are made inside a
coroutine. Beside it an audit hook sees what the guard lets pass: modules that are read.
"""

import subprocess
import sys

import pytest

HEAD = """
import asyncio, sys, traceback
from blockbuster import blockbuster_ctx
from freeproviders import Embedded, FlowGpt, OpenAICompatible
from freeproviders.testing import replica
from freeproviders.types import Tool
from tests.brain import brain
from pydantic import BaseModel

EVENTS = {"open", "import", "sqlite3.connect", "os.listdir", "os.scandir", "subprocess.Popen"}
seen, looking = [], False

def watch(event, args):
    global looking
    if event not in EVENTS or looking or asyncio._get_running_loop() is None or not guarding:
        return
    looking = True
    try:
        frames = [f.filename for f in traceback.extract_stack()[:-1]]
        outer = [name for name in frames if "importlib" not in name and "<frozen" not in name]
        if any(part in outer[-1] for part in PARTS):
            seen.append((event, str(args[0]), outer[-1]))
    finally:
        looking = False

PARTS = ("/freeproviders/", "langchain_freeproviders/", "llama_index_freeproviders/")
guarding = False
sys.addaudithook(watch)

class City(BaseModel):
    '''A city.'''
    name: str
    population: int

def weather(city: str) -> str:
    '''The weather in a city.'''
    return f"sunny in {city}"

async def guarded():
    global guarding
    with blockbuster_ctx():
        guarding = True
        try:
            await main()
        finally:
            guarding = False

def run(answer=brain, **style):
    global url
    with replica(OpenAICompatible, answer=answer, **style) as r:
        url = r.base_url
        asyncio.run(guarded())
    print("seen", seen)

ASK = "What is the weather in Paris?"
QUESTION = 'Which city is "Paris", with 3 people?'
"""

CORE = """
WEATHER = Tool("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})

async def main():
    backend = OpenAICompatible("m", base_url=url, retry=0, native_tools=False, json_schema=False)
    await backend.complete("Hi", frequency_penalty=0.5)
    assert [part async for part in backend.stream("Hi")]
    first, *_ = await asyncio.gather(
        *[backend.complete(ASK, tools=[WEATHER], tool_choice="weather") for _ in range(3)]
    )
    assert first.tool_calls[0].name == "weather", first
    assert (await backend.complete(QUESTION, response_format={"type": "json_object"})).text
    from freeproviders.tools import complete_structured

run()
"""

THINKING = """
async def main():
    backend = OpenAICompatible("m", base_url=url, retry=0)
    answer = await backend.complete("Hi")
    assert (answer.reasoning, answer.text) == ("Hm.", "Yes."), answer

run("<think>Hm.</think>Yes.")
"""

LANGCHAIN = """
import langchain_freeproviders
from langchain_freeproviders import ChatBackend, ChatEmbedded, ChatFlowGpt, ChatOpenAICompatible
from langchain_freeproviders import OpenAICompatibleLLM

async def main():
    model = ChatOpenAICompatible(
        model="m", base_url=url, max_retries=0, native_tools=False, json_schema=False
    )
    assert (await model.ainvoke("Hi")).content
    assert [chunk async for chunk in model.astream("Hi")]
    bound = model.bind_tools([weather], tool_choice="any")
    assert (await bound.ainvoke(ASK)).tool_calls
    assert [chunk async for chunk in model.bind_tools([weather]).astream(ASK)]
    for method in ("json_schema", "function_calling"):
        city = await model.with_structured_output(City, method=method).ainvoke(QUESTION)
        assert isinstance(city, City)
    assert await OpenAICompatibleLLM(model="m", base_url=url).ainvoke("Hi")
    assert (await ChatBackend(backend=OpenAICompatible("m", base_url=url)).ainvoke("Hi")).content

run()
"""

LANGCHAIN_STREAMED_OBJECT = """
import langchain_freeproviders
from langchain_freeproviders import ChatOpenAICompatible

async def main():
    model = ChatOpenAICompatible(
        model="m", base_url=url, max_retries=0, native_tools=False, json_schema=False
    )
    cities = [city async for city in model.with_structured_output(City).astream(QUESTION)]
    assert isinstance(cities[-1], City)

run()
"""

LLAMAINDEX = """
import io
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
import llama_index_freeproviders
from llama_index_freeproviders import BackendLLM
from llama_index_freeproviders import OpenAICompatible as LLM

async def main():
    llm = LLM(model="m", base_url=url, retry=0, function_calling="emulate", json_schema=False)
    assert (await llm.acomplete("Hi")).text
    assert [chunk async for chunk in await llm.astream_chat([ChatMessage(content="Hi")])]
    tool = FunctionTool.from_defaults(fn=weather)
    response = await llm.achat_with_tools([tool], user_msg=ASK, tool_required=True)
    assert llm.get_tool_calls_from_response(response)
    assert isinstance(await llm.astructured_predict(City, PromptTemplate(QUESTION)), City)
    steps = await llm.astream_structured_predict(City, PromptTemplate(QUESTION))
    assert [step async for step in steps]
    assert (await BackendLLM(backend=OpenAICompatible("m", base_url=url)).acomplete("Hi")).text

run()
"""

SERVICES = """
import os
import langchain_freeproviders
from langchain.agents import create_agent
from langchain_freeproviders import ChatOpenAICompatible, OpenAICompatibleLLM
from llama_index_freeproviders import OpenAICompatible as LLM

langchain_freeproviders.register()
os.environ.update(GROQ_API_KEY="gsk_1")

async def main():
    global guarding
    os.environ.update(GROQ_API_BASE=url)
    guarding = False  # the hook's: making a model is like an import, which the guard allows
    core = OpenAICompatible(service="groq")
    chat = ChatOpenAICompatible(service="groq")
    string = OpenAICompatibleLLM(service="groq", model="openai/gpt-oss-20b")
    llm = LLM(service="groq")
    named = langchain_freeproviders.init_chat_model("freeproviders:groq")
    agent = create_agent("freeproviders:groq/openai/gpt-oss-20b", [weather])
    guarding = True
    assert (await core.complete("Hi")).text
    assert core.abilities("openai/gpt-oss-20b").window
    assert (await chat.ainvoke("Hi")).content
    assert [chunk async for chunk in chat.bind_tools([weather]).astream("Hi")]
    assert isinstance(await named.with_structured_output(City).ainvoke(QUESTION), City)
    assert await string.ainvoke("Hi")
    assert (await agent.ainvoke({"messages": [("user", ASK)]}))["messages"][-1].content
    assert (await llm.acomplete("Hi")).text
    assert llm.metadata.context_window == 131072

run()
"""

EMBEDDINGS = """
import pathlib, tempfile
from freeproviders.embeddings import OpenAICompatibleEmbedder
from langchain_freeproviders import OpenAICompatibleEmbeddings
from llama_index.embeddings.freeproviders import OfflineEmbedding, OpenAICompatibleEmbedding
from llama_index_freeproviders import SharedQuota

quota = SharedQuota("house", [{"metric": "requests", "per": "minute", "cap": 100}], ledger="memory")
kept = str(pathlib.Path(tempfile.mkdtemp(), "vectors.db"))
texts = ["a", "word " * 300, "b"]

async def main():
    global guarding
    guarding = False  # the hook's: as above
    core = OpenAICompatibleEmbedder("m", base_url=url)
    chain = OpenAICompatibleEmbeddings(model="m", base_url=url)
    model = OpenAICompatibleEmbedding("m", base_url=url, cache=kept, rate_limiter=quota)
    floor = OfflineEmbedding()
    guarding = True
    assert len(await core.embed(texts)) == 3
    assert await chain.aembed_documents(texts)
    for show_progress in (False, True):
        assert len(await model.aget_text_embedding_batch(texts, show_progress=show_progress)) == 3
    assert await model.aget_query_embedding("a")
    assert await floor.aget_text_embedding_batch(texts)

run()
"""

EMBEDDED = """
from freeproviders.embedded import choice
from langchain_freeproviders import ChatEmbedded
from llama_index_freeproviders import Embedded as LLM
ChatEmbedded, LLM, Embedded

async def main():
    for made in (Embedded(), Embedded("smollm2-135m")):
        assert made.context_window == 8192
    assert ChatEmbedded().profile["max_input_tokens"] == 8192
    assert LLM().metadata.context_window == 8192

run()
"""


@pytest.mark.parametrize(
    "code",
    [CORE, THINKING, LANGCHAIN, LANGCHAIN_STREAMED_OBJECT, LLAMAINDEX, SERVICES, EMBEDDED, EMBEDDINGS],
    ids=[
        "core",
        "thinking",
        "langchain",
        "langchain-objects",
        "llamaindex",
        "services",
        "embedded",
        "embeddings",
    ],
)
def test_nothing_blocks_the_event_loop(code):
    """Everything is asked for the first time, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + code], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.stdout.splitlines() == ["seen []"], done.stdout + done.stderr
