"""Calls whose outputs are kept under a name: what is asked, what is not, and what an error costs."""

import asyncio
import threading
from concurrent.futures import Future
from operator import itemgetter

import pytest
from pydantic import BaseModel

from freeproviders.answers.opening import open_store
from freeproviders.answers.values import Values, named
from freeproviders.batch.resumable import Resumable
from freeproviders.errors import (
    AnswerStoreError,
    BadRequestError,
    ContentFilterError,
    RateLimitError,
    StructuredOutputError,
    UsageError,
)


class Answer(BaseModel):
    text: str


class Asked:
    """Whoever is asked: it notes its questions, and answers or fails as it is told."""

    def __init__(self, answers=None):
        self.answers = answers or {}
        self.questions = []
        self.lock = threading.Lock()

    def __call__(self, value):
        with self.lock:
            self.questions.append(value)
        found = self.answers.get(value, f"answer to {value}")
        if isinstance(found, Exception):
            raise found
        return found

    async def later(self, value):
        await asyncio.sleep(0)
        return self(value)


@pytest.fixture(params=["sync", "async"])
def every(request):
    """What becomes of inputs, by the way of each kind of caller: a list of (place, output or error)."""

    def run(owner, inputs, asked, **how):
        if request.param == "sync":
            found = owner.outcomes_sync(inputs, one_by_one(owner, asked), **how)
            return sorted(map(told, found), key=itemgetter(0))

        async def main():
            found = owner.outcomes(inputs, later(owner, asked), **how)
            return sorted([told(one) async for one in found], key=itemgetter(0))

        return asyncio.run(main())

    return run


def one_by_one(owner, asked):
    """How sync code makes a call."""
    return lambda _, value, key: owner.call_sync(key, lambda: asked(value))


def later(owner, asked):
    """How async code makes a call."""
    return lambda _, value, key: owner.call(key, lambda: asked.later(value))


def told(outcome):
    """The place of an input with its output or its error."""
    return outcome.index, outcome.error or outcome.output


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "answers.db")
    yield store
    store.close()


def kept(store, name="n", types=(), **how):
    return Resumable("test", name, store, Values(named(types)), **how)


def test_nothing_is_asked_twice(every, store):
    """Not in the same run, not in another, whatever the order of the inputs."""
    asked = Asked()
    first = every(kept(store), range(20), asked)
    assert first == [(place, f"answer to {place}") for place in range(20)]
    again = every(kept(store), reversed(range(25)), asked)
    assert again == [(place, f"answer to {24 - place}") for place in range(25)]
    assert sorted(asked.questions) == list(range(25))
    assert every(kept(store, "other"), [1], asked) == [(0, "answer to 1")]
    assert asked.questions.count(1) == 2


def test_equal_inputs_are_separate_questions_or_one(every, store):
    """As the caller says; a run that is begun again finds as many answers as it has equal inputs."""
    asked = Asked()
    every(kept(store), ["a", "b", "a", "a"], asked)
    every(kept(store), ["b", "a", "a", "a"], asked)
    assert sorted(asked.questions) == ["a", "a", "a", "b"]
    asked = Asked()
    found = every(kept(store, "one", dedupe=True), ["a", "b", "a", "a"], asked)
    assert found == [(0, "answer to a"), (1, "answer to b"), (2, "answer to a"), (3, "answer to a")]
    assert sorted(asked.questions) == ["a", "b"]


def test_what_else_decides_is_part_of_the_key(every, store):
    """As the configuration of a chain."""
    asked = Asked()
    for more in ["x", "y", "x"]:
        every(kept(store), ["a"], asked, more=lambda _, more=more: more)
    assert asked.questions == ["a", "a"]


def test_inputs_are_taken_when_there_is_room(every, store):
    """So that memory holds what is in flight; the first is alone until its output is kept."""
    asked = Asked()

    def inputs():
        for place in range(100):
            assert place - len(asked.questions) < (4 if place > 1 else 1)
            yield place

    assert len(every(kept(store), inputs(), asked, in_flight=4)) == 100
    assert len(asked.questions) == 100


