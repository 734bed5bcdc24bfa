"""Replicas asked for vectors, without our client."""

from __future__ import annotations

import base64
import http.client
import json
import math
import zlib
from array import array
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import OpenAICompatible
from freeproviders.catalogue import Service
from freeproviders.catalogue.rows import EmbeddingRow, ModelRow
from freeproviders.testing import RandomFaults, Replica, checksum_vector, replica
from tests.testing.asking import Answered, Clock, send

THREE = ["one", "two words", "drei Wörter sind es"]


def embed(server: Replica, given: object = "Hi", model: str = "m", **body: Any) -> Answered:
    return send(server, "POST", "/embeddings", {"model": model, "input": given, **body})


# --- the vectors ----------------------------------------------------------------------------------


def test_a_checksum_vector_is_its_texts_own() -> None:
    """Another text, model or input type is another vector; of length 1, and of 32-bit floats."""
    vectors = [
        checksum_vector(*given)
        for given in (("a", 64), ("b", 64), ("a", 64, "m"), ("a", 64, "m", "query"), ("", 64, "", "a"))
    ]
    assert len({tuple(vector) for vector in vectors}) == 5
    for vector in vectors:
        assert len(vector) == 64
        assert math.isclose(math.sqrt(sum(n * n for n in vector)), 1, abs_tol=1e-6)
        assert array("f", vector).tolist() == vector
    assert vectors[0] == checksum_vector("a", 64)


def test_a_shorter_vector_is_the_beginning_of_a_longer_one() -> None:
    whole = checksum_vector("a", 64, normalised=False)
    assert checksum_vector("a", 16, normalised=False) == whole[:16]
    length = math.sqrt(sum(n * n for n in whole[:16]))
    assert checksum_vector("a", 16) == pytest.approx([n / length for n in whole[:16]])


def test_half_a_surrogate_pair_has_a_vector() -> None:
    with replica(OpenAICompatible) as server:
        answered = embed(server, "\ud83d")
    assert answered.json["data"][0]["embedding"] == checksum_vector("\ud83d", 256, "m")


# --- the OpenAI protocol --------------------------------------------------------------------------


def test_an_answer_is_written_as_openai_writes_it() -> None:
    with replica(OpenAICompatible) as server:
        answered = embed(server, THREE)
        (request,) = server.requests
    assert answered.status == 200
    assert answered.json == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": n, "embedding": checksum_vector(text, 256, "m")}
            for n, text in enumerate(THREE)
        ],
        "model": "m",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }
    assert (request.texts, request.model, request.size, request.refusal) == (THREE, "m", 256, None)


def test_base64_carries_the_same_numbers() -> None:
    with replica(OpenAICompatible) as server:
        (data,) = embed(server, "Hi", encoding_format="base64", dimensions=10, user="me").json["data"]
    numbers = array("f", base64.b64decode(data["embedding"]))
    assert numbers.tolist() == checksum_vector("Hi", 10, "m")


def test_tokens_are_taken_in_place_of_a_text() -> None:
    with replica(OpenAICompatible) as server:
        one = embed(server, [1, 2, 3])
        two = embed(server, [[1, 2, 3], [4]])
        assert [request.texts for request in server.requests] == [["[1, 2, 3]"], ["[1, 2, 3]", "[4]"]]
    assert one.json["data"][0]["embedding"] == checksum_vector("[1, 2, 3]", 256, "m")
    assert [len(one.json["data"]), len(two.json["data"])] == [1, 2]
    assert two.json["usage"]["total_tokens"] == 4


@pytest.mark.parametrize(
    ("model", "body", "size"),
    [
        ("text-embedding-3-small", {}, 1536),
        ("text-embedding-3-large", {}, 3072),
        ("text-embedding-3-large", {"dimensions": 5}, 5),
        ("text-embedding-ada-002", {}, 1536),
        ("any", {}, 256),
    ],
)
def test_sizes_are_those_of_the_model(model: str, body: dict[str, Any], size: int) -> None:
    with replica(OpenAICompatible) as server:
        (data,) = embed(server, "Hi", model, **body).json["data"]
    assert data["embedding"] == checksum_vector("Hi", size, model)


