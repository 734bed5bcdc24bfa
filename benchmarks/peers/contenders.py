"""The clients that are measured, each as its own documentation says to use it.

Each is imported where it is made, so that a process holds one of them alone. None has a retry, a
log or a cache switched off that its users would not switch off.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

QUESTION = "What is the weather in Paris?"
MESSAGES = [{"role": "user", "content": QUESTION}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TOOL = {"type": "function", "function": WEATHER}
PERSON = {
    "title": "Person",
    "description": "A person.",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "Person", "schema": PERSON, "strict": True}}

Call = tuple[str, Any]
"""The name of a tool, and its arguments as an object or as JSON."""

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it fetches a list of prices at import


class Client:
    """What a contender can be asked for; `tools` are bound as its users bind them."""

    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        raise NotImplementedError

    def astream(self) -> AsyncIterator[str]:
        raise NotImplementedError

    async def ainvoke(self) -> str:
        raise NotImplementedError

    def stream(self) -> Iterator[str]:
        raise NotImplementedError

    def invoke(self) -> str:
        raise NotImplementedError

    async def calls(self) -> list[Call]:
        """The tools that an answer calls."""
        raise NotImplementedError

    async def typed(self) -> Any:
        """An answer that should be a `PERSON`, as the client hands it on."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close what must be closed."""


class Floor(Client):
    """The least that any client does: aiohttp, and JSON decoded."""

    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        from benchmarks.core import Floor as Least

        self.least = Least(url.removesuffix("/v1"))

    async def astream(self) -> AsyncIterator[str]:
        async for texts in self.least.texts():
            for text in texts:
                yield text

    async def ainvoke(self) -> str:
        return await self.least.text()

    async def aclose(self) -> None:
        await self.least.close()


def patient(seconds: float | None) -> dict[str, Any]:
    """Our way to say how long nothing may come; a number alone would limit the whole answer."""
    if seconds is None:
        return {}
    from freeproviders import Timeout

    return {"timeout": Timeout(first_content=seconds, stall=seconds)}


class Core(Client):
    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        from freeproviders import OpenAICompatible
        from freeproviders.types import Text

        self.kind = Text
        self.model = OpenAICompatible("m", base_url=url, api_key="k", **patient(timeout))
        self.more: dict[str, Any] = {"tools": [WEATHER]} if tools else {}

    async def astream(self) -> AsyncIterator[str]:
        async for part in self.model.stream(QUESTION, **self.more):
            if type(part) is self.kind:
                yield part.text

    async def ainvoke(self) -> str:
        return (await self.model.complete(QUESTION, **self.more)).text

    def stream(self) -> Iterator[str]:
        for part in self.model.stream_sync(QUESTION, **self.more):
            if type(part) is self.kind:
                yield part.text

    def invoke(self) -> str:
        return self.model.complete_sync(QUESTION, **self.more).text

    async def calls(self) -> list[Call]:
        answer = await self.model.complete(QUESTION, **self.more)
        return [(one.name, one.arguments) for one in answer.tool_calls]

    async def typed(self) -> Any:
        return json.loads((await self.model.complete(QUESTION, response_format=FORMAT)).text)


class LangChain(Client):
    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        self.bare = self.made(url, timeout)
        self.model = self.bare.bind_tools([TOOL]) if tools else self.bare

    def made(self, url: str, timeout: float | None) -> Any:
        raise NotImplementedError

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in self.model.astream(QUESTION):
            yield chunk.content

    async def ainvoke(self) -> str:
        return (await self.model.ainvoke(QUESTION)).content

    def stream(self) -> Iterator[str]:
        for chunk in self.model.stream(QUESTION):
            yield chunk.content

    def invoke(self) -> str:
        return self.model.invoke(QUESTION).content

    async def calls(self) -> list[Call]:
        return [(one["name"], one["args"]) for one in (await self.model.ainvoke(QUESTION)).tool_calls]

    async def typed(self) -> Any:
        return await self.bare.with_structured_output(PERSON).ainvoke(QUESTION)


class OursInLangChain(LangChain):
    def made(self, url: str, timeout: float | None) -> Any:
        from langchain_freeproviders import ChatOpenAICompatible

        return ChatOpenAICompatible(base_url=url, model="m", api_key="k", **patient(timeout))


class OursInLangChainNative(LangChain):
    """The tools go to a service that is known to have tools of its own, as ChatOpenAI sends them."""

    def made(self, url: str, timeout: float | None) -> Any:
        from langchain_freeproviders import ChatOpenAICompatible

        return ChatOpenAICompatible(base_url=url, model="m", api_key="k", native_tools=True)


class ChatOpenAI(LangChain):
    def made(self, url: str, timeout: float | None) -> Any:
        from langchain_openai import ChatOpenAI as Theirs

        return Theirs(base_url=url, model="m", api_key="k", timeout=timeout)


