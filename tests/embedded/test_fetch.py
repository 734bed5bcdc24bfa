"""Weights come from any source, and stay only if size and hash agree."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
import sys
from pathlib import Path

import pytest
from aiohttp import web

from freeproviders.embedded import fetch as fetch_module
from freeproviders.embedded.cache import cache_dir, is_cached, path_of
from freeproviders.embedded.fetch import fetch
from freeproviders.embedded.weights import DEFAULT, WEIGHTS, HubFile, weights_named
from freeproviders.errors import EmbeddedModelError, UnknownModelError
from tests.embedded.conftest import BYTES, FileServer, a_row

HUB = HubFile("someone/something-GGUF", "0123abcd", "made-up.gguf")
OTHER = HubFile("another/mirror", "main", "made-up.gguf")
PATH = "/someone/something-GGUF/resolve/0123abcd/made-up.gguf"
OTHER_PATH = "/another/mirror/resolve/main/made-up.gguf"


@pytest.fixture(autouse=True)
def hub(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name != ".lock")


async def test_a_hub_file_arrives_with_progress(server: FileServer, tmp_path: Path) -> None:
    server.files[PATH] = BYTES
    seen: list[tuple[int, int]] = []

    path = await fetch(a_row(HUB), cache=tmp_path, progress=lambda done, total: seen.append((done, total)))

    assert path.read_bytes() == BYTES
    assert path == path_of(a_row(HUB), tmp_path)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {len(BYTES)}
    assert seen[-1][0] == len(BYTES)
    assert left_in(tmp_path) == ["made-up.gguf"]


async def test_what_is_there_is_not_fetched_again(server: FileServer, tmp_path: Path) -> None:
    server.files[PATH] = BYTES
    await fetch(a_row(HUB), cache=tmp_path)

    await fetch(a_row(HUB), cache=tmp_path)

    assert server.asked == [PATH]


async def test_redirects_lead_to_another_host(
    server: FileServer, elsewhere: FileServer, tmp_path: Path
) -> None:
    async def redirect(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{elsewhere.url}/store/file?signature=x"})

    server.files[PATH] = redirect
    elsewhere.files["/store/file"] = BYTES

    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES


@pytest.mark.parametrize(
    ("sent", "complaint"),
    [
        (bytes(len(BYTES)), "another hash"),
        (BYTES[:-1], "2,999,999 bytes came where 3,000,000 were due"),
        (BYTES + b"x", "more than"),
        (b"", "0 bytes came"),
    ],
    ids=["hash", "short", "long", "empty"],
)
async def test_wrong_bytes_do_not_count_and_the_next_source_is_tried(
    server: FileServer, tmp_path: Path, sent: bytes, complaint: str
) -> None:
    server.files[PATH] = sent
    with pytest.raises(EmbeddedModelError, match=complaint):
        await fetch(a_row(HUB), cache=tmp_path)
    assert left_in(tmp_path) == []

    server.files[OTHER_PATH] = BYTES
    assert (await fetch(a_row(HUB, OTHER), cache=tmp_path)).read_bytes() == BYTES


async def test_a_cut_transfer_does_not_count(server: FileServer, tmp_path: Path) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(BYTES))})
        await response.prepare(request)
        await response.write(BYTES[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    server.files[PATH] = cut
    with pytest.raises(EmbeddedModelError, match="cut off"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert left_in(tmp_path) == []


async def test_compressed_transfers_count_as_the_bytes_they_stand_for(
    server: FileServer, tmp_path: Path
) -> None:
    async def compressed(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(BYTES), headers={"Content-Encoding": "gzip"})

    server.files[PATH] = compressed
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES


async def test_each_source_has_its_say(server: FileServer, tmp_path: Path) -> None:
    server.files[OTHER_PATH] = BYTES[:5]
    with pytest.raises(EmbeddedModelError) as caught:
        await fetch(a_row(HUB, OTHER), cache=tmp_path)
    said = str(caught.value)
    assert "made-up" in said
    assert "HTTP 404" in said
    assert "5 bytes came" in said
    assert "model_path" in said


async def test_a_hub_out_of_reach_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EmbeddedModelError, match="connection failed"):
        await fetch(a_row(HUB), cache=tmp_path)


async def test_a_stalled_transfer_ends(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freeproviders.embedded.download.STALL_SECONDS", 0.3)
    done = asyncio.Event()

    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(BYTES[:1000])
        await done.wait()
        return response

    server.files[PATH] = stall
    with pytest.raises(EmbeddedModelError, match=r"nothing came for 0\.3 s"):
        await fetch(a_row(HUB), cache=tmp_path)
    done.set()


async def test_tasks_of_one_process_fetch_once(server: FileServer, tmp_path: Path) -> None:
    server.files[PATH] = BYTES
    paths = await asyncio.gather(*(fetch(a_row(HUB), cache=tmp_path) for _ in range(5)))
    assert len(set(paths)) == 1
    assert server.asked == [PATH]


SCRIPT = """
import asyncio, sys
from pathlib import Path
from freeproviders.embedded.fetch import fetch
from tests.embedded.conftest import a_row
from tests.embedded.test_fetch import HUB
print(asyncio.run(fetch(a_row(HUB), cache=Path(sys.argv[1]))))
"""


def slowly(gate: asyncio.Event, begun: asyncio.Event):
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(BYTES[:100_000])
        begun.set()
        await gate.wait()
        await response.write(BYTES[100_000:])
        return response

    return answer


def another_process(cache: Path):
    return asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, str(cache), stdout=asyncio.subprocess.PIPE
    )


async def test_two_processes_do_not_collide(server: FileServer, tmp_path: Path) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    server.files[PATH] = slowly(gate, begun)

    processes = [await another_process(tmp_path), await another_process(tmp_path)]
    await begun.wait()
    await asyncio.sleep(1)  # for the other one to come to the lock
    gate.set()
    outs = [await process.communicate() for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    assert {Path(out.decode().strip()).read_bytes() for out, _ in outs} == {BYTES}
    assert server.asked == [PATH]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
async def test_a_killed_fetch_holds_nobody_up(server: FileServer, tmp_path: Path) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    server.files[PATH] = slowly(gate, begun)
    process = await another_process(tmp_path)
    await begun.wait()
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    gate.set()
    stale = path_of(a_row(HUB), tmp_path).parent / "wheel-stale"
    stale.mkdir()
    assert not is_cached(a_row(HUB), tmp_path)

    server.files[PATH] = BYTES

    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert left_in(tmp_path) == ["made-up.gguf"]
    assert not stale.exists()


async def test_a_cancelled_fetch_leaves_nothing(server: FileServer, tmp_path: Path) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    server.files[PATH] = slowly(gate, begun)
    task = asyncio.create_task(fetch(a_row(HUB), cache=tmp_path))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert left_in(tmp_path) == []


async def test_a_full_disk_is_said_before_the_fetch(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files[PATH] = BYTES
    monkeypatch.setattr(fetch_module, "SPARE_BYTES", 1 << 60)
    with pytest.raises(EmbeddedModelError, match="FREEPROVIDERS_CACHE"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert server.asked == []


async def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmbeddedModelError, match="FREEPROVIDERS_CACHE"):
        await fetch(a_row(HUB), cache=tmp_path / "file")


# --- the rows and the cache's place ---------------------------------------------------------------


def test_rows_are_whole() -> None:
    assert [row.name for row in WEIGHTS] == ["qwen2.5-coder-1.5b", "qwen2.5-coder-0.5b", "smollm2-135m"]
    assert weights_named(DEFAULT).name == DEFAULT == "qwen2.5-coder-0.5b"
    for row in WEIGHTS:
        assert len(bytes.fromhex(row.sha256)) == 32
        assert row.license == "Apache-2.0"
        assert row.sources
        assert row.file.endswith(".gguf")


def test_rows_are_found_in_any_case() -> None:
    assert weights_named(" SmolLM2-135M ").name == "smollm2-135m"
    with pytest.raises(UnknownModelError, match=r"qwen2\.5-coder-0\.5b"):
        weights_named("gpt-4")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEPROVIDERS_CACHE", "~/somewhere")
    assert cache_dir() == Path.home() / "somewhere"
    monkeypatch.delenv("FREEPROVIDERS_CACHE")
    if os.name == "posix":
        monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
        assert cache_dir() == Path("/xdg/freeproviders")
    if sys.platform == "linux":
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert cache_dir() == Path.home() / ".cache" / "freeproviders"
