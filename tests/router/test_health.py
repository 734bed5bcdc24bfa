"""Health by examples: what each error means, who may be asked when, and what others learn of it."""

import asyncio
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from math import inf

import pytest

from freeproviders.catalogue import catalogue
from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ContentFilterError,
    ContextOverflowError,
    EmbeddedModelError,
    EmptyResponseError,
    LedgerError,
    MalformedResponseError,
    NoProviderError,
    NotFoundError,
    NotInPlanError,
    OverloadedError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderTimeoutError,
    QuotaExceededError,
    QuotaSpentError,
    QuotaTooSmallError,
    RateLimitError,
    RedirectError,
    RetiredModelError,
    ServerError,
    StructuredOutputError,
    TruncatedResponseError,
    UsageError,
)
from freeproviders.providers.openai_compatible import OpenAICompatible
from freeproviders.router.health import FRESH_SECONDS, PROBE_SECONDS, Health
from freeproviders.router.member import Key, Member
from freeproviders.router.memory import Memory
from freeproviders.router.verdict import verdict_of
from tests.quota.stores import Clock
from tests.router.shared_health import KEY, OTHER, OTHER_MODEL, World, admit, answer, fail, look, run

DOWN = ProviderConnectionError("Connection failed: refused.", phase="connect")


def refusal(cls=RateLimitError, *, kind="", scope="", soonest=None, **fields):
    error = cls("Too many requests.", status=429, **fields)
    error.kind, error.scope = kind, scope
    if soonest is not None:
        error.soonest = datetime.now(UTC) + timedelta(seconds=soonest)
    return error


def names(*healths, key=KEY):
    return [health.state(key).name for health in healths]


# --- whose fault ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        BadRequestError("no"),
        ContextOverflowError("no"),
        ContentFilterError("no"),
        StructuredOutputError("no"),
        QuotaSpentError("no"),
        QuotaTooSmallError("no"),
        UsageError("no"),
        LedgerError("no"),
    ],
)
def test_the_requests_fault_is_nobodys(error):
    """However often, it shuts nobody, and nothing is written."""
    world = World(1)
    (health,) = world.healths
    for _ in range(20):
        fail(health, error)
    assert names(health) == ["closed"]
    assert world.ledgers[0].trips == 0
    assert health.speed(KEY).success == pytest.approx(0.9)


def test_what_was_not_sent_was_not_asked():
    (health,) = World(1).healths
    fail(health, QuotaSpentError("no"))
    fail(health, BadRequestError("no"))
    (row,) = health.standings([KEY])
    assert row.counts == {"asked": 1, "request": 1}


def test_a_service_that_cannot_be_reached_is_shut_at_once_for_all_of_its_models():
    """5 s, doubling to 300 s and a quarter at most; then one probe of all processes."""
    world = World(2)
    one, other = world.healths
    fail(one, DOWN)
    look(one, other)
    assert names(one, other) == ["open", "open"]
    assert names(one, other, key=OTHER_MODEL) == ["open", "open"]
    assert names(one, other, key=OTHER) == ["closed", "closed"]
    assert other.state(KEY).reason == "Connection failed: refused."
    seconds = 5.0
    for _ in range(9):
        wait = other.state(KEY).wait
        assert seconds <= wait <= seconds * 1.25
        world.pass_time(wait - 0.01)
        assert admit(one) is None
        world.pass_time(0.02)
        assert names(one, other) == ["half-open", "half-open"]
        probe = admit(other, OTHER_MODEL)
        look(one)
        assert admit(one) is None
        other.failed(probe, DOWN)
        look(one)
        seconds = min(seconds * 2, 300)
    world.pass_time(400)
    answer(one)
    look(other)
    assert names(one, other) == ["closed", "closed"]
    fail(other, DOWN)
    assert other.state(KEY).wait <= 6.25


