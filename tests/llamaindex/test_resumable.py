"""Query engines whose responses are kept: nothing is asked twice, and all else is as with the engine."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime

import pytest
from llama_index.core import Document, PromptTemplate
from llama_index.core.base.response.schema import PydanticResponse, Response
from llama_index.core.evaluation import BatchEvalRunner, FaithfulnessEvaluator
from llama_index.core.query_engine import CustomQueryEngine, RetrieverQueryEngine, TransformQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import (
    ImageDocument,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from pydantic import BaseModel

from freeproviders import OpenAICompatible as Core
from freeproviders.errors import BadRequestError, UsageError
from freeproviders.testing import replica
from llama_index_freeproviders import OpenAICompatible, resumable
from tests.embeddings.kills import run
from tests.llamaindex.services import listen

PROGRAM = """
import asyncio, sys
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index_freeproviders import OpenAICompatible, resumable

address, store, count = sys.argv[1], sys.argv[2], int(sys.argv[3])

class Facts(BaseRetriever):
    def _retrieve(self, query):
        return [NodeWithScore(node=TextNode(text=f"fact of {query.query_str}", id_="n"), score=0.5)]

engine = RetrieverQueryEngine.from_args(Facts(), llm=OpenAICompatible(model="m", base_url=address))
found = {}

async def main():
    kept = resumable(engine, store=store, name="rag-v1")
    questions = (f"question {place}" for place in range(count))
    async for place, response in kept.abatch_as_completed(questions, concurrency=4):
        found[place] = response

asyncio.run(main())
assert sorted(found) == list(range(count))
for place, response in found.items():
    assert response.source_nodes[0].node.text == f"fact of question {place}"
    assert f"question {place}" in response.response
"""


def asked_of(server):
    """How often each whole prompt was asked."""
    return Counter(json.dumps(request.messages) for request in server.requests)


def test_a_killed_evaluation_goes_on(tmp_path):
    """It is killed at moments of the service's; what was answered is not asked again."""
    count, kills, in_flight = 40, 1, 4
    with replica(Core, faults={"delay_headers": 0.005}) as server:
        run(server, PROGRAM, server.base_url, tmp_path / "eval.db", count, kills=kills, most=25)
        times = asked_of(server)
    assert len(times) == count
    # What runs, and what was answered and was not yet on the disk.
    assert sum(times.values()) <= count + kills * 2 * in_flight


class Facts(BaseRetriever):
    """Finds for each question the same node."""

    def _retrieve(self, query_bundle):
        return [NodeWithScore(node=TextNode(text="The ferry leaves at nine.", id_="n1"), score=0.5)]


@pytest.fixture
def server():
    with replica(Core) as server:
        yield server


def engine_of(server):
    llm = OpenAICompatible(model="m", base_url=server.base_url, retry=0)
    return RetrieverQueryEngine.from_args(Facts(), llm=llm)


@pytest.fixture
def kept(server, tmp_path):
    """An engine over a model, as it is after each start."""
    return lambda **how: resumable(engine_of(server), store=tmp_path / "a.db", name="n", **how)


QUESTIONS = ["a", "b", "a"]


@pytest.mark.parametrize("way", ["query", "aquery", "batch", "abatch", "completed", "acompleted"])
def test_every_way_to_ask_shares_what_is_kept(kept, server, way):
    """Whichever way asked first; equal questions of a batch are separate ones."""
    first = kept().batch(QUESTIONS)
    engine = kept()

    async def acompleted():
        return [one async for one in engine.abatch_as_completed(QUESTIONS)]

    match way:
        case "query":
            found = [engine.query("a"), engine.query(QueryBundle("b"))]
        case "aquery":
            found = [asyncio.run(engine.aquery(one)) for one in QUESTIONS[:2]]
        case "batch":
            found = engine.batch(iter(QUESTIONS))
        case "abatch":
            found = asyncio.run(engine.abatch(QUESTIONS))
        case "completed":
            found = [one for _, one in sorted(engine.batch_as_completed(QUESTIONS), key=lambda one: one[0])]
        case "acompleted":
            found = [one for _, one in sorted(asyncio.run(acompleted()), key=lambda one: one[0])]
    assert found == first[: len(found)]
    assert all(type(one) is Response for one in found)
    assert found[0].source_nodes[0].node == TextNode(text="The ferry leaves at nine.", id_="n1")
    assert sorted(asked_of(server).values()) == [1, 2]


