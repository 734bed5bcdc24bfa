"""The store of answers: keys, JSON text, 100,000 entries in groups, a hit of the cache, and none at all.

The floor of a write is SQLite's own `executemany` into one table with one index, as durable. Memory is
what the process has taken at most while it wrote and read. The cache's cost where none is set is one
look at an attribute: its time is that of the look alone, and that of a call beside it.
"""

import asyncio
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from hashlib import sha256
from pathlib import Path
from timeit import repeat

from freeproviders.answers.entry import Entry
from freeproviders.answers.keys import request_key
from freeproviders.answers.opening import open_store
from freeproviders.answers.plain import from_plain, to_plain
from freeproviders.answers.store import AnswerStore
from freeproviders.backend import Backend
from freeproviders.types import Batch, ChatRequest, Completion, Finish, Message, Text, Usage

ENTRIES = 100_000
GROUP = 100
TEXT = "The sky is blue because air scatters short waves of light more than long ones. " * 10
ANSWER = Completion(TEXT, "", (), Usage(40, 180), Finish(provider="Groq", model="openai/gpt-oss-20b"))
QUESTION = ChatRequest(
    messages=(Message("system", "Answer in one paragraph."), Message("user", "Why is the sky blue? " * 10)),
    temperature=0.0,
)
VALUE = to_plain(ANSWER)


def keys(first: int, count: int) -> list[bytes]:
    return [sha256(str(number).encode()).digest() for number in range(first, first + count)]


def floor(folder: Path) -> float:
    """Write the same into one table; return the seconds."""
    file = sqlite3.connect(folder / "floor.db", isolation_level=None)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = FULL")
    file.execute("CREATE TABLE entry (key BLOB UNIQUE, state TEXT, value BLOB)")
    started = time.perf_counter()
    for first in range(0, ENTRIES, GROUP):
        file.execute("BEGIN IMMEDIATE")
        rows = [(key, "done", VALUE) for key in keys(first, GROUP)]
        file.executemany("INSERT INTO entry VALUES (?, ?, ?)", rows)
        file.execute("COMMIT")
    took = time.perf_counter() - started
    file.close()
    return took


def write(store: AnswerStore) -> float:
    started = time.perf_counter()
    for first in range(0, ENTRIES, GROUP):
        entries = [(key, Entry(state="done", value=VALUE)) for key in keys(first, GROUP)]
        store.put(entries, run="run").result()
    return time.perf_counter() - started


def read(store: AnswerStore) -> float:
    started = time.perf_counter()
    for first in range(0, ENTRIES, GROUP):
        assert len(store.get(keys(first, GROUP)).result()) == GROUP
    return time.perf_counter() - started


class Instant:
    """A backend that answers at once."""

    name, model = "Instant", "m"

    async def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        yield [Text(TEXT), Usage(1, 1), Finish()]


async def hits(store: AnswerStore, count: int = 2000) -> float:
    """Ask the same again and again; return the seconds of a hit."""
    backend = Backend.of(Instant()).cached(store)
    await backend.complete("Why?")
    started = time.perf_counter()
    for _ in range(count):
        answer = await backend.complete("Why?")
        assert answer.finish.cached
    return (time.perf_counter() - started) / count


async def calls(count: int = 5000) -> float:
    """Ask where no cache is set; return the seconds of a call."""
    backend = Backend.of(Instant())
    started = time.perf_counter()
    for _ in range(count):
        await backend.complete("Why?")
    return (time.perf_counter() - started) / count


def micros(act: Callable[[], object], number: int = 5000) -> float:
    return min(repeat(act, number=number, repeat=5)) / number * 1e6


def memory() -> float:
    """The most memory so far, in MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def main() -> None:
    print(f"a key                        {micros(lambda: request_key(QUESTION, 'groq/m')):8.1f} us")
    print(f"an answer as JSON text       {micros(lambda: to_plain(ANSWER)):8.1f} us")
    print(f"an answer read               {micros(lambda: from_plain(VALUE)):8.1f} us")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = floor(folder)
        store = open_store(folder / "answers.sqlite3")
        before = memory()
        wrote, found = write(store), read(store)
        print(f"{ENTRIES} entries of {len(VALUE)} bytes, {GROUP} at once:")
        print(f"  written                    {wrote / ENTRIES * 1e6:8.1f} us each")
        print(f"  SQLite's own               {bare / ENTRIES * 1e6:8.1f} us each")
        print(f"  read                       {found / ENTRIES * 1e6:8.1f} us each")
        print(f"  memory                     {memory() - before:8.1f} MB more at most")
        started = time.perf_counter()
        (kept,) = store.kept().result()
        print(f"  counted                    {(time.perf_counter() - started) * 1e3:8.1f} ms, {kept.states}")
        print(f"a hit of the cache           {asyncio.run(hits(store)) * 1e6:8.1f} us")
        started = time.perf_counter()
        store.delete().result()
        print(f"all deleted                  {(time.perf_counter() - started) * 1e3:8.1f} ms")
        store.close()
    backend = Backend.of(Instant())
    seen = micros(lambda: backend._cache is not None, 100_000)  # noqa: SLF001 - what each call looks at
    look = seen - micros(lambda: None, 100_000)
    print(f"a call without a cache       {asyncio.run(calls()) * 1e6:8.1f} us, the look {look:.3f} us of it")


if __name__ == "__main__":
    main()
