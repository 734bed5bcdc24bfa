"""The ways to ask an embedder: order, blocks, bad texts, ends; over an embedder without a network."""

import asyncio
import hashlib
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.embeddings.caps import Caps
from freeproviders.embeddings.embedder import Embedder
from freeproviders.embeddings.family import Family
from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    BadTextsError,
    ContextOverflowError,
    FamilyMismatchError,
    UsageError,
)
from freeproviders.wire.embeddings.request import EmbeddingAnswer
from freeproviders.wire.embeddings.vectors import Vectors, to_unit_length

SIZE = 8


def vector(text):
    """The one vector of a text: eight bytes of its hash."""
    return [float(byte) for byte in hashlib.sha256(text.encode()).digest()[:SIZE]]


class Local(Embedder):
    """An embedder that computes, and refuses texts with certain words."""

    name = "Local"
    model = "hash"

    def __init__(self, *, refused=(), most=None, normalised=False, prefix="", **caps):
        self.caps = Caps(**caps)
        self.refused = refused
        self.most = most
        self.requests = []
        self.running = self.peak = 0
        self._family = Family(model="hash", size=SIZE, normalised=normalised, rules=prefix)

    @property
    def family(self):
        return self._family

    def prefix(self, role):
        return self._family.rules if role == "query" else ""

    async def ask(self, request):
        self.requests.append(request.texts)
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            for _ in range(len(request.texts[0]) % 5):  # requests end in another order than they begin
                await asyncio.sleep(0)
            if self.most is not None and len(request.texts) > self.most:
                raise BadRequestError("There are too many texts.")
            for text in request.texts:
                if any(word in text for word in self.refused):
                    raise ContextOverflowError("The text is too long.")
            return EmbeddingAnswer(vectors=Vectors.of(map(vector, request.texts)), tokens=len(request.texts))
        finally:
            self.running -= 1


TEXTS = st.lists(st.text(min_size=1).filter(lambda text: not text.isspace()), max_size=40)


@given(TEXTS, st.integers(1, 7), st.integers(1, 5))
def test_each_text_has_its_own_vector(texts, most, concurrency):
    """Whatever the sizes of requests: order is kept, each is asked for once, and the slots are kept."""
    embedder = Local(texts=most, concurrency=concurrency)
    result = embedder.embed_sync(texts)
    assert result.vectors.lists() == [vector(text) for text in texts]
    assert sum(map(len, embedder.requests)) == len(texts)
    assert all(len(request) <= most for request in embedder.requests)
    assert embedder.peak <= concurrency
    assert result.usage.input_tokens == len(texts)


@given(
    st.lists(st.sampled_from(["good", "bad", "fine", " ", "worse bad"]), min_size=2, max_size=40),
    st.integers(1, 9),
)
def test_bad_texts_are_named_and_the_others_have_their_vectors(words, most):
    """A refused text costs some requests more, and nobody else's vector."""
    texts = [f"{word}{place}" if word.strip() else word for place, word in enumerate(words)]
    embedder = Local(refused=["bad"], texts=most)
    wrong = {place for place, text in enumerate(texts) if "bad" in text or not text.strip()}
    if wrong:
        with pytest.raises(BadTextsError, match=rf" {min(wrong)}\b") as caught:
            embedder.embed_sync(texts)
        assert set(caught.value.errors) == wrong
        result = caught.value.embeddings
    else:
        result = embedder.embed_sync(texts)
    for place, text in enumerate(texts):
        if place not in wrong:
            assert result.vectors[place].tolist() == vector(text)
        elif result.vectors.size:
            assert not any(result.vectors[place])


def test_a_request_that_is_wrong_for_every_text_is_not_halved():
    """Ninety texts for a service that refuses all cost two requests, and its own words come out."""
    embedder = Local(refused=[""])
    with pytest.raises(ContextOverflowError):
        embedder.embed_sync([f"text {place}" for place in range(90)])
    assert [len(request) for request in embedder.requests] == [90, 1]


def test_the_error_of_the_only_text_is_its_own():
    with pytest.raises(ContextOverflowError):
        Local(refused=["long"]).embed_sync("long")


def test_too_many_texts_for_the_service_are_halved():
    """A cap that no row knows."""
    texts = [f"text {place}" for place in range(50)]
    embedder = Local(most=9)
    assert embedder.embed_sync(texts).vectors.lists() == [vector(text) for text in texts]


async def test_what_is_not_about_texts_ends_the_call():
    """A wrong key is not looked for in the texts; the requests beside it end."""

    class Keyless(Local):
        async def ask(self, request):
            if "7" in request.texts[0]:
                raise AuthenticationError("The key is wrong.")
            return await super().ask(request)

    embedder = Keyless(texts=1)
    with pytest.raises(AuthenticationError, match="had their vectors"):
        await embedder.embed([f"text {place}" for place in range(40)])
    assert embedder.running == 0
    assert len(embedder.requests) < 40


