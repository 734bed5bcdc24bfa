"""A run: each row is asked once, stored before it counts, and what has no answer is named."""

import asyncio
import signal
import subprocess
import sys
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import BaseModel

from freeproviders import ChatRequest, FreeProviders, Message, OpenAICompatible, Quota, Retry
from freeproviders.answers.entry import Entry
from freeproviders.answers.opening import open_store
from freeproviders.batch import Progress, Question, answered, batch, batch_sync, kept, outage, running
from freeproviders.errors import (
    AnswerStoreWarning,
    BadRequestError,
    MissingKeyError,
    NotFoundError,
    ServerError,
    StructuredOutputError,
    UsageError,
)
from freeproviders.types import Finish, Text
from tests.batch.conftest import QUICK, questions

SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class City(BaseModel):
    city: str


async def rows_of(rows, backend, **keywords):
    """The rows of a run in the order of their questions, and its report."""
    run = answered(rows, backend, **keywords)
    found = [row async for row in run]
    return sorted(found, key=lambda row: row.index), run.report


def asked(server):
    return [request.messages[-1]["content"] for request in server.requests]


# --- rows and answers -----------------------------------------------------------------------------


async def test_each_row_is_answered_once_and_never_again(server, backend, store):
    rows, report = await rows_of(questions(40), backend, store=store)
    assert [row.completion.text for row in rows] == questions(40)
    assert [row.state for row in rows] == ["done"] * 40
    assert not any(row.kept for row in rows)
    assert sorted(asked(server)) == sorted(questions(40))
    assert (report.done, report.left, report.kept, report.why) == (40, 0, 0, "")
    assert report.services == {"OpenAICompatible/m": 40}
    again, report = await rows_of([*questions(50)][::-1], backend, store=store)
    assert len(server.requests) == 50
    assert [row.kept for row in again] == [False] * 10 + [True] * 40
    assert (report.done, report.kept) == (50, 40)
    for new, old in zip(reversed(again[10:]), rows, strict=True):
        assert new.completion == old.completion


async def test_all_forms_of_a_question(server, backend, store):
    forms = [
        "text",
        [{"role": "system", "content": "Be short."}, {"role": "user", "content": "list"}],
        [Message("user", "message")],
        ChatRequest(messages=(Message("user", "request"),), model="other"),
        Question("own", temperature=0.5, model="third"),
    ]

    async def coming():
        for form in forms:
            await asyncio.sleep(0.001)
            yield form

    for rows in (forms, iter(forms), coming()):
        found, report = await rows_of(rows, backend, store=store, temperature=0.1)
        assert [row.completion.text for row in found] == ["text", "list", "message", "request", "own"]
        assert [row.completion.finish.model for row in found] == ["m", "m", "m", "other", "third"]
        assert report.left == 0
    bodies = {request.messages[-1]["content"]: request.json for request in server.requests}
    assert len(server.requests) == 5
    assert [bodies[name].get("temperature") for name in ("text", "request", "own")] == [0.1, None, 0.5]


async def test_equal_questions_are_separate_but_at_temperature_0(server, backend, store):
    same = ["Throw a die."] * 5
    rows, _ = await rows_of(same, backend, store=store)
    assert len(server.requests) == 5
    assert len({row.key for row in rows}) == 5
    await rows_of([*questions(3), *same, "Throw a die."], backend, store=store)
    assert len(server.requests) == 9  # three others, and one more of them
    rows, report = await rows_of(same, backend, store=store, temperature=0)
    assert len(server.requests) == 10
    assert [row.kept for row in rows] == [False, True, True, True, True]
    assert report.services.get("OpenAICompatible/m") == 1
    rows, _ = await rows_of(same, backend, store=store, temperature=0, dedupe=False)
    assert len(server.requests) == 14  # the first of them was answered
    rows, _ = await rows_of(["a"] * 3, backend, store=store, dedupe=True, in_flight=1)
    assert len(server.requests) == 15


async def test_many_equal_questions_are_one_request(server, backend):
    rows, _ = await rows_of(["Same."] * 2000, backend, store="memory", dedupe=True)
    assert len(server.requests) == 1
    assert [row.index for row in rows] == list(range(2000))


