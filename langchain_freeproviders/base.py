"""The base of all chat models: LangChain's methods over the one stream of a backend.

Async runs on the caller's loop, batch by batch; sync goes through `freeproviders.bridge`, a whole
batch at a time. What a service cannot do itself - tools, structured output, stop sequences,
counting - the core does, below LangChain's callbacks, so that one call is one call in every trace.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import BaseModel, model_validator

from freeproviders.usage import TOKENS_PER_MESSAGE, TOKENS_PER_PICTURE, counted_text
from freeproviders.wire.json import dumps
from langchain_freeproviders._version import __version__
from langchain_freeproviders.bound import BoundChatModel
from langchain_freeproviders.chunks import ChunkWriter, combined_outputs, result
from langchain_freeproviders.errors import translating
from langchain_freeproviders.keywords import given, hidden, shown
from langchain_freeproviders.messages import core_messages
from langchain_freeproviders.provider import ProviderSettings
from langchain_freeproviders.settings import BackendSettings
from langchain_freeproviders.structured import structured
from langchain_freeproviders.tools import Method, choose, core_format, openai_tools, service_tools

Bindable = dict[str, Any] | type | Callable[..., Any] | BaseTool
F = TypeVar("F", bound=Callable[..., Any])


def with_signature(method: F) -> F:
    """Write down a method's signature once.

    LangChain works it out at every call, which costs more than our conversion and request together.
    """
    method.__dict__["__signature__"] = inspect.signature(method)
    return method


class ResolvedProfile(dict[str, Any]):
    """A profile computed from the model's name, not set by the user.

    Its `max_input_tokens` may be known by the name only: good to plan with, and no reason to refuse
    a question.
    """


class FreeProvidersChatModel(BackendSettings, BaseChatModel):
    """A chat model over a backend of the core; the classes to use are in `chat_models`.

    Setup:
        ```bash
        pip install '.[langchain]'  # in a clone of freeproviders
        ```

        `<NAME>_API_KEY`, `<NAME>_API_BASE` and `<NAME>_PROXY` are read from the environment.

    Key init args - completion params:
        `model`, `temperature`, `top_p`, `max_tokens`: one that the service does not have is left out,
            with one warning.
        `stop`: texts that end the answer; they work on every service.
        `max_repairs`, `allow_repeats`, `on_invalid`, `reasoning`, `wait_up_to`: see
            `freeproviders.ChatRequest`.
        `model_kwargs`, `extra_body`: options of the service, by its own names; `extra_body` is not
            saved or shown.

    Key init args - client params:
        `base_url`: a mirror, a self-hosted clone, or a replica.
        `api_key`: where the service wants one.
        `timeout`: seconds for an attempt, or a `freeproviders.Timeout`.
        `max_retries`: attempts after the first one, or a `freeproviders.Retry`.
        `proxy`: `http://user:password@host:port`.
        `headers`, `cookies`, `connector`, `trust_env`: see `provider`.

        A call takes all of them as well: `model.invoke("Hi", temperature=0, timeout=5)`.

    Instantiate:
        ```python
        from langchain_freeproviders import ChatFlowGpt

        model = ChatFlowGpt()
        ```

    Invoke:
        ```python
        messages = [
            ("system", "Translate the sentence to French."),
            ("human", "I love programming."),
        ]
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
        If the service has no tools of its own, they go through the prompt. A call comes out whole.

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


        question = 'Which city and country is "Paris" in "France"?'
        model.with_structured_output(City).invoke(question)  # -> City(...)
        ```

    JSON mode:
        ```python
        question = "Answer with JSON like {'name': 'Paris', 'country': 'France'}."
        model.with_structured_output(City, method="json_mode").invoke(question)  # -> City(...)
        ```

    Token usage:
        Reported by the service or estimated; `response_metadata["usage_estimated"]` says which.

        ```python
        model.invoke(messages).usage_metadata["total_tokens"] > 0  # -> True
        ```

    Response metadata:
        ```python
        metadata = model.invoke(messages).response_metadata
        metadata["model_name"], metadata["finish_reason"]  # -> ('...', 'stop')
        ```
    """

    streaming: bool = False
    """Whether `invoke` and `ainvoke` stream.

    False, set explicitly, makes `stream` wait for the whole answer.
    """
    stream_usage: bool = True
    """Whether the last chunk of a stream has the token counts; a whole answer always has them."""

    # --- the four methods ---

    @with_signature
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - LangChain calls its handlers
        **kwargs: Any,
    ) -> ChatResult:
        return result(self._complete(partial(core_messages, messages), stop, kwargs), self.model_provider)

    @with_signature
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,  # noqa: ARG002 - as above
        **kwargs: Any,
    ) -> ChatResult:
        completion = await self._acomplete(partial(core_messages, messages), stop, kwargs)
        return result(completion, self.model_provider)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        read = partial(core_messages, messages)
        return self._chunks(read, stop, kwargs, self._writer(kwargs), run_manager)

    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        read = partial(core_messages, messages)
        return self._achunks(read, stop, kwargs, self._writer(kwargs), run_manager)

    def _writer(self, options: Mapping[str, Any]) -> ChunkWriter:
        return ChunkWriter(self.model_provider, shows_usage=self._wants_usage(options))

    def _wants_usage(self, options: Mapping[str, Any]) -> bool:
        """Return whether a stream is to have its token counts, which may be said in four places."""
        for given_options in (options, self.model_kwargs):
            if isinstance(asked := given_options.get("stream_usage"), bool):
                return asked
            of_the_stream = given_options.get("stream_options")
            if isinstance(of_the_stream, Mapping) and isinstance(
                asked := of_the_stream.get("include_usage"), bool
            ):
                return asked
        return self.stream_usage

    def _made_settings(self) -> dict[str, Any]:
        settings = super()._made_settings()
        return settings if self.stream_usage else {"stream_usage": False, **settings}

    def _should_stream(
        self,
        *,
        async_api: bool,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> bool:
        n = kwargs.get("n") or self.n
        if n is not None and n > 1 and not kwargs.get("stream"):
            return False  # a stream, which a listener may ask for, has one answer
        return super()._should_stream(async_api=async_api, run_manager=run_manager, **kwargs)

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        return combined_outputs(llm_outputs, self.model)

    @property
    def _known_window(self) -> int | None:
        profile = self.profile
        if profile is None or type(profile) is ResolvedProfile:
            return super()._known_window
        return profile.get("max_input_tokens")  # the caller's word

    def _look_at_window(self) -> None:
        profile = self.profile
        if (
            profile is not None
            and type(profile) is ResolvedProfile
            and (window := self._window_to_plan_with())
        ):
            profile["max_input_tokens"] = window

    def _window_to_plan_with(self) -> int | None:
        return self._known_window or self._backend.window_of(self.model or None)

    # --- tools and structured output ---

    def bind(self, **kwargs: Any) -> BoundChatModel:
        """Bind keywords to each call; those with secrets are not shown and not saved."""
        return BoundChatModel(bound=self, kwargs=hidden(kwargs, self.get_name()), config={})

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> BoundChatModel:
        """Bind a config to each call; `configurable` values that are secrets are not shown and not saved."""
        bound = BoundChatModel(bound=self, kwargs={}, config={})
        return bound.with_config(config, **kwargs)

    def bind_tools(
        self,
        tools: Sequence[Bindable],
        *,
        tool_choice: str | dict[str, Any] | Sequence[str] | bool | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        response_format: dict[str, Any] | type | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools.

        Works on every provider: where the service has no tools of its own, they go through the
        prompt, and only complete calls whose arguments fit come out.

        Args:
            tools: each a `BaseTool`, a function, a pydantic class, a TypedDict or a JSON schema;
                may be empty. A tool that runs at the service (`{"type": "web_search"}`) goes there
                as it is, where the service has tools of its own.
            tool_choice: "auto", "none", "any" (or "required", True), a tool's name, several names,
                or a mapping as OpenAI and Anthropic write it.
            parallel_tool_calls: False ends the answer after the first call.
            strict: passed on with each tool's schema.
            response_format: the form of the final answer, as `{"type": "json_schema", ...}` or a
                class.
            kwargs: further settings of the request, as `max_repairs` or `allow_repeats`.

        Raises:
            UsageError: for what cannot be bound.
        """
        with translating:
            offered, choice = choose(openai_tools(tools, strict=strict), tool_choice)
            offered = [*offered, *service_tools(tools)]
            bound: dict[str, Any] = {"tools": offered} if offered else {}
            if response_format is not None:
                bound["response_format"] = core_format(response_format)
        if choice is not None:
            bound["tool_choice"] = choice
        if parallel_tool_calls is not None and tools:
            bound["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(**bound, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Let the model answer with an object that fits a schema.

        The answer is constrained where the service can do that, else asked for in the prompt. It is
        found in whatever the model says, checked, and asked for again with the exact complaint.
        What comes out is valid, or an error of its own type is raised: never None.

        Args:
            schema: a pydantic class (instances come out), a TypedDict, a dataclass, or a JSON or
                function schema with a title. None is any JSON object, for "json_mode" only.
            method: "json_schema" asks for the object as the answer, "function_calling" as the
                arguments of a tool call, "json_mode" for any JSON that your own prompt describes.
            include_raw: return `{"raw": AIMessage, "parsed": object or None, "parsing_error": error
                or None}` and raise nothing for a bad answer.
            strict: passed on with a tool's schema; for an object, a service with schemas of its own
                is always strict.
            kwargs: further settings of the request.
        """
        with translating:
            return structured(
                self, schema, method=method, include_raw=include_raw, strict=strict, settings=kwargs
            )

    # --- counting ---

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Count the tokens of a conversation and of its tools' schemas.

        A picture counts for the least that it may be.
        """
        with translating:
            turns = core_messages(messages) if messages else ()
            written = [dumps(tool["function"]).decode() for tool in openai_tools(tools or ())]
        count = sum(
            TOKENS_PER_MESSAGE
            + self.get_num_tokens(counted_text(turn))
            + TOKENS_PER_PICTURE * len(turn.images)
            for turn in turns
        )
        return count + sum(self.get_num_tokens(text) for text in written)

    # --- what LangChain asks of a model ---

    @property
    def _llm_type(self) -> str:
        return f"{self._slug}-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return self._identity

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        # As the base class, without the detour over a deprecated method, which costs more than all
        # the rest.
        return {**self._identity, "_type": self._llm_type, "stop": stop, **shown(given(kwargs))}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # A cache's key. The saved form, which the base class takes, leaves out what is default:
        # which model that is may change. What is kept is the message as it came out, and the output
        # version is its form.
        return str(
            sorted(
                {
                    **self._get_invocation_params(stop=stop, **kwargs),
                    "output_version": self.output_version,
                }.items()
            )
        )

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return self._traced_params("chat", stop, kwargs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        able = self._backend.abilities(self.model or None)
        profile = ResolvedProfile(
            text_inputs=True,
            text_outputs=True,
            image_inputs=able.images,
            image_url_inputs=able.images,
            pdf_inputs=able.files,
            audio_inputs=able.audio,
            video_inputs=False,
            tool_calling=True,
            tool_choice=True,
            structured_output=able.schema,
            reasoning_output=able.reasoning,
        )
        if (window := self._window_to_plan_with()) is not None:
            profile["max_input_tokens"] = window
        if able.output is not None:
            profile["max_output_tokens"] = able.output
        return cast("ModelProfile", profile)

    @model_validator(mode="before")
    @classmethod
    def _resolve_anew(cls, values: Any) -> Any:
        # LangChain makes a model with other fields by passing all the old ones on, the old profile
        # among them.
        if isinstance(values, dict) and type(values.get("profile")) is ResolvedProfile:
            return {name: value for name, value in values.items() if name != "profile"}
        return values

    @model_validator(mode="after")
    def _set_freeproviders_version(self) -> Self:
        self._add_version("langchain-freeproviders", __version__)
        return self

    # --- closing, which is optional ---

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def aclose(self) -> None:
        """Drop cached state, such as a nonce or refused features; the model can still be used.

        Connections belong to the event loop and end with it.
        """
        self.close()

    def close(self) -> None:
        """Do what `aclose` does, in code without an event loop."""
        self._forget()


class ProviderChatModel(ProviderSettings, FreeProvidersChatModel):
    """A chat model over a provider of the core; a subclass names the `provider_class`."""
