"""Tokens counted by llama.cpp's own server: those of its answers' usage, to the last one."""

import pytest

from freeproviders import OpenAICompatible
from freeproviders.types import Tool
from freeproviders.usage import estimate_tokens

pytestmark = pytest.mark.real
TEXT = "Guten Morgen, 你好, नमस्ते: 3.14159 <|im_end|> def f(x): return x"
TOOL = Tool("look", "Look a word up.", {"type": "object", "properties": {"word": {"type": "string"}}})
QUESTIONS = [
    (TEXT, {}),
    ([{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}], {}),
    ("Look up 'word'.", {"tools": [TOOL]}),
]


async def test_texts_and_questions(embedded_135m):
    """Before the engine runs nothing is started for a count; then it is exact."""
    server = await embedded_135m.prepare()
    count = await embedded_135m.count_tokens(TEXT)
    assert count == await embedded_135m.count_tokens(TEXT, model=embedded_135m.model)
    assert count != estimate_tokens(TEXT, embedded_135m.model)
    provider = OpenAICompatible(
        "m", service="llamacpp", base_url=f"{server.address}/v1", api_key=server.api_key, native_tools=True
    )
    assert await provider.count_tokens(TEXT) == count
    for question, settings in QUESTIONS:
        request = provider.checked(provider.request(question, max_tokens=1, **settings))
        usage = [part async for batch in provider.batches(request) for part in batch][-2]
        assert await provider.exact_input_tokens(request) == usage.input_tokens
