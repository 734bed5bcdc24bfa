"""Regular expressions that are compiled when they are first used."""

from __future__ import annotations

import re

import pytest

from freeproviders.patterns import pattern


def test_an_expression_is_compiled_at_its_first_use() -> None:
    broken = pattern("(")
    with pytest.raises(re.error):
        broken.search("text")


def test_it_has_what_a_compiled_one_has_and_keeps_it() -> None:
    word = pattern(r"(?P<first>\w)\w*", re.ASCII)
    found = word.search("- word")
    assert found is not None
    assert found["first"] == "w"
    assert "search" in vars(word)
    assert (word.pattern, word.groups, bool(word.flags & re.ASCII)) == (r"(?P<first>\w)\w*", 1, True)
    assert pattern(rb"\d").sub(b"", b"a1b2") == b"ab"
