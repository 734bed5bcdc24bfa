"""Any backend, asked anything: a provider's or somebody else's, with tools and objects.

Also: what a call may change.
"""

import asyncio
import inspect
import pickle
from dataclasses import replace

import aiohttp
import pytest

from freeproviders import AIChatFree, ChatgptFree, FlowGpt, FreeNetfly, OpenAICompatible, Timeout
from freeproviders.abilities import Abilities
from freeproviders.backend import Backend
from freeproviders.configuration import split, without_login
from freeproviders.errors import (
    AuthenticationError,
    EmptyResponseError,
    ProviderError,
    RateLimitError,
    StructuredOutputError,
    TruncatedResponseError,
    UnsupportedInputError,
    UsageError,
)
from freeproviders.retry import Retry
from freeproviders.testing import replica
from freeproviders.types import Finish, Text, Usage
from tests.core.servers import read_request, speaks
from tests.core.services import FAST, SERVICES
from tests.testing.right_requests import right_request

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    },
}
CALL = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
CALLED = [
    {"role": "user", "content": "Add!"},
    {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": "{}"}}]},
    {"role": "tool", "tool_call_id": "c", "content": "3"},
]
JSON = {"type": "json_object"}


async def text_of(stream):
    return "".join([piece async for piece in stream])


# --- tools and objects in every way to ask ---


async def test_tools_work_in_every_way_to_ask():
    """A service without tools answers with a call, whichever method asked."""
    with replica(FlowGpt, answer=CALL) as r:
        provider = FlowGpt(base_url=r.base_url)
        found = [
            (await provider.complete("Add!", tools=[ADD])).tool_calls[0],
            *[part async for part in provider.stream("Add!", tools=[ADD]) if hasattr(part, "arguments")],
            *[part for part in provider.stream_sync("Add!", tools=[ADD]) if hasattr(part, "arguments")],
            provider.complete_sync("Add!", tools=[ADD]).tool_calls[0],
        ]
    assert [(call.name, call.arguments) for call in found] == [("add", {"a": 1})] * 4


async def test_objects_and_histories_work_too():
    with replica(FlowGpt, answer='Sure: {"a": 1}') as r:
        provider = FlowGpt(base_url=r.base_url)
        assert (await provider.complete("JSON!", response_format=JSON)).text == '{"a":1}'
        assert (
            await text_of(provider.create_async_generator(messages="JSON!", response_format=JSON))
            == '{"a":1}'
        )
    with replica(FlowGpt, answer="It is 3.") as r:
        assert FlowGpt(base_url=r.base_url).complete_sync(CALLED).text == "It is 3."
        assert "tool_response" in r.requests[-1].body.decode()


async def test_a_plain_question_goes_straight():
    """A text that looks like a call is text where no tool was offered."""
    said = 'Write <tool_call>{"name": "add", "arguments": {}}</tool_call> for a call.'
    with replica(FlowGpt, answer=said) as r:
        assert (await FlowGpt(base_url=r.base_url).complete("How?")).text == said


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": [ADD], "tool_choice": "subtract"},
        {"max_repairs": -1},
        {"max_repairs": True},
        {"on_invalid": "ignore"},
        {"reasoning": "show"},
        {"wait_up_to": -1},
        {"wait_up_to": "long"},
        {"extra_body": "x"},
    ],
)
def test_a_mistake_is_found_at_the_call(wrong):
    with pytest.raises(UsageError, match=list(wrong)[-1]):
        FlowGpt(base_url="http://127.0.0.1:1").stream("Hi", **wrong)


async def test_what_answer_obeys_is_in_the_request():
    """`max_repairs` of the call bounds how often the model is asked again."""
    for repairs in (0, 1):
        with replica(FlowGpt, answer="no object") as r:
            provider = FlowGpt(base_url=r.base_url)
            with pytest.raises(StructuredOutputError):
                await provider.complete("Hi", response_format=JSON, max_repairs=repairs)
            assert len(r.requests) == repairs + 1
            request = provider.request("Hi", response_format=JSON, max_repairs=repairs)
            with pytest.raises(StructuredOutputError):  # also for whoever hands the request on
                [batch async for batch in provider.answer(request)]
            assert len(r.requests) == 2 * (repairs + 1)


# --- backends of somebody else's ---


class Mine:
    """The least that a backend is."""

    name = "Mine"
    model = "m"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def batches(self, request):
        self.requests.append(request)
        yield [Text(self.answers.pop(0)), Usage(1, 1), Finish()]


