"""A provider: a class with a service's facts, and instances with one configuration each.

A protocol's class says how a request is written (`encode`), how an answer is read (`decoder`) and
how a refusal is understood (`failure`). The ways to ask are `Backend`'s, the configuration is
`Configured`'s, and retries, deadlines, stop sequences and usage are the exchange's. Nothing is ever
written to the class.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack

from freeproviders.backend import Backend
from freeproviders.checks import (
    caution,
    check_media,
    check_prefill,
    check_request,
    check_service_tools,
    meant,
)
from freeproviders.configuration import Configuration
from freeproviders.errors import ContextOverflowError, ProviderError, UnknownModelError, UsageError
from freeproviders.exchange import exchanged
from freeproviders.over_http import OverHttp
from freeproviders.transport import Fetch, HttpRequest
from freeproviders.types import Batch, ChatRequest, Usage
from freeproviders.usage import estimate_input_tokens, estimate_output_tokens, upper_input_estimate
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.text import mended

if TYPE_CHECKING:
    from freeproviders.answers.cache import Cache
    from freeproviders.tokens.upper import Estimate

_ANY_TEXT: Final = {"type": "text"}


class _Models:
    """The list of a class's models, copied when read, so that changes do not reach the class."""

    def __init__(self, models: Iterable[str]) -> None:
        self._models = tuple(models)

    def __get__(self, instance: object, owner: type) -> list[str]:
        """Return the models in a list of the caller's own."""
        return list(self._models)


class ProviderModelMixin:
    """A service's models by name."""

    name: str
    default_model: ClassVar[str] = ""
    models: ClassVar[Sequence[str]] = []
    """A list of names, or none where any text is a model's name."""
    model_aliases: ClassVar[Mapping[str, str]] = {}
    windows: ClassVar[Mapping[str, int]] = {}
    """Context windows by model, in tokens, where the facts of the catalogue do not hold the model."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("models")
        if isinstance(own, list | tuple):
            cls.models = _Models(own)  # type: ignore[assignment]  # it reads as a list

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """Return the service's own name of a model: aliases resolved, the default for None or "".

        Raises `UnknownModelError` where the service's models are known and this is none of them.
        """
        if not model:
            return cls.default_model
        if not isinstance(model, str):
            raise UnknownModelError(
                f"A model's name must be text, not {type(model).__name__}.", provider=cls.name
            )
        model = cls.model_aliases.get(model, model)
        models = cls.models
        if models and model not in models:
            raise UnknownModelError(
                f"There is no model {model!r}: use one of {', '.join((*models, *cls.model_aliases))}.",
                provider=cls.name,
            )
        return model


class Provider(ProviderModelMixin, Backend):
    """A backend with facts about a service; users choose the class, an instance is configured."""

    url: ClassVar[str] = ""
    default_base_url: str = ""
    api_endpoint: ClassVar[str] = ""
    protocol: ClassVar[str] = ""
    """In a few words, what goes out and what comes back."""
    working: ClassVar[bool] = False
    status_note: ClassVar[str] = ""
    api_key_env: str | None = None
    """The environment variable that an error about a missing key names."""

    supports_stream: ClassVar[bool] = True
    supports_message_history: ClassVar[bool] = True
    supports_system_message: ClassVar[bool] = True
    accepted_options: ClassVar[frozenset[str] | None] = frozenset()

    login: str | None = None
    _warned: set[str]

    @abstractmethod
    def __init__(self, model: str | None = None, **configuration: Any) -> None:
        """Take the model for calls that name none, and the configuration."""

    def known_window(self, model: str) -> int | None:
        """Look up the context window of a model beforehand: in the class, the abilities, by its name."""
        return self.windows.get(model) or super().known_window(model)

    def checked(self, request: ChatRequest) -> ChatRequest:
        """Return the request as it will be sent, with the model's own name.

        Raises `UsageError`; warns once of each setting that the service cannot take.
        """
        model = self.model_to_ask(request.model) if request.model else self.model
        if model != request.model:
            request = replace(request, model=model)
        try:
            check_request(request, self.accepted_options)
            check_prefill(request, self)
            check_media(request, self.abilities)
            if request.n != 1 or request.tools or request.service_tools:
                self._check_offer(request)
        except UsageError as error:
            raise error.about(self.name, mended(model))  # noqa: B904 - the same error
        if request.options or self.accepted_options is not None:
            self._warn_of_options(request)
        return request

    def _check_offer(self, request: ChatRequest) -> None:
        """Raise `UsageError` for what only some services have."""
        if request.n != 1 and not self.gives_several:
            raise UsageError(
                "This service gives one answer to a question: ask by `answer`, which asks n times."
            )
        if not (request.tools or request.service_tools) or self.finds_out("tools"):
            return
        if self.abilities(request.model).tools:
            return
        check_service_tools(request)
        raise UsageError("This service has no native tools: ask by `answer`, which has them for every model.")

    def _warn_of_options(self, request: ChatRequest) -> None:
        """Warn once of each option that is left out or looks misspelt."""
        given = set(request.options)
        if self.accepted_options is not None:
            given.update(
                name
                for name in ("temperature", "top_p", "max_tokens", "response_format")
                if getattr(request, name) is not None
            )
            if request.response_format == _ANY_TEXT:
                given.discard("response_format")  # it is what comes anyway
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


class AsyncGeneratorProvider(OverHttp, Provider):
    """A chat service.

    Args:
        model: the model used when a call names none; None is `default_model`.
        cache: where answers are kept, so that each question is asked once; see `Backend.cached`.
        configuration: how the service is reached; `Configured` says what each means.
    """

    announces_admission = True

    def __init__(
        self, model: str | None = None, *, cache: Cache = None, **configuration: Unpack[Configuration]
    ) -> None:
        super().__init__(**configuration)
        self.model = self.model_to_ask(model)
        self._warned: set[str] = set()
        if cache is not None:
            self._keep_answers(cache)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r}, base_url={self.base_url!r})"

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer by the bare protocol, a list for each network read.

        The last part is `Finish`, before it comes `Usage`. A request that cannot work raises
        `UsageError` here, before anything is sent. `aclose` ends the request.
        """
        return exchanged(self, self.checked(request))

    def given_up(self, error: ProviderError) -> None:
        """Add advice to an error after which no further request is sent, and learn what it tells."""
        super().given_up(error)
        if isinstance(error, ContextOverflowError):
            self.learned.tell_window(error.model or self.model, error.window)

    def upper_estimate(self, request: ChatRequest) -> Estimate:
        """Estimate the most tokens that a question has."""
        return upper_input_estimate(request.messages, request.model or "", request.tools)

    def estimated_usage(self, request: ChatRequest, output_chars: int) -> Usage:
        """Estimate what an answer of so many characters has taken, where the service does not say."""
        messages = request.messages
        said = estimate_output_tokens(output_chars, messages)
        return Usage(estimate_input_tokens(messages, request.model or ""), said, estimated=True)

    # --- the protocol, written by a subclass ---

    async def ready(self, request: ChatRequest, fetch: Fetch) -> None:
        """Fetch what `encode` needs, such as a nonce; called in each attempt, under its limits."""

    @abstractmethod
    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request as the service wants it."""

    @abstractmethod
    def decoder(self, request: ChatRequest) -> PartDecoder:
        """Return a new decoder for one answer."""
