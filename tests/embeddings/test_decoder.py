"""Answers with vectors: both encodings, every order, every cut, and all that is no vector."""

from __future__ import annotations

import base64
import json
import pickle
import random
import re
import struct
import sys
from array import array
from math import isinf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import errors
from freeproviders.types import Usage
from freeproviders.wire.embeddings import decoder as decoding
from freeproviders.wire.embeddings.dialects import dialect_named
from freeproviders.wire.embeddings.request import EmbeddingRequest
from freeproviders.wire.embeddings.vectors import Vectors
from freeproviders.wire.signs import Sign

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def decoded(body, texts, *, size=None, cuts=(), dialect="openai", signs=()):
    request = EmbeddingRequest(texts=tuple(texts), size=size)
    decoder = dialect_named(dialect).decoder(request)
    decoder.signs = signs
    at = 0
    for cut in [*sorted(cuts), len(body)]:
        decoder.feed(body[at:cut])
        at = max(at, cut)
    if decoder.failure is None:
        decoder.close()
    return decoder


def answer(rows, **beside):
    """An answer in OpenAI's form, whose rows are the values of "embedding"."""
    data = [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)]
    return json.dumps({"object": "list", "data": data, "model": "m", **beside}).encode()


def failure(body, texts="a", **more):
    found = decoded(body, texts, **more)
    assert not found.answered
    assert not hasattr(found, "answer")
    return found.failure


def packed(row):
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode()


@st.composite
def vectors(draw):
    size = draw(st.integers(1, 40))
    return draw(st.lists(st.lists(FLOATS, min_size=size, max_size=size), min_size=1, max_size=5))


@given(vectors(), st.sets(st.integers(0, 3000), max_size=6), st.randoms())
def test_any_vectors_survive_both_encodings_in_any_order_at_any_cut(rows, cuts, chance):
    expected = Vectors.of(rows)
    for encode in (packed, list):
        data = [{"index": n, "embedding": encode(row)} for n, row in enumerate(rows)]
        chance.shuffle(data)
        body = json.dumps({"data": data}).encode()
        found = decoded(body, rows, cuts=cuts)
        assert found.failure is None
        assert found.answer.vectors == expected
        assert found.done
        assert found.progress == len(body)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_a_number_as_text_becomes_the_nearest_one_of_32_bits_or_is_refused(numbers):
    found = decoded(answer([numbers]), "a")
    nearest = array("f", numbers)
    if any(isinf(number) for number in nearest):
        assert isinstance(found.failure, errors.MalformedVectorError)
    else:
        assert found.answer.vectors.data == nearest


@settings(max_examples=30)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_whatever_comes_is_an_answer_or_an_error_of_the_tree(junk, at):
    body = answer([[0.25] * 30, [0.5] * 30])
    found = decoded(body[:at] + junk + body[at:], "ab")
    assert found.answered or isinstance(found.failure, errors.ProviderError)


def test_numbers_are_read_without_numpy_too(monkeypatch):
    monkeypatch.delitem(sys.modules, "numpy", raising=False)
    rows = [[0.1] * 40, [1e38, -3e38] * 20]
    assert decoded(answer(rows), "ab").answer.vectors == Vectors.of(rows)
    assert failure(answer([[0.1] * 39 + [1e39]])).place == 0


