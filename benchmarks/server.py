"""An OpenAI-style service that sends prepared bytes.

It runs in a process of its own, so that its time is not the client's.

`/n2000/v1/chat/completions` answers with 2000 pieces at once, `/n500-d1000/...` with 500, a
millisecond apart, each in a write of its own; a request with `"stream": false` gets one document.

`/n1024/v1/embeddings` answers with a vector of 1024 numbers for each text, as base64 where that is
asked for.
"""

import asyncio
import base64
import functools
import json
import random
import re
import struct
import sys

WHOLE = 50
"""Pieces of an answer that is asked for as a whole."""
CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def frame(delta: dict, finish: str | None = None) -> bytes:
    body = {
        **CHUNK,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        "usage": None,
    }
    return chunk(b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@functools.cache
def frames(n: int) -> list[bytes]:
    return [frame({"content": piece}) for piece in pieces(n)]


def pieces(n: int) -> list[str]:
    words = ["the", " stream", " of", " words", " naïve", " 日本", ",", "\n", " 🙂", " {json}"]
    return [words[i % len(words)] for i in range(n)]


USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = (
    frame({}, "stop")
    + chunk(b"data: " + json.dumps({**CHUNK, "choices": [], "usage": USAGE}).encode() + b"\n\n")
    + chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


@functools.cache
def embeddings(texts: int, size: int, encoding: str) -> bytes:
    """Vectors as services write them: 32-bit floats, as text with all their digits."""
    chance = random.Random(0)
    rows = [[chance.gauss(0, size**-0.5) for _ in range(size)] for _ in range(texts)]
    packed = [struct.pack(f"<{size}f", *row) for row in rows]
    data = [
        {
            "object": "embedding",
            "index": n,
            "embedding": base64.b64encode(row).decode()
            if encoding == "base64"
            else struct.unpack(f"<{size}f", row),
        }
        for n, row in enumerate(packed)
    ]
    usage = {"prompt_tokens": 9 * texts, "total_tokens": 9 * texts}
    return json.dumps({"object": "list", "data": data, "model": "m", "usage": usage}).encode()


def document(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            if head.startswith(b"GET "):  # the models, which some clients list before their first question
                writer.write(document(b'{"object":"list","data":[{"id":"m","object":"model"}]}'))
                continue
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
            body = await reader.readexactly(length)
            match = re.match(rb"POST /n(\d+)(?:-d(\d+))?/", head)
            n, delay = int(match[1]), int(match[2] or 0) / 1e6
            asked = json.loads(body)
            if "input" in asked:
                writer.write(document(embeddings(len(asked["input"]), n, asked.get("encoding_format", ""))))
            elif asked.get("stream"):
                start = HEAD + frame({"role": "assistant", "content": ""})
                if delay:
                    writer.write(start)
                    for each in frames(n):
                        await asyncio.sleep(delay)
                        writer.write(each)
                    writer.write(END)
                else:
                    writer.write(start + b"".join(frames(n)) + END)
            else:
                choice = {
                    "index": 0,
                    "message": {"role": "assistant", "content": "".join(pieces(n))},
                    "finish_reason": "stop",
                }
                answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
                answer |= {"choices": [choice], "usage": USAGE}
                writer.write(document(json.dumps(answer).encode()))
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent process ends


if __name__ == "__main__":
    asyncio.run(main())
