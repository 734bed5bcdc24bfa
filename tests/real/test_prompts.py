"""What the examinations rest on, held without a model."""

import json

import pytest

from freeproviders.testing import replica
from tests.real.examine import MODELS, PROTOCOLS, RESULTS, SERVICES, asked_for, first_messages, hashes, over
from tests.real.questions import QUESTIONS
from tests.real.schemas import SCHEMAS

# Of 24 questions and of 20 schemas, with the 0.5B: what was reached, less one, since the engine's
# arithmetic differs a little from machine to machine.
CALLS_FLOOR = {"free-netfly": 21, "chatgpt-free": 16, "flow-gpt": 21, "ai-chat-free": 19}
OBJECTS_FLOOR = {"free-netfly": 19, "chatgpt-free": 18, "flow-gpt": 19, "ai-chat-free": 19}

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
    for short in {title.split()[0] for title in scores} | {"0.5b"}:
        now = await hashes(short)
        for slug in PROTOCOLS:
            assert scores[f"{short} {slug}"]["hashes"] == now, f"make exam EXAM_ARGS='--model {short}'"
    assert {title.split()[0] for title in scores} <= set(MODELS)


@pytest.mark.parametrize("slug", CALLS_FLOOR)
def test_the_committed_scores_hold_their_floors(slug):
    score = kept()[f"0.5b {slug}"]
    assert score["tools"]["right"] >= CALLS_FLOOR[slug]
    assert score["objects"]["right"] >= OBJECTS_FLOOR[slug]
    assert score["tools"]["misfits"] == score["objects"]["misfits"] == []
