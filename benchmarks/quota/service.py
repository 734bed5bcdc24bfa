"""A service on 127.0.0.1 that counts for itself and refuses what is above its limits.

    python -m benchmarks.quota.service '{"rolling": {"meaning": "rolling", ...}}' '{"window": ...}'

It has a limit of requests and one of tokens under each name: `POST /<name>/v1/chat/completions`. A
request says its number in the queue as `user`, and, where the client can, when it was written
(`stamp`, microseconds of the clock that all processes of a machine share). The service counts it
as having come exactly the queue's transit later, however busy the machine is: a client that keeps
its word about the transit is not blamed for a process that did not run.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

from benchmarks.quota.queue import Queue
from benchmarks.quota.tally import Limits, Tally


def now() -> int:
    """Read the clock that all processes share, in microseconds."""
    return time.monotonic_ns() // 1000


@dataclass(slots=True)
class Report:
    """What a service has seen under one name; arrivals are times with numbers of the queue."""

    calls: int = 0
    tokens: int = 0
    refused: int = 0
    burst: int = 0
    arrivals: list[tuple[int, int]] = field(default_factory=list)

    @property
    def over(self) -> int:
        """The calls that had to be refused, and those that took more tokens than there were."""
        return self.refused + self.burst


class Service:
    """The server."""

    def __init__(self, limits: dict[str, Limits], queue: Queue) -> None:
        self.tallies = {name: Tally(one) for name, one in limits.items()}
        self.limits = limits
        self.reports = {name: Report() for name in limits}
        self.numbers = dict.fromkeys(limits, 0)
        self.queue = queue

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                at = now()
                length = next(
                    (
                        int(line[15:])
                        for line in head.lower().split("\r\n")
                        if line.startswith("content-length:")
                    ),
                    0,
                )
                body = json.loads(await reader.readexactly(length) or b"{}")
                _, name, *rest = head.split(" ", 2)[1].split("/")
                if name == "report":
                    answer(writer, 200, {one: asdict(report) for one, report in self.reports.items()})
                elif rest == ["next"]:
                    answer(writer, 200, {"number": self.numbers[name]})
                    self.numbers[name] += 1
                else:
                    await self.chat(name, at, body, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def chat(self, name: str, at: int, body: dict, writer: asyncio.StreamWriter) -> None:
        item, tally, report = self.queue.item(int(body["user"])), self.tallies[name], self.reports[name]
        came = body.get("stamp", at) + item.there
        await until(came)
        if not tally.admits(came, item):
            report.refused += 1
            wait = self.limits[name].window / 1e6
            await until(came + item.back)
            answer(
                writer,
                429,
                {
                    "error": {
                        "message": "Rate limit reached.",
                        "type": "requests",
                        "code": "rate_limit_exceeded",
                    }
                },
                f"Retry-After: {wait:.3f}\r\n",
            )
            return
        tally.came(came, item)
        report.calls += 1
        report.tokens += item.most if tally.counted == "admission" else item.usage
        report.arrivals.append((came, int(body["user"])))
        announced = self.announced(name, came)
        # The head of the answer leaves at once, its end after the work; both have the same way back.
        await until(came + item.back)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{announced}".encode())
        await until(came + item.working)
        if not tally.ended(came, item):
            report.burst += 1
        await until(came + item.working + item.back)
        usage = {"prompt_tokens": item.prompt, "completion_tokens": item.answer, "total_tokens": item.usage}
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        document = json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": body.get("model", "m"),
                "choices": [choice],
                "usage": usage,
            }
        ).encode()
        writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(document), document))

    def announced(self, name: str, time: int) -> str:
        """Return the headers that say how the limits stand."""
        limits, tally = self.limits[name], self.tallies[name]
        if not limits.announce:
            return ""
        lines = []
        for metric, count, cap in (
            ("requests", tally.requests, limits.requests),
            ("tokens", tally.tokens, limits.tokens),
        ):
            left, back = count.left(time)
            if limits.announce == "floor":
                back -= back % (limits.window // 60)
            lines += [
                f"x-limit-{metric}: {cap}\r\n",
                f"x-remaining-{metric}: {left}\r\n",
                f"x-reset-{metric}: {back / 1e6:.6f}\r\n",
            ]
        return "".join(lines)


async def until(time: int) -> None:
    if (left := time - now()) > 0:
        await asyncio.sleep(left / 1e6)


def answer(writer: asyncio.StreamWriter, status: int, document: dict, headers: str = "") -> None:
    body = json.dumps(document).encode()
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


async def main(limits: dict[str, Limits], queue: Queue) -> None:
    service = Service(limits, queue)
    server = await asyncio.start_server(service.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent lets go
    server.close()


if __name__ == "__main__":
    asyncio.run(
        main(
            {name: Limits(**one) for name, one in json.loads(sys.argv[1]).items()},
            Queue(**json.loads(sys.argv[2])),
        )
    )
