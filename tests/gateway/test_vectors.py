"""Vectors through the gateway, judged by OpenAI's client."""

from __future__ import annotations

from array import array
from base64 import b64decode
from typing import Any

import openai
import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.embeddings import OfflineEmbedder, OpenAICompatibleEmbedder
from freeproviders.gateway import Gateway, serve
from freeproviders.testing import Replica, replica
from tests.gateway.conftest import Through, client

MODEL = "my-vectors"


@pytest.fixture
def vectors(through: Through) -> tuple[Replica, Gateway]:
    """A gateway to a service of vectors."""
    with replica(OpenAICompatible) as server:
        embedder = OpenAICompatibleEmbedder(MODEL, base_url=server.base_url, retry=0)
        _, gateway = through(FlowGpt, embedder=embedder)
        yield server, gateway


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_both_forms(vectors: tuple[Replica, Gateway], form: Any) -> None:
    """OpenAI's client asks for base64 where nothing is said, and reads it itself."""
    texts = ["A cat.", "Two dogs."]
    more = {} if form is None else {"encoding_format": form}
    answer = client(vectors[1]).embeddings.create(model=MODEL, input=texts, **more)
    assert [row.index for row in answer.data] == [0, 1]
    assert answer.model == MODEL
    assert answer.usage.prompt_tokens > 0
    own = OpenAICompatibleEmbedder(MODEL, base_url=vectors[0].base_url).embed_sync(texts)
    for n, row in enumerate(answer.data):
        numbers = row.embedding
        if isinstance(numbers, str):  # asked for by name, it is left as it is
            numbers = list(array("f", b64decode(numbers)))
        assert numbers == pytest.approx(list(own.vectors[n]), abs=1e-7)
    extra = (answer.model_extra or {})["freeproviders"]
    assert extra["family"].endswith(";unit;")
    assert vectors[0].requests[0].texts == texts


def test_one_text_and_its_names(vectors: tuple[Replica, Gateway]) -> None:
    asking = client(vectors[1])
    for name in (MODEL, f"openai-compatible/{MODEL}"):
        answer = asking.embeddings.create(model=name, input="A cat.", dimensions=256, user="x")
        assert len(answer.data) == 1
    assert MODEL in [model.id for model in asking.models.list()]
    facts = (asking.models.retrieve(MODEL).model_extra or {})["freeproviders"]
    assert facts == {"kind": "embedding", "dimensions": 256}


@pytest.mark.parametrize(
    ("wrong", "status", "says"),
    [
        ({"model": "auto"}, 404, "Vectors belong to the model that made them"),
        ({"model": "text-embedding-3-small"}, 404, f"Use {MODEL}"),
        ({"input": []}, 400, "at least one"),
        ({"input": ["a", " "]}, 400, r"input\[1\] is blank"),
        ({"input": [[1, 2]]}, 400, "input must be text"),
        ({"input": ["x"] * 2049}, 400, "2048"),
        ({"dimensions": 0}, 400, "dimensions"),
        ({"dimensions": 7}, 400, "--dimensions"),
        ({"encoding_format": "hex"}, 400, "encoding_format"),
        ({"extra_body": {"input_type": "poem"}}, 400, "input_type"),
    ],
)
def test_refused(vectors: tuple[Replica, Gateway], wrong: dict[str, Any], status: int, says: str) -> None:
    asking = client(vectors[1])
    asking.embeddings.create(model=MODEL, input="once")  # its size is known from then on
    with pytest.raises(openai.APIStatusError, match=says) as caught:
        asking.embeddings.create(**{"model": MODEL, "input": "x", **wrong})
    assert caught.value.status_code == status
    assert len(vectors[0].requests) == 1


def test_errors_of_the_service(vectors: tuple[Replica, Gateway]) -> None:
    server, gateway = vectors
    server.faults = {"on": "embeddings", "status": 429, "retry_after": 200}
    with pytest.raises(openai.RateLimitError) as caught:
        client(gateway).embeddings.create(model=MODEL, input="x")
    assert caught.value.response.headers["retry-after"] == "200"
    assert caught.value.response.headers["x-should-retry"] == "false"
    server.faults = {"vectors": "nan"}
    with pytest.raises(openai.APIStatusError, match=r"input\[0\]") as bad:
        client(gateway).embeddings.create(model=MODEL, input=["a", "b"])
    assert bad.value.status_code == 400


def test_nobody_makes_vectors(flow: tuple[Replica, Gateway]) -> None:
    with pytest.raises(openai.NotFoundError, match="--embeddings offline"):
        client(flow[1]).embeddings.create(model="any", input="x")


def test_the_offline_floor_is_there_by_itself() -> None:
    with replica(FlowGpt) as server, serve(FlowGpt(base_url=server.base_url)) as gateway:
        asking = client(gateway)
        name = next(model.id for model in asking.models.list() if model.owned_by == "offline")
        numbers = asking.embeddings.create(model=name, input="A cat.").data[0].embedding
        own = OfflineEmbedder().embed_sync("A cat.").vectors[0]
        assert numbers == pytest.approx(list(own), abs=1e-7)
