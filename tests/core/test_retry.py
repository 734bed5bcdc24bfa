"""When to try again is one function over the error."""

import pytest

from freeproviders import errors
from freeproviders.providers.free_netfly import FreeNetfly
from freeproviders.retry import Retry


def test_free_netfly_page():
    """FreeNetfly's page says: 5 attempts, 2 seconds, doubling."""
    retry = FreeNetfly.default_retry
    waits = [retry.delay(errors.ServerError("x"), attempt) for attempt in range(1, 6)]
    assert waits == [2, 4, 8, 16, None]


def test_backoff_jitter_and_limits():
    """Waits grow and are shortened by at most the jitter.

    They end with the attempts, the longest wait or the budget.
    """
    retry = Retry(attempts=4, first=1, factor=3, longest=5, jitter=0.5, budget=7)
    error = errors.ProviderConnectionError("x")
    for _ in range(50):
        assert 0.5 <= retry.delay(error, 1) <= 1
        assert 1.5 <= retry.delay(error, 2) <= 3
        assert 2.5 <= retry.delay(error, 3) <= 5
    assert retry.delay(error, 4) is None
    assert Retry(jitter=0, budget=1).delay(error, 1, waited=0.9) is None


def test_retry_after_is_honoured_up_to_the_cap():
    """The service's word wins over a shorter wait; a longer one than the cap is for the caller to know."""
    retry = Retry(first=1, jitter=0, retry_after_cap=10)
    assert retry.delay(errors.RateLimitError("x", retry_after=7), 1) == 7
    assert retry.delay(errors.RateLimitError("x", retry_after=0.1), 1) == 1
    assert retry.delay(errors.RateLimitError("x", retry_after=11), 1) is None


@pytest.mark.parametrize(
    "error",
    [
        errors.BadRequestError("x"),
        errors.QuotaExceededError("x"),
        errors.BlockedError("x"),
        errors.UsageError("x"),
        ValueError("x"),
    ],
)
def test_what_is_not_tried_again(error):
    """A refusal stays a refusal."""
    assert Retry().delay(error, 1) is None


def test_of():
    """A number is the retries after the first attempt."""
    assert Retry.of(0, Retry()).attempts == 1
    assert Retry.of(None, FreeNetfly.default_retry) is FreeNetfly.default_retry
    assert Retry.of(2, FreeNetfly.default_retry) == Retry(attempts=3, first=2, jitter=0)
    for bad in (-1, 1.5, True, "3"):
        with pytest.raises(errors.UsageError):
            Retry.of(bad, Retry())
    with pytest.raises(errors.UsageError):
        Retry(attempts=0)
