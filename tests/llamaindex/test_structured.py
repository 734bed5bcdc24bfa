"""Objects from a service that writes text: the four methods, and all that stands on them."""

import enum
import json
from itertools import pairwise
from typing import Annotated, Generic, TypeVar

import pytest
from llama_index.core import Document, Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.postprocessor import StructuredLLMRerank
from llama_index.core.program import LLMTextCompletionProgram
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.response_synthesizers import Refine, TreeSummarize
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.types import PydanticProgramMode
from pydantic import AfterValidator, BaseModel, Field

from freeproviders.errors import StructuredOutputError, ToolCallError, UsageError
from freeproviders.testing import replica
from llama_index_freeproviders import FlowGpt, OpenAICompatible
from tests.brain import Script, brain
from tests.llamaindex.services import HI, SERVICES, gathered, listen
from tests.llamaindex.test_events import Counter, Log

T = TypeVar("T")


class Song(BaseModel):
    """A song."""

    title: str
    seconds: int


class Album(BaseModel):
    """An album of songs."""

    name: str
    songs: list[Song]


class Box(BaseModel, Generic[T]):
    """Holds one value."""

    value: T


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


def _even(number: int) -> int:
    if number % 2:
        raise ValueError("must be even")
    return number


class Checked(BaseModel):
    """Holds what no JSON schema can say."""

    number: Annotated[int, AfterValidator(_even)]
    mood: Mood = Mood.GOOD


PROMPT = PromptTemplate("Invent an album called '{name}' with a song of {n} seconds.")


@pytest.fixture
def r():
    with replica("flow-gpt", answer=brain) as running:
        yield running


@pytest.fixture
def llm(r):
    return FlowGpt(base_url=r.base_url, retry=0)


@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_the_four_methods_on_every_service(service):
    async with replica(service.provider, answer=brain) as r:
        llm = service.llm(r)
        args = {"output_cls": Album, "prompt": PROMPT, "name": "Blue", "n": 77}
        streamed = list(llm.stream_structured_predict(**args))
        streamed_async = await gathered(llm.astream_structured_predict(**args))
        for album in (
            llm.structured_predict(**args),
            await llm.astructured_predict(**args),
            streamed[-1],
            streamed_async[-1],
        ):
            assert isinstance(album, Album)
            assert (album.name, album.songs[0].seconds) == ("Blue", 77)


SHAPES = {
    "bare": '{"title": "Blue", "seconds": 7}',
    "fenced": 'Sure!\n```json\n{"title": "Blue", "seconds": 7}\n```\nAnything else?',
    "thinking": '<think>{"title": "No"}</think>{"title": "Blue", "seconds": 7}',
    "trailing braces": '{"title": "Blue", "seconds": 7} as {x} said',
    "single quotes": "{'title': 'Blue', 'seconds': 7}",
    "trailing comma": '{"title": "Blue", "seconds": 7,}',
    "echoed schema": (
        '{"properties": {"title": {"type": "string"}}, "type": "object"}\n{"title": "Blue", "seconds": 7}'
    ),
    "wrapped": '{"Song": {"title": "Blue", "seconds": 7}}',
    "text number": '{"title": "Blue", "seconds": "7"}',
    "a call": '{"name": "Song", "arguments": {"title": "Blue", "seconds": 7}}',
    "prose": 'Here it is: {"title": "Blue", "seconds": 7}.',
}


@pytest.mark.parametrize("said", SHAPES.values(), ids=SHAPES)
def test_what_weak_models_write(r, llm, said):
    r.answer = said
    assert llm.structured_predict(Song, PromptTemplate("A song.")) == Song(title="Blue", seconds=7)
    assert list(llm.stream_structured_predict(Song, PromptTemplate("A song.")))[-1] == Song(
        title="Blue", seconds=7
    )
    assert len(r.requests) == 2  # at once, each


def test_what_does_not_fit_is_asked_for_again_within_one_call(r, llm):
    r.answer = Script('{"number": 3}', "Sorry. I mean 4.", '{"number": 4}')
    recorder = listen()
    counter = TokenCountingHandler()
    llm.callback_manager = CallbackManager([counter])
    assert llm.structured_predict(Checked, PromptTemplate("A number.")) == Checked(number=4)
    assert len(r.requests) == 3
    assert recorder.names == [
        "LLMStructuredPredictStartEvent",
        "LLMChatStartEvent",
        "LLMChatEndEvent",
        "LLMStructuredPredictEndEvent",
    ]
    assert len(counter.llm_token_counts) == 1
    assert "must be even" in json.dumps(r.requests[1].json)


