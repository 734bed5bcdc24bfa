"""`freeproviders chat` without a name: whoever is free here answers, and it is said who gets the question."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from freeproviders.testing import replica
from tests.cli.command import run


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, str]:
    """An environment with nothing in it but a ledger and a folder of its own, and no embedded model."""
    return {
        "FREEPROVIDERS_QUOTA": str(tmp_path / "ledger.sqlite"),
        "FREEPROVIDERS_CONFIG": str(tmp_path / "config"),
        "OLLAMA_API_BASE": "http://127.0.0.1:9/v1",
    }


def test_who_gets_the_question_is_said_before_it_is_sent(outside: dict[str, str]) -> None:
    with replica(service="groq", answer="A waterfall.") as groq:
        outside |= {
            "GROQ_API_KEY": "gsk_any",
            "GROQ_API_BASE": groq.base_url,
            "FREEPROVIDERS_CONFIRMED": "groq",
        }
        done = run("chat", "What", "is", "this?", env=outside)
    assert (done.returncode, done.stdout.decode()) == (0, "A waterfall.\n")
    assert done.stderr.decode().splitlines() == ["Asking Groq openai/gpt-oss-120b."]


def test_json_has_the_limits_that_a_service_announces(outside: dict[str, str]) -> None:
    with replica(service="groq", answer="Hello") as groq:
        outside |= {
            "GROQ_API_KEY": "gsk_any",
            "GROQ_API_BASE": groq.base_url,
            "FREEPROVIDERS_CONFIRMED": "groq",
        }
        done = run("chat", "--json", "Hi", env=outside)
    announced = json.loads(done.stdout)["finish"]["allowances"]
    assert {one["metric"] for one in announced} == {"requests", "tokens"}
    assert all(datetime.fromisoformat(one["reset_at"]).tzinfo for one in announced)


def test_who_gives_no_answer_is_said_and_the_next_one_is_asked(outside: dict[str, str]) -> None:
    with (
        replica(service="groq", faults={"status": 503}) as groq,
        replica(service="cloudflare", answer="Here.") as other,
    ):
        outside |= {
            "GROQ_API_KEY": "gsk_any",
            "GROQ_API_BASE": groq.base_url,
            "CLOUDFLARE_API_TOKEN": "any",
            "CLOUDFLARE_ACCOUNT_ID": "1",
            "CLOUDFLARE_API_BASE": other.base_url,
            "FREEPROVIDERS_CONFIRMED": "groq,cloudflare",
        }
        done = run("chat", "--json", "Hi", env=outside)
    answer = json.loads(done.stdout)
    assert answer["text"] == "Here."
    assert [one["provider"] for one in answer["finish"]["trail"] if one["requests"]] == [
        "Groq",
        "Cloudflare Workers AI",
    ]
    said = done.stderr.decode()
    assert said.index("Asking Groq") < said.index("No answer: [Groq") < said.index("Asking Cloudflare")


def test_a_service_that_is_not_confirmed_is_not_asked_and_named(outside: dict[str, str]) -> None:
    with replica(service="groq") as groq, replica(service="cloudflare", answer="Here.") as other:
        outside |= {
            "GROQ_API_KEY": "gsk_any",
            "GROQ_API_BASE": groq.base_url,
            "CLOUDFLARE_API_TOKEN": "any",
            "CLOUDFLARE_ACCOUNT_ID": "1",
            "CLOUDFLARE_API_BASE": other.base_url,
            "FREEPROVIDERS_CONFIRMED": "cloudflare",
        }
        done = run("chat", "Hi", env=outside)
        assert not groq.requests
    assert done.stdout == b"Here.\n"
    assert "freeproviders services confirm groq" in done.stderr.decode()


def test_a_model_of_a_service_may_be_named_alone(outside: dict[str, str]) -> None:
    with replica(service="groq", answer="Small.") as groq:
        outside |= {"GROQ_API_KEY": "gsk_any", "GROQ_API_BASE": groq.base_url}
        done = run("chat", "--model", "groq/openai/gpt-oss-20b", "Hi", env=outside)
        assert json.loads(groq.requests[0].body)["model"] == "openai/gpt-oss-20b"
    assert done.stdout == b"Small.\n"
