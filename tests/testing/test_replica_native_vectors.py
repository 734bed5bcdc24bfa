"""Vectors in the protocols of the services themselves, and the OpenAI one as each of them takes it.

The first bodies are those that the services' own clients sent to the replicas in November 2026:
openai 3.54, google-genai 2.34, langchain-google-genai 4.4, cohere 7.3, ollama 0.6,
langchain-nvidia-ai-endpoints 1.5, huggingface_hub 2.4.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders.catalogue import Limit
from freeproviders.testing import Replica, checksum_vector, replica
from tests.testing.asking import Answered, Clock, send

BOTH = ["one", "two words"]
KEY = {"Authorization": "Bearer k"}
GOOGLE = {"x-goog-api-key": "k"}


def post(server: Replica, path: str, body: bytes, headers: dict[str, str]) -> Answered:
    connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answered(response.status, found, response.read().decode())
    finally:
        connection.close()


def floats(answered: Answered) -> list[Any]:
    return [one["embedding"] for one in answered.json["data"]]


def packed(answered: Answered) -> list[list[float]]:
    return [array("f", base64.b64decode(one)).tolist() for one in floats(answered)]


GEMINI = "/v1beta/models/gemini-embedding-001:batchEmbedContents"
HF = "/hf-inference/models/BAAI/bge-small-en-v1.5/pipeline/feature-extraction"


@dataclass(frozen=True)
class Sent:
    """A request, how its answer is read, and what its vectors are made of."""

    service: str
    path: str
    headers: dict[str, str]
    body: bytes
    read: Callable[[Answered], Any]
    size: int
    model: str
    purpose: str = ""
    normalised: bool = True

    def vectors(self) -> list[list[float]]:
        return [
            checksum_vector(text, self.size, self.model, self.purpose, normalised=self.normalised)
            for text in BOTH
        ]


SENT = [
    Sent(
        "mistral",
        "/v1/embeddings",
        KEY,
        b'{"model":"mistral-embed","input":["one","two words"],"encoding_format":"base64"}',
        packed,
        1024,
        "mistral-embed",
    ),
    Sent(
        "gemini",
        "/v1beta/openai/embeddings",
        KEY,
        b'{"model":"gemini-embedding-001","input":["one","two words"],"encoding_format":"float"}',
        floats,
        3072,
        "gemini-embedding-001",
    ),
    Sent(
        "gemini",
        GEMINI,
        GOOGLE,
        (
            b'{"requests": [{"content": {"parts": [{"text": "one"}], "role": "user"}, "taskType": '
            b'"RETRIEVAL_QUERY", "model": "models/gemini-embedding-001"}, {"content": {"parts": [{"text": '
            b'"two words"}], "role": "user"}, "taskType": "RETRIEVAL_QUERY", "model": '
            b'"models/gemini-embedding-001"}]}'
        ),
        lambda answered: [one["values"] for one in answered.json["embeddings"]],
        3072,
        "gemini-embedding-001",
        "RETRIEVAL_QUERY",
    ),
    Sent(
        "gemini",
        GEMINI,
        GOOGLE,
        (
            b'{"requests": [{"content": {"parts": [{"text": "one"}], "role": "user"}, '
            b'"outputDimensionality": 768, "model": "models/gemini-embedding-001"}, '
            b'{"content": {"parts": [{"text": "two words"}], '
            b'"role": "user"}, "outputDimensionality": 768, "model": "models/gemini-embedding-001"}]}'
        ),
        lambda answered: [one["values"] for one in answered.json["embeddings"]],
        768,
        "gemini-embedding-001",
        normalised=False,
    ),
    Sent(
        "cohere",
        "/v2/embed",
        KEY,
        (
            b'{"texts":["one","two words"],"model":"embed-v4.0","input_type":"search_document",'
            b'"output_dimension":512,"embedding_types":["float","base64"]}'
        ),
        lambda answered: answered.json["embeddings"]["float"],
        512,
        "embed-v4.0",
        "search_document",
    ),
    Sent(
        "nvidia",
        "/v1/embeddings",
        {"Authorization": "Bearer nvapi-k"},
        (
            b'{"input": ["one", "two words"], "model": "nvidia/nv-embedqa-e5-v5", "encoding_format": '
            b'"float", "input_type": "passage", "truncate": "NONE"}'
        ),
        floats,
        1024,
        "nvidia/nv-embedqa-e5-v5",
        "passage",
    ),
    Sent(
        "ollama",
        "/api/embed",
        {},
        b'{"model":"nomic-embed-text","input":["one","two words"],"truncate":false,"dimensions":64}',
        lambda answered: answered.json["embeddings"],
        64,
        "nomic-embed-text",
    ),
    Sent(
        "huggingface",
        HF,
        {"Authorization": "Bearer hf_k"},
        b'{"inputs":["one","two words"],"normalize":true,"truncate":true,"truncation_direction":"Right"}',
        lambda answered: answered.json,
        256,
        "BAAI/bge-small-en-v1.5",
    ),
    Sent(
        "cloudflare",
        "/client/v4/accounts/mine/ai/run/@cf/baai/bge-m3",
        KEY,
        b'{"text": ["one", "two words"], "pooling": "cls"}',
        lambda answered: answered.json["result"]["data"],
        1024,
        "@cf/baai/bge-m3",
        "cls",
    ),
    Sent(
        "llamacpp",
        "/embedding",
        {},
        b'{"content": ["one", "two words"], "embd_normalize": 2}',
        lambda answered: [one["embedding"][0] for one in answered.json],
        256,
        "",
    ),
    Sent(
        "llamacpp",
        "/v1/embeddings",
        {},
        b'{"model": "x", "input": ["one", "two words"], "dimensions": 8}',
        floats,  # this server has never heard of dimensions
        256,
        "x",
    ),
    Sent(
        "lmstudio",
        "/v1/embeddings",
        {},
        b'{"model": "x", "input": ["one", "two words"], "encoding_format": "base64"}',
        floats,  # nor this one of base64
        256,
        "x",
    ),
]


@pytest.mark.parametrize("sent", SENT, ids=lambda sent: sent.service)
def test_what_clients_send_is_answered(sent: Sent) -> None:
    with replica(service=sent.service, limits=False) as server:
        answered = post(server, sent.path, sent.body, sent.headers)
        (request,) = server.requests
    assert answered.status == 200, answered.text
    assert sent.read(answered) == sent.vectors()
    assert (request.texts, request.model, request.input_type) == (BOTH, sent.model, sent.purpose)
    assert (request.size, request.status, request.refusal) == (sent.size, 200, None)


def test_one_content_is_answered_alone() -> None:
    body = {"content": {"parts": [{"text": "a"}, {"text": "b"}]}, "task_type": "CLUSTERING"}
    with replica(service="gemini", limits=False) as server:
        path = GEMINI.replace("batchEmbedContents", "embedContent") + "?key=k"
        answered = post(server, path, json.dumps(body).encode(), {})
    wanted = checksum_vector("a\nb", 3072, "gemini-embedding-001", "CLUSTERING")
    assert answered.json == {"embedding": {"values": wanted}}


def test_facts_beside_the_vectors() -> None:
    body = {"model": "embed-v4.0", "texts": BOTH, "input_type": "search_query", "embedding_types": ["base64"]}
    with replica(service="cohere", limits=False) as server:
        answered = send(server, "POST", "//v2/embed", body).json
    assert answered["texts"] == BOTH
    assert answered["meta"]["billed_units"] == {"input_tokens": 3}
    wanted = [checksum_vector(text, 1536, "embed-v4.0", "search_query") for text in BOTH]
    assert [array("f", base64.b64decode(one)).tolist() for one in answered["embeddings"]["base64"]] == wanted
    with replica(service="ollama") as server:
        answered = send(server, "POST", "//api/embed", {"model": "m", "input": "one"}).json
        assert (answered["model"], answered["prompt_eval_count"]) == ("m", 1)
        assert send(server, "POST", "//api/embed", {"model": "m", "input": ""}).json["embeddings"] == []
    with replica(service="cloudflare", limits=False) as server:
        body = {"text": "one"}
        answered = send(server, "POST", "//client/v4/accounts/a/ai/run/@cf/baai/bge-m3", body).json
    assert (answered["success"], answered["result"]["shape"]) == (True, [1, 1024])


# --- what is refused ------------------------------------------------------------------------------

COHERE = {"model": "embed-english-v3.0", "texts": ["a"], "input_type": "search_query"}
ONE = {"model": "models/gemini-embedding-001", "content": {"parts": [{"text": "a"}]}}
LONG = "w " * 600
CF = "//client/v4/accounts/a/ai/run/@cf/baai/bge-small-en-v1.5"
NVIDIA = {"model": "nvidia/nv-embedqa-e5-v5", "input": ["a"], "input_type": "query"}
# service, path, body, status, what the answer has
WRONG: list[tuple[str, str, dict[str, Any], int, Any]] = [
    (
        "cohere",
        "//v2/embed",
        COHERE | {"texts": ["a"] * 97},
        400,
        {"message": "invalid request: total number of texts must be at most 96 - received 97"},
    ),
    (
        "cohere",
        "//v2/embed",
        {"model": "embed-v4.0", "texts": ["a"]},
        400,
        {"message": "invalid request: valid input_type must be provided with the provided model"},
    ),
    ("cohere", "//v2/embed", COHERE | {"texts": "a"}, 400, "must be a list of strings"),
    ("cohere", "//v2/embed", COHERE | {"input": ["a"]}, 400, "parameter input is not a valid field"),
    ("cohere", "//v2/embed", COHERE | {"texts": [LONG], "truncate": "NONE"}, 400, "too many tokens: 600"),
    ("cohere", "//v2/embed", COHERE | {"truncate": "end"}, 400, "truncate must be one of END, START, NONE"),
    ("cohere", "//v2/embed", COHERE | {"output_dimension": 256}, 400, "not supported"),
    ("cohere", "//v2/embed", COHERE | {"embedding_types": ["int1"]}, 400, "embedding_types"),
    ("cohere", "//v2/embed", COHERE | {"model": "nobody"}, 404, {"message": "The model `nobody` does not"}),
    ("cohere", "/embeddings", {"model": "embed-v4.0", "input": "a", "dimensions": 256}, 400, "dimensions"),
    (
        "gemini",
        "/" + GEMINI,
        {"requests": [ONE] * 101},
        400,
        {
            "error": {
                "code": 400,
                "message": "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch\n",
                "status": "INVALID_ARGUMENT",
            }
        },
    ),
    ("gemini", "/" + GEMINI, {"requests": [{"content": ONE["content"]}]}, 400, "model is not specified"),
    ("gemini", "/" + GEMINI, {"requests": [ONE | {"input_type": "x"}]}, 400, "Cannot find field"),
    ("gemini", "/" + GEMINI, {"requests": [ONE | {"taskType": "QUERY"}]}, 400, "task_type"),
    ("gemini", "/" + GEMINI, {"requests": [ONE | {"title": "t"}]}, 400, "Title is only applicable"),
    ("gemini", "/" + GEMINI, {"requests": [ONE | {"outputDimensionality": 4000}]}, 400, "4000"),
    ("gemini", "/" + GEMINI, {"requests": []}, 400, "requests is not specified"),
    ("gemini", "/" + GEMINI, {"requests": [ONE | {"content": {"parts": [{"text": ""}]}}]}, 400, "empty Part"),
    ("gemini", "/" + GEMINI.replace("001", "999"), {"requests": [ONE]}, 404, "does not exist"),
    (
        "gemini",
        "/embeddings",
        {"model": "gemini-embedding-001", "input": ["a"] * 101},
        400,
        "at most 100 requests can be in one batch",
    ),
    (
        "ollama",
        "//api/embed",
        {"model": "m", "input": "w " * 3000, "truncate": False},
        400,
        {"error": "the input length exceeds the context length"},
    ),
    ("ollama", "//api/embed", {"model": "m", "input": [1, 2]}, 400, {"error": "invalid input type"}),
    ("ollama", "/embeddings", {"model": "m", "input": [1, 2]}, 400, "invalid input type"),
    ("ollama", "//api/embed", {"model": "m", "input": "a", "truncate": "END"}, 400, "cannot unmarshal"),
    (
        "huggingface",
        "/" + HF,
        {"inputs": [LONG]},
        413,
        {"error": "Input validation error: `inputs` must have less than 512 tokens. Given: 600"},
    ),
    ("huggingface", "/" + HF, {"inputs": ["a"] * 33}, 422, "batch size 33 > maximum allowed batch size 32"),
    ("huggingface", "/" + HF, {"input": "a"}, 422, "unknown field `input`"),
    ("huggingface", "/" + HF, {}, 422, "missing field `inputs`"),
    ("cloudflare", CF, {"text": ["a"] * 101}, 400, {"success": False, "result": {}}),
    ("cloudflare", CF, {"text": [LONG]}, 400, "has 600 tokens, at most 512 are allowed"),
    ("cloudflare", CF, {"input": "a"}, 400, "unknown property 'input'"),
    ("cloudflare", CF, {"text": "a", "pooling": "max"}, 400, "pooling"),
    ("llamacpp", "//embedding", {"content": ""}, 400, "Input content cannot be empty"),
    (
        "llamacpp",
        "/embeddings",
        {"model": "m", "input": LONG},
        500,
        "input (600 tokens) is too large to process. increase the physical batch size",
    ),
    ("llamacpp", "//embedding", {"text": "a"}, 400, '\\"input\\" or \\"content\\" must be provided'),
    (
        "nvidia",
        "/embeddings",
        {"model": "nvidia/nv-embedqa-e5-v5", "input": ["a"]},
        400,
        {"error": "'input_type' parameter is required for asymmetric models"},
    ),
    (
        "nvidia",
        "/embeddings",
        NVIDIA | {"input": [LONG]},
        400,
        {"error": "Input length 600 exceeds maximum allowed token size 512"},
    ),
    ("nvidia", "/embeddings", NVIDIA | {"input_type": "document"}, 400, "query, passage"),
    ("nvidia", "/embeddings", NVIDIA | {"dimensions": 64}, 400, "does not support 'dimensions'"),
    ("nvidia", "/embeddings", NVIDIA | {"truncate": True}, 400, "NONE, START, END"),
    ("vllm", "/embeddings", {"model": "m", "input": "a", "dimensions": 8}, 400, "matryoshka"),
    (
        "vllm",
        "/embeddings",
        {"model": "m", "input": "a", "truncate_prompt_tokens": -2},
        400,
        "truncate_prompt_tokens",
    ),
    ("mistral", "/embeddings", {"model": "mistral-embed", "input": "a", "user": "me"}, 422, "Extra inputs"),
    ("mistral", "/embeddings", {"model": "mistral-embed", "input": [1]}, 422, "valid string"),
    (
        "mistral",
        "/embeddings",
        {"model": "mistral-embed", "input": ["w " * 6000] * 3},
        400,
        "Too many tokens overall, split into more batches.",
    ),
    (
        "mistral",
        "/embeddings",
        {"model": "mistral-small-latest", "input": "a"},
        400,
        "Invalid model: mistral",
    ),
    ("groq", "/embeddings", {"model": "openai/gpt-oss-20b", "input": "a"}, 403, "not allowed to generate"),
    ("lmstudio", "/embeddings", {"model": "m", "input": [1]}, 400, "must be a string or an array of strings"),
    ("openrouter", "/embeddings", {"model": "nvidia/nemotron-3-embed-1b:free", "input": [1]}, 400, "input"),
]


@pytest.mark.parametrize(("service", "path", "body", "status", "had"), WRONG)
def test_a_wrong_request_is_refused_in_the_services_words(
    service: str, path: str, body: dict[str, Any], status: int, had: Any
) -> None:
    with replica(service=service, limits=False) as server:
        headers = GOOGLE if path.startswith("//v1beta") else KEY
        at = path[1:] if path.startswith("//") else urlsplit(server.base_url).path + path
        answered = post(server, at, json.dumps(body).encode(), headers)
        (request,) = server.requests
    assert answered.status == status, answered.text
    if isinstance(had, dict):
        for key, value in had.items():
            found = answered.json[key]
            assert found.startswith(value) if isinstance(value, str) else found == value
    else:
        assert had in answered.text
    assert (request.status, bool(request.refusal)) == (status, True)


@pytest.mark.parametrize("name", ["gemini", "cohere", "huggingface"])
def test_the_key_is_wanted_where_the_service_has_it(name: str) -> None:
    """Google's own protocol has another place for it; a bearer token there is none."""
    path, body = {
        "gemini": (GEMINI, {"requests": [ONE]}),
        "cohere": ("/v2/embed", COHERE),
        "huggingface": (HF, {"inputs": "a"}),
    }[name]
    given = GOOGLE if name == "gemini" else KEY
    with replica(service=name, api_key="k", limits=False) as server:
        data = json.dumps(body).encode()
        assert post(server, path, data, given).status == 200
        refused = post(server, path, data, KEY if name == "gemini" else {})
        assert refused.status in {400, 401}
        assert isinstance(refused.json, dict)  # and not in a list as in the OpenAI protocol of Google
        assert post(server, path, data, dict.fromkeys(given, "wrong")).status in {400, 401}


