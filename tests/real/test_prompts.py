"""What the examinations rest on, held without a model."""

from collections import Counter

import pytest

from freeproviders.testing import replica
from tests.real.examine import SERVICES, asked_for, first_messages, over
from tests.real.questions import QUESTIONS
from tests.real.schemas import SCHEMAS, is_right, name_of

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
