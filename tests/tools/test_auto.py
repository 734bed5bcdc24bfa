"""Services of which nobody has said what they know: `native_tools="auto"`, `json_schema="auto"`.

They speak the OpenAI protocol as its replica does, in each of the ways in which real ones differ.
"""

import asyncio
import copy
import json
import pickle
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from freeproviders import OpenAICompatible, Retry
from freeproviders.abilities import Abilities, Learned
from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    ContextOverflowError,
    StructuredOutputError,
    ToolCallError,
    UsageError,
)
from freeproviders.testing import replica
from freeproviders.testing.services.refusals import REFUSED_SCHEMAS, REFUSED_TOOLS
from freeproviders.tools.modes import cannot_hold
from freeproviders.types import Message, Text, Tool, ToolCall, Usage
from tests.tools.asking import BAD, CALL, answer_of, calls_of, in_turns, openai, parts_of, request
from tests.tools.reading import TOOLS
from tests.tools.unknown import BOTH, IN_WORDS, NATIVE, NATIVELY, OSLO, SERVICES, model, sent

OBJECT = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORM = {"type": "json_schema", "json_schema": {"name": "city", "schema": OBJECT}}
HISTORY = (
    Message("user", "Weather in Rome?"),
    Message("assistant", "", tool_calls=(ToolCall("c", "get_weather", {"city": "Rome"}),)),
    Message("tool", "rain", tool_call_id="c"),
)


def service(*answers, **options):
    return replica(OpenAICompatible, answer=in_turns(*answers), **options)


def verdicts(provider):
    return {(lesson.feature, lesson.verdict) for lesson in provider.learned.lessons}


# --- never less than through the prompt ---


QUESTIONS = {
    "a call": request(),
    "words": request("Hi"),
    "a required call": request(tool_choice="required"),
    "a named call": request(tool_choice="get_weather"),
    "one call": request(parallel_tool_calls=False),
    "a result": request("And?", *HISTORY),
    "only a result": replace(request(), messages=HISTORY),
    "an object": request("Weather in Oslo?", tools=(), response_format=FORM),
    "an object or a call": request(response_format=FORM),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "complete"])
@pytest.mark.parametrize("style", SERVICES)
async def test_auto_is_never_below_prompted(style, stream):
    """Each question, asked several times, comes out as it does through the prompt.

    It is refused once at most, and no more requests are needed but for that one.
    """
    options = SERVICES[style]
    for name, asked in QUESTIONS.items():
        outcomes = []
        for claim in (False, "auto"):
            with replica(OpenAICompatible, answer=model(options.get("native_tools", True)), **options) as r:
                provider = openai(r, native_tools=claim, json_schema=claim, retry=0)
                told = [await answer_of(provider, asked, stream=stream) for _ in range(4)]
                outcomes.append([(one.text, calls_of(one), one.finish.reason) for one in told])
                assert sum(one.finish.attempts for one in told) == len(r.requests)
                assert len(r.requests) <= (4 if claim is False else 5), name
        assert outcomes[0] == outcomes[1], name


def test_auto_without_a_loop():
    """The sync methods find out too, and their copies know."""
    with replica(OpenAICompatible, answer=model()) as r:
        provider = openai(r)
        for number in range(3):
            completion = provider.complete_sync("Weather in Oslo?", tools=TOOLS, timeout=20 + number)
            assert calls_of(completion) == [OSLO]
        assert sent(r) == [BOTH, NATIVELY, NATIVELY]


# --- what proves, and what disproves ---


