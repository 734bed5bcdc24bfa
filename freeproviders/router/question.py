"""One question to a router: who is asked, what became of each, and when to ask again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import inf
from time import monotonic
from typing import Final, NamedTuple

from freeproviders.backend import Backend
from freeproviders.checks import caution
from freeproviders.deadlines import Timeout
from freeproviders.errors import (
    BadRequestError,
    ContentFilterError,
    EmptyResponseError,
    FreeProvidersError,
    NoProviderError,
    NotAskedWarning,
    OutputError,
    ProviderError,
    ProviderTimeoutError,
    QuotaSpentError,
    UsageError,
)
from freeproviders.foreign import translated
from freeproviders.retry import Patience, Retry
from freeproviders.router.found import in_words
from freeproviders.router.health import Admission, Health
from freeproviders.router.match import of_that_name, prepared, reason_against
from freeproviders.router.member import Found, Member
from freeproviders.router.order import Order
from freeproviders.types import (
    Asking,
    Attempt,
    Batch,
    ChatRequest,
    Finish,
    OnBrokenStream,
    OnEmpty,
    Usage,
)
from freeproviders.usage import CHARS_PER_TOKEN

_AGAIN: Final = Retry()
_ONCE: Final = Retry(attempts=1)
"""A member that fails is left for the next one; there is time for retries when all have failed."""
_AFTER: Final = 0.01
"""Seconds after the time that a limit names, so that nobody comes too early by a clock's difference."""
_HOP_SECONDS: Final = 2.0
"""How long a member that is to go on with an answer may be in a cool-down and be waited for."""
_TOO_SHORT: Final = 0.01
"""Nobody answers within so many seconds: nobody is asked when a question has no more left."""
_LINE_SECONDS: Final = 1.0
"""How long to stand in one line beyond the time at which there should have been room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a router's questions have in common.

    `timeout` None leaves each member its own limits; `max_requests` bounds the HTTP requests of one
    question, repairs and hops together; `retry` is for rounds in which everybody has failed.
    """

    health: Health
    order: Order
    retry: Retry = _AGAIN
    timeout: Timeout | None = None
    max_requests: int = 6
    on_broken_stream: OnBrokenStream = "raise"


@dataclass(slots=True, eq=False)
class Running:
    """An attempt that has begun to answer: its stream, and its first parts."""

    member: Member
    admission: Admission
    stream: AsyncGenerator[Batch, None]
    first: Batch
    started: float
    first_seconds: float
    said: list[Batch] = field(default_factory=list)