# --- what is cut ----------------------------------------------------------------------------------

WORDS = " ".join(f"w{n}" for n in range(3000))


def first(count: int) -> str:
    return " ".join(WORDS.split()[:count])


def last(count: int) -> str:
    return " ".join(WORDS.split()[-count:])


CUT: list[tuple[str, str, dict[str, Any], str]] = [
    ("ollama", "//api/embed", {"model": "m", "input": WORDS}, first(2048)),
    ("ollama", "/embeddings", {"model": "m", "input": WORDS}, first(2048)),
    ("gemini", "/" + GEMINI, {"requests": [ONE | {"content": {"parts": {"text": WORDS}}}]}, first(2048)),
    ("gemini", "/embeddings", {"model": "gemini-embedding-001", "input": WORDS}, first(2048)),
    ("cohere", "//v2/embed", COHERE | {"texts": [WORDS]}, first(512)),
    ("cohere", "//v2/embed", COHERE | {"texts": [WORDS], "truncate": "START"}, last(512)),
    ("nvidia", "/embeddings", NVIDIA | {"input": WORDS, "truncate": "END"}, first(512)),
    ("nvidia", "/embeddings", NVIDIA | {"input": WORDS, "truncate": "START"}, last(512)),
    ("huggingface", "/" + HF, {"inputs": WORDS, "truncate": True, "normalize": True}, first(512)),
    ("vllm", "/embeddings", {"model": "m", "input": WORDS, "truncate_prompt_tokens": 5}, first(5)),
    ("vllm", "/embeddings", {"model": "m", "input": [[1, 2, 3]], "truncate_prompt_tokens": 2}, "[1, 2]"),
]


