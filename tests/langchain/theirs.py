"""A chat model of another package: it speaks the OpenAI protocol over httpx and knows nothing of ours.

It does what such packages do: a client for each model whose connections belong to an event loop,
errors of httpx, pieces of tool calls in chunks, settings as fields.
"""

import json

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, convert_to_openai_messages
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr


class TheirError(Exception):
    """An answer with an error status."""

    def __init__(self, response):
        super().__init__(f"Error code: {response.status_code}")
        self.response = response
        self.status_code = response.status_code


class ChatTheirs(BaseChatModel):
    model_config = ConfigDict(populate_by_name=True)

    model_name: str = Field(default="their-model", alias="model")
    base_url: str
    temperature: float | None = None
    max_completion_tokens: int | None = None
    seed: int | None = None
    stop_sequences: list[str] | None = Field(default=None, alias="stop")
    keep_alive: bool = False
    """Whether connections are kept, which nobody closes then."""
    _client: httpx.AsyncClient = PrivateAttr()

    def model_post_init(self, context):
        super().model_post_init(context)
        limits = httpx.Limits(max_keepalive_connections=None if self.keep_alive else 0)
        self._client = httpx.AsyncClient(timeout=5, limits=limits)

    @property
    def _llm_type(self):
        return "theirs"

    def bind_tools(self, tools, *, tool_choice=None, **kwargs):
        if tool_choice == "any":
            tool_choice = "required"
        elif tool_choice:
            tool_choice = {"type": "function", "function": {"name": tool_choice}}
        chosen = {"tool_choice": tool_choice} if tool_choice else {}
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **chosen, **kwargs)

    def _body(self, messages, stream, **kwargs):
        settings = {
            "temperature": self.temperature,
            "max_completion_tokens": self.max_completion_tokens,
            "seed": self.seed,
            "stop": kwargs.pop("stop", None) or self.stop_sequences,
            **kwargs,
        }
        return {
            "model": self.model_name,
            "messages": convert_to_openai_messages(messages),
            "stream": stream,
            **{name: value for name, value in settings.items() if value is not None},
        }

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        raise NotImplementedError("Only the asynchronous methods are to be used.")

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        body = self._body(messages, False, stop=stop, **kwargs)
        response = await self._client.post(f"{self.base_url}/chat/completions", json=body)
        if response.status_code != 200:
            raise TheirError(response)
        document = response.json()
        said = document["choices"][0]
        calls = [
            {
                "name": call["function"]["name"],
                "args": json.loads(call["function"]["arguments"]),
                "id": call["id"],
            }
            for call in said["message"].get("tool_calls") or ()
        ]
        message = AIMessage(
            said["message"]["content"] or "",
            tool_calls=calls,
            response_metadata={"finish_reason": said["finish_reason"], "model_name": document["model"]},
            usage_metadata=counts(document.get("usage")),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        body = self._body(messages, True, stop=stop, **kwargs)
        async with self._client.stream("POST", f"{self.base_url}/chat/completions", json=body) as response:
            if response.status_code != 200:
                await response.aread()
                raise TheirError(response)
            async for line in response.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                event = json.loads(line[6:])
                for choice in event.get("choices") or ():
                    yield ChatGenerationChunk(message=chunk_of(choice, event["model"]))


def chunk_of(choice, model):
    delta = choice["delta"]
    calls = [
        tool_call_chunk(
            name=call["function"].get("name"),
            args=call["function"].get("arguments"),
            id=call.get("id"),
            index=call.get("index"),
        )
        for call in delta.get("tool_calls") or ()
    ]
    reason = choice.get("finish_reason")
    about = {"finish_reason": reason, "model_name": model} if reason else {}
    thought = {"reasoning_content": delta["reasoning"]} if delta.get("reasoning") else {}
    return AIMessageChunk(
        delta.get("content") or "",
        tool_call_chunks=calls,
        response_metadata=about,
        additional_kwargs=thought,
    )


def counts(usage):
    if usage is None:
        return None
    return {
        "input_tokens": usage["prompt_tokens"],
        "output_tokens": usage["completion_tokens"],
        "total_tokens": usage["total_tokens"],
    }
