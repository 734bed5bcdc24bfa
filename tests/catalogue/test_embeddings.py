"""The embedding models of the rows: sourced, and comparable where their family says so."""

from __future__ import annotations

import pytest

from freeproviders.catalogue import Service, catalogue
from freeproviders.catalogue.families import embedding_of, families, family_of
from freeproviders.catalogue.reading import built, examined
from freeproviders.errors import CatalogueError

WITH = [service for service in catalogue() if service.embeddings]
each = pytest.mark.parametrize("service", WITH, ids=lambda service: service.id)


@each
def test_a_model_has_a_date_a_source_a_confidence_and_a_cost(service: Service) -> None:
    for name, row in service.embeddings.items():
        assert row.checked, name
        assert row.source, name
        assert row.confidence, name
        assert row.cost, name
        assert row.size not in row.sizes, name
        assert "" not in (row.family, name)


def test_vectors_of_one_family_have_one_size() -> None:
    sizes: dict[str, set[int]] = {}
    for service in WITH:
        for row in service.embeddings.values():
            sizes.setdefault(row.family, set()).add(row.size)
    assert len(sizes) >= 10
    assert all(len(found) == 1 for found in sizes.values()), sizes


def test_a_family_is_told_apart_where_services_make_other_vectors_of_one_model() -> None:
    """Cloudflare takes the mean of all tokens where the model's authors take the first one."""
    assert catalogue().service("cloudflare").embeddings["@cf/baai/bge-large-en-v1.5"].family.endswith("-mean")


def test_texts_of_one_family_are_written_in_one_way_wherever_the_service_does_not_do_it() -> None:
    """Else a query at one service would not find what another one has indexed."""
    found: dict[str, set[tuple[str, str]]] = {}
    for service in WITH:
        for row in service.embeddings.values():
            found.setdefault(row.family, set()).add((row.query, row.document))
    assert all(len(prefixes) == 1 for prefixes in found.values()), found


def test_families_are_shared_by_hosted_services_and_local_servers() -> None:
    local = {row.family for one in WITH if one.local for row in one.embeddings.values()}
    hosted = {row.family for one in WITH if not one.local for row in one.embeddings.values()}
    assert {"bge-m3", "qwen3-embedding-0.6b", "embeddinggemma-300m", "all-minilm-l6-v2"} <= local & hosted
    assert {"nomic-embed-text-v1.5", "mxbai-embed-large-v1"} <= local


@pytest.mark.parametrize("name", sorted(families()))
def test_a_family_has_a_date_a_source_and_a_confidence(name: str) -> None:
    row = families()[name]
    assert row.checked
    assert row.source
    assert row.confidence
    assert row.size > 0
    assert not any(prefix.startswith(" ") for prefix in (row.query, row.document))


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("nomic-embed-text", "nomic-embed-text-v1.5"),
        ("nomic-embed-text:latest", "nomic-embed-text-v1.5"),
        ("nomic-embed-text:v1.5", "nomic-embed-text-v1.5"),
        ("text-embedding-nomic-embed-text-v1.5", "nomic-embed-text-v1.5"),
        ("/models/nomic-embed-text-v1.5.Q8_0.gguf", "nomic-embed-text-v1.5"),
        ("nomic-embed-text-v1", None),
        ("nomic-embed-text-v2-moe:latest", "nomic-embed-text-v2-moe"),
        ("ggml-org/embeddinggemma-300M-GGUF", "embeddinggemma-300m"),
        ("Qwen/Qwen3-Embedding-0.6B", "qwen3-embedding-0.6b"),
        ("qwen3-embedding:0.6b-q8_0", "qwen3-embedding-0.6b"),
        ("qwen3-embedding", "qwen3-embedding-8b"),
        ("Qwen3-Embedding-4B-Q4_K_M.gguf", "qwen3-embedding-4b"),
        ("all-minilm", "all-minilm-l6-v2"),
        ("all-minilm:33m", "all-minilm-l12-v2"),
        ("multilingual-e5-large-instruct-q8_0", "multilingual-e5-large-instruct"),
        ("multilingual-e5-large", "multilingual-e5-large"),
        ("multilingual-e5-large-q8_0.gguf", "multilingual-e5-large"),
        ("bge-m3:567m", "bge-m3"),
        ("bge-large", "bge-large-en-v1.5"),
        ("my-bge-m3", None),
        ("gpt-oss", None),
        ("", None),
    ],
)
def test_a_server_on_this_machine_has_a_family_under_names_of_its_own(model: str, family: str | None) -> None:
    assert family_of(model) == family


def test_no_name_is_of_two_families() -> None:
    names = [name for row in families().values() for name in row.names if "*" not in name]
    assert len(names) == len(set(names))
    for family, row in families().items():
        assert all(family_of(name.replace("*", "")) == family for name in row.names)


def test_what_no_line_names_is_known_by_its_family_on_this_machine_only() -> None:
    ollama, cloudflare = catalogue().service("ollama"), catalogue().service("cloudflare")
    tagged = embedding_of(ollama, "nomic-embed-text:latest")
    assert tagged is ollama.embeddings["nomic-embed-text"]
    other = embedding_of(ollama, "nomic-embed-text-v2-moe")
    assert other is not None
    assert (other.query, other.dialect, other.cost) == ("search_query: ", "ollama", "never")
    assert embedding_of(cloudflare, "bge-m3") is None
    bare = embedding_of(None, "bge-m3")
    assert bare is not None
    assert (bare.family, bare.dialect) == ("bge-m3", "openai")
    assert embedding_of(None, "mine") is None


ROW = {"name": "Mine", "base_url": "http://127.0.0.1:1/v1", "checked": None, "source": "me"}


def test_a_line_of_ones_own_says_only_what_is_other_than_the_family() -> None:
    lines = {"m": {"family": "bge-m3", "window": 512}, "n": {"family": "mine", "size": 3, "dialect": "vllm"}}
    row = {**ROW, "checked": families()["bge-m3"].checked, "embedding_dialect": "ollama", "embeddings": lines}
    service = built(row, "mine", "mine.toml")
    assert (service.embeddings["m"].size, service.embeddings["m"].window) == (1024, 512)
    assert (service.embeddings["m"].dialect, service.embeddings["n"].dialect) == ("ollama", "vllm")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"family": "mine"}, "size is missing"),
        ({"family": 7, "size": 3}, "family"),
        ({"family": "mine", "size": 3, "dialect": "klingon"}, "klingon"),
        ({"size": 3}, "family is missing"),
        (7, "embeddings"),
    ],
)
def test_a_wrong_line_is_explained(line: object, words: str) -> None:
    row = {**ROW, "checked": families()["bge-m3"].checked, "embeddings": {"m": line}}
    with pytest.raises(CatalogueError, match=words):
        built(row, "mine", "mine.toml")


def test_a_file_of_ones_own_may_leave_to_the_family_what_is_its() -> None:
    row, mistakes = examined('[embeddings]\n"m" = { family = "bge-m3" }\n', "mine.toml")
    assert (row, mistakes) == ({"embeddings": {"m": {"family": "bge-m3"}}}, [])
    _, mistakes = examined('[embeddings]\n"m" = { family = "mine" }\n', "mine.toml")
    assert ["size is missing" in str(mistake) for mistake in mistakes] == [True]
