"""What the examinations rest on, held without a model."""

import pytest

from freeproviders.testing import replica
from tests.real.examine import SERVICES, asked_for, first_messages, over
from tests.real.questions import QUESTIONS
from tests.real.schemas import SCHEMAS

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