INVALID = (
    "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
)
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input": ""}, INVALID),
    ({"input": []}, INVALID),
    ({"input": ["a", ""]}, INVALID),
    ({"input": ["a", 1]}, INVALID),
    ({"input": [[]]}, INVALID),
    ({"input": [-1]}, INVALID),
    ({"input": [True]}, INVALID),
    ({"input": None}, INVALID),
    ({"input": {"text": "a"}}, INVALID),
    ({"input": ["a"] * 2049}, INVALID),
    ({"input": ["a", "a " * 8193]}, "Invalid 'input[1]': maximum input length is 8192 tokens."),
    ({"input": ["a " * 8000] * 38}, "Requested 304000 tokens, max 300000 tokens per request"),
    ({"input": "a", "input_type": "query"}, "Unrecognized request argument(s) supplied: input_type."),
    ({"input": "a", "encoding_format": "int8"}, "Invalid value for 'encoding_format'"),
    ({"input": "a", "dimensions": 0}, "Invalid value for 'dimensions' = 0."),
    ({"input": "a", "dimensions": 257}, "Supported values are: 1 to 256."),
    ({"input": "a", "dimensions": "5"}, "Invalid value for 'dimensions' = \"5\"."),
    ({"input": "a", "dimensions": True}, "Invalid value for 'dimensions' = true."),
    (
        {"input": "a", "model": "text-embedding-ada-002", "dimensions": 5},
        "This model does not support specifying dimensions.",
    ),
    ({"input": "a", "model": ""}, "you must provide a model parameter"),
    ({}, "Missing key(s) in the body: input."),
]


@pytest.mark.parametrize(("body", "words"), WRONG)
def test_a_wrong_request_is_refused_in_openais_words(body: dict[str, Any], words: str) -> None:
    with replica(OpenAICompatible) as server:
        answered = send(server, "POST", "/embeddings", {"model": "m", **body})
        (request,) = server.requests
    assert answered.status == 400
    assert words in answered.json["error"]["message"]
    assert request.texts == []
    assert request.refusal is not None


def test_what_is_at_the_border_is_taken() -> None:
    with replica(OpenAICompatible, vector_size=1) as server:
        assert embed(server, ["a"] * 2048).status == 200
        assert embed(server, "a " * 8192).status == 200
        assert embed(server, ["a " * 7500] * 40).status == 200


def test_keys_models_and_methods_are_judged() -> None:
    with replica(OpenAICompatible, api_key="right", models=["m"]) as server:
        assert embed(server).status == 401
        assert send(server, "POST", "/embeddings", {"model": "m", "input": "a"}, "right").status == 200
        assert send(server, "POST", "/embeddings", {"model": "x", "input": "a"}, "right").status == 404
        assert send(server, "GET", "/embeddings").status == 405


# --- vectors of the caller ------------------------------------------------------------------------


def test_a_function_makes_the_vectors() -> None:
    with replica(OpenAICompatible, vectors=lambda texts: [[len(text), 0.5] for text in texts]) as server:
        assert [one["embedding"] for one in embed(server, ["a", "abc"]).json["data"]] == [[1, 0.5], [3, 0.5]]


def test_a_coroutine_may_see_the_request() -> None:
    async def vectors(texts: list[str], request: Any) -> list[list[float]]:
        return [[request.size, len(request.texts)] for _ in texts]

    with replica(OpenAICompatible, vectors=vectors) as server:
        assert embed(server, "a", dimensions=7).json["data"][0]["embedding"] == [7, 1]


def test_a_function_that_fails_is_raised_where_the_replica_ends() -> None:
    def vectors(texts: list[str]) -> list[list[float]]:
        raise LookupError(texts[0])

    with pytest.raises(LookupError, match=r"^a$"), replica(OpenAICompatible, vectors=vectors) as server:
        assert embed(server, "a").status == 500


def test_vectors_that_are_no_function_are_refused() -> None:
    with pytest.raises(TypeError, match="function of a list of texts"):
        replica(OpenAICompatible, vectors=[[1.0]])


# --- faults ---------------------------------------------------------------------------------------


def spoiled(how: str, **body: Any) -> Answered:
    with replica(OpenAICompatible, faults=[{"vectors": how}], vector_size=4) as server:
        return embed(server, THREE, **body)


RIGHT = [checksum_vector(text, 4, "m") for text in THREE]


@pytest.mark.parametrize(
    ("how", "indexes", "vectors"),
    [
        ("missing", [1, 2], RIGHT[1:]),
        ("more", [0, 1, 2, 3], [*RIGHT, RIGHT[2]]),
        ("null", [0, 1, 2], [*RIGHT[:2], None]),
        ("size", [0, 1, 2], [*RIGHT[:2], RIGHT[2][:3]]),
        ("sizes", [0, 1, 2], [one[:3] for one in RIGHT]),
        ("twice", [0, 1, 0], RIGHT),
        ("shuffled", [1, 0, 2], [RIGHT[1], RIGHT[0], RIGHT[2]]),
    ],
)
def test_an_answer_can_be_wrong(how: str, indexes: list[int], vectors: list[Any]) -> None:
    data = spoiled(how).json["data"]
    assert [one["index"] for one in data] == indexes
    assert [one["embedding"] for one in data] == vectors


