"""Those who wait in several processes: nobody is overtaken, and nobody who is gone holds anything."""

import asyncio
import itertools
from math import inf

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from freeproviders.errors import QuotaSpentError
from freeproviders.quota.interface import Grant
from freeproviders.quota.ledger import SharedLedger
from freeproviders.quota.sqlite import SQLiteStore
from freeproviders.quota.steps import (
    KEPT_SECONDS,
    LONGEST_LINE,
    Leave,
    Look,
    Refused,
    Settle,
    Take,
)
from tests.quota.stores import Clock, ask, rule, sqlite_store

TOKENS = rule("tokens", "10 seconds", 10, counted="end")
REQUESTS = rule(per="10 seconds", cap=4)
_numbers = itertools.count()


def wanted(amount):
    return ask(REQUESTS, (TOKENS, amount), transit=0.0, lease=5.0)


def waiting(book, amount, call):
    return book.do(Take(wanted(amount), call, waits=True))


def test_a_large_request_is_not_overtaken(book):
    """What comes back is set aside for it; who asks for what it leaves over is served."""
    first, second = (book.granted(wanted(4)) for _ in range(2))
    assert waiting(book, 7, "large").lined
    book.do(Settle(first, {"tokens": 0.0}, 0.0))
    assert isinstance(book.take(wanted(2)), Refused)  # 6 are free, and all are for the large one
    assert isinstance(waiting(book, 7, "large"), Refused)
    book.do(Settle(second, {"tokens": 1.0}, 0.0))
    book.granted(wanted(2))  # 9 are free
    assert isinstance(book.take(wanted(1)), Refused)
    assert isinstance(waiting(book, 7, "large"), Grant)


def test_who_waits_for_one_pool_takes_nothing_of_others(book):
    """A request that waits for tokens holds no place among the requests."""
    book.granted(wanted(10))
    assert waiting(book, 1, "waits").lined
    for _ in range(3):
        book.granted(ask(REQUESTS, transit=0.0))
    assert isinstance(book.take(ask(REQUESTS, transit=0.0)), Refused)


@pytest.mark.parametrize("gone", ["leaves", "is killed", "is granted"])
def test_who_is_gone_holds_nothing(book, gone):
    book.granted(ask((TOKENS, 5), lease=5.0))
    assert waiting(book, 10, "large").lined
    assert isinstance(book.take(wanted(5)), Refused)
    if gone == "leaves":
        book.do(Leave("large"))
    elif gone == "is killed":
        book.clock.at += KEPT_SECONDS
    else:
        book.clock.at += 7
        waiting(book, 10, "large")  # it is still there
        book.clock.at += 8
        assert isinstance(waiting(book, 10, "large"), Grant)
        book.clock.at += 15
    book.granted(wanted(5))


def test_a_line_is_bounded(book):
    """Who finds it full waits without a place."""
    book.granted(wanted(10))
    answers = [waiting(book, 1, f"w{number:04}") for number in range(LONGEST_LINE + 1)]
    assert [one.lined for one in answers] == [True] * LONGEST_LINE + [False]
    book.clock.at += KEPT_SECONDS
    assert waiting(book, 1, "another").lined  # those of before did not come back


def test_nobody_stands_in_line_for_a_day(book):
    day = ask(rule(per="day", cap=1))
    book.granted(day)
    refused = book.do(Take(day, "w", waits=True))
    assert (refused.lined, refused.after > 80_000) == (False, True)


AMOUNTS = st.integers(1, 10)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("passes"), st.integers(1, 16).map(lambda eighths: eighths / 8)),
        st.tuples(st.just("asks"), AMOUNTS),
        st.tuples(st.just("waits"), st.tuples(st.sampled_from("abc"), AMOUNTS)),
        st.tuples(st.just("settles"), st.integers(0, 10)),
        st.tuples(st.just("leaves"), st.sampled_from("abc")),
    ),
    max_size=40,
)


