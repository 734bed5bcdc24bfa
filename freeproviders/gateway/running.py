"""A gateway that runs beside other code: in a notebook, a test, a program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, Self

from freeproviders import bridge
from freeproviders.abilities import Askable
from freeproviders.addresses import is_loopback_host
from freeproviders.backend import Backend
from freeproviders.errors import UsageError
from freeproviders.gateway.limits import Limits
from freeproviders.gateway.server import GatewayServer, default_backend, default_embedder
from freeproviders.listening import ServerInWith, name_of

if TYPE_CHECKING:
    from freeproviders.embeddings.embedder import Embedder


class Gateway(ServerInWith):
    """A gateway, made by `serve`; a context manager, sync and async.

    It runs on freeproviders' background event loop, so that a client may block the caller's.
    """

    def __init__(self, server: GatewayServer, port: int) -> None:
        self._server = server
        self._wanted_port = port
        self._port: int | None = None
        self._is_over = False

    def __repr__(self) -> str:
        where = self.base_url if self._port is not None and not self._is_over else "not running"
        return f"<Gateway to {self._server.served.backend.name}, {where}>"

    @property
    def base_url(self) -> str:
        """The address for the `base_url` of a client."""
        if self._port is None:
            raise RuntimeError("The gateway is not running: use it in a with statement.")
        return f"http://{name_of(self._server.host)}:{self._port}/v1"

    def start(self) -> Self:
        """Start serving. Raises `OSError` where the port is taken."""
        if self._port is not None:
            raise RuntimeError("The gateway was started before: make another.")
        self._port = bridge.run(self._server.start(self._wanted_port))
        return self

    def stop(self, grace: float | None = 0.0) -> None:
        """Stop serving; answers have `grace` seconds to end, None is the limits' own number."""
        if self._port is not None and not self._is_over:
            self._is_over = True
            bridge.run(self._server.stop(grace))


def serve(
    backend: Backend | Askable | None = None,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    embedder: Embedder | Literal["auto"] | None = "auto",
    api_key: str | None = None,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    limits: Limits | None = None,
) -> Gateway:
    """Make an OpenAI-compatible endpoint over a backend, for a `with` or `async with` statement.

    Args:
        backend: the backend that answers; None is `FreeProviders()`, and at an address that other
            machines reach only what is on this one.
        port: the port; 0 is any free port.
        host: the address to listen at.
        embedder: makes vectors; "auto" is the offline embedder where its package is installed, with
            None there are none.
        api_key: what clients must send; needed at an address that other machines reach.
        hosts: further names by which clients may call the gateway.
        origins: pages of a browser that may ask, as "https://chat.example".
        limits: what it takes at most.

    Raises:
        UsageError: a key is missing or too short for the address, or there is no backend to ask.
    """
    if not isinstance(host, str) or not host:
        raise UsageError(f"host must be an address, as 127.0.0.1, not {host!r:.200}.")
    if not isinstance(port, int) or not 0 <= port < 2**16:
        raise UsageError(f"port must be a whole number from 0 to 65535, not {port!r:.200}.")
    if backend is None:
        backend = default_backend(is_local=is_loopback_host(host))
    server = GatewayServer(
        backend,
        embedder=default_embedder() if embedder == "auto" else embedder,
        host=host,
        api_key=api_key,
        hosts=hosts,
        origins=origins,
        limits=limits,
    )
    return Gateway(server, port)
