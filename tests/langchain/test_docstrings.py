"""The examples in docstrings run as they stand, and give what they say.

An expression with a comment `# -> value` must have that value; `...` stands for anything.
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from freeproviders import OpenAICompatible
from freeproviders.configuration import variable
from freeproviders.testing import replica
from langchain_freeproviders import (
    BackendLLM,
    ChatBackend,
    ChatEmbedded,
    ChatFreeProviders,
    FreeProvidersLLM,
    as_backend,
    embeddings,
)
from langchain_freeproviders.base import FreeProvidersChatModel
from langchain_freeproviders.embeddings_base import BaseEmbeddings
from tests.brain import View, brain
from tests.embedded.tiny_bert import written
from tests.langchain.services import CHATS, FLOW, LLMS, SERVICES

SECTIONS = [
    "Setup",
    "Key init args - completion params",
    "Key init args - client params",
    "Instantiate",
    "Invoke",
    "Stream",
    "Async",
    "Tool calling",
    "Structured output",
    "JSON mode",
    "Token usage",
    "Response metadata",
]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
EXPECTED = re.compile(r"# -> (.*)$")
PAGE = Path(__file__).parents[2] / "docs" / "langchain-details.md"


def blocks(text):
    return [textwrap.dedent(block) for block in BLOCK.findall(text)]


def matches(value, expected):
    pattern = re.escape(expected).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, repr(value), re.DOTALL) is not None


def matches_kind(value, expected):
    return isinstance(value, str) if expected[0] in "'\"" else matches(value, expected)


async def run(block, names, matches=matches):
    """Run a block statement by statement; returns how many values were compared."""
    compared = 0
    lines = block.splitlines()
    for statement in ast.parse(block).body:
        mark = EXPECTED.search(lines[statement.end_lineno - 1])
        if isinstance(statement, ast.Expr) and mark:
            tree = ast.fix_missing_locations(ast.Expression(statement.value))
            code = compile(tree, "<example>", "eval", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            value = eval(code, names)  # noqa: S307 - our own examples
            value = await value if inspect.isawaitable(value) else value
            assert matches(value, mark[1]), f"{lines[statement.lineno - 1].strip()} gives {value!r}"
            compared += 1
            continue
        outcome = eval(  # noqa: S307
            compile(ast.Module([statement], []), "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT),
            names,
        )
        if inspect.isawaitable(outcome):
            await outcome
    return compared


def answer(messages):
    """A model that knows French beside its tools."""
    return "J'adore la programmation." if "I love programming." in View(messages).whole else brain(messages)


def test_every_section_is_there():
    found = re.findall(r"^([A-Z][\w -]+):$", inspect.getdoc(FreeProvidersChatModel), re.MULTILINE)
    assert found == SECTIONS


@pytest.mark.parametrize("cls", [*CHATS, ChatBackend, ChatFreeProviders], ids=lambda cls: cls.__name__)
def test_a_class_says_only_what_is_its_own(cls):
    """How to use a model stands in the docstring of the base, once."""
    first = blocks(cls.__doc__)[0]
    assert f"model = {cls.__name__}(" in first
    assert len(cls.__doc__.splitlines()) <= 25
    assert inspect.getdoc(cls).splitlines()[0][:100] == inspect.getdoc(cls).splitlines()[0]


async def run_docstrings(cls, names, matches=matches):
    """Run the examples of a class and, with the model that they make, those of the base."""
    (own, *more) = blocks(cls.__doc__)
    instantiate, *common = blocks(FreeProvidersChatModel.__doc__)
    assert "model = " in instantiate
    await run(own, names, matches)
    assert type(names["model"]) is cls
    return sum([await run(block, names, matches) for block in (*common, *more)])


async def test_the_examples_run(service, monkeypatch):
    with service.replica(answer) as r:
        monkeypatch.setenv(variable(service.chat.provider_class.slug, "base_url"), r.base_url)
        assert await run_docstrings(service.chat, {}) >= 8


@pytest.mark.parametrize("cls", [ChatBackend, ChatFreeProviders], ids=lambda cls: cls.__name__)
async def test_the_example_of_any_backend_runs(cls, monkeypatch):
    with FLOW.replica(answer) as r:
        monkeypatch.setenv("FLOW_GPT_API_BASE", r.base_url)
        assert await run_docstrings(cls, {}) >= 7


async def test_the_example_of_others_models_runs():
    (block,) = blocks(as_backend.__doc__)
    assert await run(block, {}) == 1


@pytest.mark.real
@pytest.mark.timeout(900)
async def test_the_embedded_models_examples_run(weights_05b):
    """It knows less French, so that of a text only its type is compared."""
    assert weights_05b.exists()
    assert await run_docstrings(ChatEmbedded, {}, matches_kind) >= 8


@pytest.mark.parametrize("name", embeddings.__all__)
async def test_the_examples_of_embeddings_run(name, monkeypatch, tmp_path):
    """Those of the class, and those of the base with what it made."""
    cls = getattr(embeddings, name)
    if name == "EmbeddedEmbeddings":
        pytest.importorskip("xllamacpp", reason="the engine is not installed here")
        monkeypatch.setenv("FREEPROVIDERS_EMBEDDING_MODEL", str(written(tmp_path)))
    (own,) = blocks(cls.__doc__)
    common = blocks(BaseEmbeddings.__doc__)
    with replica(OpenAICompatible) as server:
        monkeypatch.setenv("OPENAI_COMPATIBLE_API_BASE", server.base_url)
        names = {}
        await run(own, names)
        assert type(names["embeddings"]) is cls
        assert sum([await run(block, names) for block in common]) == 3


def test_the_page_names_every_class_and_error():
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{cls.__name__}`" in page for cls in (*CHATS, *LLMS, ChatBackend, BackendLLM))
    assert all(f"`{cls.__name__}`" in page for cls in (ChatFreeProviders, FreeProvidersLLM))
    assert "`as_backend(" in page
    assert all(f"`{name}`" in page for name in embeddings.__all__)


def test_an_example_that_is_wrong_is_noticed():
    assert matches("J'adore", '"J\'adore"')
    assert not matches("Bonjour", '"J\'adore"')
    assert len(SERVICES) == len(CHATS) - 1
