"""Notes that all who share a ledger see: compared and set, aged, expired, cleared, on all stores."""

import asyncio
import sqlite3
import time
from math import inf

import pytest

from freeproviders.errors import LedgerError
from freeproviders.quota.interface import NoteName
from freeproviders.quota.ledger import SharedLedger
from freeproviders.quota.opening import open_ledger
from freeproviders.quota.sqlite import SQLiteStore
from freeproviders.quota.steps import CLEARED_SECONDS, Forget, ReadNotes, Take, WriteNote
from tests.quota.stores import Clock, ask, rule, sqlite_store

ACME = NoteName("health", "acme", "key-1")


def write(book, text, *, over="", version="v1", name=ACME, keep=60.0, ago=0.0):
    return book.do(WriteNote(name, text, version, over, keep, ago))


def read(book, *names):
    return list(book.do(ReadNotes(names or (ACME,))))


def test_written_if_nobody_has_written_since(book):
    """Who has read an older version is told the present one, and changes nothing."""
    assert read(book) == [None]
    assert write(book, "one").text == "one"
    there = write(book, "two", version="v2")
    assert (there.version, there.text) == ("v1", "one")
    assert write(book, "two", over="v0", version="v2").text == "one"
    assert write(book, "two", over="v1", version="v2").text == "two"
    (found,) = read(book)
    assert (found.version, found.text) == ("v2", "two")


def test_a_note_that_has_gone_is_not_written_over(book):
    assert write(book, "two", over="v1", version="v2") is None
    assert read(book) == [None]


def test_names_are_apart(book):
    """Topics, services and accounts have notes of their own; several are read in one step."""
    names = [
        ACME,
        NoteName("statistics", "acme", "key-1"),
        NoteName("health", "other", "key-1"),
        NoteName("health", "acme", "key-2"),
        NoteName("health", "acme"),
    ]
    for number, name in enumerate(names):
        write(book, f"note {number}", name=name)
    missing = NoteName("health", "nobody")
    texts = [found and found.text for found in read(book, missing, *names)]
    assert texts == [None, *(f"note {number}" for number in range(len(names)))]


def test_age_and_end(book):
    """The age counts from the moment that the writer names; the end from the writing."""
    write(book, "one", keep=60, ago=5)
    book.clock.at += 10
    assert read(book)[0].age == pytest.approx(15)
    book.clock.at += 49.5
    assert read(book)[0].age == pytest.approx(64.5)
    book.clock.at += 0.5
    assert read(book) == [None]
    assert write(book, "two", version="v2").text == "two"
    write(book, "three", over="v2", version="v3", keep=inf)
    book.clock.at += 1e8
    assert read(book)[0].text == "three"


def test_cleared_with_what_was_counted(book):
    """Whoever looks sees that a note was cleared, at any address of the service."""
    there = [ACME, NoteName("statistics", "acme"), NoteName("health", "acme http://127.0.0.1:1/v1")]
    others = [NoteName("health", "acme2"), NoteName("health", "ac")]
    for name in [*there, *others]:
        write(book, "something", name=name)
    book.do(Forget("acme", "m-1"))
    assert [one.text for one in read(book, *there)] == ["something"] * 3
    book.do(Forget("acme"))
    found = read(book, *there, *others)
    assert [one.text for one in found] == ["", "", "", "something", "something"]
    assert all(one.version != "v1" for one in found[:3])
    assert write(book, "new", over=found[0].version, version="v9").text == "new"
    book.clock.at += CLEARED_SECONDS
    assert read(book, there[1]) == [None]


def test_odd_texts(book):
    for number, text in enumerate(["", "\x00'\"", "ü\U0001f600", "[]", "{}", "a" * 20_000]):
        name = NoteName("health", f"acme {text[:9]}", text[:9])
        assert write(book, text, name=name, version=f"w{number}").text == text
        assert [one.text for one in read(book, name)] == [text]


def test_an_account_is_not_in_the_clear(tmp_path):
    path = tmp_path / "quota.db"
    store = sqlite_store(Clock(), path)
    store.run([WriteNote(NoteName("health", "acme", "a-secret-key"), "text", "v1", "", 60.0)])
    store.close()
    for file in tmp_path.iterdir():
        assert b"a-secret-key" not in file.read_bytes()


def test_an_account_is_not_in_the_clear_on_a_server(redis_address):
    from freeproviders.quota.redis import RedisStore

    store = RedisStore(redis_address, prefix=f"test-notes-{time.time_ns()}:")
    store.run([WriteNote(NoteName("health", "acme", "a-secret-key"), "text", "v1", "", 60.0)])
    keys = list(store._client.scan_iter(f"{store._prefix}*"))
    assert any("acme" in key for key in keys)
    assert not any("a-secret-key" in key for key in keys)
    assert all("a-secret-key" not in one for one in store._client.zrange(f"{store._prefix}notes", 0, -1))
    (note,) = (key for key in keys if "health" in key)
    assert 60 <= store._client.ttl(note) <= 61
    store.close()


