"""Several processes' health over one real store, on a clock that the test sets."""

from concurrent.futures import Future

from freeproviders.quota.steps import Forget, ReadNotes, WriteNote
from freeproviders.router.health import Health
from freeproviders.router.member import Key
from freeproviders.router.memory import Memory
from tests.quota.stores import Clock, sqlite_store

KEY = Key("acme", "m-1", "a-secret-key")
OTHER_MODEL = Key("acme", "m-2", "a-secret-key")
OTHER = Key("other", "m-1")


class Direct:
    """The notes of a ledger whose store is asked at once, or when the test says so.

    What is put off is done in order, as by a ledger's thread.
    """

    def __init__(self, store, clock):
        self.store = store
        self.clock = clock
        self.put_off = None
        self.trips = 0

    def _do(self, make):
        future = Future()
        came = self.clock.at

        def do():
            (answer,) = self.store.run([make(self.clock.at - came)])
            self.trips += 1
            if not future.cancelled():
                future.set_result(answer)

        if self.put_off is None:
            do()
        else:
            self.put_off.append(do)
        return future

    def catch_up(self):
        """Do what was put off, and what comes of it."""
        while self.put_off:
            self.put_off.pop(0)()

    def say(self):
        pass

    def notes(self, names):
        return self._do(lambda _: ReadNotes(tuple(names)))

    def note(self, name, text, *, version, over="", keep, ago=0.0):
        return self._do(lambda late: WriteNote(name, text, version, over, keep, ago + late))

    async def reset(self, service, *, pool=""):
        return self._do(lambda _: Forget(service, pool)).result()


class World:
    """Processes that share a store, each with a memory of its own."""

    def __init__(self, number=2, members=()):
        self.clock = Clock()
        self.store = sqlite_store(self.clock)
        self.ledgers = [Direct(self.store, self.clock) for _ in range(number)]
        self.healths = [Health(ledger, members, memory=Memory(self.clock.now)) for ledger in self.ledgers]

    def pass_time(self, seconds):
        self.clock.at += seconds


def run(coroutine):
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits")


def admit(health, key=KEY):
    """The admission, or None."""
    return run(health.admit(key))


def look(*healths, keys=(KEY, OTHER_MODEL, OTHER)):
    for health in healths:
        run(health.look(keys))


def fail(health, error, key=KEY):
    """Ask once, with that end."""
    admission = admit(health, key)
    assert admission is not None, health.state(key)
    health.failed(admission, error)


def answer(health, key=KEY, first=0.1, whole=0.5):
    admission = admit(health, key)
    assert admission is not None, health.state(key)
    health.answered(admission, first=first, whole=whole)
