"""Model families, as data."""

from dataclasses import fields

import pytest

from freeproviders import FlowGpt
from freeproviders.errors import UsageError
from freeproviders.testing import replica
from freeproviders.tools.prompt import ToolPrompt, worded
from freeproviders.tools.quirks import Quirks, _table, quirks_of
from freeproviders.tools.read.dialects.registry import DIALECTS, dialect_of


@pytest.mark.parametrize(
    ("model", "dialect"),
    [
        ("qwen2.5-coder-0.5b", "mistral"), ("Qwen/Qwen3-8B", "hermes"), ("qwen/qwen3-coder:free", "xml"),
        ("mistral-small-latest", "mistral"), ("meta-llama/Llama-3.3-70B", "json"),
        ("llama-3.2-3b", "pythonic"), ("gemma-3-4b", "fenced"), ("gpt-4o", ""), ("", ""),
    ],
)  # fmt: skip
def test_families(model, dialect):
    """A model's name tells its family."""
    assert quirks_of(model).dialect == dialect


def test_system_messages():
    """Some families have no system role."""
    assert not quirks_of("google/gemma-3-27b-it").system
    assert quirks_of("anything") == Quirks()


@pytest.mark.parametrize(
    ("model", "tiny"),
    [
        ("qwen2.5-coder-0.5b", True), ("Qwen/Qwen2.5-0.5B-Instruct-GGUF", True), ("qwen2.5:0.5b", True),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", True), ("smollm2:360m-instruct-q8_0", True),
        ("gemma-3-270m-it", True), ("qwen2.5-coder-1.5b", False), ("qwen2.5-coder-10.5b", False),
        ("gpt-4o", False), ("", False),
    ],
)  # fmt: skip
def test_the_smallest_models(model, tiny):
    """Of any family, behind any service; a larger one may share some of their habits."""
    quirks, some = quirks_of(model), tiny or model == "qwen2.5-coder-1.5b"
    assert (quirks.tiny, quirks.invents, quirks.repeats) == (tiny, some, some)


def test_the_table_names_dialects_that_exist():
    """A typing error in the table would cost every user of that family."""
    table = _table()
    families = table["family"]
    assert {row.get("dialect", "hermes") for row in families} <= set(DIALECTS)
    known = {"match", "dialect", "tools", "words", "system", "thinking", "native"}
    known |= {"invents", "repeats", "rushes"}
    assert all(set(row) <= known for row in families)
    texts = {field.name for field in fields(ToolPrompt)}
    assert all(texts.issuperset(row.get("words", {})) for row in families)
    assert {row["tools"] for row in families} == {"schema", "short"}
    assert all(pattern == pattern.lower() for row in families for pattern in row["match"])
    assert all(pattern == pattern.lower() for pattern in table["tiny"]["match"])


def test_unknown_dialect():
    """The caller's mistake is named."""
    with pytest.raises(UsageError, match="hermes"):
        dialect_of("klingon")


def test_a_familys_words_stand_where_the_caller_has_none():
    """Words of the caller's own stay."""
    words = quirks_of("qwen2.5-coder-0.5b").words
    assert worded(ToolPrompt(), words).reminder == words["reminder"] != ""
    assert worded(ToolPrompt(reminder="Mind the tools."), words).reminder == "Mind the tools."
    assert worded(ToolPrompt(), {}).reminder == ""


def test_the_caller_may_tell_which_model_a_service_has():
    """What is known of the model then counts: here the form in which it is asked for calls."""
    weather = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    with replica(FlowGpt, answer="Hello.") as server:
        flow = FlowGpt(base_url=server.base_url)
        for backend, form in ((flow, "mistral"), (flow.with_abilities(family="Qwen3-8B"), "hermes")):
            backend.complete_sync("Hi", tools=[weather])
            said = "".join(message["content"] for message in server.requests[-1].messages)
            assert DIALECTS[form].format in said
