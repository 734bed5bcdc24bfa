"""Headers that announce limits: those of a row's dialect, and others that look like some."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from freeproviders.catalogue.rows import Limit, seconds_of
from freeproviders.wire.limits import (
    AllowanceHeaders,
    Metric,
    ResetForm,
    read_allowances,
    read_seconds,
)

Role = Literal["limit", "remaining", "reset"]

_LIKE_ONE: Final = re.compile(
    r"(?i)rate-?limit|^x-.*(?:limit|remaining|reset|quota|credit)|-(?:remaining|reset)$"
)
_NOT_ONE: Final = re.compile(r"(?i)^(?:retry-after|x-frame|access-control|content-)")
_ROLES: Final[Mapping[str, Role]] = {
    "limit": "limit",
    "remaining": "remaining",
    "left": "remaining",
    "reset": "reset",
}
_PERIODS: Final[Mapping[str, str]] = {
    "second": "second", "minute": "minute", "hour": "hour", "day": "day", "month": "month", "1m": "minute",
    "1d": "day", "rpm": "minute", "tpm": "minute", "rpd": "day", "tpd": "day", "rph": "hour", "daily": "day",
    "hourly": "hour", "monthly": "month",
}  # fmt: skip
_EPOCH_S: Final = 1e9
_EPOCH_MS: Final = 1e12
_SHORT: Final = 120.0
_LONG: Final = 7200.0
_DATE: Final = re.compile(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} ")
_ISO: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]")


class AnyCase(Mapping[str, str]):
    """Headers of one or several answers, whose names are looked up in any case; the first counts."""

    def __init__(self, several: Iterable[Mapping[str, str]]) -> None:
        self._found: dict[str, str] = {}
        for headers in several:
            for name, value in headers.items():
                self._found.setdefault(name.lower(), value)

    def __getitem__(self, name: str) -> str:
        return self._found[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def names_of(line: AllowanceHeaders) -> tuple[str, ...]:
    """Return the names of the headers of one limit, in lower case."""
    return tuple(name.lower() for name in (line.limit, line.remaining, line.reset, line.pair) if name)


def like_limits(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that look as if they announced limits, with names in lower case."""
    return {
        name.lower(): value
        for name, value in headers.items()
        if _LIKE_ONE.search(name) and not _NOT_ONE.search(name)
    }


def form_of(value: str) -> ResetForm:
    """Guess the form in which the time of a reset is written, "" where it is none that is known."""
    value = value.strip()
    if _DATE.match(value):
        return "http_date"
    if _ISO.match(value):
        return "iso"
    seconds = read_seconds(value)
    if seconds is None:
        return ""
    if value[-1:].isalpha():
        return "duration"
    return "epoch_ms" if seconds > _EPOCH_MS else "epoch_s" if seconds > _EPOCH_S else "seconds"


def misread(
    headers: Mapping[str, str], dialect: Iterable[AllowanceHeaders], now: datetime
) -> Iterator[tuple[AllowanceHeaders, AllowanceHeaders, str]]:
    """Find the resets whose form is another than the row says: the line, as it should be, the value.

    Both of seconds and a duration are read by either name.
    """
    for line in dialect:
        value = headers.get(line.reset) if line.reset else None
        if value is None:
            continue
        guess = form_of(value)
        read = read_allowances({line.reset: value}, [replace(line, limit="", remaining="", pair="")], now)
        numbers = {"seconds", "duration"}
        if guess and guess != line.reset_form and not {guess, line.reset_form} <= numbers:
            yield line, replace(line, reset_form=guess), value
        elif not guess and not read:
            yield line, replace(line, reset="", reset_form=""), value


def guessed(
    headers: Mapping[str, str], known: Iterable[AllowanceHeaders], limits: Sequence[Limit], now: datetime
) -> list[AllowanceHeaders]:
    """Guess which limits are announced by headers that the row does not know.

    A header's words tell what is counted and over which time; what they do not tell is taken from a
    recorded limit of the same number, else from the time until it comes back.
    """
    taken = {name for line in known for name in names_of(line)}
    groups: dict[str, dict[Role, str]] = {}
    for name in like_limits(headers):
        words = re.split(r"[-_]", name)
        roles = [n for n, word in enumerate(words) if word in _ROLES]
        if name in taken or not roles:
            continue
        stem = "-".join([*words[: roles[-1]], *words[roles[-1] + 1 :]])
        groups.setdefault(stem, {})[_ROLES[words[roles[-1]]]] = name
    found = []
    for stem, names in groups.items():
        if "limit" not in names and "remaining" not in names:
            continue
        form = form_of(headers[names["reset"]]) if "reset" in names else ""
        line = AllowanceHeaders(
            metric=_metric(stem),
            per="",
            limit=names.get("limit", ""),
            remaining=names.get("remaining", ""),
            reset=names.get("reset", "") if form else "",
            reset_form=form,
        )
        read = read_allowances(headers, [line], now)
        if not read:
            continue
        cap, reset_at = read[0].cap, read[0].reset_at
        wait = None if reset_at is None else (reset_at - now).total_seconds()
        alike = next(
            (one for one in limits if one.metric == line.metric and one.cap == cap and one.per), None
        )
        per = _period(stem) or (alike.per if alike is not None else "") or _period_of(wait)
        per = "" if line.metric == "concurrency" else per
        own = next((one for one in limits if is_about(line.metric, per, one)), None)
        found.append(
            replace(line, per=per, scope="model" if own is not None and own.scope == "model" else "")
        )
    return found


def is_about(metric: Metric, per: str, limit: Limit) -> bool:
    """Return whether a limit is of a metric and a period."""
    if limit.metric != metric:
        return False
    if metric == "concurrency" or not per or not limit.per:
        return metric == "concurrency"
    return seconds_of(per) == seconds_of(limit.per)


def _metric(stem: str) -> Metric:
    if "token" in stem or re.search(r"\btp[md]\b", stem):
        return "input tokens" if "input" in stem else "output tokens" if "output" in stem else "tokens"
    return "concurrency" if "concurren" in stem else "neurons" if "neuron" in stem else "requests"


def _period(stem: str) -> str:
    return next((_PERIODS[word] for word in re.split(r"[-_]", stem) if word in _PERIODS), "")


def _period_of(wait: float | None) -> str:
    """Guess a period from the time until it is over: at least as long as that."""
    if wait is None or wait <= _SHORT:
        return "minute"
    return "hour" if wait <= _LONG else "day"
