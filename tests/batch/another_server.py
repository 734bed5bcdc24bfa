"""A server of the chat completions protocol that has nothing of this package: `python another_server.py`.

It is written from OpenAI's reference of the protocol, with aiohttp alone. About a third of the
requests fail as services do: 429 with and without Retry-After, 500, 503 with a page, an answer that
breaks off, a connection that is dropped. A question with "never" in it always fails, one with
"forbidden" is refused. `GET /seen` counts the whole answers by question, and those that broke off.
"""

import asyncio
import json
import random
from collections import Counter

from aiohttp import web

chance = random.Random(3)
seen = Counter()
asked = Counter()
broken = Counter()


def error(status, message, code, **headers):
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


async def completions(request):
    body = await request.json()
    question = body["messages"][-1]["content"]
    asked[question] += 1
    await asyncio.sleep(0.002)
    if "forbidden" in question:
        return error(400, "Your request was rejected.", "invalid_request_error")
    luck = chance.random()
    if "never" in question or luck < 0.06:
        return error(500, "The server had an error while processing your request.", "server_error")
    if luck < 0.12:
        return error(429, "Rate limit reached.", "rate_limit_exceeded", **{"Retry-After": "0.05"})
    if luck < 0.18:
        return error(429, "Rate limit reached.", "rate_limit_exceeded")
    if luck < 0.24:
        return web.Response(
            status=503, text="<html><body>Service unavailable</body></html>", content_type="text/html"
        )
    whole = json.dumps(
        {
            "id": "chatcmpl-9",
            "object": "chat.completion",
            "created": 1700000000,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": question.upper(), "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
        }
    ).encode()
    if luck < 0.30:
        answer = web.StreamResponse(
            headers={"Content-Type": "application/json", "Content-Length": str(len(whole))}
        )
        await answer.prepare(request)
        await answer.write(whole[: len(whole) // 2])
        broken[question] += 1
        request.transport.abort()
        return answer
    if luck < 0.34:
        request.transport.abort()
        return web.Response()
    seen[question] += 1
    return web.Response(body=whole, content_type="application/json")


async def told(_):
    return web.json_response({"seen": seen, "asked": asked, "broken": broken})


async def main():
    app = web.Application()
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_get("/seen", told)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
