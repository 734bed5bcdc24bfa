"""Cells of a dataset's rows, whose columns have one type on all nodes."""

from freeproviders.batch.ray.data import _cell, _outcome
from freeproviders.batch.rows import Row
from freeproviders.batch.tables.columns import columns_of

SCHEMA = {
    "properties": {
        "age": {"type": "integer"},
        "name": {"type": "string"},
        "marks": {"type": "array", "items": {"type": "number"}},
    }
}


def test_a_field_that_does_not_fit_its_column_is_one_empty_cell():
    columns = columns_of({"age": "text"}, SCHEMA)[1:]
    data = {"age": 2**70, "name": "half \ud83d", "marks": [1, 2.5]}
    outcome = _outcome(Row(index=0, state="done", data=data), columns)
    cells = {column.name: _cell(column, outcome) for column in columns}
    assert (cells["age_2"], cells["name"], cells["marks"]) == (None, "half ?", [1.0, 2.5])
    assert cells["error"] == f"The column age_2 cannot hold {2**70}."
    assert data["age"] == 2**70
