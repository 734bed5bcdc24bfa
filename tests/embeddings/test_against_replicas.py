"""The client of each service and its replica, which were written apart, from what is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from freeproviders.catalogue import Service, catalogue
from freeproviders.catalogue.rows import EmbeddingRow
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.testing import RandomFaults, checksum_vector, replica

TYPES: Mapping[str, dict[str, str]] = {
    "cohere": {"document": "search_document", "query": "search_query"},
    "gemini": {"document": "RETRIEVAL_DOCUMENT", "query": "RETRIEVAL_QUERY"},
    "nvidia": {"document": "passage", "query": "query"},
}
ASKED = [
    ("cohere", "embed-v4.0", 256),
    ("cohere", "embed-english-v3.0", None),
    ("gemini", "gemini-embedding-001", None),
    ("gemini", "gemini-embedding-001", 768),
    ("huggingface", "BAAI/bge-small-en-v1.5", None),
    ("llamacpp", "some-model", None),
    ("mistral", "mistral-embed", None),
    ("nvidia", "nvidia/nv-embedqa-e5-v5", None),
    ("ollama", "nomic-embed-text", None),
    ("vllm", "some-model", None),
]
TEXTS = [f"text {n} of many" for n in range(34)]


def row_of(name: str, model: str, dialect: str) -> Service:
    """The service's row, with the model and the dialect."""
    row = catalogue().service(name)
    known = row.embeddings.get(model) or EmbeddingRow(family=model, size=256)
    changed = replace(
        known, dialect=dialect, input_types=TYPES.get(dialect, {}), query="", document="", batch=32
    )
    return replace(row, embeddings={model: changed})


def is_like(vector: Sequence[float], wanted: Sequence[float]) -> bool:
    """Whether vectors are the same but for what bringing them to length 1 rounds."""
    return all(abs(one - other) < 1e-6 for one, other in zip(vector, wanted, strict=True))


@pytest.mark.parametrize(("name", "model", "size"), ASKED)
def test_vectors_are_their_texts_own(name: str, model: str, size: int | None) -> None:
    """For both roles, whatever the service calls them."""
    row = row_of(name, model, name)
    with replica(service=row, limits=False) as server:
        embedder = OpenAICompatibleEmbedder(
            model, service=row, base_url=server.base_url, api_key="k", size=size, retry=0
        )
        for role in ("document", "query"):
            made = embedder.embed_sync(TEXTS, role=role)
            purpose = TYPES.get(name, {}).get(role, "")
            length = size or row.embeddings[model].size
            assert len(made.vectors) == len(TEXTS)
            for text, vector in zip(TEXTS, made.vectors, strict=True):
                assert is_like(vector, checksum_vector(text, length, model, purpose))
        assert {request.status for request in server.requests if request.texts} == {200}
        assert max(len(request.texts) for request in server.requests) == 32


def test_faults_by_chance_lose_and_swap_nothing() -> None:
    faults = RandomFaults(
        [
            {"status": 429, "retry_after": 0},
            {"status": 503},
            {"drop": True},
            {"cut": 500},
            {"error": "overloaded"},
            {"vectors": "shuffled"},
        ],
        share=0.4,
        seed=12,
        on="embeddings",
    )
    with replica("openai-compatible", faults=faults, vector_size=16) as server:
        embedder = OpenAICompatibleEmbedder("m", base_url=server.base_url, api_key="k", batch_size=4, retry=9)
        made = embedder.embed_sync(TEXTS)
        sent = Counter(text for request in server.requests for text in request.texts)
    for text, vector in zip(TEXTS, made.vectors, strict=True):
        assert is_like(vector, checksum_vector(text, 16, "m"))
    assert set(sent) == set(TEXTS)
    assert sent.total() > len(TEXTS)
