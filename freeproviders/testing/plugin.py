"""A pytest plugin with replicas as fixtures; pytest finds it by itself once freeproviders is installed.

Nothing is imported before a fixture is used: the plugin is loaded in every run of everybody who has the package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from freeproviders.testing.running import Replica


@pytest.fixture
def provider_replica() -> Iterator[Callable[..., Replica]]:
    """Start a replica as `freeproviders.testing.replica` does; it stops when the test ends."""
    from freeproviders.testing.running import Replica  # noqa: PLC0415 - see above

    with ExitStack() as stack:

        def start(provider: object, answer: Any = None, **options: Any) -> Replica:
            return stack.enter_context(Replica(provider, answer, **options))

        yield start


@pytest.fixture
def free_netfly_replica(provider_replica: Callable[..., Replica]) -> Replica:
    """A replica of FreeNetfly that echoes the last user message."""
    return provider_replica("free-netfly")


@pytest.fixture
def chatgpt_free_replica(provider_replica: Callable[..., Replica]) -> Replica:
    """A replica of ChatgptFree that echoes the prompt."""
    return provider_replica("chatgpt-free")


@pytest.fixture
def flow_gpt_replica(provider_replica: Callable[..., Replica]) -> Replica:
    """A replica of FlowGpt that echoes the last user message."""
    return provider_replica("flow-gpt")


@pytest.fixture
def ai_chat_free_replica(provider_replica: Callable[..., Replica]) -> Replica:
    """A replica of AIChatFree that echoes the last user message."""
    return provider_replica("ai-chat-free")


@pytest.fixture
def openai_replica(provider_replica: Callable[..., Replica]) -> Replica:
    """A replica of the OpenAI protocol that echoes the last user message."""
    return provider_replica("openai-compatible")