class _Told(NamedTuple):
    """What a member's failure means for the rest of the question.

    `until` is the monotonic time at which it may be asked again, `inf` for never, None for a while
    that nobody names.
    """

    error: FreeProvidersError
    until: float | None


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
        self._left = rules.max_requests
        self._asked: list[Attempt] = []
        self._sent_to: set[Member] = set()
        self._passed_over: dict[Member, Attempt] = {}
        self._as_asked: set[Member] = set()
        """The members that were asked with the caller's own word on invalid output."""
        self._told: dict[Member, _Told] = {}
        self._spent: Usage | None = None
        self._backoff = Patience(rules.retry)
        judged = bool(request.tools) or request.response_format is not None
        self._most_requests = 1 + request.max_repairs if judged else 1
        """The requests that one member may take, repairs among them."""
        usual = rules.retry.retry_after_cap if rules.retry.attempts > 1 else 0.0
        self._may_wait = usual if request.wait_up_to is None else request.wait_up_to
        total = rules.timeout.total if rules.timeout is not None else None
        self._ends = inf if total is None else monotonic() + total

    @property
    def trail(self) -> tuple[Attempt, ...]:
        """What became of each member: those that were passed over first, then the attempts in order."""
        return (*self._passed_over.values(), *self._asked)

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
                        batch = self._ending(batch)
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
                    error = _error_of(running.member, raised, begun=True)
                    if error is None:
                        raise
                    ended = True
                    self._failed(running.member, running.admission, error, running.started)
                    if hop is not None:
                        raise error from error.__cause__
                    broken = error
                    break
        finally:
            if not ended:  # whoever read has left
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
            policy=self._rules.on_broken_stream,
        )
        async with aclosing(resumed(broken, self._hop)) as rest:
            async for batch in rest:
                yield self._ending(batch) if batch and batch[-1].__class__ is Finish else batch

    async def _hop(self, member: Member, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Ask a member to go on with an answer, under its own limits and within the question's budget."""
        if not self._may_go_on():
            what = "requests are" if self._left <= 0 else "time is"
            raise NoProviderError(f"The question's {what} spent.", provider=self._name)
        started = monotonic()
        wait = max(0.0, min(self._may_wait, self._ends - started))
        barred = self._rules.health.state(member.key).wait
        if 0 < barred <= min(wait, _HOP_SECONDS):  # nobody else may be able to go on
            await asyncio.sleep(barred)
        running = await self._tried(member, request, others=True, wait=wait)
        self._may_wait -= min(wait, monotonic() - started)
        if running is None:
            raise self._told[member].error
        async with aclosing(self._relayed(running)) as batches:
            async for batch in batches:
                yield batch

    def _answered(self, running: Running, batch: Batch) -> None:
        """Note a whole answer of a member."""
        member, now = running.member, monotonic()
        finish = batch[-1]
        assert isinstance(finish, Finish)  # noqa: S101 - for the type checker
        usage = next((part for part in batch if isinstance(part, Usage)), None)
        first = running.first_seconds if self._request.stream else None
        seconds = now - running.started
        self._rules.health.answered(running.admission, first=first, whole=seconds)
        self._rules.order.answered(member, self._request)
        if member.guarded is not None:
            self._take_out(member, member.guarded.answered(finish, usage))
        self._left -= finish.attempts
        self._note(member, Attempt(member.backend.name, member.model, "", finish.attempts, seconds))

    def _ending(self, batch: Batch) -> Batch:
        """Say in the last parts how the answer came about, and what all of it has cost."""
        *parts, finish = batch
        assert isinstance(finish, Finish)  # noqa: S101 - for the type checker
        trail = self.trail
        requests = sum(one.requests for one in trail)
        parts = [self._sum(part) if isinstance(part, Usage) else part for part in parts]
        return [*parts, replace(finish, trail=trail, attempts=requests)]

    def _sum(self, usage: Usage) -> Usage:
        return usage if self._spent is None else self._spent + usage

    # --- who is asked ---

    async def _begun(self) -> Running:
        """Ask until somebody begins to answer."""
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
            running = await self._as_it_is() or await self._in_line()
            if running is not None:
                return running
            delay = self._delay()
            if delay is None:
                raise self._nobody()
            await asyncio.sleep(delay)

    def _may_go_on(self) -> bool:
        """Return whether the question has requests and time left."""
        return self._left > 0 and self._ends - monotonic() > _TOO_SHORT

    def _may_answer(self, member: Member) -> bool:
        told = self._told.get(member)
        return told is None or told.until != inf

    def _is_fit(self, member: Member) -> bool:
        """Return whether a member can answer the question at all; if not, note why."""
        if member in self._told:
            return True
        reason = reason_against(member, self._request)
        if reason:
            self._pass_over(member, reason, until=inf)
        return not reason

    async def _as_it_is(self) -> Running | None:
        """Ask once more who gave no valid output, now with the caller's word on what becomes of that."""
        if self._request.on_invalid == "raise" or not self._may_go_on():
            return None
        for member, told in self._told.items():
            if isinstance(told.error, OutputError) and member not in self._as_asked:
                return await self._tried(member, self._request)
        return None

    async def _in_line(self) -> Running | None:
        """Stand in the line of one of the members whose limits have room the soonest.

        That keeps the order of those who wait, and nobody looks again and again. Those who wait are
        spread over the members that may have room about as soon: a line is for one member only, and
        where calls that still run hold the room, nobody knows when it comes back.
        """
        full = [member for member, told in self._told.items() if isinstance(told.error, QuotaSpentError)]
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
        error = self._told[member].error
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
            self._pass_by(member)
            return None
        started = monotonic()
        stream: AsyncGenerator[Batch, None] | None = None
        others = others and self._left > 1
        limit = None
        if others:
            tokens = sum([len(turn.text) for turn in request.messages]) // CHARS_PER_TOKEN
            limit = self._rules.health.first_limit(member.key, whole=not request.stream, tokens=tokens)
        last = not others or self._left <= self._most_requests
        if last:
            self._as_asked.add(member)
        self._rules.order.asked(member)
        if request.listener is not None:
            request.listener(Asking(member.backend.name, member.model, member.place))
        try:
            backend = self._reached(member, limit)
            stream = backend.answer(self._written(member, request, last=last, wait=wait))
            knows_deadlines = isinstance(getattr(backend, "timeout", None), Timeout)
            batch = await _first_of(stream, None if knows_deadlines else _least(limit, self._seconds_left()))
        except UsageError as error:
            self._rules.health.given_back(admission)
            self._told[member] = _Told(error, inf)
            self._note(member, Attempt(member.backend.name, member.model, error.message, requests=0))
        except BaseException as raised:
            its = _error_of(member, raised)
            if its is None:
                self._rules.health.given_back(admission)
                if stream is not None:
                    await stream.aclose()
                raise
            self._failed(member, admission, its, started)
        else:
            if request.stream:
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
            max_repairs=min(request.max_repairs, self._left - 1),
            patience=Patience(_ONCE, 0.0),
            wait_up_to=wait,
            listener=None,
        )

    def _on_empty(self) -> OnEmpty | None:
        """Return what an answer without a word is, of which the caller said nothing.

        It is believed, where its member allows it, of the only one, or when it has come before: whoever
        fails now and then would else pass for an answer.
        """
        again = any(isinstance(told.error, EmptyResponseError) for told in self._told.values())
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

    # --- what became of them ---

    def _failed(
        self, member: Member, admission: Admission, error: FreeProvidersError, started: float
    ) -> None:
        """Note a failure, and when the member may be asked again."""
        requests = 0
        if isinstance(error, ProviderError | OutputError):
            requests = error.attempts
        if isinstance(error, OutputError) and error.usage is not None:
            self._spent = self._sum(error.usage)
        self._left -= requests
        error.about(member.backend.name, member.model)
        self._rules.health.failed(admission, error)
        if member.guarded is not None and isinstance(error, ProviderError):
            self._take_out(member, member.guarded.refused(error))
        self._told[member] = _Told(error, _until(error))
        seconds = monotonic() - started
        self._note(member, Attempt(member.backend.name, member.model, str(error), requests, seconds))

    def _take_out(self, member: Member, reason: str) -> None:
        """Ask the account of a member no more, where an answer has shown why, and say so."""
        if reason:
            self._rules.health.take_out(member.key, reason, service=True)
            caution(f"{member.name} is not asked any more. {reason}", NotAskedWarning)

    def _note(self, member: Member, attempt: Attempt) -> None:
        """Add an attempt to the trail, and tell who listens."""
        if attempt.requests:
            self._asked.append(attempt)
            self._sent_to.add(member)
        elif member not in self._sent_to:  # else its attempts tell why
            self._passed_over[member] = attempt  # the last time counts
        if self._request.listener is not None:
            self._request.listener(attempt)

    def _pass_by(self, member: Member) -> None:
        """Note that a member is not asked in its cool-down."""
        health = self._rules.health
        state = health.state(member.key)
        told = self._told.get(member)
        if member in self._sent_to and told is not None and state.reason in str(told.error):
            self._told[member] = _Told(told.error, state.until)  # with its advice
            return
        until = health.standing(member.key).until
        when = f"Not asked before {until:%Y-%m-%d %H:%M:%S} UTC" if until else "Not asked now"
        self._pass_over(member, f"{when}: {state.reason}", until=state.until)

    def _pass_over(self, member: Member, reason: str, *, until: float | None) -> None:
        """Note that a member is not asked; `until` as in `_Told`."""
        error = ProviderError(reason, provider=member.backend.name, model=member.model)
        self._told[member] = _Told(error, until)
        if member not in self._sent_to:
            self._passed_over[member] = Attempt(member.backend.name, member.model, reason, requests=0)

    # --- when all have failed ---

    def _delay(self) -> float | None:
        """Return the seconds until somebody may be asked again; None where that is too long."""
        if self._left <= 0:
            return None
        now = monotonic()
        told = [one for one in self._told.values() if one.until != inf]
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

    def _nobody(self) -> FreeProvidersError:
        """Return the error of a question that nobody has answered."""
        errors = [told.error for told in self._told.values()]
        for error in reversed(errors):
            if isinstance(error, OutputError):
                return error  # the models have answered, but not with what was asked for
        for kind in (UsageError, BadRequestError, ContentFilterError):
            if errors and all(isinstance(error, kind) for error in errors):
                return errors[0]  # the question is at fault, whoever is asked
        until = min((one.until for one in self._told.values() if one.until is not None), default=inf)
        error = NoProviderError(
            " ".join(self._why_nobody(errors)),
            trail=self.trail,
            provider=self._name,
        )
        error.is_retryable = any(error.is_retryable for error in errors)
        if until != inf:
            wait = max(0.0, until - monotonic())
            error.retry_after = round(wait, 3)
            error.soonest = datetime.now(UTC) + timedelta(seconds=wait)
            error.is_retryable = True
        return error

    def _why_nobody(self, errors: Iterable[FreeProvidersError]) -> Iterator[str]:
        """Say in sentences why nobody has answered, and what to do."""
        if not self._members:
            yield "There is nobody to ask."
            yield in_words(self._found.skipped)
            yield 'Set the key of a service, or install "freeproviders[embedded]" for one on this machine.'
            return
        yield "Nobody has answered."
        yield from map(str, errors)
        unasked = [member.name for member in self._members if member not in self._told]
        others = f", and {', '.join(unasked)} not asked" if unasked else ""
        rules = self._rules
        if self._left <= 0:
            yield f"The requests of one question are used up (max_requests={rules.max_requests}){others}."
        elif not self._may_go_on() and rules.timeout is not None:
            yield f"The {rules.timeout.total:g} s of the question (timeout) are over{others}."


