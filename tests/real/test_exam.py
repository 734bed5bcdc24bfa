"""The examinations, sat by the real default model behind each of the four services: the scores are floors."""

import pytest
from pydantic import TypeAdapter

from freeproviders import AIChatFree, ChatgptFree, FlowGpt, FreeNetfly
from freeproviders.errors import StructuredOutputError
from freeproviders.testing import replica
from freeproviders.tools import complete_structured
from tests.real.exam import deterministic, sit
from tests.real.schemas import SCHEMAS, name_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

# Of 24 questions and of 20 schemas. The numbers are what was reached, less one: the engine's arithmetic differs a little from machine to machine.
CALLS_FLOOR = {FreeNetfly: 19, ChatgptFree: 17, FlowGpt: 19, AIChatFree: 19}
OBJECTS_FLOOR = {FreeNetfly: 17, ChatgptFree: 17, FlowGpt: 17, AIChatFree: 17}


@pytest.mark.parametrize("cls", CALLS_FLOOR)
async def test_tools(cls, embedded_05b, record_property, capsys):
    """The model gets so many questions right, and every call that comes out fits its schema."""
    with replica(cls, answer=deterministic(embedded_05b)) as r:
        score = await sit(cls(base_url=r.base_url))
    with capsys.disabled():
        print(f"\ntool calls through {cls.name}: {score} right; wrong: {', '.join(score.wrong) or 'none'}")
    assert score.misfits == []
    assert score.right >= CALLS_FLOOR[cls]


@pytest.mark.parametrize("cls", OBJECTS_FLOOR)
async def test_objects(cls, embedded_05b, capsys):
    """Every answer is a valid object or a typed error, never None; so many are valid."""
    valid, failed = 0, []
    with replica(cls, answer=deterministic(embedded_05b)) as r:
        provider = cls(base_url=r.base_url)
        for schema, text in SCHEMAS:
            request = provider.request(f"Extract the information from this text: {text}")
            try:
                answer = await complete_structured(provider, request, schema)
            except StructuredOutputError:
                failed.append(name_of(schema))
                continue
            assert answer.value is not None
            if not isinstance(schema, dict):
                TypeAdapter(schema).validate_python(answer.value)
            valid += 1
    with capsys.disabled():
        print(f"\nobjects through {cls.name}: {valid} of {len(SCHEMAS)} valid; not: {', '.join(failed) or 'none'}")
    assert valid >= OBJECTS_FLOOR[cls]
