"""A pytest plugin with replicas as fixtures; pytest finds it once freeproviders is installed.

`provider_replica` starts any replica, `provider_replica(service="groq")` that of a service of the
catalogue; `flow_gpt_replica` and its like are made from the provider table. No replica is imported
before a fixture is used, since the plugin is loaded in every run wherever the package is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from freeproviders.providers import PROVIDERS, Row

if TYPE_CHECKING:
    from freeproviders.testing.running import Replica


@pytest.fixture
def provider_replica() -> Iterator[Callable[..., Replica]]:
    """Start a replica as `freeproviders.testing.replica` does; it stops when the test ends."""
    from freeproviders.testing.running import Replica  # noqa: PLC0415 - see above

    with ExitStack() as stack:

        def start(provider: object = None, answer: Any = None, **options: Any) -> Replica:
            return stack.enter_context(Replica(provider, answer, **options))

        yield start


def _fixture(row: Row) -> Callable[..., Replica]:
    def running(provider_replica: Callable[..., Replica]) -> Replica:
        return provider_replica(row.slug)

    running.__doc__ = f"A replica of {row.name} that echoes the last user message."
    return pytest.fixture(running)


for _row in PROVIDERS:
    if _row.replica:
        globals()[f"{_row.replica.partition(':')[0]}_replica"] = _fixture(_row)