@pytest.mark.parametrize(
    "error",
    [
        ServerError("no", status=500),
        OverloadedError("no", status=503),
        BlockedError("no", status=403),
        EmptyResponseError("no"),
        MalformedResponseError("no"),
        TruncatedResponseError("no"),
        ProviderConnectionError("reset"),
        EmbeddedModelError("no"),
        RuntimeError("of a foreign model"),
        NoProviderError("no"),
    ],
)
def test_faults_in_a_row_shut_the_model(error):
    """The third of a new member, the second of one that has always worked; not its other models."""
    world = World(2)
    one, other = world.healths
    for _ in range(3):
        assert names(one) == ["closed"]
        fail(one, error)
    look(other)
    assert names(one, other) == ["open", "open"]
    assert names(one, other, key=OTHER_MODEL) == ["closed", "closed"]
    for _ in range(50):
        answer(one, OTHER_MODEL)
    fail(one, error, OTHER_MODEL)
    assert names(one, key=OTHER_MODEL) == ["closed"]
    fail(one, error, OTHER_MODEL)
    assert names(one, key=OTHER_MODEL) == ["open"]


def test_a_probe_that_fails_shuts_for_twice_as_long():
    world = World(2)
    one, other = world.healths
    for _ in range(3):
        fail(one, ServerError("no", status=500))
    world.pass_time(6.5)
    look(other)
    fail(other, ServerError("no", status=500))
    assert names(other) == ["open"]
    assert 10 <= other.state(KEY).wait <= 12.5


def test_faults_far_apart_are_not_in_a_row():
    world = World(1)
    (health,) = world.healths
    for _ in range(20):
        fail(health, ServerError("no", status=500))
        world.pass_time(1000)
    assert names(health) == ["closed"]


def test_who_is_in_a_hurry_shuts_nobody():
    """A time-out of one second says little of a member that nobody knows; one of ten seconds does."""
    world = World(1)
    (health,) = world.healths
    for seconds, name in ((1, "closed"), (10, "open")):
        for _ in range(3):
            admission = admit(health)
            world.pass_time(seconds)
            health.failed(admission, ProviderTimeoutError("silent", phase="first content"))
        assert names(health) == [name]


def test_a_long_silence_shuts_at_once():
    """Nobody else is to wait for so long; but a model of this machine may just be loading."""
    (local,) = of_rows("m", service="ollama", place="local")
    world = World(1, [local])
    (health,) = world.healths
    for key, name in ((KEY, "open"), (local.key, "closed")):
        admission = admit(health, key)
        world.pass_time(31)
        health.failed(admission, ProviderTimeoutError("silent", phase="first content"))
        assert names(health, key=key) == [name]


def test_requests_under_way_when_it_was_shut_are_no_news():
    """A hundred that fail together are one strike."""
    world = World(1)
    (health,) = world.healths
    admissions = [admit(health) for _ in range(100)]
    world.pass_time(1)
    for admission in admissions:
        health.failed(admission, DOWN)
    assert 5 <= health.state(KEY).wait <= 6.25


def test_faults_that_show_sooner_than_answers_shut_nobody():
    """Of twelve that are asked at a time, four fail at once: nothing is known of the other eight."""
    world = World(1)
    (health,) = world.healths
    admissions = [admit(health) for _ in range(12)]
    world.pass_time(1)
    for admission in admissions[:4]:
        health.failed(admission, ServerError("broken", status=500))
    assert names(health) == ["closed"]
    for admission in admissions[4:6]:
        health.failed(admission, ServerError("broken", status=500))
    assert names(health) == ["open"]


def test_what_has_begun_or_waits_for_room_is_not_waited_for():
    world = World(1)
    (health,) = world.healths
    for _ in range(20):
        health.began(admit(health))
        assert asyncio.run(health.admit(KEY, in_line=True)) is not None
    for _ in range(3):
        fail(health, ServerError("broken", status=500))
    assert names(health) == ["open"]


def test_a_probe_is_over_when_its_answer_begins():
    world = World(1)
    (health,) = world.healths
    for _ in range(3):
        fail(health, ServerError("broken", status=500))
    world.pass_time(10)
    probe = admit(health)
    assert probe.is_probe
    health.began(probe)
    assert names(health) == ["closed"]


def test_an_answer_under_way_does_not_open_what_was_shut_meanwhile():
    world = World(1)
    (health,) = world.healths
    early = admit(health)
    world.pass_time(1)
    fail(health, DOWN)
    health.answered(early, first=0.1)
    assert names(health) == ["open"]


# --- limits ---------------------------------------------------------------------------------------


