"""Retries: whether and when to send a failed request again."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Final, Protocol

from freeproviders.checks import whole_number
from freeproviders.errors import ProviderError, RateLimitError, UsageError
from freeproviders.naming import argument
from freeproviders.records import record

SHORTEST_INVITED_WAIT: Final = 0.5
"""Seconds; some services say "come back in 0 s" again and again."""


@record
class Retry:
    """Exponential backoff for requests of which nothing has been shown to the caller.

    `attempts` counts requests in all, so 1 never retries. The waits are `first`, `first * factor`,
    ... seconds, none above `longest`, each shortened at random by up to `jitter` of itself. A
    Retry-After of the service replaces the wait if it is longer; above `retry_after_cap` the error
    is raised instead, since the service wants to be left alone for longer than a caller waits.
    `budget` bounds all waits of a call by this rule.
    """

    attempts: int = 3
    first: float = 0.5
    factor: float = 2.0
    longest: float = 30.0
    jitter: float = 0.25
    retry_after_cap: float = 30.0
    budget: float = 120.0

    def __post_init__(self) -> None:
        numbers = (self.first, self.factor, self.longest, self.jitter, self.retry_after_cap, self.budget)
        whole_number("retry: attempts", self.attempts, 1)
        right = all(isinstance(number, int | float) and number >= 0 for number in numbers)
        if not right or self.jitter > 1:
            raise UsageError(
                f"{argument('retry')}: jitter must be within 0..1 and all other numbers at least 0, "
                f"not {self}."
            )

    @classmethod
    def of(cls, value: Retry | int | None, default: Retry) -> Retry:
        """Read what a caller passed: None is the default, a number is that of the retries."""
        if value is None:
            return default
        if isinstance(value, Retry):
            return value
        whole_number("retry (a Retry or a number of retries)", value, 0)
        return replace(default, attempts=value + 1)

    def delay(self, error: Exception, failed: int, waited: float = 0.0) -> float | None:
        """Return the seconds to wait after `failed` requests; None to give up.

        `error` is that of the last request.
        """
        if not isinstance(error, ProviderError) or not error.is_retryable or failed >= self.attempts:
            return None
        delay = self._backoff(failed)
        if error.retry_after is not None:
            if error.retry_after > self.retry_after_cap:
                return None
            delay = max(delay, error.retry_after)
        return delay if waited + delay <= self.budget else None

    def _backoff(self, failed: int) -> float:
        try:
            delay = min(self.first * self.factor ** (failed - 1), self.longest)
        except OverflowError:
            delay = self.longest
        return delay * (1 - self.jitter * random.random())  # noqa: S311 - spreading load, not a secret


class Patient(Protocol):
    """A request, as far as waiting goes."""

    @property
    def patience(self) -> Patience | None:
        """The patience of the call that it is a part of."""

    @property
    def wait_up_to(self) -> float | None:
        """Seconds that the call may wait for a service that says when to come back."""


class Patience:
    """The patience of one call: its failed requests so far, and the seconds it has waited.

    `wait_up_to` None leaves everything to the `Retry`. A number is the seconds that the call may
    wait in all for a service that says when to come back, in place of the rule for Retry-After;
    these waits spend neither attempts nor the budget.

    A call that asks several times has one patience, which its requests carry.
    """

    __slots__ = ("_failed", "_invited", "_retry", "_wait_up_to", "_waited", "judged")

    def __init__(self, retry: Retry, wait_up_to: float | None = None) -> None:
        self._retry = retry
        self._wait_up_to = wait_up_to
        self._failed = 0
        self._waited = 0.0
        self._invited = 0.0
        self.judged = 0
        """The requests whose errors have been judged."""

    @classmethod
    def of(cls, request: Patient, retry: Retry) -> Patience:
        """Return the patience of the call that a request is a part of; without one, begin it."""
        patience: Patience | None = request.patience
        return cls(retry, request.wait_up_to) if patience is None else patience

    def delay(self, error: ProviderError, requests: int = 1) -> float | None:
        """Return the seconds to wait after this error of so many requests; None to give up."""
        self.judged += requests
        if self._wait_up_to is not None and error.retry_after is not None and _invites(error):
            after = max(error.retry_after, SHORTEST_INVITED_WAIT)
            if self._invited + after > self._wait_up_to:
                return None
            self._invited += after
            return after
        self._failed += requests
        delay = self._retry.delay(error, self._failed, self._waited)
        if delay is not None:
            self._waited += delay
        return delay


def _invites(error: ProviderError) -> bool:
    """Return whether a Retry-After beside an error invites back, as a busy service's does."""
    return error.is_retryable or isinstance(error, RateLimitError)
