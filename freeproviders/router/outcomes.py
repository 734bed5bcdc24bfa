"""What became of the members of one question: the trail, and when each may be asked again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from time import monotonic
from typing import NamedTuple

from freeproviders import journal
from freeproviders.checks import caution
from freeproviders.errors import (
    BadRequestError,
    ContentFilterError,
    FreeProvidersError,
    NoProviderError,
    NotAskedWarning,
    OutputError,
    ProviderError,
    ProviderTimeoutError,
    QuotaSpentError,
    UsageError,
)
from freeproviders.naming import marked
from freeproviders.router.health import Admission, Health
from freeproviders.router.member import Member
from freeproviders.types import Attempt, Batch, Finish, Listener, Usage


class Told(NamedTuple):
    """What a member's failure means for the rest of the question.

    `until` is the monotonic time at which it may be asked again, `inf` for never, None for a while
    of unknown length.
    """

    error: FreeProvidersError
    until: float | None


class Outcomes:
    """What became of each member so far.

    Attributes:
        left: how many HTTP requests the question may still take.
        told: what each member said last that gave no answer.
    """

    def __init__(self, health: Health, name: str, requests: int, listener: Listener | None) -> None:
        self.left = requests
        self.told: dict[Member, Told] = {}
        self._health = health
        self._name = name
        self._listener = listener
        self._asked: list[Attempt] = []
        self._sent_to: set[Member] = set()
        self._passed_over: dict[Member, Attempt] = {}
        self._spent: Usage | None = None
        self._logged = journal.router.isEnabledFor(journal.INFO)

    @property
    def trail(self) -> tuple[Attempt, ...]:
        """What became of each member: those that were passed over first, then the attempts in order."""
        return (*self._passed_over.values(), *self._asked)

    def answered(
        self, member: Member, admission: Admission, batch: Batch, *, first: float | None, started: float
    ) -> None:
        """Note a whole answer of a member: its last parts, and the seconds until its first content."""
        finish = batch[-1]
        assert isinstance(finish, Finish)  # noqa: S101 - for the type checker
        usage = next((part for part in batch if isinstance(part, Usage)), None)
        seconds = monotonic() - started
        if finish.cached:  # which says nothing of the member
            self._health.given_back(admission)
        else:
            self._health.answered(admission, first=first, whole=seconds)
        if member.guarded is not None:
            self._take_out(member, member.guarded.answered(finish, usage))
        self.left -= finish.attempts
        self._say(member, "answered in %.2f s", seconds)
        self._note(member, Attempt(member.backend.name, member.model, "", finish.attempts, seconds))

    def ending(self, batch: Batch) -> Batch:
        """Say in the last parts how the answer came about, and what all of it has cost."""
        *parts, finish = batch
        assert isinstance(finish, Finish)  # noqa: S101 - for the type checker
        trail = self.trail
        requests = sum(one.requests for one in trail)
        parts = [self._summed(part) if isinstance(part, Usage) else part for part in parts]
        return [*parts, replace(finish, trail=trail, attempts=requests)]

    def _summed(self, usage: Usage) -> Usage:
        return usage if self._spent is None else self._spent + usage

    def failed(self, member: Member, admission: Admission, error: FreeProvidersError, started: float) -> None:
        """Note a failure, and when the member may be asked again."""
        requests = 0
        if isinstance(error, ProviderError | OutputError):
            requests = error.attempts
        if isinstance(error, OutputError) and error.usage is not None:
            self._spent = self._summed(error.usage)
        self.left -= requests
        error.about(member.backend.name, member.model)
        self._health.failed(admission, error)
        if member.guarded is not None and isinstance(error, ProviderError):
            self._take_out(member, member.guarded.refused(error))
        self.told[member] = Told(error, until_of(error))
        seconds = monotonic() - started
        self._say(member, "failed after %.2f s: %s", seconds, journal.reason(error))
        self._note(member, Attempt(member.backend.name, member.model, error.wording, requests, seconds))

    def _take_out(self, member: Member, reason: str) -> None:
        """Ask the account of a member no more, where an answer has shown why, and say so."""
        if reason:
            self._say(member, "taken out: its account is not as it was said to be")
            self._health.take_out(member.key, reason, service=True)
            caution(f"{member.name} is not asked any more. {reason}", NotAskedWarning)

    def _say(self, member: Member, what: str, *facts: object) -> None:
        """Say in the log what became of a member."""
        if self._logged:
            subject = journal.shown(f"{self._name}: {member.name}")
            journal.router.info(f"%s: {what}", subject, *facts)

    def _note(self, member: Member, attempt: Attempt) -> None:
        """Add an attempt to the trail, and tell the listener."""
        if attempt.requests:
            self._asked.append(attempt)
            self._sent_to.add(member)
        elif member not in self._sent_to:  # else its attempts tell why
            self._passed_over[member] = attempt  # the last time counts
        if self._listener is not None:
            self._listener(attempt)

    def pass_by(self, member: Member) -> None:
        """Note that a member is not asked in its cool-down."""
        health = self._health
        state = health.state(member.key)
        told = self.told.get(member)
        if member in self._sent_to and told is not None and state.reason in str(told.error):
            self.told[member] = Told(told.error, state.until)  # with its advice
            return
        until = health.standing(member.key).until
        when = f"Not asked before {until:%Y-%m-%d %H:%M:%S} UTC" if until else "Not asked now"
        if state.name == "out" and until is None:
            when = f"Not asked until `freeproviders quota reset {member.key.service.partition(' ')[0]}`"
        self.pass_over(member, ProviderError(f"{when}: {state.reason}"), until=state.until)

    def pass_over(self, member: Member, error: FreeProvidersError, *, until: float | None) -> None:
        """Note that a member is not asked, and why; `until` as in `Told`."""
        self.told[member] = Told(error.about(member.backend.name, member.model), until)
        self._say(member, "passed over%s: %s", " now" if until != inf else "", journal.reason(error))
        if member not in self._sent_to:
            self._passed_over[member] = Attempt(member.backend.name, member.model, error.message, requests=0)

    def unusable(self, member: Member, error: UsageError) -> None:
        """Note that a member cannot be asked this question at all."""
        self.told[member] = Told(error, inf)
        self._say(member, "cannot be asked: %s", journal.reason(error))
        self._note(member, Attempt(member.backend.name, member.model, error.message, requests=0))

    def unanswered(self, why: Iterable[str]) -> FreeProvidersError:
        """Return the error of a question that no member answered; `why` are sentences beside the errors."""
        errors = [told.error for told in self.told.values()]
        for error in reversed(errors):
            if isinstance(error, OutputError):
                return error  # the models have answered, but not with what was asked for
        for kind in (UsageError, BadRequestError, ContentFilterError):
            if errors and all(isinstance(error, kind) for error in errors):
                return errors[0]  # the question is at fault, not a member
        out = [member for member in self.told if self._health.state(member.key).name == "out"]
        until = min(
            (one.until for member, one in self.told.items() if one.until is not None and member not in out),
            default=inf,
        )
        error = NoProviderError(
            " ".join(
                ["No member has answered.", *(marked(one.wording) for one in errors), *why] if errors else why
            ),
            trail=self.trail,
            waiting_helps=not out or len(out) < len(self.told),
            provider=self._name,
        )
        error.is_retryable = any(error.is_retryable for error in errors)
        if until != inf:
            wait = max(0.0, until - monotonic())
            error.retry_after = round(wait, 3)
            error.soonest = datetime.now(UTC) + timedelta(seconds=wait)
            error.is_retryable = True
        return error


def until_of(error: FreeProvidersError) -> float | None:
    """Return when (monotonic) a member that said this may be asked again; see `Told`."""
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
