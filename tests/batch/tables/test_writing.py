"""Tables of answers: every cell comes back, names do not clash, files appear whole or not at all."""

from __future__ import annotations

import asyncio
import csv
import errno
import json
import os
import stat
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeproviders.batch.tables import writers
from freeproviders.batch.tables.columns import OWN, columns_of, fields_of, joined, kind_of
from freeproviders.batch.tables.outcome import Outcome
from freeproviders.batch.tables.output import Output, pieces_of
from freeproviders.batch.tables.source import open_table
from freeproviders.errors import UsageError
from freeproviders.types import Attempt, Completion, Finish, Seam, ToolCall, Usage

KINDS = ("jsonl", "csv", "tsv", "parquet")
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "weight": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "alive": {"type": ["boolean", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "state": {"enum": ["a", "b"]},
        "inner": {"type": "object"},
    },
}


def answer(text: str = "Hi.", **more) -> Outcome:
    finish = Finish(provider="Groq", model="m", **more)
    fields = {}
    if text.startswith("{"):
        with suppress(ValueError):
            fields = json.loads(text)
    return Outcome("done", Completion(text, "", (), Usage(3, 4), finish), fields=fields)


def kinds_of(rows):
    """The columns of rows in the order in which they appear, and their kinds."""
    found = {}
    for row in rows:
        for name, value in row.items():
            found[name] = joined(found.get(name), kind_of(value))
    return {name: kind or "text" for name, kind in found.items()}


def write(output: Output, columns, pieces, outcomes, **given) -> None:
    """Write pieces of a table, each record with its outcome."""

    async def results():
        for piece in pieces():
            yield piece, outcomes(piece.records)

    asyncio.run(output.write(columns, results, **given))


def written(tmp_path: Path, kind: str, rows, outcomes, schema=None, **given):
    """Write rows with their outcomes, and read what a reader of our own gets."""
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = open_table(source)
    path = tmp_path / f"out.{kind}"
    write(
        Output(path, kind),
        columns_of(kinds_of(rows), schema, **given),
        lambda: pieces_of(found, most=None, carried=False),
        lambda records: [outcomes[one.index] for one in records],
    )
    return [dict(one.values) for one in open_table(path).records()]


@pytest.mark.parametrize("kind", KINDS)
def test_cells_of_an_answer(tmp_path: Path, kind: str) -> None:
    trail = (Attempt("A", "m", error="no"), Attempt("Groq", "m", requests=2))
    seams = (Seam(3, "a/m", "b/m", "replay"),)
    outcomes = [
        answer('A\n"text", with 😀\tand so on', attempts=2, trail=trail, seams=seams),
        Outcome("refused", error="Line 3: It is not JSON.", tries=1),
        Outcome("exhausted"),
    ]
    found = written(tmp_path, kind, [{"id": number, "text": "q"} for number in range(3)], outcomes)
    plain = kind in {"csv", "tsv"}
    nothing, number = ("", str) if plain else (None, int)
    assert list(found[0]) == ["id", "text", "answer", *OWN]
    assert found[0] == {
        "id": number(0),
        "text": "q",
        "answer": 'A\n"text", with 😀\tand so on',
        "state": "done",
        "error": nothing,
        "service": "Groq",
        "model": "m",
        "input_tokens": number(3),
        "output_tokens": number(4),
        "finish": "stop",
        "seams": number(1),
        "attempts": number(3),
    }
    assert (found[1]["state"], found[1]["error"], found[1]["attempts"]) == (
        "refused",
        "Line 3: It is not JSON.",
        number(1),
    )
    assert (found[2]["state"], found[2]["answer"], found[2]["input_tokens"]) == (
        "exhausted",
        nothing,
        nothing,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_names_that_are_taken_get_a_number(tmp_path: Path, kind: str) -> None:
    row = {"answer": "mine", "state": "mine", "state_2": "mine", "name": "mine"}
    (found,) = written(tmp_path, kind, [row], [answer('{"name": "theirs", "state": "a"}')], SCHEMA)
    assert {name: found[name] for name in row} == row
    assert (found["name_2"], found["state_3"], found["state_4"]) == ("theirs", "a", "done")
    assert "answer_2" not in found


def test_fields_of_an_object_have_their_types(tmp_path: Path) -> None:
    said = {
        "name": "Ada",
        "age": 36.0,
        "weight": 50,
        "alive": False,
        "tags": ["x"],
        "state": "b",
        "inner": {"a": 1},
    }
    rows = [{"id": number} for number in range(4)]
    outcomes = [
        answer(json.dumps(said)),
        answer('{"name": null, "weight": null}'),
        Outcome("exhausted"),
        answer("{not an object"),
    ]
    found = written(tmp_path, "parquet", rows, outcomes, SCHEMA)
    assert found[0]["age"] == 36
    assert {name: found[0][name] for name in ("name", "weight", "alive", "tags", "state")} == {
        "name": "Ada",
        "weight": 50.0,
        "alive": False,
        "tags": ["x"],
        "state": "b",
    }
    assert json.loads(found[0]["inner"]) == {"a": 1}
    assert all(one["name"] is None for one in found[1:])
    types = {field.name: str(field.type) for field in pq.read_schema(tmp_path / "out.parquet")}
    assert types["age"] == "int64"
    assert types["weight"] == "double"
    assert types["alive"] == "bool"
    assert types["tags"].startswith("list<")
    assert types["inner"] == "string"


def test_a_value_that_does_not_fit_its_column_makes_it_one_of_text(tmp_path: Path) -> None:
    outcomes = [answer('{"age": 1, "tags": ["a"]}'), answer(json.dumps({"age": 2**70, "tags": "b"}))]
    found = written(tmp_path, "parquet", [{"id": 1}, {"id": 2}], outcomes, SCHEMA)
    assert [one["age"] for one in found] == ["1", str(2**70)]
    assert [one["tags"] for one in found] == ['["a"]', "b"]


@pytest.mark.parametrize(
    ("schema", "names", "whole"),
    [
        (None, [], False),
        ({"type": "array"}, [], False),
        ({"$ref": "#/$defs/A"}, [], False),
        ({"properties": {"a": True}}, ["a"], True),
        ({"properties": {"a": {}}, "additionalProperties": False}, ["a"], True),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, ["a"], False),
    ],
)
def test_an_answer_stays_where_its_fields_are_not_all_of_it(schema, names, whole: bool) -> None:
    columns, all_of_it = fields_of(schema)
    assert ([one.name for one in columns], all_of_it) == (names, whole)
    assert ("answer" in [one.name for one in columns_of({}, schema)]) is not whole


