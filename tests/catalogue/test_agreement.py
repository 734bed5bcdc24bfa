"""Each refusal of each service's replica, as a provider that is this service understands it.

The replicas were written from the rows and the facts, not from the decoders.
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from freeproviders import OpenAICompatible
from freeproviders.catalogue import Service, catalogue
from freeproviders.errors import ProviderError
from freeproviders.testing import replica

ROWS = {row.id: row for row in catalogue()}
SIGNS = [(row.id, number) for row in ROWS.values() for number in range(len(row.error))]


def provider_of(row: Service, base_url: str, model: str) -> OpenAICompatible:
    """A provider that is the service, at its replica."""
    free = dataclasses.replace(row, base_url=base_url, gone=None, retired={})
    return OpenAICompatible(model, service=free, api_key="a-key-for-tests-only", retry=0)


def model_of(row: Service) -> str:
    return row.default_model or next((name for name in row.models if "*" not in name), "m")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("name", "number"), SIGNS)
def test_a_sign_is_recognised(name: str, number: int, stream: bool) -> None:
    """What a replica says with one sign is read by that sign, whole or as a stream."""
    row = ROWS[name]
    sign = row.error[number]
    error = None
    with replica(service=name, faults=[{"sign": number}] * 2) as server:
        provider = provider_of(row, server.base_url, model_of(row))
        try:
            for _ in provider.stream_sync("Hi") if stream else [provider.complete_sync("Hi")]:
                pass
        except ProviderError as raised:
            error = raised

    assert error is not None
    # Two lines of a row may be one refusal, in two examples.
    assert (error.kind, error.scope, error.metric) == (sign.kind, sign.scope, sign.metric), error.sign
    if error.soonest is not None:
        assert error.soonest > datetime.now(UTC) or error.retry_after < 1