@pytest.mark.parametrize("size", [3, 300])
def test_numbers_may_be_written_in_any_way_of_json(size):
    numbers = ", ".join(["1", " -0.5e0 ", "\n2E-3"] * (size // 3))
    body = b'\xef\xbb\xbf {"data": [{"embedding": [%s]}]}\n' % numbers.encode()
    assert list(decoded(body, "a").answer.vectors[0][:3]) == list(array("f", [1, -0.5, 0.002]))


def in_64_bits(row):
    return base64.b64encode(struct.pack(f"<{len(row)}d", *row)).decode()


@pytest.mark.parametrize("size", [64, 101, 768, 4096])
def test_numbers_of_64_bits_that_were_made_of_32_are_read_as_what_they_were(size):
    row = array("f", [random.Random(at).gauss(0, size**-0.5) for at in range(size)])
    assert decoded(answer([in_64_bits(row)]), "a").answer.vectors == Vectors.of([row])


@pytest.mark.parametrize("size", [64, 128, 129, 1024])
def test_numbers_of_32_bits_stay_what_they_are(size):
    """Whatever they are: those of models, whole ones, those of 16 bits, zeros, a single number."""
    gauss = [random.Random(size).gauss(0, 0.1) for _ in range(size)]
    halves = [struct.unpack("<e", struct.pack("<e", number))[0] for number in gauss]
    single = [[float(at == place) for at in range(size)] for place in (0, 1, size - 1)]
    for row in (gauss, halves, [1.0] * size, [0.0] * size, [0.0, *gauss[1:]], [*gauss[:-1], 0.0], *single):
        assert decoded(answer([packed(row)]), "a").answer.vectors == Vectors.of([row])


def test_usage_and_model_are_kept():
    found = decoded(answer([[1.0]], usage={"prompt_tokens": 7, "total_tokens": 8}, id="x"), "a")
    assert (found.usage, found.answer.tokens) == (Usage(7, 0), 7)
    assert (found.model, found.answer.model, found.response_id) == ("m", "m", "x")
    assert decoded(answer([[1.0]], usage={"total_tokens": 8}), "a").answer.tokens == 8
    assert decoded(answer([[1.0]], usage={"prompt_tokens": "many"}), "a").answer.tokens is None
    assert decoded(answer([[1.0]], model=None), "a").answer.model == ""


def test_rows_without_an_index_are_in_order_and_one_without_is_the_first():
    rows = [{"embedding": [1]}, {"embedding": [2]}]
    assert list(decoded(json.dumps({"data": rows}).encode(), "ab").answer.vectors.data) == [1, 2]
    rows = [{"embedding": [1], "index": 1}, {"embedding": [2]}]
    assert list(decoded(json.dumps({"data": rows}).encode(), "ab").answer.vectors.data) == [2, 1]


@pytest.mark.parametrize(
    ("indices", "words"),
    [
        ([0, 0], "Two vectors have the index 0"),
        ([1, 1], "Two vectors have the index 1"),
        ([0, 2], "has the index 2"),
        ([0, -1], "has the index -1"),
        ([0, "1"], "has the index '1'"),
        ([0, 1.0], "has the index 1.0"),
        ([0, True], "has the index True"),
        ([0, None, None], "Two vectors have the index|has the index None"),
        ([None, 0], "Two vectors have the index 0"),
    ],
)
def test_a_wrong_index_is_refused(indices, words):
    rows = [{"embedding": [1.0], "index": index} for index in indices]
    error = failure(json.dumps({"data": rows}).encode(), indices)
    assert type(error) is errors.MalformedResponseError
    assert re.search(words, error.message)


LONG = [0.25] * 40


@pytest.mark.parametrize("rows", [[], [LONG], [LONG] * 3])
def test_the_number_of_vectors_is_that_of_the_texts(rows):
    error = failure(answer(rows), "ab")
    assert type(error) is errors.MalformedResponseError
    assert f"{len(rows)} vectors for 2 texts" in str(error)


@pytest.mark.parametrize("other", [LONG[1:], [1.0], packed(LONG[1:])])
def test_vectors_of_different_length_are_refused(other):
    assert "text 1" in str(failure(answer([LONG, other]), "ab"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "is empty"),
        ("", "is empty"),
        (None, "is null"),
        (7, "is a number"),
        ({}, "is an object"),
        ("[0.1, 0.2]", "no base64"),
        ("AAAA", "3 bytes"),
        ("AAAAAA", "no base64"),
        ("AAAA\nAAAA", "no base64"),
        ("\u00e4AAA", "no base64"),
        ([0.5, None], "null in place of number 1"),
        ([*LONG, None], "null in place of number 40"),
        ([*LONG, "0.5"], "a text in place of number 40"),
        ([*LONG, True], "true in place of number 40"),
        ([False, *LONG], "false in place of number 0"),
        ([*LONG, {}], "an object in place of number 40"),
        ([*LONG, [0.5]], "a list in place of number 40"),
        ([*LONG, float("nan")], "nan as number 40"),
        ([*LONG, float("-inf")], "-inf as number 40"),
        ([1.0, float("inf")], "inf as number 1"),
        ([*LONG, 1e39], "inf as number 40"),
        ([*LONG, 10**400], "more than 64 bits"),
        ([10**400], "more than 64 bits"),
        (packed([1.0, float("nan")]), "nan as number 1"),
        (packed([float("inf"), 1.0]), "inf as number 0"),
    ],
)
def test_the_text_is_named_whose_vector_is_none(value, words):
    others = [1.0] * (len(value) or 1 if isinstance(value, list) else 2)
    error = failure(answer([others, others, value]), "abc")
    assert isinstance(error, errors.MalformedVectorError)
    assert error.place == 2
    assert not error.is_retryable
    assert "text 2" in error.message
    assert re.search(words, error.message), error.message
    assert pickle.loads(pickle.dumps(error)).place == 2


@pytest.mark.parametrize("number", ["1e400", "-1e400", "0.1e999"])
def test_a_number_beyond_all_bounds_is_refused(number):
    body = answer([LONG]).replace(b"0.25]", number.encode() + b"]")
    assert "number 39" in str(failure(body))


@pytest.mark.parametrize(
    "numbers", ["0.1,,0.2", "0.1 0.2", "0.1,", ",0.1", "01", "+1", "1.", ".5", "0x1", "{"]
)
@pytest.mark.parametrize("size", [0, 60])
def test_what_is_no_json_is_refused(numbers, size):
    body = b'{"data": [{"embedding": [%s%s]}]}' % (b"0.25, " * size, numbers.encode())
    assert isinstance(failure(body), errors.ResponseError)


def test_a_vector_for_each_token_is_explained():
    for rows in ([[[0.1, 0.2], [0.3, 0.4]]], [[LONG, LONG]]):
        error = failure(answer(rows))
        assert "each token" in error.message
        assert "pooling" in str(error)
        assert not error.is_retryable


def test_another_size_than_was_asked_for_is_refused():
    error = failure(answer([LONG]), size=20)
    assert "40 numbers, and 20 were asked for" in error.message
    assert not error.is_retryable
    assert decoded(answer([LONG]), "a", size=40).answered


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", errors.TruncatedResponseError, "not complete"),
        (b"<!DOCTYPE html><title>Hello</title>", errors.BlockedError, "HTML"),
        (answer([LONG])[:-3], errors.TruncatedResponseError, "not complete"),
        (b"[]", errors.MalformedResponseError, "no vectors"),
        (b"7", errors.MalformedResponseError, "no vectors"),
        (b'{"object": "list"}', errors.MalformedResponseError, "no vectors"),
        (b'{"data": {}}', errors.MalformedResponseError, "no vectors"),
        (b'{"data": []}', errors.MalformedResponseError, "0 vectors for 1"),
        (b'{"data": [7]}', errors.MalformedResponseError, "something else"),
        (b'{"data": [{"object": "embedding"}]}', errors.MalformedResponseError, "something else"),
        (b'{"error": {"message": "boom", "code": 500}}', errors.ServerError, "boom"),
        (b'{"error": {"message": "slow down", "code": 429}}', errors.RateLimitError, "slow down"),
        (b'[{"error": {"message": "slow down", "code": 429}}]', errors.RateLimitError, "slow down"),
        (b'{"data": [], "error": "boom"}', errors.ServerError, "boom"),
        (b'{"detail": "no such thing"}', errors.ProviderError, "no such thing"),
        (json.dumps({"error": f"not this: {LONG}"}).encode(), errors.ServerError, "not this: "),
    ],
)
def test_what_is_no_answer_is_its_own_error(body, kind, words):
    error = failure(body)
    assert isinstance(error, kind)
    assert re.search(words, error.message)


