"""What the examinations rest on, held without a model."""

import json
from collections import Counter

import pytest

from freeproviders.testing import replica
from tests.real.examine import (
    MODELS,
    PROTOCOLS,
    RESULTS,
    SERVICES,
    asked_for,
    first_messages,
    hashes,
    over,
)
from tests.real.questions import QUESTIONS
from tests.real.schemas import SCHEMAS, is_right, name_of

# Of 50 questions, of the 25 that are held out, and of 25 objects right and valid: what was reached,
# less one, since the engine's arithmetic differs a little from machine to machine.
FLOORS = {
    "0.5b ai-chat-free": (35, 17, 22, 24),
    "0.5b chatgpt-free": (33, 15, 23, 24),
    "0.5b embedded": (38, 17, 21, 24),
    "0.5b flow-gpt": (38, 17, 22, 24),
    "0.5b free-netfly": (38, 17, 22, 24),
    "0.5b openai-compatible": (38, 17, 22, 24),
    "1.5b ai-chat-free": (41, 20, 23, 24),
    "1.5b chatgpt-free": (40, 20, 23, 24),
    "1.5b embedded": (43, 21, 23, 24),
    "1.5b flow-gpt": (43, 21, 23, 24),
    "1.5b free-netfly": (43, 21, 23, 24),
    "1.5b openai-compatible": (43, 21, 23, 24),
}

WRAPPED = {
    "free-netfly": lambda turns: turns,
    "flow-gpt": lambda turns: turns,
    "openai-compatible": lambda turns: turns,
    "ai-chat-free": lambda turns: [["user" if role == "system" else role, text] for role, text in turns],
    "chatgpt-free": lambda turns: [
        ["user", "".join(f"{role.title()}: {text}\n" for role, text in turns) + "Assistant:"]
    ],
}
"""How each protocol wraps the turns of a conversation; beyond that all send the same."""


@pytest.mark.parametrize("slug", SERVICES)
async def test_every_protocol_asks_the_same(slug):
    """For every question and every object of the examinations, up to the protocol's wrapping.

    So a score of the real model through one protocol tells about the others.
    """
    with replica(SERVICES[slug], answer="Nothing.") as server:
        sent = await first_messages(over(slug, server.base_url), server)
    assert len(sent) == len(QUESTIONS) + len(SCHEMAS)
    expected = await asked_for()
    for ours, theirs in zip(sent, expected, strict=True):
        assert ours == WRAPPED[slug](theirs)


def kept():
    return json.loads(RESULTS.read_text(encoding="utf-8"))


async def test_the_committed_scores_are_of_these_prompts():
    """Prompts, questions, dialects and weights are those of the scores: else run `make exam`."""
    scores = kept()
    models = {title.split()[0] for title in scores} | {"0.5b"}
    assert models <= set(MODELS)
    for short in models:
        now = await hashes(short)
        for slug in PROTOCOLS:  # a model's scores are complete
            assert scores[f"{short} {slug}"]["hashes"] == now, f"make exam EXAM_ARGS='--model {short}'"


def test_every_committed_score_has_a_floor():
    assert set(FLOORS) == set(kept())


@pytest.mark.parametrize("title", FLOORS)
def test_the_committed_scores_hold_their_floors(title):
    score = kept()[title]
    tools, objects = score["tools"], score["objects"]
    reached = (tools["right"], tools["held out"]["right"], objects["right"], objects["valid"])
    assert all(value >= floor for value, floor in zip(reached, FLOORS[title], strict=True))
    assert (tools["of"], tools["held out"]["of"], objects["of"]) == (50, 25, 25)
    assert objects["misfits"] == []
    assert objects["valid"] + len(objects["typed"]) == objects["of"]


def test_of_each_kind_every_second_question_is_held_out():
    """So that tuning on the others says something about these."""
    kinds = Counter(question.kind.replace("named", "required") for question in QUESTIONS)
    held = Counter(question.kind.replace("named", "required") for question in QUESTIONS if question.held_out)
    assert sum(held.values()) * 2 == len(QUESTIONS) == 50
    assert all(held[kind] * 2 == kinds[kind] for kind in kinds)
    assert len({question.name for question in QUESTIONS}) == 50
    assert len({tool["function"]["name"] for question in QUESTIONS for tool in question.tools}) >= 8


def test_what_is_right_and_what_is_not():
    """A judge of examinations that is wrong would be believed."""
    by_name = {question.name: question for question in QUESTIONS}
    flights = {"origin": "Zurich", "destination": "Athens", "date": "2026-07-21"}
    optional = by_name["optional: any cabin"].right
    assert optional([("search_flights", flights)], "")
    assert not optional([("search_flights", {**flights, "direct": False})], "")
    two = by_name["parallel: shares"].right
    calls = [("get_stock_price", {"symbol": symbol}) for symbol in ("MSFT", "AAPL")]
    assert two(calls, "")
    assert not two(calls[:1], "")
    assert not two([*calls, calls[0]], "")
    steps = by_name["steps: share in euros"].right
    done = [
        ("get_stock_price", {"symbol": "TSLA"}),
        ("convert_currency", {"amount": 212.5, "source": "USD", "target": "EUR"}),
    ]
    assert steps(done, "That is 195.50 EUR.")
    assert steps([done[0], *done], "195.5")
    assert not steps(done[::-1], "195.5")
    assert not steps(done, "I do not know.")
    assert by_name["none: bye"].right([], "Bye!")
    assert not by_name["none: bye"].right([], " ")
    by_schema = {name_of(sample.schema): sample for sample in SCHEMAS}
    assert is_right(by_schema["Temperatures"], {"degrees": [-3.5, 0, 12.25]})
    assert not is_right(by_schema["Temperatures"], {"degrees": [3.5, 0, 12.25]})
    loan = by_schema["Loan"].schema
    assert is_right(by_schema["Loan"], loan(amount=5000, approved=False, reason="Low income"))
    assert not is_right(by_schema["Loan"], loan(amount=5000, approved=True, reason="Low income"))
