"""What a provider is: a class whose attributes are a service's facts, and whose instance is one configuration.

A protocol's class says how a request is written (`encode`), how an answer is read (`decoder`) and how a refusal is understood (`failure`); everything else
- retrying, deadlines, stop sequences, usage, sync calls - is here once for all. Nothing is ever written to the class.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import types
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, closing
from dataclasses import replace
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Final,
    Generic,
    Never,
    ParamSpec,
    Self,
    TypedDict,
    TypeVar,
    Unpack,
)

from freeproviders import bridge
from freeproviders.checks import (
    as_tools,
    caution,
    check_request,
    checked_cookies,
    checked_headers,
    checked_key,
    checked_stops,
    meant,
    not_configuration,
    read_base_url,
)
from freeproviders.deadlines import Timeout
from freeproviders.errors import (
    FreeProvidersError,
    MissingPageDataError,
    NotFoundError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    UnknownModelError,
    UnsupportedInputError,
    UsageError,
)
from freeproviders.exchange import Exchange
from freeproviders.retry import Retry
from freeproviders.transport import HttpRequest, Response, Route, send
from freeproviders.types import (
    Batch,
    ChatRequest,
    Completion,
    Message,
    Part,
    Text,
    Tool,
    as_messages,
    collect,
)
from freeproviders.wire.failure import read_failure
from freeproviders.wire.parts import PartDecoder

P = ParamSpec("P")
R = TypeVar("R")


class Configuration(TypedDict, total=False):
    """What a provider is configured with beside its model; `AsyncGeneratorProvider` says what each means."""

    base_url: str | None
    api_key: str | None
    headers: Mapping[str, str] | None
    proxy: str | None
    timeout: Timeout | float | None
    cookies: Mapping[str, str] | None
    connector: Any
    retry: Retry | int | None
    trust_env: bool


_SIGNS_OF_ABSENCE: Final = (ProviderConnectionError, NotFoundError, MissingPageDataError)
_CONFIGURATION: Final = tuple(Configuration.__annotations__)


class ProviderModelMixin:
    """A service's models by name."""

    default_model: ClassVar[str] = ""
    models: ClassVar[Sequence[str]] = ()
    model_aliases: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """The service's own name of a model: an alias resolved, the default for None or "".

        Raises `UnknownModelError` where the service's models are known and this is none of them.
        """
        if not model:
            return cls.default_model
        if not isinstance(model, str):
            raise UnknownModelError(
                f"a model's name must be text, not {type(model).__name__}.", provider=cls.__name__
            )
        model = cls.model_aliases.get(model, model)
        if cls.models and model not in cls.models:
            raise UnknownModelError(
                f"{cls.__name__} has no model {model!r}: use one of {', '.join((*cls.models, *cls.model_aliases))}.",
                provider=cls.__name__,
            )
        return model


class hybridmethod(Generic[P, R]):  # noqa: N801 - used as a decorator
    """A method for class and instance alike: its first argument is what it was called on."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: object, owner: type) -> Callable[P, R]:
        """Bind to the instance, or to the class."""
        return types.MethodType(self._function, owner if instance is None else instance)


def _takes_what(asked: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Let editors and type checkers see a method with the parameters of another, to which it hands them on."""

    def like(method: Callable[..., R]) -> Callable[P, R]:
        returns = method.__annotations__["return"]
        method.__signature__ = inspect.signature(asked).replace(return_annotation=returns)  # type: ignore[attr-defined]
        return method

    return like


class TextStream(AsyncGenerator[str, None]):
    """The text of an answer, piece by piece; may be awaited first, as some of the old clients' callers do, or not."""

    def __init__(self, pieces: AsyncGenerator[str, None]) -> None:
        self._pieces = pieces

    def __await__(self) -> Generator[Any, None, Self]:
        return self
        yield  # makes this a generator that ends at once, without a turn of the loop

    def __anext__(self) -> Awaitable[str]:  # type: ignore[override]  # the generator's own awaitable, without another coroutine around it
        return self._pieces.__anext__()

    async def asend(self, value: None) -> str:
        """As of every asynchronous generator."""
        return await self._pieces.asend(value)

    async def athrow(self, *args: Any) -> str:
        """As of every asynchronous generator."""
        return await self._pieces.athrow(*args)

    async def aclose(self) -> None:
        """End the request."""
        await self._pieces.aclose()