async def test_a_damaged_entry_is_asked_again_and_mended(server, backend, store):
    rows, _ = await rows_of(questions(3), backend, store=store)
    opened = open_store(store)
    opened.forget([rows[1].key]).result()
    opened.put([(rows[1].key, Entry(state="done", value=b"{"))]).result()
    found = [row async for row in kept(questions(3), backend, store=store)]
    assert [row.state for row in found] == ["done", "exhausted", "done"]
    assert "is damaged" in str(found[1].error)
    with pytest.warns(AnswerStoreWarning, match=r"keeps of 1 row is damaged: asked again\."):
        again, report = await rows_of(questions(3), backend, store=store)
    assert [row.kept for row in again] == [True, False, True]
    assert (report.done, len(server.requests)) == (3, 4)
    assert (await rows_of(questions(3), backend, store=store))[1].kept == 3


async def test_typed_answers(server, backend, store):
    server.answer = '{"city": "Paris"}'
    rows, _ = await rows_of(["Where?"], backend, store=store, response_format=City)
    assert rows[0].data == City(city="Paris")
    rows, _ = await rows_of(["Where?"], backend, store=store, response_format=City)
    assert (rows[0].data, rows[0].kept) == (City(city="Paris"), True)
    rows, _ = await rows_of(
        [
            Question("Where?", response_format=SCHEMA),
            Question("Where?", response_format={"type": "json_object"}),
        ],
        backend,
        store=store,
    )
    assert [row.data for row in rows] == [{"city": "Paris"}] * 2
    assert len(server.requests) == 3


async def test_what_is_kept_is_read_in_order_and_asks_nobody(server, backend, store):
    await batch(["b", "c", "c"], backend, store=store)
    count = len(server.requests)
    found = [row async for row in kept(["c", "a", "b", "c", "c", 5], backend, store=store)]
    assert [row.state for row in found] == ["done", "exhausted", "done", "done", "exhausted", "refused"]
    assert [row.index for row in found] == list(range(6))
    assert len(server.requests) == count


def test_sync_code_gets_the_same(server, backend, store):
    seen = []
    report = batch_sync(questions(5), backend, store=store, on_row=seen.append)
    assert (report.done, len(seen)) == (5, 5)
    assert "5 done" in str(report)
    assert "OpenAICompatible/m" in report._repr_html_()


# --- when rows are pulled, and what is in memory --------------------------------------------------


async def test_no_row_is_pulled_while_one_waits_for_quota(server, store, tmp_path):
    """At most one question waits; beside it are only those that were looked up with it."""
    pulled = 0

    def rows():
        nonlocal pulled
        for question in questions(1000):
            pulled += 1
            yield question

    limit = {"metric": "requests", "per": "day", "cap": 40}
    quota = Quota([limit], name="mine", ledger=tmp_path / "quota.db")
    limited = OpenAICompatible("m", base_url=server.base_url, quota=quota, retry=QUICK)
    found, report = await rows_of(rows(), limited, store=store)
    assert len(server.requests) == 40
    assert (report.done, report.left) == (40, None)
    assert "requests a day" in report.why
    assert report.soonest > datetime.now(UTC)
    assert pulled <= 96
    assert [row.state for row in found].count("exhausted") == pulled - 40
    _, report = await rows_of(rows(), limited, store=store)
    assert report.kept == 40
    assert len(server.requests) == 40


async def test_a_share_of_the_day_is_left(server, store, tmp_path):
    limit = {"metric": "requests", "per": "day", "cap": 40}
    quota = Quota([limit], name="mine", ledger=tmp_path / "quota.db")
    limited = OpenAICompatible("m", base_url=server.base_url, quota=quota, retry=QUICK)
    report = await batch(questions(60), FreeProviders(limited), store=store, reserve=0.25)
    assert (report.done, report.left, len(server.requests)) == (30, 30, 30)
    assert (await limited.complete("And I?")).text == "And I?"


async def test_so_many_are_in_flight_and_no_more(server, backend, store):
    server.faults = {"delay_headers": 0.05}
    progress, most = Progress(), 0
    async for _ in answered(questions(30), backend, store=store, in_flight=5, progress=progress):
        most = max(most, progress.running)
    assert 3 <= most <= 5
    assert progress.done == 30


