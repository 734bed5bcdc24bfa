"""The ledger of several machines: clocks that differ, a server that goes, no key in the clear."""

import asyncio
import time

import pytest

from freeproviders import redis_server as servers
from freeproviders.errors import LedgerWarning, MissingDependencyError, QuotaSpentError, UsageError
from freeproviders.quota.interface import Grant
from freeproviders.quota.ledger import SharedLedger
from freeproviders.quota.opening import open_ledger
from freeproviders.quota.steps import Forget, Look, Refused, Settle, StoreError, Take
from tests.quota.servers import redis_server
from tests.quota.stores import Asked, Clock, ask, rule


@pytest.fixture
def server(tmp_path):
    with redis_server(tmp_path) as made:
        yield made


@pytest.fixture
def stores(redis_address):
    """Makes stores on the same ledger."""
    from freeproviders.quota.redis import RedisStore

    made = []

    def make(clock=None):
        store = RedisStore(
            redis_address, prefix=f"test-{time.time_ns()}:" if not made else made[0]._prefix, clock=clock
        )
        made.append(store)
        return Asked(store, Clock())

    yield make
    for store in made:
        store.close()


def test_the_servers_clock_counts(stores):
    """A client that is a year ahead and one that is behind decide alike, about a day of a calendar too."""
    right, ahead, behind = stores(), stores(), stores()
    ahead.store._local = lambda: time.time() + 400 * 86_400.0
    behind.store._local = lambda: time.time() - 400 * 86_400.0
    day = ask(rule(per="day", cap=3, reset="fixed"), rule(cap=100))
    for number, one in enumerate((ahead, behind, right)):
        grant = one.do(Take(day, f"g{number}"))
        assert isinstance(grant, Grant)
    for number, one in enumerate((right, ahead, behind)):
        assert isinstance(one.do(Take(day, f"h{number}")), Refused)
        assert 0 < one.after(day) <= 86_405


def test_a_servers_clock_that_is_set_back(stores):
    """What was counted stays counted."""
    clock = Clock()
    book = stores(clock.wall)
    book.granted(ask(rule(cap=1)))
    clock.at -= 3600
    assert book.after(ask(rule(cap=1))) == 61.25


def test_a_server_that_has_forgotten_the_script(stores):
    book = stores()
    book.granted(ask(rule(cap=5)))
    book.store._client.script_flush()
    grant = book.granted(ask(rule(cap=5)))
    book.store._client.script_flush()
    book.store.run([Settle(grant, None, 0.0), Take(ask(rule(cap=5)), "another")])
    assert book.used(rule(cap=5)) == 2
    assert book.do(Forget("acme")) == 1


def test_keys_are_not_in_the_clear(stores):
    book = stores()
    book.granted(ask(rule(), account="a-secret-key"))
    client = book.store._client
    for key in client.scan_iter(f"{book.store._prefix}*"):
        assert "a-secret-key" not in key
        if client.type(key) == "hash":
            assert "a-secret-key" not in str(client.hgetall(key))


def test_a_login_is_not_shown():
    from freeproviders.quota.redis import RedisStore

    try:
        store = RedisStore("redis://user:a-secret@127.0.0.1:1/0")
    except MissingDependencyError:
        pytest.skip("no package redis here")
    with pytest.raises(StoreError) as caught:
        store.run([Take(ask(rule()), "g")])
    assert "a-secret" not in str(caught.value)
    assert "redis://127.0.0.1:1/0" in str(caught.value)


async def test_a_server_that_goes_in_the_middle(server, tmp_path, monkeypatch):
    """The file of this machine takes its place; nobody loses an answer."""
    monkeypatch.setenv("FREEPROVIDERS_STATE", str(tmp_path / "state"))
    ledger = open_ledger(server.url)
    wanted = ask(rule(cap=2))
    try:
        grant = await ledger.reserve(wanted)
        server.stop()
        ledger.received(grant)
        ledger.settle(grant)
        with pytest.warns(LedgerWarning, match=r"cannot be used.* the processes that use .*quota\.db"):
            await ledger.reserve(wanted)
        await ledger.reserve(wanted)
        with pytest.raises(QuotaSpentError):
            await ledger.reserve(wanted)
        assert (tmp_path / "state" / "quota.db").exists()
    finally:
        await asyncio.to_thread(ledger.close)


