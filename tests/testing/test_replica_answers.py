"""What a replica can be told to answer."""

import asyncio
import json
import subprocess
import sys

import pytest
import right_requests as right
from right_requests import SLUGS, ask, right_request, said

from freeproviders import Abilities
from freeproviders.errors import RateLimitError
from freeproviders.testing import replica
from freeproviders.testing.answers import MAX_WORDS, echo, words
from freeproviders.types import Finish, Message, Reasoning, Text, ToolCall, Usage
from tests.devmode import complaints

every_service = pytest.mark.parametrize("slug", SLUGS)


async def hear(slug, answer, text="Hi", **options):
    with replica(slug, answer=answer, **options) as r:
        status, body = await ask(r, await right_request(r, slug, text))
        assert status == 200
        return said(slug, body)


async def coroutine(value):
    await asyncio.sleep(0)
    return value


async def async_pieces(messages):
    for piece in ("a", messages[-1]["content"], Text("c")):
        await asyncio.sleep(0)
        yield piece


def sync_pieces(messages):
    yield from ("a", messages[-1]["content"], Text("c"))


class Iterator:
    def __init__(self, messages):
        self.left = ["c", messages[-1]["content"], "a"]

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.left:
            raise StopAsyncIteration
        return self.left.pop()


@every_service
@pytest.mark.parametrize(
    "answer",
    [
        "aHic",
        ["a", "Hi", "c"],
        ("a", Text("Hi"), "c"),
        lambda messages: "a" + messages[-1]["content"] + "c",
        lambda messages: ["a", messages[-1]["content"], "c"],
        lambda messages: coroutine(["a", messages[-1]["content"], "c"]),
        lambda messages: coroutine(async_pieces(messages)),
        lambda messages, request: ["a", request.messages[-1]["content"], "c"],
        lambda messages, suffix="c": "aHi" + suffix,
        sync_pieces,
        async_pieces,
        Iterator,
    ],
)
async def test_every_kind_of_answer(slug, answer):
    assert await hear(slug, answer) == "aHic"


@every_service
async def test_an_echo_by_default(slug):
    assert await hear(slug, None, "Say it again: 🎉\n!") == "Say it again: 🎉\n!"


def test_an_echo_is_the_last_user_message():
    assert (
        echo(
            [
                {"role": "user", "content": "a"},
                {"role": "user", "content": [{"type": "text", "text": "b"}]},
                {"role": "tool", "content": "c"},
            ]
        )
        == "b"
    )
    assert echo([]) == ""


@pytest.mark.parametrize("text", ["", " ", "one", " two  words ", "a\r\n\u2028b", "w " * 1000, "x" * 10_000])
def test_words_add_up(text):
    pieces = words(text)

    assert "".join(pieces) == text
    assert all(pieces)
    assert len(pieces) <= MAX_WORDS + 1


async def test_a_string_comes_word_by_word():
    with replica("openai-compatible", answer="three little words") as r:
        frames = right.events((await ask(r, right.openai()))[1])

        assert [f["choices"][0]["delta"].get("content") for f in frames[1:-2]] == [
            "three",
            " little",
            " words",
        ]


async def test_a_second_parameter_gets_the_request():
    seen = []

    def answer(messages, request):
        seen.append(request.json["response_format"])
        return str(len(messages))

    with replica("openai-compatible", answer=answer) as r:
        await ask(r, right.openai(response_format={"type": "json_object"}))
    assert seen == [{"type": "json_object"}]