@pytest.mark.parametrize("stream", [True, False])
async def test_a_native_call_proves(stream):
    """The first request asks both ways; once a native call has come, only that way is asked."""
    with service(NATIVE, NATIVE, "It rains.") as r:
        provider = openai(r)
        assert not provider.abilities().tools
        before = datetime.now(UTC)
        completion = await answer_of(provider, request(), stream=stream)
        assert calls_of(completion) == [OSLO]
        assert completion.tool_calls[0].id == "a"
        assert provider.abilities().tools
        assert calls_of(await answer_of(provider, request(), stream=stream)) == [OSLO]
        told = await answer_of(provider, replace(request(), messages=HISTORY), stream=stream)
        assert told.text == "It rains."
        assert sent(r) == [BOTH, NATIVELY, NATIVELY]
        assert "natively" in r.requests[0].json["messages"][0]["content"]
        assert [one["role"] for one in r.requests[2].json["messages"]] == ["user", "assistant", "tool"]
    (lesson,) = provider.learned.lessons
    assert (lesson.feature, lesson.model, lesson.verdict) == ("tools", "any-model", "proven")
    assert before <= lesson.when <= datetime.now(UTC)
    assert lesson.why


@pytest.mark.parametrize("call", [BAD, CALL])
async def test_a_call_as_text_disproves(call):
    """It is a call as any other, and what was asked both ways is asked in words from then on."""
    with service(call, CALL, CALL) as r:
        provider = openai(r)
        assert calls_of(await answer_of(provider, request())) == [OSLO]
        assert calls_of(await answer_of(provider, request())) == [OSLO]
        assert set(sent(r)[1:]) == {IN_WORDS}
    assert verdicts(provider) == {("tools", "disproven")}


async def test_words_show_nothing():
    """The first, second, fourth, eighth question try, so that words for ever cost little."""
    with service(*["Hello."] * 9) as r:
        provider = openai(r)
        for _ in range(9):
            assert (await answer_of(provider, request("Hi"))).text == "Hello."
        tried = [put == BOTH for put in sent(r)]
    assert tried == [True, True, False, True, False, False, False, True, False]
    assert provider.learned.lessons == ()


async def test_an_invalid_native_call_shows_nothing():
    """What a service takes for calls may be anything."""
    bad = [ToolCall("a", "get_weather", {"days": "x"})]
    with service(bad, "Sorry.") as r:
        provider = openai(r)
        assert (await answer_of(provider, request())).text == "Sorry."
        assert sent(r) == [BOTH, BOTH]
    assert provider.learned.lessons == ()


async def test_a_proof_does_not_outlive_a_call_as_text():
    """A service may tell one call from text and not the next."""
    with service(NATIVE, CALL, CALL) as r:
        provider = openai(r)
        for _ in range(3):
            assert calls_of(await answer_of(provider, request())) == [OSLO]
        assert sent(r) == [BOTH, NATIVELY, IN_WORDS]
    assert verdicts(provider) == {("tools", "proven"), ("tools", "disproven")}


async def test_the_same_call_both_ways_is_one():
    """A model that obeys both instructions means one call; two that differ are two."""
    other = ToolCall("b", "get_weather", {"city": "Rome"})
    with service([CALL, *NATIVE, other]) as r:
        provider = openai(r)
        completion = await answer_of(provider, request())
    assert calls_of(completion) == [OSLO, ("get_weather", {"city": "Rome"})]
    assert verdicts(provider) == {("tools", "proven")}


@pytest.mark.parametrize("schema", [True, False, "ignored"])
async def test_a_required_call_that_does_not_come_disproves(schema):
    """It costs no repair: three answers in words are still allowed, as through the prompt."""
    with service("No.", "No.", "No.", CALL, json_schema=schema) as r:
        provider = openai(r, json_schema=False)
        completion = await answer_of(provider, request(tool_choice="required"))
        assert calls_of(completion) == [OSLO]
        assert sent(r) == [BOTH, IN_WORDS, IN_WORDS, IN_WORDS]
        assert "No." not in json.dumps(r.requests[1].json["messages"])
        assert "tool_choice" not in r.requests[0].json
    assert verdicts(provider) == {("tools", "disproven")}