@pytest.mark.parametrize(("service", "path", "body", "read"), CUT)
def test_a_long_text_is_cut_where_the_service_cuts(
    service: str, path: str, body: dict[str, Any], read: str
) -> None:
    with replica(service=service, limits=False) as server:
        at = path[1:] if path.startswith("//") else urlsplit(server.base_url).path + path
        answered = post(server, at, json.dumps(body).encode(), {**GOOGLE, **KEY})
        (request,) = server.requests
    assert request.texts != [read]
    wanted = checksum_vector(read, request.size, request.model, request.input_type)
    assert json.dumps(wanted, separators=(",", ":")) in answered.text


# --- anything at all ------------------------------------------------------------------------------

RIGHT: list[tuple[str, str, dict[str, Any]]] = [
    ("cohere", "/v2/embed", COHERE),
    ("gemini", GEMINI, {"requests": [ONE]}),
    ("gemini", GEMINI.replace("batchEmbedContents", "embedContent"), ONE),
    ("gemini", "/v1beta/openai/embeddings", {"model": "gemini-embedding-001", "input": "a"}),
    ("ollama", "/api/embed", {"model": "m", "input": "a"}),
    ("huggingface", HF, {"inputs": "a"}),
    ("cloudflare", CF[1:], {"text": "a"}),
    ("llamacpp", "/embedding", {"content": "a"}),
    ("nvidia", "/v1/embeddings", NVIDIA),
    ("vllm", "/v1/embeddings", {"model": "m", "input": "a"}),
]
KEYS_OF = {
    "cohere": ["model", "texts", "input_type", "truncate", "output_dimension", "embedding_types", "x"],
    "gemini": ["model", "content", "taskType", "title", "outputDimensionality", "input", "dimensions"],
    "ollama": ["model", "input", "truncate", "dimensions", "x"],
    "huggingface": ["inputs", "normalize", "prompt_name", "truncate", "truncation_direction", "x"],
    "cloudflare": ["text", "pooling", "x"],
    "llamacpp": ["model", "content", "input", "x"],
    "nvidia": ["model", "input", "input_type", "truncate", "dimensions", "encoding_format", "user"],
    "vllm": ["model", "input", "truncate_prompt_tokens", "dimensions", "encoding_format", "x"],
}
SCALARS = st.none() | st.booleans() | st.integers(-3, 9) | st.sampled_from(["a", "", "END", "query", "float"])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["parts", "text", "role"]), inner, max_size=2)
    ),
)