async def test_openai_parts():
    parts = [Reasoning("hm"), "ok", Usage(7, 8, reasoning_tokens=3, cached_tokens=2), Finish(reason="length")]
    with replica("openai-compatible", answer=parts, reasoning_key="reasoning") as r:
        frames = right.events((await ask(r, right.openai(stream_options={"include_usage": True})))[1])
        assert frames[1]["choices"][0]["delta"] == {"reasoning": "hm"}
        assert frames[-3]["choices"][0]["finish_reason"] == "length"
        usage = frames[-2]["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (7, 8, 15)
        assert usage["prompt_tokens_details"] == {"cached_tokens": 2}
        assert usage["completion_tokens_details"] == {"reasoning_tokens": 3}

        message = json.loads((await ask(r, right.openai(stream=False)))[1])["choices"][0]["message"]
        assert message["reasoning"] == "hm"


@pytest.mark.parametrize(
    ("slug", "frame"),
    [
        ("openai-compatible", b'data: {"choices":null}\n\n'),
        ("free-netfly", b'data: {"choices":null}\n\n'),
        ("chatgpt-free", b'data: {"choices":null}\n\n'),
        ("flow-gpt", b'{"choices":null}\n'),
        ("ai-chat-free", b'{"choices":null}'),
    ],
)
async def test_raw_frames(slug, frame):
    with replica(slug, answer=["a", {"choices": None}, b"\xff raw ", "b"]) as r:
        _, body = await ask(r, await right_request(r, slug))

        assert frame + b"\xff raw " in body


async def test_raw_documents_of_openai():
    with replica("openai-compatible", answer=lambda _: {"choices": []}) as r:
        assert (await ask(r, right.openai(stream=False)))[1] == b'{"choices":[]}'


@pytest.mark.parametrize("answer", [1, {"a": 1}, object(), iter("a")])
def test_what_is_no_answer_is_refused(answer):
    with pytest.raises(TypeError, match="answer"):
        replica("flow-gpt", answer=answer)


# --- failing scripts ------------------------------------------------------------------------------


async def test_a_failing_callable_is_an_error_answer_and_fails_the_test():
    def answer(messages):
        assert messages == "something else"

    with pytest.raises(AssertionError, match="something else"), replica("flow-gpt", answer=answer) as r:
        status, body = await ask(r, right.flow_gpt())
        assert status == 500
        assert "AssertionError" in body.decode()


async def test_a_callable_that_fails_in_the_middle_breaks_the_answer_off():
    def answer(messages):
        yield "a"
        raise KeyError("middle")

    with pytest.raises(KeyError, match="middle"), replica("flow-gpt", answer=answer) as r:
        with pytest.raises(right.aiohttp.ClientPayloadError):
            await ask(r, right.flow_gpt())
        assert r.disconnects == 0


async def test_an_error_of_the_test_itself_is_not_hidden():
    def answer(messages):
        raise KeyError("script")

    with pytest.raises(ValueError, match="own") as caught, replica("flow-gpt", answer=answer) as r:
        await ask(r, right.flow_gpt())
        raise ValueError("own")
    assert "KeyError('script')" in caught.value.__notes__[0]


async def test_pieces_of_another_kind_fail():
    with (
        pytest.raises(TypeError, match="not int"),
        replica("flow-gpt", answer=["a", 1]) as r,
        pytest.raises(right.aiohttp.ClientPayloadError),
    ):
        await ask(r, right.flow_gpt())


# --- providers ------------------------------------------------------------------------------------


class Foreign:
    """A backend in the least sense: a name, a model and `batches`."""

    name, model = "Foreign", "small"

    def __init__(self, *said, error=None):
        self.said, self.error = said, error
        self.asked, self.closed = [], 0

    async def batches(self, request):
        self.asked.append(request)
        try:
            for batch in self.said:
                await asyncio.sleep(0)
                yield batch
            if self.error:
                raise self.error
        finally:
            self.closed += 1


class Able(Foreign):
    """A backend that says of itself that its model has tools and schemas."""

    def abilities(self, model=None):
        return Abilities(tools=True, schema=True)


@every_service
async def test_a_provider_answers(slug):
    backend = Foreign([Reasoning("hm"), Text("Hel")], [Text("lo")], [Usage(1, 2), Finish(reason="stop")])

    assert await hear(slug, backend) == "Hello"
    assert await hear(slug, lambda messages: backend) == "Hello"
    assert backend.asked[0].messages == (Message("user", "Hi"),)
    assert backend.closed == 2


async def test_a_provider_behind_openai_is_told_everything():
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    named = {"type": "function", "function": {"name": "add"}}
    backend = Able([ToolCall("c1", "add", {"a": 1})], [Usage(5, 6), Finish(reason="tool_calls")])
    with replica("openai-compatible", answer=backend) as r:
        asked = right.openai(
            tools=[tool],
            tool_choice=named,
            max_completion_tokens=9,
            temperature=0,
            stop=["x"],
            stream_options={"include_usage": True},
        )
        frames = right.events((await ask(r, asked))[1])

    (request,) = backend.asked
    assert [one.name for one in request.tools] == ["add"]
    assert (request.tool_choice, request.max_tokens, request.temperature, request.stop) == (
        "add",
        9,
        0,
        ("x",),
    )
    assert frames[-2]["usage"]["total_tokens"] == 11
    assert frames[-3]["choices"][0]["finish_reason"] == "tool_calls"
    assert frames[1]["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "add"


async def test_a_backend_that_only_says_text_has_tools_and_objects_behind_openai():
    tool = {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
    call = Foreign([Text('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>')])
    with replica("openai-compatible", answer=call) as r:
        frames = right.events((await ask(r, right.openai(tools=[tool])))[1])
    deltas = [delta for frame in frames[1:-1] for delta in frame["choices"][0]["delta"].get("tool_calls", ())]
    assert deltas[0]["function"]["name"] == "add"
    assert json.loads("".join(delta["function"].get("arguments", "") for delta in deltas)) == {"a": 1}
    assert "add" in call.asked[0].messages[0].text  # the prompt tells of the tool

    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}}
    typed = Foreign([Text('Sure: {"a": "3"}')])
    with replica("openai-compatible", answer=typed) as r:
        _, body = await ask(r, right.openai(response_format=form))
    assert json.loads(said("openai-compatible", body)) == {"a": 3}


async def test_a_temperature_is_passed_on_when_it_was_chosen():
    backend = Foreign([Text("a")])
    with replica("flow-gpt", answer=backend) as r:
        await ask(r, right.flow_gpt())
        await ask(r, right.flow_gpt().changed(temperature=0))
    with replica("free-netfly", answer=backend) as r:
        await ask(r, right.free_netfly())
        await ask(r, right.free_netfly().changed(temperature=0, max_tokens=5))

    assert [(request.temperature, request.max_tokens) for request in backend.asked] == [
        (None, None),
        (0, None),
        (None, None),
        (0, 5),
    ]


async def test_a_failing_provider_fails_as_a_service_does():
    with replica("flow-gpt", answer=Foreign(error=RateLimitError("Slow down.", status=429))) as r:
        status, body = await ask(r, right.flow_gpt())
        assert (status, "Slow down." in body.decode()) == (429, True)
    with replica(
        "flow-gpt", answer=Foreign([Text("a")], error=RateLimitError("Slow down.", status=429))
    ) as r:
        status, body = await ask(r, right.flow_gpt())
        assert (status, b'"event":"error"' in body, b"Slow down." in body) == (200, True, True)


async def test_a_provider_is_told_when_the_client_leaves():
    class Endless(Foreign):
        async def batches(self, request):
            try:
                while True:
                    yield [Text("a ")]
                    await asyncio.sleep(0.001)
            finally:
                self.closed += 1

    backend = Endless()
    with replica("flow-gpt", answer=backend) as r:
        async with right.client() as session, right.send(session, r, right.flow_gpt()) as response:
            await response.content.readany()
            response.close()
        assert await r.await_disconnect() == 1
        for _ in range(100):
            if backend.closed:
                break
            await asyncio.sleep(0.01)
        assert backend.closed == 1


@every_service
def test_nothing_is_left_open_by_a_provider_behind_a_replica(slug):
    """A real provider keeps a session on the replica's loop and talks to another replica.

    This runs in a process of its own, to see its warnings.
    """
    code = f"""
import asyncio, sys
sys.path.insert(0, "tests/testing")
import right_requests as right
from freeproviders import OpenAICompatible
from freeproviders.testing import replica

async def main():
    with replica("openai-compatible", answer="one two three", faults=[{{}}, {{"pace": 5}}]) as brain:
        with replica({slug!r}, answer=OpenAICompatible(model="m", base_url=brain.base_url)) as r:
            _, body = await right.ask(r, await right.right_request(r, {slug!r}))
            assert right.said({slug!r}, body) == "one two three", body
            request = await right.right_request(r, {slug!r})
            try:
                await asyncio.wait_for(right.ask(r, request), 0.3)
            except TimeoutError:
                pass
            # The client's leaving goes through both.
            await r.await_disconnect()
            await brain.await_disconnect()
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout, complaints(done.stderr)) == (0, "", [])


def test_a_provider_class_is_not_an_instance():
    with pytest.raises(TypeError, match=r"Foreign\(\)"):
        replica("flow-gpt", answer=Foreign)


def test_a_backend_without_a_model_is_refused():
    class Nameless:
        name = "Nameless"

        def batches(self, request):
            raise AssertionError

    with pytest.raises(ValueError, match="has no model"):
        replica("flow-gpt", answer=Nameless())
