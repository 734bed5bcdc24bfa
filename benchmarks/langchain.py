"""The LangChain adapter, against LangChain itself.

The floor is LangChain's own methods around a reader that decodes and does nothing else, its chunks
made beforehand.
"""

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from benchmarks.core import Floor
from benchmarks.harness import AT_ONCE, compare, compare_at_once, server
from benchmarks.server import WHOLE, pieces
from langchain_freeproviders import ChatOpenAICompatible
from langchain_freeproviders.chunks import text_chunk, validated_text


def ready(n: int) -> list[ChatGenerationChunk]:
    made = [
        ChatGenerationChunk(message=AIMessageChunk(content=piece, id="chatcmpl-1")) for piece in pieces(n)
    ]
    made[-1].message.chunk_position = "last"
    return made


class Bare(BaseChatModel):
    """No conversion, no building, no errors: no class can do less and still be called by LangChain."""

    floor: Any
    pool: list[list[ChatGenerationChunk]]  # a set for each call, since LangChain writes into them
    result: Any

    @property
    def _llm_type(self) -> str:
        return "bare"

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        await self.floor.call()
        return self.result

    async def _astream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        made = iter(self.pool.pop())
        async for texts in self.floor.texts():
            for _ in texts:
                yield next(made)


def whole(n: int) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=AIMessage(content="".join(pieces(n))))])


async def streamed(model: Any) -> int:
    return len([chunk async for chunk in model.astream("x")])


def stream(url: str, title: str, *, n: int, per: int, calls: int) -> None:
    floor, rounds = Floor(url), 5
    bare = Bare(floor=floor, pool=[ready(n) for _ in range((rounds + 1) * calls)], result=whole(n))
    model = ChatOpenAICompatible(base_url=f"{url}/v1", model="m")

    compare(
        title,
        {
            "LangChain, aiohttp and JSON": lambda: streamed(bare),
            "astream": lambda: streamed(model),
            "stream": lambda: len(list(model.stream("x"))),
        },
        per=per,
        calls=calls,
        rounds=rounds,
        close=floor.close,
    )


def at_once(url: str, *, n: int) -> None:
    floor, rounds = Floor(url), 5
    bare = Bare(floor=floor, pool=[ready(n) for _ in range((rounds + 1) * AT_ONCE)], result=whole(n))
    model = ChatOpenAICompatible(base_url=f"{url}/v1", model="m")

    compare_at_once(
        "LangChain, aiohttp and JSON",
        lambda: streamed(bare),
        "astream",
        lambda: streamed(model),
        pieces=n,
        close=floor.close,
    )


def invoke(url: str) -> None:
    floor = Floor(url)
    bare = Bare(floor=floor, pool=[], result=whole(WHOLE))
    model = ChatOpenAICompatible(base_url=f"{url}/v1", model="m")

    async def least() -> int:
        return len((await bare.ainvoke("x")).content)

    async def ainvoke() -> int:
        return len((await model.ainvoke("x")).content)

    def sync() -> int:
        return len(model.invoke("x").content)

    compare(
        "whole answer, per call",
        {"LangChain, aiohttp and JSON": least, "ainvoke": ainvoke, "invoke": sync},
        per=1,
        calls=200,
        close=floor.close,
    )


def chunks() -> None:
    """The one thing that this adapter does to every token."""
    texts = pieces(2000)

    def copied() -> int:
        return len([text_chunk(text) for text in texts])

    def validated() -> int:
        return len([validated_text(text) for text in texts])

    compare("a chunk, made", {"validated": validated, "copied": copied}, per=len(texts))


def main() -> None:
    with server() as url:
        stream(f"{url}/n2000", "burst of 2000 pieces, per piece", n=2000, per=2000, calls=3)
        stream(f"{url}/n300-d1000", "300 pieces 1 ms apart, per piece", n=300, per=300, calls=1)
        stream(f"{url}/n4", "short stream, per call", n=4, per=1, calls=200)
        at_once(f"{url}/n20-d10000", n=20)
        invoke(f"{url}/n{WHOLE}")
    chunks()


if __name__ == "__main__":
    main()
