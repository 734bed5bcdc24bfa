"""Right answers of each service, written by hand, and a plain socket that sends them.

Nothing here comes from the package: the replicas write with the same module as the package itself, so that a
mistake on both sides would go unseen between them.
"""

import json
from contextlib import contextmanager

from tests.core.servers import read_request, speaks

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def event(document):
    """Write one event of a stream; `json.dumps` leaves no character above ASCII as it is."""
    return b"data: " + (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n\n"


def chunk(delta, reason=None, **more):
    """Write one chunk of the OpenAI protocol."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "by-hand",
        "choices": [choice],
        **more,
    }


def openai(pieces):
    """An answer in chunks, with usage in a last chunk of its own."""
    first = chunk({"role": "assistant", "content": ""})
    last = [chunk({}, "stop"), {**chunk({}), "choices": [], "usage": USAGE}]
    return [
        event(first),
        *(event(chunk({"content": p})) for p in pieces),
        *map(event, last),
        event(b"[DONE]"),
    ]


def openai_call(name, fragments):
    """A tool call whose arguments come in fragments."""
    head = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    more = [{"index": 0, "function": {"arguments": fragment}} for fragment in fragments]
    calls = [event(chunk({"tool_calls": [call]})) for call in (head, *more)]
    return [event(chunk({"role": "assistant", "content": None})), *calls, event(chunk({}, "tool_calls"))]


def flow_gpt(pieces):
    """An answer in lines of JSON."""
    events = [{"event": "text", "data": piece} for piece in pieces]
    return [json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in events]


def chatgpt_free(pieces):
    """An answer in one document, as the plugin gives it without streaming."""
    return [json.dumps({"status": "success", "data": "".join(pieces)}).encode()]


def ai_chat_free(pieces):
    """An answer without any framing."""
    return [piece.encode() for piece in pieces]


PAGE = b'<html><div class="wpaicg-chat-shortcode" data-post-id="77" data-nonce="ab12cd34ef"></div></html>'
WRITERS = {
    "free-netfly": (openai, "text/event-stream"),
    "openai-compatible": (openai, "text/event-stream"),
    "chatgpt-free": (chatgpt_free, "application/json"),
    "flow-gpt": (flow_gpt, "application/x-ndjson"),
    "ai-chat-free": (ai_chat_free, "text/plain; charset=utf-8"),
}


def framed(frames, size=None):
    """A body in chunked transfer coding: a chunk for each frame, or of a size."""
    if size is not None:
        body = b"".join(frames)
        frames = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(frame), frame) for frame in frames if frame) + b"0\r\n\r\n"


@contextmanager
def says_by_hand(frames, content_type, size=None):
    """Answer every chat request with frames, and every GET with ChatgptFree's page; yields the address."""

    def talk(connection, number):
        del number
        request = read_request(connection)
        if request.startswith(b"GET "):
            body, kind = framed([PAGE]), "text/html"
        else:
            body, kind = framed(frames, size), content_type
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n"
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        connection.sendall(head.encode() + body)

    with speaks(talk) as url:
        yield url
