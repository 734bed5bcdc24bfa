"""The tree is what its docstring says, errors pickle and explain themselves."""

import asyncio
import inspect
import pickle
import re
from datetime import UTC, date, datetime, timedelta, timezone

import aiohttp
import pytest

from freeproviders import errors
from freeproviders.wire.limits import Allowance

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, errors.FreeProvidersError)
]


def test_docstring_is_the_tree():
    """Every class stands in the docstring under its parent, and no other."""
    drawn, path = {}, []
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ((?:[│ ]   )*(?:[├└]── )?)(\w+)", line)
        if not match or not match[2].endswith("Error"):
            continue
        depth = len(match[1]) // 4
        path[depth:] = [match[2]]
        drawn[match[2]] = path[depth - 1] if depth else None
    actual = {
        cls.__name__: next(
            (b.__name__ for b in cls.__bases__ if issubclass(b, errors.FreeProvidersError)), None
        )
        for cls in CLASSES
    }

    assert drawn == actual


@pytest.mark.parametrize("cls", CLASSES)
def test_pickles(cls):
    """An error survives a pickle with all it knows."""
    error = cls("what happened.", provider="P", model="m")
    error.retry_after = 3.0
    error.soonest = datetime(2026, 11, 22, tzinfo=UTC)
    error.allowances = (Allowance("requests", "day", cap=50, remaining=0, reset_at=error.soonest),)

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is cls
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__


@pytest.mark.parametrize(
    ("cls", "also"),
    [
        (errors.UsageError, ValueError),
        (errors.MissingDependencyError, ImportError),
        (errors.ProviderError, aiohttp.ClientError),
        (errors.ProviderTimeoutError, asyncio.TimeoutError),
        (errors.RateLimitError, aiohttp.ClientError),
        (errors.MissingPageDataError, RuntimeError),
        (errors.EmbeddedModelError, RuntimeError),
    ],
)
def test_is_also(cls, also):
    """Callers may catch what they always caught."""
    with pytest.raises(also):
        raise cls("x")


def test_says_who_what_and_what_now():
    """The message has it all on one line."""
    error = errors.AuthenticationError(
        "no key.", provider="P", model="m", status=401, body="denied", env="P_API_KEY", retry_after=2
    )

    assert str(error) == (
        "[P m] HTTP 401: no key. The answer began: 'denied'. Try again in 2 s. Set P_API_KEY or pass api_key."
    )


def test_a_services_own_words_end_before_ours_begin():
    """Status phrases have no full stop."""
    assert str(errors.RateLimitError("Too Many Requests", status=429, retry_after=60)).startswith(
        "HTTP 429: Too Many Requests. Try again in 60 s."
    )


def test_the_soonest_time_is_told_where_seconds_say_little():
    """It is told in UTC, whatever zone it came in, from an hour on or where no seconds are known."""
    error = errors.QuotaExceededError("All used", status=429)
    error.soonest = datetime(2026, 11, 22, 1, 30, tzinfo=timezone(timedelta(hours=1)))

    assert str(error) == "HTTP 429: All used. Try again at 2026-11-22 00:30 UTC."
    error.retry_after = 7200
    assert str(error) == "HTTP 429: All used. Try again at 2026-11-22 00:30 UTC."
    error.retry_after = 59.5
    assert str(error) == "HTTP 429: All used. Try again in 59.5 s."


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            errors.MissingKeyError(
                "The service wants a key.",
                provider="Groq",
                keys=["GROQ_API_KEY", "GROQ_KEY"],
                key_address="https://console.groq.example/keys",
            ),
            (
                "[Groq] The service wants a key. Set GROQ_API_KEY or GROQ_KEY, or pass api_key. "
                "Keys are issued at <https://console.groq.example/keys>."
            ),
        ),
        (errors.MissingKeyError("The service wants a key."), "The service wants a key."),
        (
            errors.CatalogueError("base_url is missing.", file="/etc/own.toml", line=3),
            "/etc/own.toml, line 3: base_url is missing.",
        ),
        (errors.CatalogueError("It is no TOML.", file="own.toml"), "own.toml: It is no TOML."),
        (errors.CatalogueError("It is no TOML."), "It is no TOML."),
        (
            errors.RetiredModelError(
                "There is no such model", status=404, successor="b", retired_on=date(2026, 8, 16)
            ),
            "HTTP 404: There is no such model. It is gone since 2026-08-16. Use b in its place.",
        ),
        (errors.RetiredModelError("It is gone."), "It is gone. Use another model."),
    ],
)
def test_what_a_catalogue_adds(error, says):
    """The way out is in the sentence, and travels with the error."""
    assert str(error) == says
    assert pickle.loads(pickle.dumps(error)).__dict__ == error.__dict__
