"""A backend answers questions: a provider, the embedded model, or a class of the user's own.

A backend has a name, a model, abilities and `batches`, the bare protocol. `answer` adds what a
service lacks - tools, typed answers, histories with tool calls - and all the ways to ask stand on
it.
"""

from __future__ import annotations

import copy
import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import fields, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, Unpack

from freeproviders import bridge
from freeproviders.abilities import Abilities, Askable, Feature, Learned
from freeproviders.adapted import check_askable, completed
from freeproviders.addresses import is_loopback
from freeproviders.checks import SETTINGS, as_tools, check_media, check_prefill, check_request, checked_stops
from freeproviders.configuration import CONFIGURATION, Configuration, split, two_names, unknown_names
from freeproviders.errors import UsageError
from freeproviders.methods import hybridmethod, takes_what
from freeproviders.naming import argument
from freeproviders.retry import Retry
from freeproviders.several import several
from freeproviders.streams import PartsSync, TextStream, parts, texts, whole
from freeproviders.thinking import SplitAnswer
from freeproviders.tools import loading
from freeproviders.tools.choice import narrowed
from freeproviders.types import (
    MAX_REPAIRS,
    Batch,
    ChatRequest,
    Completion,
    Message,
    OnEmpty,
    OnInvalid,
    Part,
    Prefill,
    ReasoningMode,
    Tool,
    as_messages,
)
from freeproviders.usage import estimate_tokens
from freeproviders.windows import context_window

if TYPE_CHECKING:
    from freeproviders.answers.cache import AnswerCache, Cache
    from freeproviders.catalogue.rows import Service
    from freeproviders.quota.meter import Meter

_AT_ONCE_OF_A_SERVICE: Final = 16
"""Questions to a service at once; its own limit of concurrency, where it has one, is kept beside it."""
_AT_ONCE_HERE: Final = 8
"""Questions to a server of this machine, most of which answer a few at once and let the others wait."""
_AT_ONCE_ANYWHERE: Final = 4
"""Questions to a backend that says nothing of itself."""

_OF_A_BACKEND: Final = frozenset({"cache", "fallback", "json_schema", "native_tools", "service"})
"""Keywords of constructors that are no options of a service, also where a router passes them on."""


def _with_changes(abilities: Callable[..., Abilities]) -> Callable[..., Abilities]:
    """Apply the changes of `with_abilities` to what a method returns."""

    @functools.wraps(abilities)
    def changed(self: Backend, model: str | None = None) -> Abilities:
        own = abilities(self, model)
        if not self._changed:
            return own
        return self.learned.without_refused(replace(own, **self._changed), model or self.model)

    return changed