@pytest.mark.parametrize(
    "method",
    ["structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"],
)
async def test_never_none_but_a_typed_error(r, llm, method):
    r.answer = "I do not do objects."
    with pytest.raises(StructuredOutputError) as caught:
        await asked(llm, method, Song, PromptTemplate("A song."))
    assert isinstance(caught.value, ValueError)
    assert caught.value.said == "I do not do objects."
    assert len(r.requests) == 3


async def asked(llm, method, *args, **kwargs):
    """The last of what any of the four gives."""
    given = getattr(llm, method)(*args, **kwargs)
    if method.startswith("astream"):
        return (await gathered(given))[-1]
    if method.startswith("stream"):
        return list(given)[-1]
    return await given if method.startswith("a") else given


@pytest.mark.parametrize(
    "method",
    ["structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"],
)
async def test_events_of_each(llm, method):
    recorder = listen()
    await asked(llm, method, Song, PromptTemplate("A song."))
    told = [name for name in recorder.names if "InProgress" not in name]
    assert told == [
        "LLMStructuredPredictStartEvent",
        "LLMChatStartEvent",
        "LLMChatEndEvent",
        "LLMStructuredPredictEndEvent",
    ]
    assert ("stream" in method) == ("LLMStructuredPredictInProgressEvent" in recorder.names)
    assert isinstance(recorder.seen[-1].output, Song)


@pytest.mark.parametrize(
    "method",
    ["structured_predict", "astructured_predict", "stream_structured_predict", "astream_structured_predict"],
)
async def test_one_span_and_one_turn_of_the_rate_limiter_however_often_it_is_asked(r, method):
    r.answer = Script("Sorry.", '{"title": "Blue", "seconds": 7}')
    counter, spans = Counter(), SimpleSpanHandler()
    get_dispatcher().add_span_handler(spans)
    try:
        await asked(
            FlowGpt(base_url=r.base_url, retry=0, rate_limiter=counter),
            method,
            Song,
            PromptTemplate("A song."),
        )
    finally:
        get_dispatcher().span_handlers.remove(spans)
    assert len(r.requests) == 2
    assert (counter.sync, counter.asynchronous) == ((0, 1) if method.startswith("a") else (1, 0))
    assert [span.id_.split("-")[0] for span in spans.completed_spans] == [f"FlowGpt.{method}"]
    assert not spans.open_spans


@pytest.mark.parametrize("method", ["stream_structured_predict", "astream_structured_predict"])
async def test_leaving_with_the_last_object_is_no_failure(r, method):
    """Whoever has what was wanted does not ask for more; the call has ended by then."""
    log, recorder = Log(), listen()
    stream = getattr(FlowGpt(base_url=r.base_url, callback_manager=CallbackManager([log])), method)(
        Song, PromptTemplate("A song.")
    )
    if method.startswith("a"):
        stream = await stream
        while "LLMStructuredPredictEndEvent" not in recorder.names:
            await anext(stream)
        await stream.aclose()
    else:
        while "LLMStructuredPredictEndEvent" not in recorder.names:
            next(stream)
        stream.close()
    assert recorder.names[-2:] == ["LLMChatEndEvent", "LLMStructuredPredictEndEvent"]
    assert [what for what, kind, *_ in log.seen if kind == CBEventType.LLM] == ["start", "end"]


async def test_partial_objects_only_grow(r, llm):
    r.answer = list(
        '{"name": "Blue", "songs": [{"title": "One", "seconds": 1}, {"title": "Two", "seconds": 2}]}'
    )
    r.faults = {"pace": 0.002}
    shown = await gathered(llm.astream_structured_predict(Album, PromptTemplate("An album.")))
    assert len(shown) > 4
    assert all(isinstance(each, Album | FlexibleModel) for each in shown)
    sizes = [len(each.model_dump_json(exclude_none=True)) for each in shown]
    assert sizes == sorted(sizes)
    assert shown[-1] == Album(name="Blue", songs=[Song(title="One", seconds=1), Song(title="Two", seconds=2)])


async def test_closing_a_growing_object_ends_the_request():
    async with replica("flow-gpt", answer=['{"title": "', *["a "] * 100], faults={"pace": 0.02}) as r:
        stream = await FlowGpt(base_url=r.base_url).astream_structured_predict(
            Song, PromptTemplate("A song.")
        )
        await anext(stream)
        await stream.aclose()
        assert await r.await_disconnect(timeout=60) == 1


