"""Measures contenders against a floor: CPU time of this process, in turns, as ratios made within each turn.

The machine's speed drifts and others use it: seconds say little, the ratio of two runs side by side
says much.
"""

import asyncio
import gc
import inspect
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

Contender = Callable[[], int] | Callable[[], Awaitable[int]]
"""Does the work once and returns the number of pieces it saw."""
AT_ONCE = 500
"""Streams that one client reads at the same time."""
COMPARED: dict[str, dict[str, dict[str, float]]] = {}
"""What `compare` has printed, by its title: microseconds, and the ratio to the floor."""


@contextmanager
def server() -> Iterator[str]:
    """The prepared service; yields its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.stdin.close()
        process.wait(5)
        process.stdout.close()


def compare(
    title: str,
    contenders: dict[str, Contender],
    *,
    per: int,
    calls: int = 5,
    rounds: int = 5,
    close: Callable[[], Awaitable[None]] | None = None,
) -> dict[str, float]:
    """Print and return each contender's median ratio to the first, the floor.

    `per` divides a call's time: its pieces, or 1 for whole calls.
    """

    async def main() -> dict[str, list[float]]:
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for turn in range(rounds + 1):
            for name, contender in contenders.items():
                gc.collect()
                started = time.process_time()
                for _ in range(calls):
                    seen = contender()
                    if inspect.isawaitable(seen):
                        seen = await seen
                spent = time.process_time() - started
                if turn:  # the first warms up
                    times[name].append(spent / calls / per * 1e6)
        if close is not None:
            await close()
        return times

    times = asyncio.run(main())
    floor = next(iter(contenders))
    ratios = {name: ratio(times[name], times[floor]) for name in contenders}
    print(f"{title} (CPU µs each, median of {rounds}; ratio to {floor})")
    for name in contenders:
        print(f"  {name:32} {statistics.median(times[name]):9.2f}  {ratios[name]:6.2f}", flush=True)
    COMPARED.setdefault(
        title,
        {name: {"us": statistics.median(times[name]), "ratio": ratios[name]} for name in contenders},
    )
    return ratios


def compare_at_once(
    floor: str,
    least: Callable[[], Awaitable[int]],
    name: str,
    ours: Callable[[], Awaitable[int]],
    *,
    pieces: int,
    close: Callable[[], Awaitable[None]],
) -> None:
    """Compare `AT_ONCE` streams at the same time, each of so many pieces."""

    async def together(stream: Callable[[], Awaitable[int]]) -> int:
        return sum(await asyncio.gather(*(stream() for _ in range(AT_ONCE))))

    compare(
        f"{AT_ONCE} streams at once, 10 ms apart, per piece",
        {floor: lambda: together(least), name: lambda: together(ours)},
        per=AT_ONCE * pieces,
        calls=1,
        close=close,
    )


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios that were made within each turn."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))
