"""Stores of answers: what every one of them does, wherever it keeps them."""

import asyncio
import multiprocessing
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from freeproviders.answers.entry import Entry, Run
from freeproviders.answers.opening import open_store
from freeproviders.errors import AnswerStoreError, UsageError

posix = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")
WAIT = 30


def key(number):
    return sha256(str(number).encode()).digest()


def done(text, **more):
    return Entry(state="done", value=text.encode(), **more)


def read(store, *numbers):
    """What is kept under some keys, by their numbers."""
    found = store.get([key(number) for number in numbers]).result(WAIT)
    return {number: found[key(number)] for number in numbers if key(number) in found}


def put(store, entries, run=""):
    store.put([(key(number), entry) for number, entry in entries.items()], run=run).result(WAIT)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "answers.sqlite3"


@pytest.fixture(params=["file", "memory", "redis"])
def store(request, path):
    where = {"file": lambda: path, "memory": lambda: "memory"}
    made = open_store(where.get(request.param, lambda: request.getfixturevalue("redis_address"))())
    made.delete().result(WAIT)
    yield made
    made.delete().result(WAIT)
    made.close()


# --- what every store does ------------------------------------------------------------------------


def test_what_was_put_comes_back(store):
    put(store, {1: done("one", tries=2, at=5.5), 2: Entry(state="failed", value=b"{}", tries=1)})
    found = read(store, 1, 2, 3)
    assert found[1] == done("one", tries=2, at=5.5)
    assert (found[2].state, found[2].value, found[2].tries) == ("failed", b"{}", 1)
    assert abs(found[2].at - time.time()) < WAIT
    assert 3 not in found


def test_what_is_done_stays(store):
    """A failure gives way to whatever comes; an answer to nothing, and no other entry of the put is lost."""
    put(store, {1: Entry(state="failed", value=b"1", tries=1), 2: Entry(state="refused", value=b"2")})
    put(store, {1: Entry(state="failed", value=b"3", tries=2), 2: done("two")})
    assert (read(store, 1)[1].tries, read(store, 2)[2].value) == (2, b"two")
    put(store, {2: done("another"), 3: done("three")})
    put(store, {2: Entry(state="poisoned", value=b"")})
    assert {number: one.value for number, one in read(store, 2, 3).items()} == {2: b"two", 3: b"three"}


def test_what_is_forgotten_can_be_written_anew(store):
    put(store, {1: done("one"), 2: done("two"), 3: done("three")}, run="a")
    store.forget([key(1), key(3), key(9)]).result(WAIT)
    assert store.get([key(1), key(2), key(3)]).result(WAIT).keys() == {key(2)}
    (kept,) = store.kept().result(WAIT)
    assert (kept.states, kept.bytes) == ({"done": 1}, 3)
    put(store, {1: done("again")}, run="b")
    assert store.get([key(1)]).result(WAIT)[key(1)].value == b"again"
    store.delete().result(WAIT)


def test_runs_are_counted_and_deleted(store):
    store.begin(Run(name="a", source="in.csv", rows=9, began=100.0)).result(WAIT)
    store.begin(Run(name="a", source="in2.csv", began=200.0)).result(WAIT)
    put(store, {1: done("one", at=50.0), 2: Entry(state="refused", value=b"12345", at=60.0)}, run="a")
    put(store, {3: done("three", at=70.0)}, run="b")
    put(store, {4: done("four", at=80.0)})
    store.begin(Run(name="c", began=65.0)).result(WAIT)
    kept = {one.run.name: one for one in store.kept().result(WAIT)}
    assert list(kept) == ["", "b", "c", "a"]
    assert kept["a"].run == Run(name="a", source="in2.csv", rows=9, began=100.0)
    assert (kept["a"].states, kept["a"].bytes) == ({"done": 1, "refused": 1}, 8)
    assert (kept["a"].first, kept["a"].latest) == (50.0, 60.0)
    assert (kept["c"].states, kept["c"].bytes, kept["c"].first) == ({}, 0, 65.0)

    assert store.delete("nobody").result(WAIT) == 0
    assert store.delete("a").result(WAIT) == 2
    assert [one.run.name for one in store.kept().result(WAIT)] == ["", "b", "c"]
    assert store.delete("").result(WAIT) == 1
    assert [one.run.name for one in store.kept().result(WAIT)] == ["b", "c"]
    assert store.delete().result(WAIT) == 1
    assert store.kept().result(WAIT) == []


def test_what_is_young_is_spared(store):
    now = time.time()
    store.begin(Run(name="a", began=now - 1000)).result(WAIT)
    put(store, {1: done("old", at=now - 1000), 2: done("young", at=now - 10)}, run="a")
    assert store.delete(older_than=500).result(WAIT) == 1
    assert list(read(store, 1, 2)) == [2]
    assert [one.run.name for one in store.kept().result(WAIT)] == ["a"]
    assert store.delete("a", older_than=5).result(WAIT) == 1
    assert store.kept().result(WAIT) == []