def _error_of(member: Member, raised: BaseException, *, begun: bool = False) -> FreeProvidersError | None:
    """Read what a member raised as an error of the tree; None where it is none of the member's.

    A backend of the caller's own may raise the exceptions of any library. In one of ours they are
    mistakes, which nobody should overlook.
    """
    if isinstance(raised, FreeProvidersError):
        return raised
    if not isinstance(raised, Exception) or member.place != "given":
        return None
    error = translated(raised, begun=begun)
    error.__cause__ = raised
    return error


def _until(error: FreeProvidersError) -> float | None:
    """Return when (monotonic) a member that said this may be asked again; see `_Told`."""
    if isinstance(error, OutputError | BadRequestError | ContentFilterError):
        return inf
    if not isinstance(error, ProviderError):
        return inf
    if isinstance(error, QuotaSpentError) and error.earliest is not None:
        return monotonic() + max(0.0, (error.earliest - datetime.now(UTC)).total_seconds())
    if error.soonest is not None:
        return monotonic() + max(0.0, (error.soonest - datetime.now(UTC)).total_seconds())
    if error.retry_after is not None:
        return monotonic() + error.retry_after
    return None if error.is_retryable or isinstance(error, ProviderTimeoutError) else inf


async def _first_of(stream: AsyncGenerator[Batch, None], limit: float | None) -> Batch:
    """Read the first parts of an answer; `limit` is for backends that know no deadlines themselves."""
    try:
        async with asyncio.timeout(limit) as deadline:
            return await stream.__anext__()
    except StopAsyncIteration:
        raise EmptyResponseError("The answer is empty: it has not even an end.") from None
    except TimeoutError as error:
        if not deadline.expired():
            raise  # the member's own
        raise ProviderTimeoutError(f"No content came within {limit:g} s.", phase="first content") from error


def _least(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
