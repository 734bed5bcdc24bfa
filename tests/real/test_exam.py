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

# Of each kind one that the model can answer; one of them may fail, since the engine's arithmetic
# differs a little from machine to machine.
ASKED = {
    "single: alarm",
    "choice: contact",
    "parallel: shares",
    "follow-up: another city",
    "required: early",
    "named: share",
    "enum: business class",
    "nested: one topping",
    "languages: Spanish",
    "none: sentence",
}
OBJECTS = {"Employee", "Parcel", "Mood", "Country"}
# The same prompts reach the model through a service: what could differ on the way is asked.
THROUGH_A_SERVICE = {"single: alarm", "parallel: shares", "follow-up: another city", "Employee", "Parcel"}
MAY_FAIL = 1


@pytest.fixture(params=["here", "flow-gpt"])
def backend(request, embedded_05b):
    """The model itself, and the model behind a protocol without tools; the settings and questions of each."""
    if request.param == "here":
        yield embedded_05b, STEADY, ASKED | OBJECTS
        return
    with replica(FlowGpt, answer=deterministic(embedded_05b)) as r:
        # The service does not tell which model it has; who asks it knows.
        yield FlowGpt(base_url=r.base_url).with_abilities(family="qwen2.5-coder-0.5b"), {}, THROUGH_A_SERVICE


async def test_tools(backend, capsys):
    """The model gets so many questions right, and every call that comes out fits its schema."""
    model, settings, wanted = backend
    questions = [question for question in QUESTIONS if question.name in ASKED & wanted]
    assert len(questions) == len(ASKED & wanted) >= 3
    score = await sit(model, questions=questions, **settings)
    with capsys.disabled():
        print(f"\ntool calls through {model.name}: {score} right; wrong: {score.wrong or 'none'}")
    assert score.misfits == []
    assert len(score.right) >= len(questions) - MAY_FAIL


async def test_objects(backend, capsys):
    """Every answer is a valid object or a typed error, never None; so many are right."""
    model, settings, wanted = backend
    samples = [sample for sample in SCHEMAS if name_of(sample.schema) in OBJECTS & wanted]
    assert len(samples) == len(OBJECTS & wanted) >= 2
    score = await sit_objects(model, samples, **settings)
    with capsys.disabled():
        print(f"\nobjects through {model.name}: {score} right; wrong: {score.wrong or 'none'}")
    assert score.misfits == []
    assert len(score.right) >= len(samples) - MAY_FAIL
