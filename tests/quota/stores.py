"""Rules, asks and stores on a clock that the test sets."""

from math import inf

from freeproviders.quota.interface import Ask, Claim, Grant, Rule
from freeproviders.quota.sqlite import SQLiteStore
from freeproviders.quota.steps import Look, Refused, Take, TooSmall


def rule(metric="requests", per="minute", cap=3, **facts):
    """A rule of one model of a service."""
    return Rule(**{"service": "acme", "pool": "m-1", "metric": metric, "per": per, "cap": cap, **facts})


GATE = rule(per="", cap=inf)


def ask(*claims, **facts):
    """An ask; a claim that is a rule is one of it."""
    made = tuple(Claim(one) if isinstance(one, Rule) else Claim(*one) for one in claims)
    return Ask(claims=made, **{"account": "key-1", "transit": 1.0, "lease": 100.0, **facts})


class Clock:
    """The clocks of a machine that the test sets."""

    def __init__(self, wall=1_790_000_000.0):
        self.at = 1000.0
        self.offset = wall - self.at
        self.boot = "one"

    def now(self):
        return self.at

    def wall(self):
        return self.at + self.offset


class Asked:
    """A store that is asked one step at a time."""

    def __init__(self, store, clock):
        self.store = store
        self.clock = clock
        self._count = 0

    def do(self, step):
        (answer,) = self.store.run([step])
        return answer

    def take(self, wanted):
        """The grant, else the refusal."""
        self._count += 1
        return self.do(Take(wanted, f"g{self._count:05}"))

    def granted(self, wanted):
        """The grant; a refusal is a failure."""
        answer = self.take(wanted)
        assert isinstance(answer, Grant), answer
        return answer

    def after(self, wanted):
        """In how many seconds it would fit; 0 for now, None for never."""
        answer = self.do(Look(wanted))
        assert not isinstance(answer, TooSmall), answer
        return answer.after if isinstance(answer, Refused) else 0

    def used(self, of):
        """What counts of a pool, by metric and period."""
        from freeproviders.quota.steps import Standings

        (found,) = [
            one
            for one in self.do(Standings())
            if (one.rule.metric, one.rule.per, one.rule.pool) == (of.metric, of.per, of.pool)
        ]
        return found.used


def sqlite_store(clock, path=None):
    """A store of SQLite with the test's clocks, in memory unless there is a path."""
    return SQLiteStore(path, clock=clock.now, wall=clock.wall, boot=lambda: clock.boot)
