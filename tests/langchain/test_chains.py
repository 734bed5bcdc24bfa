"""Chains as people write them: retrieval, history, parsers, fallbacks, retries."""

import asyncio

import pytest
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import CommaSeparatedListOutputParser, JsonOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory

from langchain_freeproviders.errors import RateLimitError, ServerError, TruncatedResponseError
from tests.brain import CHAT, brain
from tests.langchain.services import FLOW, OPENAI

DOCUMENTS = {"rome": "Rome has seven hills.", "paris": "Paris has one tower."}


class Shelf(BaseRetriever):
    """Finds documents by the words of their titles."""

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(text) for title, text in DOCUMENTS.items() if title in query.lower()]


async def test_retrieval(service):
    prompt = ChatPromptTemplate.from_messages([("system", "Answer from: {context}"), ("human", "{question}")])

    def join(documents):
        return "\n".join(document.page_content for document in documents)

    def answer(messages):
        seen = "\n".join(message["content"] for message in messages)
        return "Seven." if "seven hills" in seen and "one tower" not in seen else "I do not know."

    with service.replica(answer) as r:
        sources = RunnableParallel(context=Shelf() | join, question=RunnablePassthrough())
        chain = sources | RunnablePassthrough.assign(answer=prompt | service.model(r) | StrOutputParser())
        for result in (
            await chain.ainvoke("How many hills has Rome?"),
            await asyncio.to_thread(chain.invoke, "How many hills has Rome?"),
        ):
            assert result == {
                "context": "Rome has seven hills.",
                "question": "How many hills has Rome?",
                "answer": "Seven.",
            }
        pieces = [
            piece["answer"] async for piece in chain.astream("How many hills has Rome?") if "answer" in piece
        ]
        assert "".join(pieces) == "Seven."


async def test_history():
    store = {}

    def history(session_id):
        return store.setdefault(session_id, InMemoryChatMessageHistory())

    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("past"), ("human", "{text}")])
    with OPENAI.replica(lambda messages: f"I know {len(messages)} message(s).") as r:
        chain = RunnableWithMessageHistory(
            prompt | OPENAI.model(r), history, input_messages_key="text", history_messages_key="past"
        )
        ann, bob = ({"configurable": {"session_id": name}} for name in ("ann", "bob"))
        assert (await chain.ainvoke({"text": "Hi"}, ann)).content == "I know 1 message(s)."
        assert (await chain.ainvoke({"text": "Hi again"}, ann)).content == "I know 3 message(s)."
        assert (
            "".join([chunk.content async for chunk in chain.astream({"text": "Hi"}, bob)])
            == "I know 1 message(s)."
        )
        assert (
            await asyncio.to_thread(chain.invoke, {"text": "And?"}, bob)
        ).content == "I know 3 message(s)."
    assert [type(message) for message in store["ann"].messages] == [HumanMessage, AIMessage] * 2


async def test_parsers():
    with OPENAI.replica("red, green,blue") as r:
        assert await (OPENAI.model(r) | CommaSeparatedListOutputParser()).ainvoke("Colours?") == [
            "red",
            "green",
            "blue",
        ]
    with OPENAI.replica('{"a": [1, 2]}') as r:
        chain = OPENAI.model(r) | JsonOutputParser()
        assert await chain.ainvoke("JSON!") == {"a": [1, 2]}
        assert [value async for value in chain.astream("JSON!")][-1] == {"a": [1, 2]}


async def test_streaming_through_functions():
    """A generator passes pieces on as they come; a function waits, and still works."""

    async def shout(pieces):
        async for piece in pieces:
            yield piece.content.upper()

    with FLOW.replica(["a ", "b ", "c"], faults={"pace": 0.01}) as r:
        model = FLOW.model(r)
        assert [piece async for piece in (model | shout).astream("Hi") if piece] == ["A ", "B ", "C"]
        assert [
            piece async for piece in (model | RunnableLambda(lambda message: message.content)).astream("Hi")
        ] == ["a b c"]
        assert "".join((model | StrOutputParser()).stream("Hi")) == "a b c"