def test_a_limit_holds_until_the_time_that_the_service_says():
    """All processes, that model alone; afterwards everybody may ask, without a probe."""
    world = World(2)
    one, other = world.healths
    fail(one, refusal(retry_after=30.0))
    look(other)
    world.pass_time(29.9)
    assert admit(other) is None
    assert names(one, other, key=OTHER_MODEL) == ["closed", "closed"]
    world.pass_time(0.2)
    assert all(admit(other) for _ in range(5))


def test_the_later_deadline_holds():
    """Whatever order the answers come in, and whatever else is answered."""
    world = World(2)
    one, other = world.healths
    early = [admit(one) for _ in range(3)]
    one.failed(early[0], refusal(soonest=60.0))
    other.failed(admit(other), refusal(retry_after=5.0))
    one.failed(early[1], refusal(retry_after=1.0))
    one.answered(early[2], first=0.1)
    look(one, other)
    world.pass_time(59)
    assert names(one, other) == ["open", "open"]
    assert admit(other) is None


def test_two_times_of_one_refusal():
    (health,) = World(1).healths
    fail(health, refusal(retry_after=5.0, soonest=50.0))
    assert health.state(KEY).wait == pytest.approx(50, abs=1)


def test_a_limit_without_a_time_grows():
    world = World(1)
    (health,) = world.healths
    waits = []
    for _ in range(5):
        fail(health, refusal(kind="minute"))
        waits.append(health.state(KEY).wait)
        world.pass_time(waits[-1] + 0.1)
        assert names(health) == ["half-open"]
    assert waits[:3] == sorted(waits[:3])
    assert 15 <= waits[0] <= 19
    assert 60 <= waits[-1] <= 75


def test_a_days_limit_without_a_time():
    """An hour, then two; inside of it nobody is asked, but one of all each hour."""
    world = World(2)
    one, other = world.healths
    fail(one, refusal(QuotaExceededError, kind="day"))
    look(other)
    assert 3600 <= other.state(KEY).wait <= 4500
    world.pass_time(4501)
    fail(other, refusal(QuotaExceededError, kind="day"))
    look(one)
    wait = one.state(KEY).wait
    assert wait <= 3600  # until the probe
    asked = 0
    for _ in range(20):
        world.pass_time(60)
        look(one, other)
        for health in (one, other):
            if admission := admit(health):
                asked += 1
                health.failed(admission, refusal(QuotaExceededError, kind="day"))
    assert asked == 0
    world.pass_time(3600)
    admission = admit(one)
    assert admission.is_probe
    look(other)
    assert admit(other) is None
    one.answered(admission, first=0.1)
    look(other)
    assert names(one, other) == ["closed", "closed"]


def test_what_a_service_says_has_a_ceiling():
    """A year is a day, of a month's limit 31 days; and each hour it is tried."""
    for kind, days in (("", 25 / 24), ("day", 25 / 24), ("month", 31), ("credit", 31)):
        world = World(1)
        (health,) = world.healths
        fail(health, refusal(QuotaExceededError, kind=kind, scope="model", retry_after=3e7))
        bar = health._memory.page(KEY).view["model m-1"].limit
        assert bar.until - bar.since == days * 86_400


def test_a_limit_of_the_account_is_about_all_of_it():
    world = World(2)
    one, other = world.healths
    fail(one, refusal(scope="account", retry_after=30.0))
    look(other)
    assert names(one, other, key=OTHER_MODEL) == ["open", "open"]
    assert names(other, key=KEY._replace(account="another")) == ["closed"]


def test_an_overloaded_service_that_says_when():
    world = World(1)
    (health,) = world.healths
    error = OverloadedError("no", status=503, retry_after=7.0)
    fail(health, error)
    world.pass_time(6.9)
    assert names(health) == ["open"]
    world.pass_time(0.2)
    assert names(health) == ["closed"]


def of_rows(*models, service="openrouter", place="service"):
    """Members of a service of the catalogue."""
    row = catalogue().service(service)
    return [
        Member(
            backend=OpenAICompatible(model, base_url="http://127.0.0.1:1/v1", api_key="a-secret-key"),
            name=f"{service}/{model}",
            key=Key(service, model, "a-secret-key"),
            row=row,
            place=place,
        )
        for model in models
    ]


