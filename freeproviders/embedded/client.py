"""What is said over HTTP to an engine on this machine, which may die and is started anew."""

from __future__ import annotations

import errno
from typing import Any, ClassVar, Final

from freeproviders.deadlines import Timeout
from freeproviders.embedded.server import EngineServer, EngineSettings, ensure_server
from freeproviders.errors import MalformedResponseError, ProviderConnectionError, ProviderError
from freeproviders.over_http import OverHttp
from freeproviders.retry import Retry
from freeproviders.transport import Fetch, HttpRequest
from freeproviders.types import OnEmpty
from freeproviders.wire.json import dumps, loads

# On few cores, a long text takes minutes before the first word, and so does waiting for a slot.
ENGINE_TIMEOUT: Final = Timeout(connect=10.0, first_content=600.0, stall=120.0, total=1800.0)
ENGINE_RETRY: Final = Retry(attempts=3, first=0.1)
_MAX_TOKENS_BYTES: Final = 64 * 2**20
_RECOVERIES: Final = 2
"""An engine that is dying breaks a connection, then takes none, before it is seen to be gone."""


class EngineClient(OverHttp):
    """The part of an engine's client that chat and vectors have in common, for one request.

    The address and the key are those of the engine that runs at the time of an attempt: an engine
    that died is started anew, and one that lives and does not listen is replaced. A subclass calls
    `attach` before anything else is asked of it.
    """

    name = "Embedded"
    slug = ""  # the environment says nothing of it
    api_key_env: str | None = None
    on_empty: ClassVar[OnEmpty] = "error"  # asked again, the engine may well have words

    _settings: EngineSettings
    _server: EngineServer
    _silent: EngineServer | None = None

    def attach(self, settings: EngineSettings, server: EngineServer) -> None:
        """Take an engine that runs, and how another one in its place is started."""
        self._settings = settings
        self._listen_to(server)

    def _listen_to(self, server: EngineServer) -> None:
        self._server = server
        self.base_url, self.api_key = f"{server.address}/v1", server.api_key

    async def ready(self, request: Any, fetch: Fetch) -> None:
        """Start the engine if it does not run."""
        del request, fetch
        await self._ensure()

    async def _ensure(self) -> None:
        self._listen_to(await ensure_server(self._settings, instead_of=self._silent))

    def http_headers(self, **headers: str) -> dict[str, str]:
        """Return a request's headers. The connection is used once.

        The engine's server now and then drops a connection that it has promised to keep.
        """
        return {**super().http_headers(**headers), "Connection": "close"}

    def recover(self, error: ProviderError) -> bool:
        """Send the request again at once where no engine was reached; the next attempt has one."""
        if not isinstance(error, ProviderConnectionError):
            return super().recover(error)
        if getattr(error.__cause__, "errno", None) == errno.ECONNREFUSED:
            self._silent = self._server  # no answer is lost
        return True

    def given_up(self, error: ProviderError) -> None:
        """Give no advice about networks: there is none between here and the engine."""
        if isinstance(error, ProviderConnectionError):
            error.advice = "The engine on this machine was started anew and failed again."

    async def tokenized(self, text: str, *, special: bool = True) -> list[int]:
        """Return a text's tokens as the model has them, with those that stand at its ends.

        `special` False leaves out the latter. Raises errors of the tree.
        """
        for _ in range(_RECOVERIES):
            await self._ensure()
            try:
                return await self._tokenized(text, special=special)
            except ProviderError as error:
                if not self.recover(error):
                    raise
        await self._ensure()
        return await self._tokenized(text, special=special)

    async def _tokenized(self, text: str, *, special: bool) -> list[int]:
        request = HttpRequest(
            "POST",
            f"{self._server.address}/tokenize",
            self.http_headers(
                **{"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
            ),
            dumps({"content": text, "add_special": special}),
        )
        try:
            tokens: list[int] = loads(await self.fetch(request, _MAX_TOKENS_BYTES))["tokens"]
        except (ValueError, TypeError, KeyError) as error:
            raise MalformedResponseError("The engine's list of tokens cannot be read.") from error
        return tokens