class Given(CustomQueryEngine):
    """Gives one response, and counts its questions."""

    response: object = None
    asked: list = []  # noqa: RUF012 - a field; pydantic copies it

    def custom_query(self, query_str):
        self.asked.append(query_str)
        if isinstance(self.response, Exception):
            raise self.response
        return self.response


def linked(node):
    """A node with everything that nodes have."""
    parent = Document(text="whole", id_="p")
    node.relationships[NodeRelationship.SOURCE] = parent.as_related_node_info()
    node.relationships[NodeRelationship.CHILD] = [parent.as_related_node_info()]
    node.metadata = {"when": datetime(2026, 1, 1, tzinfo=UTC), "pages": (1, 2), "none": None}
    node.excluded_llm_metadata_keys = ["when"]
    node.embedding = [0.1, -0.2]
    return node


class Verdict(BaseModel):
    score: float
    why: list[str] = []


@pytest.mark.parametrize(
    "response",
    [
        Response("text", [NodeWithScore(node=linked(TextNode(text="t")), score=0.1)], {"sql": [(1, "a")]}),
        Response(None, [NodeWithScore(node=linked(Document(text="d")))]),
        Response("", [NodeWithScore(node=linked(IndexNode(text="i", index_id="x")))]),
        Response("", [NodeWithScore(node=linked(ImageNode(text="i", image="aGk=")))]),
        Response("", [NodeWithScore(node=linked(ImageDocument(text="i", image="aGk=")))]),
        Response("", [NodeWithScore(node=linked(Node(text_resource=MediaResource(text="n"))))]),
        PydanticResponse(Verdict(score=0.5, why=["a"]), [], {"a": 1}),
    ],
    ids=lambda one: type(one.source_nodes[0].node if one.source_nodes else one).__name__,
)
def test_responses_come_back_as_they_were(tmp_path, response):
    """With their nodes, and what nodes know of each other."""
    for _ in range(2):
        engine = Given(response=response, asked=[])
        found = resumable(engine, name="n", store=tmp_path / "a.db", types=[Verdict]).query("q")
        assert found == response
        assert type(found) is type(response)
        assert [type(one.node) for one in found.source_nodes] == [
            type(one.node) for one in response.source_nodes
        ]
        assert repr(found) == repr(response)
    assert engine.asked == []


def test_what_cannot_be_kept_is_named_before_the_second_question(server, tmp_path):
    """A stream, and a class that is not given."""
    llm = OpenAICompatible(model="m", base_url=server.base_url, retry=0)
    streaming = RetrieverQueryEngine.from_args(Facts(), llm=llm, streaming=True)
    engine = resumable(streaming, name="n", store=tmp_path / "a.db")
    with pytest.raises(UsageError, match="StreamingResponse cannot be kept"):
        engine.batch(QUESTIONS, return_exceptions=True)
    assert len(server.requests) <= 1
    typed = Given(response=PydanticResponse(Verdict(score=1)))
    with pytest.raises(UsageError, match=r"test_resumable.Verdict cannot be kept.*types="):
        resumable(typed, name="n", store=tmp_path / "a.db").batch(QUESTIONS)
    assert typed.asked == ["a"]


def test_more_than_the_words_of_a_question_counts(tmp_path):
    """What it is embedded as, too."""
    engine = Given(response="x", asked=[])
    kept = resumable(engine, name="n", store=tmp_path / "a.db")
    for _ in range(2):
        kept.query("a")
        kept.query(QueryBundle("a", custom_embedding_strs=["b"]))
        kept.query(QueryBundle("a", embedding=[0.5]))
    assert len(engine.asked) == 3


# --- it is a query engine -------------------------------------------------------------------------


