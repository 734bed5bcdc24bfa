"""The embedded model as a user of an engine, which here is a stand-in.

The stand-in is a child process that names a replica's address.

The child, its start and end, the files and the requests are real; only the answers come from a
replica.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import socket
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from freeproviders import Embedded, OpenAICompatible
from freeproviders.embedded import cache as cache_module
from freeproviders.embedded import gguf, weights
from freeproviders.embedded.cache import path_of
from freeproviders.embedded.server import close_servers
from freeproviders.embedded.weights import HubFile, Weights
from freeproviders.errors import EmbeddedModelError, ProviderError, ServerError, UnknownModelError, UsageError
from freeproviders.testing import Replica, replica
from langchain_freeproviders import BackendLLM as LangChainLLM
from llama_index.llms.freeproviders import BackendLLM
from tests.embedded.conftest import FileServer, a_row
from tests.embedded.test_gguf import file_of

STAND_IN = """
import hashlib, os, pathlib
from types import SimpleNamespace

class CommonParams(SimpleNamespace):
    def __init__(self):
        names = ("model", "cpuparams", "cpuparams_batch", "sampling")
        super().__init__(**{name: SimpleNamespace() for name in names})

class Server:
    def __init__(self, params):
        data = pathlib.Path(params.model.path).read_bytes()
        if hashlib.sha256(data).hexdigest() != os.environ["STAND_IN_LOADS"]:
            raise RuntimeError("the tensors make no sense")
        book = pathlib.Path(os.environ["STAND_IN_ADDRESSES"])
        first, *rest = book.read_text().split()
        book.write_text("\\n".join(rest or [first]))
        self.listening_address = first
"""
MODEL = file_of()

Engines = Callable[..., None]


@pytest.fixture
async def engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Engines, None]:
    """Say at which addresses the engines will listen: one for each start, the last one for all others."""
    folder = tmp_path / "stand-in"
    folder.mkdir()
    (folder / "xllamacpp.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("STAND_IN_ADDRESSES", str(folder / "addresses"))
    monkeypatch.setenv("STAND_IN_LOADS", hashlib.sha256(MODEL).hexdigest())

    def listen_at(*addresses: str) -> None:
        (folder / "addresses").write_text("\n".join(addresses))

    yield listen_at
    await asyncio.to_thread(close_servers)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(MODEL)
    return path


def address_of(server: Replica) -> str:
    return server.base_url.removesuffix("/v1")


def nowhere() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def test_the_engine_is_asked_by_its_key_and_named_as_the_model(engines: Engines, model: Path) -> None:
    async with replica(OpenAICompatible, answer="Good day.", extra_keys=["cache_prompt"]) as server:
        engines(address_of(server))
        provider = Embedded(model_path=model, headers={"X-Mark": "yes"}, prompt_cache=False)
        answer = await provider.complete("Hi", max_tokens=7)
        await provider.complete("Hi")

    assert (answer.text, answer.finish.provider) == ("Good day.", "Embedded")
    first, second = server.requests
    assert first.path == "/v1/chat/completions"
    assert len(first.headers["Authorization"]) > len("Bearer ") + 20
    assert (first.headers["X-Mark"], first.headers["Connection"]) == ("yes", "close")
    assert (first.json["model"], first.json["max_tokens"], first.json["cache_prompt"]) == (
        "tiny",
        7,
        False,
    )
    assert second.json["max_tokens"] == Embedded.default_max_tokens
    assert second.headers["Authorization"] == first.headers["Authorization"]  # one engine for both


@pytest.mark.parametrize("retry", [0, 2])
async def test_an_engine_that_lives_and_does_not_listen_is_replaced(
    engines: Engines, model: Path, retry: int
) -> None:
    async with replica(OpenAICompatible, answer="Here I am.") as server:
        engines(nowhere(), address_of(server))
        assert (await Embedded(model_path=model, retry=retry).complete("Hi")).text == "Here I am."
    assert len(server.requests) == 1


async def test_engines_that_never_listen_are_an_error_in_its_words(engines: Engines, model: Path) -> None:
    engines(nowhere())
    with pytest.raises(ProviderError, match=r"(?i)^\[Embedded tiny\] .*connection.* failed again") as caught:
        await Embedded(model_path=model, retry=0).complete("Hi")
    assert "base_url" not in str(caught.value)


async def test_errors_are_the_models(engines: Engines, model: Path) -> None:
    async with replica(OpenAICompatible, answer="ok", faults={"status": 500}) as server:
        engines(address_of(server))
        with pytest.raises(ServerError, match=r"^\[Embedded tiny\] HTTP 500") as caught:
            await Embedded(model_path=model, retry=1).configured(retry=0).complete("Hi")
        assert caught.value.attempts == len(server.requests) == 1
        with pytest.raises(ServerError):
            await Embedded(model_path=model, retry=0).complete("Hi", retry=1)
        assert len(server.requests) == 3


async def test_a_copy_has_its_own_configuration_and_the_same_engine(engines: Engines, model: Path) -> None:
    async with replica(OpenAICompatible, answer="ok") as server:
        engines(address_of(server), nowhere())
        provider = Embedded(model_path=model)
        other = provider.configured(headers={"X-Mark": "other"}, timeout=30)
        for asked in (provider, other, pickle.loads(pickle.dumps(other))):
            await asked.complete("Hi")
    assert [request.headers.get("X-Mark") for request in server.requests] == [None, "other", "other"]
    assert (provider.timeout, other.timeout.total) == (Embedded.default_timeout, 30)
    with pytest.raises(UsageError, match=r"Unknown argument 'slots'"):
        provider.configured(slots=3)


async def test_another_model_of_a_copy_is_another_file(
    engines: Engines, row: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an adapter asks for it by the name in its own `model`."""
    mine = tmp_path / "mine.gguf"
    mine.write_bytes(b"no model")  # which no engine loads
    async with replica(OpenAICompatible, answer="ok") as server:
        engines(address_of(server))
        provider = Embedded(model_path=mine)
        assert provider.with_model("mine")._choice == provider._choice
        assert (await provider.with_model(row.name).complete("Hi")).text == "ok"
        assert (await BackendLLM(backend=provider, model=row.name).acomplete("Hi")).text == "ok"
        assert await LangChainLLM(backend=provider, model=row.name).ainvoke("Hi") == "ok"
    assert [request.json["model"] for request in server.requests] == [row.name] * 3
    assert provider.model == "mine"
    with pytest.raises(UnknownModelError):
        provider.with_model("another")


