"""Each service's way to be asked for vectors, and its form of answers."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from freeproviders import errors
from freeproviders.catalogue.rows import EmbeddingRow
from freeproviders.wire.embeddings.dialects import DIALECTS, dialect_named
from freeproviders.wire.embeddings.names import DialectName
from freeproviders.wire.embeddings.request import EmbeddingRequest
from freeproviders.wire.embeddings.vectors import Vectors

ROW = EmbeddingRow(family="f", size=2)
TEXTS = ("one", "two")


def written(dialect, row=ROW, **asked):
    return dialect_named(dialect).written(EmbeddingRequest(texts=TEXTS, model="m/n", **asked), row)


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        ("openai", "/embeddings", {"model": "m/n", "input": ["one", "two"]}),
        ("mistral", "/embeddings", {"model": "m/n", "input": ["one", "two"]}),
        (
            "llamacpp",
            "/embeddings",
            {"model": "m/n", "input": ["one", "two"], "encoding_format": "base64"},
        ),
        ("vllm", "/embeddings", {"model": "m/n", "input": ["one", "two"]}),
        ("nvidia", "/embeddings", {"model": "m/n", "input": ["one", "two"], "truncate": "NONE"}),
        ("ollama", "/api/embed", {"model": "m/n", "input": ["one", "two"], "truncate": False}),
        (
            "cohere",
            "/v2/embed",
            {
                "model": "m/n",
                "texts": ["one", "two"],
                "input_type": "search_document",
                "embedding_types": ["float"],
                "truncate": "NONE",
            },
        ),
        (
            "gemini",
            "/models/m/n:batchEmbedContents",
            {"requests": [{"model": "models/m/n", "content": {"parts": [{"text": text}]}} for text in TEXTS]},
        ),
        (
            "huggingface",
            "/hf-inference/models/m/n/pipeline/feature-extraction",
            {"inputs": ["one", "two"], "normalize": True, "truncate": False},
        ),
    ],
)
def test_a_plain_request(dialect, path, body):
    assert written(dialect) == (path, body)
    assert written(dialect, None) == (path, body)


def test_every_name_is_a_dialects():
    assert set(DIALECTS) == set(get_args(DialectName))


@pytest.mark.parametrize(
    ("dialect", "key"),
    [
        ("openai", "dimensions"),
        ("mistral", "output_dimension"),
        ("nvidia", "dimensions"),
        ("ollama", "dimensions"),
        ("cohere", "output_dimension"),
    ],
)
def test_a_size_has_its_own_name(dialect, key):
    _, body = written(dialect, size=5)
    assert body[key] == 5
    assert "dimensions" not in {*body} - {key}


def test_what_goes_with_each_text_of_gemini():
    row = EmbeddingRow(family="f", size=2, input_types={"query": "RETRIEVAL_QUERY"})
    _, body = written("gemini", row, size=5, role="query", options={"title": "t"})
    assert [one["taskType"] for one in body["requests"]] == ["RETRIEVAL_QUERY"] * 2
    assert [one["outputDimensionality"] for one in body["requests"]] == [5, 5]
    assert [one["title"] for one in body["requests"]] == ["t", "t"]
    assert "taskType" not in written("gemini", row)[1]["requests"][0]
    request = EmbeddingRequest(texts=("a",), model="models/g-1")
    assert dialect_named("gemini").written(request)[0] == "/models/g-1:batchEmbedContents"


@pytest.mark.parametrize(
    ("dialect", "key", "value"),
    [
        ("nvidia", "truncate", "END"),
        ("cohere", "truncate", "END"),
        ("ollama", "truncate", True),
        ("huggingface", "truncate", True),
        ("vllm", "truncate_prompt_tokens", -1),
    ],
)
def test_a_text_is_cut_only_where_that_is_asked_for(dialect, key, value):
    assert written(dialect, truncate=True)[1][key] == value
    assert written(dialect)[1].get(key) != value
    assert dialect_named(dialect).truncation == "asked"


@pytest.mark.parametrize("dialect", ["openai", "mistral", "llamacpp", "gemini"])
def test_where_a_service_cannot_be_told_to_cut_nothing_is_said(dialect):
    assert written(dialect, truncate=True) == written(dialect)
    assert dialect_named(dialect).truncation != "asked"


@pytest.mark.parametrize("dialect", ["openai", "nvidia", "cohere"])
def test_the_service_is_told_the_role_in_its_words(dialect):
    row = EmbeddingRow(family="f", size=2, input_types={"query": "Q", "document": "D"})
    assert written(dialect, row, role="query")[1]["input_type"] == "Q"
    assert written(dialect, row)[1]["input_type"] == "D"


def test_base64_is_asked_for_where_the_row_says_so():
    row = EmbeddingRow(family="f", size=2, base64=True)
    assert written("openai", row)[1]["encoding_format"] == "base64"
    assert written("cohere", row)[1]["embedding_types"] == ["base64"]
    no = EmbeddingRow(family="f", size=2, base64=False)
    assert "encoding_format" not in written("llamacpp", no)[1]


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_the_callers_options_count(dialect):
    _, body = written(dialect, options={"mine": 1})
    assert body.get("mine") == 1 or all(one["mine"] == 1 for one in body["requests"])


def test_the_callers_name_of_a_size_counts():
    _, body = written("mistral", size=5, options={"output_dimension": 6})
    assert body["output_dimension"] == 6
    assert "dimensions" not in body


@pytest.mark.parametrize(
    ("dialect", "base_url", "address"),
    [
        ("openai", "https://a.test/v1", "https://a.test/v1/p"),
        ("ollama", "http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/p"),
        ("ollama", "http://127.0.0.1:11434", "http://127.0.0.1:11434/p"),
        ("cohere", "https://a.test/compatibility/v1", "https://a.test/p"),
        ("gemini", "https://a.test/v1beta/openai", "https://a.test/v1beta/p"),
        ("huggingface", "https://a.test/v1", "https://a.test/p"),
    ],
)
def test_where_a_request_goes(dialect, base_url, address):
    assert dialect_named(dialect).address(base_url, "/p") == address


def test_a_key_stands_where_the_service_looks_for_it():
    headers = {"Accept": "a", "Authorization": "Bearer k"}
    assert dialect_named("openai").headers(headers) == headers
    assert dialect_named("gemini").headers(headers) == {"Accept": "a", "x-goog-api-key": "k"}
    own = {"Authorization": "Basic b"}
    assert dialect_named("gemini").headers(own) == own
    assert dialect_named("gemini").headers({}) == {}


LONG = [0.5] * 40
FORMS = {
    "ollama": {"model": "m", "embeddings": [LONG, LONG], "prompt_eval_count": 7},
    "cohere": {
        "id": "x",
        "embeddings": {"float": [LONG, LONG]},
        "texts": ["one", "two"],
        "meta": {"billed_units": {"input_tokens": 7}},
    },
    "gemini": {
        "embeddings": [{"values": LONG}, {"values": LONG}],
        "usageMetadata": {"promptTokenCount": 7},
    },
    "huggingface": [LONG, LONG],
}


def decoded(dialect, document):
    decoder = dialect_named(dialect).decoder(EmbeddingRequest(texts=TEXTS))
    decoder.feed(json.dumps(document).encode())
    decoder.close()
    return decoder


@pytest.mark.parametrize("dialect", sorted(FORMS))
def test_a_native_answer(dialect):
    answer = decoded(dialect, FORMS[dialect]).answer
    assert answer.vectors == Vectors.of([LONG, LONG])
    assert answer.tokens == (None if dialect == "huggingface" else 7)
    short = json.loads(json.dumps(FORMS[dialect]).replace(json.dumps(LONG), "[0.5]"))
    assert decoded(dialect, short).answer.vectors == Vectors.of([[0.5], [0.5]])


@pytest.mark.parametrize("dialect", sorted(FORMS))
@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({}, errors.MalformedResponseError),
        ([], errors.MalformedResponseError),
        ([[[LONG]]], errors.MalformedResponseError),
        (None, errors.MalformedResponseError),
        ({"embeddings": None}, errors.MalformedResponseError),
        ({"embeddings": [1, 2]}, errors.MalformedResponseError),
        ({"embeddings": {"int8": [[1], [2]]}}, errors.MalformedResponseError),
        ({"embeddings": [LONG]}, errors.MalformedResponseError),
        ({"error": "model not found"}, errors.ProviderError),
        ([{"error": {"message": "busy", "code": 503}}], errors.ServerError),
        ({"message": "no"}, errors.ProviderError),
    ],
)
def test_what_is_no_native_answer(dialect, document, kind):
    assert isinstance(decoded(dialect, document).failure, kind)


def test_token_vectors_of_hugging_face_are_explained():
    assert "each token" in decoded("huggingface", [[LONG, LONG], [LONG]]).failure.message
