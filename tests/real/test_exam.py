"""A part of the examinations, sat by the real default model here and through one service.

The other protocols send the same prompts, which `test_prompts.py` holds without a model, and whole
examinations over all of them are sat by `make exam`.
"""

import pytest

from freeproviders import FlowGpt
from freeproviders.testing import replica
from tests.real.exam import STEADY, deterministic, sit, sit_objects
from tests.real.questions import QUESTIONS
from tests.real.schemas import SCHEMAS, name_of

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]

# Of each kind one or two that the model can answer; one of them may fail, since the engine's
# arithmetic differs a little from machine to machine.
ASKED = {
    "single: weather",
    "choice: mail",
    "enum: fahrenheit",
    "nested: place",
    "none: hello",
    "required: weather",
    "named: timer",
    "result: weather",
}
OBJECTS = {"Person", "Customer", "Sentiment", "City"}
MAY_FAIL = 1


@pytest.fixture(params=["here", "flow-gpt"])
def backend(request, embedded_05b):
    """The model itself, and the model behind a protocol without tools; with the settings of each."""
    if request.param == "here":
        yield embedded_05b, STEADY
        return
    with replica(FlowGpt, answer=deterministic(embedded_05b)) as r:
        yield FlowGpt(base_url=r.base_url), {}


async def test_tools(backend, capsys):
    """The model gets so many questions right, and every call that comes out fits its schema."""
    model, settings = backend
    questions = [question for question in QUESTIONS if question.name in ASKED]
    assert len(questions) == len(ASKED)
    score = await sit(model, questions=questions, **settings)
    with capsys.disabled():
        print(f"\ntool calls through {model.name}: {score} right; wrong: {score.wrong or 'none'}")
    assert score.misfits == []
    assert score.right >= len(ASKED) - MAY_FAIL


async def test_objects(backend, capsys):
    """Every answer is a valid object or a typed error, never None; so many are valid."""
    model, settings = backend
    schemas = [(schema, text) for schema, text in SCHEMAS if name_of(schema) in OBJECTS]
    assert len(schemas) == len(OBJECTS)
    score = await sit_objects(model, schemas, **settings)
    with capsys.disabled():
        print(f"\nobjects through {model.name}: {score} valid; not: {score.wrong or 'none'}")
    assert score.misfits == []
    assert score.right >= len(OBJECTS) - MAY_FAIL
