"""A service over HTTP: its refusals, the limits that it announces, and the ledger of its limits.

What chat and embeddings have in common; what is written and read is the subclass's.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from freeproviders.addresses import is_loopback
from freeproviders.configuration import Configured
from freeproviders.deadlines import running_loop
from freeproviders.errors import (
    MissingPageDataError,
    NotFoundError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from freeproviders.naming import argument, words
from freeproviders.transport import HttpRequest, fetch
from freeproviders.wire.failure import read_failure
from freeproviders.wire.limits import Allowance, AllowanceHeaders, read_allowances
from freeproviders.wire.signs import Sign

if TYPE_CHECKING:
    from freeproviders.quota.meter import Meter
    from freeproviders.tokens.upper import Estimate
    from freeproviders.types import Finish, Usage

_SIGNS_OF_ABSENCE: Final = (ProviderConnectionError, NotFoundError, MissingPageDataError)


class OverHttp(Configured, ABC):
    """One configuration of a service over HTTP, as an exchange speaks to it."""

    working: ClassVar[bool] = False
    status_note: ClassVar[str] = ""
    signs: Sequence[Sign] = ()
    """Signs by which the service's refusals are told apart, the first that fits counts."""
    announces: Sequence[AllowanceHeaders] = ()
    """The headers in which the service announces its limits."""

    _metered: tuple[Any, Meter | None] | None = None
    _limits_of: OverHttp | None = None
    """Whose way to the ledger is used: the configuration of which this is the copy for one request."""

    def __copy__(self) -> Self:
        # All of it, the way to the ledger too: it is made anew only for another key or address.
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __getstate__(self) -> dict[str, object]:
        # The way to a ledger has a thread, which cannot be pickled; a copy makes its own.
        return {
            name: value for name, value in self.__dict__.items() if name not in {"_metered", "_limits_of"}
        }

    async def keyed(self) -> Self:
        """Return a copy with the key of the moment; the limits are those of one account, whatever its key."""
        other = await super().keyed()
        if other is not self:
            other._limits_of = self  # noqa: SLF001 - of the same class
        return other

    @property
    def keeps_limits(self) -> bool:
        """Whether each request is reserved in a ledger of limits: a `Quota`'s, or the service's own."""
        return self.quota is not None and (self.quota != "auto" or self.has_limits_of_its_own())

    def has_limits_of_its_own(self) -> bool:
        """Return whether limits are known for where requests go, so that they are kept unasked."""
        return False

    async def metered(self) -> Meter | None:
        """Return the way to the ledger, None where there is nothing to keep.

        The first one is made on a thread, since it imports modules and may read files.
        """
        if not self.keeps_limits:
            return None
        if self._limits_of is not None:
            return await self._limits_of.metered()
        way = (self.quota, self.key_source or self.api_key, self.base_url)
        if self._metered is None or self._metered[0] != way:
            self._metered = (way, await asyncio.to_thread(self._made_meter))
        return self._metered[1]

    def ledger_places(self) -> frozenset[str]:
        """Name the place where limits are kept; none where none are."""
        if not self.keeps_limits:
            return frozenset()
        from freeproviders.quota.opening import ledger_place  # noqa: PLC0415 - only where limits are kept

        where = "" if self.quota == "auto" else self.quota.ledger
        return frozenset({ledger_place(where) if isinstance(where, str | Path) else "memory"})

    def _made_meter(self) -> Meter | None:
        from freeproviders.quota.quota import Quota  # noqa: PLC0415 - only where limits are kept

        quota: Quota = Quota() if self.quota == "auto" else self.quota
        count = self.exact_input_tokens if self.has_tokenizer else None
        service = getattr(self, "service", None)
        return quota.meter(self.name, service, self.api_key, self.upper_estimate, count=count)

    @property
    def has_tokenizer(self) -> bool:
        """Whether the server tokenises for others."""
        return False

    async def exact_input_tokens(self, request: Any) -> int | None:
        """Count the tokens of a request by the server's own tokenizer; None where it cannot."""
        del request
        return None

    @abstractmethod
    def upper_estimate(self, request: Any) -> Estimate:
        """Estimate the most tokens that go out with a request."""

    async def fetch(self, request: HttpRequest, limit: int) -> bytes:
        """Send a request outside of any exchange and return the whole answer, cut at `limit` bytes.

        Raises errors of the tree.
        """
        running_loop()
        try:
            async with asyncio.timeout(self.timeout.total):
                fetched = await fetch(request, self.route, self.timeout.connect, limit, self.failure)
        except ProviderError as error:
            raise error.without(self.secrets).about(self.name, "") from error.__cause__
        except TimeoutError as error:
            raise ProviderTimeoutError("The service did not answer in time.", provider=self.name) from error
        return fetched.body

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Read an answer with an error status."""
        return read_failure(status, headers, body, signs=self.signs, announces=self.announces)

    def allowances(self, headers: Mapping[str, str]) -> tuple[Allowance, ...]:
        """Read the limits that the service announces with an answer; none without a dialect."""
        if not self.announces:
            return ()
        return read_allowances(headers, self.announces, datetime.now(UTC))

    def ended(self, finish: Finish, usage: Usage) -> None:
        """Look at the end of an answer, before it is shown."""

    def recover(self, error: ProviderError) -> bool:
        """Return True if the cause was fixed and the request should be sent again at once.

        Called at most once for each call that was recovered.
        """
        del error
        return False

    def given_up(self, error: ProviderError) -> None:
        """Add advice to an error after which no further request is sent.

        The public service is probably gone: say so instead of blaming the user's network.
        """
        if (
            not self.working
            and self.base_url == self.default_base_url
            and isinstance(error, _SIGNS_OF_ABSENCE)
        ):
            error.advice = words(
                f"The public service may be gone ({self.status_note}). Pass {argument('base_url')} for "
                f"another "
                "place, such as a mirror or a replica."
            )
        elif (
            isinstance(error, ProviderConnectionError)
            and error.phase == "connect"
            and is_loopback(self.base_url)
            and not self.route.proxy
        ):
            error.advice = words(
                f"No server listens there: {self._how_to_start()}, or check {argument('base_url')}."
            )

    def _how_to_start(self) -> str:
        return "start the server"