class Backend(ABC):
    """A source of answers: the base of providers, the embedded model among them.

    A subclass has a `name`, a `model` ("" where it has one only) and `batches`; what its models can
    do by themselves is in `default_abilities`, or in an `abilities` of its own.
    """

    name: str
    slug: str = ""
    model: str = ""
    default_abilities: ClassVar[Abilities] = Abilities()
    gives_several: ClassVar[bool] = False
    """Whether `batches` takes `n`: several answers to one request."""
    announces_admission: ClassVar[bool] = False
    """Whether `answer` calls the listener of a request with an `Admitted` as it goes out."""
    on_empty: ClassVar[OnEmpty] = "error"
    """What an answer without text and calls is, where the request leaves that open."""
    accepted_options: ClassVar[frozenset[str] | None] = None
    """Settings and options that the service has a place for; None is any."""
    retry: Retry = Retry()
    base_url: str = ""
    """Where requests go; "" where there is no address."""
    _stands_for: str = ""
    """The address on another machine in whose place `base_url` is asked on this one."""
    _finds_out: frozenset[Feature] = frozenset()
    """The features that answers decide about, but for models whose abilities are known."""
    _changed: Mapping[str, Any] = MappingProxyType({})
    _learned: dict[str, Learned]
    _cache: AnswerCache | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make what all copies share, whatever a subclass does in its `__init__`."""
        del args, kwargs
        self = super().__new__(cls)
        object.__setattr__(self, "_learned", {})  # also of a frozen dataclass
        return self

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let `with_abilities` change what a subclass's own `abilities` returns."""
        super().__init_subclass__(**kwargs)
        if "abilities" in cls.__dict__:
            cls.abilities = _with_changes(cls.abilities)  # type: ignore[method-assign]

    @abstractmethod
    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer by the bare protocol, a list for each network read.

        The last part is `Finish`, before it comes `Usage`. A request that cannot work raises
        `UsageError` here, before anything is sent. `aclose` ends the request.
        """

    def answer(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the answer to any request; features that the service lacks are added here.

        Tools, a response format and a history with tool calls work on every service. All other
        methods call this one.

        Raises:
            UsageError: at the call itself, before anything is sent; for tools and formats while
                iterating, where the process's first such question comes from an event loop.
            ProviderError: while iterating.
            OutputError: while iterating: the call or the object that was required did not come.
        """
        if self._cache is not None:
            return self.kept_or_asked(request, lambda asked: asked.answer(request))
        if request.n != 1:
            self._check(request)
            return several(self, request, at_once=self.gives_several and not needs_engine(request))
        if needs_engine(request):
            self._check(request)
            if loading.would_block():
                return loading.loaded_first(partial(_engine_answer, self, request))
            return _engine_answer(self, request)
        batches = self.batches(request)
        return batches if request.reasoning == "keep" else SplitAnswer(self, request, batches)

    def _check(self, request: ChatRequest) -> None:
        """Raise `UsageError`, with the names of backend and model, where a request makes no sense."""
        try:
            check_request(request, self.accepted_options)
        except UsageError as error:
            raise error.about(self.name, request.model or self.model)  # noqa: B904 - the same error

    @property
    def keeps_answers(self) -> bool:
        """Whether answers are kept, so that each question is asked once."""
        return self._cache is not None

    def kept_or_asked(
        self, request: ChatRequest, ask: Callable[[Backend], AsyncGenerator[Batch, None]]
    ) -> AsyncGenerator[Batch, None]:
        """Stream the kept answer to a request, or else the one of `ask`, which is then kept.

        `ask` is called with this backend without its cache; it finds the caller's mistakes, and its
        stream has not begun.
        """
        asked = self.cached(None)
        batches = ask(asked)
        if self._cache is None:
            return batches
        return self._cache.answered(request, asked.asked_as(request.model), batches)

    def cached(self, cache: Cache | AnswerCache = True) -> Self:
        """Return a copy that asks each question once, and gives its answer again from then on.

        Answers are kept where `cache` says: True is the user's own file (or `FREEPROVIDERS_ANSWERS`),
        else a path, `redis://...`, "memory" or an answer store; None keeps nothing. A question is the
        same where `freeproviders.answers.keys.request_key` says so, at any temperature. An answer
        that is given again has `Finish.cached`, and takes neither time nor quota. Only whole answers
        are kept; see `freeproviders.answers.cache.is_whole`.
        """
        other = copy.copy(self)
        other._keep_answers(cache)  # noqa: SLF001 - one of us
        return other

    def _keep_answers(self, cache: Cache | AnswerCache) -> None:
        kept = None
        if cache is not None and cache is not False:
            # only a cache of answers needs it
            from freeproviders.answers.cache import AnswerCache  # noqa: PLC0415

            kept = AnswerCache.of(cache)
        object.__setattr__(self, "_cache", kept)  # also of a frozen dataclass

    @staticmethod
    def of(value: Backend | Askable) -> Backend:
        """Make a backend of any object with `name`, `model` and `batches`.

        Raises `UsageError` where one of them is missing.
        """
        return value if isinstance(value, Backend) else _Foreign(value)

    # --- what it is ---

    def abilities(self, model: str | None = None) -> Abilities:
        """The abilities of a model, as far as they are known, less those that the service refuses.

        None is the backend's own model.
        """
        model, learned = model or self.model, self.learned
        claimed = self.known_abilities(model) or self.default_abilities
        if learned.is_blank:
            return replace(claimed, **self._changed) if self._changed else claimed
        lessons = learned.lessons
        if lessons and self._finds_out:
            shown: dict[str, Any] = {
                feature: (getattr(claimed, feature) and not learned.lacks(feature, model))
                or learned.proves(feature, model)
                for feature in self._finds_out
            }
            claimed = replace(claimed, **shown)
        if (window := learned.window_of(model)) is not None:
            claimed = replace(claimed, window=window)
        if self._changed:
            claimed = replace(claimed, **self._changed)
        return learned.without_refused(claimed, model) if lessons else claimed

    def known_abilities(self, model: str) -> Abilities | None:
        """Return the abilities of a model that are known beforehand, None where nothing is known.

        They decide where `finds_out` says so, until answers show something else.
        """
        del model
        return None

    def prefills(self, model: str | None = None) -> Prefill:
        """Say how a model takes the beginning of an answer, `ChatRequest.prefill`.

        "exact": the answer goes on behind it, and only what follows comes. "asked": the service is
        asked to; it may repeat the beginning, or pass it over. "": a request with one is refused.
        """
        del model
        return ""

    def window_of(self, model: str | None = None) -> int | None:
        """Look up the context window of a model in tokens; None where it is not known.

        What the caller claims by `with_abilities` comes first, then what the service has told in a
        list of its models or a refusal, then what is known beforehand.
        """
        model = model or self.model
        return self._changed.get("window") or self.learned.window_of(model) or self.known_window(model)

    def known_window(self, model: str) -> int | None:
        """Look up the context window of a model beforehand: in the abilities, then by its name."""
        return self.abilities(model or None).window or context_window(model)

    @property
    def has_tokenizer(self) -> bool:
        """Whether tokens can be counted exactly just now, by a server of the user's own."""
        return False

    async def exact_tokens(self, text: str, model: str) -> int | None:
        """Count a text's tokens by the model's own tokenizer; None where it cannot be asked."""
        del text, model
        return None

    async def count_tokens(self, text: str, *, model: str | None = None) -> int:
        """Count the tokens of a text: exactly where a server tokenises for others, else by estimate.

        An exact count is one request to that server, which has 2 seconds for it.
        """
        exact = await self.exact_tokens(text, model or self.model) if self.has_tokenizer else None
        return estimate_tokens(text, model or self.model) if exact is None else exact

    def count_tokens_sync(self, text: str, *, model: str | None = None) -> int:
        """`count_tokens` for code without an event loop."""
        if not self.has_tokenizer:
            return estimate_tokens(text, model or self.model)
        return bridge.run(self.count_tokens(text, model=model))

    def finds_out(self, feature: Feature) -> bool:
        """Return whether answers decide about a feature, since neither claim nor caller does."""
        return feature in self._finds_out and feature not in self._changed

    def tries(self, feature: Feature, model: str) -> bool:
        """Return whether a request should find out about a feature of a model."""
        if not self.finds_out(feature) or self.knows(feature, model):
            return False
        learned = self.learned
        return learned.is_blank or not (learned.lacks(feature, model) or learned.proves(feature, model))

    def knows(self, feature: Feature, model: str) -> bool:
        """Return whether it is known beforehand if a model has a feature."""
        del feature
        return self.known_abilities(model) is not None

    def with_abilities(self, **changes: Any) -> Self:
        """Return a copy that claims other abilities, as `tools=False` for tools in the prompt."""
        known = [field.name for field in fields(Abilities)]
        if unknown := changes.keys() - set(known):
            raise unknown_names(unknown, known, self.name)
        other = copy.copy(self)
        other._changed = {**self._changed, **changes}  # noqa: SLF001 - one of us
        return other

    @property
    def keeps_limits(self) -> bool:
        """Whether a question may have to wait for room among limits before it goes out."""
        return False

    async def metered(self) -> Meter | None:
        """Return the way to the ledger in which requests are reserved, None where none are."""
        return None

    def ledger_places(self) -> frozenset[str]:
        """Name the places, files or URLs or "memory", where limits of `asked_backends` are kept."""
        others = [one for one in self.asked_backends() if one is not self]
        return frozenset().union(*[one.ledger_places() for one in others])

    async def usual_in_flight(self) -> int:
        """Say how many questions to ask at the same time, where the caller names no number."""
        if not self.base_url:
            return _AT_ONCE_ANYWHERE
        return _AT_ONCE_HERE if is_loopback(self.base_url) else _AT_ONCE_OF_A_SERVICE

    @property
    def most_waiting(self) -> int:
        """How many questions may wait for room among limits at the same time.

        One, so that other callers need not stand in line behind many. More where the word that a
        question has its room takes long to arrive.
        """
        return 1

    def model_to_ask(self, model: str | None = None) -> str:
        """Return the name that a request carries for a model; None is the default model."""
        return self.get_model(model)

    def with_model(self, model: str) -> Self:
        """Return a copy with another model of its own."""
        other = copy.copy(self)
        other.model = self.model_to_ask(model)
        return other

    def asked_as(self, model: str | None = None) -> str:
        """Say what a question to a model is asked of: which backend, which model, and where.

        It is a part of the keys under which answers are kept, the same in every process, and has no
        secrets in it. The address is named where it is not the usual one, and abilities where they
        were claimed.
        """
        named = f"{self.slug or self.name}/{self.model_to_ask(model) if model else self.model}"
        if not self._is_at_home():
            named += f" at {self._stands_for or self.base_url}"
        return named + "".join([f" with {name}={self._changed[name]}" for name in sorted(self._changed)])

    def _is_at_home(self) -> bool:
        """Return whether the address is the usual one."""
        return self.base_url == getattr(self, "default_base_url", "")

    @property
    def learned(self) -> Learned:
        """What answers of the service at this address have shown; shared by all copies."""
        return self._learned.get(self.base_url) or self._learned.setdefault(self.base_url, Learned())

    def learn_into(self, learned: dict[str, Learned]) -> None:
        """Learn into what others share, by address: for one that is made anew in place of a copy."""
        object.__setattr__(self, "_learned", learned)  # also of a frozen dataclass

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """Return the backend's own name of a model; any text will do.

        None or "" means the only model that there is.
        """
        return model or ""

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        """Return a copy that is reached in another way.

        Raises `UsageError` where there is nothing to configure.
        """
        if changes:
            raise UsageError(
                f"This backend takes no configuration: {', '.join(changes)} has no place here.",
                provider=self.name,
            )
        return self

    # Methods, and no properties of common names: subclasses of others have attributes of their own.

    def asked_backends(self) -> tuple[Backend, ...]:
        """Return the backends that are asked in the end: this one, or those that it chooses among."""
        return (self,)

    def services(self) -> list[Service]:
        """Return the services that may be asked, as far as they are in the catalogue."""
        return []

    def without(self, unwanted: Callable[[Service], bool]) -> Self:
        """Return a backend that asks none of the services for which `unwanted` is true.

        Raises `UsageError` where no backend is left.
        """
        if any(unwanted(service) for service in self.services()):
            raise UsageError("There is no backend to ask.", provider=self.name)
        return self

    # --- a question, in all the ways to ask it ---

    def request(
        self,
        messages: Iterable[Message | Mapping[str, Any]] | str,
        *,
        model: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] | None = None,
        tools: Iterable[Tool | Mapping[str, Any]] | None = None,
        tool_choice: bool | str | Sequence[str] | Mapping[str, Any] | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Mapping[str, Any] | None = None,
        stream: bool = True,
        max_repairs: int | None = None,
        allow_repeats: bool | None = None,
        on_invalid: OnInvalid | None = None,
        reasoning: ReasoningMode | None = None,
        wait_up_to: float | None = None,
        on_empty: OnEmpty | None = None,
        n: int | None = None,
        stream_tool_arguments: bool | None = None,
        stream_usage: bool | None = None,
        include_response_headers: bool | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ChatRequest:
        """Read what a caller passed as a `ChatRequest`.

        `tool_choice` may be in any notation of OpenAI, Anthropic, LangChain or LlamaIndex. A tool
        that runs at the service is a mapping with its type, as `{"type": "web_search"}`.
        `options` and `extra_body` are options of the service, by its own names. Raises
        `UsageError` on what makes no sense.
        """
        if extra_body is not None and not isinstance(extra_body, Mapping):
            raise UsageError(
                f"{argument('extra_body')} must be a mapping, not {type(extra_body).__name__}.",
                provider=self.name,
            )
        if options:
            configuration, options = split(options, self.name)
            if configuration:
                raise UsageError(
                    f"{', '.join(configuration)} says how the backend is reached and belongs to no request: "
                    "pass it to the backend, to `configured` or to `stream` and its like.",
                    provider=self.name,
                )
            if own := (_constructor_names(type(self)) | _OF_A_BACKEND) & options.keys():
                cached = ", or ask backend.cached(...)" if "cache" in own else ""
                raise UsageError(
                    f"{', '.join([argument(name) for name in sorted(own)])} belongs to the constructor: "
                    f"pass it to {type(self).__name__}(...){cached}. A service's own option of that name "
                    "goes into extra_body.",
                    provider=self.name,
                )
            if "max_tokens" in options:  # by a second name
                if max_tokens is not None:
                    raise two_names("max_completion_tokens", "max_tokens", self.name)
                max_tokens = options.pop("max_tokens")
        offered, service_tools = as_tools(tools)
        if tool_choice is not None:
            offered, choice = narrowed(offered, tool_choice)
        else:
            choice = None
        return ChatRequest(
            messages=as_messages(messages),
            model=(self.get_model(model) if model else self.model) or None,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            stop=checked_stops(stop),
            tools=offered,
            tool_choice=choice,
            parallel_tool_calls=parallel_tool_calls,
            response_format=response_format,
            stream=stream,
            options={**options, **extra_body} if extra_body else options,
            max_repairs=MAX_REPAIRS if max_repairs is None else max_repairs,
            allow_repeats=allow_repeats,
            on_invalid=on_invalid,
            reasoning=reasoning,
            wait_up_to=wait_up_to,
            on_empty=on_empty,
            n=1 if n is None else n,
            service_tools=service_tools,
            stream_tool_arguments=bool(stream_tool_arguments),
            stream_usage=stream_usage is not False,
            include_response_headers=bool(include_response_headers),
        )

    @hybridmethod
    def create_async_generator(
        self,
        /,
        model: str | None = None,
        messages: Iterable[Message | Mapping[str, Any]] | str | None = None,
        proxy: str | None = None,
        **kwargs: Any,
    ) -> TextStream:
        """Stream the text of an answer.

        Works on the class and on an instance, with `async for` at once or after an `await`.
        `kwargs` are configuration for this call (`timeout`, `cookies`, `connector`, `base_url` ...)
        and the request's settings (`temperature`, `stop`, `max_tokens` ...).

        Raises:
            UsageError: at the call itself, before anything is sent.
            ProviderError: while iterating; also an `aiohttp.ClientError`, and a time-out also an
                `asyncio.TimeoutError`.
        """
        return text_stream(self, model, messages, {"proxy": proxy, **kwargs})

    @takes_what(request)
    def stream(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, **options: Any
    ) -> AsyncGenerator[Part, None]:
        """Stream the parts of an answer.

        `options` as in `request`, and configuration for this call (`timeout`, `retry`, `headers`
        ...).
        """
        return parts(self._answer(messages, options))

    @takes_what(request)
    async def complete(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, **options: Any
    ) -> Completion:
        """Wait for the whole answer. `options` as in `stream`."""
        return await whole(self._answer(messages, {**options, "stream": False}))

    @takes_what(request)
    def stream_sync(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, **options: Any
    ) -> Iterator[Part]:
        """`stream` for code without an event loop, or inside a running one."""
        return PartsSync(bridge.iterate(self._answer(messages, options)))

    @takes_what(request)
    def complete_sync(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, **options: Any
    ) -> Completion:
        """`complete` for code without an event loop, or inside a running one."""
        return bridge.run(whole(self._answer(messages, {**options, "stream": False})))

    def _answer(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, keywords: Mapping[str, Any]
    ) -> AsyncGenerator[Batch, None]:
        configuration, settings = split(keywords, self.name)
        backend = self.configured(**configuration) if configuration else self
        return backend.answer(backend.request(messages, **settings))


