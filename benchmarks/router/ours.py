"""Our router over the services, told their limits as their rows would have them."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from benchmarks.router.plan import MAX_TOKENS, Plan, question
from benchmarks.router.services import lines_of, row_of
from freeproviders import FreeProviders, OpenAICompatible, Quota, Timeout
from freeproviders.types import Text

ATTEMPTS = 12
WAIT_SECONDS = 60.0
TRANSIT_SECONDS = 0.5


def make(name: str, plan: Plan, addresses: dict[str, str]) -> Ours:
    return Ours(plan, addresses)


def members_of(
    plan: Plan, addresses: dict[str, str], ledger: Path, first: float, transit: float
) -> list[OpenAICompatible]:
    """The services as backends, each with its limits in one ledger."""
    return [
        OpenAICompatible(
            service=row_of(one),
            base_url=addresses[one.name],
            api_key="key",
            timeout=Timeout(first_content=first, stall=first),
            quota=Quota(lines_of(one), name=one.name, ledger=ledger, transit=transit),
        )
        for one in plan.members
    ]


class Ours:
    """`FreeProviders`, which goes on where an answer breaks off."""

    def __init__(
        self,
        plan: Plan,
        addresses: dict[str, str],
        *,
        first: float | None = None,
        transit: float = TRANSIT_SECONDS,
    ) -> None:
        self.folder = tempfile.TemporaryDirectory()
        ledger = Path(self.folder.name) / "quota.db"
        self.router = FreeProviders(
            *members_of(plan, addresses, ledger, first or plan.silence, transit),
            strategy="spread",
            on_broken_stream="continue",
            max_requests=ATTEMPTS,
            ledger=ledger,
        )
        self.settings = {
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
            "wait_up_to": WAIT_SECONDS,
            "on_empty": "error",
        }
        self.stream = plan.stream

    async def ask(self, number: int) -> AsyncIterator[str]:
        if not self.stream:
            yield (await self.router.complete(question(number), **self.settings)).text
            return
        async for part in self.router.stream(question(number), **self.settings):
            if type(part) is Text:
                yield part.text

    def ask_sync(self, number: int) -> Iterator[str]:
        if not self.stream:
            yield self.router.complete_sync(question(number), **self.settings).text
            return
        for part in self.router.stream_sync(question(number), **self.settings):
            if type(part) is Text:
                yield part.text

    async def close(self) -> None:
        self.folder.cleanup()
