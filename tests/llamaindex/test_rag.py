"""Retrieval, query engines and chat engines over the FlowGpt replica and offline embeddings."""

import re

import pytest
from llama_index.core import (
    Document,
    Settings,
    StorageContext,
    SummaryIndex,
    VectorStoreIndex,
    load_index_from_storage,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.query_engine import RetrieverQueryEngine, RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.selectors import LLMMultiSelector, LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.retrievers.bm25 import BM25Retriever

from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt
from llama_index_freeproviders.embeddings import WordLlamaEmbedding

FACTS = {
    "capital": "The capital of Freedonia is Fredville, a town on the river Marx.",
    "anthem": "The anthem of Freedonia was written by Rufus Firefly in 1933.",
    "cuisine": "People in Freedonia eat duck soup with black bread every Sunday.",
    "war": "Freedonia fought a short war against its neighbour Sylvania.",
}


def reader(messages):
    """A scripted model that reads: it answers with the sentence that shares most words."""
    text = "\n".join(message["content"] for message in messages)
    if "Choose 1" in text or "Some choices are given below" in text:
        return select(text)
    if "Generate" in text and "search quer" in text:
        return "the town on the river\nthe seat of government"
    if "standalone question" in text or "Standalone question" in text:
        return "What is the capital of Freedonia?"
    question = re.findall(r"(?:Query|Question|query):? ?(.*\?)", text)
    asked = set(re.findall(r"\w+", (question[-1] if question else messages[-1]["content"]).lower()))
    sentences = [fact for fact in FACTS.values() if fact in text]
    if not sentences:
        return "I do not know."
    return max(sentences, key=lambda fact: len(asked & set(re.findall(r"\w+", fact.lower()))))


def select(text):
    """Choose the first summary that has a word in common with the question."""
    choices = re.findall(r"\((\d+)\) (.*)", text)
    asked = set(re.findall(r"\w{4,}", re.findall(r"'(.*)'", text)[-1].lower()))
    number = next(
        (number for number, summary in choices if asked & set(re.findall(r"\w{4,}", summary.lower()))), "1"
    )
    return f'Sure! Here is my choice:\n```json\n[{{"choice": {number}, "reason": "it fits"}}]\n```'


@pytest.fixture
def r():
    with replica("flow-gpt", answer=reader) as running:
        yield running


@pytest.fixture
def llm(r):
    return FlowGpt(base_url=r.base_url, retry=0, context_window=8000)


@pytest.fixture
def index():
    Settings.embed_model = WordLlamaEmbedding()
    return VectorStoreIndex.from_documents(
        [Document(text=text, metadata={"topic": topic}) for topic, text in FACTS.items()]
    )


@pytest.mark.parametrize(
    "mode", ["compact", "refine", "tree_summarize", "simple_summarize", "accumulate", "compact_accumulate"]
)
@pytest.mark.parametrize("use_async", [False, True])
def test_response_modes(index, llm, mode, use_async):
    engine = index.as_query_engine(llm=llm, response_mode=mode, use_async=use_async, similarity_top_k=2)
    assert "Fredville" in str(engine.query("What is the capital of Freedonia?"))


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "accumulate"])
async def test_response_modes_async(index, llm, mode):
    engine = index.as_query_engine(llm=llm, response_mode=mode, use_async=True, similarity_top_k=2)
    assert "Fredville" in str(await engine.aquery("What is the capital of Freedonia?"))


def test_streaming_answers(index, llm):
    response = index.as_query_engine(llm=llm, streaming=True).query("What is the capital of Freedonia?")
    pieces = list(response.response_gen)
    assert "".join(pieces) == FACTS["capital"]
    assert len(pieces) > 2


async def test_streaming_answers_async(index, llm):
    engine = index.as_query_engine(llm=llm, streaming=True, use_async=True)
    response = await engine.aquery("Who wrote the anthem of Freedonia?")
    assert "".join([piece async for piece in response.async_response_gen()]) == FACTS["anthem"]


