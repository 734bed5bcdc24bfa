"""Answers of the real 0.5B model that break off, gone on with by our own engine."""

import asyncio
import os
import signal

import pytest

from freeproviders import Embedded, FreeProviders, OpenAICompatible
from freeproviders.embedded.server import running_server
from freeproviders.retry import Retry
from freeproviders.testing import replica
from freeproviders.types import ChatRequest, Message, Seam, collect
from tests.router.resuming import as_member, whole

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

COUNT = "Count from 1 to 12 in words, one per line."
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def asking(question=COUNT, **fields):
    return ChatRequest(
        messages=(Message("user", question),), **{"temperature": 0, "max_tokens": 60, **fields}
    )


async def complete(backend, request):
    return collect([part async for batch in backend.answer(request) for part in batch])


def in_order(text):
    """Whether a text counts, and no word is missing, doubled or made of two halves."""
    words = [word.strip(".,").lower() for word in text.split()]
    found = [word for word in words if not word.isdigit()]
    return found[:10] == NUMBERS


async def test_it_goes_on_inside_words_and_numbers(embedded_05b):
    """Behind half a word, a blank, a line break, half a number: the answer is that of one go."""
    alone = await complete(embedded_05b, asking())
    assert in_order(alone.text)
    for cut in (1, alone.text.index("Thr") + 3, alone.text.index("Four") - 1, alone.text.index("10") + 1):
        begun = alone.text[:cut]
        rest = await complete(embedded_05b, asking(prefill=begun))
        assert begun + rest.text == alone.text, cut
        assert rest.finish.reason == alone.finish.reason == "stop"
        assert rest.usage.input_tokens > alone.usage.input_tokens - 8


async def test_nothing_is_left_to_say(embedded_05b):
    """A whole answer that is gone on with has nothing behind it, and that is no error."""
    alone = await complete(embedded_05b, asking())
    rest = await complete(embedded_05b, asking(prefill=alone.text))
    assert (rest.text, rest.finish.reason) == ("", "stop")


async def test_marks_in_a_text_end_no_turn(embedded_05b):
    """The marks of the template, in an answer about them, are text."""
    begun = "In ChatML, a turn ends with <|im_end|> and begins with <|im_st"
    rest = await complete(embedded_05b, asking("What are the marks of ChatML?", prefill=begun, max_tokens=12))
    assert rest.text.startswith("art")
    assert rest.usage.output_tokens >= 3


async def test_the_engine_is_killed(embedded_05b):
    """The engine dies in the middle of an answer: a new one goes on, at the very character."""
    router = FreeProviders(embedded_05b, on_broken_stream="continue")
    alone = await complete(embedded_05b, asking())
    settings = embedded_05b._settings[embedded_05b.model]
    seams, batches = [], []
    async for batch in router.answer(asking(listener=seams.append)):
        batches += batch
        if len(batches) == 9:
            os.kill(running_server(settings).pid, signal.SIGKILL)
            while running_server(settings) is not None:  # until it is seen to be gone
                await asyncio.sleep(0.01)
    answer = collect(batches)
    assert answer.text == alone.text
    (seam,) = answer.finish.seams
    assert seam in seams
    assert seam.how == "prefill"
    assert [bool(attempt.error) for attempt in answer.finish.trail] == [True, False]
    assert answer.usage.output_tokens > alone.usage.output_tokens // 2


async def test_another_service_is_gone_on_with(embedded_05b):
    """What a service began, our own engine ends, wherever the connection broke."""
    mine = as_member(embedded_05b, "embedded")
    with replica(OpenAICompatible, answer=embedded_05b) as server:
        theirs = OpenAICompatible("other", base_url=server.base_url, retry=Retry(attempts=1))
        members = [as_member(theirs, "there/other"), mine]
        for cut in (2300, 4100):
            server.faults = [{"cut": cut}]
            answer = await whole(members, asking(temperature=0.01), hops=1)
            (seam,) = answer.finish.seams
            assert seam == Seam(seam.offset, "there/other", "embedded", "prefill")
            assert in_order(answer.text)


async def test_it_takes_no_shape(embedded_05b):
    """A beginning and a grammar of the caller's do not go together, which is said before anything is sent."""
    with pytest.raises(ValueError, match="goes on as text only"):
        await complete(embedded_05b, asking(prefill="x", response_format={"type": "json_object"}))
    assert embedded_05b.prefills() == "exact"
    assert Embedded.checked(embedded_05b, asking(prefill="word " * 100, max_tokens=None)).max_tokens < 1000
    with pytest.raises(ValueError, match="ask without prefill"):
        await complete(OpenAICompatible("m", base_url="http://127.0.0.1:9/v1"), asking(prefill="x"))