def test_not_a_number_in_both_encodings() -> None:
    assert math.isnan(json.loads(spoiled("nan").text)["data"][2]["embedding"][0])
    packed = spoiled("nan", encoding_format="base64").json["data"][2]["embedding"]
    assert math.isnan(array("f", base64.b64decode(packed))[0])


def test_faults_of_chat_leave_vectors_alone() -> None:
    """And faults of vectors leave chat alone."""
    with replica(OpenAICompatible, faults=[{"status": 503}, {"on": "embeddings", "status": 500}]) as server:
        chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
        assert [embed(server).status, embed(server).status] == [500, 200]
        assert [send(server, "POST", "/chat/completions", chat).status for _ in range(2)] == [503, 200]


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ({"status": 429, "retry_after": 7}, 429, "Too Many Requests"),
        ({"status": 529, "body": "busy"}, 529, "busy"),
        ({"quota": True}, 429, "daily limit"),
        ({"html": True}, 200, "<!DOCTYPE html>"),
        ({"challenge": True}, 403, "Just a moment"),
        ({"error": "overloaded"}, 200, '{"error":{"message":"overloaded"'),
        ({"error": "overloaded", "error_shape": "detail"}, 200, '{"detail":"overloaded"}'),
        ({"empty": True}, 200, '"data":[]'),
        ({"end": 20}, 200, '{"object":"list","da'),
    ],
)
def test_faults_of_every_answer(fault: dict[str, Any], status: int, words: str) -> None:
    with replica(OpenAICompatible, faults={"on": "embeddings", **fault}) as server:
        answered = embed(server)
    assert (answered.status, words in answered.text) == (status, True), answered.text
    assert answered.headers.get("retry-after") == ("7" if "retry_after" in fault else None)


def test_faults_come_by_chance_and_the_same_by_the_same_seed() -> None:
    def statuses(seed: int, share: float = 0.3) -> list[int]:
        faults = RandomFaults([{"status": 429}, {"status": 503}], share, seed, on="embeddings")
        with replica(OpenAICompatible, faults=faults, vector_size=1) as server:
            chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            assert send(server, "POST", "/chat/completions", chat).status == 200
            return [embed(server).status for _ in range(60)]

    one = statuses(1)
    assert one == statuses(1) != statuses(2)
    assert {429, 503, 200} == set(one)
    assert 8 < one.count(429) + one.count(503) < 28
    assert set(statuses(1, 0)) == {200}
    assert set(statuses(1, 1)) == {429, 503}


@pytest.mark.parametrize("wrong", [{"faults": []}, {"faults": [{"status": 1}], "share": 2}])
def test_chances_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="RandomFaults takes"):
        RandomFaults(**wrong)
    with pytest.raises(ValueError, match="Unknown fault"):
        replica(OpenAICompatible, faults=RandomFaults([{"nonsense": 1}]))


@pytest.mark.parametrize("fault", [{"vectors": "wrong"}, {"on": "embeddings", "no_done": True}])
def test_faults_that_vectors_have_no_place_for(fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"[Ff]ault"):
        replica(OpenAICompatible, faults=fault)
    with pytest.raises(ValueError, match=r"[Ff]ault"):
        replica("flow-gpt", faults={"vectors": "nan"})


def test_an_answer_breaks_off_and_is_compressed() -> None:
    faults = [{"on": "embeddings", **fault} for fault in ({"cut": 40}, {"drop": True}, {"encoding": "gzip"})]
    with replica(OpenAICompatible, faults=faults) as server:
        with pytest.raises(http.client.IncompleteRead):
            embed(server)
        with pytest.raises(ConnectionError):
            embed(server)
        url = urlsplit(server.base_url)
        connection = http.client.HTTPConnection(url.netloc, timeout=30)
        body = json.dumps({"model": "m", "input": "Hi"})
        connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.headers["Content-Encoding"] == "gzip"
        unpacked = json.loads(zlib.decompressobj(31).decompress(response.read()))
        connection.close()
    assert unpacked["data"][0]["embedding"] == checksum_vector("Hi", 256, "m")


def test_a_client_that_leaves_a_silent_answer_is_seen() -> None:
    with replica(OpenAICompatible, faults={"on": "embeddings", "stall": 0}) as server:
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=30)
        body = json.dumps({"model": "m", "input": "Hi"})
        connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        assert connection.getresponse().status == 200
        connection.close()
        assert server.wait_disconnect() == 1