async def test_a_service_that_cannot_force_calls_keeps_its_tools():
    """Ollama takes `tool_choice` and does nothing about it."""
    with service(NATIVE, "No.", CALL, NATIVE, CALL) as r:
        provider = openai(r, json_schema=False)
        for choice in (None, "required", None, "required"):
            completion = await answer_of(provider, request(tool_choice=choice))
            assert calls_of(completion) == [OSLO]
        assert sent(r) == [BOTH, NATIVELY, IN_WORDS, NATIVELY, IN_WORDS]


async def test_a_first_question_that_requires_a_call_proves_too():
    """It forces the call in words only: a grammar beside other instructions drives models mad."""
    with service(NATIVE, NATIVE, NATIVE) as r:
        provider = openai(r)
        for choice in ("get_weather", "required", None):
            assert calls_of(await answer_of(provider, request(tool_choice=choice))) == [OSLO]
        assert sent(r) == [BOTH, NATIVELY, NATIVELY]
        assert [one.json.get("tool_choice") for one in r.requests] == [None, "required", None]
        assert len(r.requests[0].json["tools"]) == 1
    assert verdicts(provider) == {("tools", "proven")}


async def test_a_forced_call_says_nothing_about_free_ones():
    """A service that constrains forced calls may not tell free ones from text."""
    with service(NATIVE, CALL, CALL) as r:
        provider = Known("able", base_url=r.base_url)
        for choice in ("required", None, None):
            asked = replace(request(tool_choice=choice), model="able")
            assert calls_of(await answer_of(provider, asked)) == [OSLO]
        assert sent(r) == [NATIVELY, NATIVELY, IN_WORDS]
    assert verdicts(provider) == {("tools", "disproven")}


@pytest.mark.parametrize("name", REFUSED_TOOLS)
async def test_every_refusal_of_tools_is_understood(name):
    """It is remembered, for the model that was asked."""
    with service(CALL, CALL, CALL, native_tools=False, refuses_like=name) as r:
        provider = openai(r, retry=0)
        for _ in range(2):
            assert calls_of(await answer_of(provider, request())) == [OSLO]
        assert sent(r) == [BOTH, IN_WORDS, IN_WORDS]
        assert verdicts(provider) == {("tools", "refused")}
        assert provider.tries("tools", "another")
        assert not provider.tries("tools", "any-model")


UNRELATED = [
    {"status": 400, "body": {"error": {"message": "temperature must be 1"}}},
    {"status": 400, "body": {"error": {"message": "Invalid schema for function 'search': no"}}},
    {"status": 400, "body": {"error": {"message": "tools[0].function.name: string too long"}}},
    {"status": 400, "body": {"error": {"message": "This model only supports single tool-calls at once!"}}},
    {"status": 400, "body": {"error": {"message": "maximum context length is 10 tokens"}}},
    {"status": 404, "body": {"error": {"message": "No endpoints found that can handle the parameters."}}},
    {"status": 500, "body": {"error": {"message": "'NoneType' object is not iterable"}}},
    {"status": 200, "content_type": "application/json", "body": {"choices": []}},
]


@pytest.mark.parametrize("fault", UNRELATED, ids=str)
async def test_an_unrelated_failure_teaches_nothing(fault):
    """Words alone may still work, and the next question tries again."""
    with service(CALL, NATIVE, faults=[fault, {}]) as r:
        provider = openai(r, retry=0)
        assert calls_of(await answer_of(provider, request())) == [OSLO]
        assert provider.learned.lessons == ()
        await answer_of(provider, request())
        assert sent(r) == [BOTH, IN_WORDS, BOTH]


async def test_what_fails_in_words_too_is_an_error():
    """And shows nothing; neither does a key that is wrong, which is not tried twice."""
    wrong = {"status": 400, "body": {"error": {"message": "tools are off today, and so is the rest"}}}
    with service("never", faults=[wrong] * 2) as r:
        provider = openai(r)
        _, error = await parts_of(provider, request())
        assert isinstance(error, BadRequestError)
        assert len(r.requests) == 2
        assert provider.learned.lessons == ()
    long = {"status": 400, "body": {"error": {"message": "maximum context length is 10 tokens"}}}
    with service("never", faults=[long] * 2) as r:
        _, error = await parts_of(openai(r), request())
        assert isinstance(error, ContextOverflowError)
    with service("never", api_key="sk-right") as r:
        _, error = await parts_of(openai(r, api_key="sk-wrong"), request())
        assert isinstance(error, AuthenticationError)
        assert len(r.requests) == 1


