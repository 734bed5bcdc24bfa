"""Data of a service's file, put together and written as TOML."""

from __future__ import annotations

import tomllib
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from freeproviders.catalogue.writing import together, toml_of

texts = st.text(st.characters(codec="utf-8"), max_size=30)
values = st.one_of(
    texts,
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.dates(date(2000, 1, 1)),
    st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda one: not one.is_integer()),
    st.lists(texts, max_size=3),
)
tables = st.dictionaries(texts, values, max_size=4)
documents = st.dictionaries(
    texts,
    st.one_of(
        values, tables, st.lists(tables, min_size=1, max_size=3), st.dictionaries(texts, tables, max_size=3)
    ),
    max_size=5,
)


@given(documents)
def test_what_is_written_is_read(document):
    """Any names and texts, in single fields, tables, lists of tables and tables of tables."""
    assert tomllib.loads(toml_of(document)) == document


def test_corrections_are_put_together():
    """Limits and signs are added, lines of a table stand beside each other, single fields replace."""
    first = {"limit": [{"cap": 1}], "models": {"a": {"tools": True}}, "request": {"leave_out": ["x"]}}
    second = {"limit": [{"cap": 2}, {"cap": 1}], "models": {"b": {}}, "request": {"leave_out": ["y"]}}
    assert together([first, second]) == {
        "limit": [{"cap": 1}, {"cap": 2}],
        "models": {"a": {"tools": True}, "b": {}},
        "request": {"leave_out": ["y"]},
    }
    assert first["limit"] == [{"cap": 1}]
