"""One provider object from everywhere: event loops, threads, forks, notebooks.

It is cancelled and abandoned, and leaves nothing behind.
"""

import asyncio
import concurrent.futures
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import pytest

from freeproviders import Embedded, FlowGpt, FreeProviders, OpenAICompatible, bridge, errors
from freeproviders.testing import replica
from freeproviders.tools import loading
from freeproviders.types import Text
from tests.core.services import HI, SERVICES, text_of
from tests.devmode import complaints


@pytest.fixture(params=SERVICES, ids=str)
def service(request):
    return request.param


@pytest.fixture
def r():
    with replica(OpenAICompatible, answer=["Hello", " there"]) as r:
        yield r


@pytest.fixture
def slow():
    """A service that goes on for ever, a piece each 20 ms."""
    with replica(OpenAICompatible, answer=["word "] * 5000, faults={"pace": 0.02}) as r:
        yield r


def provider_of(r, **options):
    return OpenAICompatible("m", base_url=r.base_url, **options)


def test_four_event_loops_in_a_row(service):
    """Each `asyncio.run` gets a session of its own, and the provider object never notices."""
    with replica(service.cls, answer="Hello", **service.style) as r:
        provider = service.provider(r)
        for _ in range(4):
            assert asyncio.run(text_of(provider)) == "Hello"


def test_loops_that_are_closed_without_care(r):
    """A loop that was only closed, without shutting its generators down, leaks no session."""
    provider = provider_of(r)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(text_of(provider)) == "Hello there"
            loop.close()
        assert asyncio.run(text_of(provider)) == "Hello there"
        gc.collect()


