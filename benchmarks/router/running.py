"""Runs the services and a client in processes of their own, and judges what came of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.router.client import Result
from benchmarks.router.plan import Plan
from benchmarks.router.services import Report

PROCESSES = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """The numbers of a run."""

    asked: int
    right: int
    wrong: int
    twice: int
    seconds: float
    ratio: float
    median: float
    p99: float
    attempts: int
    doubled: int
    cooling: int
    over: int
    cpu: float

    @classmethod
    def of(cls, result: Result, reports: list[Report], ideal: float) -> Verdict:
        firsts = sorted(one.first - one.asked for one in result.outcomes if one.first >= 0) or [0.0]
        twice = sum(one.error.startswith("twice") for one in result.outcomes)
        wrong = sum(one.error.startswith("wrong") for one in result.outcomes)
        answered: Counter[int] = Counter()
        for one in reports:
            answered.update(one.answered)
        return cls(
            asked=len(result.outcomes),
            right=sum(one.right for one in result.outcomes),
            wrong=wrong,
            twice=twice,
            seconds=result.seconds,
            ratio=result.seconds / ideal,
            median=firsts[len(firsts) // 2],
            p99=firsts[min(len(firsts) - 1, len(firsts) * 99 // 100)],
            attempts=sum(one.requests for one in reports),
            doubled=sum(times - 1 for times in answered.values()),
            cooling=sum(one.cooling for one in reports),
            over=sum(sum(one.over.values()) for one in reports),
            cpu=result.cpu,
        )

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.right / self.asked:.2%} | {self.wrong} | {self.twice} | {self.seconds:.0f} s "
            f"({self.ratio:.2f}) | {self.median:.1f} s | {self.p99:.1f} s | {self.attempts} | "
            f"{self.doubled} | {self.cooling} | {self.over} | {self.cpu:.0f} s |"
        )


HEAD = (
    "| | right | wrong text | text twice | time (to the ideal) | first content: median | p99 | requests "
    "| answered twice | in a cool-down | over a limit | CPU |\n" + "|---" * 12 + "|"
)


class Services:
    """The processes of the services."""

    def __init__(self, plan: Plan) -> None:
        places = list(range(len(plan.members)))
        processes = min(PROCESSES, len(places))
        self.running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.router.services",
                    plan.text(),
                    ",".join(map(str, places[n::processes])),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(processes)
        ]
        self.addresses: dict[str, str] = {}
        for one in self.running:
            self.addresses |= json.loads(one.stdout.readline())

    def tell(self, command: str) -> None:
        for one in self.running:
            one.stdin.write(command + "\n")
            one.stdin.flush()

    def reports(self) -> list[Report]:
        self.tell("report")
        reports = [Report(**said) for one in self.running for said in json.loads(one.stdout.readline())]
        for report in reports:
            report.answered = {int(number): times for number, times in report.answered.items()}
        return reports

    def stop(self) -> None:
        for one in self.running:
            one.stdin.close()
        for one in self.running:
            one.wait(20)
            one.stdout.close()


@contextmanager
def services(plan: Plan) -> Iterator[Services]:
    made = Services(plan)
    try:
        yield made
    finally:
        made.stop()


def run(name: str, plan: Plan, way: str, python: str = sys.executable) -> tuple[Result, list[Report]]:
    """Let one contender ask all questions, "async" or with "threads"."""
    with services(plan) as made:
        client = subprocess.Popen(
            [
                python,
                "-m",
                "benchmarks.router.client",
                name,
                plan.text(),
                json.dumps(made.addresses),
                way,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        while (said := client.stdout.readline()) != "ready\n":  # packages print what they like
            assert said, "The client did not start."
        start = time.monotonic() + 0.5
        made.tell(f"start {start}")
        client.stdin.write(f"{start}\n")
        client.stdin.flush()
        said = ""
        for line in client.stdout:
            if line.startswith('{"outcomes"'):
                said = line
        client.wait()
        client.stdin.close()
        client.stdout.close()
        time.sleep(0.5)  # answers without a waiting client end
        return Result.read(said), made.reports()
