"""The code in the docstrings runs as it stands; `tests/docs` runs that of the page."""

import inspect
import re
import textwrap

import pytest

from llama_index_freeproviders import (
    BackendLLM,
    OfflineRetriever,
    ProviderLLM,
    TolerantReActAgent,
    WordLlamaEmbedding,
)
from tests.llamaindex.services import ALL

FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
DOCUMENTED = [*ALL, BackendLLM, ProviderLLM, TolerantReActAgent, WordLlamaEmbedding, OfflineRetriever]


def programs():
    for cls in DOCUMENTED:
        for at, block in enumerate(FENCE.findall(_examples(cls))):
            yield pytest.param(
                block, id=f"{cls.__name__}-{at}", marks=[pytest.mark.real] if "Embedded(" in block else []
            )


def _examples(cls):
    """The docstring's examples, without their indentation."""
    doc = inspect.cleandoc(cls.__doc__)
    assert "Examples:\n" in doc, cls
    return textwrap.dedent(doc.partition("Examples:\n")[2])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", list(programs()))
def test_it_runs(block, monkeypatch, capsys, request):
    """Nothing is patched: a service stands in the block itself, as a replica."""
    if "Embedded(" in block:
        assert request.getfixturevalue("weights_135m").exists()
        monkeypatch.setenv("FREEPROVIDERS_MODEL", "smollm2-135m")
    exec(compile(block, "example", "exec"), {"__name__": "example"})  # noqa: S102 - our own documents
    assert capsys.readouterr().out.strip() or "print" not in block


def test_every_class_has_an_example():
    for cls in DOCUMENTED:
        assert FENCE.findall(_examples(cls))
