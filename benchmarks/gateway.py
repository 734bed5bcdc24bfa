"""A gateway under many streams at once: answers lost, CPU beside asking directly, memory.

    python -m benchmarks.gateway [STREAMS]

Four processes: the prepared service; the gateway; the same core without a gateway, which asks the same
streams and reads them to their end; and this one, which reads what the gateway sends and checks it. Compared
is the CPU time of the second with that of the third, in turns.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import server
from benchmarks.server import pieces
from freeproviders import OpenAICompatible
from freeproviders.gateway import GatewayServer, Limits

BODY = {"model": "auto", "messages": [{"role": "user", "content": "x"}], "stream": True}
KINDS = (
    ("40 pieces, 250 ms apart", "/n40-d250000", 40),
    ("burst of 400 pieces", "/n400", 400),
)
ROUNDS = 3


# --- the processes that are measured --------------------------------------------------------------


async def child(role: str, url: str) -> None:
    """Do what the lines of standard input say, and answer each with a line of JSON."""
    loop = asyncio.get_running_loop()
    lines: asyncio.StreamReader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    providers = {path: OpenAICompatible("m", base_url=f"{url}{path}/v1") for _, path, _ in KINDS}
    ports: dict[str, int] = {}
    if role == "gateway":
        limits = Limits(at_once=100_000, connections=100_000, per_minute=0)
        for path, provider in providers.items():
            ports[path] = await GatewayServer(provider, limits=limits).start()

    async def ask(path: str) -> int:
        return sum([len(batch) async for batch in providers[path].answer(providers[path].request("x"))])

    print(json.dumps(ports), flush=True)
    while line := await lines.readline():
        what, _, path = line.decode().strip().partition(" ")
        started = time.process_time()
        if what == "ask":
            path, _, count = path.partition(" ")
            await asyncio.gather(*(ask(path) for _ in range(int(count))))
            print(json.dumps(time.process_time() - started), flush=True)
        else:
            print(json.dumps([time.process_time(), megabytes()]), flush=True)


def megabytes() -> float:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20


class Child:
    """One of them, and what it says."""

    def __init__(self, role: str, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gateway", role, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ports: dict[str, int] = self._said()

    def tell(self, line: str) -> Any:
        assert self._process.stdin
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._said()

    def _said(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
        self._process.wait(10)


@contextmanager
def children(url: str) -> Iterator[tuple[Child, Child]]:
    gateway, direct = Child("gateway", url), Child("direct", url)
    try:
        yield gateway, direct
    finally:
        gateway.end()
        direct.end()


# --- the client -----------------------------------------------------------------------------------


async def read(port: int, expected: str) -> str:
    """Read one stream with as little work as can be; return what is wrong with it, "" for nothing."""
    body = json.dumps(BODY).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    try:
        writer.write(head + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        answer = await reader.read(-1)
    finally:
        writer.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        return answer[:200].decode("utf-8", "replace")
    events = unchunked(answer.partition(b"\r\n\r\n")[2]).split(b"\n\n")
    events = [event for event in events if not event.startswith(b":")]  # comments, where all were slow
    if events[-2:] != [b"data: [DONE]", b""]:
        return "It has no end."
    deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in events[:-2]]
    text = "".join([delta.get("content") or "" for delta in deltas])
    return "" if text == expected else f"{len(text)} characters in place of {len(expected)}"


def unchunked(data: bytes) -> bytes:
    out = []
    while data:
        size, _, data = data.partition(b"\r\n")
        out.append(data[: int(size, 16)])
        data = data[int(size, 16) + 2 :]
    return b"".join(out)


async def through(port: int, streams: int, expected: str) -> int:
    """Ask for all streams at once; return how many were lost."""
    faults = await asyncio.gather(*(read(port, expected) for _ in range(streams)), return_exceptions=True)
    lost = [fault for fault in faults if fault != ""]
    if lost:
        print(f"  lost: {lost[0]!r}")
    return len(lost)


def main(streams: int = 1_000) -> None:
    with server() as url, children(url) as (gateway, direct):
        for title, path, n in KINDS:
            expected = "".join(pieces(n))
            ratios, ours, theirs, memory, lost = [], [], [], [], 0
            for turn in range(ROUNDS + 1):
                before, _ = gateway.tell("state")
                started = time.monotonic()
                lost += asyncio.run(through(gateway.ports[path], streams, expected))
                took = time.monotonic() - started
                after, size = gateway.tell("state")
                memory.append(size)
                spent = direct.tell(f"ask {path} {streams}")
                if turn:  # the first warms up
                    ours.append((after - before) / streams / n * 1e6)
                    theirs.append(spent / streams / n * 1e6)
                    ratios.append(ours[-1] / theirs[-1])
            print(f"{streams} streams at once, {title} (median of {ROUNDS}, the last in {took:.1f} s)")
            print(f"  lost                        {lost}")
            print(f"  CPU of a piece, gateway     {statistics.median(ours):6.2f} µs")
            print(f"  CPU of a piece, direct      {statistics.median(theirs):6.2f} µs")
            print(f"  ratio                       {statistics.median(ratios):6.2f}")
            print(f"  memory of the gateway, MB   {', '.join(f'{size:.0f}' for size in memory)}")


if __name__ == "__main__":
    if sys.argv[1:2] and not sys.argv[1].isdigit():
        asyncio.run(child(sys.argv[1], sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
