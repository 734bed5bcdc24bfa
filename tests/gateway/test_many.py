"""Many streams at once: none is lost or mixed up, all are gone at the end. More in `benchmarks.gateway`."""

from __future__ import annotations

import asyncio
import json

from freeproviders import OpenAICompatible
from freeproviders.gateway import GatewayServer
from freeproviders.testing import replica
from tests.gateway.raw import question

STREAMS = 200


async def read(port: int, number: int) -> str:
    """Ask for a text of one's own; return what came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = f"word {number} and again {number}"
    writer.write(question({"stream": True, "messages": [{"role": "user", "content": said}]}, version="1.0"))
    data = (await reader.read(-1)).partition(b"\r\n\r\n")[2]
    writer.close()
    *events, done, _ = data.split(b"\n\n")
    assert done == b"data: [DONE]"
    deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in events]
    return "" if "".join([delta.get("content", "") for delta in deltas]) == said else data.decode()


async def test_no_stream_is_lost() -> None:
    async with replica(OpenAICompatible) as server:
        gateway = GatewayServer(OpenAICompatible("m", base_url=server.base_url))
        port = await gateway.start()
        try:
            assert set(await asyncio.gather(*(read(port, n) for n in range(STREAMS)))) == {""}
            assert not gateway._streams
            assert gateway._answering == 0
            assert gateway._room.left == gateway.limits.bodies_bytes
        finally:
            await gateway.stop(0)
        assert not gateway._tasks
        assert len(server.requests) == STREAMS
        assert server.disconnects == 0
