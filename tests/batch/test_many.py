"""Ten thousand rows: what is pulled and not yet handed on stays small, also when they come from the store."""

import random

from freeproviders import Retry
from freeproviders.batch import answered
from freeproviders.errors import ServerError
from freeproviders.types import Finish, Text

ROWS = 10_000
MOST_OPEN = 1600
"""Rows that may be in memory: in flight, looked up ahead, and ended but not read."""


class Own:
    """A backend in memory that fails now and then."""

    name, model = "own", "o"
    retry = Retry(first=0.01)

    def __init__(self):
        self.asked = 0
        self._chance = random.Random(1)

    async def batches(self, request):
        self.asked += 1
        if self._chance.random() < 0.01:
            raise ServerError("Busy.", status=503)
        yield [Text(request.messages[-1].text[::-1]), Finish()]


async def most_open(own, store, **keywords):
    """The most rows that were pulled and not handed on; each is looked at."""
    pulled = seen = most = 0

    def rows():
        nonlocal pulled
        for number in range(ROWS):
            pulled += 1
            yield f"Question {number}"

    run = answered(rows(), own, store=store, **keywords)
    async for row in run:
        seen += 1
        most = max(most, pulled - seen)
        assert row.state == "done"
        assert row.completion.text == f"Question {row.index}"[::-1]
    assert run.report.done == seen == ROWS
    return most


async def test_ten_thousand_rows(tmp_path):
    own = Own()
    assert await most_open(own, tmp_path / "answers.db", in_flight=16) < MOST_OPEN
    assert ROWS < own.asked < ROWS * 1.1
    asked = own.asked
    assert await most_open(own, tmp_path / "answers.db") < MOST_OPEN
    assert own.asked == asked
