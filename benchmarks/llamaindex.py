"""The LlamaIndex adapter, against LlamaIndex itself.

The floor is LlamaIndex's own decorators around a reader that decodes and does nothing else, its
responses made beforehand.
"""

from collections.abc import AsyncGenerator
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback

from benchmarks.core import Floor
from benchmarks.harness import compare, compare_at_once, server
from benchmarks.server import WHOLE, pieces
from llama_index_freeproviders import OpenAICompatible

HI = [ChatMessage(content="x")]


def ready(n: int) -> list[ChatResponse]:
    out, text = [], ""
    for piece in pieces(n):
        text += piece
        out.append(ChatResponse(message=ChatMessage(role="assistant", content=text), delta=piece))
    return out


class Bare(CustomLLM):
    """No conversion, no building, no checks: no class can do less and still be called by LlamaIndex."""

    floor: Any
    made: list[ChatResponse]

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="bare", is_chat_model=True)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError

    @llm_chat_callback()
    async def achat(self, messages: Any, **kwargs: Any) -> ChatResponse:  # noqa: ARG002, RUF100
        await self.floor.call()
        return self.made[-1]

    @llm_chat_callback()
    async def astream_chat(self, messages: Any, **kwargs: Any) -> AsyncGenerator[ChatResponse, None]:  # noqa: ARG002, RUF100
        async def read() -> AsyncGenerator[ChatResponse, None]:
            made = iter(self.made)
            async for texts in self.floor.texts():
                for _ in texts:
                    yield next(made)

        return read()


class Listener(BaseEventHandler):
    @classmethod
    def class_name(cls) -> str:
        return "Listener"

    def handle(self, event: Any, **kwargs: Any) -> None:
        pass


async def streamed(llm: Any) -> int:
    return len([chunk.delta async for chunk in await llm.astream_chat(HI)])


async def listened(llm: Any) -> int:
    handler = Listener()
    get_dispatcher().add_event_handler(handler)
    try:
        return await streamed(llm)
    finally:
        get_dispatcher().event_handlers.remove(handler)


def main() -> None:
    with server() as url:
        for title, path, n, calls in (
            ("burst of 2000 pieces, per piece", "/n2000", 2000, 5),
            ("300 pieces 1 ms apart, per piece", "/n300-d1000", 300, 1),
            ("short stream, per call", "/n4", 1, 200),
        ):
            count = int(path[2:].partition("-")[0])
            bare, llm = (
                Bare(floor=Floor(url + path), made=ready(count)),
                OpenAICompatible("m", base_url=f"{url}{path}/v1"),
            )
            compare(
                title,
                {
                    "LlamaIndex's decorators": lambda bare=bare: streamed(bare),
                    "astream_chat": lambda llm=llm: streamed(llm),
                    "astream_chat, with a listener": lambda llm=llm: listened(llm),
                    "stream_chat": lambda llm=llm: len([chunk.delta for chunk in llm.stream_chat(HI)]),
                },
                per=n,
                calls=calls,
            )
        path = f"{url}/n20-d10000"
        bare, llm = (
            Bare(floor=Floor(path), made=ready(20)),
            OpenAICompatible("m", base_url=f"{path}/v1"),
        )
        compare_at_once(
            "LlamaIndex's decorators",
            lambda: streamed(bare),
            "astream_chat",
            lambda: streamed(llm),
            pieces=20,
            close=bare.floor.close,
        )
        bare, llm = (
            Bare(floor=Floor(f"{url}/n{WHOLE}"), made=ready(WHOLE)),
            OpenAICompatible("m", base_url=f"{url}/n{WHOLE}/v1"),
        )

        async def whole(llm: Any) -> int:
            return len((await llm.achat(HI)).message.blocks)

        compare(
            "whole answer, per call",
            {
                "LlamaIndex's decorators": lambda: whole(bare),
                "achat": lambda: whole(llm),
                "chat": lambda: len(llm.chat(HI).message.blocks),
            },
            per=1,
            calls=200,
        )
        # Each chunk holds the text so far: what one piece costs must not grow with the answer.
        for n in (2000, 20_000, 100_000):
            long = OpenAICompatible("m", base_url=f"{url}/n{n}/v1")
            compare(
                f"burst of {n} pieces, per piece",
                {"astream_chat": lambda long=long: streamed(long)},
                per=n,
                calls=1,
                rounds=3,
            )


if __name__ == "__main__":
    main()
