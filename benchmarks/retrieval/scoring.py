"""Ways to score passages for questions; each returns an array of one row for a question."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from freeproviders.embeddings import EmbeddedEmbedder, static
from freeproviders.embeddings.lexical import LexicalIndex


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def pooled(
    texts: list[str], table: np.ndarray, *, weights: np.ndarray | None = None, lower: bool = True
) -> np.ndarray:
    """Return unit vectors of texts: means of a table's rows, weighed by token."""
    prepared = [text.lower() if lower else text for text in texts]
    encodings = static.load().tokenizer.encode_batch(prepared, add_special_tokens=False)
    rows = []
    for encoding in encodings:
        ids = np.array(encoding.ids)
        rows.append(table[ids].mean(axis=0) if weights is None else weights[ids] @ table[ids])
    return unit(np.array(rows))


def floor(texts: list[str], questions: list[str]) -> np.ndarray:
    """The offline floor as it is."""
    embed = static.load().embed
    return embed(questions)[0].numpy() @ embed(texts)[0].numpy().T


def by_model(path: str, texts: list[str], questions: list[str]) -> np.ndarray:
    """A model on this machine, by its GGUF file."""
    embedder = EmbeddedEmbedder(path)
    found = embedder.embed_sync(questions, role="query").vectors
    return found.numpy() @ embedder.embed_sync(texts).vectors.numpy().T


def lexical(texts: list[str], questions: list[str]) -> np.ndarray:
    """BM25, in parts of what a whole match has."""
    index = LexicalIndex(texts)
    return np.array([index.coverage(question) for question in questions])


def ranks(scores: np.ndarray) -> np.ndarray:
    """Return each passage's rank, from 1."""
    return np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1) + 1


def fused_ranks(vectors: np.ndarray, words: np.ndarray, *, k: float, weight: float) -> np.ndarray:
    """Reciprocal rank fusion; a passage without any word of the question gets nothing for words."""
    return 1 / (k + ranks(vectors)) + weight * np.where(words > 0, 1 / (k + ranks(words)), 0)


def fused_scores(vectors: np.ndarray, words: np.ndarray, *, weight: float) -> np.ndarray:
    """The sum that `HybridIndex` makes."""
    return vectors + weight * words


def fused_relative(vectors: np.ndarray, words: np.ndarray, *, weight: float) -> np.ndarray:
    """Both scaled to 0 to 1 over the passages of a question, and added."""

    def relative(scores: np.ndarray) -> np.ndarray:
        low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
        return (scores - low) / np.maximum(high - low, 1e-9)

    return relative(vectors) + weight * relative(words)


def variants() -> dict[str, Callable[[list[str], list[str]], np.ndarray]]:
    """What was tried to better the floor, by name."""
    table = static.load().table
    mean = table.mean(axis=0)
    axes = np.linalg.svd(table - mean, full_matrices=False)[2]
    frequency = 1 / np.arange(1, len(table) + 1)  # of a token, by its place in the vocabulary
    frequency /= frequency.sum()

    def with_table(changed: np.ndarray, **how: object) -> Callable[[list[str], list[str]], np.ndarray]:
        return lambda texts, questions: pooled(questions, changed, **how) @ pooled(texts, changed, **how).T

    def without(count: int) -> np.ndarray:
        return (table - mean) - (table - mean) @ axes[:count].T @ axes[:count]

    def over_corpus(texts: list[str], questions: list[str]) -> np.ndarray:
        there, asked = pooled(texts, table), pooled(questions, table)
        return unit(asked - there.mean(axis=0)) @ unit(there - there.mean(axis=0)).T

    def in_bytes(texts: list[str], questions: list[str]) -> np.ndarray:
        there = pooled(texts, table)
        return pooled(questions, table) @ np.round(there / np.abs(there).max() * 127).T

    def in_bits(texts: list[str], questions: list[str]) -> np.ndarray:
        return pooled(questions, table) @ np.where(pooled(texts, table) > 0, 1, -1).T

    return {
        "as wordllama, cases told apart": with_table(table, lower=False),
        "lower case (the floor)": floor,
        "less the mean of all tokens": with_table(without(0)),
        "less the mean and 1 axis": with_table(without(1)),
        "less the mean and 2 axes": with_table(without(2)),
        "less the mean of the passages": over_corpus,
        "rare tokens weigh more (SIF, 0.001)": with_table(table, weights=1e-3 / (1e-3 + frequency)),
        "rare tokens weigh more (SIF, 0.0001)": with_table(table, weights=1e-4 / (1e-4 + frequency)),
        "the first 128 numbers": with_table(table[:, :128]),
        "the first 64 numbers": with_table(table[:, :64]),
        "documents in bytes": in_bytes,
        "documents in bits": in_bits,
    }
