"""The ledger of limits: a reservation and its settlement, uncontended; the goal is 0.3 ms for both.

The floor is a transaction of SQLite that does nothing but write one row, twice. Waiting counts here,
not the time of the processor alone: a request is not written before it has been reserved.
"""

import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

from freeproviders.catalogue.rows import Limit
from freeproviders.quota.interface import Ask
from freeproviders.quota.opening import open_ledger
from freeproviders.quota.rules import claims_of, rules_for
from freeproviders.quota.sqlite import SQLiteStore
from freeproviders.quota.steps import Received, Settle, Take

LIMITS = [
    Limit(metric="requests", per="minute", cap=1e6, scope="model", reset="rolling"),
    Limit(metric="tokens", per="minute", cap=1e9, scope="model"),
    Limit(metric="requests", per="day", cap=1e7, scope="model"),
    Limit(metric="tokens", per="day", cap=1e10, scope="model"),
]
CALLS = 2000


def ask(count: int) -> Ask:
    rules = rules_for("service", LIMITS[:count], "model")
    return Ask(claims=claims_of(rules, {"input tokens": 100, "output tokens": 1000}), account="key")


def floor(folder: Path) -> list[float]:
    file = sqlite3.connect(folder / "floor.db", isolation_level=None)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")
    file.execute("CREATE TABLE uses (at REAL)")
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        for _ in range(2):
            file.execute("BEGIN IMMEDIATE")
            file.execute("INSERT INTO uses VALUES (?)", (started,))
            file.execute("COMMIT")
        times.append(time.perf_counter() - started)
    file.close()
    return times


def store(folder: Path, count: int) -> list[float]:
    made, times, wanted = SQLiteStore(folder / "store.db"), [], ask(count)
    for number in range(CALLS):
        started = time.perf_counter()
        (grant,) = made.run([Take(wanted, f"{count}-{number}")])
        made.run([Received(grant, 0.0), Settle(grant, {"tokens": 50.0}, 0.0)])
        times.append(time.perf_counter() - started)
    made.close()
    return times


async def calls(place: str | Path, count: int) -> list[float]:
    """From the wish for a reservation to its grant, and the settlement beside the caller's own work."""
    ledger, times, wanted = open_ledger(place), [], ask(count)
    for _ in range(CALLS):
        started = time.perf_counter()
        grant = await ledger.reserve(wanted)
        ledger.sent(grant)
        ledger.received(grant)
        ledger.settle(grant, {"tokens": 50})
        times.append(time.perf_counter() - started)
        await asyncio.sleep(0.0005)
    await asyncio.to_thread(ledger.close)
    return times


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = {"two transactions of one row each": floor(folder)}
        for count in (1, 2, 4):
            said[f"reserve and settle, {count} limits, in the store"] = store(folder, count)
        for count in (1, 2, 4):
            said[f"what a call waits for, {count} limits"] = asyncio.run(calls(folder / "calls.db", count))
        if url := os.environ.get("FREEPROVIDERS_TEST_REDIS"):
            said["what a call waits for, 2 limits, Redis"] = asyncio.run(calls(url, 2))
    print(f"the ledger (µs, median of {CALLS})")
    for title, times in said.items():
        print(f"  {title:48} {statistics.median(times) * 1e6:9.1f}")


if __name__ == "__main__":
    main()
