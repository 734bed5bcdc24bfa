"""A server that signs its tool calls, and answers 400 where a signature does not come back.

Written from Google's page on thought signatures and from recorded answers of its endpoint in OpenAI's
form: calls come whole, without an index, also several in one delta, and end with "stop"; of parallel
calls only the first is signed; all calls since the user last spoke must have come back signed.
"""

import json
import secrets
from contextlib import contextmanager

from aiohttp import web

from freeproviders.catalogue import Service, facts_of
from freeproviders.wire.openai.style import Style
from tests.core.chunks import delta, sse
from tests.core.servers import serve

SKIP = "skip_thought_signature_validator"
STEPS = (
    [("get_weather", {"city": "Rome"}), ("get_time", {"city": "Rome"})],
    [("get_weather", {"city": "Oslo"})],
)
"""The calls that the model makes, one answer after the other; then it says `DONE`."""
DONE = "Sunny at noon."
STYLE = Style(tool_extras=True, tool_extra_default={"extra_content": {"google": {"thought_signature": SKIP}}})


def row(name="signing", style=STYLE):
    """The row of a service that signs."""
    return Service(
        id=name, name=name.title(), base_url="https://signing.invalid/v1", key="none", request=style
    )


facts_of(row(), "m")  # read here, before there is a loop that reading would block


def signature_of(call):
    return call.get("extra_content", {}).get("google", {}).get("thought_signature")


def signatures(body):
    """The signatures of each answer with calls in a request."""
    return [
        [signature_of(call) for call in message["tool_calls"]]
        for message in body["messages"]
        if message.get("tool_calls")
    ]


def refused(what):
    error = {"code": 400, "message": what, "status": "INVALID_ARGUMENT"}
    return web.json_response([{"error": error}], status=400)


@contextmanager
def signing():
    """Run the server; yields it, with the requests' bodies in `bodies`."""
    issued = set()

    async def answer(request, served):
        body = json.loads(served.requests[-1][3])
        served.bodies.append(body)
        for message in body["messages"]:
            known = {"role", "content", "tool_calls", "tool_call_id", "name"}
            if unknown := set(message) - known:
                return refused(f"Unknown name {sorted(unknown)}")
        spoken = max(n for n, message in enumerate(body["messages"]) if message["role"] == "user")
        run = signatures({"messages": body["messages"][spoken:]})
        for signed in signatures(body):
            if any(one is not None and one not in {*issued, SKIP} for one in signed):
                return refused("Thought signature is not valid.")
        if any(signed[0] is None for signed in run):
            return refused(
                "Function call is missing a thought_signature in functionCall parts. This is required "
                "for tools to work correctly."
            )
        if not body.get("tools") or len(run) == len(STEPS):
            return reply(body, {"role": "assistant", "content": DONE})
        calls = [
            {
                "function": {"arguments": json.dumps(arguments), "name": name},
                "id": secrets.token_hex(4),
                "type": "function",
            }
            for name, arguments in STEPS[len(run)]
        ]
        issued.add(signature := secrets.token_urlsafe(300))
        calls[0]["extra_content"] = {"google": {"thought_signature": signature}}
        return reply(body, {"role": "assistant", "tool_calls": calls})

    with serve(answer) as served:
        served.bodies = []
        served.base_url = f"{served.url}/v1"
        yield served


def reply(body, message):
    """Answer as the request wants it: as events, or as a document."""
    if body["stream"]:
        return web.Response(
            body=sse(delta(**message), delta("stop", role="assistant")), content_type="text/event-stream"
        )
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return web.json_response({"id": "r1", "model": "m1", "choices": [choice]})