@pytest.mark.parametrize(("service", "path", "right"), RIGHT)
def test_nothing_that_is_sent_breaks_a_replica(service: str, path: str, right: dict[str, Any]) -> None:
    """Each body is answered or refused; 500 would be a mistake of the replica's."""
    with replica(service=service, limits=False) as server:
        assert post(server, path, json.dumps(right).encode(), {**GOOGLE, **KEY}).status == 200
        keys = KEYS_OF[service]

        @settings(max_examples=50, deadline=None)
        @given(st.dictionaries(st.sampled_from(keys), ANYTHING, min_size=1, max_size=2))
        def every(changed: dict[str, Any]) -> None:
            inner = {"requests": [right["requests"][0] | changed]} if "requests" in right else right | changed
            answered = post(server, path, json.dumps(inner).encode(), {**GOOGLE, **KEY})
            assert answered.status in {200, 400, 404, 413, 422}, answered.text
            assert (server.requests[-1].refusal is None) == (answered.status == 200)

        every()


# --- limits and faults ----------------------------------------------------------------------------


def test_limits_and_signs_are_written_as_the_protocol_writes_them() -> None:
    clock = Clock(1_795_180_051.0)
    data = json.dumps({"requests": [ONE]}).encode()
    openai = {"model": "gemini-embedding-001", "input": "a"}
    limits = [Limit(metric="requests", per="minute", cap=1, scope="model")]
    with replica(service="gemini", limits=limits, clock=clock) as server:
        assert post(server, GEMINI, data, GOOGLE).status == 200
        native = post(server, GEMINI, data, GOOGLE)
        same_pool = send(server, "POST", "/embeddings", openai, "k")
        assert (native.status, same_pool.status) == (429, 429)
        assert native.json["error"]["status"] == same_pool.json[0]["error"]["status"] == "RESOURCE_EXHAUSTED"
        assert server.counts.refused == 2
        server.faults = [{"on": "embeddings", "kind": "overload"}, {"on": "embeddings", "status": 503}]
        clock.now += 61
        assert post(server, GEMINI, data, GOOGLE).json["error"]["status"] == "UNAVAILABLE"
        clock.now += 61
        failed = post(server, GEMINI, data, GOOGLE)
        assert (failed.status, failed.json["error"]["code"]) == (503, 503)


