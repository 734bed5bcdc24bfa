"""Offline embeddings: loaded without a download, near for what is near."""

import math
import pickle

import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from llama_index_freeproviders.embeddings import WordLlamaEmbedding

DIMENSIONS = 256

DOCS = [
    "The cat sat on the mat and purred.",
    "Interest rates were raised by the central bank.",
    "A recipe for bread: flour, water, salt and yeast.",
    "The spacecraft entered orbit around Mars.",
    "Doctors recommend regular exercise for the heart.",
]
QUESTIONS = [
    ("Which animal was on the rug?", 0),
    ("What happened to the cost of borrowing money?", 1),
    ("How do I bake a loaf?", 2),
    ("Which planet did the probe reach?", 3),
    ("What is good for cardiac health?", 4),
]


def test_questions_without_a_common_word_find_their_document():
    index = VectorStoreIndex.from_documents(
        [Document(text=text) for text in DOCS], embed_model=WordLlamaEmbedding()
    )
    retriever = index.as_retriever(similarity_top_k=1)
    hits = sum(retriever.retrieve(question)[0].text == DOCS[right] for question, right in QUESTIONS)
    assert hits >= 4


async def test_all_ways_give_the_same_unit_vectors():
    model = WordLlamaEmbedding()
    one = model.get_text_embedding("A cat.")
    assert len(one) == DIMENSIONS
    assert all(type(number) is float for number in one)
    assert math.isclose(sum(number * number for number in one), 1, abs_tol=1e-5)
    for other in (
        model.get_query_embedding("A cat."),
        await model.aget_query_embedding("A cat."),
        await model.aget_text_embedding("A cat."),
        model.get_text_embedding_batch(["x", "A cat."])[1],
        (await model.aget_text_embedding_batch(["x", "A cat."]))[1],
    ):
        assert other == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("text", ["", " ", "\n", "🙂", "\u2028"])
def test_a_text_without_words_is_a_number_nevertheless(text):
    vector = WordLlamaEmbedding().get_text_embedding(text)
    assert all(math.isfinite(number) for number in vector)
    assert math.isclose(sum(number * number for number in vector), 1, abs_tol=1e-5)


def test_no_texts_no_vectors():
    assert WordLlamaEmbedding().get_text_embedding_batch([]) == []


def test_it_is_saved_pickled_and_told_about():
    counter = TokenCountingHandler()
    model = WordLlamaEmbedding(callback_manager=CallbackManager([counter]))
    again = pickle.loads(pickle.dumps(model))
    assert again.get_text_embedding("a") == model.get_text_embedding("a")
    assert WordLlamaEmbedding.from_dict(model.to_dict()).model_name == model.model_name
    assert counter.total_embedding_token_count > 0
    Settings.embed_model = model
    assert Settings.embed_model is model


def test_without_the_extra_the_error_says_what_to_do(monkeypatch):
    import sys

    from freeproviders.errors import MissingDependencyError

    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(MissingDependencyError, match=r"\.\[rag\]"):
        WordLlamaEmbedding()
