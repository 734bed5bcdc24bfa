"""Prints how well questions find their passages: `python -m benchmarks.retrieval --help`."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence

import numpy as np

from benchmarks.retrieval import scoring
from benchmarks.retrieval.questions import KINDS, Question, faults, identifiers, passages, questions
from freeproviders.embeddings.hybrid import WEIGHT

HEAD = "| way | all | most | some | none | identifiers |\n|---|---|---|---|---|---|"


def places(scores: np.ndarray, asked: Sequence[Question]) -> np.ndarray:
    """Return the rank of each question's passage, from 1; equals share the mean of their ranks."""
    right = np.array([question.passage for question in asked])
    own = scores[np.arange(len(asked)), right][:, np.newaxis]
    return 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2


def figures(rank: np.ndarray) -> str:
    """Recall@5 and recall@1 in percent, and the mean reciprocal rank."""
    return f"{100 * (rank <= 5).mean():.1f} / {100 * (rank <= 1).mean():.0f} / {(1 / rank).mean():.2f}"


def line(name: str, rank: np.ndarray, asked: Sequence[Question]) -> str:
    """A row of the table: all questions but identifiers, each kind of them, identifiers."""
    kinds = np.array([question.kind for question in asked])
    cells = [rank[kinds != "identifier"], *(rank[kinds == kind] for kind in (*KINDS, "identifier"))]
    return " | ".join([f"| {name}", *map(figures, cells)]) + " |"


def tuned(texts: list[str], asked: list[Question]) -> list[str]:
    """Choose each fusion's numbers by one half of the questions, and return rows for the other."""
    words_of_asked = [question.text for question in asked]
    vectors = scoring.floor(texts, words_of_asked)
    words = scoring.lexical(texts, words_of_asked)
    tune = np.array([question.tune for question in asked])
    kept = [question for question in asked if not question.tune]
    weights = (0.1, 0.2, 0.25, 0.3, 0.4, 0.6, 1)
    ways = {
        "vectors": {"": vectors},
        "BM25": {"": words},
        "ranks": {
            f"k {k}, weight {weight}": scoring.fused_ranks(vectors, words, k=k, weight=weight)
            for k, weight in itertools.product((1, 10, 60), weights)
        },
        "relative scores": {
            f"weight {weight}": scoring.fused_relative(vectors, words, weight=weight) for weight in weights
        },
        "coverage": {
            f"weight {weight}": scoring.fused_scores(vectors, words, weight=weight) for weight in weights
        },
    }
    rows = []
    for name, tried in ways.items():
        rank = {how: places(scores, asked) for how, scores in tried.items()}
        best = max(rank, key=lambda how: (1 / rank[how][tune]).mean())
        rows.append(line(f"{name} {best}".strip(), rank[best][~tune], kept))
    return rows


def main() -> None:
    say = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    say.add_argument("--tune", action="store_true", help="choose numbers by one half, judge by the other")
    say.add_argument("--floor", action="store_true", help="what was tried to better the vectors")
    say.add_argument("--model", metavar="FILE", help="judge an embedding model by its GGUF file, and no more")
    options = say.parse_args()
    if found := faults():
        raise SystemExit("\n".join(["The questions are not what they claim to be:", *found]))
    asked = questions() + identifiers()
    for titled in (True, False):
        texts = passages(titled=titled)
        print(f"\n{len(texts)} passages {'with' if titled else 'without'} titles", end=", ")
        print(f"{len(questions())} questions, {len(identifiers())} identifiers:")
        print(f"recall@5 / recall@1 / MRR\n\n{HEAD}")
        every = [question.text for question in asked]
        if options.tune:
            print("\n".join(tuned(texts, asked)))
            continue
        if options.floor:
            for name, way in scoring.variants().items():
                print(line(name, places(way(texts, every), asked), asked))
            continue
        words = scoring.lexical(texts, every)
        if options.model:
            vectors = scoring.by_model(options.model, texts, every)
            for weight in (0, WEIGHT, 0.5, 1):
                name = f"the model, and coverage (weight {weight})" if weight else "the model"
                fused = scoring.fused_scores(vectors, words, weight=weight)
                print(line(name, places(fused, asked), asked))
            continue
        vectors = scoring.floor(texts, every)
        ways = {
            "vectors": vectors,
            "BM25": words,
            "fused by ranks (k 60)": scoring.fused_ranks(vectors, words, k=60, weight=1),
            "fused by ranks (k 10)": scoring.fused_ranks(vectors, words, k=10, weight=1),
            "fused by relative scores": scoring.fused_relative(vectors, words, weight=1),
            f"fused by coverage (weight {WEIGHT})": scoring.fused_scores(vectors, words, weight=WEIGHT),
        }
        for name, scores in ways.items():
            print(line(name, places(scores, asked), asked))


if __name__ == "__main__":
    main()
