"""What all tests share: the embedded models' weights, fetched once a session. A machine that cannot have them fails the tests and does not skip them."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from freeproviders import Embedded
from freeproviders.embedded.fetch import fetch
from freeproviders.embedded.weights import weights_named

FETCHING_SECONDS = 900

# Where the tests run in the background, Ctrl-C is ignored by them and by all that they start, and some of them press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that needs the weights also waits for them."""
    for item in items:
        if item.get_closest_marker("real") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FETCHING_SECONDS))


@pytest.fixture(scope="session")
def weights_135m() -> Path:
    """The smallest model's file: quick and silly, for plumbing."""
    return asyncio.run(fetch(weights_named("smollm2-135m")))


@pytest.fixture(scope="session")
def weights_05b() -> Path:
    """The default model's file: for answers that make sense."""
    return asyncio.run(fetch(weights_named("qwen2.5-coder-0.5b")))


@pytest.fixture(scope="session")
def embedded_135m(weights_135m: Path) -> Embedded:
    """The smallest model as a provider; good for any loop and thread."""
    assert weights_135m.exists()
    return Embedded("smollm2-135m", prompt_cache=False)


@pytest.fixture(scope="session")
def embedded_05b(weights_05b: Path) -> Embedded:
    """The default model as a provider; good for any loop and thread."""
    assert weights_05b.exists()
    return Embedded("qwen2.5-coder-0.5b", prompt_cache=False)
