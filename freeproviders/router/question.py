"""One question to a router: which members are asked, how each fared, and when to ask again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf
from time import monotonic
from typing import Final

from freeproviders import journal
from freeproviders.backend import Backend
from freeproviders.deadlines import Timeout
from freeproviders.errors import (
    EmptyResponseError,
    FreeProvidersError,
    NoProviderError,
    OutputError,
    ProviderError,
    QuotaSpentError,
    UsageError,
)
from freeproviders.installing import with_extra
from freeproviders.naming import marked
from freeproviders.retry import Patience, Retry
from freeproviders.router.attempt import Running, announce, error_of, first_of, is_kept, of_admissions
from freeproviders.router.found import in_words
from freeproviders.router.health import Health
from freeproviders.router.match import objection, of_that_name, prepared
from freeproviders.router.member import Found, Member
from freeproviders.router.order import Order
from freeproviders.router.outcomes import Outcomes
from freeproviders.types import (
    Batch,
    ChatRequest,
    Finish,
    OnBrokenStream,
    OnEmpty,
)
from freeproviders.usage import CHARS_PER_TOKEN

_AGAIN: Final = Retry()
_ONCE: Final = Retry(attempts=1)
"""A member that fails is left for the next one; there is time for retries when all have failed."""
_AFTER: Final = 0.01
"""Seconds after the time that a limit names, so that no request is early by a clock's difference."""
_HOP_SECONDS: Final = 2.0
"""How long a member that is to go on with an answer may be in a cool-down and be waited for."""
_TOO_SHORT: Final = 0.01
"""No member answers within so many seconds: none is asked when a question has no more left."""
_LINE_SECONDS: Final = 1.0
"""How long to stand in one line beyond the time at which there should have been room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a router's questions have in common.

    `timeout` None leaves each member its own limits; `max_requests` bounds the HTTP requests of one
    question, repairs and hops together; `retry` is for rounds in which all members have failed.
    """

    health: Health
    order: Order
    retry: Retry = _AGAIN
    timeout: Timeout | None = None
    max_requests: int = 6
    on_broken_stream: OnBrokenStream = "raise"


