"""The offline floor: the same vectors whatever stands beside a text, loaded without a download."""

import asyncio
import math
import subprocess
import sys
import threading
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders.embeddings import static
from freeproviders.embeddings.hybrid import HybridIndex
from freeproviders.embeddings.offline import OfflineEmbedder
from freeproviders.errors import MissingDependencyError, UnknownModelError, UnsupportedInputError
from freeproviders.wire.embeddings.request import EmbeddingRequest

FERRY = "The ferry crosses the lake."
SOME_NUMBERS = (-0.15773, -0.00375, 0.01181, 0.02686)
"""How the vector of `FERRY` begins."""
surrogates = st.text(st.characters(exclude_categories=()))


def embed(*texts):
    return static.load().embed(texts)[0]


def test_the_fingerprint_belongs_to_these_vectors():
    """Where these numbers change, by other weights or rules, the fingerprint has to change too."""
    assert static.FAMILY.fingerprint == "wordllama-l2-supercat-256;256;unit;lower case"
    assert list(embed(FERRY)[0][:4]) == pytest.approx(SOME_NUMBERS, abs=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(surrogates, min_size=1, max_size=6))
def test_a_vector_depends_on_nothing_beside_its_text(texts):
    vectors = embed(*texts)
    for text, vector in zip(texts, vectors, strict=True):
        assert vector == embed(text)[0]
        assert math.isclose(sum(number * number for number in vector), 1, abs_tol=1e-5)


@pytest.mark.parametrize("text", ["WHO MENDS UMBRELLAS?", "who mends umbrellas?", "Who mends Umbrellas?"])
def test_capitals_do_not_count(text):
    assert embed(text) == embed("Who mends umbrellas?")


def test_a_long_text_is_read_to_its_end():
    start = "A cat. " * 3000
    assert embed(start + "submarine " * 3000)[0] != embed(start + "tulip " * 3000)[0]
    (vector,) = embed(start)
    assert list(vector) == pytest.approx(list(embed("a cat. " * 30)[0]), abs=0.01)


def test_no_texts_no_vectors():
    assert len(embed()) == 0


async def test_the_embedder_gives_the_same_in_line_and_on_a_thread():
    embedder = OfflineEmbedder()
    few = await embedder.embed(FERRY)
    many = await embedder.embed([FERRY, "", " "] * 500, role="query")
    assert few.vectors[0] == embed(FERRY)[0] == many.vectors[1497]
    assert many.vectors[1499] == embed(" ")[0]
    assert many.usage.input_tokens > 500 * few.usage.input_tokens > 0
    assert few.family == many.family == embedder.family
    assert (len(many), many.vectors.size) == (1500, embedder.family.size)


def test_the_embedder_works_without_a_loop():
    assert OfflineEmbedder().embed_sync([FERRY, FERRY.upper()]).vectors == embed(FERRY, FERRY)


async def test_what_the_embedder_has_not_is_said():
    embedder = OfflineEmbedder()
    with pytest.raises(UnknownModelError, match="wordllama"):
        await embedder.ask(EmbeddingRequest(texts=("a",), model="bge-m3"))
    with pytest.raises(UnsupportedInputError, match="256 numbers"):
        await embedder.ask(EmbeddingRequest(texts=("a",), size=64))


def test_threads_share_the_vectors():
    start, found = threading.Barrier(4), []

    def work(text):
        start.wait()
        found.extend((text, embed(text)) for _ in range(50))

    threads = [threading.Thread(target=work, args=(f"word {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200
    assert all(vector == embed(text) for text, vector in found)


def test_loops_one_after_the_other():
    async def ask():
        return (await OfflineEmbedder().embed([FERRY] * 300)).vectors[299]

    assert asyncio.run(ask()) == asyncio.run(ask())


def test_nothing_is_fetched_logged_or_imported_beside_it():
    """Loading opens no socket, and leaves the program's logging alone, which wordllama's import would not."""
    code = """
import logging, sys
opened = []
EVENTS = ("socket.", "subprocess.")
sys.addaudithook(lambda event, args: opened.append(event) if event.startswith(EVENTS) else None)
from freeproviders.embeddings.offline import OfflineEmbedder
assert "numpy" not in sys.modules
OfflineEmbedder()
from freeproviders.embeddings import static
assert not static.is_loaded()
static.load().embed(["a"])
assert static.is_loaded()
assert opened == [], opened
assert logging.root.handlers == []
assert "wordllama" not in sys.modules
assert "requests" not in sys.modules
"""
    subprocess.run([sys.executable, "-X", "dev", "-W", "error", "-c", code], check=True, timeout=60)


async def test_the_weights_are_read_on_a_thread(monkeypatch):
    """Asynchronous calls keep no loop waiting for a file: the first, nor any other."""
    readers = []

    @cache
    def watched(read=static.load.__wrapped__):
        readers.append(threading.current_thread())
        return read()

    monkeypatch.setattr(static, "load", watched)
    await OfflineEmbedder().embed("a")
    watched.cache_clear()
    index = await HybridIndex.amake(["a"])
    watched.cache_clear()
    await index.asearch("a")
    assert len(readers) == 3
    assert threading.current_thread() not in readers


def test_without_the_extra_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(MissingDependencyError, match=r"\.\[rag\]"):
        OfflineEmbedder()


def test_a_package_without_its_weights_is_said(monkeypatch, tmp_path):
    (tmp_path / "wordllama").mkdir()
    (tmp_path / "wordllama" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "wordllama", raising=False)  # other tests import the real one
    monkeypatch.syspath_prepend(str(tmp_path))
    static.load.cache_clear()
    with pytest.raises(MissingDependencyError, match="cannot be read"):
        static.load()
