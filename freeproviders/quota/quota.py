"""The limits that a caller wants to be kept: which, under whose name, and in which ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

from freeproviders.catalogue.rows import Limit, Service, seconds_of
from freeproviders.errors import UsageError
from freeproviders.quota.interface import TRANSIT_SECONDS, Ledger, Rule
from freeproviders.quota.meter import Meter, zone_named
from freeproviders.quota.opening import open_ledger
from freeproviders.quota.rules import rules_for, rules_of
from freeproviders.tokens.upper import Estimate, prepare


class Quota:
    """Limits that are kept together with all processes of the user.

    Args:
        limits: rows of `Limit`, or mappings with its fields, as `{"metric": "requests", "per":
            "minute", "cap": 30}`. None are those of the service's row in the catalogue.
        name: what counts; backends with one name share their limits. "" is the service, or the
            backend's own name.
        ledger: a path, a `redis://` URL, "memory" for this process alone, or a `Ledger`. "" is
            `FREEPROVIDERS_QUOTA`, else the file of the user's state folder.
        keep: the share (0 to 1) of a day's cap that is left to others: a background job should leave
            some of it to interactive use.
        key: what tells accounts apart where that is not the backend's own key, "" for no account.
        transit: seconds within which a request that was written has reached the service. None is
            the row's, else one second.
    """

    def __init__(
        self,
        limits: Iterable[Limit | Mapping[str, Any]] | None = None,
        *,
        name: str = "",
        ledger: str | Path | Ledger = "",
        keep: float = 0.0,
        key: str | None = None,
        transit: float | None = None,
    ) -> None:
        if not 0 <= keep < 1:
            raise UsageError(f"keep must be a share of at least 0 and below 1, not {keep!r}.")
        if transit is not None and not 0 < transit < inf:
            raise UsageError(f"transit must be a number of seconds above 0, not {transit!r}.")
        self.limits = None if limits is None else tuple(_limit(one) for one in limits)
        self.name = name
        self.keep = keep
        self.transit = transit
        self.ledger = ledger
        self._key = key

    def __repr__(self) -> str:
        return f"Quota({self.limits!r}, name={self.name!r}, keep={self.keep!r})"

    def meter(
        self,
        name: str,
        service: Service | None,
        key: str | None,
        estimate: Callable[[Any], Estimate],
        *,
        count: Callable[[Any], Awaitable[int | None]] | None = None,
    ) -> Meter | None:
        """Return the way to the ledger for a backend; None where it has no limits.

        Args:
            name: the backend's name.
            service: its row of the catalogue, None without one.
            key: the account's key, None without one.
            estimate: makes an upper estimate of a request's tokens.
            count: counts them exactly where the service can, and returns None where it does not.

        It imports modules and reads files: call it on a thread.
        """
        who = self.name or (service.id if service is not None else name)
        key = key if self._key is None else self._key or None
        limits, keyless = self.limits, key is None
        if limits is None and (service is None or not service.limit):
            return None
        prepare()
        ledger = self._opened()
        for limit in limits or (service.limit if service is not None else ()):
            zone_named(limit.zone)  # reads a file, which no call may do on its event loop

        @cache
        def rules(model: str) -> tuple[Rule, ...]:
            if limits is None:
                assert service is not None  # noqa: S101 - see above
                return rules_of(service, model, keyless=keyless)
            return rules_for(who, limits, model, keyless=keyless)

        transit = self.transit or (service is not None and service.transit) or TRANSIT_SECONDS
        return Meter(
            ledger, who, rules, estimate, account=key or "", keep=self.keep, transit=transit, count=count
        )

    def _opened(self) -> Ledger:
        return open_ledger(self.ledger) if isinstance(self.ledger, str | Path) else self.ledger


def _limit(row: Limit | Mapping[str, Any]) -> Limit:
    limit = row if isinstance(row, Limit) else _read_limit(row)
    if not isinstance(limit.per, str):
        raise UsageError(f"A limit's period is text, as minute or 5 hours, not {limit.per!r}.")
    try:
        seconds_of(limit.per or "second")
    except ValueError as error:
        raise UsageError(f"A limit's period cannot be read: {error}") from error
    return limit


def _read_limit(row: Mapping[str, Any]) -> Limit:
    if not isinstance(row, Mapping):
        raise UsageError(
            f"limits must be a list of mappings with metric, cap and per; it has {row!r:.100}, "
            f"of type {type(row).__name__}."
        )
    unknown = row.keys() - set(Limit.__dataclass_fields__)
    if unknown or not {"metric", "cap"} <= row.keys():
        raise UsageError(
            f"A limit has metric, cap and per, as requests, 30 and minute; this has {', '.join(sorted(row))}."
        )
    return Limit(**row)