async def test_a_backend_of_ones_own():
    """Three members make a backend, and tools and objects work on it."""
    mine = Mine("Hello", CALL, '{"a": 1}', "Hello again")
    backend = Backend.of(mine)
    assert Backend.of(backend) is backend
    assert (await backend.complete("Hi")).text == "Hello"
    assert (await backend.complete("Add!", tools=[ADD])).tool_calls[0].arguments == {"a": 1}
    assert (await backend.complete("JSON!", response_format=JSON)).text == '{"a":1}'
    assert await asyncio.to_thread(lambda: backend.complete_sync("Hi").text) == "Hello again"
    assert mine.requests[1].tools == ()
    assert mine.requests[0].model == "m"
    assert backend.abilities() == Abilities()


async def test_its_abilities_count():
    """Tools go to a backend that says that it has them, unless somebody says otherwise."""

    class Able(Mine):
        def abilities(self, model=None):
            return Abilities(tools=True)

    able = Able("a", "b")
    await Backend.of(able).complete("Hi", tools=[ADD])
    await Backend.of(able).with_abilities(tools=False).complete("Hi", tools=[ADD])
    assert [bool(request.tools) for request in able.requests] == [True, False]


def test_what_is_no_backend():
    with pytest.raises(UsageError, match="str has no name, model, batches"):
        Backend.of("gpt")
    with pytest.raises(UsageError, match="takes no configuration: timeout"):
        Backend.of(Mine("x")).complete_sync("Hi", timeout=3)


class Said(Mine):
    """A backend that sends what it is given, and whose copies can be configured."""

    def __init__(self, *batches, retry=None):
        super().__init__()
        self.said, self.retry = batches, retry

    async def batches(self, request):
        self.requests.append(request)
        for batch in self.said:
            yield batch

    def configured(self, **changes):
        return Said(*self.said, **changes)


async def test_a_backend_of_ones_own_keeps_the_promises():
    """Stop sequences, usage, who answered, and nothing that cannot be sent or is no answer."""
    backend = Backend.of(Said([Text("one S")], [Text("TOP two"), Finish(reason="length")]))
    answer = await backend.complete("Hi", stop="STOP")
    assert answer.text == "one "
    assert (answer.finish.reason, answer.finish.provider, answer.finish.model) == ("stop", "Mine", "m")
    assert answer.usage.estimated
    assert answer.usage.input_tokens > 0
    answer = await Backend.of(Said([Text("one S"), Usage(3, 2)])).complete("Hi", stop="STOP", model="n")
    assert (answer.text, answer.usage, answer.finish.model) == ("one S", Usage(3, 2), "n")
    assert answer.finish.reason == "unknown"
    for nothing in ([], [Text("")], [Usage(1, 0), Finish()]):
        with pytest.raises(EmptyResponseError, match=r"\[Mine m\]"):
            await Backend.of(Said(nothing)).complete("Hi")
    with pytest.raises(UsageError, match=r"\[Mine m\] temperature"):
        backend.stream("Hi", temperature="hot")


async def test_pictures_for_a_backend_that_takes_none():
    class Blind(Said):
        def abilities(self, model=None):
            return Abilities()

    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,x"}}]}]
    backend = Backend.of(Blind([Text("I see.")]))
    with pytest.raises(UnsupportedInputError, match="no pictures"):
        backend.stream(picture)
    assert (await backend.with_abilities(images=True).complete(picture)).text == "I see."


async def test_what_batches_must_be():
    class Coroutine(Mine):
        async def batches(self, request):
            return [Text("x")]

    class NoClose(Mine):
        def batches(self, request):
            return type("Bare", (), {"__aiter__": lambda self: self})()

    for wrong in (Coroutine(), NoClose()):
        with pytest.raises(UsageError, match="must be an asynchronous generator"):
            Backend.of(wrong).stream("Hi")
    with pytest.raises(UsageError, match="lists of parts, not Text"):
        await Backend.of(Said(Text("x"))).complete("Hi")


def test_a_configured_copy_of_a_backend_of_ones_own():
    """The rule of retries is the new object's; what was learned is shared, whichever copy learns it."""
    backend = Backend.of(Said([Text("x")]))
    other = backend.configured(retry=4)
    assert (backend.retry, other.retry.attempts) == (Retry(), 5)
    other.learned.refuse("tools")
    assert backend.with_abilities(tools=True).abilities().tools is False


