"""Small servers that no service is: a forward proxy, one whose handler a test writes, and one that says what no HTTP library would."""

import asyncio
import threading
from contextlib import asynccontextmanager, contextmanager
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
    """Answer every connection with bytes as they are, numbers being seconds of silence, and close it; yields the address."""

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
        yield f"http{'s' if tls else ''}://{f'[{host}]' if ':' in host else host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
