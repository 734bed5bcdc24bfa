"""Vectors from a model on this machine: a small one with random weights, in the real engine."""

from __future__ import annotations

import asyncio
import math
import os
import pickle
import signal
from array import array
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from freeproviders.embedded.server import running_server
from freeproviders.embeddings.embedded import ENV_MODEL, EmbeddedEmbedder, plain_name
from freeproviders.embeddings.family import Family
from freeproviders.embeddings.openai_compatible import OpenAICompatibleEmbedder
from freeproviders.errors import (
    BadTextsError,
    ContextOverflowError,
    EmbeddedModelError,
    FamilyMismatchError,
    UsageError,
)
from tests.embedded.processes import until
from tests.embedded.tiny_bert import CLS, LAST, RANK, SIZE, WINDOW, WORDS, written

pytest.importorskip("xllamacpp", reason="the engine is not installed here")

Make = Callable[..., EmbeddedEmbedder]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("models"))


@pytest.fixture
async def make() -> AsyncGenerator[Make, None]:
    """Make embedders, whose engines end with the test."""
    made: list[EmbeddedEmbedder] = []

    def make(path: Path, **arguments: object) -> EmbeddedEmbedder:
        made.append(EmbeddedEmbedder(path, **arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for embedder in made:
        server = running_server(embedder._settings)
        if server is not None:
            await asyncio.to_thread(server.close)


def texts(count: int) -> list[str]:
    return [
        " ".join(WORDS[(place * 7 + step * 13) % len(WORDS)] for step in range(5)) for place in range(count)
    ]


def same(one: memoryview[float], other: memoryview[float]) -> bool:
    """Whether two vectors are the same, but for the rounding of sums in another order."""
    return all(math.isclose(a, b, abs_tol=1e-5) for a, b in zip(one, other, strict=True))


async def test_each_text_has_its_own_vector_in_its_place(model: Path, make: Make) -> None:
    embedder = make(model)
    wanted = texts(50)
    alone = [(await embedder.embed(text)).vectors[0] for text in wanted[::10]]
    found = await embedder.embed(wanted)
    assert len(found) == 50
    assert found.vectors.size == SIZE
    assert all(same(found.vectors[place * 10], vector) for place, vector in enumerate(alone))
    assert len({bytes(vector) for vector in found.vectors}) == 50
    assert all(math.isclose(math.hypot(*vector), 1, abs_tol=1e-5) for vector in found.vectors)
    assert found.usage.input_tokens == 50 * 7  # five words and the two ends
    assert not found.usage.estimated
    assert not same(found.vectors[0], found.vectors[1])


def test_sync_code_has_the_same_vectors(model: Path) -> None:
    embedder = EmbeddedEmbedder(model)
    first, second = embedder.embed_sync(["bad bed", "bed bad"]).vectors
    assert not same(first, second)
    copy = pickle.loads(pickle.dumps(embedder))
    assert same(copy.embed_sync("bad bed").vectors[0], first)
    assert copy.family == embedder.family
    server = running_server(embedder._settings)
    assert server is not None  # one for both
    server.close()


# --- families -------------------------------------------------------------------------------------


def test_a_family_is_the_files_name_and_digest(tmp_path: Path) -> None:
    plain = EmbeddedEmbedder(written(tmp_path, file="a.gguf", name="Tiny BERT v1.5"))
    copy = EmbeddedEmbedder(written(tmp_path, file="b.gguf", name="Tiny BERT v1.5"))
    assert plain.family == copy.family
    name, _, digits = plain.family.model.partition("@")
    assert (name, len(digits)) == ("tiny-bert-v1.5", 12)
    assert plain.family == Family(model=plain.family.model, size=SIZE, normalised=True)
    for other in (
        EmbeddedEmbedder(written(tmp_path, file="c.gguf", name="Tiny BERT v1.5", seed=2)),
        EmbeddedEmbedder(tmp_path / "a.gguf", pooling="cls"),
        EmbeddedEmbedder(tmp_path / "a.gguf", query_prefix="query: "),
    ):
        with pytest.raises(FamilyMismatchError):
            other.family.check(plain.family.fingerprint, where="The index")
    assert EmbeddedEmbedder(tmp_path / "a.gguf", pooling="mean").family == plain.family
    nameless = written(tmp_path, file="My Model.gguf", name="")
    assert EmbeddedEmbedder(nameless).model == "my-model"


def test_the_caller_may_vouch_for_a_family(tmp_path: Path) -> None:
    path = written(tmp_path, name="whatever")
    embedder = EmbeddedEmbedder(path, family="nomic-embed-text-v1.5")
    assert embedder.family.model == "nomic-embed-text-v1.5"
    assert (embedder.prefix("query"), embedder.prefix("document")) == ("search_query: ", "search_document: ")
    assert EmbeddedEmbedder(path, family="nomic-embed-text-v1.5", query_prefix="").prefix("query") == ""


async def test_what_a_model_wants_before_its_texts_is_put_there(
    tmp_path: Path, model: Path, make: Make
) -> None:
    known = make(written(tmp_path, name="Multilingual E5 Large"))
    bare = make(model, query_prefix="", document_prefix="")
    assert known.family.rules == "document 'passage: ', query 'query: '"
    for role, prefix in (("query", "query: "), ("document", "passage: ")):
        found = await known.embed(["bad bed"], role=role)  # type: ignore[arg-type]
        assert same(found.vectors[0], (await bare.embed(prefix + "bad bed")).vectors[0])
        assert await known.count_tokens("bad bed", role=role) == [found.usage.input_tokens]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("nomic-embed-text-v1.5", "search_query: "),
        ("Qwen3 Embedding 0.6B", "Instruct: Given a web search query, "),
        ("Embeddinggemma 300M", "task: search result | query: "),
        ("Bge Small En v1.5", "Represent this sentence for searching relevant passages: "),
        ("E5 Small v2", "query: "),
        ("Multilingual E5 Small", "query: "),
        ("Multilingual E5 Large Instruct", "Instruct: Given a web search query, "),
        ("Snowflake Arctic Embed L v2.0", "query: "),
        ("all-MiniLM-L6-v2", ""),
        ("something", ""),
    ],
)
def test_prefixes_go_by_the_name_in_the_file(tmp_path: Path, name: str, query: str) -> None:
    found = EmbeddedEmbedder(written(tmp_path, name=name)).prefix("query")
    assert found.startswith(query) if query else not found


