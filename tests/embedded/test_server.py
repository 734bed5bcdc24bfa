"""The engine's process: shared, bounded, and gone with its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from freeproviders import OpenAICompatible
from freeproviders.embedded.server import (
    EngineServer,
    EngineSettings,
    close_servers,
    ensure_server,
    running_server,
    start_server,
)
from freeproviders.errors import (
    AuthenticationError,
    EmbeddedModelError,
    MissingDependencyError,
    ProviderError,
)
from tests.embedded.processes import resident_megabytes, running, until, wait_until

ROOT = Path(__file__).parents[2]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and fork")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
async def settings(weights_135m: Path) -> AsyncGenerator[EngineSettings, None]:
    """Settings that no other test has, so that nothing is shared by accident.

    What was started with them is ended.
    """
    made = EngineSettings(model=weights_135m, alias="tiny", context=1000 + next(_numbers))
    yield made
    server = running_server(made)
    if server is not None:
        await asyncio.to_thread(server.close)


_numbers = iter(range(1000))


def client(server: EngineServer, api_key: str | None = None) -> OpenAICompatible:
    return OpenAICompatible(
        "tiny",
        base_url=f"{server.address}/v1",
        api_key=api_key or server.api_key,
        headers={"Connection": "close"},
        retry=0,
    )


async def says_something(server: EngineServer) -> bool:
    return bool((await client(server).complete("Hello", max_tokens=4)).text)


pytestmark = pytest.mark.real


async def test_many_who_ask_at_once_get_one(settings: EngineSettings) -> None:
    first = await asyncio.gather(*(ensure_server(settings) for _ in range(20)))
    again = await ensure_server(EngineSettings(model=settings.model, alias="tiny", context=settings.context))

    assert {id(server) for server in [*first, again]} == {id(again)}
    assert running_server(settings) is again
    assert "alive" in repr(again)
    assert again.api_key not in repr(again)
    assert await says_something(again)


async def test_the_loop_runs_on_while_the_engine_starts(settings: EngineSettings) -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticker = asyncio.create_task(tick())
    await ensure_server(settings)
    ticker.cancel()
    assert ticks >= 5


async def test_who_gives_up_waiting_does_not_stop_it_for_others(settings: EngineSettings) -> None:
    impatient, patient = (
        asyncio.create_task(ensure_server(settings)),
        asyncio.create_task(ensure_server(settings)),
    )
    await asyncio.sleep(0.02)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    assert (await patient).alive


async def test_only_who_has_the_key_is_answered(settings: EngineSettings) -> None:
    server = await ensure_server(settings)
    with pytest.raises(AuthenticationError):
        await client(server, "guessed").complete("Hello")


@linux_only
async def test_the_key_is_not_among_the_arguments(settings: EngineSettings) -> None:
    server = await ensure_server(settings)
    arguments = Path(f"/proc/{server.pid}/cmdline").read_text("utf-8")
    assert "engine.py" in arguments
    assert server.api_key not in arguments


@posix_only
async def test_one_that_was_killed_is_replaced(settings: EngineSettings) -> None:
    first = await ensure_server(settings)
    os.kill(first.pid, signal.SIGKILL)
    await until(lambda: not first.alive)
    assert running_server(settings) is None

    second = await ensure_server(settings)

    assert second.pid != first.pid
    assert await says_something(second)


async def test_one_that_is_silent_is_replaced_once(settings: EngineSettings) -> None:
    first = await ensure_server(settings)
    seconds = await asyncio.gather(*(ensure_server(settings, instead_of=first) for _ in range(5)))
    assert {server.pid for server in seconds} == {seconds[0].pid} != {first.pid}
    assert not first.alive


async def test_closing_ends_it_amid_an_answer(settings: EngineSettings) -> None:
    server = await ensure_server(settings)
    stream = client(server).stream("Tell me a very long story.")
    await anext(stream)
    await asyncio.to_thread(close_servers)
    assert not running(server.pid)
    with pytest.raises(ProviderError):
        async for _ in stream:
            pass


@linux_only
async def test_an_idle_engine_gives_its_memory_back_and_wakes(weights_135m: Path) -> None:
    server = await ensure_server(EngineSettings(model=weights_135m, alias="tiny", context=2048, idle=1))
    assert await says_something(server)
    awake = resident_megabytes(server.pid)
    await until(lambda: resident_megabytes(server.pid) < awake / 2)
    assert await says_something(server)
    await asyncio.to_thread(server.close)


# --- life and death of the parent -----------------------------------------------------------------

PARENT = """
import asyncio, os, sys, threading, time
from pathlib import Path
from freeproviders.embedded.server import EngineSettings, ensure_server
settings = EngineSettings(model=Path(sys.argv[1]), alias="tiny", context=1024)
def start():
    return asyncio.run(ensure_server(settings))
server = start()
print(server.pid, flush=True)
"""


def parent(script: str, model: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", PARENT + script, str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def next_pid(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@posix_only
def test_it_ends_with_a_parent_that_is_killed(weights_135m: Path) -> None:
    with parent("time.sleep(100)", weights_135m) as process:
        engine = next_pid(process)
        assert running(engine)
        process.kill()
        wait_until(lambda: not running(engine))


@posix_only
def test_it_ends_with_a_parent_that_ends(weights_135m: Path) -> None:
    with parent("", weights_135m) as process:
        engine = next_pid(process)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert errors == ""
        assert not running(engine)


@posix_only
def test_ctrl_c_in_the_parent_is_the_parents(weights_135m: Path) -> None:
    script = """
