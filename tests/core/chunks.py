"""Chat completions written and read by hand, as a plain server and a plain client do.

Nothing here comes from the package, so that its reader and its writer cannot agree with each other
alone.
"""

import json


def sse(*frames, done=True):
    """An event stream; frames are documents, or bytes as they are."""
    out = b"".join(
        b"data: " + (frame if isinstance(frame, bytes) else json.dumps(frame).encode()) + b"\n\n"
        for frame in frames
    )
    return out + (b"data: [DONE]\n\n" if done else b"")


def delta(finish=None, **fields):
    """A chunk of one delta."""
    return {"id": "r1", "model": "m1", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def call(index=None, id=None, name=None, arguments=None):
    """A tool call or a delta of one; what is None is left out."""
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return {
        k: v
        for k, v in (("index", index), ("id", id), ("type", "function"), ("function", function))
        if v is not None
    }


def read_chunks(chunks):
    """What a plain client makes of a stream: (text, reasoning, calls, finish reason, usage)."""
    text, reasoning, calls, reason, usage = "", "", {}, None, None
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            fields = choice["delta"]
            text += fields.get("content") or ""
            reasoning += fields.get("reasoning_content") or ""
            for one in fields.get("tool_calls", ()):
                known = calls.setdefault(one["index"], {"id": "", "name": "", "arguments": ""})
                known["id"] += one.get("id", "")
                known["name"] += one["function"].get("name", "")
                known["arguments"] += one["function"]["arguments"]
            reason = choice["finish_reason"] or reason
    made = [(c["id"], c["name"], json.loads(c["arguments"])) for _, c in sorted(calls.items())]
    return text, reasoning, made, reason, usage