@pytest.mark.parametrize(
    ("cls", "said", "value"),
    [
        (Box[int], '{"value": 5}', 5),
        (Box[list[Song]], '{"value": [{"title": "a", "seconds": 1}]}', [Song(title="a", seconds=1)]),
    ],
)
async def test_generic_models(r, llm, cls, said, value):
    """LlamaIndex's own program advertises `Box_int_` and then cannot find `Box[int]`."""
    r.answer = said
    assert llm.structured_predict(cls, PromptTemplate("A box.")).value == value
    assert (await llm.astructured_predict(cls, PromptTemplate("A box."))).value == value
    assert list(llm.stream_structured_predict(cls, PromptTemplate("A box.")))[-1].value == value


def test_generic_models_through_tools(r, llm):
    from llama_index.core.program.function_program import FunctionCallingProgram

    program = FunctionCallingProgram.from_defaults(Box[int], prompt_template_str="Put 5 into a box.", llm=llm)
    assert program().value == 5


def test_braces_and_system_prompts(r):
    llm = FlowGpt(base_url=r.base_url, system_prompt='Use {"this": 1}.')
    llm.structured_predict(Song, PromptTemplate("A song like {like}."), like='{"title": "{x}"}')
    sent = json.dumps(r.requests[-1].json)
    assert "{{" not in sent
    assert "Use {" in r.requests[-1].json["system"]


async def test_the_system_prompt_counts_in_all_four(r):
    llm = FlowGpt(base_url=r.base_url, system_prompt="Be kind.")
    for method in (
        "structured_predict",
        "astructured_predict",
        "stream_structured_predict",
        "astream_structured_predict",
    ):
        await asked(llm, method, Song, PromptTemplate("A song."))
        assert "Be kind." in r.requests[-1].json["system"]


def test_settings_of_the_call(r, llm):
    llm.structured_predict(
        Song,
        PromptTemplate("A song."),
        llm_kwargs={"temperature": 0.0, "model": "gpt-4-turbo", "tool_required": True, "tool_choice": "Song"},
    )
    sent = r.requests[-1].json
    assert (sent["temperature"], sent["model"]) == (0.0, "gpt-4-turbo")


async def test_services_that_constrain_are_asked_to():
    async with replica("openai-compatible", answer='{"title": "Blue", "seconds": 7}') as r:
        llm = OpenAICompatible("m", base_url=r.base_url, json_schema=True)
        assert llm.structured_predict(Song, PromptTemplate("A song.")) == Song(title="Blue", seconds=7)
        assert r.requests[-1].json["response_format"]["type"] == "json_schema"


# --- what stands on it ----------------------------------------------------------------------------


async def test_as_structured_llm(llm):
    structured = llm.as_structured_llm(Song)
    for response in (structured.chat(HI), await structured.achat(HI)):
        assert isinstance(response.raw, Song)
        assert Song.model_validate_json(response.message.content) == response.raw
    assert isinstance(structured.complete("A song.").raw, Song)
    assert isinstance((await structured.acomplete("A song.")).raw, Song)
    assert isinstance(list(structured.stream_chat(HI))[-1].raw, Song)
    assert isinstance((await gathered(structured.astream_chat(HI)))[-1].raw, Song)


async def test_off_still_has_objects(r):
    llm = FlowGpt(base_url=r.base_url, function_calling="off")
    assert isinstance(llm.structured_predict(Song, PromptTemplate("A song.")), Song)


@pytest.mark.parametrize("mode", [PydanticProgramMode.LLM, PydanticProgramMode.FUNCTION])
async def test_llamaindexs_own_programs_on_demand(r, mode):
    r.answer = '{"title": "Blue", "seconds": 7}'
    llm = FlowGpt(base_url=r.base_url, pydantic_program_mode=mode)
    assert llm.structured_predict(Song, PromptTemplate("A song.")) == Song(title="Blue", seconds=7)
    assert await llm.astructured_predict(Song, PromptTemplate("A song.")) == Song(title="Blue", seconds=7)


def test_llamaindexs_text_program(r, llm):
    r.answer = '{"title": "Blue", "seconds": 7}'
    program = LLMTextCompletionProgram.from_defaults(
        PydanticOutputParser(Song), prompt_template_str="A song.", llm=llm
    )
    assert program() == Song(title="Blue", seconds=7)


async def test_response_synthesizers_with_a_class(llm):
    for synthesizer in (Refine(llm=llm, output_cls=Song), TreeSummarize(llm=llm, output_cls=Song)):
        assert isinstance(synthesizer.get_response("Which song is 'Blue'?", ["It is Blue."]), Song)
        assert isinstance(await synthesizer.aget_response("Which song is 'Blue'?", ["It is Blue."]), Song)


