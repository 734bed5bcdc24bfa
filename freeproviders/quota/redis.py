"""The ledger of several machines: a Redis or Valkey server, whose own clock counts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import blake2b, sha1
from importlib.resources import files
from math import inf
from secrets import token_bytes, token_hex
from typing import Any, Final

from freeproviders import redis_server
from freeproviders.errors import UsageError
from freeproviders.quota.book import same_period
from freeproviders.quota.interface import Ask, Grant, Note, NoteName, Rule, Standing
from freeproviders.quota.steps import (
    Adopt,
    Answer,
    Forget,
    Leave,
    Look,
    ReadNotes,
    Received,
    Refused,
    Renew,
    Sent,
    Settle,
    Standings,
    Step,
    StoreError,
    Take,
    TooSmall,
    WriteNote,
)
from freeproviders.quota.windows import borders_around, meaning_of

PREFIX: Final = "{freeproviders}:quota:"
"""The beginning of all names on the server; the part in braces keeps them on one node of a cluster."""
_ANSWER_SECONDS: Final = 3.0
_HEAR_SECONDS: Final = 10.0
_SCRIPT: Final = files("freeproviders.quota").joinpath("ledger.lua").read_text(encoding="utf-8")
_SHA: Final = sha1(_SCRIPT.encode()).hexdigest()  # noqa: S324 - the name that Redis gives a script


class RedisStore:
    """A ledger on a server, named by its URL.

    One script is one call, and all calls of a turn are one round trip. `clock` is for tests: it
    takes the place of the server's own. Raises `UsageError` for a URL that cannot be read.
    """

    def __init__(self, url: str, *, prefix: str = PREFIX, clock: Callable[[], float] | None = None) -> None:
        self.url = redis_server.shown(url)
        self.shared = f"the programs that use {self.url}"
        self.copied = None
        self._prefix = prefix
        self._clock = clock
        redis = self._redis = redis_server.package("A ledger on Redis")
        once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)  # what was sent twice would count twice
        try:
            self._client = redis_server.client(redis, url, once, text=True)
        except ValueError as error:
            raise UsageError(f"{self.url} is no address of a Redis server: {error}.") from error
        self._salt = token_bytes(16)
        self._salted = False
        self._name = token_hex(8)  # by which it knows what it has said itself
        self._hearing: Any = None
        self._hashes: dict[str, str] = {}
        self._ahead = 0.0  # how far the server's clock is before this machine's

    def run(self, steps: Sequence[Step]) -> list[Answer]:
        """Do the steps, each as one script, in one round trip."""
        try:
            if not self._salted:
                self._agree_on_the_salt()
            return self._run(steps)
        except (self._redis.RedisError, OSError, ValueError) as error:
            self._salted = False  # a server that was started anew may have forgotten it
            raise StoreError(
                f"The ledger at {self.url} cannot be used: {error or type(error).__name__}."
            ) from error

    def _agree_on_the_salt(self) -> None:
        """Take the server's salt of accounts; give it the last one where it has none."""
        key = f"{self._prefix}salt"
        self._client.set(key, self._salt.hex(), nx=True)
        self._salt = bytes.fromhex(self._client.get(key))
        self._salted = True
        self._hashes.clear()

    def listen(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called when another client has settled something."""
        if self._hearing is not None:
            return False
        try:
            hearing = self._client.pubsub(ignore_subscribe_messages=False)
            hearing.subscribe(f"{self._prefix}freed")
            hearing.get_message(timeout=_ANSWER_SECONDS)  # from now on nothing is missed
            self._hearing = hearing
            threading.Thread(
                target=self._hear, args=(hearing, wake), name="freeproviders-quota-bell", daemon=True
            ).start()
        except (self._redis.RedisError, OSError, RuntimeError):  # waiting calls look by themselves
            self._hearing = None
            return False
        return True

    def _hear(self, hearing: Any, wake: Callable[[], object]) -> None:
        with suppress(self._redis.RedisError, OSError, ValueError, AttributeError):  # it was closed meanwhile
            while self._hearing is hearing:
                said = hearing.get_message(timeout=_HEAR_SECONDS)
                if said is not None and said["type"] == "message" and said["data"] != self._name:
                    wake()
        if self._hearing is hearing:
            self._hearing = None

    def close(self) -> None:
        """Close the connections; the next `run` opens others."""
        hearing, self._hearing = self._hearing, None
        if hearing is not None:
            with suppress(self._redis.RedisError, OSError):
                hearing.close()
        with suppress(self._redis.RedisError, OSError):
            self._client.close()

    def _run(self, steps: Sequence[Step]) -> list[Answer]:
        for step in steps:
            if isinstance(step, Standings | Forget):
                return [self._do(step) for step in steps]
        answers = self._evaluate([self._written(step) for step in steps])
        return [self._read(step, answer) for step, answer in zip(steps, answers, strict=True)]

    def _do(self, step: Step) -> Answer:
        """Do one step, which may be about pools that only the server knows."""
        if not isinstance(step, Standings | Forget):
            return self._read(step, self._evaluate([self._written(step)])[0])
        keys = self._client.zrange(f"{self._prefix}pools", 0, -1)
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.hget(self._prefix + key, "facts")
        found: list[tuple[str, Rule]] = []
        for key, text in zip(keys, pipe.execute() if keys else (), strict=True):
            if text is None:  # it has expired
                continue
            values = json.loads(text)
            rule = Rule(**{**values, "cap": inf if values["cap"] is None else values["cap"]})
            if step.service in {"", rule.service} and (
                isinstance(step, Standings) or step.pool in {"", rule.pool}
            ):
                found.append((key, rule))
        claims = [self._facts(rule, key, 0.0) for key, rule in found]
        if isinstance(step, Forget):
            cleared = {} if step.pool else {"service": step.service, "version": token_hex(8)}
            self._evaluate([{"op": "forget", "by": self._name, "claims": claims, **cleared}])
            return len(found)
        (answer,) = self._evaluate([{"op": "standing", "claims": claims}])
        return _standings(found, answer[1])

    def _evaluate(self, written: Sequence[dict[str, Any]]) -> list[Any]:
        """Run the script for each step; where the server asks for another calendar, once more."""
        answers = self._send(written)
        wrong = [number for number, answer in enumerate(answers) if answer[0] == "time"]
        if wrong:
            self._ahead = float(answers[wrong[0]][1]) - self._local()
            for number in wrong:
                for facts in written[number]["claims"]:
                    if "borders" in facts:
                        facts["borders"] = self._borders(facts["unit"], facts["zone"])
            for number, answer in zip(wrong, self._send([written[number] for number in wrong]), strict=True):
                if answer[0] == "time":
                    raise StoreError(f"The clock of {self.url} cannot be followed.")
                answers[number] = answer
        return answers

    def _send(self, written: Sequence[dict[str, Any]]) -> list[Any]:
        now = "" if self._clock is None else repr(self._clock())
        steps = [json.dumps(step, separators=(",", ":")) for step in written]
        try:
            return self._pipe(steps, now)
        except self._redis.exceptions.NoScriptError:  # a pipeline runs all that can be run: none has been
            self._client.script_load(_SCRIPT)
            return self._pipe(steps, now)

    def _pipe(self, steps: Sequence[str], now: str) -> list[Any]:
        if len(steps) == 1:
            return [self._client.evalsha(_SHA, 1, self._prefix, steps[0], now)]
        pipe = self._client.pipeline(transaction=False)
        for step in steps:
            pipe.evalsha(_SHA, 1, self._prefix, step, now)
        return list(pipe.execute())

    # --- writing ----------------------------------------------------------------------------------

    def _written(self, step: Step) -> dict[str, Any]:
        match step:
            case Take(ask, id, force, waits):
                return {
                    "op": "take",
                    "id": id,
                    "me": self._name,
                    "force": force,
                    "waits": waits,
                    **self._asked(ask),
                }
            case Leave(id):
                return {"op": "leave", "id": id, "me": self._name, "claims": []}
            case Look(ask):
                return {"op": "look", **self._asked(ask)}
            case Sent(grant, ago):
                return {"op": "sent", "ago": ago, **self._granted(grant)}
            case Received(grant, ago):
                return {"op": "received", "ago": ago, **self._granted(grant)}
            case Renew(grant):
                return {"op": "renew", **self._granted(grant)}
            case Settle(grant, spent, ago, tell):
                return {
                    "op": "settle",
                    "by": self._name,
                    "ago": ago,
                    "tell": tell,
                    **_given(spent=spent),
                    **self._granted(grant),
                }
            case Adopt(grant, said, source, sent_ago, ago):
                return {
                    "op": "adopt",
                    "by": self._name,
                    "source": source,
                    "sent_ago": sent_ago,
                    "ago": ago,
                    "said": [
                        {"number": number, "metric": one.metric, "resolution": one.resolution}
                        | _given(cap=one.cap, remaining=one.remaining, reset_in=one.reset_in)
                        for number, one in enumerate(said, 1)
                    ],
                    **self._granted(grant, [one.per for one in said]),
                }
            case ReadNotes(names):
                return {"op": "notes", "names": [self._note_key(name) for name in names], "claims": []}
            case WriteNote(name, text, version, over, keep, ago):
                return {
                    "op": "note",
                    "name": self._note_key(name),
                    "text": text,
                    "version": version,
                    "over": over,
                    "ago": ago,
                    "claims": [],
                    **_given(keep=None if keep == inf else keep),
                }
            case _:
                raise AssertionError(step)

    def _note_key(self, name: NoteName) -> str:
        return json.dumps([name.topic, name.service, self._hash(name.account)], separators=(",", ":"))

    def _asked(self, ask: Ask) -> dict[str, Any]:
        claims = [
            self._facts(claim.rule, self._key(claim.rule, ask.account), claim.amount) for claim in ask.claims
        ]
        return {"claims": claims, "keep": ask.keep, "transit": ask.transit, "lease": ask.lease}

    def _granted(self, grant: Grant, said: Iterable[str] = ()) -> dict[str, Any]:
        asked = self._asked(grant.ask)
        if grant.places and not said:  # it has been settled
            return {"id": grant.id, **asked, "claims": []}
        for facts, claim in zip(asked["claims"], grant.ask.claims, strict=True):
            facts["same_per"] = [same_period(claim.rule.per, per) for per in said]
        return {"id": grant.id, **asked}

    def _facts(self, rule: Rule, key: str, amount: float) -> dict[str, Any]:
        meaning = meaning_of(rule)
        facts: dict[str, Any] = {
            "key": key,
            "kind": meaning.kind,
            "metric": rule.metric,
            "reset": rule.reset,
            "counted": rule.counted,
            "amount": amount,
            "rule": json.dumps({**asdict(rule), "cap": None if rule.cap == inf else rule.cap}),
            **_given(
                period=None if meaning.period == inf else meaning.period,
                cap=None if rule.cap == inf else rule.cap,
            ),
        }
        if meaning.kind == "calendar":
            facts |= {"unit": meaning.unit, "zone": meaning.zone}
            facts["borders"] = self._borders(meaning.unit, meaning.zone)
        return facts

    def _borders(self, unit: str, zone: str) -> tuple[float, ...]:
        return borders_around(unit, zone, self._local() + self._ahead)

    def _local(self) -> float:
        return time.time() if self._clock is None else self._clock()

    def _key(self, rule: Rule, account: str) -> str:
        who = "" if rule.by == "ip" else self._hash(account)
        kind = meaning_of(rule).kind
        return json.dumps([rule.service, rule.pool, rule.metric, rule.per, kind, who], separators=(",", ":"))

    def _hash(self, account: str) -> str:
        if not account:
            return "-"
        if account not in self._hashes:
            self._hashes[account] = blake2b(account.encode(), key=self._salt, digest_size=12).hexdigest()
        return self._hashes[account]

    # --- reading ----------------------------------------------------------------------------------

    def _read(self, step: Step, answer: Sequence[Any]) -> Answer:
        if isinstance(step, Settle):
            step.grant.places = [None]
            if step.tell:
                ask = step.grant.ask
                rules = [claim.rule for claim in ask.claims if meaning_of(claim.rule).kind != "gate"]
                return _standings([(self._key(rule, ask.account), rule) for rule in rules], answer[1])
        if isinstance(step, ReadNotes):
            return tuple([_note(found) for found in answer[1]])
        if isinstance(step, WriteNote):
            return _note(answer[1])
        if not isinstance(step, Take | Look):
            return None
        match answer:
            case ["granted"] if isinstance(step, Take):
                return Grant(step.id, step.ask, [])
            case ["refused", number, after, early, lined]:
                return Refused(step.ask.claims[number - 1], float(after), float(early), lined == 1)
            case ["small", number, cap]:
                return TooSmall(step.ask.claims[number - 1], float(cap))
            case _:
                return None


def _standings(pools: Iterable[tuple[str, Rule]], states: Iterable[Sequence[str]]) -> list[Standing]:
    """Read the states of pools, of which the keys and the rules are known."""
    return [_standing(key, rule, state) for (key, rule), state in zip(pools, states, strict=True)]


def _standing(key: str, rule: Rule, state: Sequence[str]) -> Standing:
    used, running, left, back, cap, source, cap_at = state
    values = asdict(rule)
    if cap:
        values |= {"cap": float(cap), "source": source}
    return Standing(
        rule=Rule(**values),
        account=json.loads(key)[-1][:6],
        used=float(used),
        running=float(running),
        left=float(left),
        back_at=None if back in {"", "inf"} else datetime.fromtimestamp(float(back), UTC),
        learned_at=datetime.fromtimestamp(float(cap_at), UTC) if cap else None,
    )


def _note(found: Sequence[str]) -> Note | None:
    return Note(found[0], found[1], float(found[2])) if found else None


def _given(**values: Any) -> dict[str, Any]:
    """Return the values that there are: a null of JSON is not nothing in Lua."""
    return {name: value for name, value in values.items() if value is not None}
