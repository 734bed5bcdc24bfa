"""How many questions are asked at the same time, where the caller names no number."""

import asyncio

import pytest

from freeproviders import Embedded, FreeProviders, OpenAICompatible
from freeproviders.backend import Backend
from freeproviders.batch import batch
from freeproviders.types import Admitted, Finish, Text


class Bare:
    name, model = "Bare", ""

    def batches(self, request):
        raise NotImplementedError


def at(url):
    return OpenAICompatible("m", base_url=url)


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda: at("https://api.example/v1"), 16),
        (lambda: at("http://127.0.0.9:8080/v1"), 8),
        (lambda: at("http://[::1]:8080/v1"), 8),
        (lambda: at("http://LOCALHOST:8080/v1"), 8),
        (lambda: Embedded(slots=3), 3),
        (lambda: Backend.of(Bare()), 4),
        (lambda: FreeProviders(at("http://localhost:1/v1"), Embedded(slots=2), Bare()), 14),
        (lambda: FreeProviders(*[at(f"https://api{n}.example/v1") for n in range(9)]), 64),
    ],
)  # fmt: skip
async def test_the_backend_says_how_many(make, number):
    assert await make().usual_in_flight() == number


class Distant(Backend):
    """Gives room to three questions only once all of them wait for it, as nodes that are far away."""

    name, model = "Distant", "m"
    announces_admission = keeps_limits = True
    most_waiting = 3

    def __init__(self):
        self.room, self.waiting, self.most, self.admitted = asyncio.Event(), 0, 0, 0

    async def batches(self, request):
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        if self.waiting == self.most_waiting:
            self.room.set()
        await self.room.wait()
        self.waiting -= 1
        if not self.waiting:
            self.room.clear()
        request.listener(Admitted(self.name, self.model))
        self.admitted += 1
        while self.admitted % 12:  # answered only when all that may be in flight are
            await asyncio.sleep(0)
        yield [Text("Yes."), Finish()]


@pytest.mark.timeout(30)
async def test_as_many_rows_wait_for_room_as_the_backend_says():
    backend = Distant()
    report = await batch([f"Question {n}" for n in range(24)], backend, store="memory", in_flight=12)
    assert (report.done, backend.most) == (24, 3)
