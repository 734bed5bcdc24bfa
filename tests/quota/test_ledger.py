"""The ledger at work: threads, event loops, waiting, cancelling, forks, and a file that goes wrong."""

import asyncio
import gc
import os
import resource
import sqlite3
import stat
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from freeproviders import private_file
from freeproviders.errors import LedgerError, LedgerWarning, QuotaSpentError, QuotaTooSmallError, UsageError
from freeproviders.quota import book, place
from freeproviders.quota import waiting as lines
from freeproviders.quota.interface import Ledger
from freeproviders.quota.ledger import SharedLedger
from freeproviders.quota.opening import ENV_QUOTA, open_ledger
from freeproviders.quota.sqlite import SQLiteStore
from freeproviders.quota.steps import Standings
from freeproviders.wire.limits import Allowance
from tests.quota.stores import GATE, ask, rule

posix = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")


@pytest.fixture
def spare(tmp_path, monkeypatch):
    """Another place of the machine, for when the file cannot be opened."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path / "run" / "freeproviders" / "quota.db"


@pytest.fixture
def path(tmp_path, spare):
    return tmp_path / "state" / "quota.db"


@pytest.fixture
def ledger(path):
    made = open_ledger(path)
    yield made
    made.close()


async def used(ledger, of):
    """What counts of a pool."""
    await asyncio.sleep(0)
    return sum(
        one.used
        for one in await ledger.standings()
        if (one.rule.metric, one.rule.per, one.rule.pool) == (of.metric, of.per, of.pool)
    )


async def test_the_way_of_a_request(ledger):
    """Reserved, sent, received, announced, settled; the standings say it all."""
    requests, tokens = rule(cap=2), rule("tokens", cap=1000, counted="end")
    grant = await ledger.reserve(ask(requests, (tokens, 900), GATE))
    ledger.sent(grant)
    ledger.received(grant)
    reset = datetime.now(UTC) + timedelta(seconds=30)
    ledger.adopt(grant, [Allowance("tokens", "minute", cap=2000, remaining=1500, reset_at=reset)])
    ledger.settle(grant, {"tokens": 120})
    ledger.settle(grant, {"tokens": 0})  # the second time is nothing
    by = {one.rule.metric: one for one in await ledger.standings("acme") if one.rule.per}
    assert (by["requests"].used, by["requests"].left, by["requests"].running) == (1, 1, 0)
    assert (by["tokens"].used, by["tokens"].rule.cap, by["tokens"].rule.source) == (120, 2000, "header")
    assert by["tokens"].learned_at is not None
    assert by["requests"].back_at > datetime.now(UTC)
    assert await ledger.standings("other") == []
    await ledger.reserve(ask(requests))
    soonest = await ledger.soonest(ask(requests))
    assert soonest > datetime.now(UTC) + timedelta(seconds=30)
    assert await ledger.reset("acme") == 3
    assert await ledger.soonest(ask(requests)) is None


def test_it_is_a_ledger(ledger):
    """The class has all that the protocol has."""
    checked: Ledger = ledger
    assert all(hasattr(checked, name) for name in vars(Ledger) if not name.startswith("_"))


async def test_nothing_left_is_said_at_once(ledger):
    await ledger.reserve(ask(rule(cap=1)))
    with pytest.raises(QuotaSpentError, match=r"requests a minute of acme \(m-1\)") as caught:
        await ledger.reserve(ask(rule(cap=1)), wait_up_to=30)
    assert 55 < (caught.value.soonest - datetime.now(UTC)).total_seconds() <= 61.25
    assert (caught.value.attempts, caught.value.scope, caught.value.metric) == (0, "m-1", "requests")


async def test_too_large_is_said_at_once(ledger):
    with pytest.raises(QuotaTooSmallError, match="needs 200 tokens") as caught:
        await ledger.reserve(ask((rule("tokens", cap=100), 200)), wait_up_to=1000)
    assert (caught.value.amount, caught.value.cap, caught.value.metric) == (200, 100, "tokens")
    with pytest.raises(QuotaTooSmallError):
        await ledger.soonest(ask((rule("tokens", cap=100), 200)))


@pytest.mark.parametrize("amount", [-1, float("nan"), float("inf")])
async def test_an_amount_that_is_none(ledger, amount):
    with pytest.raises(UsageError, match="amount"):
        await ledger.reserve(ask((rule("tokens", cap=100), amount)))


async def test_a_period_that_is_none(ledger):
    with pytest.raises(UsageError, match="fortnight"):
        await ledger.reserve(ask(rule(per="fortnight")))


async def test_an_amount_of_no_number_counts_as_reserved(ledger):
    tokens = rule("tokens", cap=100)
    ledger.settle(await ledger.reserve(ask((tokens, 60))), {"tokens": float("nan")})
    assert await used(ledger, tokens) == 60


async def test_a_pool_is_claimed_once(ledger):
    with pytest.raises(UsageError, match="same pool"):
        await ledger.reserve(ask(rule(), rule(cap=4)))
    with pytest.raises(UsageError, match="wait_up_to"):
        await ledger.reserve(ask(rule()), wait_up_to=float("nan"))


async def test_waiting_ends_when_the_window_passes(ledger):
    """A second's window: the first slot is free after the head of its answer and a second."""
    wanted = ask(rule(per="second", cap=2), transit=0.125)
    grants = [await ledger.reserve(wanted, wait_up_to=20) for _ in range(2)]
    for grant in grants:
        ledger.received(grant)
    for _ in range(2):
        grants.append(await ledger.reserve(wanted, wait_up_to=20))
    assert grants[2].reserved_at - grants[0].reserved_at >= 1


