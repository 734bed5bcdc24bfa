"""What every process of the benchmark is given, its connection, and the base of all limiters."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.quota.queue import Item, Queue
from benchmarks.quota.service import now
from benchmarks.quota.tally import Limits


@dataclass(frozen=True, slots=True)
class Job:
    """What a process has to do. Times are microseconds."""

    driver: str
    port: int
    folder: str
    limits: dict[str, Limits]
    queue: Queue
    duration: int
    workers: int
    redis: str = ""
    lease: float = 30.0

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Job:
        job = json.loads(text)
        job["limits"] = {name: Limits(**one) for name, one in job["limits"].items()}
        return cls(**job | {"queue": Queue(**job["queue"])})


class Line:
    """One connection to the service."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def number(self, name: str) -> int:
        """Take the next request from the queue."""
        await self.write(f"/{name}/next", {})
        return (await self.document(await self.head()))["number"]

    async def write(self, path: str, body: dict[str, Any]) -> None:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        data = json.dumps(body).encode()
        self.streams[1].write(
            b"POST %b HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data
        )

    async def head(self) -> tuple[int, int, dict[str, str]]:
        """Read the head of an answer: status, length (-1 where it has none), fields."""
        head = (await self.streams[0].readuntil(b"\r\n\r\n")).decode().lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        return int(head.split(" ")[1]), int(fields.get("content-length", -1)), fields

    async def document(self, head: tuple[int, int, dict[str, str]]) -> dict[str, Any]:
        return json.loads(await self.streams[0].readexactly(head[1]))

    def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()


class Driver:
    """Sends what its `admit` lets through. Those that share nothing with others need no more."""

    processes = 8

    def __init__(self, job: Job) -> None:
        self.job = job
        self.end = 0

    async def open(self) -> None:
        """Make ready, before the clock runs."""

    async def admit(self, name: str, item: Item) -> Any:
        """Wait until a request may be sent. May raise `TimeoutError` where that is after the end."""

    def sent(self, ticket: Any) -> None:
        """Hear that the request was written."""

    def received(self, ticket: Any, fields: dict[str, str]) -> None:
        """Hear that the head of the answer has come."""

    def settle(self, ticket: Any, used: int) -> None:
        """Hear what the request took; 0 where it was refused."""

    async def close(self) -> None:
        """Let go of what was opened."""

    async def ask(self, name: str, number: int, line: Line) -> None:
        """Send one request of the queue, and again where it is refused."""
        item = self.job.queue.item(number)
        while True:
            ticket = await self.admit(name, item)
            await line.write(
                f"/{name}/v1/chat/completions",
                {"user": str(number), "stamp": now(), "model": "m", "max_tokens": item.max_tokens},
            )
            self.sent(ticket)
            head = await line.head()
            self.received(ticket, head[2])
            if head[0] == 200:
                self.settle(ticket, (await line.document(head))["usage"]["total_tokens"])
                return
            await line.document(head)
            self.settle(ticket, 0)
            await asyncio.sleep(float(head[2]["retry-after"]))

    async def work(self, name: str) -> None:
        line = Line(self.job.port)
        try:
            while now() < self.end:
                await self.ask(name, await line.number(name), line)
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            line.close()
