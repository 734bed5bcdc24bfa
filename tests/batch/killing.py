"""Kills a batch again and again, and holds what the service has seen against what was handed on."""

import asyncio
import random
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field

from freeproviders import OpenAICompatible, Retry
from freeproviders.batch import kept
from freeproviders.testing import RandomFaults, replica

FAULTS = RandomFaults(
    [
        {"status": 503},
        {"status": 429, "retry_after": 0},
        {"drop": True},
        {"cut": 5},
        {"empty": True},
        {"error": "overloaded"},
    ],
    share=0.2,
)


@dataclass
class Life:
    """One start of the process: what it asked, what it handed on."""

    asked: list[str] = field(default_factory=list)
    handed_on: list[int] = field(default_factory=list)
    ended: bool = False


@dataclass
class Killed:
    """All starts, and what the store has in the end."""

    lives: list[Life]
    texts: list[str]
    states: Counter[str]

    @property
    def repeated(self) -> int:
        """Questions that were asked in one life and again in a later one."""
        seen, again = set(), 0
        for life in self.lives:
            own = set(life.asked)
            again += len(own & seen)
            seen |= own
        return again

    @property
    def unsafe(self) -> int:
        """Questions that were asked and not handed on when their process was killed: they may be repeated."""
        return sum([len(set(life.asked)) - len(life.handed_on) for life in self.lives if not life.ended])

    @property
    def repeated_though_handed_on(self) -> set[str]:
        """Questions that were asked again after their row was handed on: there must be none."""
        done, wrong = set(), set()
        for life in self.lives:
            wrong |= done & set(life.asked)
            done |= {f"Question {index}" for index in life.handed_on}
        return wrong


def killed(store, *, rows, kills, in_flight, seed, pace=0.04):
    """Run a batch through a paced service with faults, killed at random moments."""
    chance = random.Random(seed)
    moments = sorted(chance.sample(range(rows // 20, int(rows * 1.1)), kills), reverse=True)
    lives, seen = [], 0
    with replica(OpenAICompatible, faults=FAULTS) as server:
        server.answer = lambda messages: _answer(messages, pace)
        while not lives or not lives[-1].ended:
            target = moments.pop() if moments else None
            lives.append(_one_life(server, [str(store), str(rows), str(in_flight)], target, seen))
            seen = len(server.requests)
        address = server.base_url
    backend = OpenAICompatible("m", base_url=address, retry=Retry(attempts=3, first=0.005, longest=0.05))
    found = asyncio.run(_kept(backend, store, rows))
    return Killed(
        lives, [row.completion.text for row in found if row.completion], Counter(row.state for row in found)
    )


async def _answer(messages, pace):
    await asyncio.sleep(pace)
    return f"Answer to {messages[-1]['content']}"


async def _kept(backend, store, rows):
    questions = [f"Question {number}" for number in range(rows)]
    return [row async for row in kept(questions, backend, store=store)]


def _one_life(server, given, target, seen):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.batch.killed", server.base_url, *given],
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    reading = threading.Thread(target=lambda: lines.extend(process.stdout))
    reading.start()
    if target is not None:
        while len(server.requests) < target and process.poll() is None:
            try:
                server.wait_requests(target, timeout=0.5)
            except TimeoutError:
                continue
        process.kill()
    process.wait()
    reading.join()
    process.stdout.close()
    life = Life(ended="end\n" in lines)
    life.handed_on = [int(line.split()[0]) for line in lines if line != "end\n"]
    life.asked = [request.messages[-1]["content"] for request in server.requests[seen:] if request.messages]
    return life
