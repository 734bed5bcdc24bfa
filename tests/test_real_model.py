"""A real model's words through every protocol: what a replica sends is what llama.cpp says at that moment."""

import asyncio

import pytest

from freeproviders import AIChatFree, ChatgptFree, FlowGpt, FreeNetfly, OpenAICompatible
from freeproviders.testing import replica
from freeproviders.types import Finish, Text
from tests.real.exam import deterministic

PROTOCOLS = [FreeNetfly, ChatgptFree, FlowGpt, AIChatFree, OpenAICompatible]
FRANCE = [{"role": "user", "content": "What is the capital of France? Answer in one short sentence."}]

pytestmark = pytest.mark.real


def speaking(cls, r):
    return cls(*(["m"] if cls is OpenAICompatible else []), base_url=r.base_url)


@pytest.mark.parametrize("cls", PROTOCOLS)
async def test_words_come_as_they_are_said(cls, embedded_135m):
    """The tiny model speaks through the protocol, two conversations at once, and the end is said."""

    async def twenty_tokens(messages):
        async for part in embedded_135m.stream(messages, max_tokens=20, ignore_eos=True):
            if isinstance(part, Text):
                yield part.text

    with replica(cls, answer=twenty_tokens) as r:
        provider = speaking(cls, r)

        async def one():
            return [part async for part in provider.stream("Count from one to twenty.")]

        for parts in await asyncio.gather(one(), one()):
            pieces = [part.text for part in parts if isinstance(part, Text)]
            assert "".join(pieces).strip()
            assert len(pieces) > 5
            assert isinstance(parts[-1], Finish)
            assert parts[-1].provider == cls.name


@pytest.mark.parametrize("cls", PROTOCOLS)
async def test_sense(cls, embedded_05b):
    """The default model's answer, through the protocol, makes sense."""
    with replica(cls, answer=deterministic(embedded_05b)) as r:
        assert "Paris" in (await speaking(cls, r).complete(FRANCE)).text


async def test_history_reaches_the_model(embedded_05b):
    """Earlier turns reach the model through protocols that keep them apart or fold them."""
    messages = [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Nice to meet you, Ada."},
        {"role": "user", "content": "What is my name? Answer with the name only."},
    ]
    for cls in (FlowGpt, FreeNetfly, AIChatFree):
        with replica(cls, answer=deterministic(embedded_05b)) as r:
            assert "Ada" in (await speaking(cls, r).complete(messages)).text


async def test_leaving_stops_the_model(embedded_135m):
    """A client that leaves frees the model's slot.

    Many answers are left, and the next question is still answered at once.
    """
    with replica(FlowGpt, answer=embedded_135m) as r:
        flow = FlowGpt(base_url=r.base_url)
        for _ in range(6):
            async for _ in flow.create_async_generator(
                messages=[{"role": "user", "content": "Write a very long story."}]
            ):
                break
        async with asyncio.timeout(30):
            assert (await flow.complete("Say hello.", stop=["."])).finish.reason in {"stop", "length"}