# --- services of the catalogue --------------------------------------------------------------------


def test_limits_count_requests_for_vectors() -> None:
    clock = Clock(1_795_180_051.0)
    with replica(
        service="mistral", limits={"requests/minute": 2, "tokens/minute": 10}, clock=clock
    ) as server:
        answers = [embed(server, ["a", "b c"], "mistral-embed") for _ in range(3)]
        assert [one.status for one in answers] == [200, 200, 429]
        left = [one.headers["x-ratelimit-remaining-req-minute"] for one in answers]
        assert left == ["1", "0", "0"]
        assert answers[2].json["type"] == "rate_limited"  # in the words of the row
        assert server.counts.of("tokens/minute").used == 6
        assert (server.counts.admitted, server.counts.refused) == (2, 1)
        clock.now += 61
        answered = embed(server, "a", "mistral-embed")
        asked = Counter(text for one in server.requests for text in one.texts)
        answers = Counter(text for one in server.requests if one.status == 200 for text in one.texts)
    assert answered.json["data"][0]["embedding"] == checksum_vector("a", 1024, "mistral-embed")
    assert asked == {"a": 4, "b c": 3}
    assert answers == {"a": 3, "b c": 2}


def mine(**facts: Any) -> Service:
    """A service of somebody's own."""
    model = EmbeddingRow(**{"family": "mine", "size": 12, **facts})
    return Service(
        id="mine",
        name="Mine",
        base_url="https://mine.test/api/v3",
        key="optional",
        models={"chatty": ModelRow()},
        embeddings={"m": model},
    )


def test_a_row_says_what_is_taken() -> None:
    row = mine(sizes=(4, 8), batch=2, window=3, tokens=5, input_types={"document": "doc", "query": "ask"})
    with replica(service=row) as server:
        data = embed(server, ["a b c", "d e"], dimensions=8, input_type="ask").json["data"]
        assert data[1]["embedding"] == checksum_vector("d e", 8, "m", "ask")
        for wrong in (
            {"given": ["a"] * 3},
            {"given": "a b c d"},
            {"given": ["a b c", "d e f"]},
            {"dimensions": 5},
            {"input_type": "query"},
            {"model": "nobody"},
            {"model": "chatty"},
            {"given": [1, 2]},
        ):
            assert embed(server, **wrong).status in {400, 403, 404}, wrong
        refused = [request.refusal for request in server.requests[1:]]
    assert None not in refused
    assert len(set(refused)) == 7  # too many texts and tokens for texts: OpenAI has one answer


def test_a_row_without_base64_ignores_it() -> None:
    for base64_is_sent in (True, False, None):
        with replica(service=mine(base64=base64_is_sent)) as server:
            vector = embed(server, encoding_format="base64").json["data"][0]["embedding"]
        assert isinstance(vector, list) == (base64_is_sent is False)


def test_a_row_is_asked_in_its_dialect() -> None:
    with replica(service=mine(dialect="ollama")) as server:
        answered = send(server, "POST", "//api/embed", {"model": "m", "input": ["a"]})
        assert answered.json["embeddings"] == [checksum_vector("a", 12, "m")]
    with replica(service=mine(dialect="nvidia")) as server:
        data = embed(server, "a", input_type="passage").json["data"]
        assert data[0]["embedding"] == checksum_vector("a", 12, "m", "passage")
    with replica(service=mine()) as server:
        assert send(server, "POST", "//api/embed", {"model": "m", "input": ["a"]}).status == 404


def test_what_is_listed_counts_where_models_are_named() -> None:
    """As of a service that has changed."""
    with replica(service=mine(), models=["new"], vector_size=3) as server:
        assert len(embed(server, model="new").json["data"][0]["embedding"]) == 3
        assert embed(server, model="m").status == 404


TEXTS = st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=4)


def test_every_text_comes_back_as_its_own_vector() -> None:
    with replica(OpenAICompatible, vector_size=8) as server:

        @settings(max_examples=30, deadline=None)
        @given(
            st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=4),
            st.sampled_from(["float", "base64"]),
        )
        def every(texts: list[str], encoding: str) -> None:
            data = embed(server, texts, encoding_format=encoding).json["data"]
            vectors = [one["embedding"] for one in data]
            if encoding == "base64":
                vectors = [array("f", base64.b64decode(one)).tolist() for one in vectors]
            assert vectors == [checksum_vector(text, 8, "m") for text in texts]
            assert server.requests[-1].texts == texts

        every()
