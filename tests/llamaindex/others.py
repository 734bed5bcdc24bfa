"""LLMs as other packages write them, over a client of another library."""

import json
from contextlib import asynccontextmanager, contextmanager

import httpx
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LLMMetadata,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.custom import CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import PrivateAttr


def openai_message(message):
    """A message as the OpenAI protocol has it."""
    out = {"role": message.role.value, "content": message.content or ""}
    calls = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    if calls:
        out["tool_calls"] = [
            {
                "id": call.tool_call_id,
                "type": "function",
                "function": {"name": call.tool_name, "arguments": json.dumps(call.tool_kwargs)},
            }
            for call in calls
        ]
    return {**out, **message.additional_kwargs}


def frames(line):
    """The document of a line of server-sent events, if it has one."""
    return [json.loads(line.removeprefix("data: "))] if line.startswith("data: {") else []


class Streamed:
    """The chunks of a stream, added up as such packages do: half of a call is a call."""

    def __init__(self):
        self.text = ""
        self.calls = {}

    def chunk(self, frame):
        choice = (frame.get("choices") or [{}])[0]
        delta = choice.get("delta") or {}
        said = delta.get("content") or ""
        self.text += said
        for call in delta.get("tool_calls") or ():
            known = self.calls.setdefault(call["index"], {"id": None, "name": "", "arguments": ""})
            known["id"] = call.get("id") or known["id"]
            known["name"] += call["function"].get("name") or ""
            known["arguments"] += call["function"].get("arguments") or ""
        blocks = [TextBlock(text=self.text)] + [
            ToolCallBlock(tool_call_id=one["id"], tool_name=one["name"], tool_kwargs=one["arguments"])
            for one in self.calls.values()
        ]
        message = ChatMessage(role="assistant", blocks=blocks)
        return ChatResponse(message=message, delta=said, raw=frame)


class HttpLLM(FunctionCallingLLM):
    """A service of the OpenAI protocol by a client that is kept, and so belongs to one event loop."""

    model: str = "m"
    api_base: str
    temperature: float = 0.1
    context_window: int = 3900
    timeout: float = 30
    max_retries: int = 2
    is_function_calling_model: bool = True
    keeps: int = 0
    """Connections that are kept, which nobody closes."""
    _client: httpx.AsyncClient | None = PrivateAttr(default=None)

    @classmethod
    def class_name(cls):
        return "http_llm"

    @property
    def metadata(self):
        return LLMMetadata(
            context_window=self.context_window,
            is_chat_model=True,
            is_function_calling_model=self.is_function_calling_model,
            model_name=self.model,
        )

    @property
    def client(self):
        if self._client is None:
            limits = httpx.Limits(max_keepalive_connections=self.keeps)
            self._client = httpx.AsyncClient(base_url=self.api_base, timeout=self.timeout, limits=limits)
        return self._client

    def _body(self, messages, **kwargs):
        told = {"model": self.model, "temperature": self.temperature, **kwargs}
        return {**told, "messages": [openai_message(message) for message in messages]}

    @asynccontextmanager
    async def _post(self, body):
        async with self.client.stream("POST", "/chat/completions", json=body) as response:
            if response.is_error:
                await response.aread()
            response.raise_for_status()
            yield response

    @llm_chat_callback()
    async def achat(self, messages, **kwargs):
        async with self._post(self._body(messages, **kwargs)) as response:
            document = json.loads(await response.aread())
        message = document["choices"][0]["message"]
        calls = [
            ToolCallBlock(
                tool_call_id=call["id"],
                tool_name=call["function"]["name"],
                tool_kwargs=call["function"]["arguments"],
            )
            for call in message.get("tool_calls") or ()
        ]
        blocks = [TextBlock(text=message["content"])] if message.get("content") else []
        answer = ChatMessage(role="assistant", blocks=[*blocks, *calls])
        return ChatResponse(message=answer, raw=document)

    @llm_chat_callback()
    async def astream_chat(self, messages, **kwargs):
        async def chunks():
            streamed = Streamed()
            async with self._post(self._body(messages, stream=True, **kwargs)) as response:
                async for line in response.aiter_lines():
                    for frame in frames(line):
                        yield streamed.chunk(frame)

        return chunks()

    def _prepare_chat_with_tools(  # noqa: PLR0917 - LlamaIndex's signature
        self,
        tools,
        user_msg=None,
        chat_history=None,
        verbose=False,
        allow_parallel_tool_calls=False,
        tool_required=False,
        tool_choice=None,
        **kwargs,
    ):
        choice = {"type": "function", "function": {"name": tool_choice}} if tool_choice else None
        return {
            "messages": chat_history,
            "tools": [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools],
            "tool_choice": choice or ("required" if tool_required else "auto"),
            "parallel_tool_calls": allow_parallel_tool_calls,
            **kwargs,
        }

    def chat(self, messages, **kwargs):
        raise NotImplementedError

    stream_chat = complete = stream_complete = acomplete = astream_complete = chat


class BlockingLLM(CustomLLM):
    """A service of the OpenAI protocol by a client that blocks: two methods, as the base class wants them."""

    api_base: str
    model_name: str = "blocking-1"

    @property
    def metadata(self):
        return LLMMetadata(model_name=self.model_name)

    @contextmanager
    def _post(self, prompt, **settings):
        body = {"model": "m", "messages": [{"role": "user", "content": prompt}], **settings}
        url = f"{self.api_base}/chat/completions"
        with httpx.Client(timeout=30) as client, client.stream("POST", url, json=body) as response:
            if response.is_error:
                response.read()
            response.raise_for_status()
            yield response

    @llm_completion_callback()
    def complete(self, prompt, formatted=False, **kwargs):
        with self._post(prompt, **kwargs) as response:
            document = json.loads(response.read())
        return CompletionResponse(text=document["choices"][0]["message"]["content"], raw=document)

    @llm_completion_callback()
    def stream_complete(self, prompt, formatted=False, **kwargs):
        text = ""
        with self._post(prompt, stream=True, **kwargs) as response:
            for line in response.iter_lines():
                for frame in frames(line):
                    delta = frame["choices"][0]["delta"].get("content") or ""
                    text += delta
                    yield CompletionResponse(text=text, delta=delta, raw=frame)
