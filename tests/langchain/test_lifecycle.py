"""One model, used from everywhere.

Many event loops, many threads, inside a running loop, after a fork; and nothing is left behind.
"""

import asyncio
import concurrent.futures
import subprocess
import sys
import textwrap
import threading

import pytest
from langchain_core.runnables import RunnableLambda

from tests.brain import brain
from tests.devmode import complaints
from tests.langchain.services import FLOW, OPENAI

QUESTIONS = [f"question {i}" for i in range(200)]


def ask_all_ways(model):
    async def ask():
        whole = await model.ainvoke("Hi")
        pieces = [chunk.content async for chunk in model.astream("Hi")]
        return whole.content, "".join(pieces)

    return ask


def test_one_model_in_many_event_loops(service):
    """Every second loop fails with the clients that LangChain's own packages use."""
    with service.replica("Hello there") as r:
        model = service.model(r)
        for _ in range(4):
            assert asyncio.run(ask_all_ways(model)()) == ("Hello there", "Hello there")


def test_threads_with_loops_of_their_own_and_without():
    with FLOW.replica("Hello there") as r:
        model = FLOW.model(r)

        def work(i):
            if i % 2:
                return asyncio.run(ask_all_ways(model)())
            return model.invoke("Hi").content, "".join(chunk.content for chunk in model.stream("Hi"))

        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            assert set(pool.map(work, range(40))) == {("Hello there", "Hello there")}


async def test_sync_calls_inside_a_running_loop():
    """As in a notebook's cell."""
    with FLOW.replica("Hello there") as r:
        model = FLOW.model(r)
        assert model.invoke("Hi").content == "Hello there"
        assert "".join(chunk.content for chunk in model.stream("Hi")) == "Hello there"
        assert (await model.ainvoke("Hi")).content == "Hello there"
        assert model.bind_tools([]).invoke("Hi").content == "Hello there"


async def test_sync_and_async_steps_in_one_chain():
    with FLOW.replica("Hello there") as r:
        model = FLOW.model(r)
        chain = (
            RunnableLambda(lambda text: text.upper())
            | model
            | RunnableLambda(lambda message: message.content)
        )
        assert await chain.ainvoke("hi") == "Hello there"
        assert "".join([piece async for piece in chain.astream("hi")]) == "Hello there"
        assert await asyncio.to_thread(chain.invoke, "hi") == "Hello there"


def test_a_generator_closed_in_another_thread():
    with FLOW.replica(["a"] * 500, faults={"pace": 0.01}) as r:
        stream = FLOW.model(r).stream("Hi")
        next(stream)
        thread = threading.Thread(target=stream.close)
        thread.start()
        thread.join()
        r.wait_disconnect(1)


def test_batches():
    """200 questions, at most 20 at a time, answers in order."""
    running, most, lock = 0, 0, threading.Lock()

    async def answer(messages):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        await asyncio.sleep(0.01)
        with lock:
            running -= 1
        return f"answer to {messages[-1]['content']}"

    expected = [f"answer to {question}" for question in QUESTIONS]
    with OPENAI.replica(answer) as r:
        model = OPENAI.model(r)
        assert [m.content for m in asyncio.run(model.abatch(QUESTIONS, {"max_concurrency": 20}))] == expected
        assert 1 < most <= 20
        most = 0
        assert [m.content for m in model.batch(QUESTIONS, {"max_concurrency": 20})] == expected
        assert 1 < most <= 20
        done = dict(model.batch_as_completed(QUESTIONS[:20], {"max_concurrency": 5}))
        assert [done[i].content for i in range(20)] == expected[:20]

        async def as_completed():
            return dict(
                [item async for item in model.abatch_as_completed(QUESTIONS[:20], {"max_concurrency": 5})]
            )

        done = asyncio.run(as_completed())
        assert [done[i].content for i in range(20)] == expected[:20]


def test_a_failure_in_a_batch_stays_with_its_question():
    with OPENAI.replica("fine", faults=[{"status": 500}]) as r:
        answers = OPENAI.model(r).batch(QUESTIONS[:4], {"max_concurrency": 1}, return_exceptions=True)
        assert [type(answer).__name__ for answer in answers] == [
            "ServerError",
            "AIMessage",
            "AIMessage",
            "AIMessage",
        ]


