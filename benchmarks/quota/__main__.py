"""Measures the limiters that are installed, and prints a table: `python -m benchmarks.quota --help`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.quota.counting import MEANINGS, SECOND
from benchmarks.quota.driver import Job
from benchmarks.quota.drivers import DRIVERS
from benchmarks.quota.ideal import used
from benchmarks.quota.queue import Queue
from benchmarks.quota.running import run
from benchmarks.quota.tally import Limits

NEEDS = {
    "LiteLLM": "litellm",
    "LlamaIndex": "llama_index.core",
    "limits": "limits",
    "pyrate": "pyrate_limiter",
}


def main() -> None:
    say = argparse.ArgumentParser(prog="python -m benchmarks.quota", description=__doc__)
    say.add_argument("who", nargs="*", help="parts of the names of those to measure; all that are installed")
    say.add_argument("--windows", type=float, default=40.6, help="how long, in windows")
    say.add_argument("--window", type=int, default=4, help="seconds")
    say.add_argument("--scale", type=float, default=0.1, help="shortens the transit of 50 to 350 ms")
    say.add_argument("--mix", choices=("small", "large", "both"), default="both")
    say.add_argument("--counted", choices=("end", "corrected", "admission"), default="end")
    say.add_argument(
        "--announce", choices=("exact", "floor"), default="", help="answers say what is left, and until when"
    )
    say.add_argument("--requests", type=int, default=20)
    say.add_argument("--tokens", type=int, default=6000)
    say.add_argument("--redis", default=os.environ.get("FREEPROVIDERS_TEST_REDIS", ""), help="redis://...")
    said = say.parse_args()
    queue = Queue(said.window * SECOND, said.scale, said.mix)
    limits = {
        name: Limits(
            name,
            said.requests,
            said.tokens,
            queue.window,
            queue.window * 3 // 10,
            said.counted,
            said.announce,
        )
        for name in MEANINGS
    }
    print(
        f"{said.requests} requests and {said.tokens} tokens in {said.window} s, {said.windows:g} windows, "
        f"transit below {queue.transit * 1000:.0f} ms, requests: {said.mix}, tokens counted: {said.counted}, "
        f"announced: {said.announce or 'nothing'}\n"
    )
    print("| | " + " | ".join(f"{name}: over | used" for name in MEANINGS) + " |")
    print("|---" * (1 + 2 * len(MEANINGS)) + "|", flush=True)
    for name in DRIVERS:
        if (said.who and not any(part in name for part in said.who)) or not installed(name):
            continue
        print(f"| {name} | {' | '.join(measure(name, limits, queue, said))} |", flush=True)


def installed(name: str) -> bool:
    module = next((module for start, module in NEEDS.items() if name.startswith(start)), "")
    if not module:
        return True
    return all(
        importlib.util.find_spec(".".join(module.split(".")[: n + 1])) for n in range(module.count(".") + 1)
    )


def measure(name: str, limits: dict[str, Limits], queue: Queue, said: argparse.Namespace) -> Iterator[str]:
    """Run one contender; yields for each meaning the calls over, and the share of the calls used."""
    duration = round(said.windows * queue.window)
    with tempfile.TemporaryDirectory() as folder, redis(said.redis) as address:
        processes = DRIVERS[name].processes
        job = Job(name, 0, folder, limits, queue, duration, 32 // processes, address)
        seen, start = run(job, processes)
    for meaning in MEANINGS:
        had, best = used(seen[meaning].arrivals, queue, limits[meaning], start, start + duration)
        yield f"{seen[meaning].over} | {had / best:.1%} of {best}"


@contextmanager
def redis(address: str) -> Iterator[str]:
    """Empty the server at an address, "" for none."""
    if address:
        import redis as package  # noqa: PLC0415 - only where there is one

        with package.Redis.from_url(address) as connection:
            connection.flushdb()
    yield address


if __name__ == "__main__":
    main()