def test_changed_abilities_of_a_subclass():
    """The changes count on top of what the subclass says of each model."""

    class Mixed(OpenAICompatible):
        def abilities(self, model=None):
            return replace(super().abilities(model), window=len(model or self.model), tools=True)

    mixed = Mixed("four", base_url="http://127.0.0.1:9").with_abilities(tools=False)
    assert mixed.abilities() == Abilities(images=True, audio=True, files=True, window=4)
    assert mixed.with_abilities(images=False, audio=False, files=False).abilities("sixsix") == Abilities(
        window=6
    )
    mixed.learned.refuse("schema")
    assert not mixed.with_abilities(schema=True).abilities().schema
    with pytest.raises(UsageError, match=r"Unknown argument 'tool'\. Did you mean tools"):
        mixed.with_abilities(tool=True)


# --- configuration for one call ---


@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_configuration_of_a_call_never_reaches_the_body(service):
    """Every item of the configuration counts for the call and is not sent as an option.

    This holds for its first and its second name.
    """
    with replica(service.cls, answer="ok", **service.style) as r:
        provider = service.cls(base_url="http://127.0.0.1:9", retry=0, **service.options)
        for named in (
            {"base_url": r.base_url, "timeout": 7, "retry": 1, "headers": {"X-Mine": "1"}},
            {
                "api_base": r.base_url,
                "request_timeout": 7,
                "max_retries": 1,
                "default_headers": {"X-Mine": "1"},
            },
        ):
            completion = await provider.complete("Hi", cookies={"c": "1"}, api_key="sk-call-key", **named)
            assert completion.text == "ok"
            request = r.requests[-1]
            assert request.headers["X-Mine"] == "1"
            assert request.cookies["c"] == "1"
            sent = request.body.decode()
            assert not any(
                word in sent for word in ("sk-call", "timeout", "retr", "X-Mine", "cookies", "api_")
            )


def test_two_names_of_one_thing():
    with pytest.raises(UsageError, match="max_retries and retry are two names"):
        FlowGpt(base_url="http://127.0.0.1:9").stream("Hi", retry=1, max_retries=2)
    with pytest.raises(UsageError, match="timeout and request_timeout are two names"):
        FlowGpt(base_url="http://127.0.0.1:9").stream("Hi", request_timeout=1, timeout=2)


@pytest.mark.parametrize(
    "name",
    [
        "groq_apikey",
        "Authorization",
        "x-api-key",
        "auth_token",
        "client_secret",
        "password",
    ],
)
def test_a_credential_by_another_name_is_no_option(name):
    """It would be sent in the body of the request."""
    with pytest.raises(UsageError, match=f"{name} looks like a credential") as caught:
        OpenAICompatible("m", base_url="http://127.0.0.1:9").stream("Hi", **{name: "sk-hidden"})
    assert "sk-hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["max_tokens_per_second", "prompt_cache_key", "tokenizer", "eos_token", "logit_bias"]
)
def test_an_option_that_is_no_credential(name):
    assert split({name: 1}) == ({}, {name: 1})


def test_an_address_as_it_may_be_shown():
    assert without_login("http://ada:pass@127.0.0.1:9/v1") == "http://127.0.0.1:9/v1"
    assert without_login("http://127.0.0.1:9/a@b") == "http://127.0.0.1:9/a@b"


async def test_none_leaves_things_as_configured():
    with replica(FlowGpt, answer="ok") as r:
        provider = FlowGpt(base_url=r.base_url)
        nothing = dict.fromkeys(("base_url", "timeout", "retry", "headers", "cookies", "proxy", "connector"))
        assert (await provider.complete("Hi", **nothing)).text == "ok"


async def test_the_environment_configures(monkeypatch):
    """`<NAME>_API_BASE`, `_API_KEY` and `_PROXY` count for instances and for the class.

    What is passed wins.
    """
    with replica(OpenAICompatible, answer="ok", api_key="sk-environment") as r:
        monkeypatch.setenv("OPENAI_COMPATIBLE_API_BASE", r.base_url)
        with pytest.raises(AuthenticationError, match="Set OPENAI_COMPATIBLE_API_KEY or pass api_key"):
            await OpenAICompatible("m", retry=0).complete("Hi")
        monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-environment")
        assert (await OpenAICompatible("m").complete("Hi")).text == "ok"
        assert await text_of(OpenAICompatible.create_async_generator("m", "Hi")) == "ok"
        with pytest.raises(AuthenticationError):
            await OpenAICompatible("m", api_key="sk-other", retry=0).complete("Hi")
        monkeypatch.setenv("OPENAI_COMPATIBLE_PROXY", "no proxy")
        with pytest.raises(UsageError, match="OPENAI_COMPATIBLE_PROXY must look like"):
            OpenAICompatible("m")


