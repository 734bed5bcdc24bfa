"""The examinations, sat by the real default model behind each of the four services: the scores are floors."""

from typing import is_typeddict

import pytest
from jsonschema import Draft202012Validator

from freeproviders import AIChatFree, ChatgptFree, FlowGpt, FreeNetfly
from freeproviders.errors import StructuredOutputError
from freeproviders.testing import replica
from freeproviders.tools import complete_structured
from freeproviders.tools.schema.target import Target
from tests.real.exam import deterministic, sit
from tests.real.schemas import SCHEMAS, name_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

# Of 24 questions and of 20 schemas. The numbers are what was reached, less one: the engine's arithmetic differs a little from machine to machine.
CALLS_FLOOR = {FreeNetfly: 21, ChatgptFree: 16, FlowGpt: 21, AIChatFree: 19}
OBJECTS_FLOOR = {FreeNetfly: 19, ChatgptFree: 18, FlowGpt: 19, AIChatFree: 19}


@pytest.mark.parametrize("cls", CALLS_FLOOR)
async def test_tools(cls, embedded_05b, capsys):
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
            if isinstance(schema, type) and not is_typeddict(schema):
                assert isinstance(answer.value, schema)
            else:
                assert Draft202012Validator(Target.of(schema).schema).is_valid(answer.value)
            valid += 1
    with capsys.disabled():
        print(
            f"\nobjects through {cls.name}: {valid} of {len(SCHEMAS)} valid; not: {', '.join(failed) or 'none'}"
        )
    assert valid >= OBJECTS_FLOOR[cls]