def test_prefixes_go_by_the_files_name_where_it_has_none_inside(tmp_path: Path) -> None:
    embedder = EmbeddedEmbedder(written(tmp_path, file="nomic-embed-text-v1.5.Q8_0.gguf", name="model"))
    assert embedder.prefix("document") == "search_document: "


@pytest.mark.parametrize("name", ["nomic-embed-text-v1.5", "qwen3-embedding-0.6b", "all-minilm-l6-v2"])
def test_a_file_and_a_local_server_with_the_same_model_are_of_one_family(tmp_path: Path, name: str) -> None:
    """Where the caller vouches for it; only the vectors' size is that of the file."""
    own = EmbeddedEmbedder(written(tmp_path, name=name), family=name).family
    served = OpenAICompatibleEmbedder(name, base_url="http://127.0.0.1:9/v1").family
    assert replace(own, size=served.size) == served


def test_names_are_written_as_families_are() -> None:
    assert plain_name(" BGE small_en V1.5 ") == "bge-small-en-v1.5"
    assert plain_name("a;b|c") == "a-b-c"


# --- texts that are too long ----------------------------------------------------------------------


async def test_a_text_that_is_too_long_is_named_and_the_others_have_vectors(model: Path, make: Make) -> None:
    embedder = make(model)
    many = texts(10)
    many[3] = "bad " * 60
    with pytest.raises(BadTextsError) as caught:
        await embedder.embed(many)
    assert list(caught.value.errors) == [3]
    said = str(caught.value.errors[3])
    assert f"The text has 62 tokens, and the model's window is {WINDOW}. Split it" in said
    rest = caught.value.embeddings.vectors
    assert same(rest[4], (await embedder.embed(many[4])).vectors[0])
    with pytest.raises(ContextOverflowError, match=r"^\[Embedded tiny-bert\] The text has 62 tokens"):
        await embedder.embed(many[3])


