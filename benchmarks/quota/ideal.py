"""The omniscient client, which knows when each request will arrive, what it takes, and all counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, count

from benchmarks.quota.queue import Queue
from benchmarks.quota.tally import Limits, Tally


def used(
    arrivals: Iterable[tuple[int, int]], queue: Queue, limits: Limits, start: int, until: int
) -> tuple[int, int]:
    """Return how many requests were let in, from a time until another, and how many could have been.

    The omniscient client sends the same requests in the same order, each as early as it can be let
    in and end within the cap, and goes on with those of the queue that no client had sent.
    """
    order = [number for time, number in sorted(arrivals) if time <= until]
    sent = set(order)
    return len(order), _most(chain(order, _rest(sent)), queue, limits, start, until)


def _rest(sent: set[int]) -> Iterator[int]:
    return (number for number in count() if number not in sent)


def _most(numbers: Iterable[int], queue: Queue, limits: Limits, start: int, until: int) -> int:
    tally, time, done = Tally(limits), start, 0
    for number in numbers:
        item = queue.item(number)
        time = tally.soonest(time, item)
        if time > until:
            break
        tally.came(time, item)
        tally.ended(time, item)
        done += 1
    return done
