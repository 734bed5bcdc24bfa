"""What the tests of the engine share.

Real providers over replicas that answer in turns, and what came of a request.
"""

from contextlib import aclosing
from dataclasses import replace

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.errors import FreeProvidersError
from freeproviders.testing import replica
from freeproviders.tools import answer as answered
from freeproviders.types import ChatRequest, Completion, Message, collect
from tests.tools.reading import TOOLS

CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'
ROME = CALL.replace("Oslo", "Rome")
TIME = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
BAD = '<tool_call>{"name": "get_weather", "arguments": {"days": "x"}}</tool_call>'


def in_turns(*answers):
    """An answer for a replica: one after the other; asking too often is an error."""
    waiting = iter(answers)

    def answer(_messages):
        return next(waiting)

    return answer


def flow(*answers, **options):
    """A replica of a service that knows neither tools nor schemas, and its provider."""
    return replica(FlowGpt, answer=in_turns(*answers), **options)


def request(text="Weather in Oslo?", *history, tools=TOOLS, **settings):
    return ChatRequest(messages=(*history, Message("user", text)), tools=tools, **settings)


async def parts_of(provider, asked, *, prompt=None, **settings):
    """All parts of an answer, and the error that ended it."""
    parts, options = [], {} if prompt is None else {"prompt": prompt}
    asked = replace(asked, **settings)
    try:
        async with aclosing(answered(provider, asked, **options)) as batches:
            async for batch in batches:
                parts += batch
    except FreeProvidersError as error:
        return parts, error
    return parts, None


async def answer_of(provider, asked, **options) -> Completion:
    parts, error = await parts_of(provider, asked, **options)
    if error is not None:
        raise error
    return collect(parts)


def calls_of(completion):
    return [(call.name, dict(call.arguments)) for call in completion.tool_calls]


def openai(r, model="any-model", **options):
    return OpenAICompatible(model, base_url=r.base_url, **options)


def prompted(r, model="any-model", **options):
    """A provider that asks by the prompt alone, unless `native_tools` says otherwise."""
    return openai(r, model, **{"native_tools": False, "json_schema": False, **options})


TINY = "qwen2.5-0.5b-instruct"
"""The name of a model that is known as tiny."""


def tiny(*answers, **options):
    """A replica of a service whose models may be tiny ones."""
    return replica(OpenAICompatible, answer=in_turns(*answers), **options)
