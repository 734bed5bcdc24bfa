"""The scripted model obeys a prompt of other words as well: it follows the tools, not the wording."""

from functools import partial

import pytest
from pydantic import BaseModel

from freeproviders import FlowGpt
from freeproviders.testing import replica
from freeproviders.tools import ToolPrompt, answer, complete_structured
from freeproviders.types import Message, collect
from tests.brain import Markers, brain
from tests.tools.reading import TOOLS

OTHER = ToolPrompt(
    intro="These are there:\n{tools}\n{format}",
    required="One of them has to be used.",
    named="Use {name} and nothing else.",
    reminder="[Do not forget what is there.]",
    single="Only a single one!",
    result="RESULT OF {name}: {content} (END)",
    failure="FAILURE OF {name}: {content} (END)",
    note="By the way: {content}",
    complaint="Wrong: {complaint} Try it anew, please. {format}",
    no_call="Nothing of {names} was used. {format}",
    schema="Fill this in: {schema} Like so: {form}",
    any_object="Braces, please.",
    misfit="That is not it: {complaint} But so: {form}",
)


class Town(BaseModel):
    city: str
    inhabitants: int


@pytest.mark.parametrize("prompt", [ToolPrompt(), OTHER], ids=["usual", "other"])
async def test_it_obeys_whatever_the_words(prompt):
    with replica(FlowGpt, answer=partial(brain, markers=Markers.of(prompt))) as server:
        flow = FlowGpt(base_url=server.base_url)

        async def said(*messages, **options):
            request = flow.request([Message("user", "How are you?"), *messages], tools=TOOLS, **options)
            return collect([part async for batch in answer(flow, request, prompt=prompt) for part in batch])

        assert not (await said()).tool_calls
        weather = Message("user", "The weather in 'Oslo'?")
        (call,) = (await said(weather)).tool_calls
        assert (call.name, call.arguments["city"]) == ("get_weather", "Oslo")
        (call,) = (await said(tool_choice="required")).tool_calls
        (call,) = (await said(tool_choice="get_time")).tool_calls
        assert call.name == "get_time"
        told = await said(
            weather,
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", "It is late.", tool_call_id=call.id, name="get_time"),
        )
        assert told.text == "The tool says: It is late."


async def test_it_fills_a_schema_that_other_words_introduce():
    with replica(FlowGpt, answer=partial(brain, markers=Markers.of(OTHER))) as server:
        flow = FlowGpt(base_url=server.base_url)
        request = flow.request("There are 7 people in 'Bern'.")
        town = (await complete_structured(flow, request, Town, prompt=OTHER)).value
    assert town == Town(city="Bern", inhabitants=7)