async def test_who_waits_is_served_in_order_and_when_something_is_given_back(ledger):
    places = ask(rule("concurrency", "", 1))
    running = await ledger.reserve(places)
    order = []

    async def one(number):
        grant = await ledger.reserve(places, wait_up_to=60)
        order.append(number)
        ledger.settle(grant)

    waiting = []
    for number in range(5):
        waiting.append(asyncio.ensure_future(one(number)))
        await asyncio.sleep(0)
    await ledger.standings()  # they have been refused by now
    assert order == []
    ledger.settle(running)
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4]


async def test_a_wait_that_is_cancelled_takes_nothing(ledger):
    places = ask(rule("concurrency", "", 1))
    running = await ledger.reserve(places)
    waiting = asyncio.ensure_future(ledger.reserve(places, wait_up_to=60))
    await asyncio.sleep(0)
    await ledger.standings()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    ledger.settle(running)
    assert await used(ledger, rule("concurrency", "", 1)) == 0


async def test_a_grant_that_comes_too_late_is_given_back(ledger):
    """Cancelled between the ledger's answer and the loop's turn, at any of many moments."""
    wanted = ask(rule(cap=1000), rule("concurrency", "", 1000))
    for number in range(60):
        task = asyncio.ensure_future(ledger.reserve(wanted))
        for _ in range(number % 6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            ledger.settle(task.result(), sent=False)
    await ledger.standings()  # the requests, and then what was given back
    assert await used(ledger, rule("concurrency", "", 1000)) == 0
    assert await used(ledger, rule(cap=1000)) == 0


async def test_a_deadline_in_a_line(ledger):
    """Whoever can wait no longer leaves the line; the others stay."""
    places = ask(rule("concurrency", "", 1))
    running = await ledger.reserve(places)
    long = asyncio.ensure_future(ledger.reserve(places, wait_up_to=60))
    await asyncio.sleep(0)
    with pytest.raises(QuotaSpentError):
        await ledger.reserve(places, wait_up_to=0.05)
    ledger.settle(running)
    ledger.settle(await long)


@pytest.mark.parametrize("has_place", [True, False])
@pytest.mark.parametrize("end", ["cancelled", "deadline"])
async def test_who_stood_behind_one_that_gives_up_is_tried_at_once(ledger, monkeypatch, end, has_place):
    """What is too little for the first may be enough for the second, which need not wait for its turn."""
    monkeypatch.setattr(lines, "_BEAT_SECONDS", 1000.0)
    monkeypatch.setattr(lines, "_LOOK_SECONDS", 1000.0)
    if not has_place:  # among those of all processes
        monkeypatch.setattr(book, "NEAR_SECONDS", -1.0)
    places = rule("concurrency", "", 3)
    await ledger.reserve(ask((places, 2)))
    large = asyncio.ensure_future(
        ledger.reserve(ask((places, 2)), wait_up_to=1000 if end == "cancelled" else 0.5)
    )
    await asyncio.sleep(0)
    small = asyncio.ensure_future(ledger.reserve(ask((places, 1)), wait_up_to=1000))
    await asyncio.sleep(0)
    await ledger.standings()  # the large one has been refused by now
    assert not small.done()
    if end == "cancelled":
        large.cancel()
    await asyncio.wait([large])
    await asyncio.wait_for(small, 30)
    assert large.cancelled() or isinstance(large.exception(), QuotaSpentError)


async def test_each_who_waits_has_an_error_of_his_own(path):
    """Of two backends that wait for a ledger which is closed, each is named in its own error."""
    ledger = SharedLedger(lambda: SQLiteStore(path), lambda _: None)
    places = ask(rule("concurrency", "", 1))
    await ledger.reserve(places)
    waiting = [asyncio.ensure_future(ledger.reserve(places, wait_up_to=1000)) for _ in range(2)]
    await asyncio.sleep(0)
    await ledger.standings()
    await asyncio.to_thread(ledger.close)
    one, two = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(one, LedgerError)
    assert (one.about("one", "").provider, two.about("two", "").provider) == ("one", "two")


def test_threads_and_loops_on_one_ledger(ledger):
    """64 threads, four event loops: exactly what there is, no more and no less."""
    tokens = rule("tokens", "day", 5200)
    wanted = ask(rule(cap=1000), (tokens, 10), rule("concurrency", "", 1000))
    granted = []

    def one(_):
        for _ in range(5):
            granted.append(ledger.reserve_sync(wanted))

    async def many():
        async def some():
            for _ in range(5):
                granted.append(await ledger.reserve(wanted))

        await asyncio.gather(*(some() for _ in range(10)))

    loops = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(4)]
    for thread in loops:
        thread.start()
    with ThreadPoolExecutor(64) as pool:
        list(pool.map(one, range(64)))
    for thread in loops:
        thread.join()
    assert len({grant.id for grant in granted}) == len(granted) == 520
    with pytest.raises(QuotaSpentError):
        ledger.reserve_sync(wanted)
    for grant in granted:
        ledger.settle(grant, {"tokens": 4})
    assert asyncio.run(used(ledger, tokens)) == 520 * 4
    assert asyncio.run(used(ledger, rule("concurrency", "", 1000))) == 0