def test_a_put_is_all_or_nothing(store):
    """One entry that is none, and none of its put is written."""
    with pytest.raises(UsageError, match="must be bytes"):
        store.put([(key(1), done("one")), (key(2), Entry(state="done", value="text"))])
    assert read(store, 1, 2) == {}


def test_keys_and_names_are_checked_at_once(store):
    for call in (lambda: store.get([b"short"]), lambda: store.put([(b"", done("x"))])):
        with pytest.raises(UsageError, match="A key has 32 bytes"):
            call()
    with pytest.raises(UsageError, match="A run needs a name"):
        store.begin(Run(name=""))


def test_a_caller_that_gives_up_takes_nothing_back(store):
    async def main():
        writing = asyncio.ensure_future(asyncio.wrap_future(store.put([(key(1), done("one"))])))
        await asyncio.sleep(0)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        return await asyncio.wrap_future(store.get([key(1)]))

    assert list(asyncio.run(main())) == [key(1)]


def test_threads_and_loops_at_once(store):
    def work(thread):
        async def main():
            for at in range(20):
                await asyncio.wrap_future(store.put([(key((thread, at)), done(f"{thread} {at}"))], run="r"))

        asyncio.run(main())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert [one.states for one in store.kept().result(WAIT)] == [{"done": 160}]


def test_closing_writes_what_waits(store):
    waiting = [store.put([(key(number), done(str(number)))]) for number in range(50)]
    store.close()
    assert all(one.done() for one in waiting)
    assert len(read(store, *range(50))) == 50
    store.close()
    store.close()


def test_closing_while_others_write(store):
    """A store that is closed again and again loses nothing of what another thread puts."""
    puts = []

    def write():
        puts.extend(store.put([(key(number), done(str(number)))]) for number in range(200))

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        store.close()
    for one in puts:
        one.result(WAIT)
    assert len(read(store, *range(200))) == 200


# --- one place ------------------------------------------------------------------------------------


def test_the_same_object_for_the_same_place(path, monkeypatch):
    store = open_store(path)
    assert open_store(str(path)) is store
    assert open_store(store) is store
    assert pickle.loads(pickle.dumps(store)) is store
    assert str(path) in repr(store)
    assert store.place == str(path)
    monkeypatch.setenv("FREEPROVIDERS_ANSWERS", str(path))
    assert open_store() is store
    monkeypatch.delenv("FREEPROVIDERS_ANSWERS")
    monkeypatch.setenv("FREEPROVIDERS_STATE", str(path.parent))
    assert open_store() is store
    assert not path.exists()


@pytest.mark.parametrize("where", ["", ":memory:", "http://user:secret@127.0.0.1/", 7, object()])
def test_what_is_no_place(where):
    with pytest.raises(UsageError, match="must be a path") as caught:
        open_store(where)
    assert "secret" not in str(caught.value)


# --- a file ---------------------------------------------------------------------------------------


@pytest.fixture
def file(path):
    made = open_store(path)
    yield made
    made.close()


def whole(path):
    """What another program finds in the file: that it is whole, and its keys."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {row[0] for row in db.execute("SELECT key FROM entry")}


@posix
def test_the_file_is_the_users_alone(file, path):
    put(file, {1: done("secret")})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    side = path.with_name(path.name + "-wal")
    assert stat.S_IMODE(side.stat().st_mode) == 0o600


def test_what_is_deleted_is_gone_from_the_disk(file, path):
    put(file, {number: done(f"confidential {number}" * 500) for number in range(20)})
    put(file, {99: done("kept")})
    with closing(sqlite3.connect(path)) as reader:  # which keeps the file from being made smaller
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchone()
        assert file.delete(older_than=-1.0).result(WAIT) == 21
    put(file, {99: done("kept")})
    file.close()
    assert b"confidential" not in path.read_bytes()
    assert whole(path) == {key(99)}


PROGRAM = """
import sys
from freeproviders.answers.entry import Entry
from freeproviders.answers.opening import open_store
from tests.answers.test_store import done, key
who, count = sys.argv[2], int(sys.argv[3])
store = open_store(sys.argv[1])
for at in range(count):
    store.put([(key((who, at, part)), done(f"{who} {at} {part}")) for part in range(3)], run=who).result()
    print(at, flush=True)
