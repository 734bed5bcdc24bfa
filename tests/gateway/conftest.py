"""What the tests of the gateway share: a ledger for each test, and gateways to replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.gateway import Gateway, serve
from freeproviders.testing import Replica, replica

HI: list[Any] = [{"role": "user", "content": "Hi"}]


@pytest.fixture(autouse=True)
def own_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEPROVIDERS_QUOTA", str(tmp_path / "ledger.sqlite"))


Through = Callable[..., tuple[Replica, Gateway]]


@pytest.fixture
def through() -> Iterator[Through]:
    """Start a replica and a gateway to it; both end with the test."""
    with ExitStack() as stack:

        def start(
            provider: Any = OpenAICompatible,
            answer: Any = None,
            *,
            faults: Any = None,
            claims: dict[str, Any] | None = None,
            options: dict[str, Any] | None = None,
            **given: Any,
        ) -> tuple[Replica, Gateway]:
            """`claims` go to the provider, `options` to the replica, all else to the gateway."""
            server = stack.enter_context(replica(provider, answer, faults=faults, **(options or {})))
            model = "m" if provider is OpenAICompatible else None
            backend = provider(model, base_url=server.base_url, **(claims or {}))
            given.setdefault("embedder", None)
            return server, stack.enter_context(serve(backend, **given))

        yield start


@pytest.fixture
def flow(through: Through) -> tuple[Replica, Gateway]:
    """A service without history, tools and schemas, with an answer of three words."""
    return through(FlowGpt, "Hello there, friend")


_clients: list[openai.OpenAI] = []


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    yield
    while _clients:
        _clients.pop().close()


def client(gateway: Gateway, **options: Any) -> openai.OpenAI:
    """OpenAI's own client, which asks once where nothing else is said; the test's end closes it."""
    made = openai.OpenAI(base_url=gateway.base_url, **{"api_key": "any", "max_retries": 0, **options})
    _clients.append(made)
    return made


def async_client(gateway: Gateway, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=gateway.base_url, **{"api_key": "any", "max_retries": 0, **options})