@posix
async def test_who_waits_is_told_by_another_process_what_is_free(path, ledger):
    """A place that another process gives back is taken at once, and not at the end of its lease."""
    places = ask(rule("concurrency", "", 1), lease=3000)
    code = """
import sys
from freeproviders.quota.opening import open_ledger
from tests.quota.stores import ask, rule
ledger = open_ledger(sys.argv[1])
grant = ledger.reserve_sync(ask(rule("concurrency", "", 1), lease=3000))
print("mine", flush=True)
sys.stdin.readline()
ledger.settle(grant)
ledger.close()
"""
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert await other.stdout.readline() == b"mine\n"
    waiting = asyncio.ensure_future(ledger.reserve(places, wait_up_to=2000))
    await asyncio.sleep(0)
    await ledger.standings()
    await ledger.standings()  # it has been refused by now, and listens
    for line in ledger._worker._lines.values():
        line._at += 1000  # it would not look again by itself
    other.stdin.write(b"go\n")
    await asyncio.wait_for(waiting, 60)
    await other.wait()
    other.stdin.close()


# --- forks ----------------------------------------------------------------------------------------


@posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_with_the_same_file(ledger):
    wanted = ask(rule(cap=3), rule("concurrency", "", 5))
    running = ledger.reserve_sync(wanted)
    child = os.fork()
    if not child:  # pragma: no cover - not counted in children
        try:
            ledger.reserve_sync(wanted)
            ledger.close()
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    ledger.settle(running)  # the file was closed meanwhile, and what was granted is known still
    assert asyncio.run(used(ledger, rule("concurrency", "", 5))) == 1
    ledger.reserve_sync(wanted)
    with pytest.raises(QuotaSpentError):
        ledger.reserve_sync(wanted)


