"""A file of recorded exchanges, as it stands beside a row: what was answered, and what it means."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from freeproviders.catalogue import Service
from freeproviders.catalogue.guard import variables_in
from freeproviders.catalogue.reading import built, parsed
from freeproviders.catalogue.shelf import overlaid
from freeproviders.errors import FreeProvidersError, ProviderError
from freeproviders.probing.announced import AnyCase, names_of
from freeproviders.probing.comparing import SOURCE, data_of
from freeproviders.probing.report import WHAT, Outcome, Report
from freeproviders.probing.scrubbing import Scrubber
from freeproviders.providers.openai_compatible import OpenAICompatible
from freeproviders.wire.failure import read_failure
from freeproviders.wire.limits import Allowance, read_allowances

_NOWHERE: Final = "http://127.0.0.1:9/v1"
_NO_ANSWERS: Final = frozenset({"models", "embeddings"})
"""Questions whose answers are none of a chat."""


def recorded(report: Report, row: Service, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Write what a probe was answered as the data of a file of exchanges, without what is private.

    What the exchanges mean is read with the row as the report corrects it. An exchange that means
    something else without what is private in it is left out, as is an answer with nothing in it.

    Args:
        report: the report.
        row: the row of the service, as it was compared.
        secrets: keys and other texts that must not be in the file.
    """
    known = [
        *secrets,
        *(value for name in variables_in(row.base_url) if (value := os.environ.get(name, "").strip())),
    ]
    corrected = _corrected(report, row)
    models = {row.default_model, *row.fallback_models, *row.models, report.model}
    models |= {outcome.model for outcome in report.outcomes}
    words = {text for sign in corrected.error for text in (*sign.match, sign.code) if text}
    scrubber = Scrubber(known, models - {""}, words)
    exchanges: list[dict[str, Any]] = []
    for outcome in report.outcomes:
        exchange = _exchange(outcome, corrected, scrubber)
        if exchange is not None:
            said = [one["what"] for one in exchanges]
            if exchange["what"] in said:
                exchange["what"] += f", {said.count(exchange['what']) + 1}"
            exchanges.append(exchange)
    return {"source": SOURCE, "checked": report.at.date().isoformat(), "exchanges": exchanges}


def _corrected(report: Report, row: Service) -> Service:
    """Return the row as it is with the corrections of a report on top."""
    return built(overlaid(data_of(row), parsed(report.toml, SOURCE)), row.id, "")


def _exchange(outcome: Outcome, row: Service, scrubber: Scrubber) -> dict[str, Any] | None:
    """Write one exchange, None where it is to be left out."""
    completion = outcome.completion
    if outcome.status is None or outcome.question in _NO_ANSWERS:
        return None
    if completion is not None and not (completion.text or completion.tool_calls):
        return None
    now = outcome.at.replace(microsecond=0).astimezone(UTC)
    own = [name for line in row.headers.allowance for name in names_of(line)]
    headers = scrubber.headers(outcome.headers, own)
    body = scrubber.body(outcome.body, error=outcome.failed)
    expected = _meaning(outcome, row, headers, body, now)
    if expected is None:
        return None
    refused = ", refused" if outcome.failed and outcome.question != "error" else ""
    return {
        "what": f"{WHAT[outcome.question]}{refused}",
        "status": outcome.status,
        "headers": {"content-type": "application/json", **headers},
        "body": body,
        "model": scrubber.text(outcome.model),
        "now": now.isoformat().replace("+00:00", "Z"),
        "expect": expected,
    }


def _meaning(
    outcome: Outcome, row: Service, headers: dict[str, str], body: str, now: datetime
) -> dict[str, Any] | None:
    """Read an exchange as it will be written, None where it means something else than it did."""
    dialect = row.headers.allowance
    found = AnyCase([headers])
    error: FreeProvidersError | None
    if outcome.status != 200:
        failure = read_failure(
            outcome.status or 0, found, body.encode(), signs=row.error, announces=dialect, now=now
        )
        error, allowances = failure, failure.allowances
    else:
        provider = OpenAICompatible(
            outcome.model,
            service=replace(row, base_url=_NOWHERE, gone=None, retired={}),
            api_key="no-key-at-all",
        )
        decoder = provider.decoder(provider.request("Hi"))
        decoder.feed(body.encode())
        if decoder.failure is None:
            decoder.close()
        error, allowances = decoder.failure, read_allowances(found, dialect, now)
    was = outcome.error
    if (error is None) != (was is None) or (error is not None and was is not None and not _same(error, was)):
        return None
    expected: dict[str, Any] = {"error": None if error is None else type(error).__name__}
    if isinstance(error, ProviderError):
        expected |= {name: value for name in ("kind", "scope") if (value := getattr(error, name))}
        if error.retry_after is not None:
            expected["retry_after"] = round(error.retry_after, 6)
    if all(allowance.per or allowance.metric == "concurrency" for allowance in allowances):
        expected["allowances"] = [_written(allowance, now) for allowance in allowances]
    return expected


def _same(error: Exception, was: Exception) -> bool:
    """Return whether two errors mean the same; one may be a narrower class, by a sign that is new."""
    return isinstance(error, type(was)) or (isinstance(error, ProviderError) and error.kind != "")


def _written(allowance: Allowance, now: datetime) -> dict[str, Any]:
    """Write a limit that was announced, its reset in seconds from `now`."""
    said: dict[str, Any] = {"metric": allowance.metric, "per": allowance.per}
    for name in ("cap", "remaining"):
        value = getattr(allowance, name)
        if value is not None:
            said[name] = int(value) if value == int(value) else value
    if allowance.reset_at is not None:
        said["reset_in"] = round((allowance.reset_at - now).total_seconds(), 6)
    if allowance.scope:
        said["scope"] = allowance.scope
    return said