async def test_a_claim_by_answers_falls_back_as_well():
    """What is native by proof is asked in words where the service refuses these tools."""
    invalid = {"status": 400, "body": {"error": {"message": "Invalid schema for function 'search'"}}}
    with service(NATIVE, CALL, NATIVE, faults=[{}, invalid, {}]) as r:
        provider = openai(r)
        for _ in range(3):
            assert calls_of(await answer_of(provider, request())) == [OSLO]
        assert sent(r) == [BOTH, NATIVELY, IN_WORDS, NATIVELY]


async def test_calls_in_the_conversation_are_no_ground_for_a_try():
    """They would be there in words and imitated, which would look like a call as text."""
    with service(CALL, NATIVE) as r:
        provider = openai(r)
        await answer_of(provider, request("Weather in Oslo?", *HISTORY))
        assert provider.learned.lessons == ()
        await answer_of(provider, request())
        assert sent(r) == [IN_WORDS, BOTH]


async def test_small_models_are_not_tried():
    """Measured: with llama.cpp's own tools they are right in 7 of 50 questions, else in 40."""
    with service(CALL, native_tools=False) as r:
        provider = openai(r)
        asked = replace(request(), model="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf")
        await answer_of(provider, asked)
        assert sent(r) == [IN_WORDS]


async def test_a_refusal_of_ones_own_parser_is_read():
    """Groq's is no refusal of tools: what the model wrote comes along, and shows nothing."""
    said = {"message": "Failed", "code": "tool_use_failed", "failed_generation": CALL}
    with service("never", faults=[{"status": 400, "body": {"error": said}}]) as r:
        provider = openai(r)
        assert calls_of(await answer_of(provider, request())) == [OSLO]
        assert len(r.requests) == 1
    assert provider.learned.lessons == ()


async def test_text_goes_out_while_it_is_found_out():
    """A stream is one, whatever is asked beside it."""
    with service(["It ", "is ", "fine."]) as r:
        parts, _ = await parts_of(openai(r), request("Hi"))
        assert sent(r) == [BOTH]
    assert [part.text for part in parts if isinstance(part, Text)] == ["It ", "is ", "fine."]


async def test_several_first_questions_at_once():
    """All are answered, and what one learns the others may or may not know yet."""
    with replica(OpenAICompatible, answer=model()) as r:
        provider = openai(r)
        told = await asyncio.gather(*(answer_of(provider, request()) for _ in range(8)))
        assert [calls_of(one) for one in told] == [[OSLO]] * 8 or all(calls_of(one) for one in told)
        assert len(r.requests) == 8
        assert await answer_of(provider, request())
        assert sent(r)[-1] == NATIVELY


# --- rows, claims, copies ---


class Known(OpenAICompatible):
    """A class that knows two models beforehand."""

    def known_abilities(self, model):
        return {"able": Abilities(tools=True, schema=True, window=10), "unable": Abilities()}.get(model)


async def test_a_row_decides():
    """What is known is not tried; a model without a row is."""
    with service(NATIVE, CALL, NATIVE, "never") as r:
        provider = Known("able", base_url=r.base_url)
        assert provider.abilities() == Abilities(tools=True, schema=True, window=10)
        for name in ("able", "unable", "other"):
            assert calls_of(await answer_of(provider, replace(request(), model=name))) == [OSLO]
        assert sent(r) == [NATIVELY, IN_WORDS, BOTH]
        assert Known("able", base_url=r.base_url, native_tools=False).abilities().tools is False
        assert Known("unable", base_url=r.base_url, native_tools=True).abilities().tools is True