async def test_inputs_may_come_asynchronously(store):
    """And outputs come while the next input is waited for."""
    asked = Asked()
    go_on = asyncio.Event()

    async def inputs():
        yield 1
        await go_on.wait()
        yield 2

    owner = kept(store)
    found = []
    async for one in owner.outcomes(
        inputs(), lambda _, value, key: owner.call(key, lambda: asked.later(value))
    ):
        found.append(one.output)
        go_on.set()
    assert found == ["answer to 1", "answer to 2"]


def test_sync_code_takes_no_asynchronous_inputs(store):
    """And says which method does."""

    async def inputs():
        yield 1

    with pytest.raises(UsageError, match="asynchronous method"):
        next(kept(store).outcomes_sync(inputs(), None))


def test_an_output_that_cannot_be_kept_costs_one_call(every, store):
    """And is named; with its class it can."""
    asked = Asked({place: Answer(text=str(place)) for place in range(9)})
    with pytest.raises(UsageError, match=r"test_resumable.Answer cannot be kept"):
        every(kept(store), range(9), asked, errors=True)
    assert asked.questions == [0]
    for _ in range(2):
        found = every(kept(store, types=[Answer]), range(9), asked)
        assert found == [(place, Answer(text=str(place))) for place in range(9)]
    assert sorted(asked.questions) == [0, *range(9)]


def test_a_later_output_that_cannot_be_kept_is_an_error_of_its_input(every, store):
    """The rest is answered."""
    asked = Asked({3: object()})
    found = dict(every(kept(store), range(6), asked, errors=True))
    assert isinstance(found.pop(3), UsageError)
    assert found == {place: f"answer to {place}" for place in (0, 1, 2, 4, 5)}


def test_an_input_without_a_key_is_an_error_of_its_own(every, store):
    """Nothing is asked for it."""
    asked = Asked()
    found = dict(every(kept(store), [1, object(), 2, object()], asked, errors=True))
    assert isinstance(found[1], UsageError)
    assert isinstance(found[3], UsageError)
    assert sorted(asked.questions) == [1, 2]


def test_an_error_takes_the_place_of_its_output(every, store):
    """One bad row does not end the rest."""
    asked = Asked({2: ValueError("bad")})
    found = dict(every(kept(store), range(5), asked, errors=True))
    assert str(found.pop(2)) == "bad"
    assert len(found) == 4


def test_the_first_error_ends_a_batch_and_what_runs_is_kept(every, store):
    """Where the caller wants no errors among the outputs."""
    asked = Asked({5: ValueError("bad")})
    with pytest.raises(ValueError, match="bad"):
        every(kept(store), range(1000), asked, in_flight=3)
    assert len(asked.questions) < 20
    done = set(asked.questions) - {5}
    before = len(asked.questions)
    every(kept(store), sorted(done), asked)
    assert len(asked.questions) == before


@pytest.mark.parametrize("error", [BadRequestError("no", status=400), ContentFilterError("no")])
def test_a_refused_input_is_not_asked_again(every, store, error):
    """Once something was answered, so that the refusal is the input's; unless the caller wants it."""
    asked = Asked({2: error})
    for _ in range(3):
        found = dict(every(kept(store), range(4), asked, errors=True))
        assert type(found[2]) is type(error)
        assert found[2].message == "no"
    assert asked.questions.count(2) == 1
    asked.answers = {}
    assert dict(every(kept(store, again=True), range(4), asked))[2] == "answer to 2"
    assert dict(every(kept(store), range(4), asked))[2] == "answer to 2"
    assert asked.questions.count(2) == 2


def test_a_refusal_of_everything_is_nobodys(every, store):
    """A setting that a service cannot take is mended, and then everything is asked."""
    asked = Asked({place: BadRequestError("temperature", status=400) for place in range(4)})
    every(kept(store), range(4), asked, errors=True)
    asked.answers = {}
    assert len(every(kept(store), range(4), asked)) == 4


