"""Replicas of some of the services, in a process of their own: `python -m benchmarks.router.services`.

It reads lines of commands: "start" runs the replicas from a time on, "report" prints what came.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.router.plan import (
    ANSWER_TOKENS,
    MODEL,
    RETRY_AFTER,
    Faults,
    Member,
    Plan,
    faults,
    number_in,
    pieces,
)
from freeproviders.catalogue.rows import Headers, Limit, ModelRow, Service
from freeproviders.testing import replica
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.running import Replica
from freeproviders.types import Usage
from freeproviders.wire.limits import AllowanceHeaders

GRACE_SECONDS = 0.5
"""A request that comes so soon after a Retry-After may have been written before it was read."""


@dataclass(slots=True)
class Report:
    """What one service has seen.

    `answered` are the questions that it answered to the end, with how often. `cooling` counts the
    requests that came after a `Retry-After` and before the time that it named, `over` those above a
    limit, by its name, `met` the faults.
    """

    name: str
    requests: int = 0
    cooling: int = 0
    over: dict[str, int] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)
    answered: dict[int, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def lines_of(member: Member) -> tuple[Limit, ...]:
    """The limits of a member as lines of a row, which our own client is told too."""
    per = f"{member.window} seconds"
    lines = [Limit(metric="requests", per=per, cap=member.requests, reset=member.reset)]
    if member.tokens is not None:
        lines.append(Limit(metric="tokens", per=per, cap=member.tokens, reset=member.reset, counted="end"))
    if member.at_once is not None:
        lines.append(Limit(metric="concurrency", cap=member.at_once))
    return tuple(lines)


def row_of(member: Member) -> Service:
    """The row of a member."""
    announced = AllowanceHeaders(
        "requests",
        f"{member.window} seconds",
        limit="x-ratelimit-limit-requests",
        remaining="x-ratelimit-remaining-requests",
        reset="x-ratelimit-reset-requests",
        reset_form="seconds",
    )
    return Service(
        id=member.name,
        name=member.name,
        base_url=f"https://{member.name}.example/v1",
        default_model=MODEL,
        models={MODEL: ModelRow(cost="never")},
        limit=lines_of(member),
        headers=Headers(
            on="every" if member.announces else "none",
            allowance=(announced,) if member.announces else (),
            retry_after=("minute", "concurrency"),
        ),
    )


class Watched:
    """One service, and what has come to it."""

    def __init__(self, plan: Plan, place: int) -> None:
        self.member = plan.members[place]
        self.report = Report(self.member.name)
        self._draws = Faults(plan, place)
        self._delay = faults(plan)["429 with Retry-After"]["delay_headers"]
        self._cooling: list[tuple[float, float]] = []
        self._meets: dict[int, str] = {}
        kinds, draws = {"": {}, **faults(plan)}, Faults(plan, place)
        self._faults = [kinds[draws.next()] for _ in range(2 * plan.questions)]
        self.replica = self._new(0)

    def _new(self, port: int) -> Replica:
        left = self._faults[sum(self.report.met.values()) :]
        return replica(
            service=row_of(self.member), answer=self._answer, faults=left, port=port, watch=self._came
        ).start()

    def _came(self, request: RecordedRequest) -> None:
        now, report = time.monotonic(), self.report
        report.requests += 1
        report.cooling += any(since < now < until for since, until in self._cooling)
        if request.refusal is None:
            fault = self._draws.next()
            _add(report.met, fault)
            self._meets[id(request)] = fault
            if fault == "429 with Retry-After":
                said = now + self._delay
                self._cooling.append((said + GRACE_SECONDS, said + RETRY_AFTER))
        elif "limit of" in request.refusal:
            _add(report.over, request.refusal.split(" ")[4])
        else:
            report.wrong.append(request.refusal)

    async def _answer(
        self, messages: list[dict[str, Any]], request: RecordedRequest
    ) -> AsyncIterator[str | Usage]:
        prompt = " ".join(str(message.get("content")) for message in messages)
        return self._spoken(number_in(prompt), len(prompt.split()), self._meets.pop(id(request)))

    async def _spoken(self, number: int, prompt: int, fault: str) -> AsyncIterator[str | Usage]:
        for n, piece in enumerate(pieces(number)):
            await asyncio.sleep(self.member.pace if n else self.member.first)
            yield piece
        if not fault:  # a document that is cut was complete before
            _add(self.report.answered, number)
        yield Usage(prompt, ANSWER_TOKENS)

    def pause(self, start: float, down: tuple[float, float]) -> None:
        """Be gone for a while: connections break, and new ones are refused."""
        time.sleep(max(0.0, start + down[0] - time.monotonic()))
        port = int(self.replica.base_url.split(":")[2].split("/")[0])
        self.replica.stop()
        time.sleep(max(0.0, start + down[1] - time.monotonic()))
        self.replica = self._new(port)


def _add(counts: dict[Any, int], name: Any) -> None:
    counts[name] = counts.get(name, 0) + 1


class Running:
    """The services of one process."""

    def __init__(self, plan: Plan, places: Iterable[int]) -> None:
        self.plan = plan
        self.watched = [Watched(plan, place) for place in places]

    @property
    def addresses(self) -> dict[str, str]:
        return {one.member.name: one.replica.base_url for one in self.watched}

    def start(self, at: float) -> None:
        """Begin the run at a time of the clock that all processes of a machine share."""
        for one in self.watched:
            if one.member.down is not None:
                threading.Thread(target=one.pause, args=(at, one.member.down), daemon=True).start()

    def reports(self) -> list[Report]:
        return [one.report for one in self.watched]

    def stop(self) -> None:
        for one in self.watched:
            one.replica.stop()


def main() -> None:
    running = Running(Plan.read(sys.argv[1]), [int(place) for place in sys.argv[2].split(",")])
    print(json.dumps(running.addresses), flush=True)
    for line in sys.stdin:
        command, *rest = line.split()
        if command == "start":
            running.start(float(rest[0]))
        else:
            print(json.dumps([asdict(one) for one in running.reports()]), flush=True)
    running.stop()


if __name__ == "__main__":
    main()