def test_a_sign_of_the_row_tells_what_a_refusal_inside_an_answer_is_about():
    sign = Sign(kind="day", match=("spent for today",))
    error = failure(b'{"message": "All is spent for today"}', signs=(sign,))
    assert isinstance(error, errors.QuotaExceededError)
    assert error.sign is sign


def test_lists_inside_texts_do_no_harm():
    body = json.dumps({"echo": [str(LONG), f"[ {LONG}"], "data": [{"embedding": LONG}], "model": str(LONG)})
    found = decoded(body.encode(), "a")
    assert found.answer.vectors == Vectors.of([LONG])


def test_a_stand_in_that_the_service_wrote_itself_is_no_way_to_other_memory():
    for stand_in in ("[true,1]", "[true,-1]", "[true,0.5]", '[true,"0"]', "[true,true]"):
        body = b'{"data": [{"embedding": %s}, {"embedding": %s}]}' % (
            json.dumps(LONG).encode(),
            stand_in.encode(),
        )
        found = decoded(body, "ab")
        assert found.answered or isinstance(found.failure, errors.MalformedVectorError)
        assert not found.answered or found.answer.vectors == Vectors.of([LONG, LONG])


def test_sizes_are_capped(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_SIZE", 39)
    assert isinstance(failure(answer([LONG])), errors.ResponseTooLargeError)
    monkeypatch.setattr(decoding, "_BYTES_BESIDE", 100)
    error = failure(b" " * (100 + 39 * 32 + 1))
    assert isinstance(error, errors.ResponseTooLargeError)


def test_deep_nesting_is_refused():
    assert isinstance(failure(b"[" * 100_000 + b"]" * 100_000), errors.ResponseError)
    assert isinstance(failure(b'{"data":' * 50_000), errors.ResponseError)


def test_numbers_are_read_as_they_come_and_their_text_is_not_kept():
    body = answer([[0.1] * 1000] * 20)
    decoder = dialect_named("openai").decoder(EmbeddingRequest(texts=("x",) * 20))
    most = 0
    for at in range(0, len(body), 1000):
        decoder.feed(body[at : at + 1000])
        most = max(most, sum(map(len, [*decoder._numbers._pieces, decoder._numbers._tail])))
    decoder.close()
    assert decoder.answer.vectors == Vectors.of([[0.1] * 1000] * 20)
    assert most < len(body) / 10


@given(st.sets(st.integers(0, 12), max_size=12))
def test_a_byte_order_mark_may_be_cut_too(cuts):
    assert decoded(b"\xef\xbb\xbf \n\xef\xbb\xbf" + answer([LONG]), "a", cuts=cuts).answered
