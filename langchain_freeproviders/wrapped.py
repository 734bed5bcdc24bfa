"""Any LangChain chat model as a backend of the core, as a router asks it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from langchain_core import exceptions as langchain
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable

from freeproviders.abilities import Abilities
from freeproviders.backend import Backend
from freeproviders.checks import caution
from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    EmptyResponseError,
    FreeProvidersError,
    NotFoundError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderError,
    RateLimitError,
    ServerError,
    UnknownModelError,
    UsageError,
)
from freeproviders.foreign import of_another_loop, translated
from freeproviders.types import Batch, ChatRequest
from langchain_freeproviders.incoming import MessageReader
from langchain_freeproviders.outgoing import (
    address_of,
    field_of,
    langchain_messages,
    tool_keywords,
    with_settings,
)
from langchain_freeproviders.settings import BackendSettings

_EMPTY: Final = re.compile(r"No generations? ")
"""The words of LangChain's base classes for an answer without anything in it."""
_BY_LANGCHAIN: Final[Mapping[type, type[ProviderError]]] = {
    langchain.ContextOverflowError: ContextOverflowError,
    langchain.ModelAPIError: ServerError,
    langchain.ModelAuthenticationError: AuthenticationError,
    langchain.ModelConnectionError: ProviderConnectionError,
    langchain.ModelInvalidRequestError: BadRequestError,
    langchain.ModelNotFoundError: NotFoundError,
    langchain.ModelPermissionDeniedError: PermissionDeniedError,
    langchain.ModelRateLimitError: RateLimitError,
}
"""LangChain's errors, which packages raise with nothing of the answer in them."""
_MOST_LOOPS: Final = 3
"""So often is a client asked again that fails over the connections of a loop that has ended."""


def as_backend(model: BaseChatModel, *, name: str = "") -> Backend:
    """Make a backend of any LangChain chat model, for a router or anything else of the core.

    It is asked with the settings of each request, which win over the model's own. What it can do
    is what its `profile` says; tools go to it natively where its class has `bind_tools`, else
    through the prompt, as typed answers do. Errors of its client become those of the tree. A model
    of this package is the backend that it asks.

        ```python
        from langchain_core.language_models import FakeListChatModel
        from langchain_freeproviders import as_backend

        backend = as_backend(FakeListChatModel(responses=["Hello."]), name="house")
        backend.complete_sync("Hi").text  # -> 'Hello.'
        ```

    Args:
        model: the chat model, with its own key, address, time limits and retries.
        name: the name for errors and for `response_metadata`; "" is the class's.

    Raises:
        UsageError: it is no chat model.
    """
    if isinstance(model, BackendSettings) and isinstance(model, BaseChatModel):
        return _own(model)
    if not isinstance(model, BaseChatModel):
        raise UsageError(
            f"as_backend takes a LangChain chat model, not {type(model).__name__}. Bound settings and tools "
            "belong to the router or to the call."
        )
    return Backend.of(ChatModelBackend(model, name))


def _own(model: BackendSettings) -> Backend:
    settings = [name for name in model._settings if name not in {"model", "stream_usage"}]  # noqa: SLF001 - ours
    if settings:
        raise UsageError(
            f"{', '.join(settings)} of the {type(model).__name__} would be lost: pass settings to the router "
            "or with the call."
        )
    backend = model._backend  # noqa: SLF001 - ours
    return backend.with_model(model.model_name) if model.model_name not in {"", backend.model} else backend