@given(STEPS)
@example([("asks", 1), ("passes", 2.0), *[("asks", 1)] * 3, ("waits", ("a", 1)), ("settles", 7)])
@settings(max_examples=50, deadline=None)
def test_both_stores_keep_the_same_line_in_order(redis_address, steps):
    """Whoever is first is served when it was told at the latest, whatever others do; in the end all are."""
    from freeproviders.quota.redis import RedisStore

    clock = Clock()
    both = [
        sqlite_store(clock),
        RedisStore(redis_address, prefix=f"line{next(_numbers)}:", clock=clock.wall),
    ]
    line = {}  # of those who wait: the try's id, the amount, by when the first of all will be served
    running = []
    numbers = itertools.count()

    def do(make):
        answers = [store.run([make(number)])[0] for number, store in enumerate(both)]
        assert stores_say(answers[0]) == stores_say(answers[1])
        return answers

    def take(amount, call, *, waits):
        answers = do(lambda _: Take(wanted(amount), call, waits=waits))
        if isinstance(answers[0], Grant):
            running.append((amount, answers))
        return answers[0]

    def beat():
        for name in list(line):
            call, amount, due = line[name]
            answer = take(amount, call, waits=True)
            first = next(iter(line)) == name
            if isinstance(answer, Grant):
                del line[name]
                continue
            assert answer.lined
            if first:
                assert clock.at < due
                due = min(due, clock.at + answer.after)
            line[name] = call, amount, due

    for what, value in steps:
        match what:
            case "passes":
                clock.at += value
                beat()
            case "asks":
                take(value, f"t{next(numbers)}", waits=False)
            case "waits" if value[0] not in line:
                name, amount = value
                call = f"{next(numbers):04}"
                if isinstance(answer := take(amount, call, waits=True), Refused):
                    due = clock.at + answer.after if not line else inf
                    line[name] = call, amount, due
            case "settles" if running:
                reserved, grants = running.pop(0)
                spent = {"tokens": float(value)}
                do(lambda number, grants=grants, spent=spent: Settle(grants[number], spent, 0.0))
                if value > reserved:  # what was told before did not know of that
                    line = {name: (call, amount, inf) for name, (call, amount, _) in line.items()}
            case "leaves" if value in line:
                call = line.pop(value)[0]
                do(lambda _, call=call: Leave(call))
        assert len(set(map(str, do(lambda _: Look(wanted(3)))))) == 1
    for _ in range(60):
        if not line:
            break
        clock.at += 2
        beat()
    assert not line
    for store in both:
        store.close()


def stores_say(answer):
    if isinstance(answer, Refused):
        return answer.claim.rule, answer.after, answer.early, answer.lined
    return type(answer)


@pytest.fixture(params=["sqlite", "redis"])
def ledgers(request, tmp_path):
    """Three ledgers over one store, as of three processes."""
    number = next(_numbers)

    def store():
        if request.param == "sqlite":
            return SQLiteStore(tmp_path / "quota.db")
        from freeproviders.quota.redis import RedisStore

        return RedisStore(request.getfixturevalue("redis_address"), prefix=f"three{number}:")

    made = [SharedLedger(store, lambda _: None) for _ in range(3)]
    yield made
    for ledger in made:
        ledger.close()


async def test_a_large_request_gets_its_turn_among_small_ones(ledgers):
    """Two ledgers take every bit that comes back; the third asks for nearly all, and has it in time."""
    tokens = rule("tokens", "second", 100, counted="end")
    small, large = ask((tokens, 10), transit=0.05), ask((tokens, 80), transit=0.05)
    done = asyncio.Event()

    async def ask_on(ledger):
        while not done.is_set():
            try:
                grant = await ledger.reserve(small, wait_up_to=30)
            except QuotaSpentError:
                continue
            await asyncio.sleep(0.02)
            ledger.settle(grant, {"tokens": 10})

    others = [asyncio.create_task(ask_on(ledger)) for ledger in ledgers[:2] for _ in range(3)]
    await asyncio.sleep(0.2)
    await ledgers[2].reserve(large, wait_up_to=15)
    done.set()
    for ledger in ledgers[:2]:
        await ledger.reset("acme")
    await asyncio.gather(*others)


async def test_who_gives_up_leaves_the_line(ledgers):
    """By cancelling as by a deadline: the others have what is there at once."""
    tokens = rule("tokens", "minute", 100, counted="end")
    grant = await ledgers[0].reserve(ask((tokens, 60)))
    given_up = asyncio.create_task(ledgers[1].reserve(ask((tokens, 90)), wait_up_to=1000))
    with pytest.raises(QuotaSpentError):
        while True:  # until the large one stands in line
            ledgers[0].settle(await ledgers[0].reserve(ask((tokens, 40))), sent=False)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await ledgers[0].reserve(ask((tokens, 40)), wait_up_to=30)
    assert not grant.settled