def test_a_limit_that_models_share():
    """A pool of the row counts for the models that it names, in processes that know the row."""
    free, other, paid = of_rows("a:free", "b:free", "c")
    world = World(2, [free, other, paid])
    fail(world.healths[0], refusal(kind="minute", scope="free-models", retry_after=30.0), free.key)
    look(world.healths[1], keys=[free.key, other.key, paid.key])
    for health in world.healths:
        states = [health.state(member.key).name for member in (free, other, paid)]
        assert states == ["open", "open", "closed"]


def test_a_pool_that_the_row_does_not_have_is_the_models_own():
    (health,) = World(1).healths
    fail(health, refusal(scope="free-models", retry_after=30.0))
    assert [health.state(key).name for key in (KEY, OTHER_MODEL)] == ["open", "closed"]


def test_a_days_limit_ends_with_the_day_of_the_row():
    """Where the service names no time, the row knows its calendar."""
    (free,) = of_rows("a:free")
    facts = Health(None, [free], memory=Memory())._facts[free.key]
    error = refusal(QuotaExceededError, kind="day", scope="free-models")
    noon = datetime(2026, 11, 22, 18, tzinfo=UTC)
    bar = verdict_of(error, facts, noon).bar
    assert (bar.where, bar.pool, bar.seconds, bar.probed) == ("pool", "free-models", 6 * 3600.0, False)


def test_a_server_of_this_machine_is_looked_after_more_often():
    (local,) = of_rows("m", service="ollama", place="local")
    world = World(1, [local])
    (health,) = world.healths
    for _ in range(8):
        fail(health, DOWN, local.key)
        assert health.state(local.key).wait <= 37.5
        world.pass_time(38)
    for _ in range(8):
        answer(health, local.key, first=1.0)
    assert health.first_limit(local.key) == 3.0
    world.pass_time(61)  # it may have to be loaded again
    assert health.first_limit(local.key) is None


# --- out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "all_models"),
    [
        (AuthenticationError("Wrong key a-secret-key.", status=401), True),
        (RedirectError("moved", status=302), True),
        (PermissionDeniedError("no", status=403), False),
        (NotInPlanError("no", status=403), False),
        (NotFoundError("no", status=404), False),
        (RetiredModelError("no", status=410), False),
    ],
)
def test_what_is_for_good_takes_out(error, all_models):
    """For all processes, with the reason and without the key, and for a day at most."""
    world = World(2)
    one, other = world.healths
    fail(one, error)
    look(other)
    assert names(one, other) == ["out", "out"]
    assert admit(other) is None
    assert names(one, other, key=OTHER_MODEL) == ["out" if all_models else "closed"] * 2
    assert other.state(KEY).reason.startswith("HTTP ")
    assert "a-secret-key" not in other.state(KEY).reason
    assert b"a-secret-key" not in str(world.store._db.execute("SELECT * FROM note").fetchall()).encode()
    for _ in range(9):
        look(one)
        world.pass_time(other.state(KEY).wait + 0.1)
        assert names(one, other) == ["half-open", "half-open"]
        fail(other, error)
        assert other.state(KEY).wait <= 86_400.1
    world.pass_time(86_400)
    answer(one)
    look(other)
    assert names(one, other) == ["closed", "closed"]


def test_what_a_guard_takes_out_stays_out():
    """Until the user clears it."""
    world = World(2)
    one, other = world.healths
    under_way = admit(other)
    one.take_out(KEY, "This account looks paid.", service=True)
    look(other)
    other.answered(under_way, first=0.1)
    world.pass_time(1e8)
    look(one, other)
    assert names(one, other, key=OTHER_MODEL) == ["out", "out"]
    assert other.state(KEY).wait == inf
    assert other.state(KEY).reason == "This account looks paid."
    assert other.standings([KEY])[0].until is None
    run(world.ledgers[0].reset("acme"))
    look(one, other)
    assert names(one, other) == ["closed", "closed"]


# --- probes ---------------------------------------------------------------------------------------


def half_open(number=2):
    """Processes that all know a model which is half-open."""
    world = World(number)
    fail(world.healths[0], DOWN)
    look(*world.healths)
    world.pass_time(7)
    return world


