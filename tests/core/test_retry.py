"""When to try again is one function over the error."""

import pytest

from freeproviders import errors
from freeproviders.providers.free_netfly import FreeNetfly
from freeproviders.retry import Patience, Retry
from freeproviders.types import ChatRequest, Message


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


def test_a_caller_with_a_limit_of_its_own_is_not_kept_longer():
    """`wait_up_to` replaces the rule for Retry-After, in both directions."""
    busy = errors.RateLimitError("x", retry_after=3)
    assert Patience(Retry(jitter=0)).delay(busy) == 3
    assert Patience(Retry(jitter=0), 0).delay(busy) is None
    assert Patience(Retry(jitter=0), 2.9).delay(busy) is None
    assert Patience(Retry(jitter=0, retry_after_cap=1), 3).delay(busy) == 3
    assert Patience(Retry(jitter=0), 0).delay(errors.ServerError("x")) == 0.5


def test_invited_waits_have_a_sum_of_their_own():
    """They spend neither attempts nor the budget, and the budget's waits do not spend them."""
    patience = Patience(Retry(attempts=3, first=2, factor=1, jitter=0, budget=4), 6)
    busy = errors.RateLimitError("x", retry_after=3)
    assert patience.delay(busy) == 3
    assert patience.delay(errors.ServerError("x")) == 2
    assert patience.delay(busy) == 3
    assert patience.delay(errors.ServerError("x")) == 2
    assert patience.delay(busy) is None
    assert patience.delay(errors.ServerError("x")) is None


def test_who_invites_back():
    """A service that is down for a while says when to come back as a busy one does."""
    invited = [errors.RateLimitError, errors.QuotaExceededError, errors.ServerError]
    for cls in invited:
        assert Patience(Retry(attempts=1), 5).delay(cls("x", status=503, retry_after=3)) == 3
        assert Patience(Retry(attempts=1), 5).delay(cls("x", status=503)) is None
    assert Patience(Retry(), 5).delay(errors.BlockedError("x", retry_after=3)) is None


def test_a_request_carries_the_patience_of_its_call():
    request = ChatRequest(messages=(Message("user", "Hi"),), wait_up_to=3)
    patience = Patience.of(request, Retry())
    assert patience.delay(errors.RateLimitError("x", retry_after=3)) == 3
    assert Patience.of(ChatRequest(messages=(), patience=patience), Retry()) is patience


def test_of():
    """A number is the retries after the first attempt; all else is the default's."""
    own = Retry(longest=1, retry_after_cap=2, budget=3)
    assert Retry.of(4, own) == Retry(attempts=5, longest=1, retry_after_cap=2, budget=3)
    assert Retry.of(0, Retry()).attempts == 1
    assert Retry.of(None, FreeNetfly.default_retry) is FreeNetfly.default_retry
    assert Retry.of(2, FreeNetfly.default_retry) == Retry(attempts=3, first=2, jitter=0)
    for bad in (-1, 1.5, True, "3"):
        with pytest.raises(errors.UsageError):
            Retry.of(bad, Retry())
    with pytest.raises(errors.UsageError):
        Retry(attempts=0)
