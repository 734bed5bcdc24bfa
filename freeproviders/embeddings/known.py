"""Embedding models by name: what each wants before its texts, and some that a user may fetch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from freeproviders.wire.embeddings.request import Role

_SEARCH: Final = "Represent this sentence for searching relevant passages: "
_SEARCH_CHINESE: Final = "为这个句子生成表示以用于检索相关文章："  # noqa: RUF001 - the model's own words
_TASK: Final = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"

# By the beginnings of names, as the cards of the models say. Models that want nothing stand here
# where another name would else be taken for theirs.
_PREFIXES: Final[Mapping[str, tuple[str, str]]] = {
    "nomic-embed-text": ("search_query: ", "search_document: "),
    "embeddinggemma": ("task: search result | query: ", "title: none | text: "),
    "qwen3-embedding": (_TASK, ""),
    "e5-": ("query: ", "passage: "),
    "multilingual-e5-": ("query: ", "passage: "),
    "multilingual-e5-large-instruct": (_TASK + " ", ""),
    "bge-small-en": (_SEARCH, ""),
    "bge-base-en": (_SEARCH, ""),
    "bge-large-en": (_SEARCH, ""),
    "bge-small-zh": (_SEARCH_CHINESE, ""),
    "bge-base-zh": (_SEARCH_CHINESE, ""),
    "bge-large-zh": (_SEARCH_CHINESE, ""),
    "mxbai-embed-large": (_SEARCH, ""),
    "snowflake-arctic-embed": (_SEARCH, ""),
    "snowflake-arctic-embed-m-v2": ("query: ", ""),
    "snowflake-arctic-embed-l-v2": ("query: ", ""),
}
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitting:
    """A model of which GGUF files are published, for who has none.

    `size` counts the numbers of a vector, `window` the tokens of a text, `megabytes` are those of a
    file with 8 bits a weight. `where` is a repository of the Hugging Face hub.
    """

    name: str
    licence: str
    languages: str
    size: int
    window: int
    megabytes: int
    where: str

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.licence}, {self.languages}, {self.size} numbers, texts of up to "
            f"{self.window} tokens, about {self.megabytes} MB: {self.where})"
        )


FITTING: Final = (
    Fitting(
        name="nomic-embed-text-v1.5",
        licence="Apache-2.0",
        languages="English",
        size=768,
        window=2048,
        megabytes=146,
        where="nomic-ai/nomic-embed-text-v1.5-GGUF",
    ),
    Fitting(
        name="Qwen3-Embedding-0.6B",
        licence="Apache-2.0",
        languages="100 languages",
        size=1024,
        window=32768,
        megabytes=639,
        where="Qwen/Qwen3-Embedding-0.6B-GGUF",
    ),
    Fitting(
        name="embeddinggemma-300m",
        licence="Gemma's terms",
        languages="100 languages",
        size=768,
        window=2048,
        megabytes=329,
        where="ggml-org/embeddinggemma-300M-GGUF",
    ),
)


def plain_name(name: str) -> str:
    """Write a model's name as families do: lower case, with a hyphen for all that is no letter or digit."""
    return _NOT_IN_NAMES.sub("-", name.lower()).strip("-")


def prefixes_of(*names: str) -> dict[Role, str]:
    """Return what a model wants before texts of each role, by the first of its names that is known."""
    for name in map(plain_name, names):
        if found := max((known for known in _PREFIXES if name.startswith(known)), key=len, default=""):
            query, document = _PREFIXES[found]
            return {"query": query, "document": document}
    return {"query": "", "document": ""}
