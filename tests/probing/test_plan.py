"""What is said before anything is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from freeproviders.catalogue import catalogue
from freeproviders.catalogue.rows import Limit
from freeproviders.probing.plan import OF_THE_MODEL, Plan
from tests.probing.test_agreeing import LIVING

ADDRESS = "http://127.0.0.1:9/v1"


def plan(service, model="", **more):
    """The plan of a probe of a service."""
    return Plan(catalogue().service(service), ADDRESS, model, **more)


@pytest.mark.parametrize("service", LIVING)
def test_the_plan_of_every_service(service):
    """It says who is asked what how often, and what each recorded limit of the model will lose."""
    row = catalogue().service(service)
    said = plan(service, row.default_model).sentences()
    assert said[0] == f"{row.name} at {ADDRESS} gets 6 requests, 8 at most."
    assert row.default_model in said[1]
    counted = [one for one in row.limit if one.counts(row.default_model) and one.keyless is not True]
    metrics = {"requests", "tokens", "input tokens", "output tokens"}
    assert len([line for line in said if line.startswith("They count")]) == len(
        [one for one in counted if one.metric in metrics]
    )


def test_what_may_cost_money():
    """A model that is paid for, and one of which nobody knows; not one of a server on this machine."""
    words = "it may cost money"
    openrouter = catalogue().service("openrouter")
    free = openrouter.default_model
    assert words not in " ".join(plan("openrouter", free).sentences())
    assert words in " ".join(plan("openrouter", "nobody/knows-this").sentences())
    assert words not in " ".join(plan("llamacpp").sentences())
    ended = next(row for row in catalogue() if row.gone is not None and row.gone.what == "free tier")
    assert words in " ".join(plan(ended.id, ended.default_model or "any").sentences())


def test_vectors_are_counted():
    """One more request, of a model of its own."""
    with_one = plan("mistral", "mistral-small-latest", embedding="mistral-embed")
    assert with_one.questions[-1] == "embeddings"
    assert "7 requests, 9 at most" in with_one.sentences()[0]
    assert "1 of mistral-embed" in with_one.sentences()[1]


@pytest.mark.parametrize(
    ("cap", "per", "pause"),
    [
        (30, "minute", 0),
        (5, "minute", 0),
        (2, "minute", 31.5),
        (1, "second", 1.05),
        (1, "day", 0),
        (0, "minute", 0),
    ],
)
def test_the_pause(cap, per, pause):
    """As long as the tightest limit of a minute or less wants it; a day is not waited for."""
    row = catalogue().service("groq")
    tight = replace(row, limit=(*row.limit, Limit(metric="requests", cap=cap, per=per)))
    one = Plan(tight, ADDRESS, row.default_model)
    assert one.pause == pytest.approx(pause)
    assert any("s pass between" in line for line in one.sentences()) == bool(pause)


def test_what_is_asked():
    """The list, four questions of the model, and the mistake."""
    assert plan("groq", "x").questions == ("models", *OF_THE_MODEL, "error")
