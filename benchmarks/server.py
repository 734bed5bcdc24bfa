"""An OpenAI-style service that sends prepared bytes.

It runs in a process of its own, so that its time is not the client's.

`/n2000/v1/chat/completions` answers with 2000 pieces at once, `/n500-d1000/...` with 500, a
millisecond apart, each in a write of its own; a request with `"stream": false` gets one document.
"""

import asyncio
import json
import re
import sys


def frame(delta: dict, finish: str | None = None) -> bytes:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        "usage": None,
    }
    return chunk(b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def pieces(n: int) -> list[str]:
    words = [" the", " stream", " of", " words", " naïve", " 日本", ",", "\n", " 🙂", " {json}"]
    return [words[i % len(words)] for i in range(n)]


USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = (
    frame({}, "stop")
    + chunk(
        b"data: "
        + json.dumps({"id": "chatcmpl-1", "model": "m", "choices": [], "usage": USAGE}).encode()
        + b"\n\n"
    )
    + chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
            body = await reader.readexactly(length)
            match = re.match(rb"POST /n(\d+)(?:-d(\d+))?/", head)
            n, delay = int(match[1]), int(match[2] or 0) / 1e6
            if json.loads(body).get("stream"):
                frames = [frame({"content": piece}) for piece in pieces(n)]
                start = HEAD + frame({"role": "assistant", "content": ""})
                if delay:
                    writer.write(start)
                    for each in frames:
                        await asyncio.sleep(delay)
                        writer.write(each)
                    writer.write(END)
                else:
                    writer.write(start + b"".join(frames) + END)
            else:
                choice = {
                    "index": 0,
                    "message": {"role": "assistant", "content": "".join(pieces(n))},
                    "finish_reason": "stop",
                }
                document = json.dumps(
                    {"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": USAGE}
                ).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    % len(document)
                    + document
                )
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it goes


if __name__ == "__main__":
    asyncio.run(main())