def test_a_query_over_many_chunks_is_one_call_where_the_window_allows(r, index):
    nodes = [Document(text=f"{number} " + "word " * 300) for number in range(12)]
    wide = SummaryIndex(nodes).as_query_engine(
        llm=FlowGpt("gpt-4-turbo", base_url=r.base_url), response_mode="compact"
    )
    wide.query("What is the capital of Freedonia?")
    assert len(r.requests) == 1
    narrow = SummaryIndex(nodes).as_query_engine(
        llm=FlowGpt("llama2-13b", base_url=r.base_url), response_mode="compact"
    )
    narrow.query("What is the capital of Freedonia?")
    assert len(r.requests) > 2


@pytest.mark.parametrize("mode", ["simple", "context", "condense_question", "condense_plus_context", "best"])
async def test_chat_engines_in_all_ways(r, index, llm, mode):
    engine = index.as_chat_engine(chat_mode=mode, llm=llm) if mode != "simple" else simple(llm)
    expected = "I do not know." if mode == "simple" else "Fredville"
    question = "What is the capital of Freedonia?"
    assert expected in str(engine.chat(question))
    assert expected in "".join(engine.stream_chat(question).response_gen)
    assert expected in str(await engine.achat(question))
    response = await engine.astream_chat(question)
    assert expected in "".join([piece async for piece in response.async_response_gen()])
    assert len(engine.chat_history) == 8
    assert [message.role.value for message in engine.chat_history] == ["user", "assistant"] * 4


def simple(llm):
    from llama_index.core.chat_engine import SimpleChatEngine

    return SimpleChatEngine.from_defaults(llm=llm, system_prompt="Be short.")


def test_a_long_history_is_not_dropped(r):
    """A window that is too small in `metadata` makes LlamaIndex forget what was said."""
    memory = ChatMemoryBuffer.from_defaults(llm=FlowGpt(base_url=r.base_url))
    engine = simple(FlowGpt(base_url=r.base_url))
    engine._memory = memory
    engine.chat("word " * 3000)
    engine.chat("And now?")
    assert any("word word" in turn["content"] for turn in r.requests[-1].json["history"])


def test_memory_keeps_a_conversation(r, llm):
    memory = Memory.from_defaults(session_id="s", token_limit=4000)
    engine = simple(llm)
    engine._memory = memory
    engine.chat("Hello")
    engine.chat("Again")
    assert [message.content for message in memory.get_all()] == [
        "Hello",
        "I do not know.",
        "Again",
        "I do not know.",
    ]


# --- leaving early ---


@pytest.fixture
def slow():
    with replica("flow-gpt", answer=["word "] * 200, faults={"pace": 0.05}) as running:
        yield running


def test_closing_a_query_engines_answer_ends_the_request(slow, index):
    pieces = (
        index.as_query_engine(llm=FlowGpt(base_url=slow.base_url), streaming=True).query("What?").response_gen
    )
    assert next(pieces)
    pieces.close()
    assert slow.wait_disconnect(timeout=60) == 1


async def test_closing_a_query_engines_async_answer_ends_the_request(slow, index):
    response = await index.as_query_engine(
        llm=FlowGpt(base_url=slow.base_url), streaming=True, use_async=True
    ).aquery("What?")
    assert await anext(response.response_gen)
    await (
        response.response_gen.aclose()
    )  # `async_response_gen()` is only a way to it, and closing that closes nothing
    assert await slow.await_disconnect(timeout=60) == 1


async def test_cancelling_a_chat_engines_writer_ends_the_request(slow):
    """LlamaIndex reads a chat engine's answer in a task of its own, which can be cancelled.

    It writes the answer to the memory, whoever listens; in sync code it is a thread.
    """
    response = await simple(FlowGpt(base_url=slow.base_url)).astream_chat("Hi")
    writer = response.awrite_response_to_history_task
    assert await anext(response.async_response_gen())
    writer.cancel()
    assert await slow.await_disconnect(timeout=60) == 1


# --- retrieval ------------------------------------------------------------------------------------


def test_fusion_of_bm25_and_embeddings_without_a_model(r, index, llm):
    bm25 = BM25Retriever.from_defaults(nodes=list(index.docstore.docs.values()), similarity_top_k=4)
    fusion = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=4), bm25],
        llm=llm,
        mode="relative_score",
        num_queries=1,
        similarity_top_k=2,
        use_async=True,
    )
    assert fusion.retrieve("dinner on Sundays")[0].text == FACTS["cuisine"]
    assert not r.requests


