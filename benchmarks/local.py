"""What is done on this machine without a service: tokens estimated, passages found, vectors kept.

`python -m benchmarks.local` writes the CPU time of each, and how far estimates are from what tokenizers
have counted, to docs/measured/local.json, from which pages have their numbers. What the first use of
each takes, which loads its data, is a row of its own.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measured import FOLDER, conditions, write
from benchmarks.retrieval.questions import FILE
from freeproviders.embeddings import HybridIndex, OfflineEmbedder, VectorCache
from freeproviders.embeddings.family import Family
from freeproviders.tokens.likely import likely_tokens
from freeproviders.tokens.upper import prepare, upper_tokens
from freeproviders.wire.embeddings.vectors import Vectors
from tests.core.test_tokens import COUNTED, MODEL_OF
from tests.core.texts import TEXTS

MODEL = "qwen3-32b"
ROUNDS = 5
PASSAGES = [json.loads(line)["text"] for line in FILE.read_text(encoding="utf-8").splitlines()]
WORDS = " ".join(PASSAGES)
QUESTION = "When does the boat go over to the opposite shore?"


def spent(work: Callable[[], Any], times: int = 1) -> float:
    """Milliseconds of CPU time, of all threads, for one call: the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - begun) * 1e3 / times)
    return statistics.median(rounds)


def once(work: Callable[[], Any]) -> float:
    """Milliseconds of CPU time of a first call."""
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1e3


def words(count: int, start: int = 0) -> str:
    """A passage of so many words, another one for each start."""
    found = WORDS.split()
    return " ".join(found[(start * 7 + place) % len(found)] for place in range(count))


def tokens() -> dict[str, float]:
    one, hundred = WORDS[:1000], (WORDS * 10)[:100_000]
    likely_tokens("a", MODEL)
    return {
        "likely, 1 kB": spent(lambda: likely_tokens(one, MODEL), 1000),
        "likely, 100 kB": spent(lambda: likely_tokens(hundred, MODEL), 20),
        "upper, data loaded": once(prepare),
        "upper, 1 kB": spent(lambda: upper_tokens(one, MODEL), 200),
        "upper, 100 kB": spent(lambda: upper_tokens(hundred, MODEL), 5),
    }


def deviations() -> dict[str, float]:
    """How far estimates are from recorded counts, in percent, over all families and texts."""
    ours, fours = [], []
    for family, counts in COUNTED.items():
        for name, true in counts.items():
            ours.append(abs(likely_tokens(TEXTS[name], MODEL_OF[family]) / true - 1))
            fours.append(abs(len(TEXTS[name]) / 4 / true - 1))
    return {"likely": statistics.mean(ours) * 100, "four characters a token": statistics.mean(fours) * 100}


def offline() -> dict[str, float]:
    embedder = OfflineEmbedder()
    found = {"vectors, data loaded": once(lambda: embedder.embed_sync(["a"]))}
    pages = [words(220, page) for page in range(2000)]
    found["a question's vector"] = spent(lambda: embedder.embed_sync([QUESTION]), 100)
    found["2,000 pages of 220 words"] = once(lambda: embedder.embed_sync(pages))
    found["an index of the passages, for each"] = spent(lambda: HybridIndex(PASSAGES)) / len(PASSAGES)
    index = HybridIndex(PASSAGES)
    found["a search in them"] = spent(lambda: index.search(QUESTION, 5), 50)
    large = HybridIndex([words(100, place) for place in range(50_000)])
    found["a search in 50,000 passages of 100 words"] = spent(lambda: large.search(QUESTION, 5), 5)
    return found


def kept() -> dict[str, float]:
    """10,000 vectors of 768 numbers: how long to find them, and how much larger their file is."""
    texts = [f"text {place}" for place in range(10_000)]
    numbers = np.random.default_rng(1).standard_normal((len(texts), 768), dtype=np.float32)
    family = Family(model="mine", size=768, normalised=False)
    with tempfile.TemporaryDirectory() as folder:
        cache = VectorCache(Path(folder) / "vectors.db")
        for place in range(0, len(texts), 100):
            block = Vectors(array("f", numbers[place : place + 100].tobytes()), 768)
            cache.put(family, "document", texts[place : place + 100], block)
        with contextlib.closing(sqlite3.connect(cache.path)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what was written stands in the file itself
        size = cache.path.stat().st_size
        return {
            "found": spent(lambda: cache.get(family, "document", texts)),
            "larger by percent": (size / numbers.nbytes - 1) * 100,
        }


def main() -> None:
    begun = conditions({"bm25s", "numpy", "wordllama"})
    found = {"tokens": tokens(), "deviations": deviations(), "offline": offline(), "kept": kept()}
    for title, rows in found.items():
        print(title, *(f"  {name:45} {value:.4g}" for name, value in rows.items()), sep="\n")
    write(FOLDER / "local.json", {"conditions": begun, "passages": len(PASSAGES), "found": found})


if __name__ == "__main__":
    main()
