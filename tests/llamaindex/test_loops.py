"""One model object from everywhere, as LlamaIndex uses it: loops that come and go, threads."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.async_utils import asyncio_run, run_async_tasks, run_jobs
from llama_index.core.response_synthesizers import TreeSummarize

from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt
from tests.devmode import complaints
from tests.llamaindex.services import HI, gathered


@pytest.fixture
def llm():
    with replica("flow-gpt", answer="ok then") as r:
        yield FlowGpt(base_url=r.base_url, retry=0)


def test_asyncio_run_again_and_again(llm):
    async def both():
        chunks = await gathered(llm.astream_chat(HI))
        return chunks[-1].message.content, (await llm.acomplete("Hi")).text

    assert [asyncio.run(both()) for _ in range(4)] == [("ok then", "ok then")] * 4


def test_llamaindexs_own_runner_outside_of_a_loop(llm):
    for _ in range(3):
        assert asyncio_run(llm.achat(HI)).message.content == "ok then"


async def test_llamaindexs_own_runner_inside_of_a_loop(llm):
    assert (await llm.achat(HI)).message.content == "ok then"
    for _ in range(3):
        assert asyncio_run(llm.achat(HI)).message.content == "ok then"
    assert (await llm.achat(HI)).message.content == "ok then"


async def test_sync_calls_inside_a_running_loop_as_in_notebooks(llm):
    assert llm.chat(HI).message.content == "ok then"
    assert [chunk.delta for chunk in llm.stream_complete("Hi")][-1] == ""
    assert (await llm.achat(HI)).message.content == "ok then"


async def test_jobs(llm):
    answers = await run_jobs([llm.achat(HI) for _ in range(10)], workers=4)
    assert [answer.message.content for answer in answers] == ["ok then"] * 10


def test_tasks_from_sync_code(llm):
    assert [answer.text for answer in run_async_tasks([llm.acomplete("Hi") for _ in range(5)])] == [
        "ok then"
    ] * 5


def test_threads(llm):
    with ThreadPoolExecutor(8) as pool:
        whole = list(pool.map(lambda _: llm.complete("Hi").text, range(16)))
        streamed = list(pool.map(lambda _: list(llm.stream_chat(HI))[-1].message.content, range(16)))
        own_loops = list(pool.map(lambda _: asyncio.run(llm.acomplete("Hi")).text, range(16)))
    assert {*whole, *streamed, *own_loops} == {"ok then"}


def test_a_stream_read_on_another_thread_than_it_was_opened(llm):
    stream, read = llm.stream_complete("Hi"), []
    thread = threading.Thread(target=lambda: read.extend(stream))
    thread.start()
    thread.join()
    assert read[-1].text == "ok then"


async def test_six_calls_take_the_time_of_one():
    """None is answered before all of them have come."""

    async def answer(messages):
        while len(r.requests) < 6:
            await asyncio.sleep(0.01)
        return "ok"

    async with replica("flow-gpt", answer=answer) as r:
        llm = FlowGpt(base_url=r.base_url)
        answers = await asyncio.gather(*(llm.achat(HI) for _ in range(6)))
        assert {answer.message.content for answer in answers} == {"ok"}


@pytest.mark.parametrize("use_async", [False, True])
def test_tree_summarize_from_sync_code(llm, use_async):
    summarizer = TreeSummarize(
        llm=llm.model_copy(update={"context_window": 1000, "num_output": 100}), use_async=use_async
    )
    for _ in range(2):
        assert summarizer.get_response("What?", ["word " * 500] * 4) == "ok then"


async def test_tree_summarize_inside_a_loop(llm):
    summarizer = TreeSummarize(
        llm=llm.model_copy(update={"context_window": 1000, "num_output": 100}), use_async=True
    )
    assert await summarizer.aget_response("What?", ["word " * 500] * 4) == "ok then"
    assert summarizer.get_response("What?", ["word " * 500] * 4) == "ok then"


def test_nothing_is_left_open(tmp_path):
    """A whole program under -X dev, with every warning an error."""
    import subprocess
    import sys

    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, gc, sys\n"
        "from freeproviders.testing import replica\n"
        "from llama_index.llms.freeproviders import FlowGpt\n"
        "async def cut(llm):\n"
        "    async for _ in await llm.astream_complete('Hi'):\n"
        "        break\n"
        "with replica('flow-gpt', answer='one two three') as r:\n"
        "    llm = FlowGpt(base_url=r.base_url)\n"
        "    for _ in range(2):\n"
        "        asyncio.run(llm.acomplete('Hi'))\n"
        "        asyncio.run(cut(llm))\n"
        "        next(iter(llm.stream_complete('Hi')))\n"
        "        llm.complete('Hi')\n"
        "    gc.collect()\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", str(program)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert complaints(done.stderr) == []
