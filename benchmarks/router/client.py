"""One process that asks all the questions: `python -m benchmarks.router.client`.

It runs in the environment of what is measured, and imports nothing else of ours. It says "ready",
reads the start on its standard input, and prints what became of each question.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Protocol

from benchmarks.router.plan import Plan, answer

PATIENCE_SECONDS = 60.0
"""A question without an answer by then has none."""
CONTENDERS = {
    "freeproviders": "benchmarks.router.ours",
    "LiteLLM Router": "benchmarks.router.peers",
    "with_fallbacks": "benchmarks.router.peers",
    "freelm": "benchmarks.router.peers",
}


class Contender(Protocol):
    """One way to ask many services. Each method yields pieces of text; a whole answer is one piece."""

    def ask(self, number: int) -> AsyncIterator[str]: ...

    def ask_sync(self, number: int) -> Iterator[str]: ...

    async def close(self) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What became of one question; times are seconds since the start, -1 for none."""

    number: int
    asked: float
    first: float = -1.0
    ended: float = -1.0
    right: bool = False
    error: str = ""

    def judge(self, pieces: list[str], error: BaseException | None) -> None:
        said, right = "".join(pieces), answer(self.number)
        if error is not None:
            why = getattr(error, "not_resumed", "")  # our own
            self.error = f"{type(error).__name__}: {why and f'{why}: '}{error}"[:600]
        elif said == right:
            self.right = True
        else:
            twice = said.count(right[:8]) > 1
            self.error = f"{'twice' if twice else 'wrong'}: {said[:200]!r}"


@dataclass(slots=True)
class Result:
    """What all questions came to; `cpu` is the seconds of the processor that the client took."""

    outcomes: list[Outcome]
    seconds: float
    cpu: float

    def text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Result:
        said = json.loads(text)
        return cls([Outcome(**one) for one in said["outcomes"]], said["seconds"], said["cpu"])


async def with_tasks(asked: Contender, plan: Plan, start: float) -> list[Outcome]:
    """Ask with so many tasks on one event loop."""
    numbers, outcomes = count(), []

    async def one(number: int) -> Outcome:
        outcome, said, error = Outcome(number, time.monotonic() - start), [], None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for piece in asked.ask(number):
                    if piece and outcome.first < 0:
                        outcome.first = time.monotonic() - start
                    said.append(piece)
        except Exception as failed:  # noqa: BLE001 - whatever a contender raises
            error = failed
        outcome.ended = time.monotonic() - start
        outcome.judge(said, error)
        return outcome

    async def work() -> None:
        while (number := next(numbers)) < plan.questions:
            outcomes.append(await one(number))

    await asyncio.gather(*(work() for _ in range(plan.at_once)))
    return outcomes


def with_threads(asked: Contender, plan: Plan, start: float) -> list[Outcome]:
    """Ask with so many threads, as code without an event loop does."""
    numbers, outcomes, lock = count(), [], threading.Lock()

    def one(number: int) -> Outcome:
        outcome, said, error = Outcome(number, time.monotonic() - start), [], None
        try:
            for piece in asked.ask_sync(number):
                if piece and outcome.first < 0:
                    outcome.first = time.monotonic() - start
                said.append(piece)
        except Exception as failed:  # noqa: BLE001 - whatever a contender raises
            error = failed
        outcome.ended = time.monotonic() - start
        outcome.judge(said, error)
        return outcome

    def work() -> None:
        while True:
            with lock:
                number = next(numbers)
            if number >= plan.questions:
                return
            outcomes.append(one(number))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(plan.at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def make(name: str, plan: Plan, addresses: dict[str, str]) -> Contender:
    return importlib.import_module(CONTENDERS[name]).make(name, plan, addresses)


async def main() -> None:
    name, plan, addresses, way = sys.argv[1], Plan.read(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
    asked = make(name, plan, addresses)
    print("ready", flush=True)
    start = float(await asyncio.to_thread(sys.stdin.readline))
    await asyncio.sleep(max(0.0, start - time.monotonic()))
    before = resource.getrusage(resource.RUSAGE_SELF)
    if way == "async":
        outcomes = await with_tasks(asked, plan, start)
    else:
        outcomes = await asyncio.to_thread(with_threads, asked, plan, start)
    seconds = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    await asked.close()
    print(Result(outcomes, seconds, cpu).text(), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