# --- what fails -----------------------------------------------------------------------------------


def by_word(server, **faults):
    """Let questions with certain words in them fail, each time that they are asked."""

    def answer(messages, request):
        word = messages[-1]["content"]
        for name, fault in faults.items():
            if name in word:
                raise fault if isinstance(fault, BaseException) else AssertionError(fault)
        return word

    server.answer = answer


async def test_a_refused_question_is_never_asked_again(server, store):
    class Own:
        name, model = "own", "o"
        count = 0

        async def batches(self, request):
            self.count += 1
            if "bad" in request.messages[-1].text:
                raise BadRequestError("This is no question.")
            yield [Text("Yes."), Finish()]

    own = Own()
    rows, report = await rows_of(["good", "bad", "better"], own, store=store)
    assert [row.state for row in rows] == ["done", "refused", "done"]
    assert isinstance(rows[1].error, BadRequestError)
    assert (report.refused, own.count, report.left) == (1, 3, 0)
    rows, report = await rows_of(["good", "bad", "better"], own, store=store)
    assert (rows[1].state, rows[1].kept, own.count) == ("refused", True, 3)
    assert "This is no question." in str(rows[1].error)


async def test_rows_that_are_no_questions_are_named_and_the_rest_is_done(server, backend, store):
    bad = [
        5,
        [],
        [{"role": "nobody", "content": "x"}],
        Question("x", temperature="hot"),
        UsageError("Bad cell."),
        "half \ud800 of a character",
        "",
        " \n",
    ]
    rows, report = await rows_of([*bad, "good"], backend, store=store)
    assert [row.state for row in rows] == ["refused"] * len(bad) + ["done"]
    assert all(isinstance(row.error, UsageError) for row in rows[:-1])
    assert len(server.requests) == 1
    assert report.refused == len(bad)


async def test_a_row_larger_than_the_window_is_refused(server, store):
    small = OpenAICompatible("m", base_url=server.base_url).with_abilities(window=1000)
    rows, _ = await rows_of(["short", "word " * 4000], FreeProviders(small), store=store)
    assert [row.state for row in rows] == ["done", "refused"]
    assert "window" in str(rows[1].error)


async def test_a_row_that_always_fails_is_poisoned_with_its_trail(store):
    class Own:
        name, model = "own", "o"
        retry = QUICK

        def __init__(self):
            self.asked = []

        async def batches(self, request):
            word = request.messages[-1].text
            self.asked.append(word)
            await asyncio.sleep(0.002)
            if word == "poison":
                raise ServerError("It fails.", status=500)
            yield [Text("Yes."), Finish()]

    own = Own()
    rows, report = await rows_of(["poison", *questions(200)], own, store=store)
    assert [row.state for row in rows] == ["poisoned"] + ["done"] * 200
    assert rows[0].tries == 3
    assert isinstance(rows[0].error, ServerError)
    assert [(attempt.provider, bool(attempt.error)) for attempt in rows[0].trail] == [("own", True)] * 3
    assert (report.poisoned, report.left) == (1, 0)
    count = len(own.asked)
    rows, _ = await rows_of(["poison"], own, store=store)
    assert (rows[0].state, rows[0].kept, len(rows[0].trail), len(own.asked)) == ("poisoned", True, 3, count)


async def test_the_last_row_of_a_table_is_not_asked_for_ever(store):
    """With nobody answered beside it, each start that waited in vain is one failure."""

    class Own:
        name, model = "own", "o"
        retry = QUICK

        async def batches(self, request):
            await asyncio.sleep(0)
            if request.messages[-1].text == "poison":
                raise ServerError("It fails.", status=500)
            yield [Text("Yes."), Finish()]

    states = []
    for _ in range(4):
        rows, report = await rows_of(["good", "poison"], Own(), store=store, in_flight=1)
        states.append((rows[1].state, rows[1].tries, report.left))
    assert states == [("exhausted", 1, 1), ("exhausted", 2, 1), ("poisoned", 3, 0), ("poisoned", 3, 0)]
    assert [bool(attempt.error) for attempt in rows[1].trail] == [True] * 3