class LlamaIndex(Client):
    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        from llama_index.core.llms import ChatMessage

        self.llm = self.made(url, timeout)
        self.messages = [ChatMessage(role="user", content=QUESTION)]
        self.tools = [self.tool()] if tools else []

    def tool(self) -> Any:
        from llama_index.core.tools import FunctionTool

        def get_weather(city: str) -> str:
            """The weather in a city."""
            return city

        return FunctionTool.from_defaults(get_weather)

    def made(self, url: str, timeout: float | None) -> Any:
        raise NotImplementedError

    async def astream(self) -> AsyncIterator[str]:
        if self.tools:
            chunks = await self.llm.astream_chat_with_tools(self.tools, chat_history=self.messages)
        else:
            chunks = await self.llm.astream_chat(self.messages)
        async for chunk in chunks:
            yield chunk.delta or ""

    async def ainvoke(self) -> str:
        if self.tools:
            return (await self.llm.achat_with_tools(self.tools, chat_history=self.messages)).message.content
        return (await self.llm.achat(self.messages)).message.content

    def stream(self) -> Iterator[str]:
        for chunk in self.llm.stream_chat(self.messages):
            yield chunk.delta or ""

    def invoke(self) -> str:
        return self.llm.chat(self.messages).message.content

    async def calls(self) -> list[Call]:
        answer = await self.llm.achat_with_tools(self.tools, chat_history=self.messages)
        found = self.llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
        return [(one.tool_name, one.tool_kwargs) for one in found]

    async def typed(self) -> Any:
        from pydantic import BaseModel

        class Person(BaseModel):
            """A person."""

            name: str
            age: int

        return (await self.llm.as_structured_llm(Person).achat(self.messages)).raw.model_dump()


class OursInLlamaIndex(LlamaIndex):
    def made(self, url: str, timeout: float | None) -> Any:
        from llama_index_freeproviders import OpenAICompatible

        return OpenAICompatible("m", base_url=url, api_key="k", **patient(timeout))


class OpenAILike(LlamaIndex):
    def made(self, url: str, timeout: float | None) -> Any:
        from llama_index.llms.openai_like import OpenAILike as Theirs

        more = {} if timeout is None else {"timeout": timeout}
        return Theirs(
            api_base=url, model="m", api_key="k", is_chat_model=True, is_function_calling_model=True, **more
        )


class OpenAIStyle(Client):
    """Those that answer with OpenAI's objects: `acompletion` and `completion` make one."""

    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        self.more: dict[str, Any] = {"tools": [TOOL]} if tools else {}
        if timeout is not None:
            self.more["timeout"] = timeout

    async def _ask(self, *, stream: bool, **more: Any) -> Any:
        raise NotImplementedError

    def _ask_sync(self, *, stream: bool) -> Any:
        raise NotImplementedError

    async def astream(self) -> AsyncIterator[str]:
        async for chunk in await self._ask(stream=True):
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    async def ainvoke(self) -> str:
        return (await self._ask(stream=False)).choices[0].message.content

    def stream(self) -> Iterator[str]:
        for chunk in self._ask_sync(stream=True):
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    def invoke(self) -> str:
        return self._ask_sync(stream=False).choices[0].message.content

    async def calls(self) -> list[Call]:
        found = (await self._ask(stream=False)).choices[0].message.tool_calls or []
        return [(one.function.name, one.function.arguments) for one in found]

    async def typed(self) -> Any:
        return (await self._ask(stream=False, response_format=FORMAT)).choices[0].message.content


class LiteLLM(OpenAIStyle):
    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        super().__init__(url, tools=tools, timeout=timeout)
        import litellm

        self.litellm = litellm
        self.more |= {"model": "openai/m", "api_base": url, "api_key": "k", "messages": MESSAGES}

    async def _ask(self, *, stream: bool, **more: Any) -> Any:
        return await self.litellm.acompletion(stream=stream, **self.more, **more)

    def _ask_sync(self, *, stream: bool) -> Any:
        return self.litellm.completion(stream=stream, **self.more)


class AnyLLM(OpenAIStyle):
    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        super().__init__(url, tools=tools, timeout=timeout)
        from any_llm import AnyLLM as Theirs

        self.llm = Theirs.create_openai_compatible("bench", api_base=url, api_key="k")
        self.more |= {"model": "m", "messages": MESSAGES}

    async def _ask(self, *, stream: bool, **more: Any) -> Any:
        return await self.llm.acompletion(stream=stream, **self.more, **more)

    def _ask_sync(self, *, stream: bool) -> Any:
        return self.llm.completion(stream=stream, **self.more)


