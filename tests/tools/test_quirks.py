"""Model families, as data."""

import pytest

from freeproviders.errors import UsageError
from freeproviders.tools.quirks import Quirks, _families, quirks_of
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


def test_the_table_names_dialects_that_exist():
    """A typing error in the table would cost every user of that family."""
    assert {row.get("dialect", "hermes") for row in _families()} <= set(DIALECTS)
    known = {"match", "dialect", "tools", "system", "thinking", "native"}
    assert all(set(row) <= known for row in _families())
    assert {row["tools"] for row in _families()} == {"schema", "short"}
    assert all(pattern == pattern.lower() for row in _families() for pattern in row["match"])


def test_unknown_dialect():
    """The caller's mistake is named."""
    with pytest.raises(UsageError, match="hermes"):
        dialect_of("klingon")