# --- the file -------------------------------------------------------------------------------------


@posix
def test_the_file_is_the_users_alone(path, ledger):
    path.parent.mkdir(parents=True)
    ledger.reserve_sync(ask(rule(), account="a-secret-key"))
    ledger.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    gc.collect()
    for file in path.parent.iterdir():
        assert b"a-secret-key" not in file.read_bytes()


@posix
def test_a_new_folder_is_the_users_alone(tmp_path, spare):
    path = tmp_path / "freeproviders" / "quota.db"
    ledger = open_ledger(path)
    ledger.reserve_sync(ask(rule()))
    ledger.close()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_where_it_is(tmp_path, monkeypatch):
    """The variable of the environment, else the platform's folder; one object for one place."""
    monkeypatch.setenv(ENV_QUOTA, str(tmp_path / "mine.db"))
    assert open_ledger() is open_ledger(tmp_path / "mine.db")
    monkeypatch.delenv(ENV_QUOTA)
    monkeypatch.setenv("FREEPROVIDERS_STATE", str(tmp_path / "state"))
    assert place.default_path() == tmp_path / "state" / "quota.db"
    assert open_ledger("memory") is open_ledger("memory")


def lost(ledger, match):
    """A request is granted in spite of all, and one warning says what is lost."""
    with pytest.warns(LedgerWarning, match=match) as said:
        grants = [ledger.reserve_sync(ask(rule(cap=3))) for _ in range(3)]
    assert len([one for one in said if one.category is LedgerWarning]) == 1
    with pytest.raises(QuotaSpentError):
        ledger.reserve_sync(ask(rule(cap=3)))
    return grants


@posix
def test_a_link_is_not_followed(path, ledger, spare):
    path.parent.mkdir(parents=True)
    path.symlink_to(path.parent / "elsewhere")
    lost(ledger, "is a link")
    assert not (path.parent / "elsewhere").exists()
    assert spare.exists()


def test_a_folder_that_is_none(path, ledger, spare):
    path.parent.write_text("a file")
    lost(ledger, "cannot be written")
    assert spare.exists()


def test_a_file_of_another_program(path, ledger):
    path.parent.mkdir(parents=True)
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (a)")
    other.commit()
    other.close()
    before = path.read_bytes()
    lost(ledger, "another program")
    assert path.read_bytes() == before


def test_a_file_that_is_no_database(path, ledger):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing of SQLite's" * 100)
    lost(ledger, "another program")
    assert path.read_bytes() == b"nothing of SQLite's" * 100


def test_a_file_of_another_version(path, ledger):
    open_ledger(path).reserve_sync(ask(rule()))
    ledger.close()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()
    lost(ledger, "another version")


def test_a_damaged_file(path, ledger):
    """Its pages are overwritten while it is closed."""
    for number in range(40):
        ledger.reserve_sync(ask(rule(pool=f"m-{number}")))
    ledger.close()
    data = path.read_bytes()
    path.write_bytes(data[:1024] + b"\xa5" * (len(data) - 1024))
    lost(ledger, "damaged|another program")


