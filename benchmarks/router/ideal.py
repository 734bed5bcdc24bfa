"""The ideal schedule: that of a client who knows the limits and times of all services exactly.

It asks the quickest service that has room at the very moment at which there is room, without any
time on the way. It meets the same faults as all others: each takes the room of a request and the time
until the fault shows, a `Retry-After` is kept to, and a broken answer is asked for again as a whole.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from functools import partial
from itertools import count

from benchmarks.router.plan import ANSWER_TOKENS, RETRY_AFTER, Faults, Plan, question, seconds_until
from benchmarks.router.services import lines_of
from freeproviders.testing.limits import Asker, Exceeded, Limits, Ticket

ASKER = Asker("key", "")


@dataclass(slots=True)
class Schedule:
    """How long the ideal client needs, in seconds, and the attempts that it makes."""

    seconds: float
    attempts: int
    firsts: list[float]


class _Service:
    def __init__(self, plan: Plan, place: int, clock: _Clock) -> None:
        self.member = plan.members[place]
        self.faults = Faults(plan, place)
        self.limits = Limits(lines_of(self.member), clock.now)
        self.shut = 0.0

    def free_at(self, now: float) -> float:
        """When it may be asked, as far as that is not a question of limits."""
        down = self.member.down
        return max(self.shut, down[1] if down is not None and down[0] <= now < down[1] else 0.0)


class _Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time


def ideal(plan: Plan) -> Schedule:
    """Simulate the ideal client."""
    clock, order = _Clock(), count()
    services = sorted(
        (_Service(plan, place, clock) for place in range(len(plan.members))),
        key=lambda one: one.member.whole,
    )
    events: list[tuple[float, int, object]] = []
    waiting = deque((n, 0.0) for n in range(plan.at_once))
    asked, attempts, answered, firsts = plan.at_once, 0, 0, []

    def at(time: float, action: object) -> None:
        heapq.heappush(events, (time, next(order), action))

    def begin(service: _Service, number: int, since: float, ticket: Ticket) -> None:
        nonlocal attempts
        attempts += 1
        member, fault = service.member, service.faults.next()
        if fault:
            takes = seconds_until(fault, member, plan)
            at(clock.time + takes, partial(failed, service, fault, number, since, ticket))
        else:
            firsts.append(clock.time + member.first - since)
            at(clock.time + member.whole, partial(done, number, ticket))

    def failed(service: _Service, fault: str, number: int, since: float, ticket: Ticket) -> None:
        ticket.close()
        if fault == "429 with Retry-After":
            service.shut = max(service.shut, clock.time + RETRY_AFTER)
        waiting.appendleft((number, since))

    def done(number: int, ticket: Ticket) -> None:
        nonlocal asked, answered
        ticket.tokens(len(question(number).split()), ANSWER_TOKENS)
        ticket.close()
        answered += 1
        if asked < plan.questions:
            waiting.append((asked, clock.time))
            asked += 1

    while answered < plan.questions:
        later = _serve(services, waiting, begin, clock)
        if waiting and later is not None:
            at(later, None)
        time, _, action = heapq.heappop(events)
        clock.time = max(clock.time, time)
        if action is not None:
            action()
    return Schedule(clock.time, attempts, firsts)


def _serve(services, waiting, begin, clock) -> float | None:
    """Begin all attempts for which there is room; return when there is room again."""
    later = []
    for service in services:
        while waiting:
            number, since = waiting[0]
            if service.free_at(clock.time) > clock.time:
                later.append(service.free_at(clock.time))
                break
            try:
                ticket = service.limits.admit("one", ASKER, len(question(number).split()))
            except Exceeded as full:
                if full.standing.back_at is not None:
                    later.append(float(full.standing.back_at) + 1e-6)
                break
            waiting.popleft()
            begin(service, number, since, ticket)
    return min(later, default=None)