async def test_what_was_learned_is_shared_by_all_copies():
    """A refused feature is refused once for a service, also where each call has a time limit of its own."""
    with replica(OpenAICompatible, answer=CALL, native_tools=False) as r:
        provider = OpenAICompatible("m", base_url=r.base_url, native_tools=True)
        for number in range(3):
            completion = await provider.complete("Add!", tools=[ADD], timeout=20 + number)
            assert completion.tool_calls[0].name == "add"
        assert len(r.requests) == 4
        assert provider.configured(base_url="http://127.0.0.1:9").abilities().tools
        assert not pickle.loads(pickle.dumps(provider)).abilities().tools


# --- the old clients' interfaces ---


@pytest.mark.parametrize(
    ("cls", "tail"),
    [
        (ChatgptFree, [("timeout", 120), ("cookies", None)]),
        (FlowGpt, [("temperature", 0.7)]),
        (AIChatFree, [("connector", None)]),
        (FreeNetfly, []),
    ],
)
def test_documented_signatures(cls, tail):
    """`inspect` shows the old clients' parameters, in their order, on class and instance."""
    for asked in (cls, cls()):
        parameters = list(inspect.signature(asked.create_async_generator).parameters.values())
        assert [p.name for p in parameters] == [
            "model",
            "messages",
            "proxy",
            *[name for name, _ in tail],
            "kwargs",
        ]
        assert [(p.name, p.default) for p in parameters[3:-1]] == tail
        assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters[:-1])


async def test_the_fourth_argument_may_be_positional():
    with replica(ChatgptFree, answer="ok") as r:
        provider = ChatgptFree(base_url=r.base_url, timeout=Timeout(first_content=0.5))
        assert await text_of(provider.create_async_generator(None, "Hi", None, 30, {"c": "1"})) == "ok"
        assert r.requests[-1].cookies["c"] == "1"
    with replica(FlowGpt, answer="ok") as r:
        assert (
            await text_of(FlowGpt(base_url=r.base_url).create_async_generator(None, "Hi", None, 0.1)) == "ok"
        )
        assert r.requests[-1].json["temperature"] == 0.1
    with replica(AIChatFree, answer="ok") as r:
        assert (
            await text_of(AIChatFree(base_url=r.base_url).create_async_generator(None, "Hi", None, None))
            == "ok"
        )


async def test_a_default_in_a_signature_does_not_undo_the_configuration():
    with replica(ChatgptFree, answer="ok", faults={"delay_headers": 5}) as r:
        provider = ChatgptFree(base_url=r.base_url, timeout=0.2, retry=0)
        with pytest.raises(TimeoutError):
            await text_of(provider.create_async_generator(messages="Hi"))


async def test_attributes_of_the_old_clients():
    """The lists of models are lists of the caller's own; the page's data are seen once it was read."""
    assert isinstance(FlowGpt.models, list)
    FlowGpt.models.append("mine")
    assert "mine" not in FlowGpt.models
    assert "mine" not in FlowGpt().models
    with replica(ChatgptFree, answer="ok") as r:
        provider = ChatgptFree(base_url=r.base_url)
        assert (provider._nonce, provider._post_id) == (None, None)
        await provider.complete("Hi")
        form = r.requests[-1].body.decode()
        assert f"_wpnonce={provider._nonce}" in form
        assert f"post_id={provider._post_id}" in form


async def test_process_response():
    """FreeNetfly reads an answer that somebody else has fetched."""
    with replica(FreeNetfly, answer=["Bon", "jour"]) as r:
        request = await right_request(r, "free-netfly")
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                r.base_url + request.path, headers=request.headers, data=request.bytes()
            ) as response,
        ):
            assert await text_of(FreeNetfly()._process_response(response)) == "Bonjour"


# --- what nobody has seen is not lost ---


