"""The tree is what its docstring says, errors pickle and explain themselves."""

import asyncio
import inspect
import pickle
import re

import aiohttp
import pytest

from freeproviders import errors

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
