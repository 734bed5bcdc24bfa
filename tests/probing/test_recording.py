"""The file of exchanges that a probe writes: it stands beside a row as those of the catalogue do."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from datetime import date

import pytest
from aiohttp import web

from freeproviders.catalogue import catalogue
from freeproviders.probing import Prober, recorded
from freeproviders.testing import replica
from tests.catalogue import test_exchanges as form
from tests.catalogue import test_fixtures as meaning
from tests.core.servers import serve
from tests.probing.models import Obedient
from tests.probing.test_agreeing import LIVING, Clock, unrecorded

KEY = "gsk_a-key-of-mine-0123456789"


def written(prober, report):
    """The file as it would be read again."""
    return json.loads(json.dumps(recorded(report, prober.row, prober.secrets())))


def check(service, exchange):
    """An exchange passes the tests of those of the catalogue: its form, its meaning, and over a socket."""
    form.test_an_exchange_is_whole(service, exchange)
    form.test_what_is_expected_has_the_words_of_the_code(service, exchange)
    meaning.test_what_an_exchange_means(service, exchange)
    meaning.test_an_exchange_over_a_socket(service, exchange)


@pytest.mark.parametrize("service", LIVING)
def test_every_service_is_recorded_as_its_row_reads_it(service):
    """All answers of a replica are in the file, and read as those of the catalogue are."""
    row = catalogue().service(service)
    model = row.default_model or next((name for name in row.models if "*" not in name), "replica")
    clock = Clock()
    with replica(
        service=service, answer=Obedient(), limits=[*row.limit, *unrecorded(row)], clock=clock
    ) as server:
        prober = Prober(service, model, base_url=server.base_url, api_key=KEY)
        report = asyncio.run(prober.run(sleep=clock.sleep))
    file = written(prober, report)
    assert set(file) == {"source", "checked", "exchanges"}
    assert date.fromisoformat(file["checked"]) == report.at.date()
    what = [exchange["what"] for exchange in file["exchanges"]]
    assert len(what) == len(set(what))
    assert {"a whole answer", "a streamed answer"} <= set(what)
    for exchange in file["exchanges"]:
        check(service, exchange)


def test_what_is_corrected_is_expected():
    """Headers by other names mean what the corrected row makes of them."""
    lines = tuple(
        dataclasses.replace(
            line, limit=line.limit.replace("x-", "x-my-"), remaining="", reset="", reset_form=""
        )
        for line in catalogue().service("groq").headers.allowance
    )
    headers = dataclasses.replace(catalogue().service("groq").headers, allowance=lines)
    with replica(service="groq", answer=Obedient(), headers=headers) as server:
        prober = Prober("groq", base_url=server.base_url, api_key=KEY)
        report = asyncio.run(prober.run())
    first = written(prober, report)["exchanges"][0]
    assert {one["cap"] for one in first["expect"]["allowances"]} == {1000, 8000}


def test_a_limit_is_recorded_with_what_it_means():
    """The refusal that ended a probe is the most useful of its exchanges."""
    with replica(service="groq", answer=Obedient(), faults=[None, {"kind": "day"}]) as server:
        prober = Prober("groq", base_url=server.base_url, api_key=KEY)
        report = asyncio.run(prober.run())
    last = written(prober, report)["exchanges"][-1]
    check("groq", last)
    assert (last["what"], last["expect"]["error"]) == ("a streamed answer, refused", "QuotaExceededError")
    assert last["expect"]["kind"] == "day"
    assert last["expect"]["retry_after"] > 0


def test_nothing_private_is_in_the_file(monkeypatch):
    """A service that says everything it knows of the account in each of its answers."""
    monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", "0f1e2d3c4b5a69788796a5b4c3d2e1f0")
    private = {
        "org": "org_01hzqj3k4m5n6p7q8r9s",
        "user": "alice.smith@corp.example",
        "request": "req_01jd9x0y1z2a3b4c5d6e",
        "account": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "cookie": "cf_bm_9a8b7c6d5e4f3g2h1",
        "address": "203.0.113.77",
    }

    async def handle(request, served):
        headers = {
            "x-request-id": private["request"],
            "set-cookie": f"session={private['cookie']}; Path=/",
            "openai-organization": private["org"],
            "x-ratelimit-limit-requests": "300",
            "x-ratelimit-user": private["user"],
            "via": private["address"],
        }
        if request.method == "GET":
            return web.json_response({"data": []}, headers=headers)
        asked = json.loads(await request.read())
        told = " ".join(private.values())
        if asked["model"].startswith("no-such"):
            message = (
                f"No such model: {asked['model']}, {told}, key {KEY}, {request.headers['Authorization']}"
            )
            document = {"errors": [{"message": message, "code": 5007}], "success": False, **private}
            return web.json_response(document, status=400, headers=headers)
        return web.json_response(
            {
                "id": private["request"],
                "system_fingerprint": private["account"],
                "user": private,
                "choices": [{"index": 0, "message": {"content": told}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 4, **private},
            },
            headers=headers,
        )

    with serve(handle) as served:
        prober = Prober("cloudflare", base_url=f"{served.url}/v1", api_key=KEY)
        report = asyncio.run(prober.run())
    file = written(prober, report)
    assert len(file["exchanges"]) == 5
    text = json.dumps(file, ensure_ascii=False)
    for secret in [KEY, "session", *private.values()]:
        assert secret not in text
    assert file["exchanges"][0]["headers"] == {
        "content-type": "application/json",
        "x-ratelimit-limit-requests": "300",
    }
    assert "5007" in file["exchanges"][-1]["body"]
