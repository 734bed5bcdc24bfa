"""A service that speaks the OpenAI protocol: its row of the catalogue, address, key and models.

What its chat and its embeddings have in common.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeVar, Unpack

from freeproviders import bridge
from freeproviders.checks import caution
from freeproviders.configuration import Configuration
from freeproviders.errors import MalformedResponseError, ProviderError, UsageError
from freeproviders.naming import argument
from freeproviders.over_http import OverHttp
from freeproviders.transport import HttpRequest
from freeproviders.wire.json import loads
from freeproviders.wire.openai.counting import read_count, text_asked
from freeproviders.wire.openai.listed import Listed, read_models
from freeproviders.wire.openai.style import PLAIN, Style

if TYPE_CHECKING:
    from freeproviders.catalogue import Service
    from freeproviders.services import Served

_COUNTING_SECONDS: Final = 2.0
"""How long a server may take to count tokens; then they are estimated."""
_MAX_LIST_BYTES: Final = 16 * 2**20
_MAX_COUNT_BYTES: Final = 64 * 2**20
T = TypeVar("T")


class OpenAIService(OverHttp):
    """One configuration of a service at `base_url`, whose facts may be a row of the catalogue."""

    _served: Served | None = None
    style: Style = PLAIN
    """What the service wants to be written in another way than OpenAI does."""
    _warned: set[str]

    @property
    def service(self) -> Service | None:
        """The row of the catalogue, None without one."""
        return None if self._served is None else self._served.row

    def services(self) -> list[Service]:
        """Return the service, where it is in the catalogue."""
        return [] if self.service is None else [self.service]

    def _serve(self, service: str | Service, *, fallback: bool, at_home: bool) -> None:
        """Take the facts of a service as one's own."""
        from freeproviders.services import Served  # noqa: PLC0415 - only a named service needs its file

        self._served = served = Served(service, fallback=fallback)
        row = served.row
        self.name, self.slug, self.style = row.name, row.id, row.request
        self.signs, self.announces = row.error, row.headers.allowance
        self.key_variables = served.key_variables
        if at_home:
            self.default_base_url = served.address()

    def may_have_the_key(self, base_url: str | None) -> bool:
        """Return whether the environment's key goes to the base_url of a caller, None if none was named.

        A service's key goes to the service only.
        """
        return self._served is None or not base_url or self._served.is_home(base_url)

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        """Return a copy with another base_url, timeout ...; see `Configured.configured`."""
        other = super().configured(**changes)
        other._check_key()  # noqa: SLF001 - of the same class
        return other

    def _check_key(self) -> None:
        if self._served is not None and not self.api_key and self.key_source is None and self.login is None:
            self._served.check_key(self.base_url, self.headers)

    def has_limits_of_its_own(self) -> bool:
        """Return whether the row has limits, and requests go to the service or its gateway.

        A server on this machine in its place is a replica, or another one altogether.
        """
        served = self._served
        return served is not None and served.keeps_limits_at(self.base_url)

    def _take_address(self, url: object, given_as: str = "base_url") -> None:
        if not url:
            named = argument("service", 'a service, e.g. service="groq"')
            raise UsageError(
                f"{argument('base_url')} is required, e.g. http://localhost:11434/v1, or {named}.",
                provider=self.name,
            )
        super()._take_address(url, given_as)
        if (served := self._served) is not None:  # elsewhere, no variable's key is sent
            variables = served.key_variables if served.gets_the_key(self.base_url) else ()
            self.api_key_env = " or ".join(variables) or None

    def _warn_once(self, what: str, words: str) -> None:
        """Warn, once for each object, of what is not sent as the caller gave it."""
        key = f"sent: {what}"  # an option's name alone says that its spelling was looked at
        if key not in self._warned:
            self._warned.add(key)
            caution(f"{self.name} {words}")

    def given_up(self, error: ProviderError) -> None:
        """Add to an error after which no further request is sent what the catalogue knows of it."""
        super().given_up(error)
        if self._served is not None:
            self._served.advise(error)

    def _how_to_start(self) -> str:
        row = self.service
        if row is None or not row.local:
            return super()._how_to_start()
        return f"start {row.name}{f' with `{row.start}`' if row.start else ''}"

    async def list_models(self) -> list[str]:
        """List the ids of the service's models, in its order."""
        keyed = await self.keyed()
        body = await keyed.fetch(
            HttpRequest("GET", f"{self.base_url}/models", keyed._headers()),  # noqa: SLF001 - its own
            _MAX_LIST_BYTES,
        )
        try:
            document = loads(body)
            models = read_models(document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise MalformedResponseError(
                "The list of models is not in the OpenAI form.", provider=self.name
            ) from error
        self._learn_of(models)
        return [model.name for model in models]

    def _learn_of(self, models: Sequence[Listed]) -> None:
        """Remember what a list of the service's models tells of them."""

    @property
    def has_tokenizer(self) -> bool:
        """Whether the server tokenises for others."""
        return self.service is not None and bool(self.service.tokenizer)

    async def exact_tokens(self, text: str, model: str) -> int | None:
        """Count a text's tokens by the server's own tokenizer; None where it does not answer so."""
        if (service := self.service) is None or not service.tokenizer:
            return None
        return await self._told("/tokenize", text_asked(service.tokenizer, text, model), read_count)

    async def _told(self, path: str, body: bytes, read: Callable[[bytes], T]) -> T | None:
        """Ask the server beside the protocol; None where it does not answer so, or not soon."""
        url = self.base_url.removesuffix("/v1") + path
        try:
            async with asyncio.timeout(_COUNTING_SECONDS):
                keyed = await self.keyed()
                request = HttpRequest("POST", url, keyed._headers(), body)  # noqa: SLF001 - its own
                return read(await keyed.fetch(request, _MAX_COUNT_BYTES))
        except (ProviderError, TimeoutError):
            return None

    def list_models_sync(self) -> list[str]:
        """`list_models` for code without an event loop."""
        return bridge.run(self.list_models())

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        if self.style.headers:
            headers.update(self.style.headers)
        key = self.api_key or (self.service.anonymous_key if self.service is not None else "")
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return self.http_headers(**headers)
