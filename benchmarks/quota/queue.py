"""The queue that all clients have to work off: sizes, lengths and times of transit of each request.

All of it follows from the number of the request, so that the service, the clients and the
omniscient client agree without a word.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from benchmarks.quota.counting import SECOND

Mix = Literal["small", "large", "both"]


@dataclass(frozen=True, slots=True)
class Item:
    """One request: tokens, and microseconds of its way there, of its answer and of the way back."""

    prompt: int
    max_tokens: int
    answer: int
    there: int
    working: int
    back: int

    @property
    def most(self) -> int:
        """The tokens that a client reserves, which knows the prompt but not the answer."""
        return self.prompt + self.max_tokens

    @property
    def usage(self) -> int:
        """The tokens that it takes."""
        return self.prompt + self.answer


@dataclass(frozen=True, slots=True)
class Queue:
    """Requests without end.

    Attributes:
        window: the limits', in microseconds; an answer takes up to a fiftieth of it.
        scale: by how much the transit of 50 to 350 ms each way is shortened.
        mix: "small" requests, of which the number is what is limited, "large" ones, of which the
            tokens are, or "both", in stretches.
        seed: other requests for another number.
    """

    window: int
    scale: float
    mix: Mix = "both"
    seed: int = 1

    @property
    def transit(self) -> float:
        """The seconds within which each request arrives."""
        return 0.4 * self.scale

    def item(self, number: int) -> Item:
        chance = random.Random(self.seed * 1_000_003 + number)
        small = self.mix == "small" or (self.mix == "both" and number % 90 < 60)
        limit = chance.randint(60, 140) if small else chance.randint(300, 500)
        return Item(
            prompt=chance.randint(40, 100) if small else chance.randint(150, 350),
            max_tokens=limit,
            answer=chance.randint(limit // 2, limit),
            there=round(chance.uniform(0.05, 0.35) * self.scale * SECOND),
            working=round(chance.uniform(0.002, 0.02) * self.window),
            back=round(chance.uniform(0.05, 0.35) * self.scale * SECOND),
        )
