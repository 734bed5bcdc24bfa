"""The model on this machine: no key, no account, and no network once its weights are here."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ClassVar, Final, Self, Unpack, cast

from freeproviders.abilities import Abilities
from freeproviders.checks import caution
from freeproviders.configuration import Configuration
from freeproviders.deadlines import Timeout
from freeproviders.embedded.cache import Progress, is_cached
from freeproviders.embedded.choice import Choice, choose
from freeproviders.embedded.fetch import fetch
from freeproviders.embedded.gguf import read_model_file
from freeproviders.embedded.server import (
    SLOTS,
    EngineServer,
    EngineSettings,
    engine_folder,
    ensure_server,
    running_server,
)
from freeproviders.embedded.weights import DEFAULT, WEIGHTS, weights_named
from freeproviders.errors import FreeProvidersError, ProviderConnectionError, ProviderError, UsageError
from freeproviders.exchange import exchanged
from freeproviders.providers.openai_compatible import OpenAICompatible
from freeproviders.retry import Retry
from freeproviders.transport import Fetch, HttpRequest
from freeproviders.types import Batch, ChatRequest, Message

MAX_CONTEXT: Final = 8192  # tokens for each answer, unless asked for more: their memory is taken at the start

_NETWORK_ONLY: Final = ("base_url", "api_key", "proxy", "connector", "cookies", "trust_env")


class Embedded(OpenAICompatible):
    """A small model run by llama.cpp in a child process of this one, which all instances share.

    Without arguments it is the file or name in `FREEPROVIDERS_MODEL`, else the best model in the cache, else the default, which the first question fetches
    (half a gigabyte, said beforehand). Its answers are fluent and often wrong: never take them for facts.

    Args:
        model: a name from `models`.
        model_path: a GGUF file of one's own.
        context_window: tokens for question and answer together; None is the model's own, at most 8192.
        slots: answers at the same time; more requests wait.
        prompt_cache: False reads each prompt anew, which takes longer: then the same question at temperature 0 has the same answer, whatever was asked before it.
        progress: called with the bytes that are there and in all while weights are fetched.
        configuration: `headers`, `timeout` and `retry`, as for every provider.
    """

    name = "Embedded"
    slug = "embedded"
    default_base_url = "http://127.0.0.1"  # the port is the engine's choice
    working = True
    status_note = "runs here"
    default_abilities = Abilities(schema=True)
    api_key_env = None
    default_model = DEFAULT
    models = tuple(row.name for row in WEIGHTS)
    # On few cores, a long question takes minutes before the first word, and so does waiting for a slot.
    default_timeout = Timeout(connect=10.0, first_content=600.0, stall=120.0, total=1800.0)
    default_retry = Retry(attempts=3, first=0.1)
    default_max_tokens: ClassVar[int] = 1024
    """Small models may go round in circles up to the end of the context, which is minutes: hence a bound where the caller sets none."""

    def __init__(
        self,
        model: str | None = None,
        *,
        model_path: str | os.PathLike[str] | None = None,
        context_window: int | None = None,
        slots: int = SLOTS,
        prompt_cache: bool = True,
        progress: Progress | None = None,
        **configuration: Unpack[Configuration],
    ) -> None:
        for name, value in (("context_window", context_window), ("slots", slots)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} must be a number of at least 1, not {value!r}.", provider=self.name)
        super().__init__(None, native_tools=False, json_schema=True, **self._local(configuration))
        self._choice = choose(model, model_path)
        self._context_window = context_window
        self._slots = slots
        self._prompt_cache = prompt_cache
        self._progress = progress
        self._settings: dict[
            str, EngineSettings
        ] = {}  # by model name, once its file has been looked at; shared by copies
        self.model = self._choice.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model!r})"

    @property
    def context_window(self) -> int:
        """Tokens for question and answer together: the file's own number, at most 8192, unless set; from the list of models before the file is here."""
        weights, path = self._choice.weights, self._choice.path
        length = (
            weights.context_length
            if weights is not None and not is_cached(weights)
            else read_model_file(path).context_length
        )
        return self._context(length)

    @classmethod
    def get_model(cls, model: str | None = None) -> str:
        """A model's own name, in any case; the default for None."""
        return weights_named(model).name if model else cls.default_model

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        """A copy with other headers, timeout or retry."""
        return super().configured(**self._local(changes))

    def request(
        self,
        messages: Iterable[Message | Mapping[str, Any]] | str,
        *,
        model: str | None = None,
        **options: Any,
    ) -> ChatRequest:
        """Read what a caller passed as a `ChatRequest`; raises `UsageError` on what makes no sense."""
        return super().request(messages, model=None if model == self.model else model, **options)

    def checked(self, request: ChatRequest) -> ChatRequest:
        """The request as it will be sent."""
        own = request.model == self.model  # which may be a file's name, and no name in `models`
        request = super().checked(replace(request, model=None) if own else request)
        options = request.options if self._prompt_cache else {"cache_prompt": False, **request.options}
        return replace(request, max_tokens=request.max_tokens or self.default_max_tokens, options=options)

    async def ready(self, request: ChatRequest, fetch: Fetch) -> None:
        """Have the engine running, started anew if it died."""
        del fetch
        await ensure_server(self._settings[request.model or self.model])

    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request for the engine that runs now."""
        server = running_server(self._settings[request.model or self.model])
        if server is None:
            raise ProviderConnectionError("the engine ended.", provider=self.name, advice="")
        written = super().encode(request)
        # No keep-alive: the engine's server drops a connection now and then that it has said it would keep.
        own = {"Authorization": f"Bearer {server.api_key}", "Connection": "close"}
        return replace(
            written, url=f"{server.address}/v1{self.api_endpoint}", headers={**written.headers, **own}
        )

    def recover(self, error: ProviderError) -> bool:
        """An engine that died is started anew at once."""
        return isinstance(error, ProviderConnectionError) or super().recover(error)

    async def list_models(self) -> list[str]:
        """The names of the models that can be fetched, the best first."""
        return list(self.models)

    async def prepare(self, model: str | None = None) -> EngineServer:
        """Fetch the weights if need be, look at the file and start the engine: what else the first question does. Raises `EmbeddedModelError`."""
        return await ensure_server(await self._prepared(model or self.model))

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer by the bare protocol; the engine is started if need be."""
        return self._asked(self.checked(request))

    async def _asked(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        model = request.model or self.model
        settings = await self._prepared(model)  # before any deadline: weights take as long as they take
        replaced = False
        while True:
            try:
                async with aclosing(exchanged(self, request)) as batches:
                    async for batch in batches:
                        yield batch
            except ProviderConnectionError as error:
                server = running_server(settings)
                if replaced or server is None or not _refused(error):
                    raise
                # It lives and does not listen: nobody's answer is lost.
                await ensure_server(settings, instead_of=server)
                replaced = True
            else:
                return

    async def _prepared(self, model: str) -> EngineSettings:
        known = self._settings.get(model)
        if known is not None and known.model.exists():
            return known
        choice = self._choice if model == self.model else choose(model)
        try:
            await self._obtain(choice)
            file = await asyncio.to_thread(read_model_file, choice.path)
        except FreeProvidersError as error:
            raise error.about(self.name, model)  # noqa: B904 - the same error
        settings = EngineSettings(
            model=choice.path,
            alias=choice.name,
            context=self._context(file.context_length),
            slots=self._slots,
        )
        self._settings[model] = settings
        return settings

    async def _obtain(self, choice: Choice) -> None:
        if choice.weights is None:
            return
        if not is_cached(choice.weights):
            engine_folder()  # raises if the engine is missing: then the weights are no use
        await fetch(choice.weights, progress=self._progress)

    def _context(self, length: int | None) -> int:
        """The context for a model with a context of `length` tokens, if known."""
        if self._context_window is None:
            return min(length or MAX_CONTEXT, MAX_CONTEXT)
        if length is not None and self._context_window > length:
            raise UsageError(
                f"context_window={self._context_window} is more than the model's {length}.",
                provider=self.name,
                model=self.model,
            )
        return self._context_window

    def _local(self, configuration: Configuration) -> Configuration:
        """The configuration without what only matters to a service elsewhere, which is said."""
        idle = sorted(key for key in _NETWORK_ONLY if configuration.get(key))
        if idle:
            caution(f"{self.name} runs on this machine: {', '.join(idle)} has no effect.")
        return cast(
            "Configuration", {key: value for key, value in configuration.items() if key not in _NETWORK_ONLY}
        )


def _refused(error: ProviderError) -> bool:
    return getattr(error.__cause__, "errno", None) == errno.ECONNREFUSED