class AsyncGeneratorProvider(ABC):
    """A chat service.

    Args:
        model: the model used when a call names none; None is `default_model`.
        base_url: where the service is: a mirror, a self-hosted clone, a replica. None is the public address.
        api_key: sent as a bearer token where the protocol has a place for it.
        headers: sent with each request; they win over the protocol's own.
        proxy: `http://user:password@host:port`.
        timeout: a `Timeout`, or seconds for a whole attempt.
        cookies: sent with each request.
        connector: an aiohttp connector, which is used and never closed.
        retry: a `Retry`, or the number of retries.
        trust_env: whether the environment's proxy variables count.
    """

    name: ClassVar[str]
    slug: ClassVar[str]
    url: ClassVar[str] = ""
    default_base_url: ClassVar[str] = ""
    api_endpoint: ClassVar[str] = ""
    protocol: ClassVar[str] = ""
    """In a few words, what goes out and what comes back."""
    working: ClassVar[bool] = False
    status_note: ClassVar[str] = ""
    api_key_env: ClassVar[str | None] = None

    supports_stream: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = True
    supports_system_message: ClassVar[bool] = True
    supports_images: ClassVar[bool] = False
    supports_native_tools: bool = False
    supports_json_schema: bool = False
    accepted_options: ClassVar[frozenset[str] | None] = frozenset()
    """Settings that the protocol has a place for; None is any."""

    default_timeout: ClassVar[Timeout] = Timeout()
    default_retry: ClassVar[Retry] = Retry()

    default_model: ClassVar[str]
    get_model: Callable[[str | None], str]

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
        timeout: Timeout | float | None = None,
        cookies: Mapping[str, str] | None = None,
        connector: Any = None,
        retry: Retry | int | None = None,
        trust_env: bool = False,
        **misplaced: Never,
    ) -> None:
        if misplaced:
            raise not_configuration(misplaced, _CONFIGURATION, self.name)
        self.model = self.get_model(model)
        self.base_url, self.login = read_base_url(base_url or self.default_base_url, self.name)
        self.api_key = checked_key(api_key, self.name, self.login)
        self.headers = checked_headers(headers or {}, self.name)
        self.timeout = Timeout.of(timeout, self.default_timeout)
        self.cookies = checked_cookies(cookies or {}, self.name)
        self.retry = Retry.of(retry, self.default_retry)
        self.route = Route(proxy, trust_env, connector)
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, base_url={self.base_url!r})"

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        """A copy with another base_url, timeout ...: any keyword of `__init__` but the model. It shares what was learned from the service."""
        unknown = changes.keys() - set(_CONFIGURATION)
        if unknown:
            raise not_configuration(unknown, _CONFIGURATION, self.name)
        other = copy.copy(self)
        if "base_url" in changes:
            other.base_url, other.login = read_base_url(
                changes["base_url"] or self.default_base_url, self.name
            )
        if "api_key" in changes or "base_url" in changes:
            other.api_key = checked_key(changes.get("api_key", self.api_key), self.name, other.login)
        if "headers" in changes:
            other.headers = checked_headers(changes["headers"] or {}, self.name)
        if "timeout" in changes:
            other.timeout = Timeout.of(changes["timeout"], self.default_timeout)
        if "cookies" in changes:
            other.cookies = checked_cookies(changes["cookies"] or {}, self.name)
        if "retry" in changes:
            other.retry = Retry.of(changes["retry"], self.default_retry)
        route: dict[str, Any] = {
            key: value for key, value in changes.items() if key in {"proxy", "trust_env", "connector"}
        }
        if route:
            other.route = replace(self.route, **route)
        return other

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
        tool_choice: str | tuple[str, ...] | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Mapping[str, Any] | None = None,
        stream: bool = True,
        **options: Any,
    ) -> ChatRequest:
        """Read what a caller passed as a `ChatRequest`; raises `UsageError` on what makes no sense."""
        return ChatRequest(
            messages=as_messages(messages),
            model=self.get_model(model) if model else self.model,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            stop=checked_stops(stop),
            tools=as_tools(tools),
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            response_format=response_format,
            stream=stream,
            options=options,
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

        Works on the class and on an instance, with `async for` at once or after an `await`. `kwargs` are configuration for this call (`timeout`, `cookies`,
        `connector`, `base_url`, ...) and the request's options (`temperature`, `stop`, `max_tokens`, ...).

        Raises:
            UsageError: at the call itself, before anything is sent.
            ProviderError: while iterating; also an `aiohttp.ClientError`, and a time-out also an `asyncio.TimeoutError`.
        """
        if messages is None:
            raise UsageError(
                "messages is missing: pass a list of {'role': ..., 'content': ...}.", provider=self.name
            )
        changes = {key: kwargs.pop(key) for key in _CONFIGURATION if key in kwargs}
        if proxy is not None:
            changes["proxy"] = proxy
        made = self(**changes) if isinstance(self, type) else None
        provider = made or (self.configured(**changes) if changes else self)
        return TextStream(_texts(provider.batches(provider.request(messages, model=model, **kwargs))))

    @_takes_what(request)
    def stream(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, **options: Any
    ) -> AsyncGenerator[Part, None]:
        """Stream the parts of an answer. `options` as in `request`, and configuration for this call (`timeout`, `retry`, `headers`, ...)."""
        return _parts(self._answer(messages, options))

    @_takes_what(request)
    async def complete(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, **options: Any
    ) -> Completion:
        """Wait for the whole answer. `options` as in `stream`."""
        return await whole(self._answer(messages, {**options, "stream": False}))

    @_takes_what(request)
    def stream_sync(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, **options: Any
    ) -> Iterator[Part]:
        """`stream` for code without an event loop, or inside somebody else's."""
        return _parts_sync(bridge.iterate(self._answer(messages, options)))

    @_takes_what(request)
    def complete_sync(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, **options: Any
    ) -> Completion:
        """`complete` for code without an event loop, or inside somebody else's."""
        return bridge.run(whole(self._answer(messages, {**options, "stream": False})))

    async def collect(self, request: ChatRequest) -> Completion:
        """Wait for the whole answer to a request."""
        return await whole(self.batches(request))

    def _answer(
        self, messages: Iterable[Message | Mapping[str, Any]] | str, options: dict[str, Any]
    ) -> AsyncGenerator[Batch, None]:
        changes: Any = {key: options[key] for key in _CONFIGURATION if key in options}
        provider = self.configured(**changes) if changes else self
        return provider.batches(
            provider.request(messages, **{key: value for key, value in options.items() if key not in changes})
        )

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer, a list for each network read; the last part is `Finish`, before it comes `Usage`.

        This is what all else is built on. A request that cannot work raises `UsageError` here, before anything is sent. `aclose` ends the request.
        """
        return self._run(self.checked(request))

    async def fetch(self, request: HttpRequest, limit: int) -> bytes:
        """Send a request that is no chat and return the whole answer, cut at `limit` bytes; raises errors of the tree."""
        try:
            async with asyncio.timeout(self.timeout.total):
                response = await send(request, self.route, self.timeout.connect)
                try:
                    body = await response.read_all(limit)
                finally:
                    response.close()
        except TimeoutError as error:
            raise ProviderTimeoutError("the service did not answer in time.", provider=self.name) from error
        except ProviderError as error:
            raise error.about(self.name, "") from error.__cause__
        if response.status >= 400:
            raise self.failure(response.status, response.headers, body).about(self.name, "")
        return body

    # --- what a protocol says ---

    def checked(self, request: ChatRequest) -> ChatRequest:
        """The request as it will be sent: the model's own name filled in. Raises `UsageError`; warns once of each setting that the service cannot take."""
        model = self.get_model(request.model) if request.model else self.model
        try:
            check_request(request, self.accepted_options)
        except UsageError as error:
            raise error.about(self.name, model)  # noqa: B904 - the same error
        if not self.supports_images and any(
            message.images for message in request.messages if not isinstance(message.content, str)
        ):
            raise UnsupportedInputError(
                "this service takes no pictures: send text only, or use a provider whose supports_images is True.",
                provider=self.name,
                model=model,
            )
        if request.tools and not self.supports_native_tools:
            raise UsageError(
                "this service has no native tools: stream the request through freeproviders.tools.stream(provider, request), which has them for every model.",
                provider=self.name,
                model=model,
            )
        self._warn_of_options(request)
        return replace(request, model=model) if model != request.model else request

    async def ready(self, request: ChatRequest, fetch: Callable[[HttpRequest], Awaitable[Response]]) -> None:  # noqa: B027 - most have nothing to prepare
        """Get what `encode` will need, as a nonce; called for each attempt, within its deadlines."""

    @abstractmethod
    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request as the service wants it."""

    @abstractmethod
    def decoder(self, request: ChatRequest) -> PartDecoder:
        """A fresh decoder for one answer."""

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Read an answer with an error status."""
        return read_failure(status, headers, body)

    def recover(self, error: ProviderError) -> bool:
        """Whether the cause of an error has been put right so that the request may go out again at once; asked once a call."""
        del error
        return False

    def http_headers(self, **headers: str) -> dict[str, str]:
        """A request's headers: the protocol's, the base_url's own login, the cookies, and over them the caller's."""
        if self.login is not None:
            headers.setdefault("Authorization", self.login)
        if self.cookies:
            headers["Cookie"] = cookie_header(self.cookies)
        for key, value in self.headers.items():
            for own in [own for own in headers if own.lower() == key.lower()]:
                del headers[own]
            headers[key] = value
        return headers

    # --- the way of a request ---

    async def _run(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        exchange, batch = await self._begin(request)
        try:
            while batch:
                yield batch
                batch = await exchange.read()
        finally:
            exchange.close()

    async def _begin(self, request: ChatRequest) -> tuple[Exchange, Batch]:
        """Send the request, again where that may help, until there is content. Nothing has been given out before that, so nothing is given out twice."""
        attempt, failed, waited, recovered = 0, 0, 0.0, False
        while True:
            attempt += 1
            exchange = Exchange(self, request, attempt)
            try:
                return exchange, await exchange.first()
            except ProviderError as error:
                exchange.close()
                if not recovered and self.recover(error):
                    recovered = True
                    continue
                failed += 1  # what was put right spends no retry
                delay = self.retry.delay(error, failed, waited)
                if delay is None:
                    self._doubt_the_service(error)
                    raise
            except BaseException as error:
                exchange.close()
                if isinstance(error, FreeProvidersError):
                    error.about(self.name, request.model or "")
                raise
            await asyncio.sleep(delay)
            waited += delay

    def _doubt_the_service(self, error: ProviderError) -> None:
        """Where nobody has reached the public service for long, the network at home is the least likely cause."""
        if (
            not self.working
            and self.base_url == self.default_base_url
            and isinstance(error, _SIGNS_OF_ABSENCE)
        ):
            error.advice = f"The public service may be gone ({self.status_note}): base_url= names another place, such as a mirror or a replica."

    def _warn_of_options(self, request: ChatRequest) -> None:
        """Say once of each option that it is left out, and of one that looks misspelt."""
        given = set(request.options)
        if self.accepted_options is not None:
            given.update(
                name
                for name in ("temperature", "top_p", "max_tokens", "response_format")
                if getattr(request, name) is not None
            )
            given -= self.accepted_options
        new = sorted(given - self._warned)
        if not new:
            return
        self._warned.update(new)
        doubts = "".join(f" Is {name!r} meant to be {word!r}?" for name in new if (word := meant(name)))
        if self.accepted_options is not None:
            caution(f"{self.name} cannot take {', '.join(new)}: left out of the request.{doubts}")
        elif doubts:
            caution(f"{self.name} gets options as they are.{doubts}")


def cookie_header(cookies: Mapping[str, str]) -> str:
    """Write cookies as a request header."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def turns_as_prompt(messages: Sequence[Message]) -> str:
    """Fold a conversation into one prompt, for a protocol that takes a single text.

    One message is its text; several become lines `Role: text` and a last `Assistant:` for the model to go on from.
    """
    if len(messages) == 1:
        return messages[0].text
    return "\n".join(
        [*(f"{message.role.capitalize()}: {message.text}" for message in messages), "Assistant:"]
    )


async def whole(batches: AsyncGenerator[Batch, None]) -> Completion:
    """Wait for the end of an answer; leaving earlier ends the request."""
    async with aclosing(batches):
        return collect([part async for batch in batches for part in batch])


async def _parts(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Part, None]:
    async with aclosing(batches):
        async for batch in batches:
            for part in batch:
                yield part


def _parts_sync(batches: Generator[Batch, None, None]) -> Iterator[Part]:
    with closing(batches):
        for batch in batches:
            yield from batch


async def _texts(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[str, None]:
    async with aclosing(batches):
        async for batch in batches:
            for part in batch:
                if type(part) is Text:
                    yield part.text
