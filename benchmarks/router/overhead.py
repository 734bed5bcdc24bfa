"""What a router adds to one healthy member: CPU for each piece, time and CPU to the first content.

Run as `python -m benchmarks.router.overhead`; the goals are less than 5 % more for a piece and less
than 1 ms to the first content. Both are asked in turns; the medians are those of the pairs.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time

from benchmarks.harness import compare, server
from freeproviders import FreeProviders, OpenAICompatible
from freeproviders.backend import Backend
from freeproviders.types import Text

CALLS, ROUNDS = 40, 15


def backends(url: str, path: str) -> tuple[Backend, Backend]:
    """A member alone and behind a router, each with a configuration of its own."""
    alone, member = (OpenAICompatible("m", base_url=f"{url}{path}/v1") for _ in range(2))
    return alone, FreeProviders(member, ledger="memory")


def pieces(asked: Backend):
    async def run() -> int:
        return sum([type(part) is Text async for part in asked.stream("x")])

    return run


def batches(asked: Backend):
    async def run() -> int:
        return sum([len(batch) async for batch in asked.answer(asked.request("x"))])

    return run


def sync(asked: Backend):
    return lambda: sum(type(part) is Text for part in asked.stream_sync("x"))


async def first_content(asked: Backend) -> tuple[float, float]:
    """The milliseconds, and those of the processor, up to the first text; the rest is not counted."""
    gc.collect()
    waited = worked = 0.0
    for _ in range(CALLS):
        clock, cpu, seen = time.perf_counter(), time.process_time(), False
        async for part in asked.stream("x"):
            if not seen and type(part) is Text:
                seen = True
                waited += time.perf_counter() - clock
                worked += time.process_time() - cpu
    return waited / CALLS * 1e3, worked / CALLS * 1e3


async def first_contents(url: str) -> None:
    alone, router = backends(url, "/n4")
    rows = []
    for turn in range(ROUNDS + 1):
        order = [alone, router] if turn % 2 else [router, alone]
        found = {id(one): await first_content(one) for one in order}
        if turn:
            rows.append((*found[id(alone)], *found[id(router)]))
    for name, place in (("time", 0), ("CPU", 1)):
        own = statistics.median(row[place] for row in rows)
        more = statistics.median(row[place + 2] - row[place] for row in rows)
        print(f"to the first content, {name}: {own:.3f} ms alone, {more:+.3f} ms behind the router")


def main() -> None:
    with server() as url:
        for title, path, n, calls in (
            ("burst of 2000 pieces, per piece", "/n2000", 2000, 5),
            ("300 pieces 1 ms apart, per piece", "/n300-d1000", 300, 1),
            ("short stream, per call", "/n4", 1, 100),
        ):
            for way in (pieces, batches, sync):
                alone, router = backends(url, path)
                compare(
                    f"{title}, {way.__name__}",
                    {"alone": way(alone), "router": way(router)},
                    per=n,
                    calls=calls,
                    rounds=15,
                )
        asyncio.run(first_contents(url))


if __name__ == "__main__":
    main()