def test_twenty_threads(r):
    """Twenty threads at once, sync and async, each get the whole answer."""
    provider, results = provider_of(r), []

    def work(i):
        results.append(provider.complete_sync("x").text if i % 2 else asyncio.run(text_of(provider)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["Hello there"] * 20


async def test_sync_inside_a_running_loop(r):
    """A sync call in a notebook's running loop works."""
    provider = provider_of(r)
    assert provider.complete_sync("x").text == "Hello there"
    assert "".join(part.text for part in provider.stream_sync("x") if isinstance(part, Text)) == "Hello there"
    assert await text_of(provider) == "Hello there"


def test_sync_on_the_background_thread_is_refused(r):
    """A sync call where it would wait for itself is an error and no deadlock."""

    async def inner():
        return provider_of(r).complete_sync("x")

    with pytest.raises(errors.SyncOnLoopError, match="async method"):
        bridge.run(inner())


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_after_fork(r):
    """A forked child uses the same object, sync and async, and the parent's connections stay whole."""
    provider = provider_of(r)
    assert provider.complete_sync("x").text == "Hello there"
    assert asyncio.run(text_of(provider)) == "Hello there"
    pid = os.fork()
    if pid == 0:
        ok = False
        try:
            ok = (
                provider.complete_sync("x").text == "Hello there"
                and asyncio.run(text_of(provider)) == "Hello there"
            )
        finally:
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert provider.complete_sync("x").text == "Hello there"


async def seen(r, count=1):
    """The server sees the client leave, long before the answer would have ended by itself."""
    await r.await_disconnect(count, timeout=60)


async def test_aclose(slow):
    """`aclose` ends the request at once."""
    stream = provider_of(slow).stream(HI)
    assert await anext(stream) == Text("word ")
    await stream.aclose()
    await seen(slow)


async def test_break(slow):
    """`break` alone ends the request."""
    async for _ in provider_of(slow).create_async_generator(messages=HI):
        break
    await seen(slow)


async def test_cancelled_task(slow):
    """Cancelling the task ends the request, before the first text and in the middle of it."""
    begun = asyncio.Event()

    async def read():
        async for _ in provider_of(slow).stream(HI):
            begun.set()

    for turn, (asking, ready) in enumerate(
        [(provider_of(slow).complete(HI), slow.await_requests(1, timeout=60)), (read(), begun.wait())],
        start=1,
    ):
        task = asyncio.create_task(asking)
        await ready
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await seen(slow, turn)


async def test_cancelled_before_the_headers():
    """Cancelling while the service is still silent ends the request, too."""
    with replica(OpenAICompatible, answer="x", faults={"delay_headers": 30}) as r:
        task = asyncio.create_task(provider_of(r).complete(HI))
        await r.await_requests()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await seen(r)


async def test_stop_sequence_ends_the_request(slow):
    """Nothing is read after the stop sequence."""
    stream = provider_of(slow).stream(HI, stop=["word word word"])
    assert [part async for part in stream][-1].reason == "stop"
    await seen(slow)


def test_sync_break_and_close(slow):
    """Leaving a sync stream, or dropping it, ends the request."""
    provider = provider_of(slow)
    for part in provider.stream_sync(HI):
        assert part == Text("word ")
        break
    slow.wait_disconnect(1)
    stream = provider.stream_sync(HI)
    next(stream)
    del stream
    gc.collect()
    slow.wait_disconnect(2)


def test_ctrl_c_in_sync_code(slow):
    """Ctrl-C ends the request and reaches the caller, in a whole answer and in a stream."""
    for call in (lambda p: p.complete_sync(HI), lambda p: list(p.stream_sync(HI))):
        before = slow.disconnects
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call(provider_of(slow))
        slow.wait_disconnect(before + 1)


def test_connections_are_kept(service):
    """Fifty calls in a row lose no connection, even when the end of the body comes after [DONE]."""
    fault = {"hang_after_done": 0.002} if service.cls is OpenAICompatible else None
    with replica(service.cls, answer=["Hello", " there"], faults=fault, **service.style) as r:
        provider = service.provider(r)

        async def fifty():
            for _ in range(50):
                assert await text_of(provider) == "Hello there"

        asyncio.run(fifty())
        assert len({request.connection for request in r.requests}) == 1


async def test_many_streams_at_once(r):
    """500 streams at once all complete; there is no hidden limit of connections."""
    r.answer, r.faults = ["word "] * 20, {"pace": 0.01}
    provider = provider_of(r)
    assert await asyncio.gather(*(text_of(provider) for _ in range(500))) == ["word " * 20] * 500


def test_back_pressure():
    """A slow consumer of a sync stream does not make the producer run far ahead."""
    produced = []

    async def produce():
        for i in range(1000):
            produced.append(i)
            yield i
            await asyncio.sleep(0)

    items = bridge.iterate(produce())
    assert next(items) == 0
    time.sleep(0.2)
    assert len(produced) <= 40
    assert list(items) == list(range(1, 1000))


def test_guests_are_on_one_loop_of_their_own():
    """Whoever iterates, from whatever loop: what comes is in order, and errors come too."""
    loops = set()

    async def produce():
        for i in range(100):
            loops.add(id(asyncio.get_running_loop()))
            yield i
        raise ValueError("the last")

    async def read():
        got = []
        with pytest.raises(ValueError, match="the last"):
            async for i in bridge.hosted(produce()):
                got.append(i)
        loops.discard(id(asyncio.get_running_loop()))  # had it been this one, none would be left
        return got

    assert asyncio.run(read()) == asyncio.run(read()) == bridge.run(read()) == list(range(100))
    assert len(loops) == 1


async def test_a_guests_consumer_holds_it_back_and_leaves():
    """It runs ahead by a bounded number of items, and is closed where the consumer goes."""
    produced, closed = [], threading.Event()

    async def produce():
        try:
            for i in range(1000):
                produced.append(i)
                yield i
                await asyncio.sleep(0)
        finally:
            closed.set()

    items = bridge.hosted(produce())
    assert await anext(items) == 0
    await asyncio.sleep(0.2)
    assert len(produced) <= 40
    assert [await anext(items) for _ in range(500)] == list(range(1, 501))
    await items.aclose()
    assert await asyncio.to_thread(closed.wait, 60)

    closed.clear()
    first = asyncio.Event()

    async def read():
        async for _ in bridge.hosted(produce()):
            first.set()
            await asyncio.sleep(0)

    task = asyncio.create_task(read())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(closed.wait, 60)


def test_mistakes_are_found_when_a_sync_stream_is_asked_for(r):
    """Not only when it is read."""
    with pytest.raises(errors.UsageError, match="empty"):
        provider_of(r).stream_sync([])


def test_exit_inside_a_coroutine_ends_nothing_else(slow):
    """`sys.exit` in code that a sync call runs reaches its caller and nobody else.

    Other streams and later calls go on.
    """
    stream = provider_of(slow).stream_sync(HI)
    next(stream)

    async def leave():
        sys.exit(3)

    with pytest.raises(SystemExit):
        bridge.run(leave())
    for _ in range(20):
        next(stream)
    stream.close()
    assert bridge.run(asyncio.sleep(0, "here")) == "here"


def test_cancelled_from_inside_is_no_end():
    """A generator that is cancelled by somebody else than its consumer does not look complete."""

    async def produce():
        yield 1
        raise asyncio.CancelledError

    items = bridge.iterate(produce())
    assert next(items) == 1
    with pytest.raises(concurrent.futures.CancelledError):
        next(items)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork_with_a_sync_stream_open(slow):
    """A child neither waits for the parent's stream nor ends it; using it there is a clear error."""
    stream = provider_of(slow).stream_sync(HI)
    next(stream)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            try:
                for _ in range(100):
                    next(stream)
            except errors.UsageError:
                stream.close()
                other = bridge.iterate(_never_begun())
                code = 0 if list(other) == [] else 2
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while (done := os.waitpid(pid, os.WNOHANG))[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    if done[0] == 0:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        pytest.fail("the child hangs")
    assert os.waitstatus_to_exitcode(done[1]) == 0
    for _ in range(20):
        next(stream)
    stream.close()


async def _never_begun():
    for item in ():
        yield item


def test_context_variables_travel():
    """A sync call runs in the caller's context."""
    from contextvars import ContextVar

    variable = ContextVar("variable", default="unset")
    variable.set("set")

    async def read():
        return variable.get()

    async def stream():
        yield variable.get()

    assert bridge.run(read()) == "set"
    assert list(bridge.iterate(stream())) == ["set"]


SCRIPT = """
    import asyncio, sys
    from freeproviders import FlowGpt
    from freeproviders.testing import replica
    HI = [{"role": "user", "content": "Hi"}]

    async def whole(flow):
        return "".join([x async for x in flow.create_async_generator(messages=HI)])

    async def abandoned(flow):
        stream = flow.stream(HI)
        await anext(stream)
        globals()["kept"] = stream

    with replica(FlowGpt, answer=["a ", "b "] * 50, faults={"pace": 0.005}) as r:
        flow = FlowGpt(base_url=r.base_url)
        for _ in range(3):
            asyncio.run(whole(flow))
        asyncio.run(abandoned(flow))
        flow.complete_sync("x")
        left = flow.stream_sync("x")
        next(left)
        held = flow.stream_sync("y")
        next(held)
        del left
        print("done")
"""


def test_nothing_is_reported_under_dev_mode():
    """Under `-X dev` nothing is reported of loops, an abandoned stream and sync calls.

    The interpreter ends in the middle of one of these.
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, complaints(done.stderr), done.returncode) == ("done\n", [], 0)


def test_state_is_never_on_the_class():
    """Two configurations of one class know nothing of each other; a call's own does not stay."""
    with replica(FlowGpt, answer="one") as a, replica(FlowGpt, answer="two") as b:
        one, two = FlowGpt(base_url=a.base_url), FlowGpt(base_url=b.base_url, model="gpt-4-turbo")
        assert asyncio.run(text_of(one)) == "one"
        assert asyncio.run(text_of(two)) == "two"
        assert asyncio.run(text_of(one, base_url=b.base_url)) == "two"
        assert asyncio.run(text_of(one)) == "one"
        assert FlowGpt.default_base_url == "https://prod-backend-k8s.flowgpt.com"
        assert (one.model, two.model) == ("gpt-3.5-turbo", "gpt-4-turbo")


# --- closed from elsewhere, the interpreter's end, other event loops ------------------------------


def test_a_waiting_stream_closed_by_another_thread(slow):
    """The request ends, and whoever waits for the next part learns that this was no end of the answer."""
    with replica(OpenAICompatible, answer=["one "], faults={"stall": 1}) as silent:
        stream = provider_of(silent, timeout=60).stream_sync(HI)
        assert next(stream) == Text("one ")
        waiting, outcome = threading.Event(), []

        def wait():
            waiting.set()
            try:
                outcome.append(next(stream))
            except BaseException as error:
                outcome.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait(5)
        stream.close()
        thread.join(10)
        assert isinstance(outcome[0], errors.ProviderConnectionError)
        assert "another thread" in str(outcome[0])
        assert not outcome[0].is_retryable
        asyncio.run(silent.await_disconnect())
    stream = provider_of(slow).stream_sync(HI)
    next(stream)
    stream.close()
    assert list(stream) == []  # closed by its own reader, it is at its end as a generator is


def test_a_stream_closed_in_the_turn_of_the_loop_in_which_it_begins():
    """Its task is cancelled before it has done anything; whoever waits for it is told all the same."""

    async def items():
        await asyncio.Event().wait()
        yield 1

    async def loop():
        return asyncio.get_running_loop()

    for _ in range(20):
        gate, stream = threading.Event(), bridge.iterate(items())
        bridge.run(loop()).call_soon_threadsafe(gate.wait)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(next, stream)
            while stream._pump is None:
                time.sleep(0.001)
            closing = pool.submit(stream.close)
            time.sleep(0.01)
            gate.set()
            with pytest.raises(errors.ProviderConnectionError, match="closed by another thread"):
                waiting.result(60)
            closing.result(60)
        assert not stream._pump._over.locked()


def test_a_stream_that_was_closed_before_it_began(slow):
    """Nothing is sent for it."""
    stream = provider_of(slow).stream_sync(HI)
    stream.close()
    assert list(stream) == []
    assert slow.requests == []


@pytest.mark.parametrize("asked", ["stream", "complete"])
def test_a_daemon_thread_at_the_interpreters_end(slow, asked):
    """What is broken off at the end of the program is an error for its thread, and never looks complete."""
    code = f"""
        import atexit, threading
        over = threading.Event()
        atexit.register(lambda: over.wait(10))  # the last to run
        from freeproviders import OpenAICompatible, errors
        provider = OpenAICompatible("m", base_url={slow.base_url!r})
        begun = threading.Event()
        def work():
            try:
                if {asked!r} == "stream":
                    for part in provider.stream_sync("Hi"):
                        begun.set()
                else:
                    threading.Timer(0.3, begun.set).start()
                    provider.complete_sync("Hi")
                print("an end")
            except errors.ProviderConnectionError as error:
                print("interpreter is ending" in str(error), error.is_retryable, flush=True)
            except BaseException as error:
                print(type(error), flush=True)
            over.set()
        threading.Thread(target=work, daemon=True).start()
        begun.wait(10)
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "True False\n", done.stderr
    assert complaints(done.stderr) == []


def test_no_thread_at_the_interpreters_end(monkeypatch):
    """Where the interpreter starts no thread any more: a typed error and no open loop.

    That is so at the end from CPython 3.12 on.
    """

    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(bridge, "_portals", bridge.PerProcess(bridge._Portal))
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for call in (
            lambda: OpenAICompatible("m", base_url="http://127.0.0.1:9").complete_sync("Hi"),
            lambda: next(OpenAICompatible("m", base_url="http://127.0.0.1:9").stream_sync("Hi")),
        ):
            with pytest.raises(errors.UsageError, match="interpreter is ending"):
                call()
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_an_exit_handler_asks(r):
    """A sync call from an exit handler is answered, or a typed error where no thread starts."""
    code = f"""
        import atexit
        from freeproviders import OpenAICompatible, errors
        def last():
            try:
                print(OpenAICompatible("m", base_url={r.base_url!r}).complete_sync("Hi").text)
            except errors.UsageError as error:
                print("interpreter is ending" in str(error))
        atexit.register(last)
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout in {"Hello there\n", "True\n"}, done.stderr
    assert complaints(done.stderr) == []


def test_without_asyncio(r, monkeypatch):
    """Where another kind of loop runs, an async call is a typed error that says so.

    A sync call on a thread works.
    """

    def step(awaitable):
        with pytest.raises(errors.UsageError, match="asyncio"):
            awaitable.send(None)

    provider = provider_of(r)
    step(provider.complete("Hi"))
    step(provider.stream("Hi").__anext__())
    step(provider.list_models())
    step(Embedded().complete("Hi"))
    step(provider_of(r, api_key=lambda: "k").complete("Hi"))
    step(FreeProviders().complete("Hi"))
    monkeypatch.setattr(loading, "_loaded", threading.Event())  # as before the first question with tools
    step(provider.complete("Hi", response_format={"type": "json_object"}))
    trio = pytest.importorskip("trio")

    async def main():
        with pytest.raises(errors.UsageError, match="asyncio"):
            await provider.complete("Hi")
        return await trio.to_thread.run_sync(provider.complete_sync, "Hi")

    assert trio.run(main).text == "Hello there"