@pytest.mark.parametrize("use_async", [False, True])
def test_fusion_with_queries_of_the_model(r, index, llm, use_async):
    fusion = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=1)],
        llm=llm,
        mode="reciprocal_rerank",
        num_queries=3,
        similarity_top_k=1,
        use_async=use_async,
    )
    assert fusion.retrieve("Where do they govern from?")[0].text == FACTS["capital"]
    assert len(r.requests) == 1
    engine = RetrieverQueryEngine.from_args(fusion, llm=llm)
    assert "Fredville" in str(engine.query("What is the capital of Freedonia?"))


def test_persisted_and_loaded(tmp_path, index, llm):
    index.storage_context.persist(tmp_path)
    again = load_index_from_storage(StorageContext.from_defaults(persist_dir=str(tmp_path)))
    assert "Firefly" in str(again.as_query_engine(llm=llm).query("Who wrote the anthem of Freedonia?"))


def test_llm_rerank(index, llm, r):
    r.answer = "Doc: 2, Relevance: 9\nDoc: 1, Relevance: 3"
    nodes = index.as_retriever(similarity_top_k=3).retrieve("anything")
    ranked = LLMRerank(llm=llm, top_n=2).postprocess_nodes(nodes, query_str="anything")
    assert [node.text for node in ranked] == [nodes[1].text, nodes[0].text]


# --- choosing and splitting -----------------------------------------------------------------------


def engines(index, llm):
    return [
        QueryEngineTool.from_defaults(
            index.as_query_engine(llm=llm),
            name="food",
            description="Useful for questions about soup, bread and meals",
        ),
        QueryEngineTool.from_defaults(
            index.as_query_engine(llm=llm),
            name="state",
            description="Useful for questions about the capital and the anthem",
        ),
    ]


@pytest.mark.parametrize("selector", [LLMSingleSelector, LLMMultiSelector])
async def test_router(index, llm, selector):
    router = RouterQueryEngine(
        selector=selector.from_defaults(llm=llm), query_engine_tools=engines(index, llm), llm=llm
    )
    response = router.query("What is the capital of Freedonia?")
    assert "Fredville" in str(response)
    assert response.metadata["selector_result"].inds == [1]
    assert "duck soup" in str(await router.aquery("Which meals with soup are there in Freedonia?"))


def split(messages):
    text = messages[-1]["content"]
    if "sub_question" in text.lower() or "sub question" in text.lower():
        return (
            'Here you are:\n```json\n{"items": ['
            '{"sub_question": "What is the capital of Freedonia?", "tool_name": "state"},'
            ' {"sub_question": "Which meals are there in Freedonia?", "tool_name": "food"}]}\n```'
        )
    return reader(messages)


@pytest.mark.parametrize("use_async", [False, True])
async def test_sub_questions(r, index, llm, use_async):
    r.answer = split
    engine = SubQuestionQueryEngine.from_defaults(
        query_engine_tools=engines(index, llm),
        question_gen=LLMQuestionGenerator.from_defaults(llm=llm),
        llm=llm,
        use_async=use_async,
        verbose=False,
    )
    response = engine.query("Compare the capital and the meals of Freedonia.")
    assert "Fredville" in " ".join(node.text for node in response.source_nodes)
    assert len(r.requests) == 4
    assert str(await engine.aquery("Compare the capital and the meals of Freedonia."))


def test_token_counts_of_a_query(index, r):
    counter = TokenCountingHandler()
    Settings.callback_manager = CallbackManager(
        [counter]
    )  # LlamaIndex gives it to the models of its engines, in the place of their own
    llm = FlowGpt(base_url=r.base_url)
    index.as_query_engine(llm=llm).query("What is the capital of Freedonia?")
    (event,) = counter.llm_token_counts
    prompt = sum(len(str(value)) for value in (r.requests[-1].json["question"],))
    assert prompt // 5 < event.prompt_token_count < prompt
    assert event.completion_token_count == -(-len(FACTS["capital"]) // 4)