@pytest.mark.parametrize("error", [ValueError("bug"), StructuredOutputError("not the schema")])
def test_an_input_that_fails_three_times_is_given_up(every, store, error):
    """Where others are answered meanwhile or after it; its last words are kept."""
    asked = Asked({5: error})
    for start in range(5):
        found = every(kept(store), [10 + start, 5, 20 + start], asked, errors=True, in_flight=1)
        assert str(error) in str(found[1][1])
    assert asked.questions.count(5) == 3


def test_what_fails_when_nobody_is_answered_is_not_given_up(every, store):
    """The fault may be the chain's."""
    asked = Asked({place: ValueError("bug") for place in range(3)})
    for _ in range(5):
        every(kept(store), range(3), asked, errors=True)
    asked.answers = {}
    assert len(every(kept(store), range(3), asked)) == 3


def test_limits_and_outages_say_nothing_of_an_input(every, store):
    """It is asked again at each start."""
    asked = Asked({5: RateLimitError("later", status=429)})
    for _ in range(5):
        every(kept(store), [1, 5, 2], asked, errors=True)
    assert asked.questions.count(5) == 5


async def test_closing_cancels_what_runs(store):
    """And awaits it."""
    owner = kept(store)
    running, ended = [], []
    both = asyncio.Event()

    async def ask(_, value, key):
        async def answer():
            running.append(value)
            if len(running) == 4:
                both.set()
            try:
                if value:
                    await both.wait()
                if value > 1:
                    await asyncio.sleep(60)
            finally:
                ended.append(value)
            return value

        return await owner.call(key, answer)

    found = owner.outcomes(range(4), ask)
    assert [(await anext(found)).output for _ in range(2)] == [0, 1]
    await found.aclose()
    assert sorted(ended) == [0, 1, 2, 3]


class Broken:
    """A store that reads and does not write."""

    place = "a broken disk"

    def __init__(self):
        self.error = AnswerStoreError("The disk is full.")

    def begin(self, run):
        return self.done(None)

    def get(self, keys):
        return self.done({})

    def put(self, entries, *, run=""):
        future = Future()
        future.set_exception(self.error)
        return future

    def kept(self):
        return self.done([])

    def delete(self, run=None, *, older_than=None):
        return self.done(0)

    def done(self, value):
        future = Future()
        future.set_result(value)
        return future


def test_a_store_that_cannot_be_written_ends_the_batch(every):
    """Nothing is shown that is not kept, and no more is asked."""
    asked = Asked()
    with pytest.raises(AnswerStoreError, match="full"):
        every(kept(Broken()), range(100), asked, errors=True)
    assert len(asked.questions) < 20


def test_a_damaged_entry_says_what_to_do(every, store):
    """It is no answer, and is not asked in silence."""
    asked = Asked()
    owner = kept(store, types=[Answer])
    from freeproviders.answers.entry import Entry

    key = owner.key("a")
    for value in [b"{", b'{"$": "tuple"}', b'{"$": "object", "class": "Answer", "of": {}}']:
        store.delete().result()
        store.put([(key, Entry(state="done", value=value))]).result()
        with pytest.raises(AnswerStoreError, match=r"damaged.*answers delete"):
            every(owner, ["a"], asked)
    assert asked.questions == []


@pytest.mark.parametrize("name", [""])
def test_a_name_is_needed(store, name):
    """It is what tells one evaluation from another."""
    with pytest.raises(UsageError, match="name is empty"):
        kept(store, name)


@pytest.mark.parametrize("number", [0, -1])
def test_calls_at_a_time_are_one_or_more(every, store, number):
    """Found before anything is asked."""
    asked = Asked()
    with pytest.raises(UsageError, match="1 or more"):
        every(kept(store), [1], asked, in_flight=number)
    assert asked.questions == []