def test_events_and_prompts_are_those_of_an_engine(kept, server):
    """A question that is not asked has the events of one."""
    recorder = listen()
    kept().query("a")
    first = list(recorder.names)
    assert first.count("QueryStartEvent") == 2
    assert "LLMChatStartEvent" in first
    recorder.seen.clear()
    kept().query("a")
    assert recorder.names == ["QueryStartEvent", "QueryEndEvent"]
    recorder.seen.clear()
    kept().batch(["a"])
    assert recorder.names == ["QueryStartEvent", "QueryEndEvent"]
    engine = kept()
    name = "response_synthesizer:text_qa_template"
    assert engine.get_prompts() == engine_of(server).get_prompts()
    engine.update_prompts({name: PromptTemplate("Say {query_str} and {context_str}")})
    engine.query("b")
    assert "Say b and The ferry" in json.dumps(server.requests[-1].messages)
    assert engine.retrieve(QueryBundle("a"))[0].node.id_ == "n1"


def test_engines_stand_in_each_other(kept, server):
    """One that is resumable inside another one keeps its own."""
    inner = kept()

    class Twice:
        def run(self, query_bundle, metadata=None):
            return QueryBundle(query_bundle.query_str * 2)

    outer = resumable(TransformQueryEngine(inner, Twice()), name="outer", store=inner._core.place)
    assert outer.batch(["a", "a"])[0].source_nodes
    # The inner engine sees two equal questions, each by itself, which are one to it.
    assert len(server.requests) in {1, 2}
    before = len(server.requests)
    inner.query("aa")
    outer.batch(["a", "a"])
    assert len(server.requests) == before


def test_errors_are_kept_or_take_the_place_of_a_response(tmp_path):
    """As the core decides; the rest is answered."""
    with replica(Core, faults=[{}, {"status": 400}]) as server:
        for _ in range(2):
            engine = resumable(engine_of(server), name="n", store=tmp_path / "a.db")
            found = engine.batch(["a", "b", "c"], return_exceptions=True, concurrency=1)
            assert type(found[1]) is BadRequestError
            assert [type(found[0]), type(found[2])] == [Response, Response]
        assert len(server.requests) == 3
        with pytest.raises(BadRequestError):
            asyncio.run(engine.aquery("b"))
        again = resumable(engine_of(server), name="n", store=tmp_path / "a.db", again=True)
        assert again.query("b").response
        assert len(server.requests) == 4


def test_questions_may_come_asynchronously(kept, server):
    """From any source."""

    async def source():
        for question in QUESTIONS:
            yield question

    async def main():
        return [place async for place, _ in kept(dedupe=True).abatch_as_completed(source())]

    assert sorted(asyncio.run(main())) == [0, 1, 2]
    assert len(server.requests) == 2


def test_llamaindexs_own_evaluation_goes_on(tmp_path):
    """`BatchEvalRunner` asks a resumable engine nothing that was answered."""
    with replica(Core) as server, replica(Core, answer="YES") as judge:
        judging = OpenAICompatible(model="j", base_url=judge.base_url, retry=0)
        for _ in range(2):
            engine = resumable(engine_of(server), name="n", store=tmp_path / "a.db")
            runner = BatchEvalRunner({"faithful": FaithfulnessEvaluator(llm=judging)}, workers=4)
            found = asyncio.run(runner.aevaluate_queries(engine, queries=["a", "b", "c"]))
            assert [one.passing for one in found["faithful"]] == [True] * 3
        assert len(server.requests) == 3


def test_bad_arguments_are_found_at_once(server, tmp_path):
    """Before anything is asked."""
    with pytest.raises(UsageError, match=r"engine must be a query engine.*not str"):
        resumable("engine", name="n", store=tmp_path / "a.db")
    with pytest.raises(UsageError, match="name is empty"):
        resumable(engine_of(server), name="", store=tmp_path / "a.db")
    with pytest.raises(UsageError, match="types must be"):
        resumable(engine_of(server), name="n", types=[int], store=tmp_path / "a.db")


def test_anything_with_the_two_methods_is_an_engine(tmp_path):
    """Also one that has nothing else of LlamaIndex."""

    class Mine:
        def query(self, question):
            return f"answer to {question.query_str}"

        async def aquery(self, question):
            return self.query(question)

    engine = resumable(Mine(), name="n", store=tmp_path / "a.db")
    assert engine.batch(["a"]) == [Response("answer to a")]
    assert str(asyncio.run(engine.aquery("a"))) == "answer to a"
    assert engine.get_prompts() == {}
