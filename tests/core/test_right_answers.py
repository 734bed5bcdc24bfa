"""Each provider reads answers that were written by hand, without the replicas."""

import pytest

from freeproviders import OpenAICompatible, Text, ToolCall
from freeproviders.providers import PROVIDERS, find_provider, load_provider
from tests.core import right_answers as right

PIECES = ["Grüße, ", "\u2028 «Zürich» ", "🙂\r\n\r\n", 'data: {"x": [DONE]}\n\n', "</html> the end"]


def test_every_protocol_has_a_writer():
    assert set(right.WRITERS) == {row.slug for row in PROVIDERS if row.replica}


@pytest.mark.parametrize("size", [None, 1, 7, 4096])
@pytest.mark.parametrize("slug", right.WRITERS)
async def test_an_answer_by_hand(slug, size):
    """The text arrives exactly, however the network cuts it; so does what the service counted."""
    write, content_type = right.WRITERS[slug]
    cls = load_provider(find_provider(slug))
    with right.says_by_hand(write(PIECES), content_type, size) as url:
        provider = cls("any" if cls is OpenAICompatible else None, base_url=url, retry=0)
        parts = [part async for part in provider.stream("Hi")]
    assert "".join(part.text for part in parts if isinstance(part, Text)) == "".join(PIECES)
    usage, finish = parts[-2:]
    assert (finish.reason, finish.confirmed, finish.attempts) == ("stop", True, 1)
    assert usage.estimated is (write is not right.openai)
    if not usage.estimated:
        assert (usage.input_tokens, usage.output_tokens) == (3, 5)


@pytest.mark.parametrize("size", [None, 1])
async def test_a_call_by_hand(size):
    frames = right.openai_call("add", ['{"a"', ': 1, "b"', ': "zwölf"}'])
    tool = {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}},
    }
    with right.says_by_hand(frames, "text/event-stream", size) as url:
        service = OpenAICompatible("any", base_url=url, native_tools=True, retry=0)
        answer = await service.complete("Add.", tools=[tool])
    assert answer.tool_calls == (ToolCall("call_1", "add", {"a": 1, "b": "zwölf"}),)
    assert answer.finish.reason == "tool_calls"
