"""A public file over HTTP, through the project's one client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from freeproviders.errors import ProviderTimeoutError, ResponseTooLargeError
from freeproviders.transport import HttpRequest, Route, send
from freeproviders.wire.failure import read_failure

CONNECT_SECONDS: Final = 6.0  # short: there is another source to try
STALL_SECONDS: Final = 60.0
ERROR_BYTES: Final = 2**16
# Proxies as the environment has them, which is what pip does and what anybody behind one needs: nothing of the caller's is sent along.
ROUTE: Final = Route(trust_env=True)


async def download(url: str, sink: Callable[[bytes], None], *, limit: int, accept: str = "*/*") -> None:
    """Fetch `url` and hand its bytes to `sink` as they come; redirects may lead to other hosts, as file hubs' do.

    Raises errors of the tree under `ProviderError`, `ResponseTooLargeError` after `limit` bytes, and whatever `sink` raises.
    """
    request = HttpRequest("GET", url, {"Accept": accept, "Accept-Encoding": "identity"}, any_host=True)
    size = 0
    try:
        async with asyncio.timeout(STALL_SECONDS) as stall:
            response = await send(request, ROUTE, CONNECT_SECONDS)
            try:
                if response.status != 200:
                    raise read_failure(
                        response.status, response.headers, await response.read_all(ERROR_BYTES)
                    )
                while data := await response.read():
                    size += len(data)
                    if size > limit:
                        msg = f"more than {limit:,} bytes came."
                        raise ResponseTooLargeError(msg)
                    sink(data)
                    stall.reschedule(asyncio.get_running_loop().time() + STALL_SECONDS)
            finally:
                response.close()
    except TimeoutError as error:
        if isinstance(error, ProviderTimeoutError):
            raise
        msg = f"nothing came for {STALL_SECONDS:g} s."
        raise ProviderTimeoutError(msg, phase="stall") from error
