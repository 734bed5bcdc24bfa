"""A real llama.cpp server of which nothing is known, with a small model behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from freeproviders import OpenAICompatible, Tool
from freeproviders.embedded.server import EngineServer, EngineSettings, ensure_server
from freeproviders.types import Completion

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NUMBERS = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    "required": ["a", "b"],
}
TOOLS = [Tool("get_weather", "Tell the weather of a city.", CITY), Tool("add", "Add two numbers.", NUMBERS)]


@pytest.fixture
async def engine(weights_05b: Path) -> EngineServer:
    """A server that calls its model by a name that tells nothing."""
    return await ensure_server(EngineSettings(model=weights_05b, alias="some-model", context=4096))


def unknown(engine: EngineServer) -> OpenAICompatible:
    return OpenAICompatible("some-model", base_url=f"{engine.address}/v1", api_key=engine.api_key, retry=0)


async def asked(provider: OpenAICompatible, question: str, **settings: object) -> Completion:
    return await provider.complete(question, tools=TOOLS, temperature=0, max_tokens=300, **settings)


def calls(completion: Completion) -> list[tuple[str, dict[str, object]]]:
    return [(call.name, dict(call.arguments)) for call in completion.tool_calls]


async def test_llama_cpp_stays_prompted(engine: EngineServer) -> None:
    """Its model writes calls that it takes for text: one try shows that, and loses nothing."""
    provider = unknown(engine)
    assert calls(await asked(provider, "What is the weather in Paris?")) == [
        ("get_weather", {"city": "Paris"})
    ]
    assert [(lesson.feature, lesson.verdict) for lesson in provider.learned.lessons] == [
        ("tools", "disproven")
    ]
    assert calls(await asked(provider, "Add 17 and 25.")) == [("add", {"a": 17, "b": 25})]


async def test_a_first_question_that_requires_a_call(engine: EngineServer) -> None:
    """A grammar for it beside other instructions would make the model call without end."""
    completion = await asked(unknown(engine), "What is the weather in Bern?", tool_choice="required")
    assert calls(completion) == [("get_weather", {"city": "Bern"})]


async def test_llama_cpp_constrains_objects(engine: EngineServer) -> None:
    """It is asked to at once, and nothing speaks against it."""
    provider = unknown(engine)
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}}
    completion = await provider.complete(
        "Paris is the capital of France. Which city is named?",
        response_format=form,
        temperature=0,
        max_tokens=100,
    )
    assert "Paris" in completion.text
    assert provider.learned.lessons == ()
