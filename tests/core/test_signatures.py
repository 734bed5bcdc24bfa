"""What a service adds to its tool calls goes back to it, and to nobody else."""

import pytest

from freeproviders import OpenAICompatible
from freeproviders.errors import BadRequestError
from freeproviders.types import Message, Tool, ToolCall
from freeproviders.wire.json import dumps, loads
from freeproviders.wire.openai.style import Style
from tests.core.signing import DONE, SKIP, row, signatures, signing

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [Tool("get_weather", "The weather.", CITY), Tool("get_time", "The time.", CITY)]


def asked(server, **options):
    usual = {"base_url": server.base_url, "native_tools": True, "retry": 0, "service": row()}
    return OpenAICompatible("m", **{**usual, **options})


def told(answer):
    """An answer and the results of its calls, as the messages of the next question."""
    results = [Message("tool", "ok", tool_call_id=call.id) for call in answer.tool_calls]
    return [Message("assistant", answer.text, tool_calls=answer.tool_calls), *results]


async def run(provider, messages=(), **settings):
    """Ask until there are no more calls; the last answer and all messages."""
    messages = [*messages, Message("user", "The weather?")]
    while True:
        answer = await provider.complete(messages, tools=TOOLS, **settings)
        messages += told(answer)
        if not answer.tool_calls:
            return answer, messages


async def test_signatures_come_back():
    with signing() as server:
        answer, messages = await run(asked(server))
        assert answer.text == DONE
        first, second = signatures(server.bodies[-1])
        assert (len(first), len(second)) == (2, 1)
        assert first[0] != second[0]
        assert first[1] is None  # of parallel calls only the first is signed
        answer, _ = await run(asked(server), messages)
        assert answer.text == DONE
        assert signatures(server.bodies[-1])[:2] == [first, second]


async def test_a_stream_has_them_too():
    with signing() as server:
        provider = asked(server)
        parts = [part async for part in provider.stream("The weather?", tools=TOOLS)]
        made = [part for part in parts if isinstance(part, ToolCall)]
        assert [call.name for call in made] == ["get_weather", "get_time"]
        history = [Message("user", "The weather?"), Message("assistant", "", tool_calls=tuple(made))]
        history += [Message("tool", "ok", tool_call_id=call.id) for call in made]
        assert (await provider.complete(history, tools=TOOLS)).tool_calls[0].arguments == {"city": "Oslo"}


async def test_a_service_that_misses_them_gets_them():
    """Without a row the 400 says it, once for all that reach the same address."""
    with signing() as server:
        provider = asked(server, service=None)
        answer, _ = await run(provider)
        assert answer.text == DONE
        assert len(server.bodies) == 4  # one of them was refused
        await run(provider)
        assert len(server.bodies) == 7
        assert [lesson.feature for lesson in provider.learned.lessons] == ["tool_extras"]


async def test_calls_of_another_service_get_the_value_that_stands_for_none():
    """Their own additions stay out, also where both services want theirs."""
    with signing() as one, signing() as two:
        _, messages = await run(asked(one))
        history = messages[:4]  # within the run
        answer = await asked(two, service=row("other")).complete(history, tools=TOOLS)
        assert answer.tool_calls
        assert signatures(two.bodies[0]) == [[SKIP, None]]
        with pytest.raises(BadRequestError, match="missing a thought_signature"):
            await asked(two, service=None).complete(history, tools=TOOLS)
        assert not any(any(signed) for body in two.bodies[1:] for signed in signatures(body))


async def test_the_same_service_at_another_address_is_the_same():
    """A conversation goes on where a replica or a mirror has taken a service's place."""
    with signing() as server:
        _, messages = await run(asked(server))
        url = server.base_url.replace("127.0.0.1", "localhost")
        answer = await asked(server, base_url=url).complete(messages[:4], tools=TOOLS)
        assert signatures(server.bodies[-1])[0] == signatures(server.bodies[1])[0]
        assert answer.tool_calls


async def test_prompted_tools_do_not_tell_of_them():
    with signing() as server:
        _, messages = await run(asked(server))
        signed = [one for some in signatures(server.bodies[-1]) for one in some if one]
        await asked(server, native_tools=False).complete(messages, tools=TOOLS)
        sent = dumps(server.bodies[-1]).decode()
        assert "get_weather" in sent
        assert len(signed) == 2
        assert not any(one in sent for one in signed)
        assert "extra_content" not in sent


async def test_saved_messages_keep_them():
    """A call of a message in OpenAI's form holds what `CallExtra.to_dict` wrote."""
    with signing() as server:
        provider = asked(server)
        first = await provider.complete("The weather?", tools=TOOLS)
        calls = [
            call.to_openai() | ({"extra": call.extra.to_dict()} if call.extra else {})
            for call in first.tool_calls
        ]
        saved = dumps(
            [{"role": "user", "content": "The weather?"}, {"role": "assistant", "tool_calls": calls}]
        )
        results = [{"role": "tool", "content": "ok", "tool_call_id": call["id"]} for call in calls]
        assert (await provider.complete([*loads(saved), *results], tools=TOOLS)).tool_calls


async def test_one_call_where_the_service_refuses_to_be_told(recwarn):
    """`parallel_tool_calls` is left out, and the answer ends after the first call all the same."""
    with signing() as server:
        provider = asked(server, service=row(style=Style(leave_out=("parallel_tool_calls",))))
        answer = await provider.complete("The weather?", tools=TOOLS, parallel_tool_calls=False)
        assert [call.name for call in answer.tool_calls] == ["get_weather"]
        assert "parallel_tool_calls" not in server.bodies[0]
        assert not recwarn.list
