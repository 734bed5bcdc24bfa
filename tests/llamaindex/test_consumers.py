"""What else in LlamaIndex takes an LLM: pipelines, extractors, evaluators, graphs, memories ..."""

import asyncio

import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.evaluation import CorrectnessEvaluator, FaithfulnessEvaluator
from llama_index.core.extractors import (
    KeywordExtractor,
    PydanticProgramExtractor,
    SummaryExtractor,
    TitleExtractor,
)
from llama_index.core.indices.property_graph import SchemaLLMPathExtractor, SimpleLLMPathExtractor
from llama_index.core.indices.query.query_transform import HyDEQueryTransform
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.memory import ChatSummaryMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import TextNode
from llama_index.core.selectors import PydanticSingleSelector
from pydantic import BaseModel

from freeproviders.errors import QuotaExceededError
from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt, OpenAICompatible
from llama_index_freeproviders.embeddings import WordLlamaEmbedding
from tests.brain import CHAT, brain


@pytest.fixture
def r():
    with replica("flow-gpt", answer=brain) as running:
        yield running


@pytest.fixture
def llm(r):
    Settings.llm = FlowGpt(base_url=r.base_url, retry=0)
    return Settings.llm


class Song(BaseModel):
    """A song."""

    title: str
    seconds: int


DOCUMENTS = [Document(text="Rufus wrote 'Blue' in 1933. " * 20)]


@pytest.mark.usefixtures("llm")
async def test_an_ingestion_pipeline_with_extractors(r):
    """The extractors take `Settings.llm`, and run their jobs at once on a loop of their own."""
    splitter = SentenceSplitter(chunk_size=80, chunk_overlap=0)
    pipeline = IngestionPipeline(
        transformations=[
            splitter,
            TitleExtractor(),
            SummaryExtractor(),
            KeywordExtractor(),
            WordLlamaEmbedding(),
        ]
    )
    for nodes in (
        await asyncio.to_thread(pipeline.run, documents=DOCUMENTS),
        await pipeline.arun(documents=DOCUMENTS),
    ):
        assert len(nodes) > 1
        for node in nodes:
            assert (
                node.metadata["document_title"],
                node.metadata["section_summary"],
                node.metadata["excerpt_keywords"],
            ) == (CHAT, CHAT, CHAT)
            assert node.embedding
    assert len(r.requests) > 6


def test_an_extractor_of_objects(llm):
    program = FunctionCallingProgram.from_defaults(Song, prompt_template_str="{input}", llm=llm)
    (node,) = IngestionPipeline(transformations=[PydanticProgramExtractor(program=program)]).run(
        nodes=[TextNode(text="'Blue' has 7 seconds")]
    )
    assert isinstance(node.metadata["seconds"], int)
    assert isinstance(node.metadata["title"], str)


def test_evaluators(r, llm):
    r.answer = "YES"
    assert FaithfulnessEvaluator(llm=llm).evaluate(query="q", response="a", contexts=["c"]).passing
    r.answer = "4.0\nWell said."
    result = CorrectnessEvaluator(llm=llm).evaluate(query="q", response="a", reference="c")
    assert (result.score, result.feedback) == (4.0, "Well said.")


def test_paths_of_a_graph(r, llm):
    r.answer = "(Fred, knows, Ann)"
    (node,) = SimpleLLMPathExtractor(llm=llm, num_workers=1)([TextNode(text="Fred knows Ann.")])
    assert [
        (relation.source_id, relation.label, relation.target_id) for relation in node.metadata["relations"]
    ] == [("Fred", "Knows", "Ann")]
    subject, other = ({"type": "PERSON", "name": name} for name in ("Fred", "Ann"))
    r.answer = str(
        {"triplets": [{"subject": subject, "relation": {"type": "WORKED_WITH"}, "object": other}]}
    ).replace("'", '"')
    (node,) = SchemaLLMPathExtractor(llm=llm, num_workers=1, strict=False)(
        [TextNode(text="Fred worked with Ann.")]
    )
    assert [
        (relation.source_id, relation.label, relation.target_id) for relation in node.metadata["relations"]
    ] == [("Fred", "WORKED_WITH", "Ann")]


async def test_a_selector_that_wants_an_object(r, llm):
    r.answer = 'I take\n```json\n{"index": 2, "reason": "it fits"}\n```'
    selector = PydanticSingleSelector.from_defaults(llm=llm)
    assert selector.select(["soups", "songs"], "Which song?").ind == 1
    assert (await selector.aselect(["soups", "songs"], "Which song?")).reason == "it fits"


def test_a_memory_that_summarises(llm, r):
    memory = ChatSummaryMemoryBuffer.from_defaults(llm=llm, token_limit=30)
    for number in range(6):
        memory.put(ChatMessage(role="assistant" if number % 2 else "user", content="words " * 8))
    kept = memory.get()
    assert kept[0].role == "system"
    assert CHAT in kept[0].content
    assert len(r.requests) == 1


def test_a_question_answered_beforehand(llm):
    assert HyDEQueryTransform(llm=llm).run("What?").embedding_strs == [CHAT, "What?"]


def test_a_prompt_filled_in_two_steps(r, llm):
    r.answer = None
    prompt = PromptTemplate(
        "{greeting}, {name}!", function_mappings={"name": lambda **_: "Ada"}
    ).partial_format(greeting="Hello")
    assert llm.predict(prompt) == "Hello, Ada!"


async def test_a_long_answer_arrives_whole_though_its_pieces_are_put_together():
    """Beyond 16,384 characters there are fewer chunks than pieces, and the deltas still add up."""
    words = [f"word{number} " for number in range(8000)]
    async with replica("openai-compatible", answer=words) as r:
        llm = OpenAICompatible("m", base_url=r.base_url)
        response = await SimpleChatEngine.from_defaults(llm=llm).astream_chat("Go on.")
        assert "".join([piece async for piece in response.async_response_gen()]) == "".join(words)
        handler = FunctionAgent(tools=[], llm=llm).run("Go on.")
        deltas = [event.delta async for event in handler.stream_events() if isinstance(event, AgentStream)]
        assert "".join(deltas) == (await handler).response.content == "".join(words)
        assert len(deltas) < len(words)


@pytest.mark.parametrize("mode", ["compact", "tree_summarize"])
async def test_an_engine_passes_on_the_services_own_error(mode):
    with replica("flow-gpt", faults={"quota": True}) as r:
        index = VectorStoreIndex.from_documents([Document(text="x")], embed_model=WordLlamaEmbedding())
        engine = index.as_query_engine(llm=FlowGpt(base_url=r.base_url, retry=0), response_mode=mode)
        with pytest.raises(QuotaExceededError, match="daily limit"):
            await asyncio.to_thread(engine.query, "What?")
        with pytest.raises(QuotaExceededError, match="daily limit"):
            await engine.aquery("What?")
