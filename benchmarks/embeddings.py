"""Vectors of texts: the decoder alone, and whole calls. The floor is aiohttp with NumPy and nothing else.

Its JSON decoder is the standard library's, which is what such clients have. The classes of
LangChain and LlamaIndex for this protocol are measured where they are installed.
"""

import asyncio
import base64
import importlib
import json
from collections.abc import AsyncGenerator, Callable

import aiohttp
import numpy as np

from benchmarks.harness import compare, server
from benchmarks.server import embeddings
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.wire.embeddings.dialects import dialect_named
from freeproviders.wire.embeddings.request import EmbeddingRequest

ENCODINGS = ("float", "base64")


def rows(body: bytes) -> list[np.ndarray]:
    """What a bare client does with an answer."""
    found = []
    for row in json.loads(body)["data"]:
        vector = row["embedding"]
        if isinstance(vector, str):
            found.append(np.frombuffer(base64.b64decode(vector), dtype=np.float32))
        else:
            found.append(np.array(vector, dtype=np.float32))
    return found


class Floor:
    """A bare client: a request, an answer, vectors."""

    def __init__(self, url: str, texts: list[str], encoding: str) -> None:
        self.url = f"{url}/v1/embeddings"
        self.body = {"model": "m", "input": texts, "encoding_format": encoding}
        self.session: aiohttp.ClientSession | None = None

    async def call(self) -> int:
        if self.session is None:
            self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))
            self.held = self._until_the_loop_ends()
            self.holding = asyncio.ensure_future(anext(self.held))
        async with self.session.post(self.url, json=self.body) as response:
            return len(np.stack(rows(await response.read())))

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.session.close()

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()


def decoding(texts: int, size: int) -> None:
    for encoding in ENCODINGS:
        body = embeddings(texts, size, encoding)
        request = EmbeddingRequest(texts=("x",) * texts)

        def decoded(body=body, request=request) -> int:
            decoder = dialect_named("openai").decoder(request)
            for at in range(0, len(body), 2**16):
                decoder.feed(body[at : at + 2**16])
            decoder.close()
            return len(decoder.answer.vectors)

        compare(
            f"decoding of {texts} vectors of {size} numbers as {encoding}, per vector",
            {"json and NumPy": lambda body=body: len(rows(body)), "ours": decoded},
            per=texts,
            calls=max(1, 200 // texts),
        )


def in_frameworks(url: str, texts: list[str]) -> dict[str, Callable]:
    """Classes for the same protocol, ours and those of others, as far as they are installed.

    All ask for base64, as OpenAI's own client does.
    """
    found: dict[str, Callable] = {}
    try:
        own = importlib.import_module("llama_index.embeddings.freeproviders").OpenAICompatibleEmbedding(
            "m", base_url=f"{url}/v1", embed_batch_size=1000, additional_kwargs={"encoding_format": "base64"}
        )
        found["embed in LlamaIndex"] = lambda: len(own.get_text_embedding_batch(texts))
    except ImportError:
        pass
    try:
        chain = importlib.import_module("langchain_freeproviders").OpenAICompatibleEmbeddings(
            model="m",
            base_url=f"{url}/v1",
            batch_size=1000,
            model_kwargs={"encoding_format": "base64"},
        )
        found["embed in LangChain"] = lambda: len(chain.embed_documents(texts))
    except ImportError:
        pass
    try:
        langchain = importlib.import_module("langchain_openai").OpenAIEmbeddings(
            model="m", base_url=f"{url}/v1", api_key="k", check_embedding_ctx_length=False
        )
        found["langchain-openai"] = lambda: len(langchain.embed_documents(texts))
    except ImportError:
        pass
    try:
        llama = importlib.import_module("llama_index.embeddings.openai_like").OpenAILikeEmbedding(
            model_name="m", api_base=f"{url}/v1", api_key="k", embed_batch_size=1000
        )
        found["llama-index's OpenAI-like"] = lambda: len(llama.get_text_embedding_batch(texts))
    except ImportError:
        pass
    return found


def calls(url: str, count: int, size: int) -> None:
    texts, address = [f"text {n}" for n in range(count)], f"{url}/n{size}"
    for encoding in ENCODINGS:
        floor = Floor(address, texts, encoding)
        ours = OpenAICompatibleEmbedder(
            "m", base_url=f"{address}/v1", batch_size=1000, options={"encoding_format": encoding}
        )

        async def embed(ours=ours, texts=texts) -> int:
            return len((await ours.embed(texts)).vectors)

        others = in_frameworks(address, texts) if encoding == ENCODINGS[-1] else {}
        compare(
            f"call of {count} texts, vectors of {size} numbers as {encoding}, per text",
            {"aiohttp and NumPy": floor.call, "embed": embed, **others},
            per=count,
            calls=max(2, 200 // count),
            close=floor.close,
        )


def main() -> None:
    for texts, size in ((96, 768), (96, 3072), (1, 1024)):
        decoding(texts, size)
    with server() as url:
        for count, size in ((96, 1024), (1, 1024)):
            calls(url, count, size)


if __name__ == "__main__":
    main()
