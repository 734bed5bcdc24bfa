"""The Ollama server on this machine: looked at once, lazily, by a GET; which of its models come first."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.catalogue.pins import VARIABLES
from freeproviders.router.found import find
from freeproviders.router.ollama import Installed, in_order, installed, memory
from tests.core.servers import serve

GB = 10**9
MODELS = [
    {"model": "llama3.2:latest", "size": 2 * GB, "details": {"family": "llama"}},
    {"model": "qwen3:8b", "size": 5 * GB, "details": {"family": "qwen3"}},
    {"model": "huge:400b", "size": 10**15, "details": {"family": "llama"}},
    {"model": "nomic-embed-text:latest", "size": GB, "details": {"family": "nomic-bert"}},
    {"model": "bge-m3:latest", "size": GB, "details": {"family": "bert", "families": ["bert"]}},
    {"model": "qwen3-embedding:0.6b", "size": GB, "details": {"family": "qwen3"}},
    {"model": "gpt-oss:120b-cloud", "size": 384, "remote_host": "https://ollama.com:443"},
    {"model": "mine:latest", "size": 384, "remote_model": "gpt-oss:120b", "remote_host": "https://a.example"},
    {"model": "qwen3:cloud", "size": 384},
    {"model": "eyes:latest", "size": GB, "capabilities": ["embedding"]},
]
CHATS = ["ollama/qwen3:8b", "ollama/llama3.2:latest", "ollama/huge:400b"]


@pytest.fixture(autouse=True)
def no_key(monkeypatch, tmp_path):
    for name in VARIABLES | {"FREEPROVIDERS_CONFIRMED"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


@pytest.fixture
def ollama(monkeypatch):
    """A server that has the models; `serve_as` changes what it answers."""
    answer = {"body": json.dumps({"models": MODELS}).encode(), "status": 200}

    async def handler(request, served):
        del request, served
        return web.Response(**answer)

    monkeypatch.setattr("freeproviders.router.ollama.memory", lambda: 16 * GB)  # on any machine
    monkeypatch.setattr("freeproviders.router.ollama.PROBE_SECONDS", 30.0)  # however busy it is
    with serve(handler) as server:
        monkeypatch.setenv("OLLAMA_API_BASE", f"{server.url}/v1")
        server.answer = answer
        yield server


def names(found):
    return [member.name for member in found.members]


def test_its_chat_models_are_members_before_our_own_engine(ollama):
    found = find()
    assert names(found) == ["embedded"]
    assert ollama.requests == []  # nothing is asked before it is needed
    asyncio.run(found.complete())
    assert names(found) == [*CHATS, "embedded"]
    assert [member.rank for member in found.members] == [0, 1, 2, 0]
    assert {member.place for member in found.members[:-1]} == {"local"}
    assert [(method, url.rpartition("/api")[2]) for method, url, *_ in ollama.requests] == [("GET", "/tags")]
    why = {one.name: one.reason for one in found.skipped}
    assert "vectors" in why["ollama/bge-m3:latest"]
    assert "vectors" in why["ollama/eyes:latest"]
    assert "sends the prompt on" in why["ollama/mine:latest"]
    assert "costs money" in why["ollama/qwen3:cloud"]
    asyncio.run(found.complete())
    assert len(ollama.requests) == 1


@pytest.mark.parametrize("privacy", ["local", "no-training", "any"])
def test_it_is_local(ollama, privacy):
    found = find(privacy=privacy)
    asyncio.run(found.complete())
    assert names(found) == [*CHATS, "embedded"]


def test_all_questions_look_once(ollama):
    """Many tasks of several loops and threads wait for one look."""
    found = find()
    seen = []

    async def ask():
        await found.complete()
        seen.append(names(found))

    async def several():
        await asyncio.gather(*(ask() for _ in range(10)))

    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [[*CHATS, "embedded"]] * 40
    assert len(ollama.requests) == 1


async def test_a_look_that_was_cancelled_is_taken_up_by_the_next(ollama):
    found = find()
    first = asyncio.ensure_future(found.complete())
    second = asyncio.ensure_future(found.complete())
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert names(found) == [*CHATS, "embedded"]


def test_prefer_and_exclude_reach_it(ollama):
    found = find(prefer=["embedded"], exclude=["ollama/qwen3:8b"])
    asyncio.run(found.complete())
    assert names(found) == ["embedded", "ollama/llama3.2:latest", "ollama/huge:400b"]
    found = find(exclude=["ollama/llama3.2"], prefer=["ollama/huge:400b"])
    asyncio.run(found.complete())
    assert names(found) == ["ollama/huge:400b", "ollama/qwen3:8b", "embedded"]
    assert find(exclude=["ollama"]).later == []


def test_by_name_alone_it_stands_for_its_models(ollama):
    found = find(["ollama"])
    assert names(found) == []
    asyncio.run(found.complete())
    assert names(found) == CHATS
    assert all(member.named for member in found.members)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "is no Ollama"),
        (200, b"[]", "is no Ollama"),
        (200, b'{"models": 7}', "is no Ollama"),
        (404, b"no", "is no Ollama"),
        (200, b'{"models": []}', "ollama pull"),
        (200, b'{"models": [7, {}, {"name": ""}, {"model": 5}]}', "ollama pull"),
    ],
)
def test_what_is_no_ollama_is_left_out(ollama, status, body, words):
    ollama.answer.update(status=status, body=body)
    found = find()
    asyncio.run(found.complete())
    assert names(found) == ["embedded"]
    assert words in {one.name: one.reason for one in found.skipped}["ollama"]


def test_an_address_elsewhere_is_not_asked(monkeypatch):
    monkeypatch.setenv("OLLAMA_API_BASE", "http://ollama.example:11434/v1")
    found = find()
    asyncio.run(found.complete())
    assert "is not on this machine" in {one.name: one.reason for one in found.skipped}["ollama"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["models", "model", "name", "size", "details", "families", "family", "capabilities"]
                ),
                x,
            )
        ),
    )
)
def test_any_document_is_read_or_refused(document):
    try:
        found = list(installed(document))
    except ValueError:
        return
    assert all(isinstance(one, Installed) and one.name for one in found)


def test_the_memory_of_this_machine_is_known_or_nothing_is_said():
    assert memory() == 0 or 10**7 < memory() < 10**16


@given(st.lists(st.integers(0, 100)), st.integers(0, 100))
def test_the_largest_that_fits_comes_first(sizes, room):
    models = [Installed(str(n), size, "") for n, size in enumerate(sizes)]
    ordered = in_order(models, room)
    assert sorted(ordered) == sorted(models)
    fit = [one.size <= room * 0.6 or not room for one in ordered]
    assert fit == sorted(fit, reverse=True)
    large = [one.size for one in ordered if room and one.size > room * 0.6]
    assert large == sorted(large)