async def test_two_models_side_by_side():
    with FLOW.replica("flow") as flow, OPENAI.replica("openai") as openai:
        both = RunnableParallel(
            one=FLOW.model(flow) | StrOutputParser(), two=OPENAI.model(openai) | StrOutputParser()
        )
        assert await both.ainvoke("Hi") == {"one": "flow", "two": "openai"}


async def test_retrying():
    with FLOW.replica("Hello", faults=[{"status": 503}, {"status": 503}]) as r:
        model = FLOW.model(r).with_retry(
            retry_if_exception_type=(ServerError,), stop_after_attempt=3, wait_exponential_jitter=False
        )
        assert (await model.ainvoke("Hi")).content == "Hello"
        assert len(r.requests) == 3


async def test_the_models_own_retries():
    with FLOW.replica("Hello", faults=[{"status": 429, "retry_after_ms": 10}] * 2) as r:
        message = await FLOW.model(r, max_retries=2).ainvoke("Hi")
        assert message.content == "Hello"
        assert message.response_metadata["attempts"] == 3
    with (
        FLOW.replica("Hello", faults=[{"status": 429, "retry_after_ms": 10}] * 2) as r,
        pytest.raises(RateLimitError),
    ):
        await FLOW.model(r, max_retries=1).ainvoke("Hi")


async def test_falling_back_before_anything_was_said():
    with FLOW.replica("never", faults={"status": 500}) as broken, OPENAI.replica(brain) as r:
        model = FLOW.model(broken).with_fallbacks([OPENAI.model(r)])
        assert (await model.ainvoke("Hi")).content == CHAT
        assert (await asyncio.to_thread(model.invoke, "Hi")).content == CHAT
        assert "".join([chunk.content async for chunk in model.astream("Hi")]) == CHAT
        assert "".join([c.content for c in await asyncio.to_thread(lambda: list(model.stream("Hi")))]) == CHAT


async def test_falling_back_where_the_stream_breaks_before_its_first_word():
    """LangChain takes any chunk for a beginning, also an empty one.

    None may come before there is something to say.
    """
    with (
        OPENAI.replica("never", faults={"error": "boom", "error_at": 0}) as broken,
        OPENAI.replica("another answer") as r,
    ):
        model = OPENAI.model(broken).with_fallbacks([OPENAI.model(r)])
        assert "".join([chunk.content async for chunk in model.astream("Hi")]) == "another answer"
        assert (
            "".join([c.content for c in await asyncio.to_thread(lambda: list(model.stream("Hi")))])
            == "another answer"
        )


@pytest.mark.parametrize("said", [1, 5])
async def test_no_falling_back_after_something_was_said(said):
    """Nobody reads the beginning of one answer and the whole of another.

    The error comes out, behind what was said.
    """
    pieces = [f"piece {i} " for i in range(10)]
    with (
        OPENAI.replica(pieces, faults={"error": "boom", "error_at": said}) as broken,
        OPENAI.replica("another answer") as r,
    ):
        seen = []
        with pytest.raises(ServerError):
            async for chunk in OPENAI.model(broken).with_fallbacks([OPENAI.model(r)]).astream("Hi"):
                seen.append(chunk.content)
        assert seen == pieces[:said]
        assert not r.requests
        # Waiting for the whole answer, nothing was said yet.
        assert (
            await OPENAI.model(broken).with_fallbacks([OPENAI.model(r)]).ainvoke("Hi")
        ).content == "another answer"


async def test_a_cut_stream_is_an_error():
    with (
        OPENAI.replica("one two three four five", faults={"cut": 600}) as r,
        pytest.raises((TruncatedResponseError, ServerError)),
    ):
        _ = [chunk async for chunk in OPENAI.model(r).astream("Hi")]


async def test_where_another_chat_model_stood():
    """Anything that takes a chat model takes ours; here a prompt for strings."""
    prompt = PromptTemplate.from_template("Tell me about {topic}")
    with FLOW.replica("Rome is old.") as r:
        for model in (FakeListChatModel(responses=["Rome is old."]), FLOW.model(r)):
            assert await (prompt | model | StrOutputParser()).ainvoke({"topic": "Rome"}) == "Rome is old."