async def test_closing_a_stream_ends_its_requests():
    """And no more than some blocks are asked for ahead."""
    embedder = Local(texts=1, concurrency=2)
    stream = embedder.stream([f"text {place}" for place in range(1000)])
    assert (await anext(stream)).start == 0
    await stream.aclose()
    assert embedder.running == 0
    assert len(embedder.requests) < 20


@pytest.mark.parametrize("texts", [None, 7, ["a", None], [b"a"]])
def test_what_is_no_text_is_refused_before_anything_is_sent(texts):
    embedder = Local()
    with pytest.raises(UsageError, match=r"texts must be|Text \d is no text"):
        embedder.embed_sync(texts)
    assert not embedder.requests


def test_a_role_is_one_of_two():
    with pytest.raises(UsageError, match="role"):
        Local().embed_sync("a", role="passage")


def test_no_texts_are_no_vectors():
    result = Local().embed_sync([])
    assert len(result) == 0
    assert result.vectors.lists() == []


def test_the_prefix_of_a_role_goes_before_each_text():
    embedder = Local(prefix="find: ")
    embedder.embed_sync(["a", "b"], role="query")
    embedder.embed_sync(["a"])
    assert embedder.requests == [("find: a", "find: b"), ("a",)]


def test_long_texts_are_cut_where_that_is_asked_for():
    """And the result says which; nothing is cut unasked."""
    embedder = Local(window=20)
    long = "word " * 400
    result = embedder.embed_sync(["short", long], truncate=True)
    assert result.truncated == (1,)
    ((_, sent),) = embedder.requests
    assert long.startswith(sent)
    assert 4 < len(sent) < 200
    assert embedder.embed_sync(["short", long]).truncated == ()
    assert embedder.requests[-1] == ("short", long)


def test_requests_are_within_a_cap_of_tokens():
    """A text that is too large alone goes alone."""
    embedder = Local(tokens=60, texts=50)
    texts = ["some words of a text"] * 12 + ["word " * 300]
    embedder.embed_sync(texts)
    assert len(embedder.requests) > 3
    assert ("word " * 300,) in embedder.requests


def test_vectors_of_another_size_are_of_another_family():
    """Nothing of them is handed on; both fingerprints are in the error."""
    embedder = Local()
    embedder._family = Family(model="hash", size=SIZE + 1, normalised=False)
    with pytest.raises(FamilyMismatchError, match=r"hash;8;as is;.*hash;9;as is;") as caught:
        embedder.embed_sync(["a", "b"])
    assert caught.value.stored == "hash;9;as is;"
    assert caught.value.own == "hash;8;as is;"


@pytest.mark.parametrize("there", [True, False])
def test_vectors_are_brought_to_length_one(there, monkeypatch):
    """With NumPy and without it; a vector of zeros stays."""
    if not there:
        monkeypatch.setattr("freeproviders.wire.embeddings.vectors.numpy_if_there", lambda: None)
    vectors = to_unit_length(Vectors(array("f", [3, 4, 0, 0, -5, 12]), 2))
    assert [[round(number, 6) for number in row] for row in vectors.lists()] == [
        [0.6, 0.8],
        [0, 0],
        [-0.384615, 0.923077],
    ]


def test_progress_is_told():
    seen = []
    Local(texts=3).embed_sync(list("abcdefgh"), progress=lambda done, count: seen.append((done, count)))
    assert seen == [(3, 8), (6, 8), (8, 8)]


def test_the_collected_vectors_take_their_own_memory_only():
    """Ten thousand vectors in one block, without copies on the way."""
    import tracemalloc

    class Big(Local):
        async def ask(self, request):
            self.requests.append(request.texts)
            count = len(request.texts)
            return EmbeddingAnswer(vectors=Vectors(array("f", (1.0,)) * (count * 768), 768), tokens=count)

    embedder = Big(texts=100)
    embedder._family = Family(model="hash", size=768, normalised=False)
    texts = ["a"] * 10_000
    tracemalloc.start()
    try:
        result = embedder.embed_sync(texts)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    own = len(result.vectors.data) * 4
    assert own == 10_000 * 768 * 4
    assert peak < 1.2 * own


async def test_a_turn_is_waited_for_before_each_request():
    embedder = Local(texts=3)
    turns = 0

    async def turn():
        nonlocal turns
        assert len(embedder.requests) <= turns
        await asyncio.sleep(0)
        turns += 1

    batches = [batch async for batch in embedder.stream([f"t{at}" for at in range(8)], turn=turn)]
    assert sum(batch.count for batch in batches) == 8
    assert turns == len(embedder.requests) == 3
