"""Thinking that a model's template has opened, in LlamaIndex: only what closes it is in the answer."""

from llama_index.core.base.llms.types import ChatMessage, TextBlock, ThinkingBlock

from freeproviders.testing import replica
from llama_index_freeproviders import OpenAICompatible

SAID = "Okay, hm.\n</think>\n\nIt is 4."
ASKED = [ChatMessage("2+2?")]


def shown(message):
    blocks = message.blocks
    thought = "".join(block.content for block in blocks if isinstance(block, ThinkingBlock))
    return thought, "".join(block.text for block in blocks if isinstance(block, TextBlock))


async def test_it_is_no_text():
    """Of whole answers at once, and of streams from then on."""
    with replica("openai-compatible", answer=[SAID[at : at + 3] for at in range(0, len(SAID), 3)]) as r:
        llm = OpenAICompatible("m", base_url=r.base_url)
        parts = ("Okay, hm.\n", "It is 4.")
        assert shown(llm.chat(ASKED).message) == parts
        assert shown((await llm.achat(ASKED)).message) == parts
        assert llm.complete("2+2?").text == parts[1]
        *_, last = llm.stream_chat(ASKED)
        assert shown(last.message) == parts
        assert "".join(one.delta for one in llm.stream_chat(ASKED)) == parts[1]
