"""A service of the catalogue in use: names in errors, models that are gone, abilities of its row."""

import subprocess
import sys

import pytest

from freeproviders import OpenAICompatible
from freeproviders.catalogue import catalogue, facts_of
from freeproviders.errors import AuthenticationError, RetiredModelError, UnsupportedOptionWarning
from freeproviders.testing import replica

KEY = "gsk_a1b2c3d4e5f6g7h8"
GONE = {
    "status": 400,
    "body": {
        "error": {
            "message": "The model `openai/gpt-oss-120b` has been decommissioned and is no longer supported.",
            "type": "invalid_request_error",
            "code": "model_decommissioned",
        }
    },
}


@pytest.fixture
def groq(monkeypatch):
    """A server in the place of Groq, to which the environment leads."""
    with replica("openai-compatible", api_key=KEY, answer="Fine.") as server:
        monkeypatch.setenv("GROQ_API_KEY", KEY)
        monkeypatch.setenv("GROQ_API_BASE", server.base_url)
        yield server


async def test_a_key_in_the_environment_is_all_that_is_needed(groq):
    answer = await OpenAICompatible(service="groq").complete("Hi")
    assert answer.text == "Fine."
    assert answer.finish.provider == "Groq"
    assert groq.requests[-1].json["model"] == "openai/gpt-oss-120b"


async def test_errors_name_the_service_and_its_variable(groq, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_another12345678")
    with pytest.raises(AuthenticationError, match=r"\[Groq openai/gpt-oss-120b\].*GROQ_API_KEY"):
        await OpenAICompatible(service="groq").complete("Hi")


async def test_a_model_that_the_service_says_is_gone(groq):
    """The error names a successor, though no row knew; with fallback the successor answers at once."""
    groq.faults = GONE
    with pytest.raises(RetiredModelError) as caught:
        await OpenAICompatible(service="groq").complete("Hi")
    assert caught.value.successor == "openai/gpt-oss-20b"
    groq.faults = [GONE]
    provider = OpenAICompatible(service="groq", fallback=True)
    before = len(groq.requests)
    for _ in range(2):
        assert (await provider.complete("Hi")).text == "Fine."
    assert [request.json["model"] for request in groq.requests[before:]] == [
        "openai/gpt-oss-120b",
        "openai/gpt-oss-20b",
        "openai/gpt-oss-20b",
    ]


def test_abilities_are_those_of_the_row(monkeypatch):
    """What is known is not tried, and what is not known is found out."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    provider = OpenAICompatible(service="groq")
    able = provider.abilities()
    assert (able.tools, able.schema, able.window) == (True, True, 131_072)
    assert not provider.tries("tools", provider.model)
    assert provider.tries("tools", "somebody/unknown")
    assert OpenAICompatible(service="groq", native_tools=False).abilities().tools is False


async def test_an_answer_is_not_asked_to_be_longer_than_the_model_writes(groq):
    """The number is lowered, and that is said once."""
    provider = OpenAICompatible(service="groq")
    with pytest.warns(UnsupportedOptionWarning, match="max_tokens=65536, the most that the model writes"):
        await provider.complete("Hi", max_tokens=100_000)
    await provider.complete("Hi", max_tokens=100_000)
    assert groq.requests[-1].json["max_tokens"] == 65_536


def test_tools_of_a_local_server_are_found_out():
    """Its models' calls pass only where its template has them, whatever the models can."""
    provider = OpenAICompatible("gpt-oss:20b", service="ollama")
    assert not provider.abilities().tools
    assert provider.tries("tools", "gpt-oss:20b")
    assert provider.abilities().window


@pytest.mark.parametrize("service", [row for row in catalogue() if row.default_model], ids=lambda row: row.id)
def test_every_default_model_has_a_window(service):
    """Whoever plans with a service knows how much fits."""
    assert facts_of(service, service.default_model).context or service.confidence == "D"


FIRST_IN_A_COROUTINE = """
import asyncio
from blockbuster import blockbuster_ctx
from freeproviders import OpenAICompatible

async def main():
    with blockbuster_ctx():
        print(OpenAICompatible(service="groq", api_key="x").abilities().window)

asyncio.run(main())
"""


def test_the_first_service_of_a_process_may_be_made_inside_a_coroutine():
    """Rows are found and read as an import reads, which guards of event loops allow."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_IN_A_COROUTINE], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "131072\n", done.stderr
