"""Download of a public file over HTTP, through the project's one client; it goes on after a cut."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final, Protocol

from freeproviders import journal
from freeproviders.errors import (
    MalformedResponseError,
    ProviderError,
    ProviderTimeoutError,
    ResponseTooLargeError,
    TruncatedResponseError,
)
from freeproviders.transport import HttpRequest, Response, Route, send
from freeproviders.wire.failure import read_failure

CONNECT_SECONDS: Final = 6.0  # short: there may be another source to try
STALL_SECONDS: Final = 60.0
ERROR_BYTES: Final = 2**16
FRUITLESS: Final = 3
"""Attempts in a row that bring no further byte; the last one's error is raised."""
AGAIN_SECONDS: Final = 1.0
# Proxies as the environment names them, which is what pip does and what users behind a proxy
# need: nothing of the caller's is sent along.
ROUTE: Final = Route(trust_env=True)
_PARTIAL_CONTENT: Final = 206
_RANGE_NOT_SATISFIABLE: Final = 416


class Sink(Protocol):
    """Where the bytes of a file go."""

    written: int
    """The bytes that are there."""

    def write(self, data: bytes, /) -> object:
        """Append."""

    def restart(self) -> None:
        """Drop all bytes."""


async def download_file(
    url: str,
    sink: Sink,
    *,
    limit: int,
    size: int | None = None,
    etag: str = "",
    note: Callable[[str], None] | None = None,
) -> None:
    """Fetch a file after the bytes that `sink` has, and go on after each cut while bytes come.

    `size` is the file's size where it is known: a server that announces another one is refused
    before its bytes come. `etag` is what the server called the version that the bytes are of, and
    `note` is called with what it calls the version that it sends. Raises as `download` does.
    """
    most, fruitless = sink.written, 0
    known = [etag]

    def met(found: str) -> None:
        known[0] = found
        if note is not None:
            note(found)

    while True:
        try:
            await download(
                url,
                sink.write,
                limit=limit,
                start=sink.written,
                restart=sink.restart,
                size=size,
                etag=known[0],
                note=met,
            )
        except ProviderError as error:
            fruitless = 0 if sink.written > most else fruitless + 1
            if (
                not (error.is_retryable or isinstance(error, TruncatedResponseError))
                or fruitless >= FRUITLESS
            ):
                raise
            if not sink.written:
                raise  # nothing came: there may be another source to try
            most = max(most, sink.written)
            journal.embedded.info(
                "The download broke off at %d bytes and goes on: %s", sink.written, journal.reason(error)
            )
            await asyncio.sleep(AGAIN_SECONDS * fruitless)
        else:
            return


async def download(
    url: str,
    sink: Callable[[bytes], object],
    *,
    limit: int,
    accept: str = "*/*",
    start: int = 0,
    restart: Callable[[], None] | None = None,
    size: int | None = None,
    etag: str = "",
    note: Callable[[str], None] | None = None,
) -> None:
    """Fetch `url` and hand its bytes to `sink` as they come.

    With `start`, only the bytes from there on are asked for, of the version `etag` if it is given.
    A server that cannot serve them sends the whole file: then `restart` is called, once, before the
    first byte goes to `sink`. `size` and `note` are as for `download_file`. Redirects may lead to
    other hosts, as file hubs' do.

    Raises errors of the tree under `ProviderError`, `ResponseTooLargeError` where the file has more
    than `limit` bytes, and whatever `sink` raises.
    """
    try:
        async with asyncio.timeout(STALL_SECONDS) as stall:
            response = await _open(url, accept, start, etag)
            try:
                anew = start and not _continues(response, start)
                if anew:
                    start = 0
                    if response.status in {_PARTIAL_CONTENT, _RANGE_NOT_SATISFIABLE}:
                        response.close()
                        response = await _open(url, accept, 0, "")
                if response.status != (_PARTIAL_CONTENT if start else 200):
                    raise read_failure(
                        response.status, response.headers, await response.read_all(ERROR_BYTES)
                    )
                if size is not None:
                    _check_size(response, start, size)
                # Not before: a page of a proxy or an error takes nothing away of what has come.
                if anew and restart is not None:
                    restart()
                if note is not None:
                    note(_strong(response.headers.get("ETag", "")))
                there = start
                while data := await response.read():
                    there += len(data)
                    if there > limit:
                        raise ResponseTooLargeError(f"more than {limit:,} bytes came.")
                    sink(data)
                    stall.reschedule(asyncio.get_running_loop().time() + STALL_SECONDS)
            finally:
                response.close()
    except TimeoutError as error:
        if isinstance(error, ProviderTimeoutError):
            raise
        raise ProviderTimeoutError(f"nothing came for {STALL_SECONDS:g} s.", phase="stall") from error


async def _open(url: str, accept: str, start: int, etag: str) -> Response:
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    return await send(HttpRequest("GET", url, headers, any_host=True), ROUTE, CONNECT_SECONDS)


def _continues(response: Response, start: int) -> bool:
    """Return whether the answer holds the bytes from `start` on, or is an error to be reported."""
    if response.status == _PARTIAL_CONTENT:
        # Compressed, the bytes are not those of the file and cannot be cut there.
        found = re.match(r"bytes (\d{1,20})-", response.headers.get("Content-Range", ""))
        return found is not None and int(found[1]) == start and "Content-Encoding" not in response.headers
    return response.status not in {200, _RANGE_NOT_SATISFIABLE}


def _strong(etag: str) -> str:
    """Return an ETag that stands for each byte, "" for any other."""
    return etag if re.fullmatch(r'"[\x21\x23-\x7e]{1,200}"', etag) else ""


def _check_size(response: Response, start: int, size: int) -> None:
    """Raise `ResponseTooLargeError` or `MalformedResponseError` where another size is announced."""
    if "Content-Encoding" in response.headers:
        return
    ranged = re.fullmatch(r"bytes \d{1,20}-\d{1,20}/(\d{1,20})", response.headers.get("Content-Range", ""))
    length = response.headers.get("Content-Length", "")
    if ranged is not None and start:
        announced = int(ranged[1])
    elif length.isdecimal() and not start:
        announced = int(length)
    else:
        return
    if announced > size:
        raise ResponseTooLargeError(f"more than {size:,} bytes are announced: {announced:,}.")
    if announced < size:
        raise MalformedResponseError(f"{announced:,} bytes are announced where {size:,} were due.")