def test_calls_of_tools_have_a_column(tmp_path: Path) -> None:
    call = ToolCall("1", "f", {"a": "ü"})
    outcome = Outcome("done", Completion("", "", (call,), Usage(1, 1), Finish(reason="tool_calls")))
    (found,) = written(tmp_path, "jsonl", [{"id": 1}], [outcome], calls=True)
    assert json.loads(found["tool_calls"]) == [{"name": "f", "arguments": {"a": "ü"}}]
    assert (found["answer"], found["finish"]) == (None, "tool_calls")


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.text(min_size=1, max_size=3), VALUES, max_size=3), min_size=1, max_size=4
    )
)
def test_any_rows_can_be_written(tmp_path: Path, kind: str, rows) -> None:
    """Texts come back as they were from every format, all that JSON can say from JSON lines."""
    found = written(
        tmp_path,
        kind,
        rows,
        [answer(row.get("a") or "x") if isinstance(row.get("a"), str) else answer() for row in rows],
    )
    assert len(found) == len(rows)
    for before, after in zip(rows, found, strict=True):
        assert after["state"] == "done"
        for name, value in before.items():
            if isinstance(value, str) and "\ud800" not in json.loads(json.dumps(value)):
                assert after[name] == value


def test_half_a_character_ends_no_table(tmp_path: Path) -> None:
    for kind in KINDS:
        (found,) = written(tmp_path, kind, [{"id": "\ud800"}], [answer("a\udfffb")])
        assert found["answer"] in {"a?b", "a\udfffb"}


# --- Parquet carried over ---


def carried(tmp_path: Path, most=None):
    found = open_table(tmp_path / "in.parquet")
    path = tmp_path / "out.parquet"
    write(
        Output(path, "parquet"),
        columns_of(dict.fromkeys(found.columns, "text")),
        lambda: pieces_of(found, most=most, carried=True, columns=("id",)),
        lambda records: [answer(str(one.values["id"])) for one in records],
        inputs=found.arrow,
    )
    return pq.read_table(path)