class ChatModelBackend:
    """A LangChain chat model with what makes an object a backend; `as_backend` makes it one.

    `model` is the model's name, where one of its fields tells it.
    """

    def __init__(self, chat: BaseChatModel, name: str = "") -> None:
        self.chat = chat
        self.name = name or type(chat).__name__
        self.slug = _provider_of(chat)
        self.model = _model_of(chat)
        self.base_url = address_of(chat)
        self._warned: set[str] = set()

    @property
    def identity(self) -> str:
        """The settings of the model, as LangChain's cache knows it by."""
        return f"{self.name} {self.base_url} {self.chat._get_llm_string()}"  # noqa: SLF001 - as the cache does

    def abilities(self, model: str | None = None) -> Abilities:
        """What the profile says that the model can do."""
        del model
        profile: dict[str, Any] = {**(self.chat.profile or {})}
        has_tools = type(self.chat).bind_tools is not BaseChatModel.bind_tools
        return Abilities(
            tools=has_tools and profile.get("tool_calling") is not False,
            images=bool(profile.get("image_inputs") or profile.get("image_url_inputs")),
            audio=bool(profile.get("audio_inputs")),
            files=bool(profile.get("pdf_inputs")),
            window=profile.get("max_input_tokens"),
            output=profile.get("max_output_tokens"),
            reasoning=bool(profile.get("reasoning_output")),
        )

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of the model's answer.

        Raises `UsageError` where the class has no place for a part of the request.
        """
        origin = f"{self.slug}/{request.model or self.model}"
        chat, left_out = with_settings(self._asked(request.model), request)
        self._warn(left_out)
        runnable: Runnable[LanguageModelInput, BaseMessage] = chat
        if request.tools or request.service_tools:
            tools = [*(tool.to_openai() for tool in request.tools), *map(dict, request.service_tools)]
            runnable = chat.bind_tools(tools, **tool_keywords(chat, request))
        keywords: dict[str, Any] = {}
        if request.stop and field_of(chat, "stop") is None:
            keywords["stop"] = list(request.stop)
        question = _Question(
            runnable,
            langchain_messages(request.messages, origin),
            keywords,
            request.stream,
            (self.name, request.model or self.model),
        )
        return _answered(question, origin)

    def _asked(self, model: str | None) -> BaseChatModel:
        """Return the chat model for a model's name."""
        if not model or model == self.model:
            return self.chat
        if (field := field_of(self.chat, "model")) is None:
            raise UnknownModelError(
                f"There is no model {model!r}: {type(self.chat).__name__} has one model only.",
                provider=self.name,
            )
        changed = self.chat.model_copy(update={field: model})
        changed.__dict__.pop("_serialized", None)
        return changed

    def _warn(self, left_out: list[str]) -> None:
        if new := sorted(set(left_out) - self._warned):
            self._warned.update(new)
            caution(f"{self.name} has no field for {', '.join(new)}: left out of the request.")


@dataclass(frozen=True, slots=True)
class _Question:
    """A question to a runnable: what its `astream` or `ainvoke` is called with."""

    runnable: Runnable[LanguageModelInput, BaseMessage]
    messages: list[BaseMessage]
    keywords: Mapping[str, Any]
    streamed: bool
    who: tuple[str, str]

    async def answers(self) -> AsyncGenerator[BaseMessage, None]:
        """Ask once; leaving early ends the request of the model's client."""
        if not self.streamed:
            yield await self.runnable.ainvoke(self.messages, **self.keywords)
            return
        chunks: Any = self.runnable.astream(self.messages, **self.keywords)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk


async def _answered(question: _Question, origin: str) -> AsyncGenerator[Batch, None]:
    for tried in range(_MOST_LOOPS + 1):
        reader = MessageReader(origin)
        try:
            async with aclosing(question.answers()) as answers:
                async for message in answers:
                    if batch := reader.read(message):
                        yield batch
            end = reader.end()
        except Exception as error:
            # Its connections are of a loop that has ended: it has dropped one by now.
            if tried < _MOST_LOOPS and not reader.began and of_another_loop(error):
                continue
            if _EMPTY.match(str(error)):
                raise EmptyResponseError("The answer is empty.").about(*question.who) from error
            found = _as_langchain_says(translated(error, begun=reader.began), error).about(*question.who)
            if found is error:
                raise
            raise found from error
        yield end
        return


def _as_langchain_says(found: FreeProvidersError, error: Exception) -> FreeProvidersError:
    """Return what was read of an error; where that is nothing, what its class says by LangChain's own."""
    if type(found) is ProviderError:
        for cls in type(error).__mro__:
            if cls in _BY_LANGCHAIN:
                return _BY_LANGCHAIN[cls](found.message)
    return found


def _model_of(chat: BaseChatModel) -> str:
    """Return the name of a chat model's model, "" where nothing tells it."""
    field = field_of(chat, "model")
    name = getattr(chat, field) if field is not None else None
    return name if isinstance(name, str) else ""


def _provider_of(chat: BaseChatModel) -> str:
    """Return the name that LangChain's traces have for a class's service."""
    try:
        return str(chat._get_ls_params().get("ls_provider") or "")  # noqa: SLF001 - as LangChain's own code does
    except Exception:  # noqa: BLE001 - a class of another package
        return ""