async def test_tries_are_kept_over_a_restart(store):
    """Two failures are remembered; the third one poisons the row."""

    class Own:
        name, model = "own", "o"
        retry = Retry(first=0.2, budget=9)
        fails = 0

        async def batches(self, request):
            if request.messages[-1].text == "poison":
                self.fails += 1
                raise StructuredOutputError("No object.")
            await asyncio.sleep(0.01)
            yield [Text("Yes."), Finish()]

    own = Own()
    async with aclosing(answered(["poison", *questions(4000)], own, store=store)) as run:
        async for _ in run:
            if own.fails == 2:
                break
    begun = own.fails
    assert begun in {2, 3}
    rows, _ = await rows_of(["poison", "good"], own, store=store)
    assert [row.state for row in rows] == ["poisoned", "done"]
    assert (rows[0].tries, own.fails) == (3, 3)


async def test_an_object_that_never_fits_is_named_and_the_rest_is_done(server, backend, store):
    server.answer = lambda messages: '{"city": "Paris"}' if "good" in str(messages) else '{"town": 1}'
    rows, _ = await rows_of(["good one", "bad", "good two"], backend, store=store, response_format=City)
    assert [row.state for row in rows] == ["done", "poisoned", "done"]
    assert isinstance(rows[1].error, StructuredOutputError)


@pytest.mark.parametrize("count", [1, 30])
async def test_a_wrong_key_ends_the_run_without_a_wait(server, store, count):
    # Retries of an hour: only a run that does not wait for them comes to its end.
    patient = OpenAICompatible(
        "m", base_url=server.base_url, retry=Retry(first=3600, longest=3600, budget=9999)
    )
    server.faults = {"status": 401}
    rows, report = await rows_of(questions(count), patient, store=store, wait=True)
    assert {row.state for row in rows} == {"exhausted"}
    assert (report.poisoned, report.left) == (0, count)
    assert report.why.startswith("Questions are not accepted, and waiting would not help.")
    assert "401" in report.why
    assert len(server.requests) <= count
    server.faults = None
    assert (await rows_of(questions(count), patient, store=store))[1].done == count


async def test_a_router_whose_members_are_all_out_ends_the_run_too(server, store):
    """And goes on with another key."""

    def router(key):
        return FreeProviders(
            *(OpenAICompatible(name, api_key=key, base_url=server.base_url, retry=0) for name in ("a", "b"))
        )

    server.faults = {"status": 401}
    rows, report = await rows_of(questions(30), router("sk-old-0123456789"), store=store, wait=True)
    assert {row.state for row in rows} == {"exhausted"}
    assert report.why.startswith("Questions are not accepted, and waiting would not help.")
    assert (report.waiting_helps, report.soonest) == (False, None)
    server.faults = None
    assert (await rows_of(questions(30), router("sk-new-0123456789"), store=store))[1].done == 30


@pytest.mark.parametrize(
    ("fault", "error"), [({"status": 404}, NotFoundError), ({"status": 503}, ServerError)], ids=str
)
async def test_an_outage_of_everybody_poisons_nobody(server, backend, store, fault, error):
    server.faults = fault
    rows, report = await rows_of(questions(30), backend, store=store)
    assert {row.state for row in rows} == {"exhausted"}
    assert (report.poisoned, report.done, report.left) == (0, 0, 30)
    assert "No answer has come" in report.why
    assert any(isinstance(row.error, error) for row in rows)
    server.faults = None
    rows, report = await rows_of(questions(30), backend, store=store)
    assert report.done == 30


async def test_a_short_outage_is_waited_for(server, backend, store):
    server.faults = [{"status": 503}] * 24
    _, report = await rows_of(
        questions(30), backend.configured(retry=Retry(attempts=2, first=0.01, budget=9)), store=store
    )
    assert (report.done, report.why) == (30, "")


async def test_what_concerns_all_rows_is_raised(store, monkeypatch):
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(MissingKeyError):
        await batch(questions(3), OpenAICompatible("x", service="groq"), store=store)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reserve": 1},
        {"in_flight": 0},
        {"until": "tomorrow"},
        {"until": -1},
        {"temperature": "hot"},
        {"response_format": 5},
        {"rows": "a text"},
        {"rows": 5},
        {"store": 5},
    ],
    ids=str,
)
def test_what_cannot_work_is_said_at_the_call(backend, wrong):
    with pytest.raises(UsageError):
        answered(wrong.pop("rows", ["Hi"]), backend, **{"store": "memory", **wrong})


