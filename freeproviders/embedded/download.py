"""Download of a public file over HTTP, through the project's one client."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

from freeproviders.errors import ProviderTimeoutError, ResponseTooLargeError
from freeproviders.transport import HttpRequest, Response, Route, send
from freeproviders.wire.failure import read_failure

CONNECT_SECONDS: Final = 6.0  # short: there may be another source to try
STALL_SECONDS: Final = 60.0
ERROR_BYTES: Final = 2**16
# Proxies as the environment names them, which is what pip does and what anybody behind a proxy
# needs: nothing of the caller's is sent along.
ROUTE: Final = Route(trust_env=True)
_PARTIAL_CONTENT: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416


async def download(
    url: str,
    sink: Callable[[bytes], None],
    *,
    limit: int,
    accept: str = "*/*",
    start: int = 0,
    restart: Callable[[], None] | None = None,
) -> None:
    """Fetch `url` and hand its bytes to `sink` as they come.

    With `start`, only the bytes from there on are asked for. A server that cannot serve them sends
    the whole file: then `restart` is called, once, before the first byte goes to `sink`.
    Redirects may lead to other hosts, as file hubs' do.

    Raises errors of the tree under `ProviderError`, `ResponseTooLargeError` where the file has more
    than `limit` bytes, and whatever `sink` raises.
    """
    try:
        async with asyncio.timeout(STALL_SECONDS) as stall:
            response = await _open(url, accept, start)
            try:
                if start and not _continues(response, start):
                    if restart is not None:
                        restart()
                    start = 0
                    if response.status in {_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE}:
                        response.close()
                        response = await _open(url, accept, 0)
                if response.status != (_PARTIAL_CONTENT if start else 200):
                    raise read_failure(
                        response.status, response.headers, await response.read_all(ERROR_BYTES)
                    )
                size = start
                while data := await response.read():
                    size += len(data)
                    if size > limit:
                        raise ResponseTooLargeError(f"more than {limit:,} bytes came.")
                    sink(data)
                    stall.reschedule(asyncio.get_running_loop().time() + STALL_SECONDS)
            finally:
                response.close()
    except TimeoutError as error:
        if isinstance(error, ProviderTimeoutError):
            raise
        raise ProviderTimeoutError(f"nothing came for {STALL_SECONDS:g} s.", phase="stall") from error


async def _open(url: str, accept: str, start: int) -> Response:
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return await send(HttpRequest("GET", url, headers, any_host=True), ROUTE, CONNECT_SECONDS)


def _continues(response: Response, start: int) -> bool:
    """Return whether the answer holds the bytes from `start` on, or is an error to be reported."""
    if response.status == _PARTIAL_CONTENT:
        # Compressed, the bytes are not those of the file and cannot be cut there.
        found = re.match(r"bytes (\d{1,20})-", response.headers.get("Content-Range", ""))
        return found is not None and int(found[1]) == start and "Content-Encoding" not in response.headers
    return response.status not in {200, _RANGE_NOT_SATISFIABLE}
