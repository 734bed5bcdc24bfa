"""Tables read row by row: what is right comes whole, what is wrong is named with its line."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeproviders.batch.tables import delimited, json_lines
from freeproviders.batch.tables.source import format_of, open_table, sniffed
from freeproviders.errors import UsageError


def table(tmp_path: Path, name: str, content: str | bytes, **given):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_table(path, **given)


def rows(found):
    return [(one.place, dict(one.values), one.wrong) for one in found.records()]


def cells(found):
    return [tuple(one.values.values()) for one in found.records()]


# --- CSV ---


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("a,b\n1,2\n", [("1", "2")]),
        ("a,b\r\n1,2\r\n3,4", [("1", "2"), ("3", "4")]),
        ("a,b\r1,2\r", [("1", "2")]),
        ('a,b\n"x\ny","q""q"\n', [("x\ny", 'q"q')]),
        ('a,b\n"x\r\ny",2\n', [("x\r\ny", "2")]),
        ("a;b\n1,5;2\n", [("1,5", "2")]),
        ("a\tb\n1\t2\n", [("1", "2")]),
        ('"a,b;c";d\n1;2\n', [("1", "2")]),
        ("a\n\n1\n\n\n2\n", [("1",), ("2",)]),
        ("a,b\n,\n", [("", "")]),
        ("a,b\n", []),
        ("a\nüß€😀\n", [("üß€😀",)]),
        (",a\n0,x\n", [("0", "x")]),
    ],
)
def test_csv(tmp_path: Path, content: str, wanted) -> None:
    assert cells(table(tmp_path, "in.csv", content)) == wanted


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_an_encoding_with_a_mark_is_known(tmp_path: Path, encoding: str) -> None:
    for name, text in (("in.csv", "text\nGrüße 😀\n"), ("in.jsonl", '{"text": "Grüße 😀"}\n')):
        found = table(tmp_path, name, text.encode(encoding))
        assert rows(found)[0][1:] == ({"text": "Grüße 😀"}, "")


def test_an_encoding_may_be_named(tmp_path: Path) -> None:
    content = "text\nGrüße\n".encode("cp1252")
    assert cells(table(tmp_path, "in.csv", content, encoding="cp1252")) == [("Grüße",)]
    ((place, _, wrong),) = rows(table(tmp_path, "in.csv", content))
    assert (place, wrong) == ("line 2", "It is no text in the encoding utf-8.")
    with pytest.raises(UsageError, match="no encoding 'klingon'"):
        table(tmp_path, "in.csv", content, encoding="klingon")


def test_wrong_rows_of_csv_are_named_and_the_others_are_there(tmp_path: Path) -> None:
    content = b'a,b\n1,2\n3\n"x\ny",\xff\n4,5,6\n"z"z,1\n7,8\n9,"open\nand so on\n'
    found = rows(table(tmp_path, "in.csv", content))
    assert [place for place, *_ in found] == [f"line {number}" for number in (2, 3, 4, 6, 7, 8, 9)]
    assert [wrong for *_, wrong in found] == [
        "",
        "It has 1 cell, where the header has 2.",
        "It is no text in the encoding utf-8.",
        "It has 3 cells, where the header has 2.",
        "It cannot be read: ',' expected after '\"'.",
        "",
        "A quote is opened and not closed: 2 lines of the file are in this row.",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty: it has not even a header"),
        ("\n\n", "is empty"),
        ("a,b,a\n1,2,3\n", "has the column 'a' twice"),
        ('"a\n', "A quote is opened and not closed"),
        (b"a\xe9,b\n", "no text in the encoding utf-8"),
    ],
)
def test_a_header_that_is_none(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        table(tmp_path, "in.csv", content)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    header=st.lists(NAMES.filter(str.strip), min_size=2, max_size=4, unique=True),
    data=st.data(),
    end=st.sampled_from(["\n", "\r\n"]),
    separator=st.sampled_from([",", "\t"]),
)
def test_what_a_program_writes_as_csv_is_read_as_it_was(
    tmp_path: Path, header, data, end: str, separator: str
) -> None:
    lines = data.draw(st.lists(st.lists(NAMES, min_size=len(header), max_size=len(header)), max_size=5))
    made = io.StringIO(newline="")
    writer = csv.writer(made, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *lines])
    found = table(tmp_path, "in.csv" if separator == "," else "in.tsv", made.getvalue())
    assert list(found.columns) == header
    assert cells(found) == [tuple(line) for line in lines]


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(delimited, "LONGEST_ROW", 1000)
    limit = csv.field_size_limit(1000)
    try:
        found = rows(table(tmp_path, "in.csv", 'a,b\n1,"' + "word\n" * 300 + "2,3\n"))
    finally:
        csv.field_size_limit(limit)
    assert "A quote is opened and not closed" in found[0][2]
    assert len(found) < 110
    with pytest.raises(UsageError, match="a line of more than"):
        list(table(tmp_path, "in.csv", "a\n" + "x" * 2000).records())


# --- JSON lines ---


def test_json_lines(tmp_path: Path) -> None:
    content = (
        b'{"a": 1, "b": [1, {"c": null}]}\n\n  \n'
        b'{"a": "\xe2\x80\xa8 and \\n"}\r\n'
        b"{broken\n"
        b"[1]\n"
        b'{"a": "\xff"}\n'
        b'{"a": 1, "a": 2}\n' + b"[" * 100_000 + b"\n"
        b'{"a": "last"}'
    )
    found = rows(table(tmp_path, "in.jsonl", content))
    assert [place for place, *_ in found] == [f"line {number}" for number in (1, 4, 5, 6, 7, 8, 9, 10)]
    assert [values for _, values, wrong in found if not wrong] == [
        {"a": 1, "b": [1, {"c": None}]},
        {"a": "\u2028 and \n"},
        {"a": "last"},
    ]
    assert [wrong[:30] for *_, wrong in found if wrong] == [
        "It is not JSON: Expecting prop",
        "It is JSON, but no object: a r",
        "It is no text in the encoding ",
        "It has 'a' twice.",
        "It is not JSON: it is nested t",
    ]


def test_a_line_without_end_is_one_wrong_row(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_ROW", 1000)
    monkeypatch.setattr(json_lines, "_REST", 100)
    found = rows(table(tmp_path, "in.jsonl", json.dumps({"a": "x" * 5000}) + '\n{"a": 1}\n'))
    assert [bool(wrong) for *_, wrong in found] == [True, False]
    assert found[1][:2] == ("line 2", {"a": 1})


def test_a_json_list_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one JSON list.*jq"):
        list(table(tmp_path, "in.json", '[{"a": 1}]').records())


def test_an_empty_file_of_lines_has_no_rows(tmp_path: Path) -> None:
    assert rows(table(tmp_path, "in.jsonl", "")) == []
    assert rows(table(tmp_path, "in.txt", "\n\n")) == []


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.dictionaries(st.text(max_size=4), st.none() | st.booleans() | st.text(max_size=8)), max_size=5
    )
)
def test_what_a_program_writes_as_json_lines_is_read_as_it_was(tmp_path: Path, wanted) -> None:
    content = "".join(f"{json.dumps(row)}\n" for row in wanted)
    assert [dict(one.values) for one in table(tmp_path, "in.jsonl", content).records()] == wanted


# --- text, packed files, unknown ones ---


def test_plain_text_is_a_prompt_a_line(tmp_path: Path) -> None:
    found = rows(table(tmp_path, "in.txt", b'One?\r\n\nTwo, "or" three?\n\xff\n'))
    assert found[:2] == [
        ("line 1", {"prompt": "One?"}, ""),
        ("line 3", {"prompt": 'Two, "or" three?'}, ""),
    ]
    assert found[2][0::2] == ("line 4", "It is no text in the encoding utf-8.")


@pytest.mark.parametrize(("name", "text"), [("in.csv.gz", "a\nx\n"), ("in.jsonl.gz", '{"a": "x"}\n')])
def test_a_packed_file(tmp_path: Path, name: str, text: str) -> None:
    assert cells(table(tmp_path, name, gzip.compress(text.encode()))) == [("x",)]


def test_a_packed_file_that_is_cut_ends_with_an_error(tmp_path: Path) -> None:
    packed = gzip.compress("".join(f'{{"a": "{number:x}"}}\n' for number in range(2000)).encode())
    found = table(tmp_path, "in.jsonl.gz", packed[: len(packed) // 2])
    with pytest.raises(UsageError, match="cannot be read"):
        list(found.records())


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        open_table(tmp_path)
    for name in ("in.csv", "in.jsonl", "in.parquet", "in.txt"):
        with pytest.raises(UsageError, match="cannot be read"):
            open_table(tmp_path / name)
    with pytest.raises(UsageError, match=r"does not tell.*\.jsonl"):
        table(tmp_path, "in.xlsx", "")
    with pytest.raises(UsageError, match="is no Parquet file"):
        table(tmp_path, "in.parquet", "a,b\n")


@pytest.mark.parametrize(
    ("beginning", "kind"),
    [
        (b"a,b\n", "csv"),
        (b'{"a"', "jsonl"),
        (codecs.BOM_UTF8 + b'\n {"a"', "jsonl"),
        (b"PAR1", "parquet"),
        (b"", "jsonl"),
    ],
)
def test_a_file_without_a_name_is_known_by_its_beginning(tmp_path: Path, beginning: bytes, kind: str) -> None:
    (tmp_path / "in").write_bytes(beginning)
    assert sniffed(tmp_path / "in") == kind
    assert format_of(tmp_path / "in") is None


# --- Parquet ---


def test_parquet(tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, tzinfo=UTC)
    wanted = {"n": [1, None], "text": ["a", "b"], "many": [[1, 2], []], "at": [when, when]}
    pq.write_table(pa.table(wanted), tmp_path / "in.parquet")
    found = open_table(tmp_path / "in.parquet")
    assert found.columns == ("n", "text", "many", "at")
    assert rows(found)[1] == ("row 2", {"n": None, "text": "b", "many": [], "at": when}, "")
    assert [dict(one.values) for one in found.records(("text",))] == [{"text": "a"}, {"text": "b"}]


def test_parquet_with_a_column_twice(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "in.pq")
    with pytest.raises(UsageError, match="has the column 'a' twice"):
        open_table(tmp_path / "in.pq")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_memory_is_flat(tmp_path: Path, kind: str) -> None:
    """Twenty megabytes of rows are never in the memory of Python together."""
    number, text = 5_000, "word " * 800
    path = tmp_path / f"in.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"text": [text] * number}), path, row_group_size=1000)
    else:
        line = f"{text}\n" if kind == "csv" else json.dumps({"text": text}) + "\n"
        path.write_text("text\n" * (kind == "csv") + line * number)
    found = open_table(path)
    next(found.records())
    tracemalloc.start()
    try:
        assert sum(1 for _ in found.records()) == number
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
