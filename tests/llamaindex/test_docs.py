"""The code in the docstrings and on the page runs as it stands, over replicas."""

import ast
import asyncio
import inspect
import re
import textwrap
from contextlib import ExitStack
from pathlib import Path

import pytest

from freeproviders.testing import replica
from llama_index_freeproviders import BackendLLM, ProviderLLM, TolerantReActAgent, WordLlamaEmbedding
from llama_index_freeproviders.llms import ALL
from tests.brain import brain

PAGE = Path(__file__).parent.parent.parent / "docs" / "llamaindex.md"
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
DOCUMENTED = [*ALL, BackendLLM, ProviderLLM, TolerantReActAgent, WordLlamaEmbedding]


def answer(messages):
    """The obedient model; asked by ReAct's rules, it answers by them."""
    return (
        "Thought: I know.\nAnswer: It is 42."
        if any("Action Input" in message["content"] for message in messages)
        else brain(messages)
    )


def programs():
    for cls in DOCUMENTED:
        for at, block in enumerate(FENCE.findall(_examples(cls))):
            yield pytest.param(
                block, id=f"{cls.__name__}-{at}", marks=[pytest.mark.real] if "Embedded(" in block else []
            )
    for at, block in enumerate(FENCE.findall(PAGE.read_text(encoding="utf-8"))):
        yield pytest.param(block, id=f"page-{at}", marks=[pytest.mark.real] if "Embedded(" in block else [])


def _examples(cls):
    """The docstring's examples, without their indentation."""
    doc = inspect.cleandoc(cls.__doc__)
    assert "Examples:\n" in doc, cls
    return textwrap.dedent(doc.partition("Examples:\n")[2])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", list(programs()))
def test_it_runs(block, monkeypatch, capsys, request):
    if "Embedded(" in block:
        assert request.getfixturevalue("weights_135m").exists()
        monkeypatch.setenv("FREEPROVIDERS_MODEL", "smollm2-135m")
    with ExitStack() as stack:
        for cls in ALL:
            if cls.__name__ == "Embedded":
                continue
            served = stack.enter_context(replica(cls.provider_class, answer=answer))
            monkeypatch.setattr(cls.provider_class, "default_base_url", served.base_url)
            if cls.__name__ == "OpenAICompatible":
                block = block.replace("http://localhost:11434/v1", served.base_url)
        code = compile(block, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        names = {"__name__": "example"}
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(eval(code, names))  # noqa: S307 - our own documents
        else:
            exec(code, names)  # noqa: S102
    assert capsys.readouterr().out.strip() or "print" not in block


def test_every_page_and_class_has_an_example():
    assert len(FENCE.findall(PAGE.read_text(encoding="utf-8"))) >= 6
    for cls in DOCUMENTED:
        assert FENCE.findall(_examples(cls))