MANY = (
    Tool(
        "get_weather",
        "Tell the weather of a city for some days, with temperatures, wind and rain. " * 8,
        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    ),
)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_row_is_refuted_by_the_tokens_of_the_prompt(stream):
    """A service that keeps the tools from the model never refuses them.

    Where nothing has gone out, the model is asked again at once.
    """
    with replica(OpenAICompatible, answer=model("ignored"), native_tools="ignored") as r:
        provider = Known("able", base_url=r.base_url)
        first = await answer_of(provider, request(tools=MANY), stream=stream)
        assert (first.text, calls_of(first)) == (("I cannot know.", []) if stream else ("", [OSLO]))
        assert calls_of(await answer_of(provider, request(tools=MANY), stream=stream)) == [OSLO]
        assert sent(r) == [NATIVELY, *[IN_WORDS] * (1 if stream else 2)]
    assert verdicts(provider) == {("tools", "disproven")}


async def test_a_row_holds_where_the_tokens_fit():
    """Words without a call are no fault of the service's."""
    with replica(OpenAICompatible, answer=model()) as r:
        provider = Known("able", base_url=r.base_url)
        for stream in (True, False):
            assert (await answer_of(provider, request("Hi", tools=MANY), stream=stream)).text == "Hello."
        assert sent(r) == [NATIVELY] * 2
    assert provider.learned.lessons == ()


@pytest.mark.parametrize(
    ("usage", "too_few"),
    [
        (None, False),
        (Usage(10, 1), True),
        (Usage(10, 1, estimated=True), False),
        (Usage(0, 1), False),
        (Usage(10, 1, cached_tokens=200), False),
        (Usage(200, 1), False),
    ],
)
def test_tokens_that_cannot_hold_tools(usage, too_few):
    """Only what was counted by the service counts, and no tokenizer is that good."""
    assert cannot_hold(usage, MANY) is too_few


async def test_true_and_false_mean_always_and_never():
    """Whatever an answer shows, but for a refusal."""
    with service(CALL, CALL, CALL) as r:
        for claim, put in ((True, NATIVELY), (False, IN_WORDS)):
            provider = openai(r).with_abilities(tools=claim)
            assert not provider.finds_out("tools")
            assert calls_of(await answer_of(provider, request())) == [OSLO]
            assert sent(r)[-1] == put
        stated = openai(r, native_tools=True)
        stated.learned.disprove("tools", "any-model", "for a test")
        assert stated.abilities().tools
        stated.learned.refuse("tools", "any-model")
        assert not stated.abilities().tools
    with pytest.raises(UsageError, match=r"native_tools must be True, False or \"auto\", not 'yes'"):
        OpenAICompatible("m", base_url="http://127.0.0.1:9", native_tools="yes")
    with pytest.raises(UsageError, match="json_schema must be"):
        OpenAICompatible("m", base_url="http://127.0.0.1:9", json_schema=1.5)


async def test_what_is_found_out_is_shared_and_travels():
    """By all copies at one address, and with a pickle; other addresses find out for themselves."""
    with service(NATIVE, NATIVE) as r:
        provider = openai(r)
        shared = [provider.with_model("any-model"), provider.configured(timeout=9), copy.copy(provider)]
        await answer_of(shared[1], request())
        shared += [pickle.loads(pickle.dumps(provider))]
        assert all(one.abilities().tools for one in shared)
        assert shared[-1].learned.lessons == provider.learned.lessons
        assert not provider.configured(base_url="http://127.0.0.1:9").abilities().tools
        assert not provider.abilities("another").tools


def test_lessons_cannot_be_changed_from_outside():
    """They are a view; what was learned first stays, and what speaks against outweighs."""
    learned = Learned()
    learned.prove("tools", "m", "one")
    learned.prove("tools", "m", "two")
    assert [lesson.why for lesson in learned.lessons] == ["one"]
    with pytest.raises(AttributeError):
        learned.lessons.append("x")
    with pytest.raises(AttributeError):
        learned.lessons[0].why = "x"
    assert learned.proves("tools", "m")
    learned.refuse("tools")
    assert not learned.proves("tools", "m")
    assert learned.lacks("tools", "other")