async def test_rows_that_raise_end_the_run_with_what_was_answered(server, backend, store):
    def rows():
        yield from questions(100)
        raise OSError("The file is gone.")

    with pytest.raises(OSError, match="is gone"):
        await batch(rows(), backend, store=store)
    assert len(server.requests) >= 64
    _, report = await rows_of(questions(100), backend, store=store)
    assert report.done == 100
    assert len(server.requests) == 100


# --- how it ends ----------------------------------------------------------------------------------


async def test_a_store_that_raises_ends_the_run(server, backend, store):
    class Breaks:
        def __init__(self):
            self._kept = open_store(store)

        def __getattr__(self, name):
            return getattr(self._kept, name)

        def put(self, entries, *, run=""):
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        await batch(questions(3), backend, store=Breaks())


async def test_who_leaves_early_keeps_what_was_answered(server, backend, store):
    seen = 0
    server.faults = {"delay_headers": 0.005}
    async with aclosing(answered(questions(400), backend, store=store, in_flight=4)) as run:
        async for _ in run:
            seen += 1
            if seen == 50:
                break
    count = len(server.requests)
    assert count < 200
    report = await batch(questions(400), backend, store=store)
    assert len(server.requests) == 400  # those in flight had a moment to be answered
    assert report.kept == count


@pytest.mark.parametrize("taken", [1, 100])
async def test_who_leaves_while_answers_are_looked_up_is_let_go(server, backend, store, taken):
    await batch(questions(1000), backend, store=store)
    async with aclosing(answered(questions(1200), backend, store=store)) as run:
        for _ in range(taken):
            assert (await anext(run)).kept
    assert run.report.why == "It was stopped."
    assert len(server.requests) == 1000


async def test_nobody_waits_for_the_end_of_a_run_that_was_never_begun(backend, store):
    run = answered(questions(3), backend, store=store)
    await run.over()
    await run.aclose()
    await run.over()


async def test_a_stopped_run_names_what_has_no_answer(server, backend, store):
    run = answered(iter(questions(400)), backend, store=store, in_flight=4)
    states = []
    async for row in run:
        states.append(row.state)
        if len(states) == 20:
            run.stop("Enough.")
    assert run.report.why == "Enough."
    assert (run.report.done, run.report.left) == (states.count("done"), None)
    assert states.count("exhausted") == run.report.exhausted


async def test_a_cancelled_run_stores_what_was_answered(server, backend, store):
    server.faults = {"delay_headers": 0.005}
    task = asyncio.ensure_future(batch(questions(400), backend, store=store, in_flight=4))
    while len(server.requests) < 50:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    count = len(server.requests)
    assert count < 400
    report = await batch(questions(400), backend, store=store)
    assert report.kept == count
    assert len(server.requests) == 400


@pytest.mark.parametrize(
    "until",
    [0, timedelta(0), datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)],  # noqa: DTZ001 - a time of this machine
    ids=str,
)
async def test_nobody_is_asked_when_the_time_is_over(server, backend, store, until):
    report = await batch(questions(3), backend, store=store, until=until)
    assert (report.left, report.why, len(server.requests)) == (3, "The time is over.", 0)


@pytest.mark.parametrize("zone", [UTC, None], ids=str)
async def test_there_is_time_until_tomorrow(backend, store, zone):
    report = await batch(["a"], backend, store=store, until=datetime.now(zone) + timedelta(days=1))
    assert report.done == 1


async def test_a_run_is_listed_under_its_name(backend, store):
    await batch(questions(3), backend, store=store, run="mine")
    (one,) = [one for one in await asyncio.wrap_future(open_store(store).kept()) if one.run.name]
    assert (one.run.name, one.run.rows, one.states) == ("mine", 3, {"done": 3})