def test_columns_of_parquet_are_carried_over_as_they_are(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(writers, "_GROUP_ROWS", 700)
    number = 1000
    table = pa.table(
        {
            "id": pa.array(range(number), pa.int16()),
            "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * number, pa.timestamp("ns", "UTC")),
            "kind": pa.array(["a", "b"] * (number // 2)).dictionary_encode(),
            "price": pa.array([Decimal("1.10")] * number, pa.decimal128(10, 2)),
            "vector": pa.array([[0.5, 1.5]] * number, pa.list_(pa.float32())),
            "deep": pa.array([{"x": [1], "y": None}] * number),
            "raw": pa.array([b"\xff"] * number),
            "state": pa.array(["mine"] * number),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    found = carried(tmp_path)
    assert found.select(table.column_names).cast(table.schema).equals(table)
    assert found["answer"].to_pylist() == [str(one) for one in range(number)]
    assert set(found["state_2"].to_pylist()) == {"done"}
    for most in (1, 256, 300, number):
        assert carried(tmp_path, most)["id"].to_pylist() == list(range(most))


# --- the file ---


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n' * 1000)
    found = open_table(tmp_path / "rows.jsonl")
    for kind in KINDS:
        path = tmp_path / f"out.{kind}"
        path.write_text("before")
        seen = []

        def outcomes(records, seen=seen):
            seen += [(one.name, stat.S_IMODE(one.stat().st_mode)) for one in tmp_path.glob(".out*")]
            if records[0].index > 500:
                raise KeyboardInterrupt
            return [answer() for _ in records]

        with pytest.raises(KeyboardInterrupt):
            write(
                Output(path, kind),
                columns_of({"a": "whole"}),
                lambda: pieces_of(found, most=None, carried=False),
                outcomes,
            )
        assert path.read_text() == "before"
        assert seen
        assert {mode for _, mode in seen} == {0o600}
        assert not list(tmp_path.glob(".out*"))


def test_a_full_disk_is_named_with_the_file_and_what_to_do(tmp_path: Path, monkeypatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
    found = open_table(tmp_path / "rows.jsonl")
    output = Output(tmp_path / "out.csv", "csv")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"out\.csv cannot be written: No space .* No answer is lost"):
        write(
            output,
            columns_of({"a": "whole"}),
            lambda: pieces_of(found, most=None, carried=False),
            lambda records: [answer() for _ in records],
        )
    assert [one.name for one in tmp_path.iterdir()] == ["rows.jsonl"]


def test_the_rights_of_a_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        written(tmp_path, "csv", [{"a": 1}], [answer()])
        assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o640
        (tmp_path / "out.csv").chmod(0o600)
        written(tmp_path, "csv", [{"a": 1}], [answer()])
        assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out.csv").symlink_to(tmp_path / "real" / "table.csv")
    written(tmp_path, "csv", [{"a": 1}], [answer()])
    assert (tmp_path / "out.csv").is_symlink()
    assert (tmp_path / "real" / "table.csv").exists()


def test_an_output_that_cannot_be_written_is_found_first(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    for name, said in (
        ("none/out.csv", "there is no folder"),
        ("folder.csv", "it is no file"),
        ("pipe.csv", "it is no file"),
        ("x" * 300 + ".csv", "too long"),
    ):
        with pytest.raises(UsageError, match=f"cannot be written: .*{said}"):
            Output(tmp_path / name, "csv")
    if os.getuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(UsageError, match="Permission denied"):
            Output(tmp_path / "closed" / "out.csv", "csv")


def test_what_a_killed_run_left_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".out.csv.x7.part").write_text("left")
    (tmp_path / ".out.csv2.x7.part").write_text("another's")
    Output(tmp_path / "out.csv", "csv")
    assert [one.name for one in tmp_path.iterdir()] == [".out.csv2.x7.part"]


def test_csv_is_what_the_standard_library_reads(tmp_path: Path) -> None:
    written(tmp_path, "csv", [{"a": "x\r\ny", "b": '"'}], [answer("1,2\n3")])
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert (row["a"], row["b"], row["answer"]) == ("x\r\ny", '"', "1,2\n3")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_memory_is_flat(tmp_path: Path, kind: str, monkeypatch) -> None:
    """Ten megabytes of answers are never in the memory of Python together."""
    monkeypatch.setattr(writers, "_GROUP_CHARACTERS", 500_000)
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n' * 5000)
    found = open_table(tmp_path / "rows.jsonl")
    output = Output(tmp_path / f"out.{kind}", kind)
    text = "word " * 400
    tracemalloc.start()
    try:
        write(
            output,
            columns_of({"a": "whole"}),
            lambda: pieces_of(found, most=None, carried=False),
            lambda records: [answer(text + str(one.index)) for one in records],
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / f"out.{kind}").exists()
    assert peak < 4_000_000
