"""Recorded exchanges, read by our decoders with the signs and the header dialect of the row.

The exchanges were written from the facts by somebody who had not read the decoders.
"""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from multidict import CIMultiDict

from freeproviders import OpenAICompatible, errors
from freeproviders.catalogue import Service, catalogue
from freeproviders.services import Served
from freeproviders.types import ChatRequest, Message
from freeproviders.wire.failure import read_failure
from freeproviders.wire.limits import Allowance, read_allowances
from tests.catalogue.test_exchanges import EXCHANGES, RECORDED
from tests.core.servers import serve

each = pytest.mark.parametrize(
    ("name", "exchange"), EXCHANGES, ids=[f"{name}: {exchange['what']}" for name, exchange in EXCHANGES]
)
REQUEST = ChatRequest(messages=(Message("user", "Hi"),))
_EPOCH_MS = re.compile(r"(?<!\d)179\d{10}(?!\d)")


def provider_of(row: Service, model: str, base_url: str = "http://127.0.0.1:9/v1") -> OpenAICompatible:
    """A provider with the row of a service, at another address and with whatever model."""
    free = dataclasses.replace(row, base_url=base_url, gone=None, retired={}, default_model="")
    return OpenAICompatible(model, service=free, api_key="no-key-at-all", retry=0)


def now_of(exchange: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(exchange["now"])


def is_as_expected(allowance: Allowance, expected: dict[str, Any], now: datetime) -> bool:
    """Whether an allowance says what is expected, and no number that is not."""
    reset_in = None if allowance.reset_at is None else (allowance.reset_at - now).total_seconds()
    return (
        (allowance.metric, allowance.per) == (expected["metric"], expected["per"])
        and (allowance.cap, allowance.remaining) == (expected.get("cap"), expected.get("remaining"))
        and (None if reset_in is None else pytest.approx(reset_in, abs=1e-5)) == expected.get("reset_in")
        and allowance.scope == expected.get("scope", allowance.scope)
    )


def check_allowances(got: tuple[Allowance, ...], exchange: dict[str, Any]) -> None:
    """Compare allowances with those that are expected, in whatever order."""
    expected = exchange["expect"].get("allowances")
    if expected is not None:
        now = now_of(exchange)
        assert len(got) == len(expected), got
        for one in expected:
            assert any(is_as_expected(allowance, one, now) for allowance in got), (one, got)


def check_error(error: errors.ProviderError | None, exchange: dict[str, Any]) -> None:
    """Compare what an error is with what is expected, but for times."""
    expected = exchange["expect"]
    if expected["error"] is None:
        assert error is None
        return
    assert error is not None
    assert type(error).__name__ == expected["error"], error
    for name in ("kind", "scope", "successor"):
        if name in expected:
            assert getattr(error, name) == expected[name]


def error_of(row: Service, exchange: dict[str, Any]) -> errors.ProviderError | None:
    """The error that our decoders make of an exchange, at its own time."""
    provider = provider_of(row, exchange["model"])
    body, headers = exchange["body"], CIMultiDict(exchange["headers"])
    if exchange["status"] != 200:
        error = read_failure(
            exchange["status"],
            headers,
            body.encode(),
            signs=provider.signs,
            announces=provider.announces,
            now=now_of(exchange),
        )
        error.about(row.name, exchange["model"])
        Served(dataclasses.replace(row, gone=None)).advise(error)
        return error
    decoder = provider.decoder(REQUEST)
    decoder.feed(body.encode())
    if decoder.failure is None:
        decoder.close()
    return decoder.failure


@each
def test_what_an_exchange_means(name: str, exchange: dict[str, Any]) -> None:
    """Class, kind, scope, time and limits are those that were written down."""
    row, now = catalogue().service(name), now_of(exchange)
    started = datetime.now(UTC)
    if exchange["status"] == 200:  # a decoder has no clock but today's: absolute times move there
        moved = round((started - now).total_seconds() * 1000)
        body = _EPOCH_MS.sub(lambda match: str(int(match[0]) + moved), exchange["body"])
        exchange = {**exchange, "body": body}

    error = error_of(row, exchange)

    check_error(error, exchange)
    after = exchange["expect"].get("retry_after")
    if error is not None and exchange["status"] == 200:
        passed = (datetime.now(UTC) - started).total_seconds()
        assert after is None or after - passed - 0.001 <= error.retry_after <= after + 0.001
    elif error is not None:
        assert after is None or error.retry_after == pytest.approx(after, abs=1e-5)
        assert (error.soonest is None) == (error.retry_after is None)
        if error.soonest is not None:
            assert (error.soonest - now).total_seconds() == pytest.approx(error.retry_after, abs=1e-5)
    if exchange["status"] == 200:
        check_allowances(
            read_allowances(CIMultiDict(exchange["headers"]), row.headers.allowance, now), exchange
        )
    else:
        check_allowances(error.allowances, exchange)


@each
def test_an_exchange_over_a_socket(name: str, exchange: dict[str, Any]) -> None:
    """A provider that is that service gets the exchange, and fails or answers as it should."""
    row = catalogue().service(name)

    async def handle(request, served):
        headers = {
            key: value for key, value in exchange["headers"].items() if key.lower() != "content-length"
        }
        return web.Response(status=exchange["status"], body=exchange["body"].encode(), headers=headers)

    with serve(handle) as served:
        provider = provider_of(row, exchange["model"], served.url)
        error = finish = None
        try:
            finish = provider.complete_sync("Hi", max_repairs=0).finish
        except errors.ProviderError as raised:
            error = raised

    if error is not None:
        error.model = exchange["model"]
        Served(dataclasses.replace(row, gone=None)).advise(error)
    check_error(error, exchange)
    if error is not None:
        assert error.provider == row.name
        assert json.loads(json.dumps([one.plain() for one in error.allowances])) is not None
    elif exchange["expect"].get("allowances") is not None:
        told = {(one.metric, one.per, one.cap, one.remaining) for one in finish.allowances}
        assert told == {
            (one["metric"], one["per"], one.get("cap"), one.get("remaining"))
            for one in exchange["expect"]["allowances"]
        }


@pytest.mark.parametrize("service", [*catalogue()], ids=lambda service: service.id)
def test_what_no_exchange_has_shown_is_not_held_for_sure(service: Service) -> None:
    """A row with signs or a dialect and without recorded exchanges is of confidence C at most."""
    if (service.error or service.headers.allowance) and service.id not in RECORDED:
        assert service.confidence in {"C", "D"}
    if service.headers.allowance and service.confidence in {"A", "B"}:
        told = [exchange["expect"].get("allowances") for exchange in RECORDED[service.id]["exchanges"]]
        assert any(told), "no exchange shows the header dialect"


SAMPLES = [
    pytest.param(service, sign, id=f"{service.id}-{number}-{sign.kind}")
    for service in catalogue()
    for number, sign in enumerate(service.error)
    if sign.body and sign.status != 200
]


@pytest.mark.parametrize(("service", "sign"), SAMPLES)
def test_a_sign_knows_its_own_example(service: Service, sign: Any) -> None:
    """The body that a row gives as an example has the sign beside which it stands, and no earlier one."""
    header, _, value = sign.header.partition(":")
    headers = CIMultiDict({header.strip(): value.strip()} if sign.header else {})
    body = sign.body.replace("{model}", "some-model")

    error = read_failure(sign.status or 400, headers, body.encode(), signs=service.error)

    assert error.sign == sign
