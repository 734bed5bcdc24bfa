"""The moment at which a request gets its room: who is told of it, and how much is left to others."""

import asyncio
from dataclasses import replace

import pytest

from freeproviders import FreeProviders, OpenAICompatible, Quota
from freeproviders.backend import Backend
from freeproviders.errors import QuotaSpentError, UsageError
from freeproviders.testing import replica
from freeproviders.types import Admitted, Asking, Attempt, Finish, Text


class Own:
    """A backend of the caller's own."""

    name, model = "own", "o"

    async def batches(self, request):
        yield [Text("Yes.")]
        yield [Finish()]


class Quiet(Backend):
    """A backend that says nothing of admissions."""

    name, model = "quiet", "q"

    async def batches(self, request):
        yield [Text("Yes."), Finish()]


async def heard_of(backend, **changes):
    heard = []
    request = replace(backend.request("Hi"), listener=heard.append, **changes)
    async for _ in backend.answer(request):
        pass
    return heard


async def test_without_limits_a_request_is_admitted_at_once():
    with replica(OpenAICompatible, faults=[{"status": 503}]) as server:
        backend = OpenAICompatible("m", base_url=server.base_url)
        heard = await heard_of(backend)
    assert heard == [Admitted("OpenAICompatible", "m")] * 2
    assert backend.announces_admission


async def test_what_tools_add_is_told_too():
    answers = iter(["no object", '{"a": 1}'])
    with replica(OpenAICompatible, lambda messages: next(answers)) as server:
        backend = OpenAICompatible("m", base_url=server.base_url)
        heard = await heard_of(backend, response_format={"type": "json_object"})
        assert len(heard) == len(server.requests) == 2


async def test_a_request_that_waits_is_told_of_when_it_has_room(tmp_path):
    """The second request of two is admitted only once the first has ended."""
    quota = Quota(
        [{"metric": "concurrency", "per": "", "cap": 1}], name="one at a time", ledger=tmp_path / "quota.db"
    )
    with replica(OpenAICompatible, faults=[{"delay_headers": 0.3}]) as server:
        backend = OpenAICompatible("m", base_url=server.base_url, quota=quota)
        first = asyncio.ensure_future(heard_of(backend))
        while not server.requests:
            await asyncio.sleep(0.005)
        (second,) = await heard_of(backend, wait_up_to=60)
        assert first.done()
        assert second.waited > 0
        assert (await first)[0].plain() == {
            "provider": "OpenAICompatible",
            "model": "m",
            "waited": pytest.approx(0, abs=5),
        }


async def test_a_foreign_backend_is_admitted_as_it_begins():
    backend = Backend.of(Own())
    assert backend.announces_admission
    assert await heard_of(backend) == [Admitted("own", "o")]


async def test_a_router_tells_of_all_its_members():
    with replica(OpenAICompatible, faults={"status": 500}) as server:
        one = OpenAICompatible("m", base_url=server.base_url)
        for last, who in ((Own(), "own"), (Quiet(), "quiet"), (FreeProviders(Quiet()), "quiet")):
            heard = await heard_of(FreeProviders(one, last))
            assert [type(event) for event in heard] == [Asking, Admitted, Attempt] * 2, who
            assert [event.provider for event in heard if isinstance(event, Admitted)] == [one.name, who]


async def test_a_share_of_the_day_is_left_to_others(tmp_path):
    """A request may leave more of a day's cap to others than its Quota does, never less."""
    day = {"metric": "requests", "per": "day", "cap": 10}
    quota = Quota([day], name="mine", ledger=tmp_path / "quota.db", keep=0.2)
    with replica(OpenAICompatible) as server:
        router = FreeProviders(OpenAICompatible("m", base_url=server.base_url, quota=quota))
        for backend, keep, count in ((router, 0.5, 5), (router.members[0].backend, 0.1, 8)):
            with pytest.raises(Exception, match="requests a day") as caught:
                while True:
                    await heard_of(backend, keep=keep, wait_up_to=0)
            assert len(server.requests) == count
        assert isinstance(caught.value, QuotaSpentError)
    with pytest.raises(UsageError, match="keep must be a share"):
        await heard_of(router, keep=1.0)
