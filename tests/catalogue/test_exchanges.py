"""The form of the recorded exchanges that stand beside the services' rows.

They were written from the facts by somebody who has not read the decoders, so they judge them.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from importlib.resources import files
from typing import Any, get_args

import pytest

from freeproviders import errors
from freeproviders.catalogue import Service, catalogue
from freeproviders.catalogue.rows import seconds_of
from freeproviders.wire.limits import Metric
from freeproviders.wire.signs import Kind

SERVICES = files("freeproviders.catalogue") / "services"
RECORDED = {
    entry.name.removesuffix(".json"): json.loads(entry.read_text(encoding="utf-8"))
    for entry in sorted(SERVICES.iterdir(), key=lambda entry: entry.name)
    if entry.name.endswith(".json")
}
EXCHANGES = [(name, exchange) for name, file in RECORDED.items() for exchange in file["exchanges"]]
EXPECTED = {"error", "kind", "scope", "retry_after", "allowances"}
PRIVATE = re.compile(
    r"\b(?:sk-\w{8}|gsk_|hf_\w{8}|nvapi-|AIza|org_(?!example\b)|user_(?!example\b|id\b)|req_(?!example\b))"
)
each = pytest.mark.parametrize(
    ("name", "exchange"), EXCHANGES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(EXCHANGES)]
)


@pytest.mark.parametrize("name", RECORDED)
def test_a_file_has_a_date_a_source_and_a_row(name: str) -> None:
    file = RECORDED[name]
    assert set(file) == {"source", "checked", "exchanges"}
    assert file["source"]
    assert date.fromisoformat(file["checked"]).year >= 2026
    assert (SERVICES / f"{name}.toml").is_file()
    said = [exchange["what"] for exchange in file["exchanges"]]
    assert len(said) == len(set(said))


@each
def test_an_exchange_is_whole(name: str, exchange: dict[str, Any]) -> None:
    assert set(exchange) - {"source"} == {"what", "status", "headers", "body", "model", "now", "expect"}, name
    assert datetime.fromisoformat(exchange["now"]).utcoffset() is not None
    assert all(isinstance(value, str) for value in exchange["headers"].values())
    kind = exchange["headers"]["content-type"]
    if kind == "application/json":
        json.loads(exchange["body"])
    elif kind == "text/event-stream":
        events = [line.removeprefix("data: ") for line in exchange["body"].splitlines() if "data: " in line]
        assert [json.loads(event) for event in events if event != "[DONE]"]
    assert not PRIVATE.search(json.dumps(exchange))


@each
def test_what_is_expected_has_the_words_of_the_code(name: str, exchange: dict[str, Any]) -> None:
    expected = exchange["expect"]
    assert set(expected) <= EXPECTED, name
    assert expected["error"] is None or issubclass(getattr(errors, expected["error"]), errors.ProviderError)
    assert expected.get("kind", "minute") in get_args(Kind)
    for allowance in expected.get("allowances", ()):
        assert set(allowance) <= {"metric", "per", "cap", "remaining", "reset_in", "scope"}
        assert allowance["metric"] in get_args(Metric)
        assert seconds_of(allowance["per"]) > 0


@pytest.mark.parametrize("service", [one for one in catalogue() if one.error], ids=lambda one: one.id)
def test_what_a_row_says_of_refusals_was_recorded(service: Service) -> None:
    """A row is no better than C where a kind of refusal or its headers have no exchange."""
    recorded = RECORDED.get(service.id, {"exchanges": []})["exchanges"]
    missing = {sign.kind for sign in service.error} - {one["expect"].get("kind") for one in recorded}
    names = {name.lower() for one in recorded for name in one["headers"]}
    told = {name.lower() for row in service.headers.allowance for name in (row.limit, row.remaining) if name}
    assert (not missing and told <= names) or service.confidence in {"C", "D"}, (missing, told - names)


def test_the_dialects_that_must_be_decoded_are_there() -> None:
    asked = {
        "groq", "openrouter", "gemini", "nvidia", "mistral", "cloudflare", "huggingface", "cohere", "zai",
        "ollama-cloud", "llmgateway", "cerebras", "llm7", "modelscope", "opencode-zen", "api-airforce",
        "github-models", "sambanova", "pollinations", "kilo",
    }  # fmt: skip
    assert asked <= set(RECORDED)
