"""What nobody has seen is not lost: answers that break off before anything was shown."""

import pytest
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel

from freeproviders.errors import TruncatedResponseError
from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt, FreeNetfly
from tests.core.services import FAST, SERVICES
from tests.llamaindex.services import ALL, HI


class Song(BaseModel):
    """A song."""

    title: str
    seconds: int


PIECES = ['{"title": "one two three",', ' "seconds": 45}']
SONG = "".join(PIECES)
PROMPT = PromptTemplate("A song, please.")
CLASSES = {cls.provider_class: cls for cls in ALL}


async def asked(llm, number):
    """Ask in one of the ways that show nothing before the end; return the answer and `raw`."""
    match number % 5:
        case 0:
            response = llm.chat(HI)
            return response.message.content, response.raw
        case 1:
            response = await llm.achat(HI)
            return response.message.content, response.raw
        case 2:
            response = llm.complete("Hi")
            return response.text, response.raw
        case 3:
            response = await llm.acomplete("Hi")
            return response.text, response.raw
        case _:
            song = await llm.astructured_predict(Song, PROMPT)
            return SONG if song == Song(title="one two three", seconds=45) else str(song), None


@pytest.mark.parametrize("service", SERVICES, ids=str)
@pytest.mark.parametrize("way", range(5), ids=["chat", "achat", "complete", "acomplete", "structured"])
async def test_a_cut_loses_nothing(service, way):
    """Wherever two answers are cut, the third comes; usage is the sum of all that had words.

    The core's test of it cuts five times as finely.
    """
    lost = 0
    for cut in range(0, 1050, 35) if way == 0 else range(way, 1050, 105):  # no body is longer
        with replica(
            service.cls, answer=PIECES, faults=[{"cut": cut}, {"cut": cut + 3}], **service.style
        ) as r:
            llm = CLASSES[service.cls](base_url=r.base_url, retry=FAST, **service.options)
            text, raw = await asked(llm, way)
            lost += text != SONG
            sent = [request for request in r.requests if request.method == "POST"]
            assert 1 <= len(sent) <= 3
            if raw is not None:
                assert raw["attempts"] == len(sent)
    assert lost == 0


def test_usage_is_the_sum_of_all_attempts():
    """An attempt that broke off behind some words has cost them."""
    text = "one two three four five six"
    with replica("free-netfly", answer=text) as r:
        alone = FreeNetfly(base_url=r.base_url).chat(HI).raw["usage"]
    with replica("free-netfly", answer=text, faults=[{"cut": 900}, {"cut": 900}]) as r:
        raw = FreeNetfly(base_url=r.base_url, retry=FAST).chat(HI).raw
    assert raw["attempts"] == 3
    assert raw["usage"]["prompt_tokens"] == 3 * alone["prompt_tokens"]
    assert alone["completion_tokens"] < raw["usage"]["completion_tokens"] < 3 * alone["completion_tokens"]
    assert raw["usage"]["total_tokens"] == raw["usage"]["prompt_tokens"] + raw["usage"]["completion_tokens"]


def test_what_was_shown_is_not_asked_for_again():
    """A stream that breaks off behind its first words is an error at once."""
    with replica("flow-gpt", answer=["one", " two", " three"], faults={"cut": 120}) as r:
        shown = []
        with pytest.raises(TruncatedResponseError):
            shown.extend(chunk.delta for chunk in FlowGpt(base_url=r.base_url, retry=FAST).stream_chat(HI))
        assert shown
        assert len(r.requests) == 1
