"""When to try again: one function over the error."""

from __future__ import annotations

import random
from dataclasses import dataclass

from freeproviders.errors import ProviderError, UsageError


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff. Only a request that has emitted nothing is ever sent again.

    `attempts` counts requests in all, so 1 never retries. The waits are `first`, `first * factor`, ... seconds, none above `longest`, each
    shortened at random by up to `jitter` of itself. A Retry-After of the service replaces the wait if it is longer; above `retry_after_cap` the
    error is raised instead, since the service wants to be left alone for longer than a caller waits. `budget` bounds all waits of a call together.
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
        right = (
            isinstance(self.attempts, int)
            and self.attempts >= 1
            and all(isinstance(number, int | float) and number >= 0 for number in numbers)
        )
        if not right or self.jitter > 1:
            raise UsageError(
                f"retry: attempts must be a whole number of at least 1, jitter within 0..1 and all else not negative, not {self}."
            )

    @classmethod
    def of(cls, value: Retry | int | None, default: Retry) -> Retry:
        """Read what a caller passed: None is the default, a number the retries after the first attempt."""
        if value is None:
            return default
        if isinstance(value, Retry):
            return value
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise UsageError(f"retry must be a Retry or a number of retries of at least 0, not {value!r}.")
        return cls(attempts=value + 1, first=default.first, factor=default.factor, jitter=default.jitter)

    def delay(self, error: Exception, attempt: int, waited: float = 0.0) -> float | None:
        """Seconds to wait after the `attempt`-th request failed with `error`, or None to give up."""
        if not isinstance(error, ProviderError) or not error.is_retryable or attempt >= self.attempts:
            return None
        try:
            delay = min(self.first * self.factor ** (attempt - 1), self.longest)
        except OverflowError:
            delay = self.longest
        delay *= 1 - self.jitter * random.random()  # noqa: S311 - spreading load, not a secret
        if error.retry_after is not None:
            if error.retry_after > self.retry_after_cap:
                return None
            delay = max(delay, error.retry_after)
        return delay if waited + delay <= self.budget else None


NO_RETRY = Retry(attempts=1)