class Question:
    """One question, and what has become of it so far.

    Whether a member can answer it is looked at when its turn comes.
    """

    def __init__(self, rules: Rules, found: Found, request: ChatRequest, name: str) -> None:
        self._rules = rules
        self._found = found
        self._members: list[Member] = []
        self._name = name
        self._request = request
        self._outcomes = Outcomes(rules.health, name, rules.max_requests, request.listener)
        self._as_asked: set[Member] = set()
        """The members that were asked with the caller's own word on invalid output."""
        self._tight: list[Member] = []
        """The members for which the conversation is too long by the upper estimate only."""
        self._backoff = Patience(rules.retry)
        judged = bool(request.tools) or request.response_format is not None
        self._most_requests = 1 + request.max_repairs if judged else 1
        """The requests that one member may take, repairs among them."""
        usual = rules.retry.retry_after_cap if rules.retry.attempts > 1 else 0.0
        self._may_wait = usual if request.wait_up_to is None else request.wait_up_to
        total = rules.timeout.total if rules.timeout is not None else None
        self._ends = inf if total is None else monotonic() + total

    # --- the answer ---

    def answered(self) -> AsyncGenerator[Batch, None]:
        """Stream the answer of the first member that gives one.

        Raises as `FreeProviders.answer` says.
        """
        return self._relayed(None)

    async def _relayed(self, hop: Running | None) -> AsyncGenerator[Batch, None]:
        """Stream an answer to its end: of the question, or of a member that goes on with another's.

        One generator for both, since each further one would cost something for each batch.
        """
        running = hop or await self._begun()
        broken: FreeProvidersError | None = None
        ended = False
        read = running.stream.__anext__
        said = running.said
        batch = running.first
        try:
            while True:
                if batch and batch[-1].__class__ is Finish:
                    ended = True
                    self._answered(running, batch)
                    if hop is None:
                        batch = self._outcomes.ending(batch)
                else:
                    said.append(batch)
                yield batch
                try:
                    batch = await read()
                except StopAsyncIteration:
                    return
                except Exception as raised:
                    if ended:
                        return  # it is complete; how the connection ends does not matter
                    error = error_of(running.member, raised, begun=True)
                    if error is None:
                        raise
                    ended = True
                    self._outcomes.failed(running.member, running.admission, error, running.started)
                    if hop is not None:
                        raise error from error.__cause__
                    broken = error
                    break
        finally:
            if not ended:  # the reader has left
                self._rules.health.answered(running.admission, first=running.first_seconds)
            await running.stream.aclose()
        assert broken is not None  # noqa: S101 - for the type checker
        async with aclosing(self._resumed(running, broken)) as rest:
            async for batch in rest:
                yield batch

    async def _resumed(self, running: Running, error: FreeProvidersError) -> AsyncGenerator[Batch, None]:
        """Go on with an answer that broke off after its first words, as the caller wants it."""
        # An answer that breaks off is rare.
        from freeproviders.router.resume import Broken, Said, resumed  # noqa: PLC0415 - see above

        said, health = Said(), self._rules.health
        policy = self._rules.on_broken_stream
        journal.router.info("%s: an answer broke off after its first words (%s)", self._name, policy)
        for batch in running.said:
            said.note(batch)
        broken = Broken(
            request=self._request,
            member=running.member,
            error=error,
            said=said,
            others=tuple(
                member
                for member in self._members
                if member is not running.member
                and self._may_answer(member)
                and self._is_fit(member)
                and health.state(member.key).may_be_asked
            ),
            policy=policy,
        )
        async with aclosing(resumed(broken, self._hop)) as rest:
            async for batch in rest:
                yield self._outcomes.ending(batch) if batch and batch[-1].__class__ is Finish else batch

    async def _hop(self, member: Member, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Ask a member to go on with an answer, under its own limits and within the question's budget."""
        if not self._may_go_on():
            what = "requests are" if self._outcomes.left <= 0 else "time is"
            raise NoProviderError(f"The question's {what} spent.", provider=self._name)
        started = monotonic()
        wait = max(0.0, min(self._may_wait, self._ends - started))
        barred = self._rules.health.state(member.key).wait
        if 0 < barred <= min(wait, _HOP_SECONDS):  # maybe no other member can go on
            await asyncio.sleep(barred)
        running = await self._tried(member, request, others=True, wait=wait)
        self._may_wait -= min(wait, monotonic() - started)
        if running is None:
            raise self._outcomes.told[member].error
        async with aclosing(self._relayed(running)) as batches:
            async for batch in batches:
                yield batch

    def _answered(self, running: Running, batch: Batch) -> None:
        """Note a whole answer of a member."""
        self._rules.order.answered(running.member, self._request)
        self._outcomes.answered(
            running.member,
            running.admission,
            batch,
            first=running.first_seconds if self._request.stream else None,
            started=running.started,
        )

    # --- which member is asked ---

    async def _begun(self) -> Running:
        """Ask until a member begins to answer."""
        health = self._rules.health
        await self._found.complete()
        await prepared(self._request)
        members = of_that_name(self._found.members, self._request.model or "", self._name)
        health.meet(members)
        self._members = self._rules.order.of(members, self._request)
        while True:
            members = [member for member in self._members if self._may_answer(member)]
            await health.look([member.key for member in members])
            for place, member in enumerate(members):
                if not self._may_go_on():
                    break
                if not self._is_fit(member):
                    continue
                others = any(health.state(other.key).may_be_asked for other in members[place + 1 :])
                running = await self._tried(member, self._request, others=others)
                if running is not None:
                    return running
            running = await self._as_it_is() or await self._tight_ones() or await self._in_line()
            if running is not None:
                return running
            delay = self._delay()
            if delay is None:
                raise self._outcomes.unanswered(self._reasons())
            journal.router.info("%s: no member can answer now, trying again in %.2f s", self._name, delay)
            await asyncio.sleep(delay)

    def _may_go_on(self) -> bool:
        """Return whether the question has requests and time left."""
        return self._outcomes.left > 0 and self._ends - monotonic() > _TOO_SHORT

    def _may_answer(self, member: Member) -> bool:
        told = self._outcomes.told.get(member)
        return told is None or told.until != inf

    def _is_fit(self, member: Member) -> bool:
        """Return whether a member can answer the question at all; if not, note why."""
        if member in self._outcomes.told:
            return True
        error = objection(member, self._request)
        if error is not None:
            self._outcomes.pass_over(member, error, until=inf)
            if objection(member, self._request, likely=True) is None:
                self._tight.append(member)
        return error is None

    async def _tight_ones(self) -> Running | None:
        """Ask those whose window is probably large enough, after those whose window surely is."""
        while self._tight and self._may_go_on():
            running = await self._tried(self._tight.pop(0), self._request)
            if running is not None:
                return running
        return None

    async def _as_it_is(self) -> Running | None:
        """Ask members that gave no valid output once more, now with the caller's own `on_invalid`."""
        if self._request.on_invalid == "raise" or not self._may_go_on():
            return None
        for member, told in self._outcomes.told.items():
            if isinstance(told.error, OutputError) and member not in self._as_asked:
                return await self._tried(member, self._request)
        return None

    async def _in_line(self) -> Running | None:
        """Stand in the line of one of the members whose limits have room the soonest.

        That keeps the order of waiting questions without looking again and again. They are spread over
        the members that may have room about as soon: a line is for one member only, and where calls
        that still run hold the room, it is unknown when it comes back.
        """
        full = [
            member for member, told in self._outcomes.told.items() if isinstance(told.error, QuotaSpentError)
        ]
        if not full or not self._may_go_on():
            return None
        now = monotonic()
        delays = {member: self._delay_of_limits(member) for member in full}
        soon = min(delays.values()) + _LINE_SECONDS
        member = random.choice([one for one in full if delays[one] <= soon])  # noqa: S311 - no secret
        wait = min(delays[member] + _LINE_SECONDS, self._may_wait, self._ends - now)
        if delays[member] > wait:
            return None
        running = await self._tried(member, self._request, wait=wait)
        self._may_wait -= min(wait, monotonic() - now)
        return running

    def _delay_of_limits(self, member: Member) -> float:
        error = self._outcomes.told[member].error
        earliest = error.earliest if isinstance(error, QuotaSpentError) else None
        return inf if earliest is None else max(0.0, (earliest - datetime.now(UTC)).total_seconds())

    async def _tried(
        self, member: Member, request: ChatRequest, *, others: bool = False, wait: float = 0.0
    ) -> Running | None:
        """Ask a member until its answer begins; None where it fails.

        Where `others` can be asked after it, it has no more time than it usually takes, and output
        that is no good is a reason to ask them. `wait` is for room among its limits.
        """
        admission = await self._rules.health.admit(member.key, in_line=wait > 0)
        if admission is None:
            self._outcomes.pass_by(member)
            return None
        started = monotonic()
        stream: AsyncGenerator[Batch, None] | None = None
        others = others and self._outcomes.left > 1
        limit = None
        if others:
            tokens = sum([len(turn.text) for turn in request.messages]) // CHARS_PER_TOKEN
            limit = self._rules.health.first_limit(member.key, whole=not request.stream, tokens=tokens)
        last = not others or self._outcomes.left <= self._most_requests
        if last:
            self._as_asked.add(member)
        self._rules.order.asked(member)
        try:
            announce(member, request.listener)
        except BaseException:
            self._rules.health.given_back(admission)
            raise
        try:
            backend = self._reached(member, limit)
            stream = backend.answer(self._written(member, request, last=last, wait=wait))
            knows_deadlines = isinstance(getattr(backend, "timeout", None), Timeout)
            batch = await first_of(stream, None if knows_deadlines else _least(limit, self._seconds_left()))
        except UsageError as error:
            self._rules.health.given_back(admission)
            self._outcomes.unusable(member, error)
        except BaseException as raised:
            its = error_of(member, raised)
            if its is None:
                self._rules.health.given_back(admission)
                if stream is not None:
                    await stream.aclose()
                raise
            self._outcomes.failed(member, admission, its, started)
        else:
            if request.stream and not is_kept(batch):
                self._rules.health.began(admission)
            return Running(member, admission, stream, batch, started, monotonic() - started)
        if stream is not None:
            await stream.aclose()
        return None

    def _written(self, member: Member, request: ChatRequest, *, last: bool, wait: float) -> ChatRequest:
        """Write the request for a member, which tries nothing again.

        What becomes of output that is no good is the caller's word only with the `last` one.
        """
        return replace(
            request,
            model=member.model or None,
            on_invalid=request.on_invalid if last else "raise",
            on_empty=request.on_empty or self._on_empty(),
            max_repairs=min(request.max_repairs, self._outcomes.left - 1),
            patience=Patience(_ONCE, 0.0),
            wait_up_to=wait,
            listener=None if request.listener is None else of_admissions(request.listener),
        )

    def _on_empty(self) -> OnEmpty | None:
        """Return what an answer without a word is, of which the caller said nothing.

        It is believed, where its member allows it, of the only one, or when it has come before: a
        failure now and then would else pass for an answer.
        """
        again = any(isinstance(told.error, EmptyResponseError) for told in self._outcomes.told.values())
        return None if again or len(self._members) == 1 else "error"

    def _reached(self, member: Member, limit: float | None) -> Backend:
        """Return a member's backend with the limits of this attempt."""
        backend = member.backend
        own = getattr(backend, "timeout", None)
        if not isinstance(own, Timeout) or (limit is None and self._rules.timeout is None):
            return backend
        rules = self._rules.timeout or own
        timeout = Timeout(
            connect=rules.connect,
            first_content=_least(limit, rules.first_content),
            stall=rules.stall,
            total=_least(self._seconds_left(), own.total),
        )
        return backend.configured(timeout=timeout)

    def _seconds_left(self) -> float | None:
        """Return the seconds that are left of the whole question's time, None without a limit."""
        return None if self._ends == inf else max(0.001, self._ends - monotonic())

    # --- when all have failed ---

    def _delay(self) -> float | None:
        """Return the seconds until a member may be asked again; None where that is too long."""
        if self._outcomes.left <= 0:
            return None
        now = monotonic()
        told = [one for one in self._outcomes.told.values() if one.until != inf]
        until = min((one.until for one in told if one.until is not None), default=inf)
        delay = max(0.0, until - now) + _AFTER
        failed = next((one.error for one in told if one.until is None), None)
        if isinstance(failed, ProviderError) and delay > self._rules.retry.first:
            again = self._backoff.delay(failed)
            if again is not None:
                return again if now + again < self._ends else None
        if delay > self._may_wait or now + delay > self._ends:
            return None
        self._may_wait -= delay
        return delay

    def _reasons(self) -> Iterator[str]:
        """Say in sentences, beside the members' errors, why there is no answer, and what to do."""
        if not self._members:
            yield "There is no backend to ask."
            yield marked(in_words(self._found.skipped))
            yield f"Set the key of a service, or install a model for this machine. {with_extra('embedded')}"
            return
        unasked = [member.name for member in self._members if member not in self._outcomes.told]
        others = f", and {', '.join(unasked)} not asked" if unasked else ""
        rules = self._rules
        if self._outcomes.left <= 0:
            yield f"The requests of one question are used up (max_requests={rules.max_requests}){others}."
        elif not self._may_go_on() and rules.timeout is not None:
            yield f"The {rules.timeout.total:g} s of the question (timeout) are over{others}."


def _least(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