def _engine_answer(backend: Backend, request: ChatRequest) -> AsyncGenerator[Batch, None]:
    # schemas and parsers, which only tools need
    from freeproviders.tools.engine import answer  # noqa: PLC0415

    return answer(backend, request)


def needs_engine(request: ChatRequest) -> bool:
    """Return whether a request asks for something that a service may lack."""
    if request.tools or request.tool_choice is not None or request.response_format is not None:
        return True
    if request.reasoning is not None and request.reasoning != "keep":
        return True
    for message in request.messages:  # noqa: SIM110 - a generator would cost more than the loop
        if message.tool_calls or message.role == "tool":
            return True
    return False


def text_stream(
    asked: Backend | type[Backend],
    model: str | None,
    messages: Iterable[Message | Mapping[str, Any]] | str | None,
    keywords: Mapping[str, Any],
) -> TextStream:
    """Stream the text of an answer from a backend, or from a class configured for this call."""
    if messages is None:
        raise UsageError(
            "messages is missing: pass a list of {'role': ..., 'content': ...}.", provider=asked.name
        )
    configuration, settings = split(keywords, asked.name)
    if isinstance(asked, type):
        own = _constructor_names(asked) & settings.keys()
        backend = asked(**{name: settings.pop(name) for name in own}, **configuration)
    else:
        backend = asked.configured(**configuration) if configuration else asked
    return TextStream(texts(backend.answer(backend.request(messages, model=model, **settings))))


