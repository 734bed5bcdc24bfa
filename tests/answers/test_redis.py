"""The answers of several machines: few round trips, a server that goes, no password in the clear."""

import itertools
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import redis_server as servers
from freeproviders.answers.entry import Entry, Run
from freeproviders.answers.memory import MemoryAnswers
from freeproviders.answers.opening import open_store
from freeproviders.answers.sqlite import SQLiteAnswers
from freeproviders.errors import AnswerStoreError, MissingDependencyError
from tests.answers.test_store import WAIT, done, key, put, read
from tests.quota.servers import redis_server

_numbers = itertools.count()


def made(address, prefix=""):
    from freeproviders.answers.redis import RedisAnswers

    return RedisAnswers(address, prefix=prefix or f"test{next(_numbers)}:")


@pytest.fixture
def server(tmp_path):
    with redis_server(tmp_path) as started:
        yield started


def test_a_put_and_a_get_are_one_command_each(server):
    import redis

    store = open_store(server.url)
    put(store, {0: done("first")})  # by which the script is known
    client = redis.Redis.from_url(server.url)
    before = client.info("commandstats")
    put(store, {number: done(str(number)) for number in range(1, 200)}, run="r")
    assert len(read(store, *range(300))) == 200
    after = client.info("commandstats")
    calls = {
        name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"]
        for name in ("cmdstat_evalsha", "cmdstat_mget")
    }
    assert calls == {"cmdstat_evalsha": 1, "cmdstat_mget": 1}
    client.script_flush()
    put(store, {500: done("the script is sent again")})
    assert list(read(store, 500)) == [500]
    client.close()
    store.close()


def test_the_first_answer_stays_whoever_comes(redis_address):
    """Of many clients that keep another answer to one question, all see the same, and it is counted once."""
    prefix = f"test{next(_numbers)}:"

    def ask(number):
        client = made(redis_address, prefix)
        client.put([([(key(1), done(f"{number}"))], f"run {number}")])
        seen = client.get([key(1)])[key(1)].value
        client.close()
        return seen

    with ThreadPoolExecutor(6) as pool:
        seen = set(pool.map(ask, range(24)))
    assert len(seen) == 1
    client = made(redis_address, prefix)
    assert [one.states for one in client.kept() if one.states] == [{"done": 1}]
    client.close()


def test_many_are_deleted_some_at_a_time(redis_address):
    store = made(redis_address)
    for first in range(0, 2500, 500):
        store.put([([(key(number), done("x")) for number in range(first, first + 500)], "r")])
    assert store.delete("r", None) == 2500
    assert store.kept() == []
    store.close()


def test_a_server_that_goes_and_comes_back(server):
    store = open_store(server.url)
    put(store, {1: done("one")})
    server.stop()
    with pytest.raises(
        AnswerStoreError, match=r"The answers at redis://127\.0\.0\.1:\d+/0 cannot be used"
    ) as caught:
        put(store, {2: done("two")})
    assert caught.value.__cause__ is not None
    server.start()
    put(store, {3: done("three")})
    assert list(read(store, 3)) == [3]
    store.close()


def test_a_server_without_room(server):
    """It says so, nothing of the put is there, and with room again it goes on."""
    import redis

    client = redis.Redis.from_url(server.url)
    client.config_set("maxmemory", "1")
    store = open_store(server.url)
    with pytest.raises(AnswerStoreError, match="memory"):
        put(store, {1: done("one"), 2: done("two")}, run="r")
    assert read(store, 1, 2) == {}
    client.config_set("maxmemory", "0")
    assert store.kept().result(WAIT) == []
    put(store, {1: done("one")})
    client.close()
    store.close()


def test_a_password_is_not_shown():
    store = open_store("redis://user:secret@127.0.0.1:1/0?ssl_password=secret")
    assert store.place == "redis://127.0.0.1:1/0"
    assert "secret" not in repr(store)
    with pytest.raises(AnswerStoreError) as caught:
        read(store, 1)
    assert "secret" not in str(caught.value)
    store.close()


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"A store of answers on Redis needs .*\[redis\]"):
        open_store("redis://127.0.0.1:2/0")


# --- every kind of store does the same ------------------------------------------------------------

numbers = st.integers(0, 5)
runs = st.sampled_from(["", "a", "b"])
entries = st.builds(
    Entry,
    state=st.sampled_from(["done", "refused", "poisoned", "failed"]),
    value=st.binary(max_size=8),
    tries=st.integers(0, 3),
    at=st.integers(1, 9).map(float),
)
steps = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(numbers, entries), max_size=3), runs),
    st.tuples(
        st.just("begin"), st.sampled_from(["a", "b"]), st.none() | st.integers(0, 9), st.integers(1, 9)
    ),
    st.tuples(st.just("delete"), st.none() | runs, st.none() | st.integers(1, 9)),
)


@given(st.lists(steps, max_size=12))
@settings(max_examples=40, deadline=None)
def test_all_kinds_of_stores_agree(redis_address, done_steps):
    """Whatever is put, begun and deleted, a file, a server and a dictionary hold and count the same."""
    with tempfile.TemporaryDirectory() as folder:
        file = SQLiteAnswers(Path(folder) / "answers.sqlite3", own=False)
        stores = [MemoryAnswers(), file, made(redis_address)]
        for step in done_steps:
            match step:
                case ("put", some, run):
                    outcomes = [one.put([([(key(n), entry) for n, entry in some], run)]) for one in stores]
                case ("begin", name, rows, began):
                    outcomes = [one.begin(Run(name=name, rows=rows, began=float(began))) for one in stores]
                case ("delete", run, at):
                    # Whole seconds ago; a half more, since the clock goes on between the stores.
                    spared = None if at is None else time.time() - at - 0.5
                    outcomes = [one.delete(run, spared) for one in stores]
            assert outcomes[0] == outcomes[1] == outcomes[2]
            seen = [one.get([key(number) for number in range(6)]) for one in stores]
            assert seen[0] == seen[1] == seen[2]
            counted = [sorted(map(plain, one.kept()), key=str) for one in stores]
            assert counted[0] == counted[1] == counted[2]
        for one in stores:
            one.close()


def plain(kept):
    """What is kept of a run, but for the time of one that a put began."""
    began = kept.run.began if kept.run.began < 100 else 0.0
    if not kept.states:
        return replace(kept.run, began=began), {}
    return replace(kept.run, began=began), dict(kept.states), kept.bytes, kept.first, kept.latest