@pytest.mark.parametrize(
    "text",
    ["bad " * 60, "x" * 90, "1," * 500, "bad " * 40 + "x" * 20, "x" * 40 + " bad" * 80, "Ωß " * 70],
    ids=["words", "letters", "signs", "letters last", "letters first", "unknown words"],
)
async def test_a_text_is_cut_where_the_model_reads_no_further(model: Path, make: Make, text: str) -> None:
    embedder = make(model)
    shorter = await embedder.cut(text, WINDOW)
    assert text.startswith(shorter)
    assert len(shorter) < len(text)
    assert await embedder.count_tokens([shorter]) == [WINDOW]
    found = await embedder.embed(["bed", text], truncate=True)
    assert found.truncated == (1,)
    assert same(found.vectors[1], (await embedder.embed(shorter)).vectors[0])


async def test_what_fits_is_not_cut(model: Path, make: Make) -> None:
    embedder = make(model)
    fitting = " ".join(["bad"] * (WINDOW - 2))
    found = await embedder.embed([fitting, "bed"], truncate=True)
    assert found.truncated == ()
    assert found.usage.input_tokens == WINDOW + 3


async def test_a_smaller_window_holds(model: Path, make: Make) -> None:
    embedder = make(model, window=10)
    with pytest.raises(ContextOverflowError, match="the model's window is 10"):
        await embedder.embed("bad " * 9)
    assert len(await embedder.embed("bad " * 8)) == 1


async def test_vectors_are_kept_apart_by_the_window(tmp_path: Path, model: Path, make: Make) -> None:
    """A text that was cut at another place has another vector, and is not taken for it."""
    text, file = "bad bed " * 20, tmp_path / "vectors.db"
    short = await make(model, window=10, cache=file).embed(text, truncate=True)
    again = await make(model, window=10, cache=file).embed(text, truncate=True)
    whole = await make(model, cache=file).embed(text, truncate=True)
    assert (short.truncated, again.truncated, whole.truncated) == ((0,), (0,), ())
    assert (again.usage.input_tokens, whole.usage.input_tokens) == (0, 42)
    assert not same(short.vectors[0], whole.vectors[0])
    assert same(short.vectors[0], again.vectors[0])


# --- the engine's end -----------------------------------------------------------------------------


async def test_an_engine_that_dies_in_a_job_is_started_anew(model: Path, make: Make) -> None:
    """All texts get their own vectors, and each is answered once."""
    embedder = make(model, batch_size=8)
    wanted = texts(120)
    expected = (await embedder.embed(wanted)).vectors
    server = await embedder.prepare()
    killed = False

    def kill(done: int, of: int) -> None:
        nonlocal killed
        assert of == 120
        if not killed and done >= 40:
            killed = True
            os.kill(server.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)

    found = await embedder.embed(wanted, progress=kill)
    assert killed
    assert all(same(one, other) for one, other in zip(found.vectors, expected, strict=True))
    assert found.usage.input_tokens == 120 * 7
    assert (await embedder.prepare()).pid != server.pid


