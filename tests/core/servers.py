"""Small servers that are no service.

A forward proxy, one whose handler a test writes, and one that sends what no HTTP library would.
"""

import asyncio
import socket
import struct
import threading
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web


@dataclass
class Served:
    """A running server."""

    url: str
    requests: list = field(default_factory=list)


@contextmanager
def serve(handler):
    """Serve every request with `handler(request, served)` on a thread of its own."""
    loop, ready, served = asyncio.new_event_loop(), threading.Event(), Served("")
    stop = asyncio.Event()

    async def main():
        async def handle(request):
            served.requests.append(
                (request.method, str(request.url), dict(request.headers), await request.read())
            )
            return await handler(request, served)

        runner = web.ServerRunner(web.Server(handle), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        served.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    def run():
        try:
            loop.run_until_complete(main())
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(5)
    try:
        yield served
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)


@contextmanager
def forward_proxy():
    """An HTTP proxy for plain addresses, which keeps what went through it."""

    async def handle(request, served):
        del served
        headers = {
            key: value
            for key, value in request.headers.items()
            if key.lower() not in {"proxy-authorization", "host", "content-length", "transfer-encoding"}
        }
        async with (
            aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.request(
                request.method,
                request.raw_path if request.raw_path.startswith("http") else request.url,
                data=await request.read(),
                headers=headers,
            ) as answer,
        ):
            out = {
                key: value
                for key, value in answer.headers.items()
                if key.lower() not in {"transfer-encoding", "content-length", "connection"}
            }
            return web.Response(status=answer.status, body=await answer.read(), headers=out)

    with serve(handle) as served:
        yield served


@asynccontextmanager
async def says(*script, tls=None, host="127.0.0.1"):
    """Answer every connection with bytes as they are, and close it; yields the address.

    Numbers among the bytes are seconds of silence.
    """

    async def answer(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in script:
                if isinstance(piece, bytes):
                    writer.write(piece)
                    await writer.drain()
                else:
                    await asyncio.sleep(piece)
        finally:
            writer.close()
            await writer.wait_closed()

    tasks = set()
    server = await asyncio.start_server(
        lambda *streams: tasks.add(asyncio.create_task(answer(*streams))), host, 0, ssl=tls
    )
    try:
        at = f"[{host}]" if ":" in host else host
        yield f"http{'s' if tls else ''}://{at}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def speaks(talk):
    """Hand every connection, a plain socket, to `talk(connection, number)` on its own thread.

    Yields the address. The connection is closed afterwards. `number` counts the connections from 1.
    """
    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    threads, open_ones, ended = [], set(), threading.Event()

    def serve(connection, number):
        open_ones.add(connection)
        try:
            talk(connection, number)
        except OSError:
            pass  # the client has gone
        finally:
            open_ones.discard(connection)
            connection.close()

    def accept():
        while not ended.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection, len(threads) + 1), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        ended.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for connection in list(open_ones):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        accepting.join(5)
        for thread in threads:
            thread.join(5)


def read_request(connection):
    """Read one request from a socket, as bytes; b"" when the client has closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return b""
        data += more
    head = data.partition(b"\r\n\r\n")[0].lower()
    size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    while len(data) < len(head) + 4 + size:
        if not (more := connection.recv(65536)):
            return b""
        data += more
    return data


def reset(connection):
    """Close a socket with a reset instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