async def test_a_server_that_comes_back(server, tmp_path, monkeypatch):
    """What was granted meanwhile is charged to it, settled or not."""
    monkeypatch.setenv("FREEPROVIDERS_STATE", str(tmp_path / "state"))
    ledger = open_ledger(server.url)
    requests, tokens = rule(cap=10), rule("tokens", "day", 1000, counted="end")
    wanted = ask(requests, (tokens, 100))
    try:
        lost = await ledger.reserve(wanted)
        server.stop()
        with pytest.warns(LedgerWarning):
            first = await ledger.reserve(wanted)
        spare = ledger._worker.stores._store
        second = await ledger.reserve(wanted)
        ledger.settle(first, {"tokens": 7})
        await ledger.standings()
        server.start()
        ledger._worker.stores.retry_seconds = ledger._worker.stores._retry_at = 0.0
        await ledger.standings()
        ledger.settle(lost, {"tokens": 1})  # the server has forgotten it
        ledger.settle(second, {"tokens": 30})
        found = {one.rule.metric: one.used for one in await ledger.standings()}
        assert found == {"requests": 2, "tokens": 37}
        assert "redis" in type(ledger._worker.stores._store).__module__
        assert not spare.opened
    finally:
        await asyncio.to_thread(ledger.close)


def test_who_knew_a_server_before_it_lost_all_counts_with_those_who_know_it_since(server):
    """A server without a disk forgets the salt of accounts too; nobody goes on with one of his own."""
    from freeproviders.quota.redis import RedisStore

    old, new = RedisStore(server.url), RedisStore(server.url)
    wanted = ask(rule(cap=2))
    old.run([Take(wanted, "before")])
    server.stop()
    with pytest.raises(StoreError):
        old.run([Look(wanted)])
    server.start()
    first, second = new.run([Take(wanted, "one"), Take(wanted, "two")])
    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert isinstance(old.run([Take(wanted, "three")])[0], Refused)
    old.close()
    new.close()


async def test_an_address_that_cannot_be_read_is_the_callers_mistake():
    ledger = open_ledger("redis://127.0.0.1:port/0")
    with pytest.raises(UsageError, match="no address of a Redis server"):
        await ledger.reserve(ask(rule()))
    await asyncio.to_thread(ledger.close)


async def test_who_waits_is_told_by_another_client_what_is_free(redis_address):
    from freeproviders.quota.redis import RedisStore

    one, other = (SharedLedger(lambda: RedisStore(redis_address), lambda _: None) for _ in range(2))
    places = ask(rule("concurrency", "", 1, pool=f"bell-{time.time_ns()}"), lease=3000)
    try:
        grant = await one.reserve(places)
        waiting = asyncio.ensure_future(other.reserve(places, wait_up_to=2000))
        await asyncio.sleep(0)
        await other.standings("nothing")
        await other.standings("nothing")  # it has been refused by now, and listens
        for line in other._worker._lines.values():
            line._at += 1000  # it would not look again by itself
        one.settle(grant)
        other.settle(await asyncio.wait_for(waiting, 60))
    finally:
        await asyncio.to_thread(one.close)
        await asyncio.to_thread(other.close)


def test_loops_on_one_server(redis_address):
    ledger = open_ledger(redis_address)
    wanted = ask(rule(cap=40, pool=f"loops-{time.time_ns()}"))

    async def some():
        grants = await asyncio.gather(*(ledger.reserve(wanted) for _ in range(20)))
        for grant in grants:
            ledger.received(grant)
            ledger.settle(grant)

    asyncio.run(some())
    asyncio.run(some())
    with pytest.raises(QuotaSpentError):
        ledger.reserve_sync(wanted)
    ledger.close()


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="redis"):
        open_ledger("redis://127.0.0.1:1/9")