def test_expired_notes_are_removed(book):
    for number in range(20):
        write(book, "text", name=NoteName("health", f"s{number}"), keep=10)
    book.clock.at += 10
    write(book, "text", keep=60)
    if isinstance(book.store, SQLiteStore):
        assert book.store._db.execute("SELECT count(*) FROM note").fetchone() == (1,)
    else:
        assert book.store._client.zcard(f"{book.store._prefix}notes") == 1


def test_a_new_start_of_the_machine(tmp_path):
    """Ages go on by the wall clock; where that was set back, nothing lasts for longer than a month."""
    clock = Clock()
    store = sqlite_store(clock, tmp_path / "quota.db")
    store.run([WriteNote(ACME, "text", "v1", "", 5000.0)])
    other = NoteName("health", "for ever")
    store.run([WriteNote(other, "text", "v1", "", inf)])
    clock.at, clock.boot, clock.offset = 10.0, "two", clock.wall() + 600 - 10
    (note,) = store.run([ReadNotes((ACME,))])[0]
    assert note.age == pytest.approx(600)
    clock.at, clock.boot, clock.offset = 7.0, "three", clock.wall() - 1e9 - 7
    (note,) = store.run([ReadNotes((ACME,))])[0]
    assert note.age == 0
    clock.at += 31 * 86_400
    found, for_ever = store.run([ReadNotes((ACME, other))])[0]
    assert found is None
    assert for_ever.text == "text"
    store.close()


def test_a_file_of_an_earlier_version_gets_the_table(tmp_path):
    path = tmp_path / "quota.db"
    store = sqlite_store(Clock(), path)
    store.run([])
    store.close()
    with sqlite3.connect(path) as file:
        file.execute("DROP TABLE note")
    file.close()
    assert store.run([ReadNotes((ACME,))]) == [(None,)]
    store.close()


def test_both_clocks_of_a_step_do_not_matter(tmp_path):
    """A wall clock that is set changes no age."""
    clock = Clock()
    store = sqlite_store(clock, tmp_path / "quota.db")
    store.run([WriteNote(ACME, "text", "v1", "", 5000.0)])
    clock.at += 20
    clock.offset += 1e6
    assert store.run([ReadNotes((ACME,))])[0][0].age == 20
    clock.offset -= 2e6
    assert store.run([ReadNotes((ACME,))])[0][0].age == 20
    store.close()


# --- through the ledger ---------------------------------------------------------------------------


async def test_many_add_to_one_note(tmp_path):
    """Eight tasks on two ledgers of one file count to 200: who was too late adds to what is there."""
    path = tmp_path / "quota.db"
    ledgers = [SharedLedger(lambda: SQLiteStore(path), lambda _: None) for _ in range(2)]

    async def add(ledger, who):
        (there,) = await asyncio.wrap_future(ledger.notes([ACME]))
        for number in range(25):
            while True:
                version = f"{who}-{number}"
                text = str(int(there.text) + 1 if there else 1)
                over = there.version if there else ""
                there = await asyncio.wrap_future(
                    ledger.note(ACME, text, version=version, over=over, keep=60.0)
                )
                if there.version == version:
                    break

    await asyncio.gather(*(add(ledgers[who % 2], who) for who in range(8)))
    (found,) = await asyncio.wrap_future(ledgers[0].notes([ACME]))
    assert found.text == "200"
    for ledger in ledgers:
        await asyncio.to_thread(ledger.close)


async def test_a_lost_store_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    ledger = SharedLedger(lambda: SQLiteStore(tmp_path / "file" / "quota.db"), lambda _: None)
    with pytest.raises(LedgerError):
        await asyncio.wrap_future(ledger.notes([ACME]))
    with pytest.raises(LedgerError):
        await asyncio.wrap_future(ledger.note(ACME, "text", version="v", keep=1.0))
    await asyncio.to_thread(ledger.close)


async def test_notes_and_grants_in_one_turn():
    """A memory ledger has both; a reset of the service clears its notes."""
    ledger = open_ledger("memory")
    await asyncio.wrap_future(ledger.note(ACME, "text", version="v", keep=60.0))
    ledger.settle(await ledger.reserve(ask(rule())))
    assert (await asyncio.wrap_future(ledger.notes([ACME])))[0].text == "text"
    assert await ledger.reset("acme") == 1
    assert (await asyncio.wrap_future(ledger.notes([ACME])))[0].text == ""


def test_notes_go_with_the_copy_in_memory(tmp_path):
    """What is known of services is known still when the file fails."""
    store = sqlite_store(Clock(), tmp_path / "quota.db")
    store.run([WriteNote(ACME, "text", "v1", "", 60.0), Take(ask(rule()), "g")])
    copy = store.copy_in_memory()
    assert copy.run([ReadNotes((ACME,))])[0][0].text == "text"
    store.close()
