"""The client of each service and its replica, which were written apart, from what is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from freeproviders.catalogue import catalogue
from freeproviders.catalogue.rows import EmbeddingRow
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.testing import RandomFaults, checksum_vector, replica

ROWS = [(row.id, next(iter(row.embeddings)), None) for row in catalogue() if row.embeddings and not row.gone]
SHORTER = [("cohere", "embed-v4.0", 256), ("gemini", "gemini-embedding-001", 768)]
UNKNOWN = [("llamacpp", "some-model", None), ("jan", "some-model", None)]
TEXTS = [f"text {n} of many" for n in range(34)]


def is_like(vector: Sequence[float], wanted: Sequence[float]) -> bool:
    """Whether vectors are the same but for what bringing them to length 1 rounds."""
    return all(abs(one - other) < 1e-6 for one, other in zip(vector, wanted, strict=True))


@pytest.mark.parametrize(("name", "model", "size"), [*ROWS, *SHORTER, *UNKNOWN])
def test_vectors_are_their_texts_own(name: str, model: str, size: int | None) -> None:
    """For both roles, whatever the service calls them and whatever is put before the texts."""
    row = catalogue().service(name)
    known = row.embeddings.get(model) or EmbeddingRow(family=model, size=256)
    with replica(service=name, limits=False) as server:
        embedder = OpenAICompatibleEmbedder(
            model, service=name, base_url=server.base_url, api_key="k", size=size, batch_size=32, retry=0
        )
        for role, prefix in (("document", known.document), ("query", known.query)):
            made = embedder.embed_sync(TEXTS, role=role)
            purpose = known.input_types.get(role, "")
            assert len(made.vectors) == len(TEXTS)
            for text, vector in zip(TEXTS, made.vectors, strict=True):
                assert is_like(vector, checksum_vector(prefix + text, size or known.size, model, purpose))
        asked = [request for request in server.requests if request.texts]
    assert {request.status for request in asked} == {200}
    assert {len(request.texts) for request in asked} <= {32, 2, 1}


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