async def test_tools_go_through_the_prompt(engines: Engines, model: Path) -> None:
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    async with replica(OpenAICompatible, answer='{"name": "look_up", "arguments": {}}') as server:
        engines(address_of(server))
        answer = await Embedded(model_path=model).complete("Look it up.", tools=[tool])
    assert [call.name for call in answer.tool_calls] == ["look_up"]
    assert "tools" not in server.requests[0].json


# --- files that are damaged -----------------------------------------------------------------------

ROW = a_row(HubFile("someone/something-GGUF", "0123abcd", "made-up.gguf"), data=MODEL)
PATH = "/someone/something-GGUF/resolve/0123abcd/made-up.gguf"


@pytest.fixture
def row(tmp_path: Path, server: FileServer, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A model that can be fetched, and is in the cache."""
    monkeypatch.setattr(weights, "WEIGHTS", (ROW,))
    monkeypatch.setenv("FREEPROVIDERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files[PATH] = MODEL
    return ROW


@pytest.mark.parametrize("position", [0, len(MODEL) - 1], ids=["head", "tensors"])
async def test_a_damaged_file_of_the_cache_is_fetched_again_once(
    engines: Engines,
    row: Weights,
    server: FileServer,
    position: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also where nothing but the bytes tells, as after a fault of the disk."""
    async with replica(OpenAICompatible, answer="ok") as engine:
        engines(address_of(engine))
        assert (await Embedded(row.name).complete("Hi")).text == "ok"
        assert server.asked == [PATH]
        await asyncio.to_thread(close_servers)

        path = path_of(row)
        times = path.stat()
        data = bytearray(MODEL)
        data[position] ^= 0xFF
        path.write_bytes(data)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        cache_module._hashed.clear()  # as in another process
        gguf._read.cache_clear()

        assert (await Embedded(row.name).complete("Hi")).text == "ok"

    assert server.asked == [PATH, PATH]
    assert path.read_bytes() == MODEL
    assert f"The file {path} is damaged" in capsys.readouterr().err


async def test_a_whole_file_that_the_engine_cannot_load_is_not_fetched_again(
    engines: Engines, row: Weights, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(nowhere())
    monkeypatch.setenv("STAND_IN_LOADS", "another")
    for _ in range(2):
        with pytest.raises(EmbeddedModelError, match=r"^\[Embedded made-up\] The engine cannot load"):
            await Embedded(row.name).complete("Hi")
    assert server.asked == [PATH]
    assert path_of(row).read_bytes() == MODEL


async def test_a_file_of_the_users_own_is_named_and_left_alone(
    engines: Engines, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(nowhere())
    monkeypatch.setenv("STAND_IN_LOADS", "another")
    with pytest.raises(EmbeddedModelError) as caught:
        await Embedded(model_path=model).complete("Hi")
    assert str(model) in str(caught.value)
    assert "delete it and download it again" in str(caught.value)

    model.write_bytes(b"GGXX" + MODEL[4:])
    with pytest.raises(EmbeddedModelError, match=r"is not a GGUF file.*delete this one") as caught:
        await Embedded(model_path=model).complete("Hi")
    assert str(model) in str(caught.value)
    assert model.exists()


@pytest.mark.parametrize("name", ["_PROXY", "EMBEDDED_PROXY", "EMBEDDED_ENGINE_PROXY", "_API_BASE"])
async def test_no_variable_of_the_environment_leads_elsewhere(
    engines: Engines, model: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What is asked of the engine on this machine goes to it, whatever stands in the environment."""
    monkeypatch.setenv(name, nowhere())
    async with replica(OpenAICompatible, answer="ok") as server:
        engines(address_of(server))
        assert (await Embedded(model_path=model, retry=0).complete("Hi")).text == "ok"