async def test_counting_survives_the_engines_end(model: Path, make: Make) -> None:
    embedder = make(model)
    server = await embedder.prepare()
    os.kill(server.pid, signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    await until(lambda: not server.alive)
    assert await embedder.count_tokens(["bad bed", "x"]) == [4, 3]


async def test_a_file_that_is_replaced_is_refused(tmp_path: Path, make: Make) -> None:
    """An engine that is started anew would make vectors that are not of the family."""
    path = written(tmp_path)
    embedder = make(path)
    before = await embedder.embed("bad bed")
    written(tmp_path, seed=2)
    with pytest.raises(FamilyMismatchError, match="has changed"):
        await embedder.embed("bad bed")
    after = await make(path).embed("bad bed")
    assert not same(before.vectors[0], after.vectors[0])
    assert before.family != after.family


# --- what cannot work -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pooling", "said"), [(None, "does not say how"), (0, "does not say how"), (RANK, "it is a reranker")]
)
def test_a_model_that_makes_no_vectors_is_refused(tmp_path: Path, pooling: int | None, said: str) -> None:
    path = written(tmp_path, pooling=pooling)
    with pytest.raises(EmbeddedModelError, match=said) as caught:
        EmbeddedEmbedder(path)
    assert str(path) in str(caught.value)
    assert "Use an embedding model" in str(caught.value)
    if pooling == RANK:
        with pytest.raises(EmbeddedModelError, match=said):
            EmbeddedEmbedder(path, pooling="mean")


@pytest.mark.parametrize(("number", "pooling"), [(CLS, "cls"), (LAST, "last")])
async def test_the_pooling_of_the_file_or_of_the_caller(
    tmp_path: Path, make: Make, number: int, pooling: str
) -> None:
    says = make(written(tmp_path, file="says.gguf", pooling=number))
    silent = make(written(tmp_path, file="silent.gguf", pooling=None), pooling=pooling)
    mean = make(written(tmp_path, file="mean.gguf"))
    vectors = [(await embedder.embed("bad bed")).vectors[0] for embedder in (says, silent, mean)]
    assert same(vectors[0], vectors[1])
    assert not same(vectors[0], vectors[2])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pooling": "none"}, "pooling must be"),
        ({"pooling": "rank"}, "pooling must be"),
        ({"window": WINDOW + 1}, f"window={WINDOW + 1} is more than the model's {WINDOW}"),
        ({"window": 0}, "window must be a whole number"),
        ({"slots": 0}, "slots must be a whole number"),
        ({"batch_size": 1.5}, "batch_size must be a whole number"),
        ({"timeout": -1}, "timeout"),
    ],
)
def test_arguments_that_cannot_work(model: Path, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        EmbeddedEmbedder(model, **arguments)  # type: ignore[arg-type]


def test_without_a_file_the_error_says_what_there_is(
    monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    monkeypatch.delenv(ENV_MODEL, raising=False)
    with pytest.raises(UsageError) as caught:
        EmbeddedEmbedder()
    said = str(caught.value)
    for piece in ("nothing is downloaded", ENV_MODEL, "nomic-embed-text-v1.5", "Apache-2.0", "146 MB"):
        assert piece in said
    assert "OfflineEmbedder needs no file" in said
    with pytest.raises(UsageError, match="model_path is empty"):
        EmbeddedEmbedder("")
    with pytest.raises(EmbeddedModelError, match="There is no model file at"):
        EmbeddedEmbedder(tmp_path / "nothing.gguf")
    monkeypatch.setenv(ENV_MODEL, str(model))
    assert EmbeddedEmbedder().model == "tiny-bert"


@pytest.mark.real
async def test_a_chat_model_with_a_pooling_makes_vectors(weights_135m: Path, make: Make) -> None:
    """A decoder with a cache of its own, whose tokens are the bytes' pairs."""
    with pytest.raises(EmbeddedModelError, match="chat model"):
        EmbeddedEmbedder(weights_135m)
    embedder = make(weights_135m, pooling="last", window=255)
    wanted = ["A cat sleeps.", "Eine Katze schläft.", "The price of oil rose."]
    found = await embedder.embed([*wanted, "word " * 400], truncate=True)
    assert (found.vectors.size, found.truncated) == (576, (3,))
    assert found.usage.input_tokens == 255 + sum(await embedder.count_tokens(wanted))
    assert array("f", (await embedder.embed(wanted[2])).vectors[0])[:3] == pytest.approx(
        found.vectors[2][:3].tolist(), abs=1e-3
    )
