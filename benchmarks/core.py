"""The core alone, parts of a stream and whole calls.

The floor is aiohttp with the same JSON decoder and nothing else.
"""

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
from pydantic_core import from_json

from benchmarks.harness import compare, compare_at_once, server
from benchmarks.server import WHOLE
from freeproviders import OpenAICompatible
from freeproviders.types import Text, Tool

TOOL = Tool("search", "Search the web", {"type": "object", "properties": {"query": {"type": "string"}}})
BODY = b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":%s}'


class Floor:
    """What any client must do: send, read, cut at blank lines, decode."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1/chat/completions"
        self.session: aiohttp.ClientSession | None = None

    def post(self, stream: bytes) -> aiohttp.client._RequestContextManager:
        if self.session is None:
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)
            )
            self.held = self._until_the_loop_ends()
            self.holding = asyncio.ensure_future(anext(self.held))
        return self.session.post(self.url, data=BODY % stream, headers={"Content-Type": "application/json"})

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.session.close()

    async def texts(self) -> AsyncGenerator[list[str], None]:
        """A list for each read of the network."""
        rest = b""
        async with self.post(b"true") as response:
            async for data in response.content.iter_any():
                frames = (rest + data).split(b"\n\n")
                rest, found = frames.pop(), []
                for frame in frames:
                    if frame != b"data: [DONE]":
                        choices = from_json(frame[6:])["choices"]
                        if choices and (text := choices[0]["delta"].get("content")):
                            found.append(text)
                yield found

    async def stream(self) -> int:
        return sum([len(texts) async for texts in self.texts()])

    async def text(self) -> str:
        async with self.post(b"false") as response:
            return from_json(await response.read())["choices"][0]["message"]["content"]

    async def call(self) -> int:
        return len(await self.text())

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()


def main() -> None:
    with server() as url:
        for title, path, n, calls in (
            ("burst of 2000 pieces, per piece", "/n2000", 2000, 5),
            ("300 pieces 1 ms apart, per piece", "/n300-d1000", 300, 1),
            ("short stream, per call", "/n4", 1, 200),
        ):
            floor, provider = Floor(url + path), OpenAICompatible("m", base_url=f"{url}{path}/v1")

            async def parts(provider=provider) -> int:
                return sum([type(part) is Text async for part in provider.stream("x")])

            async def batches(provider=provider) -> int:
                return sum([len(batch) async for batch in provider.batches(provider.request("x"))])

            async def with_a_tool(provider=provider) -> int:
                request = provider.request("x", tools=[TOOL])
                return sum([len(batch) async for batch in provider.answer(request)])

            def sync(provider=provider) -> int:
                return sum(type(part) is Text for part in provider.stream_sync("x"))

            compare(
                title,
                {
                    "aiohttp and JSON": floor.stream,
                    "stream": parts,
                    "batches": batches,
                    "answer with a tool": with_a_tool,
                    "stream_sync": sync,
                },
                per=n,
                close=floor.close,
                calls=calls,
            )
        floor, provider = Floor(f"{url}/n20-d10000"), OpenAICompatible("m", base_url=f"{url}/n20-d10000/v1")

        async def stream() -> int:
            return sum([type(part) is Text async for part in provider.stream("x")])

        compare_at_once("aiohttp and JSON", floor.stream, "stream", stream, pieces=20, close=floor.close)
        # The same answer as in `benchmarks.peers`, so that the two say the same thing.
        floor, provider = Floor(f"{url}/n{WHOLE}"), OpenAICompatible("m", base_url=f"{url}/n{WHOLE}/v1")

        async def whole() -> int:
            return len((await provider.complete("x")).text)

        compare(
            "whole answer, per call",
            {
                "aiohttp and JSON": floor.call,
                "complete": whole,
                "complete_sync": lambda: len(provider.complete_sync("x").text),
            },
            per=1,
            calls=200,
        )


if __name__ == "__main__":
    main()