def test_each_text_is_a_request_at_gemini() -> None:
    clock = Clock(1_795_180_051.0)
    limits = [
        Limit(metric="requests", per="minute", cap=100, scope="model"),
        Limit(metric="concurrency", cap=1, scope="model"),
    ]
    openai = {"model": "gemini-embedding-001", "input": ["a"] * 30}
    with replica(service="gemini", limits=limits, clock=clock) as server:
        assert post(server, GEMINI, json.dumps({"requests": [ONE] * 70}).encode(), GOOGLE).status == 200
        assert send(server, "POST", "/embeddings", openai, "k").status == 200
        assert send(server, "POST", "/embeddings", openai | {"input": "a"}, "k").status == 429
        assert server.counts.of("requests/minute").used == 100
        assert (server.counts.admitted, server.counts.refused) == (2, 1)
        clock.now += 61
        assert post(server, GEMINI, json.dumps({"requests": [ONE] * 100}).encode(), GOOGLE).status == 200
    limits = [Limit(metric="requests", per="minute", cap=10, scope="model")]
    with replica(service="gemini", limits=limits, clock=clock) as server:  # more than there ever is
        assert post(server, GEMINI, json.dumps({"requests": [ONE] * 11}).encode(), GOOGLE).status == 429


@pytest.mark.parametrize("fault", ["missing", "more", "null", "size", "sizes", "nan"])
@pytest.mark.parametrize("sent", SENT[2:10], ids=lambda sent: sent.service)
def test_every_protocol_can_be_wrong(fault: str, sent: Sent) -> None:
    with replica(service=sent.service, limits=False, faults={"vectors": fault}) as server:
        vectors = sent.read(post(server, sent.path, sent.body, sent.headers))
    one, two = sent.vectors()
    if fault == "nan":
        assert vectors[0] == one
        assert math.isnan(vectors[1][0])
        assert vectors[1][1:] == two[1:]
        return
    wanted = {
        "missing": [two],
        "more": [one, two, two],
        "null": [one, None],
        "size": [one, two[:-1]],
        "sizes": [one[:-1], two[:-1]],
    }
    assert vectors == wanted[fault]


def test_a_fault_of_numbers_has_no_place_where_nothing_is_numbered() -> None:
    with (
        pytest.raises(ValueError, match="number no vectors"),
        replica(service="ollama", faults={"vectors": "shuffled"}) as server,
    ):
        assert send(server, "POST", "//api/embed", {"model": "m", "input": BOTH}).status == 500