def test_a_locked_file(path):
    """Another program holds the lock for longer than is waited."""
    wanted = ask(rule(cap=3))
    store = SQLiteStore(path, busy_seconds=0.05)
    ledger = SharedLedger(lambda: store, lambda store: store.copy_in_memory())
    first = ledger.reserve_sync(wanted)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.warns(LedgerWarning, match="locked"):
            ledger.reserve_sync(wanted)
        ledger.reserve_sync(wanted)
        with pytest.raises(QuotaSpentError):  # what was in the file is known still
            ledger.reserve_sync(wanted)
        ledger.settle(first, sent=False)
        ledger.reserve_sync(wanted)
    finally:
        holder.execute("ROLLBACK")
        holder.close()
        ledger.close()
    assert not store.opened


@posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_nothing_of_a_file_that_is_locked(path):
    """Its process goes back to the file later; both would share the locks of one connection."""
    wanted = ask(rule(cap=4))
    store = SQLiteStore(path, busy_seconds=0.05)
    ledger = SharedLedger(lambda: store, lambda store: store.copy_in_memory())
    ledger.reserve_sync(wanted)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.warns(LedgerWarning, match="locked"):
            ledger.reserve_sync(wanted)
    assert store.opened
    child = os.fork()
    if not child:  # pragma: no cover - not counted in children
        os._exit(1 if store.opened else 0)
    assert os.waitpid(child, 0)[1] == 0
    ledger._worker.stores._retry_at = 0.0  # the file can be used again, and both grants are known there
    ledger.reserve_sync(wanted)
    assert [one.used for one in asyncio.run(ledger.standings())] == [3]
    ledger.close()


@posix
def test_a_full_disk(path, ledger):
    """The file cannot grow: what was counted is known, and the process goes on alone."""
    wanted = ask(rule(cap=3))
    grants = [ledger.reserve_sync(wanted)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.warns(LedgerWarning, match="full|cannot be used"):
            grants.append(ledger.reserve_sync(wanted))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    grants.append(ledger.reserve_sync(wanted))
    with pytest.raises(QuotaSpentError):
        ledger.reserve_sync(wanted)
    for grant in grants[:2]:
        ledger.settle(grant, sent=False)
    ledger.reserve_sync(wanted)
    ledger._worker.stores._retry_at = 0.0  # there is room again: what was granted meanwhile is written down
    with pytest.raises(QuotaSpentError):
        [ledger.reserve_sync(wanted) for _ in range(3)]
    file = SQLiteStore(path)
    (found,) = file.run([Standings()])
    assert [one.used for one in found] == [3]
    file.close()


def test_a_file_that_was_deleted_is_made_anew(path, ledger):
    ledger.reserve_sync(ask(rule(cap=1)))
    for file in list(path.parent.iterdir()):
        file.unlink()
    ledger.reserve_sync(ask(rule(cap=1)))
    assert path.exists()


@posix
def test_a_network_file_system_is_told(tmp_path, monkeypatch):
    number = tmp_path.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    monkeypatch.setattr(private_file, "_mounts", lambda: iter([("0:1", "tmpfs"), (device, "nfs4")]))
    with pytest.raises(place.StoreError, match=r"network file system \(nfs4\)"):
        place.prepare(tmp_path / "quota.db")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's table of mounts")
def test_the_table_of_mounts_can_be_read():
    assert any(kind == "proc" for _, kind in private_file._mounts())
    assert private_file.network_of(Path(__file__).parent) == ""


def test_a_warning_that_is_an_error_gives_the_grant_back(path, ledger):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"nothing of SQLite's" * 99)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(LedgerWarning):
            ledger.reserve_sync(ask(rule("concurrency", "", 1)))
    ledger.reserve_sync(ask(rule("concurrency", "", 1)))