# --- schemas ---


async def test_a_schema_is_sent_until_it_is_refused():
    """In any service's words; the object comes all the same."""
    for name in REFUSED_SCHEMAS:
        with service(*['{"city": "Oslo"}'] * 3, json_schema=False, refuses_like=name) as r:
            provider = openai(r, retry=0)
            for _ in range(2):
                told = await answer_of(provider, request(tools=(), response_format=FORM))
                assert json.loads(told.text) == {"city": "Oslo"}
            assert [put[2] for put in sent(r)] == [True, False, False]
        assert verdicts(provider) == {("schema", "refused")}


async def test_a_schema_that_is_ignored_is_not_sent_again():
    """What cannot have been constrained is found in its prose, as ever."""
    said = 'Sure! ```json\n{"city": "Oslo"}\n```'
    with service(said, said, json_schema="ignored") as r:
        provider = openai(r)
        for _ in range(2):
            told = await answer_of(provider, request(tools=(), response_format=FORM))
            assert json.loads(told.text) == {"city": "Oslo"}
        assert [put[2] for put in sent(r)] == [True, False]
    assert verdicts(provider) == {("schema", "disproven")}


async def test_an_answer_that_does_not_fit_is_asked_for_without_the_schema():
    """It may be what went wrong; nothing is learned, since it is JSON."""
    with service('{"town": 1}', '{"city": "Oslo"}') as r:
        provider = openai(r)
        told = await answer_of(provider, request(tools=(), response_format=FORM))
        assert json.loads(told.text) == {"city": "Oslo"}
        assert [put[2] for put in sent(r)] == [True, False]
    assert provider.learned.lessons == ()


async def test_an_object_is_repaired_as_often_as_through_the_prompt():
    """Nothing of an answer goes out that is not known to fit."""
    for claim in ("auto", False):
        with service("no", "no", '{"city": "Oslo"}') as r:
            parts, error = await parts_of(
                openai(r, json_schema=claim), request(tools=(), response_format=FORM)
            )
            assert error is None
            assert json.loads("".join(part.text for part in parts if isinstance(part, Text)))
            assert len(r.requests) == 3
        with service("no", "no", "no") as r:
            _, error = await parts_of(openai(r, json_schema=claim), request(tools=(), response_format=FORM))
            assert isinstance(error, StructuredOutputError)


@pytest.mark.parametrize("status", [400, 500])
async def test_a_failure_under_a_schema_is_tried_without(status):
    """A grammar that cannot be compiled is a server's error with some."""
    fault = {"status": status, "body": {"error": {"message": "response_format: grammar failed"}}}
    with service('{"city": "Oslo"}', faults=[fault, {}]) as r:
        provider = openai(r, retry=Retry(attempts=1))
        told = await answer_of(provider, request(tools=(), response_format=FORM))
        assert json.loads(told.text) == {"city": "Oslo"}
        assert [put[2] for put in sent(r)] == [True, False]


async def test_a_required_call_is_tried_under_a_schema():
    """Where native tools are refused: what is no call at all shows that the schema is ignored."""
    for said, learned in ((CALL, set()), ("No.", {("schema", "disproven")})):
        with service(said, CALL, native_tools=False) as r:
            provider = openai(r)
            completion = await answer_of(provider, request(tool_choice="required"))
            assert calls_of(completion) == [OSLO]
            assert [put[::2] for put in sent(r)][:2] == [(True, False), (False, True)]
        assert verdicts(provider) == {("tools", "refused"), *learned}


async def test_no_call_at_all_is_the_same_error():
    """After as many answers as through the prompt, beside those that showed something."""
    with service(*["No."] * 5) as r:
        provider = openai(r)
        _, error = await parts_of(provider, request(tool_choice="required"))
        assert isinstance(error, ToolCallError)
        assert len(r.requests) == 5
    assert verdicts(provider) == {("tools", "disproven"), ("schema", "disproven")}
