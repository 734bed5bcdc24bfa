"""The chat models, one class for each provider of the core, and one for any backend.

Each is a few facts over one base: `base.FreeProvidersChatModel` says how to use them all,
`settings` and `provider` what they are configured with. The classes are explicit because generated
ones break type checkers, pickling and tracing.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

import freeproviders
from freeproviders.provider import Provider
from langchain_freeproviders.backend import GivenBackend
from langchain_freeproviders.base import FreeProvidersChatModel, ProviderChatModel
from langchain_freeproviders.provider import EmbeddedSettings, OpenAICompatibleSettings
from langchain_freeproviders.routed import RouterChatModel

__all__ = [
    "ChatAIChatFree",
    "ChatBackend",
    "ChatChatgptFree",
    "ChatEmbedded",
    "ChatFlowGpt",
    "ChatFreeNetfly",
    "ChatFreeProviders",
    "ChatOpenAICompatible",
]


class ChatFreeNetfly(ProviderChatModel):
    """`free.netfly.top`, an OpenAI protocol without a key; last answered the public on 2024-11-06.

    No key and no account. Your prompts go to that service, which promises nothing about them.

    `model` is "gpt-3.5-turbo" or "gpt-4"; `temperature`, `top_p` and `max_tokens` are sent, and in
    `model_kwargs` `presence_penalty` and `frequency_penalty`. `base_url` (`FREE_NETFLY_API_BASE`)
    is a mirror, a self-hosted clone or a replica.

        ```python
        from langchain_freeproviders import ChatFreeNetfly

        model = ChatFreeNetfly()
        ```
    """

    provider_class: ClassVar[type[Provider]] = freeproviders.FreeNetfly

    model_name: str = Field(default=freeproviders.FreeNetfly.default_model, alias="model")
    """This one or "gpt-4"."""


class ChatChatgptFree(ProviderChatModel):
    """`chatgptfree.ai`, a WordPress page with a chat; last answered a public client on 2024-11-05.

    Later it stood behind a bot check. No key and no account. Your prompts go to that service, which
    promises nothing about them.

    The service has no place for `temperature` and the like: they are left out, with one warning.
    `base_url` (`CHATGPT_FREE_API_BASE`) is a mirror, a self-hosted clone or a replica.

        ```python
        from langchain_freeproviders import ChatChatgptFree

        model = ChatChatgptFree()
        ```
    """

    provider_class: ClassVar[type[Provider]] = freeproviders.ChatgptFree

    model_name: str = Field(default=freeproviders.ChatgptFree.default_model, alias="model")
    """The only one; its alias is "gpt-4o-mini"."""


class ChatFlowGpt(ProviderChatModel):
    """`flowgpt.com`'s anonymous chat; last answered a public client on 2024-11-06.

    No key and no account. Your prompts go to that service, which promises nothing about them.

    `model` is one of `freeproviders.FlowGpt.models`; `temperature` is sent. `base_url`
    (`FLOW_GPT_API_BASE`) is a mirror, a self-hosted clone or a replica.

        ```python
        from langchain_freeproviders import ChatFlowGpt

        model = ChatFlowGpt()
        ```
    """

    provider_class: ClassVar[type[Provider]] = freeproviders.FlowGpt

    model_name: str = Field(default=freeproviders.FlowGpt.default_model, alias="model")
    """This one, "gpt-4-turbo", "google-gemini" and others."""


class ChatAIChatFree(ProviderChatModel):
    """`aichatfree.info`; last answered a public client on 2025-02-01.

    No key and no account. Your prompts go to that service, which promises nothing about them.

    The service has no place for `temperature` and the like: they are left out, with one warning.
    `base_url` (`AI_CHAT_FREE_API_BASE`) is a mirror, a self-hosted clone or a replica.

        ```python
        from langchain_freeproviders import ChatAIChatFree

        model = ChatAIChatFree()
        ```
    """

    provider_class: ClassVar[type[Provider]] = freeproviders.AIChatFree

    model_name: str = Field(default=freeproviders.AIChatFree.default_model, alias="model")
    """This one or "gemini-pro"."""


class ChatOpenAICompatible(OpenAICompatibleSettings, ProviderChatModel):
    """Any service that speaks the OpenAI chat completions protocol, also a server of your own.

    `service` is one of the catalogue: with its key in the environment (`GROQ_API_KEY`) nothing else
    is needed. Otherwise `base_url` (`OPENAI_COMPATIBLE_API_BASE`) is where `/chat/completions`
    begins, usually up to `/v1`, and `api_key` (`OPENAI_COMPATIBLE_API_KEY`) is for services that
    want one. What else a service takes goes into `model_kwargs`, or with a call.

        ```python
        from langchain_freeproviders import ChatOpenAICompatible

        model = ChatOpenAICompatible(model="my-model")
        ```

    Image input:
        ```python
        picture = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
        question = {"type": "text", "text": "What is this?"}
        model.invoke([("human", [question, picture])]).content  # -> '...'
        ```
    """

    native_tools: bool | Literal["auto"] = "auto"
    """Whether the model calls tools itself; where it does not, they go through the prompt.

    "auto" finds out: some of the first requests with tools offer them in both ways.
    """
    json_schema: bool | Literal["auto"] = "auto"
    """Whether the service constrains an answer to a JSON schema; if not, the prompt asks for it.

    "auto" finds out: the service is asked to until it refuses or ignores that.
    """

    def _configuration(self) -> dict[str, Any]:
        return {
            **super()._configuration(),
            "native_tools": self.native_tools,
            "json_schema": self.json_schema,
        }


class ChatEmbedded(EmbeddedSettings, ProviderChatModel):
    """A small model on this machine, run by llama.cpp: no key, no account, and then no network.

    Needs the extra `embedded`; `freeproviders models pull qwen2.5-coder-0.5b`, or the first
    question, downloads the weights once (491 MB). Its answers are fluent and often wrong: never take
    them for facts.

    `model` is a name that `freeproviders models` lists, "" the best one that is here; `model_path`
    a GGUF file of your own. `max_tokens` is 1024 unless set. A call that is required is constrained
    to fit, so that it always does.

        ```python
        from langchain_freeproviders import ChatEmbedded

        model = ChatEmbedded(model="qwen2.5-coder-0.5b", temperature=0)
        ```
    """


class ChatBackend(GivenBackend, FreeProvidersChatModel):
    """Any backend as a chat model: a configured provider of the core, or an object of your own.

    `backend` is a `freeproviders.Backend`, or any object with `name`, `model` and
    `batches(request)`. Tools, typed answers and all else work as with the other models. The model
    is pickled where the backend can be, and cannot be saved as JSON, since a backend of yours
    does not say how it is made.

        ```python
        from freeproviders import FlowGpt
        from langchain_freeproviders import ChatBackend

        model = ChatBackend(backend=FlowGpt())
        ```
    """


class ChatFreeProviders(RouterChatModel):
    """One model over everything that is free for this user, which goes on where a service fails.

    Without `models` it finds them: services with a key in the environment, then Ollama, then the
    embedded model. It spends nothing unasked; `freeproviders.FreeProviders` says what is asked when.
    With `models` those are asked, in their order: names, LangChain chat models of any package,
    backends. `model` of a call restricts it to the members of that name.

    `response_metadata` names what answered (`provider`, `model_name`), what became of each member
    (`trail`) and where another went on (`seams`). Custom events tell of all that while it happens.
    If no member answers, a `NoProviderError` says why, member by member.

        ```python
        from langchain_core.language_models import FakeListChatModel
        from langchain_freeproviders import ChatFreeProviders

        model = ChatFreeProviders(models=["flow-gpt", FakeListChatModel(responses=["I am last."])])
        ```
    """