def test_ctrl_c_in_sync_code_stores_what_was_answered(server, backend, store):
    server.faults = {"delay_headers": 0.02}
    code = """if True:
        import sys
        from freeproviders import OpenAICompatible
        from freeproviders.batch import batch_sync
        backend = OpenAICompatible("m", base_url=sys.argv[1])
        batch_sync([f"Question {n}" for n in range(400)], backend, store=sys.argv[2], in_flight=4)
        """
    child = subprocess.Popen(
        [sys.executable, "-c", code, server.base_url, str(store)], stderr=subprocess.PIPE
    )
    server.wait_requests(60, timeout=60)
    child.send_signal(signal.SIGINT)
    said = child.communicate()[1].decode()
    assert child.returncode != 0
    assert "KeyboardInterrupt" in said
    count = len(server.requests)
    assert count < 400
    report = batch_sync(questions(400), backend, store=store)
    assert (report.kept, report.done, len(server.requests)) == (count, 400, 400)


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("routed", [False, True])
async def test_long_limits_are_waited_for_by_who_wants_to(server, store, tmp_path, monkeypatch, routed):
    """On a clock on which a short time is a tenth of a second, and a day is one second."""
    monkeypatch.setattr(outage, "SHORT_SECONDS", 0.1)
    monkeypatch.setattr(running, "SHORT_SECONDS", 0.1)
    limit = {"metric": "requests", "per": "second", "cap": 4, "reset": "rolling"}
    quota = Quota([limit], name="mine", ledger=tmp_path / "quota.db", transit=0.2)
    backend = OpenAICompatible("m", base_url=server.base_url, quota=quota)
    asked = FreeProviders(backend) if routed else backend
    report = await batch(questions(10), asked, store=store)
    first = report.done
    assert 4 <= first < 10  # more than four only where this machine stood still for a second
    assert report.soonest is not None
    progress, pauses = Progress(), set()
    run = answered(questions(10), asked, store=store, wait=True, progress=progress)
    watched = asyncio.ensure_future(_pauses(progress, pauses))
    assert len([row async for row in run]) == 10
    watched.cancel()
    assert (run.report.done, run.report.kept, run.report.why) == (10, first, "")
    assert len(server.requests) == 10
    assert pauses
    report = await batch(questions(20), asked, store=store, wait=True, until=0.3)
    assert report.done < 20
    assert report.why.startswith("The time is over")


async def _pauses(progress, pauses):
    while True:
        if progress.pause is not None:
            pauses.add(progress.pause)
        await asyncio.sleep(0.01)


async def test_a_service_that_says_when_to_come_back_is_left_alone_until_then(server, backend, store):
    server.faults = {"status": 429, "retry_after": 3600}
    report = await batch(questions(60), backend, store=store, in_flight=4)
    assert (report.done, report.left) == (0, 60)
    assert report.soonest > datetime.now(UTC) + timedelta(seconds=3000)
    assert len(server.requests) <= 4 + 2  # those in flight, and those begun until three have said it


async def test_who_brings_the_rows_may_wait_for_one_that_nobody_answers_now(server, backend, store):
    """The next row comes when the one before has ended, as in a pipeline."""
    server.faults = [None, {"status": 429, "retry_after": 3600}]
    ended = asyncio.Event()

    async def coming():
        yield "a"
        yield "b"
        yield "b"
        await ended.wait()
        yield "c"

    states = {}
    async for row in answered(coming(), backend, store=store, in_flight=1, dedupe=True):
        states[row.index] = row.state
        if row.index == 2:
            ended.set()
    assert states == {0: "done", 1: "exhausted", 2: "exhausted", 3: "done"}
    report = await batch(["a", "b", "c"], backend, store=store)
    assert (report.done, report.kept) == (3, 2)


async def test_rows_of_a_model_whose_limit_is_spent_do_not_hold_back_the_others(server, store, tmp_path):
    limit = {"metric": "requests", "per": "day", "cap": 2, "scope": "model", "models": ["small"]}
    quota = Quota([limit], name="mine", ledger=tmp_path / "quota.db")
    backend = OpenAICompatible("large", base_url=server.base_url, quota=quota)
    rows = [
        Question(f"Question {number}", model="small" if number % 3 == 0 else "large") for number in range(30)
    ]
    found, report = await rows_of(rows, backend, store=store)
    assert [row.state for row in found].count("done") == 22
    assert {row.index % 3 for row in found if row.state == "exhausted"} == {0}
    assert "requests a day" in report.why
