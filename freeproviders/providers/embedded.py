"""The model on this machine: no key, no account, and no network once its weights are here."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, Unpack, cast

from freeproviders.abilities import Abilities
from freeproviders.checks import caution, whole_number
from freeproviders.configuration import CONFIGURATION, Configuration, read_items, unknown_names
from freeproviders.deadlines import Timeout, running_loop
from freeproviders.embedded.cache import Progress, is_cached
from freeproviders.embedded.choice import Choice, choose
from freeproviders.embedded.client import ENGINE_RETRY, ENGINE_TIMEOUT, EngineClient
from freeproviders.embedded.fetch import fetch, repair
from freeproviders.embedded.gguf import read_model_file
from freeproviders.embedded.prefill import Beginning, beginning_of
from freeproviders.embedded.server import (
    SLOTS,
    EngineServer,
    EngineSettings,
    engine_folder,
    ensure_server,
    running_server,
)
from freeproviders.embedded.weights import DEFAULT, WEIGHTS, Weights, weights_named
from freeproviders.errors import (
    EmbeddedModelError,
    FreeProvidersError,
    UsageError,
)
from freeproviders.exchange import exchanged
from freeproviders.naming import argument
from freeproviders.provider import Provider
from freeproviders.providers.openai_compatible import OpenAICompatible
from freeproviders.retry import Retry
from freeproviders.transport import Fetch, HttpRequest
from freeproviders.types import Batch, ChatRequest, Message, Prefill
from freeproviders.usage import estimate_tokens
from freeproviders.wire.completion import CompletionDecoder
from freeproviders.wire.json import loads
from freeproviders.wire.parts import PartDecoder

if TYPE_CHECKING:
    from freeproviders.answers.cache import Cache

_COUNTING_SECONDS: Final = 2.0
"""How long the engine may take to count tokens; then they are estimated."""
MAX_CONTEXT: Final = 8192
"""Tokens for each answer, unless more are asked for: their memory is taken at the start."""

_MAX_PROMPT_BYTES: Final = 64 * 2**20
_SHAPES: Final = ("grammar", "json_schema")

_OWN_CONFIGURATION: Final = ("headers", "timeout", "retry")
_ARGUMENTS: Final = ("model_path", "context_window", "slots", "prompt_cache", "progress", "cache")


class Embedded(Provider):
    """A small model run by llama.cpp in a child process of this one, which all instances share.

    Without arguments it is the file or name in `FREEPROVIDERS_MODEL`, else the best model in the
    cache, else the default, which is downloaded on first use (491 MB, shown as it comes, with its
    source). Its answers are fluent and often wrong: never take them for facts.

    Args:
        model: a name from `models`.
        model_path: a GGUF file of your own.
        context_window: tokens for question and answer together; None is the model's own, at most
            8192.
        slots: answers at the same time; more requests wait.
        prompt_cache: False reads each prompt anew, which takes longer. Then the same question at
            temperature 0 has the same answer, whatever was asked before it.
        progress: called with the bytes that are there and the bytes in all while weights are
            fetched.
        cache: where answers are kept, so that each question is asked once; see `Backend.cached`.
        configuration: `headers`, `timeout` and `retry`, as for every provider. The rest has no
            effect on a model that runs here, and a warning says so.
    """

    name = "Embedded"
    slug = "embedded"
    protocol = "OpenAI; server-sent events"
    working = True
    status_note = "runs here"
    announces_admission = True
    default_abilities = Abilities(schema=True, strict_schema=False)
    accepted_options = None
    default_model = DEFAULT
    models = tuple(row.name for row in WEIGHTS)
    default_timeout: ClassVar[Timeout] = ENGINE_TIMEOUT
    default_retry: ClassVar[Retry] = ENGINE_RETRY
    default_max_tokens: ClassVar[int] = 1024
    """A bound where the caller sets none.

    Small models may repeat themselves up to the end of the context, which takes minutes.
    """

    headers: dict[str, str]
    timeout: Timeout

    def __init__(
        self,
        model: str | None = None,
        *,
        model_path: str | os.PathLike[str] | None = None,
        context_window: int | None = None,
        slots: int = SLOTS,
        prompt_cache: bool = True,
        progress: Progress | None = None,
        cache: Cache = None,
        **configuration: Unpack[Configuration],
    ) -> None:
        for name, value in (("context_window", context_window), ("slots", slots)):
            if value is not None:
                whole_number(name, value, 1, provider=self.name)
        self._warned = set()
        self._configure({"headers": None, "timeout": None, "retry": None, **configuration}, _ARGUMENTS)
        self._choice = choose(model, model_path)
        self._context_window = context_window
        self._slots = slots
        self._prompt_cache = prompt_cache
        self._progress = progress
        # By the model's name, once its file has been looked at; shared by copies.
        self._settings: dict[str, EngineSettings] = {}
        self.model = self._choice.name
        if cache is not None:
            self._keep_answers(cache)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r})"

    @property
    def weights(self) -> Weights | None:
        """The known weights that it runs with; None for a file of the user's own."""
        return self._choice.weights

    @property
    def context_window(self) -> int:
        """Tokens for question and answer together.

        Unless set, it is the number in the model's file, at most 8192; for a model that can be
        fetched it comes from the list of models.
        """
        weights, path = self._choice.weights, self._choice.path
        length = weights.context_length if weights is not None else read_model_file(path).context_length
        return self._context(length)

    @property
    def identity(self) -> dict[str, Any]:
        """The facts beside the model's name on which answers depend, for caches."""
        own_file = str(self._choice.path) if self._choice.weights is None else None
        return {"model_path": own_file, "context_window": self._context_window}

    def asked_as(self, model: str | None = None) -> str:
        """Say what is asked for: the model, and of a file of the user's own its path, size and date."""
        said = super().asked_as(None if model == self.model else model)
        if self._context_window is not None:
            said += f" with context_window={self._context_window}"
        if self._choice.weights is not None or model not in {None, "", self.model}:
            return said
        path = self._choice.path
        try:
            found = path.stat()
        except OSError:  # the question will say so
            return f"{said} at {path}"
        return f"{said} at {path} ({found.st_size} bytes, {found.st_mtime_ns})"

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """Return a model's own name, given in any case; the default for None."""
        return weights_named(model).name if model else cls.default_model

    def with_model(self, model: str) -> Self:
        """Return a copy with another model of its own; both share the engines."""
        if model == self.model:  # which may be the name of a file, and not in `models`
            return copy.copy(self)
        other = super().with_model(model)
        other._choice = choose(other.model)  # noqa: SLF001 - of the same class
        return other

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        """Return a copy with other headers, timeout or retry; it shares the engine."""
        other = copy.copy(self)
        other._configure(changes)  # noqa: SLF001 - of the same class
        return other

    def request(
        self,
        messages: Iterable[Message | Mapping[str, Any]] | str,
        *,
        model: str | None = None,
        **options: Any,
    ) -> ChatRequest:
        """Read what a caller passed as a `ChatRequest`. Raises `UsageError`."""
        # The own model may have the name of a file, which is not in `models`.
        return super().request(messages, model=None if model == self.model else model, **options)

    def prefills(self, model: str | None = None) -> Prefill:
        """Say that an answer goes on exactly behind its beginning, which the engine itself is given."""
        del model
        return "exact"

    def checked(self, request: ChatRequest) -> ChatRequest:
        """Return the request as it will be sent. Raises `UsageError`."""
        own = request.model == self.model
        request = super().checked(replace(request, model=None) if own else request)
        options = request.options if self._prompt_cache else {"cache_prompt": False, **request.options}
        most = request.max_tokens or self.default_max_tokens
        if request.prefill:
            _check_shape(request)
            if not request.max_tokens:  # the bound is that of the whole answer
                most = max(1, most - estimate_tokens(request.prefill, request.model or ""))
        return replace(request, max_tokens=most, options=options)

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer by the bare protocol, once the engine runs.

        A request that cannot work raises `UsageError` here, before anything is started.
        """
        return self._batches(self.checked(request))

    async def usual_in_flight(self) -> int:
        """Say how many questions to ask at the same time: as many as are answered at once."""
        return self._slots

    async def list_models(self) -> list[str]:
        """List the names of the models that can be fetched, the best first."""
        return list(self.models)

    def list_models_sync(self) -> list[str]:
        """List the same names in code without an event loop."""
        return list(self.models)

    async def prepare(self, model: str | None = None) -> EngineServer:
        """Prepare for the first question: fetch the weights, check them, start the engine.

        Raises `EmbeddedModelError`.
        """
        return await ensure_server(await self._running(model or self.model))

    @property
    def has_tokenizer(self) -> bool:
        """Whether the engine runs, which tokenises; none is started for that."""
        return self._tokenizing(self.model) is not None

    async def exact_tokens(self, text: str, model: str) -> int | None:
        """Count a text's tokens by the engine that runs; None where none does."""
        client = self._tokenizing(model)
        if client is None:
            return None
        try:
            async with asyncio.timeout(_COUNTING_SECONDS):
                return len(await client.tokenized(text, special=False))
        except (FreeProvidersError, TimeoutError):
            return None

    def _tokenizing(self, model: str) -> _EngineClient | None:
        settings = self._settings.get(model)
        server = None if settings is None else running_server(settings)
        return None if settings is None or server is None else self._client(settings, server)

    # --- the engine ---

    def _client(self, settings: EngineSettings, server: EngineServer) -> _EngineClient:
        return _EngineClient(settings, server, headers=self.headers, timeout=self.timeout, retry=self.retry)

    async def _batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        running_loop()  # or an error that says so, before half a gigabyte is fetched
        # Before any deadline: weights take as long as they take.
        settings = await self._running(request.model or self.model)
        client = self._client(settings, await ensure_server(settings))
        async with aclosing(exchanged(client, request)) as batches:
            async for batch in batches:
                yield batch

    async def _running(self, model: str) -> EngineSettings:
        """Start the engine if it does not run, and return its settings.

        A file of the cache that is damaged is fetched again, once.
        """
        try:
            choice = self._choice if model == self.model else choose(model)
            try:
                return await self._started(model, choice)
            except EmbeddedModelError:
                weights = choice.weights
                if weights is None or not await repair(weights, progress=self._progress):
                    raise
                return await self._started(model, choice)
        except FreeProvidersError as error:
            raise error.about(self.name, model)  # noqa: B904 - the same error

    async def _started(self, model: str, choice: Choice) -> EngineSettings:
        settings = self._settings.get(model)
        if settings is None or not await asyncio.to_thread(settings.model.exists):
            settings = await self._looked_at(choice)
        await ensure_server(settings)
        self._settings[model] = settings
        return settings

    async def _looked_at(self, choice: Choice) -> EngineSettings:
        """Fetch the model's file if it is missing or damaged, and read how it is to be run."""
        if choice.weights is not None:
            if not await asyncio.to_thread(is_cached, choice.weights):
                engine_folder()  # raises if the engine is missing: then the weights are no use
            await fetch(choice.weights, progress=self._progress)
        file = await asyncio.to_thread(read_model_file, choice.path)
        return EngineSettings(
            model=choice.path,
            alias=choice.name,
            context=self._context(file.context_length),
            slots=self._slots,
        )

    def _context(self, length: int | None) -> int:
        """Return the context for a model with a context of `length` tokens, if known."""
        if self._context_window is None:
            return min(length or MAX_CONTEXT, MAX_CONTEXT)
        if length is not None and self._context_window > length:
            raise UsageError(
                f"{argument('context_window', f'context_window={self._context_window}')} is more than "
                f"the model's {length}.",
                provider=self.name,
                model=self.model,
            )
        return self._context_window

    def _configure(self, changes: Configuration, others: Sequence[str] = ()) -> None:
        """Take headers, timeout and retry; warn of what only matters to a service elsewhere."""
        if unknown := changes.keys() - set(CONFIGURATION):
            raise unknown_names(unknown, (*others, *CONFIGURATION), self.name)
        idle = sorted(
            key
            for key in changes.keys() - set(_OWN_CONFIGURATION)
            if changes.get(key) and (key, changes.get(key)) != ("quota", "auto")
        )
        if idle:
            caution(f"{self.name} runs on this machine: {', '.join(idle)} has no effect.")
        own = cast("Configuration", {key: changes[key] for key in _OWN_CONFIGURATION if key in changes})
        self.__dict__.update(read_items(own, self.name, self.default_timeout, self.default_retry))


