"""One contender in a process of its own; it does a workload whenever a line on its input says so.

    python -m benchmarks.peers.worker "ChatOpenAI" http://127.0.0.1:8000

A line is a workload's name, the answer a line of JSON with numbers: CPU in microseconds, of all
threads of the process, per piece or per call, and memory in MB. Texts that differ from what was
sent are an error.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.peers.contenders import CONTENDERS, NATIVE, Client
from benchmarks.server import WHOLE, pieces

BURST, PACED, SHORT, AT_ONCE = 2000, 300, 4, 20
CALLS = 50

Numbers = dict[str, float]


def memory(line: str) -> float:
    """A line of /proc/self/status, in MB; VmHWM is the highest VmRSS."""
    rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(row.split()[1]) / 1024 for row in rows if row.startswith(f"{line}:"))


class Worker:
    def __init__(self, name: str, url: str) -> None:
        self.kind, self.url = {**CONTENDERS, **NATIVE}[name].client, url
        self.clients: dict[tuple[str, bool], Client] = {}

    def client(self, path: str, *, tools: bool = False) -> Client:
        if (path, tools) not in self.clients:
            self.clients[path, tools] = self.kind(f"{self.url}/{path}/v1", tools=tools)
        return self.clients[path, tools]

    async def close(self) -> None:
        for client in self.clients.values():
            await client.aclose()

    async def streamed(self, client: Client, n: int) -> tuple[float, float]:
        """CPU to the first text and to the end, of the process."""
        first, found = 0.0, []
        started = time.process_time()
        async for text in client.astream():
            if text and not first:
                first = time.process_time() - started
            found.append(text)
        spent = time.process_time() - started
        right(found, n)
        return first * 1e6, spent * 1e6

    async def pieces(self, path: str, n: int, *, tools: bool = False) -> Numbers:
        client = self.client(path, tools=tools)
        return {"piece": (await self.streamed(client, n))[1] / n}

    async def burst(self) -> Numbers:
        return await self.pieces(f"n{BURST}", BURST)

    async def paced(self) -> Numbers:
        return await self.pieces(f"n{PACED}-d1000", PACED)

    async def burst_with_a_tool(self) -> Numbers:
        return await self.pieces(f"n{BURST}", BURST, tools=True)

    async def first(self) -> Numbers:
        client = self.client(f"n{SHORT}")
        seen = [await self.streamed(client, SHORT) for _ in range(CALLS)]
        return {"first": statistics.median(one[0] for one in seen)}

    async def whole(self, *, tools: bool = False) -> Numbers:
        client = self.client(f"n{WHOLE}", tools=tools)
        await client.ainvoke()  # connects: since its last turn the service has closed what was idle
        started = time.process_time()
        texts = [await client.ainvoke() for _ in range(CALLS)]
        spent = time.process_time() - started
        for text in texts:
            right([text], WHOLE)
        return {"call": spent / CALLS * 1e6}

    async def whole_with_a_tool(self) -> Numbers:
        return await self.whole(tools=True)

    def sync_burst(self) -> Numbers:
        client = self.client(f"n{BURST}")
        started = time.process_time()
        texts = list(client.stream())
        spent = time.process_time() - started
        right(texts, BURST)
        return {"piece": spent / BURST * 1e6}

    def sync_whole(self) -> Numbers:
        client = self.client(f"n{WHOLE}")
        client.invoke()
        started = time.process_time()
        texts = [client.invoke() for _ in range(CALLS)]
        spent = time.process_time() - started
        for text in texts:
            right([text], WHOLE)
        return {"call": spent / CALLS * 1e6}

    async def at_once(self, streams: int) -> Numbers:
        """Streams of 20 pieces 10 ms apart, begun together by a client that has connections for none."""
        client = self.client(f"n{AT_ONCE}-d10000")
        await self.streamed(self.client(f"n{SHORT}"), SHORT)

        async def one() -> list[str]:
            return [text async for text in client.astream()]

        started = time.process_time()
        answers = await asyncio.gather(*(one() for _ in range(streams)), return_exceptions=True)
        spent = time.process_time() - started
        lost = sum(isinstance(one, BaseException) or not same(one, AT_ONCE) for one in answers)
        if lost:
            raise ValueError(f"{lost} of {streams} streams were lost.")
        return {"piece": spent / AT_ONCE / streams * 1e6, "memory": memory("VmHWM")}

    def workload(self, name: str) -> Callable[[], Numbers | Awaitable[Numbers]]:
        kind, _, number = name.partition(" ")
        return (lambda: self.at_once(int(number))) if number else getattr(self, kind)


def same(texts: list[str], n: int) -> bool:
    return "".join(texts) == "".join(pieces(n))


def right(texts: list[str], n: int) -> None:
    if not same(texts, n):
        raise ValueError(f"Another text than was sent: {''.join(texts)[:80]!r}")


async def serve(worker: Worker) -> None:
    """Async workloads run on one loop, as in a program; sync ones where no loop runs, in a thread."""
    for line in iter(sys.stdin.readline, ""):
        gc.collect()
        try:
            work = worker.workload(line.strip())
            if line.startswith("sync"):
                said = await asyncio.to_thread(work)
            else:
                said = await work()
        except Exception as error:  # noqa: BLE001 - a contender may fail as it likes
            said = {"error": f"{type(error).__name__}: {error}"[:300]}
        print("RESULT " + json.dumps(said), flush=True)
    await worker.close()


def main() -> None:
    worker = Worker(*sys.argv[1:3])
    worker.client(f"n{BURST}")  # imports what it needs
    print("RESULT " + json.dumps({"memory": memory("VmRSS")}), flush=True)
    asyncio.run(serve(worker))
    sys.stdout.flush()
    os._exit(0)  # threads of packages that never end


if __name__ == "__main__":
    main()
