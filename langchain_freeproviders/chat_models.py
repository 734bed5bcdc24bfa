"""The chat models, one class for each provider of the core.

Each is a handful of facts over one base; what they have in common is in `base`, what they are configured with in `settings`. The examples in the docstrings are
run by the tests, as they stand.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from langchain_freeproviders.base import FreeProvidersChatModel
from langchain_freeproviders.settings import EmbeddedSettings

__all__ = [
    "ChatAIChatFree",
    "ChatChatgptFree",
    "ChatEmbedded",
    "ChatFlowGpt",
    "ChatFreeNetfly",
    "ChatOpenAICompatible",
]


class ChatFreeNetfly(FreeProvidersChatModel):
    """`free.netfly.top`, which speaks the OpenAI protocol without a key; last answered a public client on 2024-11-06.

    Setup:
        ```bash
        pip install 'freeproviders[langchain]'
        ```

        No key and no account. Your prompts go to that service, which promises nothing about them.

    Key init args - completion params:
        `model`: "gpt-3.5-turbo" or "gpt-4". `temperature`, `top_p`, `max_tokens`.
        `stop`: texts that end the answer; they work on every service.
        `model_kwargs`: `presence_penalty`, `frequency_penalty`.

    Key init args - client params:
        `base_url`: a mirror, a self-hosted clone, or a replica (`FREE_NETFLY_API_BASE`).
        `timeout`: seconds for an attempt, or a `freeproviders.Timeout`. `max_retries`: after the first attempt, or a `freeproviders.Retry`.
        `proxy`: `http://user:password@host:port` (`FREE_NETFLY_PROXY`). `headers`, `cookies`, `connector`, `trust_env`: see `settings`.

    Instantiate:
        ```python
        from langchain_freeproviders import ChatFreeNetfly

        model = ChatFreeNetfly()
        ```

    Invoke:
        ```python
        messages = [("system", "Translate the sentence to French."), ("human", "I love programming.")]
        model.invoke(messages).content  # -> "J'adore la programmation."
        ```

    Stream:
        ```python
        pieces = [chunk.content for chunk in model.stream(messages)]
        "".join(pieces)  # -> "J'adore la programmation."
        ```

    Async:
        ```python
        (await model.ainvoke(messages)).content  # -> "J'adore la programmation."
        pieces = [chunk.content async for chunk in model.astream(messages)]
        answers = await model.abatch([messages, messages])
        ```

    Tool calling:
        The service has no tools: they go through the prompt, and only complete calls whose arguments fit come out.

        ```python
        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return f"21 degrees in {city}"


        with_tools = model.bind_tools([get_weather])
        answer = with_tools.invoke("What is the weather in Paris?")
        answer.tool_calls[0]["args"]  # -> {'city': 'Paris'}
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class City(BaseModel):
            '''A city.'''

            name: str
            country: str


        model.with_structured_output(City).invoke('Which city and country is "Paris" in "France"?')  # -> City(name='Paris', country='France')
        ```

    JSON mode:
        ```python
        model.with_structured_output(City, method="json_mode").invoke("JSON with 'name' and 'country'")  # -> City(...)
        ```

    Token usage:
        Reported by the service, else estimated from the characters, which `response_metadata["usage_estimated"]` says.

        ```python
        model.invoke(messages).usage_metadata["total_tokens"] > 0  # -> True
        ```

    Response metadata:
        ```python
        metadata = model.invoke(messages).response_metadata
        metadata["model_name"], metadata["finish_reason"]  # -> ('gpt-3.5-turbo', 'stop')
        ```
    """

    core_name: ClassVar[str] = "FreeNetfly"
    slug: ClassVar[str] = "free-netfly"

    model_name: str = Field(default="gpt-3.5-turbo", alias="model")
    """This one or "gpt-4"."""


class ChatChatgptFree(FreeProvidersChatModel):
    """`chatgptfree.ai`, a WordPress page with a chat; last answered a public client on 2024-11-05, then stood behind a bot check.

    Setup:
        ```bash
        pip install 'freeproviders[langchain]'
        ```

        No key and no account. Your prompts go to that service, which promises nothing about them.

    Key init args - completion params:
        `model`: "gpt-4o-mini-2024-07-18", or its alias "gpt-4o-mini".
        `stop`: texts that end the answer; they work on every service.
        The service has no place for `temperature` and the like: they are left out, which a warning says once.

    Key init args - client params:
        `base_url`: a mirror, a self-hosted clone, or a replica (`CHATGPT_FREE_API_BASE`).
        `timeout`: seconds for an attempt, or a `freeproviders.Timeout`. `max_retries`: after the first attempt, or a `freeproviders.Retry`.
        `proxy`: `http://user:password@host:port` (`CHATGPT_FREE_PROXY`). `headers`, `cookies`, `connector`, `trust_env`: see `settings`.

    Instantiate:
        ```python
        from langchain_freeproviders import ChatChatgptFree

        model = ChatChatgptFree()
        ```

    Invoke:
        ```python
        messages = [("system", "Translate the sentence to French."), ("human", "I love programming.")]
        model.invoke(messages).content  # -> "J'adore la programmation."
        ```

    Stream:
        ```python
        pieces = [chunk.content for chunk in model.stream(messages)]
        "".join(pieces)  # -> "J'adore la programmation."
        ```

    Async:
        ```python
        (await model.ainvoke(messages)).content  # -> "J'adore la programmation."
        pieces = [chunk.content async for chunk in model.astream(messages)]
        answers = await model.abatch([messages, messages])
        ```

    Tool calling:
        The service has no tools: they go through the prompt, and only complete calls whose arguments fit come out.

        ```python
        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return f"21 degrees in {city}"


        with_tools = model.bind_tools([get_weather])
        answer = with_tools.invoke("What is the weather in Paris?")
        answer.tool_calls[0]["args"]  # -> {'city': 'Paris'}
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class City(BaseModel):
            '''A city.'''

            name: str
            country: str


        model.with_structured_output(City).invoke('Which city and country is "Paris" in "France"?')  # -> City(name='Paris', country='France')
        ```

    JSON mode:
        ```python
        model.with_structured_output(City, method="json_mode").invoke("JSON with 'name' and 'country'")  # -> City(...)
        ```

    Token usage:
        Reported by the service, else estimated from the characters, which `response_metadata["usage_estimated"]` says.

        ```python
        model.invoke(messages).usage_metadata["total_tokens"] > 0  # -> True
        ```

    Response metadata:
        ```python
        metadata = model.invoke(messages).response_metadata
        metadata["model_name"], metadata["finish_reason"]  # -> ('gpt-4o-mini-2024-07-18', 'stop')
        ```
    """

    core_name: ClassVar[str] = "ChatgptFree"
    slug: ClassVar[str] = "chatgpt-free"

    model_name: str = Field(default="gpt-4o-mini-2024-07-18", alias="model")
    """The only one; its alias is "gpt-4o-mini"."""


class ChatFlowGpt(FreeProvidersChatModel):
    """`flowgpt.com`'s anonymous chat; last answered a public client on 2024-11-06.

    Setup:
        ```bash
        pip install 'freeproviders[langchain]'
        ```

        No key and no account. Your prompts go to that service, which promises nothing about them.

    Key init args - completion params:
        `model`: "gpt-3.5-turbo", "gpt-4-turbo", "google-gemini" and others, see `freeproviders.FlowGpt.models`. `temperature`.
        `stop`: texts that end the answer; they work on every service.

    Key init args - client params:
        `base_url`: a mirror, a self-hosted clone, or a replica (`FLOW_GPT_API_BASE`).
        `timeout`: seconds for an attempt, or a `freeproviders.Timeout`. `max_retries`: after the first attempt, or a `freeproviders.Retry`.
        `proxy`: `http://user:password@host:port` (`FLOW_GPT_PROXY`). `headers`, `cookies`, `connector`, `trust_env`: see `settings`.

    Instantiate:
        ```python
        from langchain_freeproviders import ChatFlowGpt

        model = ChatFlowGpt()
        ```

    Invoke:
        ```python
        messages = [("system", "Translate the sentence to French."), ("human", "I love programming.")]
        model.invoke(messages).content  # -> "J'adore la programmation."
        ```

    Stream:
        ```python
        pieces = [chunk.content for chunk in model.stream(messages)]
        "".join(pieces)  # -> "J'adore la programmation."
        ```

    Async:
        ```python
        (await model.ainvoke(messages)).content  # -> "J'adore la programmation."
        pieces = [chunk.content async for chunk in model.astream(messages)]
        answers = await model.abatch([messages, messages])
        ```

    Tool calling:
        The service has no tools: they go through the prompt, and only complete calls whose arguments fit come out.

        ```python
        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return f"21 degrees in {city}"


        with_tools = model.bind_tools([get_weather])
        answer = with_tools.invoke("What is the weather in Paris?")
        answer.tool_calls[0]["args"]  # -> {'city': 'Paris'}
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class City(BaseModel):
            '''A city.'''

            name: str
            country: str


        model.with_structured_output(City).invoke('Which city and country is "Paris" in "France"?')  # -> City(name='Paris', country='France')
        ```

    JSON mode:
        ```python
        model.with_structured_output(City, method="json_mode").invoke("JSON with 'name' and 'country'")  # -> City(...)
        ```

    Token usage:
        Reported by the service, else estimated from the characters, which `response_metadata["usage_estimated"]` says.

        ```python
        model.invoke(messages).usage_metadata["total_tokens"] > 0  # -> True
        ```

    Response metadata:
        ```python
        metadata = model.invoke(messages).response_metadata
        metadata["model_name"], metadata["finish_reason"]  # -> ('gpt-3.5-turbo', 'stop')
        ```
    """

    core_name: ClassVar[str] = "FlowGpt"
    slug: ClassVar[str] = "flow-gpt"

    model_name: str = Field(default="gpt-3.5-turbo", alias="model")
    """This one, "gpt-4-turbo", "google-gemini" and others."""


class ChatAIChatFree(FreeProvidersChatModel):
    """`aichatfree.info`; last answered a public client on 2025-02-01.

    Setup:
        ```bash
        pip install 'freeproviders[langchain]'
        ```

        No key and no account. Your prompts go to that service, which promises nothing about them.

    Key init args - completion params:
        `model`: "gemini-1.5-pro" or "gemini-pro".
        `stop`: texts that end the answer; they work on every service.
        The service has no place for `temperature` and the like: they are left out, which a warning says once.

    Key init args - client params:
        `base_url`: a mirror, a self-hosted clone, or a replica (`AI_CHAT_FREE_API_BASE`).
        `timeout`: seconds for an attempt, or a `freeproviders.Timeout`. `max_retries`: after the first attempt, or a `freeproviders.Retry`.
        `proxy`: `http://user:password@host:port` (`AI_CHAT_FREE_PROXY`). `headers`, `cookies`, `connector`, `trust_env`: see `settings`.

    Instantiate:
        ```python
        from langchain_freeproviders import ChatAIChatFree

        model = ChatAIChatFree()
        ```

    Invoke:
        ```python
        messages = [("system", "Translate the sentence to French."), ("human", "I love programming.")]
        model.invoke(messages).content  # -> "J'adore la programmation."
        ```

    Stream:
        ```python
        pieces = [chunk.content for chunk in model.stream(messages)]
        "".join(pieces)  # -> "J'adore la programmation."
        ```

    Async:
        ```python
        (await model.ainvoke(messages)).content  # -> "J'adore la programmation."
        pieces = [chunk.content async for chunk in model.astream(messages)]
        answers = await model.abatch([messages, messages])
        ```

    Tool calling:
        The service has no tools: they go through the prompt, and only complete calls whose arguments fit come out.

        ```python
        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return f"21 degrees in {city}"


        with_tools = model.bind_tools([get_weather])
        answer = with_tools.invoke("What is the weather in Paris?")
        answer.tool_calls[0]["args"]  # -> {'city': 'Paris'}
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class City(BaseModel):
            '''A city.'''

            name: str
            country: str


        model.with_structured_output(City).invoke('Which city and country is "Paris" in "France"?')  # -> City(name='Paris', country='France')
        ```

    JSON mode:
        ```python
        model.with_structured_output(City, method="json_mode").invoke("JSON with 'name' and 'country'")  # -> City(...)
        ```

    Token usage:
        Reported by the service, else estimated from the characters, which `response_metadata["usage_estimated"]` says.

        ```python
        model.invoke(messages).usage_metadata["total_tokens"] > 0  # -> True
        ```

    Response metadata:
        ```python
        metadata = model.invoke(messages).response_metadata
        metadata["model_name"], metadata["finish_reason"]  # -> ('gemini-1.5-pro', 'stop')
        ```
    """

    core_name: ClassVar[str] = "AIChatFree"
    slug: ClassVar[str] = "ai-chat-free"

    model_name: str = Field(default="gemini-1.5-pro", alias="model")
    """This one or "gemini-pro"."""


class ChatOpenAICompatible(FreeProvidersChatModel):
    """Any service that speaks the OpenAI chat completions protocol: a paid one, a free tier, a server of your own.

    Setup:
        ```bash
        pip install 'freeproviders[langchain]'
        export OPENAI_COMPATIBLE_API_BASE=http://127.0.0.1:8080/v1
        export OPENAI_COMPATIBLE_API_KEY=...
        ```

        The key may be left out where the service wants none.

    Key init args - completion params:
        `model`: any name the service knows. `temperature`, `top_p`, `max_tokens`.
        `stop`: texts that end the answer; they work on every service.
        `model_kwargs`: whatever else the service takes; a call takes it as well (`model.invoke(..., seed=1)`).

    Key init args - client params:
        `base_url`: where `/chat/completions` begins, usually up to `/v1` (`OPENAI_COMPATIBLE_API_BASE`). `api_key` (`OPENAI_COMPATIBLE_API_KEY`).
        `native_tools`, `json_schema`: whether the service has tools and schemas of its own; without them both go through the prompt.
        `timeout`: seconds for an attempt, or a `freeproviders.Timeout`. `max_retries`: after the first attempt, or a `freeproviders.Retry`.
        `proxy`: `http://user:password@host:port` (`OPENAI_COMPATIBLE_PROXY`). `headers`, `cookies`, `connector`, `trust_env`: see `settings`.

    Instantiate:
        ```python
        from langchain_freeproviders import ChatOpenAICompatible

        model = ChatOpenAICompatible(model="my-model")
        ```

    Invoke:
        ```python
        messages = [("system", "Translate the sentence to French."), ("human", "I love programming.")]
        model.invoke(messages).content  # -> "J'adore la programmation."
        ```

    Stream:
        ```python
        pieces = [chunk.content for chunk in model.stream(messages)]
        "".join(pieces)  # -> "J'adore la programmation."
        ```

    Async:
        ```python
        (await model.ainvoke(messages)).content  # -> "J'adore la programmation."
        pieces = [chunk.content async for chunk in model.astream(messages)]
        answers = await model.abatch([messages, messages])
        ```

    Tool calling:
        Through the prompt, or with `native_tools=True` by the service's own means.

        ```python
        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return f"21 degrees in {city}"


        with_tools = model.bind_tools([get_weather])
        answer = with_tools.invoke("What is the weather in Paris?")
        answer.tool_calls[0]["args"]  # -> {'city': 'Paris'}
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class City(BaseModel):
            '''A city.'''

            name: str
            country: str


        model.with_structured_output(City).invoke('Which city and country is "Paris" in "France"?')  # -> City(name='Paris', country='France')
        ```

    JSON mode:
        ```python
        model.with_structured_output(City, method="json_mode").invoke("JSON with 'name' and 'country'")  # -> City(...)
        ```

    Image input:
        ```python
        picture = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
        question = {"type": "text", "text": "What is this?"}
        model.invoke([("human", [question, picture])]).content  # -> '...'
        ```

    Token usage:
        Reported by the service, else estimated from the characters, which `response_metadata["usage_estimated"]` says.

        ```python
        model.invoke(messages).usage_metadata["total_tokens"] > 0  # -> True
        ```

    Response metadata:
        ```python
        metadata = model.invoke(messages).response_metadata
        metadata["model_name"], metadata["finish_reason"]  # -> ('my-model', 'stop')
        ```
    """

    core_name: ClassVar[str] = "OpenAICompatible"
    slug: ClassVar[str] = "openai-compatible"

    native_tools: bool = False
    """Whether the model calls tools itself; without it they go through the prompt."""
    json_schema: bool = False
    """Whether the service constrains an answer to a JSON schema; without it the schema goes through the prompt."""

    def _configuration(self) -> dict[str, Any]:
        return {
            **super()._configuration(),
            "native_tools": self.native_tools,
            "json_schema": self.json_schema,
        }


class ChatEmbedded(EmbeddedSettings, FreeProvidersChatModel):
    """A small model on this machine, run by llama.cpp in a child process: no key, no account, and no network once its weights are here.

    Setup:
        ```bash
        pip install 'freeproviders[langchain,embedded]'
        freeproviders models pull qwen2.5-coder-0.5b   # or let the first question do it: half a gigabyte
        ```

        Its answers are fluent and often wrong: never take them for facts.

    Key init args - completion params:
        `model`: a name that `freeproviders models` lists; "" is the best one that is here. `temperature`, `top_p`, `max_tokens` (1024 unless set).
        `stop`: texts that end the answer; they work on every service.

    Key init args - client params:
        `model_path`: a GGUF file of your own. `context_window`: tokens for question and answer together. `slots`: answers at the same time.
        `timeout`: seconds for an attempt, or a `freeproviders.Timeout`.

    Instantiate:
        ```python
        from langchain_freeproviders import ChatEmbedded

        model = ChatEmbedded(model="qwen2.5-coder-0.5b", temperature=0)
        ```

    Invoke:
        ```python
        messages = [("system", "Translate the sentence to French."), ("human", "I love programming.")]
        model.invoke(messages).content  # -> '...'
        ```

    Stream:
        ```python
        pieces = [chunk.content for chunk in model.stream(messages)]
        "".join(pieces)  # -> '...'
        ```

    Async:
        ```python
        (await model.ainvoke(messages)).content  # -> '...'
        pieces = [chunk.content async for chunk in model.astream(messages)]
        answers = await model.abatch([messages, messages])
        ```

    Tool calling:
        A call that is required is constrained to fit, so that it always does.

        ```python
        def get_weather(city: str) -> str:
            '''The weather in a city.'''
            return f"21 degrees in {city}"


        with_tools = model.bind_tools([get_weather], tool_choice="any")
        answer = with_tools.invoke("What is the weather in Paris?")
        answer.tool_calls[0]["args"]  # -> {'city': 'Paris'}
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class City(BaseModel):
            '''A city.'''

            name: str
            country: str


        model.with_structured_output(City).invoke('Which city and country is "Paris" in "France"?')  # -> City(...)
        ```

    JSON mode:
        ```python
        model.with_structured_output(City, method="json_mode").invoke('Answer with JSON: {"name": "Paris", "country": "France"}')  # -> City(...)
        ```

    Token usage:
        Reported by the service, else estimated from the characters, which `response_metadata["usage_estimated"]` says.

        ```python
        model.invoke(messages).usage_metadata["total_tokens"] > 0  # -> True
        ```

    Response metadata:
        ```python
        metadata = model.invoke(messages).response_metadata
        metadata["model_name"], metadata["finish_reason"]  # -> ('qwen2.5-coder-0.5b', 'stop')
        ```
    """