@pytest.mark.parametrize("service", SERVICES, ids=str)
async def test_a_whole_answer_that_breaks_off_is_asked_for_again(service):
    """Wherever an answer is cut that nobody has seen, two retries bring it.

    Usage counts every attempt with words.
    """
    text = "one two three four five six"
    lost = 0
    for cut in range(0, 700, 7):
        faults = [{"cut": cut}, {"cut": cut + 3}]
        with replica(service.cls, answer=text, faults=faults, **service.style) as r:
            completion = await service.provider(r, retry=FAST).complete("Hi")
            lost += completion.text != text
            chats = [request for request in r.requests if request.method == "POST"]
            assert completion.finish.attempts == len(chats)
    assert lost == 0


async def test_usage_is_the_sum_of_all_attempts():
    with replica(FreeNetfly, answer="one two three four five six") as r:
        alone = (await FreeNetfly(base_url=r.base_url).complete("Hi")).usage
    with replica(FreeNetfly, answer="one two three four five six", faults=[{"cut": 900}]) as r:
        both = (await FreeNetfly(base_url=r.base_url, retry=FAST).complete("Hi")).usage
        assert len(r.requests) == 2
    assert both.input_tokens > alone.input_tokens
    assert alone.output_tokens < both.output_tokens < 2 * alone.output_tokens


def says_in_turn(*answers):
    """Send each connection the next of (body, announced length), and close it."""

    def talk(connection, number):
        read_request(connection)
        body, length = answers[number - 1]
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
        connection.sendall(b"%bContent-Length: %d\r\n\r\n%b" % (head, length, body))

    return speaks(talk)


COUNTED = (
    b'{"choices": [{"message": {"content": "Six"}}], "usage": {"prompt_tokens": 100, "completion_tokens": 7}}'
)
WHOLE = (COUNTED, len(COUNTED))


@pytest.mark.parametrize("cut", [1, 40, -3])
async def test_half_a_document_has_taken_its_question(cut):
    """Nothing of it can be read, and the service has read the question each time."""
    question, half = "How many words has this question?", (COUNTED[:cut], len(COUNTED))
    with says_in_turn(half, half, WHOLE) as url:
        provider = OpenAICompatible("m", base_url=url, retry=FAST)
        completion = await provider.complete(question)
        estimate = provider.estimated_usage(provider.request(question), 0)
    assert (completion.text, completion.finish.attempts) == ("Six", 3)
    assert completion.usage == estimate + estimate + Usage(100, 7)
    assert completion.usage.input_tokens > 100 + 2 * 5


async def test_an_error_in_the_place_of_an_answer_has_taken_nothing():
    error = b'{"error": {"message": "Overloaded", "code": 503}}'
    with says_in_turn((error, len(error)), WHOLE) as url:
        completion = await OpenAICompatible("m", base_url=url, retry=FAST).complete("Hi")
    assert (completion.usage, completion.finish.attempts) == (Usage(100, 7), 2)


async def test_what_was_shown_is_not_asked_for_again():
    """A stream that breaks off after its first words is an error at once."""
    with replica(FlowGpt, answer=["one", " two", " three"], faults={"cut": 120}) as r:
        with pytest.raises(TruncatedResponseError):
            [part async for part in FlowGpt(base_url=r.base_url, retry=FAST).stream("Hi")]
        assert len(r.requests) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_who_does_not_wait_is_not_kept_waiting(status):
    """`wait_up_to` 0 gives up where the rule for Retry-After would wait; 503 may invite back too."""
    busy = {"status": status, "retry_after": 0.1}
    with replica(FlowGpt, answer="ok", faults=busy) as r:
        with pytest.raises(ProviderError):
            await FlowGpt(base_url=r.base_url, retry=FAST).complete("Hi", wait_up_to=0)
        assert len(r.requests) == 1
        with pytest.raises(ProviderError):
            await FlowGpt(base_url=r.base_url, retry=0).complete("Hi", wait_up_to=1)
        assert len(r.requests) == 1 + 3


async def test_a_service_that_says_when_to_come_back_is_waited_for():
    """`wait_up_to` is the caller's patience with a busy service, and spends no retries."""
    busy = {"status": 429, "retry_after": 1}
    with replica(FlowGpt, answer="ok", faults=[busy, busy]) as r:
        provider = FlowGpt(base_url=r.base_url, retry=0)
        with pytest.raises(RateLimitError):
            await provider.complete("Hi", wait_up_to=0.9)
        assert (await provider.complete("Hi", wait_up_to=5)).text == "ok"
        assert len(r.requests) == 3