@functools.cache
def _constructor_names(cls: type) -> frozenset[str]:
    """Name the keywords of a class's constructor, and those of its bases, that no call has."""
    found = {
        parameter.name
        for base in cls.__mro__
        if "__init__" in base.__dict__ and issubclass(base, Backend)
        for parameter in inspect.signature(base.__init__).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return frozenset(found - set(CONFIGURATION) - SETTINGS)


class _Foreign(Backend):
    """A backend that is none of our classes."""

    announces_admission = True

    def __init__(self, given: Askable) -> None:
        check_askable(given)
        self._take(given)

    def _take(self, given: Askable) -> None:
        self._given: Any = given  # what else it has is looked for
        self.name, self.model = given.name, given.model or ""
        self.slug = getattr(given, "slug", "")
        self.base_url = getattr(given, "base_url", "")
        self.retry = Retry.of(getattr(given, "retry", None), Retry())

    def abilities(self, model: str | None = None) -> Abilities:
        """The abilities that the given object claims, less those refused; none without a claim."""
        if not hasattr(self._given, "abilities"):
            return super().abilities(model)
        model = model or self.model
        return self.learned.without_refused(self._given.abilities(model or None), model)

    def asked_as(self, model: str | None = None) -> str:
        """Say what is asked for, in the words of the given object where it has some."""
        if not hasattr(self._given, "asked_as"):
            return super().asked_as(model)
        said: str = self._given.asked_as(model)
        return said

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        model = request.model or self.model
        try:
            check_request(request, self.accepted_options)
            check_prefill(request, self)
            if self._changed or hasattr(self._given, "abilities"):
                check_media(request, self.abilities)
            stream = self._given.batches(request)
            if not hasattr(stream, "__aiter__") or not hasattr(stream, "aclose"):
                if inspect.iscoroutine(stream):
                    stream.close()
                raise UsageError(  # noqa: TRY301 - it gets its names below, as those of the checks
                    f"batches(request) must be an asynchronous generator, not {type(stream).__name__}."
                )
        except UsageError as error:
            raise error.about(self.name, model)  # noqa: B904 - the same error
        return completed(stream, request, provider=self.name, model=model, learned=self.learned)

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        if not changes or not hasattr(self._given, "configured"):
            return super().configured(**changes)
        other = copy.copy(self)
        other._take(self._given.configured(**changes))  # noqa: SLF001 - of the same class
        return other