"""


def start(path, who, count):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), who, str(count)], stdout=subprocess.PIPE
    )


def test_several_processes_at_once(file, path):
    processes = [start(path, who, 40) for who in ("a", "b", "c")]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    counts = {one.run.name: one.states for one in file.kept().result(WAIT)}
    assert counts == {who: {"done": 120} for who in ("a", "b", "c")}


def test_what_was_said_to_be_kept_survives_a_kill(file, path):
    """Killed in the middle, a writer leaves whole puts only, and each that was said to be safe."""
    for number in range(5):
        who = f"w{number}"
        process = start(path, who, 100_000)
        for _ in range(3 + 7 * number):
            process.stdout.readline()
        process.kill()
        told = 3 + 7 * number + len(process.stdout.read().splitlines())
        process.wait()
        process.stdout.close()
        keys = whole(path)
        for at in range(told):
            assert {key((who, at, part)) for part in range(3)} <= keys
        assert len(keys & {key((who, told, part)) for part in range(3)}) in {0, 3}
    put(file, {1: done("and it goes on")})
    assert list(read(file, 1)) == [1]


@posix
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_both_sides_of_a_fork(file, path):
    """A child opens the file for itself, also while a thread of the parent writes."""
    put(file, {1: done("before")})
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            put(file, {f"parent {number % 50}": done("x")})
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3):
            child = os.fork()
            if not child:
                code = 1
                try:
                    put(file, {f"child {number}": done("child")})
                    code = 0 if list(read(file, 1, f"child {number}")) == [1, f"child {number}"] else 2
                finally:
                    file.close()
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
    assert len(read(file, *[f"child {number}" for number in range(3)])) == 3
    file.close()
    whole(path)


def test_a_pool_of_processes(file):
    put(file, {1: done("before")})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_entry, (file,)) == b"before"


def _entry(store):
    return store.get([key(1)]).result(WAIT)[key(1)].value


ENDING = """
import sys
from tests.answers.test_store import *
store = open_store(sys.argv[1])
for number in range(200):
    store.put([(key(number), done("x" * 100))])
"""


def test_a_program_that_ends_writes_what_waits(path):
    subprocess.run([sys.executable, "-c", ENDING, str(path)], check=True)
    assert whole(path) == {key(number) for number in range(200)}


@posix
def test_a_file_that_was_taken_away_is_begun_anew(file, path):
    put(file, {1: done("one")})
    for one in path.parent.iterdir():
        one.unlink()
    put(file, {2: done("two")})
    assert list(read(file, 1, 2)) == [2]


# --- a file that cannot be used -------------------------------------------------------------------


def failure(store):
    with pytest.raises(AnswerStoreError) as caught:
        put(store, {1: done("one")})
    return str(caught.value)


def test_a_file_of_another_program(file, path):
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE theirs (a)")
    assert failure(file) == f"{path} is a file of another program: name another one."
    path.write_bytes(b"no database at all" * 100)
    assert "is a file of another program" in failure(file)
    assert path.read_bytes() == b"no database at all" * 100


def test_a_file_of_another_version(file, path):
    put(file, {1: done("one")})
    file.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    assert "written by another version of freeproviders" in failure(file)


@posix
@pytest.mark.skipif(sys.platform != "win32" and os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(file, path):
    path.parent.mkdir()
    path.parent.chmod(0o500)
    assert f"{path} cannot be written" in failure(file)


def test_a_file_that_is_damaged(file, path):
    put(file, {number: done("x" * 3000) for number in range(50)})
    file.close()
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(AnswerStoreError, match="damaged"):
        read(file, *range(50))


def test_a_file_that_another_program_locks(path):
    from freeproviders.answers.sqlite import SQLiteAnswers
    from freeproviders.private_file import FileError

    answers = SQLiteAnswers(path, own=False, busy_seconds=0.05)
    answers.put([([(key(1), done("one"))], "")])
    with closing(sqlite3.connect(path)) as db:
        db.execute("BEGIN IMMEDIATE")
        with pytest.raises(FileError, match="is locked by another program"):
            answers.put([([(key(2), done("two"))], "")])
        assert list(answers.get([key(1), key(2)])) == [key(1)]
    answers.put([([(key(2), done("two"))], "")])
    answers.close()


FULL = """
import resource, sys
from tests.answers.test_store import *
store = open_store(sys.argv[1])
put(store, {1: done("one")})
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    put(store, {number: done("x" * 10_000) for number in range(2, 100)})
except AnswerStoreError as error:
    print(error)
assert list(read(store, *range(100))) == [1]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
put(store, {2: done("two")})
"""


@posix
def test_a_disk_that_is_full(path):
    """What did not fit is an error, what was there stays, and with room again it goes on."""
    ran = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(str(path))
    assert whole(path) == {key(1), key(2)}


def test_a_failed_put_leaves_the_store_usable(tmp_path):
    folder = tmp_path / "file"
    folder.write_text("no folder")
    store = open_store(folder / "answers.sqlite3")
    assert "cannot be written" in failure(store)
    folder.unlink()
    put(store, {1: done("one")})
    assert list(read(store, 1)) == [1]
    store.close()


def test_the_default_place(monkeypatch, tmp_path):
    monkeypatch.setenv("FREEPROVIDERS_STATE", str(tmp_path / "state"))
    monkeypatch.delenv("FREEPROVIDERS_ANSWERS", raising=False)
    store = open_store()
    put(store, {1: done("one")})
    assert Path(store.place) == tmp_path / "state" / "answers.sqlite3"
    store.close()
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