class _EngineClient(EngineClient, OpenAICompatible):
    """The client of an engine that answers questions, for one request."""

    def __init__(
        self,
        settings: EngineSettings,
        server: EngineServer,
        *,
        headers: Mapping[str, str],
        timeout: Timeout,
        retry: Retry,
    ) -> None:
        super().__init__(
            settings.alias,
            base_url=f"{server.address}/v1",
            headers=headers,
            timeout=timeout,
            retry=retry,
        )
        self.attach(settings, server)
        self._beginning: Beginning | None = None
        self._completion: CompletionDecoder | None = None

    async def ready(self, request: ChatRequest, fetch: Fetch) -> None:
        """Start the engine if it does not run; let it read the beginning of the answer, if there is one."""
        await super().ready(request, fetch)
        if not request.prefill:
            return

        async def post(path: str, body: bytes) -> bytes:
            asked = HttpRequest("POST", self._server.address + path, self._headers(), body)
            return (await fetch(asked, _MAX_PROMPT_BYTES)).body

        question = loads(self.encode(replace(request, prefill="")).body or b"{}")
        self._beginning = await beginning_of(question, request.prefill, post)

    def decoder(self, request: ChatRequest) -> PartDecoder:
        """Return a new decoder for one answer."""
        if not request.prefill:
            return super().decoder(request)
        self._completion = CompletionDecoder()
        return self._completion

    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request, its schema as the engine's grammar can say it."""
        if request.prefill and self._beginning is not None and self._completion is not None:
            self._completion.again = self._beginning.again
            address = f"{self._server.address}/completion"
            return HttpRequest("POST", address, self._headers(), self._beginning.body(request))
        return super().encode(replace(request, response_format=_for_a_grammar(request.response_format)))


def _check_shape(request: ChatRequest) -> None:
    """Raise `UsageError` for what cannot be had behind the beginning of an answer."""
    if request.response_format is not None or any(name in request.options for name in _SHAPES):
        raise UsageError(
            f"An answer that has begun goes on as text only: leave out {argument('response_format')}, "
            f"{argument('grammar')} and {argument('json_schema')}."
        )


def _for_a_grammar(form: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Write a response format with a schema of which the engine can make a grammar."""
    named = form.get("json_schema") if form is not None else None
    if form is None or not isinstance(named, Mapping) or not isinstance(named.get("schema"), Mapping):
        return form
    from freeproviders.tools.schema.sent import grammar_form  # noqa: PLC0415 - plain chat needs no schema

    return {**form, "json_schema": {**named, "schema": grammar_form(named["schema"])}}