class Gpt4Free(OpenAIStyle):
    """The client over a custom provider, since no public service is called."""

    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        super().__init__(url, tools=tools, timeout=timeout)
        from g4f import debug
        from g4f.client import AsyncClient
        from g4f.client import Client as SyncClient
        from g4f.client.factory import create_custom_provider

        debug.version_check = False  # it asks whether there is a newer version
        provider = create_custom_provider(url, "k")
        self.own = AsyncClient(provider=provider, api_key="k")
        self.sync = SyncClient(provider=provider, api_key="k")
        self.more |= {"model": "m", "messages": MESSAGES}

    async def _ask(self, *, stream: bool, **more: Any) -> Any:
        answer = self.own.chat.completions.create(stream=stream, **self.more, **more)
        return answer if stream else await answer

    def _ask_sync(self, *, stream: bool) -> Any:
        return self.sync.chat.completions.create(stream=stream, **self.more)


class Freelm(Client):
    """One service without a limit; its other options are as they come."""

    def __init__(self, url: str, *, tools: bool = False, timeout: float | None = None) -> None:
        import freelm
        from freelm.providers.base import Provider

        def providers() -> list[Any]:
            made = Provider("k", name="bench", base_url=url, models=[freelm.ModelSpec("m")])
            for key in made.keys:
                key.bucket = None
            return [made]

        self.providers, self.freelm = providers, freelm
        self.options = {"persist": False} if timeout is None else {"persist": False, "timeout": timeout}
        self.own = freelm.AsyncFreeLLM(providers(), **self.options)
        self._sync: Any = None
        self.more: dict[str, Any] = {"tools": [TOOL]} if tools else {}

    @property
    def sync(self) -> Any:
        if self._sync is None:
            self._sync = self.freelm.FreeLLM(self.providers(), **self.options)
        return self._sync

    async def astream(self) -> AsyncIterator[str]:
        async for text in self.own.astream(MESSAGES, model="m", **self.more):
            yield text

    async def ainvoke(self) -> str:
        return await self.own.text(MESSAGES, model="m", **self.more)

    def stream(self) -> Iterator[str]:
        yield from self.sync.stream(MESSAGES, model="m", **self.more)

    def invoke(self) -> str:
        return self.sync.text(MESSAGES, model="m", **self.more)

    async def calls(self) -> list[Call]:
        found = (await self.own.chat(MESSAGES, model="m", **self.more)).tool_calls or []
        return [(one["function"]["name"], one["function"]["arguments"]) for one in found]

    async def typed(self) -> Any:
        return (await self.own.chat(MESSAGES, model="m", response_format=FORMAT)).text

    async def aclose(self) -> None:
        await self.own.aclose()


@dataclass(frozen=True)
class Contender:
    """A client, what a program imports for it, and whom of ours it is compared with."""

    client: type[Client]
    imports: str
    packages: tuple[str, ...] = ()
    ours: str = ""
    note: str = ""


CORE, IN_LANGCHAIN, IN_LLAMAINDEX = (
    "freeproviders",
    "freeproviders in LangChain",
    "freeproviders in LlamaIndex",
)
CONTENDERS = {
    "aiohttp and JSON": Contender(Floor, "import aiohttp, json", ("aiohttp",), CORE),
    CORE: Contender(Core, "from freeproviders import OpenAICompatible", ("freeproviders", "pydantic")),
    "LiteLLM": Contender(LiteLLM, "import litellm", ("litellm", "openai", "httpx"), CORE),
    "freelm": Contender(Freelm, "from freelm import AsyncFreeLLM", ("freelm", "httpx"), CORE),
    "gpt4free": Contender(Gpt4Free, "from g4f.client import AsyncClient", ("g4f",), CORE),
    "any-llm": Contender(AnyLLM, "from any_llm import AnyLLM", ("any-llm-sdk", "openai"), CORE),
    IN_LANGCHAIN: Contender(
        OursInLangChain, "from langchain_freeproviders import ChatOpenAICompatible", ("langchain-core",)
    ),
    "ChatOpenAI": Contender(
        ChatOpenAI, "from langchain_openai import ChatOpenAI", ("langchain-openai",), IN_LANGCHAIN
    ),
    IN_LLAMAINDEX: Contender(
        OursInLlamaIndex, "from llama_index_freeproviders import OpenAICompatible", ("llama-index-core",)
    ),
    "OpenAILike": Contender(
        OpenAILike,
        "from llama_index.llms.openai_like import OpenAILike",
        ("llama-index-llms-openai-like", "llama-index-llms-openai"),
        IN_LLAMAINDEX,
    ),
}
NATIVE = {IN_LANGCHAIN + ", native tools": Contender(OursInLangChainNative, "", (), "")}
"""Only asked with a tool bound."""
