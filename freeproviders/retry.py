"""Retries: whether and when to send a failed request again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from freeproviders.checks import whole_number
from freeproviders.errors import ProviderError, RateLimitError, UsageError

_SHORTEST_INVITED_WAIT: Final = 0.5
"""Seconds; some services say "come back in 0 s" again and again."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff for requests of which nothing has been shown to the caller.

    `attempts` counts requests in all, so 1 never retries. The waits are `first`, `first * factor`,
    ... seconds, none above `longest`, each shortened at random by up to `jitter` of itself. A
    Retry-After of the service replaces the wait if it is longer; above `retry_after_cap` the error
    is raised instead, since the service wants to be left alone for longer than a caller waits.
    `budget` bounds all waits of a call.
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
                f"retry: jitter must be within 0..1 and all other numbers at least 0, not {self}."
            )

    @classmethod
    def of(cls, value: Retry | int | None, default: Retry) -> Retry:
        """Read what a caller passed: None is the default, a number is that of the retries."""
        if value is None:
            return default
        if isinstance(value, Retry):
            return value
        whole_number("retry (a Retry or a number of retries)", value, 0)
        return cls(attempts=value + 1, first=default.first, factor=default.factor, jitter=default.jitter)

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


class Patience:
    """The patience of one call: its failed requests so far, and the seconds it has waited.

    `wait_up_to` None leaves everything to the `Retry`. A number is the seconds that the call may
    wait in all for a service that is busy and says when to come back; that spends no attempts.
    """

    __slots__ = ("_failed", "_retry", "_wait_up_to", "_waited")

    def __init__(self, retry: Retry, wait_up_to: float | None = None) -> None:
        self._retry = retry
        self._wait_up_to = wait_up_to
        self._failed = 0
        self._waited = 0.0

    def delay(self, error: ProviderError, requests: int = 1) -> float | None:
        """Return the seconds to wait after this error of so many requests; None to give up."""
        delay = self._invited_back(error)
        if delay is None:
            self._failed += requests
            delay = self._retry.delay(error, self._failed, self._waited)
        if delay is not None:
            self._waited += delay
        return delay

    def _invited_back(self, error: ProviderError) -> float | None:
        """Return the seconds until the time a busy service named, if the caller waits so long."""
        if self._wait_up_to is None or not isinstance(error, RateLimitError) or error.retry_after is None:
            return None
        after = max(error.retry_after, _SHORTEST_INVITED_WAIT)
        return after if self._waited + after <= self._wait_up_to else None