async def test_many_at_once():
    with OPENAI.replica(brain) as r:
        model = OPENAI.model(r)
        answers = await asyncio.gather(*(model.ainvoke(question) for question in QUESTIONS))
        assert len({answer.content for answer in answers}) == 1


async def test_connections_are_kept():
    with OPENAI.replica("Hello there") as r:
        model = OPENAI.model(r)
        for _ in range(5):
            _ = [chunk async for chunk in model.astream("Hi")]
            await model.ainvoke("Hi")
        assert r.connections == 1


PROGRAM = """
import asyncio, gc, os, sys, warnings
from langchain_freeproviders import ChatFlowGpt

def add(a: int, b: int) -> int:
    "Add two numbers."
    return a + b

async def use():
    await model.ainvoke("Hi")
    async for _ in model.astream("Hi"):
        pass
    async for _ in model.astream("Hi"):
        break
    stream = model.bind_tools([add]).astream("Hi")
    await anext(stream)

model = ChatFlowGpt(base_url=sys.argv[1], max_retries=0)
for _ in range(3):
    asyncio.run(use())
model.invoke("Hi")
list(model.stream("Hi"))
next(model.stream("Hi"))
task = None
async def cancel():
    task = asyncio.create_task(model.ainvoke("Hi"))
    await asyncio.sleep(0)
    task.cancel()
asyncio.run(cancel())
del model
gc.collect()
print("done")
"""


def test_nothing_is_left_behind():
    """Under -X dev, with every warning an error.

    No open session, no unclosed socket, no coroutine that nobody awaited, nothing printed at exit.
    """
    with FLOW.replica("Hello there") as r:
        ran = subprocess.run(
            [
                sys.executable,
                "-X",
                "dev",
                "-W",
                "error::ResourceWarning",
                "-W",
                "error::RuntimeWarning",
                "-c",
                PROGRAM,
                r.base_url,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.stdout == "done\n"
    assert complaints(ran.stderr) == []
    assert ran.returncode == 0


NATIVE = """
import asyncio, sys, threading
from langchain_freeproviders import ChatFlowGpt, FlowGptLLM

async def use():
    for model in (ChatFlowGpt(base_url=sys.argv[1]), FlowGptLLM(base_url=sys.argv[1])):
        await model.ainvoke("Hi")
        async for _ in model.astream("Hi"):
            pass

asyncio.run(use())
print(threading.active_count())
"""


def test_async_calls_stay_on_their_loop():
    """LangChain's defaults would take a thread for each, and so would the bridge."""
    with FLOW.replica("Hello there") as r:
        ran = subprocess.run(
            [sys.executable, "-c", NATIVE, r.base_url],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.stdout == "1\n", ran.stderr


FORK = """
import asyncio, os, sys
from langchain_freeproviders import ChatFlowGpt

model = ChatFlowGpt(base_url=sys.argv[1], max_retries=0)
assert model.invoke("Hi").content == "Hello there"
asyncio.run(model.ainvoke("Hi"))
pid = os.fork()
assert model.invoke("Hi").content == "Hello there"
assert "".join(chunk.content for chunk in model.stream("Hi")) == "Hello there"
assert asyncio.run(model.ainvoke("Hi")).content == "Hello there"
if pid == 0:
    sys.stdout.flush()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="no fork on this system")
def test_after_a_fork():
    with FLOW.replica("Hello there") as r:
        ran = subprocess.run(
            [sys.executable, "-c", FORK, r.base_url], capture_output=True, text=True, timeout=60, check=False
        )
    assert ran.stdout == "7\n", ran.stderr


def test_a_package_loads_only_what_it_needs():
    """The chat models come without LlamaIndex, langchain, tools, parsers and the engine."""
    program = textwrap.dedent("""
        import sys
        import langchain_freeproviders
        names = (
            "llama_index", "langchain", "langgraph", "xllamacpp", "jsonschema", "json_repair",
            "freeproviders.tools.engine", "freeproviders.tools.read", "freeproviders.tools.schema",
            "freeproviders.embedded", "freeproviders.testing", "freeproviders.cli",
        )
        print([name for name in names if name in sys.modules])
    """)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "[]\n"
