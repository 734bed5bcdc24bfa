"""The services, their limits and faults, and the questions: the same for all that are measured.

Nothing here needs a package, so that a client in an environment without ours can read it.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from random import Random
from typing import Any, Literal

Reset = Literal["rolling", "fixed", "refill"]
MODEL = "one"
PIECES = 8
ANSWER_TOKENS = 40
MAX_TOKENS = 80
RETRY_AFTER = 1
CUT_BYTES = {True: 620, False: 250}
"""Behind the first pieces of a stream, inside of a document."""


@dataclass(frozen=True, slots=True)
class Member:
    """One service: its speed in seconds, and its limits, None for none. `down` is when no server listens."""

    name: str
    first: float
    pace: float
    window: int
    requests: int
    reset: Reset = "rolling"
    tokens: int | None = None
    at_once: int | None = None
    announces: bool = False
    down: tuple[float, float] | None = None

    @property
    def whole(self) -> float:
        """The seconds that an answer takes."""
        return self.first + (PIECES - 1) * self.pace


@dataclass(frozen=True, slots=True)
class Plan:
    """A run: so many questions at a time, of members of which a share of the requests meets a fault."""

    questions: int = 2000
    at_once: int = 100
    share: float = 0.3
    seed: int = 1
    slowness: float = 1.0
    room: float = 1.3
    window: int = 4
    down: tuple[float, float] | None = (10.0, 15.0)
    stream: bool = True
    members: tuple[Member, ...] = field(default=())

    def text(self) -> str:
        return json.dumps(asdict(self))

    @property
    def silence(self) -> float:
        """The seconds after which a client gives up on a service that has said nothing."""
        return 10.0 if self.stream else 12.0

    @classmethod
    def read(cls, text: str) -> Plan:
        said = json.loads(text)
        members = tuple(
            Member(**one | {"down": tuple(one["down"]) if one["down"] else None}) for one in said["members"]
        )
        return cls(**said | {"members": members, "down": tuple(said["down"]) if said["down"] else None})


def faults(plan: Plan) -> dict[str, dict[str, Any]]:
    """Every way to fail, by name. A service needs a while before it says no."""
    soon = {"delay_headers": 0.3 * plan.slowness}
    return {
        "429": {"status": 429, **soon},
        "429 with Retry-After": {"status": 429, "retry_after": RETRY_AFTER, **soon},
        "500": {"status": 500, **soon},
        "503": {"status": 503, **soon},
        "reset": {"drop": True, **soon},
        "silent": {"stall": 0},
        "only keep-alives": {"keepalive": 1_000_000},
        "cut before content": {"cut": 40, **soon},
        "cut after content": {"cut": CUT_BYTES[plan.stream]},
        "page of HTML": {"html": True, **soon},
        "error in a 200": {"error": "The model has crashed.", **soon},
        "error after content": {"error": "The model has crashed.", "error_at": 3},
        "empty": {"empty": True, **soon},
        "malformed": {
            "status": 200,
            "body": 'data: {"choices": [{"delta": {"content"\n\n',
            "content_type": "text/event-stream",
            **soon,
        },
    }


def seconds_until(fault: str, member: Member, plan: Plan) -> float:
    """The seconds after which a fault shows; waiting for a silent one does not help."""
    if fault in {"silent", "only keep-alives"}:
        return member.first
    if fault == "cut after content" and not plan.stream:
        return member.whole
    if fault == "cut after content":
        return member.first + member.pace
    if fault == "error after content":
        return member.first + 2 * member.pace
    return 0.3 * plan.slowness


class Faults:
    """What the requests of one member meet, one after the other."""

    def __init__(self, plan: Plan, place: int) -> None:
        self.names = list(faults(plan))
        self.share = plan.share
        self.chance = Random(f"{plan.seed} {place}")

    def next(self) -> str:
        """The name of the next request's fault, "" for none."""
        return self.chance.choice(self.names) if self.chance.random() < self.share else ""


def planned(plan: Plan) -> Plan:
    """Add ten members whose limits give `room` times what the questions need.

    What they need is an attempt after the other for each of those who ask at a time, also those that
    meet a fault, for which 1 / (1 - share) attempts are made for each question. Each member has one
    limit that is met first: six have one of requests, two of tokens, two of calls at the same time.
    """
    slow = plan.slowness
    speeds = [0.4 + 0.1 * (n % 5) for n in range(10)]
    weights = [1.6, 1.4, 1.2, 1.0, 1.0, 0.9, 0.9, 0.8, 0.7, 0.5]
    bare = [Member(f"service-{n}", speeds[n] * slow, 0.15 * slow, plan.window, 0) for n in range(10)]
    names = list(faults(plan))
    seconds = [
        (1 - plan.share) * one.whole
        + plan.share * sum(seconds_until(name, one, plan) for name in names) / len(names)
        for one in bare
    ]
    wanted = plan.room * plan.at_once / (sum(seconds) / len(seconds))  # attempts in a second
    prompt = sum(len(question(n).split()) for n in range(50)) / 50
    answered = 1 - plan.share * (1 - 1 / len(names))
    members = []
    for n, one in enumerate(bare):
        rate = wanted * weights[n] / sum(weights)
        requests, tokens, at_once = rate * plan.window, None, None
        if n in {2, 6}:
            tokens = round(requests * (prompt + ANSWER_TOKENS * answered))
            requests *= 2
        elif n in {3, 7}:
            at_once = max(2, round(rate * seconds[n]))
            requests *= 2
        members.append(
            Member(
                one.name,
                one.first,
                one.pace,
                plan.window,
                max(1, round(requests)),
                reset=("rolling", "fixed", "refill")[n % 3],
                tokens=tokens,
                at_once=at_once,
                announces=n % 2 == 0,
                down=plan.down if n == 4 else None,
            )
        )
    return Plan(**{**asdict(plan), "down": plan.down, "members": tuple(members)})


def question(number: int) -> str:
    return f"Question {number:05}: " + "what are the eight words of this number, please? " * (
        20 + number % 20
    )


def pieces(number: int) -> list[str]:
    """The pieces of the answer; the last one has a checksum of the others."""
    words = [sha256(f"{number} {n}".encode()).hexdigest()[:8] + " " for n in range(PIECES - 1)]
    return [*words, f"{zlib.crc32(''.join(words).encode()):08x}"]


def answer(number: int) -> str:
    return "".join(pieces(number))


def number_in(text: str) -> int:
    """The number of the first question in a text; raises `ValueError` where there is none."""
    found = re.search(r"Question (\d+):", text)
    if found is None:
        raise ValueError(f"No question: {text[:80]!r}")
    return int(found[1])
