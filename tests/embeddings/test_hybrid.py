"""Search by meaning and by words at once: what is found, in which order, and how well."""

import dataclasses
import inspect
import pickle
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.retrieval import questions as made_up
from freeproviders.embeddings import Hit, HybridIndex, OfflineEmbedder, static
from freeproviders.embeddings.lexical import LexicalIndex
from freeproviders.errors import FamilyMismatchError, MissingDependencyError, UsageError

TEXTS = [
    "The ferry leaves for the island at nine.",
    "Error E42: the pump is blocked.",
    "Error E43: the valve is open.",
    "Cats sleep for sixteen hours a day.",
]
surrogates = st.text(st.characters(exclude_categories=()), max_size=30)


@pytest.mark.parametrize(
    ("question", "right"),
    [("When does the boat go?", 0), ("what does e42 mean", 1), ("E43", 2), ("How long do pets rest?", 3)],
)
async def test_meaning_and_exact_words_both_find(question, right):
    index = await HybridIndex.amake(TEXTS)
    (best,) = index.search(question, 1)
    assert best.index == right
    assert await index.asearch(question, 1) == [best]


def test_scores_say_what_they_are_made_of():
    hits = HybridIndex(TEXTS, weight=0.5).search("The valve is open", 4)
    assert hits[0].index == 2
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert hit.score == pytest.approx((hit.similarity + 0.5 * hit.coverage) / 1.5, abs=1e-6)
    assert [hit.coverage for hit in hits if hit.index in {0, 3}] == [0, 0]
    alone = HybridIndex(TEXTS, weight=0).search("The valve is open", 1)[0]
    assert alone.score == pytest.approx(alone.similarity)


@settings(max_examples=40, deadline=None)
@given(st.lists(surrogates, max_size=8), surrogates, st.integers(1, 10))
def test_any_texts_and_question(texts, question, k):
    index = HybridIndex(texts)
    hits = index.search(question, k)
    assert len(hits) == min(k, len(texts)) == len({hit.index for hit in hits})
    assert hits == sorted(index.search(question, len(texts) + 1), key=lambda hit: (-hit.score, hit.index))[:k]
    assert all(-1.001 < hit.score < 1.001 and 0 <= hit.coverage <= 1 for hit in hits)


def test_equals_keep_their_order():
    index = HybridIndex(["the same"] * 50)
    assert [hit.index for hit in index.search("the same", 5)] == [0, 1, 2, 3, 4]


def test_a_word_in_every_text_counts_less_than_a_rare_one():
    texts = [f"pump number {name}" for name in ("one", "two", "three", "four", "five")]
    coverage = LexicalIndex(texts).coverage("pump three")
    assert coverage.argmax() == 2
    assert coverage[2] > 3 * coverage[0] > 0


def test_words_of_no_text_lower_what_is_covered():
    index = LexicalIndex(TEXTS)
    assert index.coverage("pump")[1] > 2 * index.coverage("pump zebra giraffe")[1] > 0
    assert index.coverage("zebra giraffe").tolist() == [0] * 4


def test_languages_without_spaces_have_words_too():
    index = LexicalIndex(["猫は十六時間眠る。", "船は九時に出る。"])
    coverage = index.coverage("船はいつ出る")
    assert coverage[1] > coverage[0]


async def test_an_index_is_made_and_pickled_on_the_way():
    index = await HybridIndex.amake(TEXTS)
    again = pickle.loads(pickle.dumps(index))
    assert len(again) == len(TEXTS)
    assert again.search("E42", 2) == index.search("E42", 2)
    assert isinstance(again.search("E42", 1)[0], Hit)


def test_an_index_of_another_family_is_refused(monkeypatch):
    kept = pickle.dumps(HybridIndex(TEXTS))
    monkeypatch.setattr(static, "FAMILY", dataclasses.replace(static.FAMILY, rules="as written"))
    with pytest.raises(FamilyMismatchError, match="pickled index") as caught:
        pickle.loads(kept)
    assert (caught.value.stored, caught.value.own) == (
        "wordllama-l2-supercat-256;256;unit;lower case",
        "wordllama-l2-supercat-256;256;unit;as written",
    )


async def test_a_large_index_is_searched_on_a_thread(monkeypatch):
    monkeypatch.setattr("freeproviders.embeddings.hybrid._AT_ONCE", 1)
    index = await HybridIndex.amake(TEXTS)
    assert (await index.asearch("E42", 1))[0].index == 1


async def test_mistakes_are_found_before_anything_is_done():
    index = await HybridIndex.amake(TEXTS)
    with pytest.raises(UsageError, match="k must be 1 or more"):
        index.search("a", 0)
    with pytest.raises(UsageError, match="k must be 1 or more"):
        await index.asearch("a", -1)
    with pytest.raises(UsageError, match="texts must be a list of texts, not str"):
        HybridIndex("abc")
    with pytest.raises(UsageError, match="weight"):
        HybridIndex(TEXTS, weight=-1)


def test_without_the_extra_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(MissingDependencyError, match=r"\.\[rag\]"):
        HybridIndex(TEXTS)


def test_neither_framework_is_loaded():
    code = """
import sys
import textwrap
from freeproviders.embeddings.hybrid import HybridIndex
HybridIndex(["a b"]).search("b")
assert not {"langchain_core", "llama_index", "wordllama"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("cls", [HybridIndex, OfflineEmbedder])
def test_the_examples_run(cls, capsys):
    block = re.search(r"```python\n(.*?)```", inspect.cleandoc(cls.__doc__), re.DOTALL)[1]
    exec(textwrap.dedent(block), {})  # noqa: S102 - our own documentation
    assert capsys.readouterr().out.splitlines() in (
        ["The ferry leaves at nine.", "Error E42: the pump is blocked."],
        ["<2 vectors of 256>"],
    )


def recall(index, asked, at):
    """The part of questions whose passage is among the first."""
    return np.mean(
        [question.passage in {hit.index for hit in index.search(question.text, at)} for question in asked]
    )


def test_the_made_up_questions_are_what_they_claim_to_be():
    assert made_up.faults() == []
    assert len(made_up.passages()) >= 320
    assert len(made_up.questions()) >= 210


def test_retrieval_is_as_good_as_was_measured():
    """The numbers of docs/embeddings.md, a percent less: whoever betters the floor raises them."""
    fused = HybridIndex(made_up.passages())
    vectors = HybridIndex(made_up.passages(), weight=0)
    asked = made_up.questions()
    kinds = {kind: [question for question in asked if question.kind == kind] for kind in made_up.KINDS}
    assert recall(fused, asked, 5) > 0.83
    assert recall(fused, kinds["most"], 1) > 0.97
    assert recall(fused, kinds["some"], 5) > 0.94
    assert recall(fused, kinds["none"], 5) > 0.56
    assert recall(fused, kinds["some"], 1) > recall(vectors, kinds["some"], 1)
    assert recall(fused, made_up.identifiers(), 1) > 0.98
    assert recall(vectors, made_up.identifiers(), 1) < 0.7
