"""Query engines, chat engines and sub-questions over a router, of whose services one dies in the middle."""

from contextlib import ExitStack

import pytest
from llama_index.core import Document, SummaryIndex, VectorStoreIndex
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.query_engine import SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.tools import QueryEngineTool

from freeproviders.testing import replica
from llama_index_freeproviders import FreeProviders, OpenAICompatible
from tests.llamaindex.others import HttpLLM
from tests.llamaindex.test_rag import FACTS, reader

QUESTION = "What is the capital of Freedonia?"
WIDE, NARROW = 60_000, 3_000
TALE = (
    "Once upon a time a miller's three sons set out to see the world; the youngest took nothing with him but "
    "an old cat, which asked for boots, a bag, and a little patience. "
) * 8


@pytest.fixture
def dying():
    """One that answers once, and whose later answers break off in the middle."""
    with replica("openai-compatible", answer=reader, faults=[{}, *[{"cut": 1600}] * 50]) as running:
        yield running


@pytest.fixture
def up():
    with replica("openai-compatible", answer=reader) as running:
        yield running


@pytest.fixture
def llm(dying, up):
    """Another package's LLM behind one of ours, each with its window."""
    first = OpenAICompatible("m", base_url=dying.base_url, context_window=WIDE)
    second = HttpLLM(api_base=up.base_url, context_window=NARROW)
    return FreeProviders(models=[first, second], on_broken_stream="restart", retry=0)


@pytest.fixture
def index():
    documents = [Document(text=text, metadata={"topic": topic}) for topic, text in FACTS.items()]
    return VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(8))


@pytest.mark.parametrize("mode", ["compact", "refine", "tree_summarize", "accumulate"])
async def test_response_modes(index, llm, dying, up, mode):
    engine = index.as_query_engine(llm=llm, response_mode=mode, similarity_top_k=4)
    assert "Fredville" in str(engine.query(QUESTION))
    assert "Fredville" in str(await engine.aquery(QUESTION))
    assert dying.requests
    assert up.requests


async def test_prompts_are_packed_for_the_smallest_window(llm, dying, up):
    """So each of them fits whoever is asked next: none is passed over for want of room."""
    nodes = [Document(text=f"{number}. {TALE}") for number in range(12)]
    for mode in ("compact", "tree_summarize"):
        engine = SummaryIndex(nodes).as_query_engine(llm=llm, response_mode=mode)
        response = await engine.aquery(QUESTION)
        assert "I do not know." in str(response)
    assert len(up.requests) >= 2
    assert max(len(request.body) for request in dying.requests) > NARROW  # bytes: they are packed


def test_streaming_answers(index, llm, up):
    """What is shown ends in the whole answer of whoever went on."""
    engine = index.as_query_engine(llm=llm, streaming=True, similarity_top_k=4)
    for _ in range(2):
        pieces = list(engine.query(QUESTION).response_gen)
        assert "".join(pieces).endswith(FACTS["capital"])
    assert up.requests


@pytest.mark.parametrize("mode", ["context", "condense_question", "condense_plus_context", "best"])
async def test_chat_engines(index, llm, mode, up):
    engine = index.as_chat_engine(chat_mode=mode, llm=llm, similarity_top_k=4)
    assert "Fredville" in str(engine.chat(QUESTION))
    assert "Fredville" in str(await engine.achat(QUESTION))
    assert "Fredville" in "".join(engine.stream_chat(QUESTION).response_gen)
    assert up.requests


def test_sub_questions(index):
    """Asked side by side; each goes on where its service dies."""
    asked = '{"items": [{"sub_question": "What is the capital of Freedonia?", "tool_name": "facts"}]}'

    def brain(messages):
        text = "\n".join(message["content"] for message in messages)
        return asked if "sub_question" in text and "tool_name" in text else reader(messages)

    with ExitStack() as stack:
        servers = [
            stack.enter_context(replica("openai-compatible", answer=brain, faults=faults))
            for faults in ([{}, *[{"cut": 900}] * 50], None)
        ]
        members = [OpenAICompatible("m", base_url=server.base_url) for server in servers]
        llm = FreeProviders(models=members, retry=0)
        tool = QueryEngineTool.from_defaults(
            index.as_query_engine(llm=llm), name="facts", description="Facts"
        )
        engine = SubQuestionQueryEngine.from_defaults(
            [tool], llm=llm, question_gen=LLMQuestionGenerator.from_defaults(llm=llm), verbose=False
        )
        assert str(engine.query(QUESTION)) in FACTS.values()
        assert all(server.requests for server in servers)