try:
    print(0, flush=True); time.sleep(100)
except KeyboardInterrupt:
    print(int(server.alive), flush=True)
"""
    with parent(script, weights_135m) as process:
        next_pid(process)
        assert next_pid(process) == 0
        process.send_signal(signal.SIGINT)
        assert next_pid(process) == 1


FORK = """
child = os.fork()
if child == 0:
    mine = start()
    print(mine.pid, flush=True)
    sys.stdin.readline()
    os._exit(0)
"""


@posix_only
def test_a_forked_process_starts_its_own(weights_135m: Path) -> None:
    script = (
        FORK
        + "os.waitpid(child, 0); print(int(server.alive), int(start() is server), flush=True); "
        + "time.sleep(100)"
    )
    with parent(script, weights_135m) as process:
        parents, childs = next_pid(process), next_pid(process)
        assert parents != childs
        assert running(parents)
        assert running(childs)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "1 1\n"  # the child's end did not end the parent's engine
        wait_until(lambda: not running(childs))
        process.kill()
        wait_until(lambda: not running(parents))


@posix_only
def test_a_forked_process_does_not_keep_the_parents_engine_alive(weights_135m: Path) -> None:
    with parent(FORK + "time.sleep(100)", weights_135m) as process:
        parents, childs = next_pid(process), next_pid(process)
        process.kill()
        wait_until(lambda: not running(parents))
        assert running(childs)
        assert process.stdin is not None
        process.stdin.close()  # lets the child go
        wait_until(lambda: not running(childs))


# --- engines that do not come up ------------------------------------------------------------------


@pytest.fixture
def engine_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights_135m: Path):
    """Put another `xllamacpp`, with a fault, where the real child process finds it first."""

    def make(source: str) -> EngineSettings:
        (tmp_path / "xllamacpp.py").write_text(source)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return EngineSettings(model=weights_135m, alias="tiny", context=1024)

    return make


def test_no_engine_names_the_extra(settings: EngineSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "\.\[embedded\]"'):
        start_server(settings)


def test_a_missing_libgomp_is_named(engine_that) -> None:
    faulty = engine_that(
        "raise ImportError('libgomp.so.1: cannot open shared object file: No such file or directory')"
    )
    with pytest.raises(EmbeddedModelError, match="Install libgomp1"):
        start_server(faulty)


@posix_only
def test_a_processor_without_avx2_is_named(engine_that) -> None:
    faulty = engine_that("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    with pytest.raises(EmbeddedModelError, match="AVX2 and FMA"):
        start_server(faulty)


@posix_only
def test_an_engine_that_the_system_kills_is_told(engine_that) -> None:
    faulty = engine_that("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(EmbeddedModelError, match="memory ran out"):
        start_server(faulty)


def test_an_engine_that_just_ends_is_told(engine_that) -> None:
    faulty = engine_that("import os, sys; print('odd things', file=sys.stderr, flush=True); os._exit(7)")
    with pytest.raises(EmbeddedModelError, match=r"code 7.*odd things"):
        start_server(faulty)


def test_waiting_has_an_end(engine_that) -> None:
    faulty = engine_that("import time; time.sleep(60)")
    with pytest.raises(EmbeddedModelError, match=r"not ready after 0\.5 s"):
        start_server(faulty, ready_seconds=0.5)


def test_what_an_engine_prints_does_not_matter(engine_that) -> None:
    class_source = """
import os
from types import SimpleNamespace
print("some library's greeting")
os.write(1, b'{"address": "http://wrong"}\\n')
class CommonParams(SimpleNamespace):
    def __init__(self):
        names = ("model", "cpuparams", "cpuparams_batch", "sampling")
        super().__init__(**{name: SimpleNamespace() for name in names})
class Server:
    def __init__(self, params):
        assert params.hostnames == ["127.0.0.1"] and len(params.api_keys[0]) > 20
        self.listening_address = "http://127.0.0.1:1"
"""
    server = start_server(engine_that(class_source))
    assert server.address == "http://127.0.0.1:1"
    server.close()
    assert not server.alive


def test_a_file_the_engine_cannot_load_is_explained(weights_135m: Path, tmp_path: Path) -> None:
    with weights_135m.open("rb") as file:
        (tmp_path / "half.gguf").write_bytes(file.read(50_000_000))
    with pytest.raises(EmbeddedModelError, match=r"cannot load .*half\.gguf.*corrupted or incomplete"):
        start_server(EngineSettings(model=tmp_path / "half.gguf", alias="half", context=1024))


async def test_after_a_failure_it_is_tried_again(weights_135m: Path, tmp_path: Path) -> None:
    path = tmp_path / "later.gguf"
    settings = EngineSettings(model=path, alias="later", context=1024)
    with pytest.raises(EmbeddedModelError):
        await ensure_server(settings)
    path.symlink_to(weights_135m)
    server = await ensure_server(settings)
    assert await says_something(server)
    await asyncio.to_thread(server.close)