def test_one_probe_of_all_processes():
    """Also where all ask before any has heard of another."""
    world = half_open(4)
    for ledger in world.ledgers:
        ledger.put_off = []
    asking = [health.admit(KEY) for health in world.healths]

    async def all_ask():
        tasks = [asyncio.ensure_future(one) for one in asking]
        await asyncio.sleep(0)
        for ledger in world.ledgers:
            ledger.catch_up()
        return await asyncio.gather(*tasks)

    got = asyncio.run(all_ask())
    assert len([one for one in got if one]) == 1


def test_a_probe_that_is_given_back_is_free():
    world = half_open()
    one, other = world.healths
    probe = admit(one)
    look(other)
    assert other.state(KEY).may_be_asked is False
    assert admit(other) is None
    one.given_back(probe)
    look(other)
    assert admit(other)


def test_a_probe_whose_process_has_died_is_free_after_a_time():
    world = half_open()
    one, other = world.healths
    assert admit(one)
    look(other)
    world.pass_time(PROBE_SECONDS - 0.1)
    assert admit(other) is None
    world.pass_time(0.2)
    assert admit(other)


def test_a_probe_that_shows_something_else():
    """A refusal shows that the service can be reached; what was not sent shows nothing."""
    world = half_open()
    one, other = world.healths
    one.failed(admit(one), QuotaSpentError("no"))
    assert names(one) == ["half-open"]
    one.failed(admit(one), BadRequestError("no"))
    look(other)
    assert names(one, other) == ["closed", "closed"]
    fail(one, DOWN)
    world.pass_time(7)
    fail(one, refusal(retry_after=60.0))
    look(other)
    assert names(one, other) == ["open", "open"]
    assert names(one, other, key=OTHER_MODEL) == ["closed", "closed"]


def test_an_admission_counts_once():
    (health,) = World(1).healths
    admission = admit(health)
    health.answered(admission, first=0.1)
    for _ in range(9):
        health.failed(admission, ServerError("no", status=500))
    assert names(health) == ["closed"]


# --- the ledger -----------------------------------------------------------------------------------


def test_nothing_is_written_while_all_is_well():
    world = World(1)
    (health,) = world.healths
    look(health)
    trips = world.ledgers[0].trips
    for _ in range(50):
        answer(health)
    assert world.ledgers[0].trips == trips


def test_questions_that_come_together_share_a_look():
    """What was just read is not read again; a tenth of a second later it is, and so is what is new."""
    world = World(1)
    (health,) = world.healths
    health._fresh = FRESH_SECONDS
    trips = []
    for seconds, keys in ((0, [KEY]), (0, [KEY]), (0.6, [KEY]), (0.6, [KEY]), (0, [KEY, OTHER])):
        world.clock.at += seconds * FRESH_SECONDS
        asyncio.run(health.look(keys))
        trips.append(world.ledgers[0].trips)
    assert trips == [1, 1, 1, 2, 3]


def test_without_a_ledger():
    clock = Clock()
    health = Health(None, memory=Memory(clock.now))
    asyncio.run(health.look([KEY]))
    fail(health, DOWN)
    assert names(health) == ["open"]
    clock.at += 7
    probe = admit(health)
    assert probe
    assert admit(health) is None
    health.answered(probe)
    assert names(health) == ["closed"]


class Broken:
    """A ledger that is gone."""

    def say(self):
        pass

    def notes(self, names):
        future = Future()
        future.set_exception(LedgerError("gone"))
        return future

    def note(self, name, text, **facts):
        return self.notes([])


def test_a_ledger_that_is_gone_loses_no_question():
    """Health goes on in memory, and is written when the ledger is back."""
    world = World(2)
    one, other = world.healths
    good, one._ledger = one._ledger, Broken()
    look(one)
    fail(one, DOWN)
    assert names(one) == ["open"]
    world.pass_time(7)
    probe = admit(one)
    assert probe
    assert admit(one) is None
    one.failed(probe, DOWN)
    one._ledger = good
    look(one)
    look(other)
    assert names(one, other) == ["open", "open"]
    assert run(one.look([KEY])) is None