def test_structured_rerank(r, llm):
    r.answer = (
        '{"documents": [{"document_number": 2, "relevance": 9}, {"document_number": 1, "relevance": 3}]}'
    )
    nodes = [NodeWithScore(node=Document(text=text), score=0.5) for text in ("one", "two", "three")]
    ranked = StructuredLLMRerank(llm=llm, top_n=2).postprocess_nodes(nodes, QueryBundle("which?"))
    assert [node.get_content() for node in ranked] == ["two", "one"]


def test_a_chat_prompt_with_history(r, llm):
    messages = ChatPromptTemplate.from_messages(
        [("system", "Be {how}."), ("user", "A song."), ("assistant", "Which?"), ("user", "'Blue', 9 seconds")]
    )
    assert llm.structured_predict(Song, messages, how="quick") == Song(title="Blue", seconds=9)


def test_settings_llm_serves_programs(llm):
    Settings.llm = llm
    assert isinstance(Settings.llm.structured_predict(Song, PromptTemplate("A song.")), Song)


def test_tool_errors_and_object_errors_are_value_errors():
    assert issubclass(ToolCallError, ValueError)
    assert issubclass(StructuredOutputError, ValueError)


class Essay(BaseModel):
    """An essay."""

    body: str = Field(max_length=5000)
    notes: list[str] = []


ESSAY = {"body": "word " * 600, "notes": [f"note {n}" for n in range(60)]}


@pytest.mark.parametrize("constrained", [True, False])
async def test_long_objects_arrive_whole(constrained):
    """The caller's limit is sent, and none of ours; partial objects grow on the way."""
    text = json.dumps(ESSAY)
    pieces = [text[at : at + 50] for at in range(0, len(text), 50)]
    with replica("openai-compatible", answer=pieces, faults={"pace": 0.001}) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, json_schema=constrained)
        prompt = PromptTemplate("Write!")
        assert llm.structured_predict(Essay, prompt).model_dump() == ESSAY
        assert (await llm.astructured_predict(Essay, prompt)).model_dump() == ESSAY
        grown = list(llm.stream_structured_predict(Essay, prompt))
        if constrained:
            schema = r.requests[0].json["response_format"]["json_schema"]["schema"]
            assert schema["properties"]["body"]["maxLength"] == 5000
            assert "maxItems" not in schema["properties"]["notes"]
    assert len(grown) > 10
    for before, after in pairwise(grown):
        assert after.body.startswith(before.body)
        assert len(after.notes or []) >= len(before.notes or [])
    assert grown[-1].model_dump() == ESSAY


async def test_an_essay_without_end_is_a_typed_error():
    with replica("openai-compatible", answer=['{"body": "', *["so on "] * 20_000]) as r:
        llm = OpenAICompatible("m", base_url=r.base_url, json_schema=True, max_repairs=0)
        prompt = PromptTemplate("Write!")
        with pytest.raises(StructuredOutputError, match="without end"):
            llm.structured_predict(Essay, prompt)
        with pytest.raises(StructuredOutputError, match="without end"):
            await gathered(llm.astream_structured_predict(Essay, prompt))


def test_a_bare_list_is_wrapped():
    song = {"title": "Blue", "seconds": 7}
    with replica("flow-gpt", answer=f"Sure: {json.dumps([song, song])}") as server:
        llm = FlowGpt(base_url=server.base_url)
        album = llm.structured_predict(Songs, PromptTemplate("Songs!"))
        assert [found.title for found in album.songs] == ["Blue", "Blue"]
        assert len(server.requests) == 1


class Songs(BaseModel):
    """Songs."""

    songs: list[Song]


@pytest.mark.parametrize(
    ("cls", "prompt", "said"),
    [
        (list[Song], PromptTemplate("Sing."), r"output_cls must be a pydantic class, not list\["),
        ({"type": "object"}, PromptTemplate("Sing."), "output_cls must be a pydantic class, not {"),
        (Song, "Sing.", "prompt must be a prompt template, not 'Sing.': use PromptTemplate"),
    ],
)
async def test_what_is_no_class_or_no_template_is_told(cls, prompt, said):
    with replica("flow-gpt", answer=brain) as r:
        llm = FlowGpt(base_url=r.base_url)
        with pytest.raises(UsageError, match=said):
            llm.structured_predict(cls, prompt)
        with pytest.raises(UsageError, match=said):
            await llm.astructured_predict(cls, prompt)
        with pytest.raises(UsageError, match=said):
            list(llm.stream_structured_predict(cls, prompt))
        assert not r.requests
