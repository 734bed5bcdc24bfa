"""The columns of the table of answers: those of the questions, and what became of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from freeproviders.batch.tables.cells import as_text
from freeproviders.batch.tables.outcome import Outcome

Kind = Literal["text", "whole", "number", "flag"]
Origin = Literal["input", "field", "own"]

ANSWER: Final = "answer"
CALLS: Final = "tool_calls"
OWN: Final[Mapping[str, Kind]] = {
    "state": "text",
    "error": "text",
    "service": "text",
    "model": "text",
    "input_tokens": "whole",
    "output_tokens": "whole",
    "finish": "text",
    "seams": "whole",
    "attempts": "whole",
}
"""What is said of each row beside its answer."""
_KINDS: Final[Mapping[str, Kind]] = {
    "string": "text",
    "integer": "whole",
    "number": "number",
    "boolean": "flag",
}
_MOST: Final = 2**63


class UnfitError(Exception):
    """A value is not of the kind of its column; `column` is its place."""

    def __init__(self, column: int) -> None:
        super().__init__(column)
        self.column = column


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table of answers.

    Attributes:
        name: its name there.
        key: its name where its values are from.
        origin: the table of questions, the answer's fields, or what is said of the row.
        kind: what its values are.
        many: whether each value is a list of such.
    """

    name: str
    key: str
    origin: Origin
    kind: Kind = "text"
    many: bool = False

    def value(self, values: Mapping[str, Any], outcome: Outcome) -> Any:
        """Return the cell of a row, as it is."""
        if self.origin == "input":
            return values.get(self.key)
        if self.origin == "field":
            return outcome.fields.get(self.key)
        return outcome.said(self.key)


def columns_of(
    inputs: Mapping[str, Kind], schema: Mapping[str, Any] | None = None, *, calls: bool = False
) -> list[Column]:
    """Return the columns for rows with such cells.

    Names that are taken already get a number behind them, as `answer_2`.

    Args:
        inputs: the columns of the questions, and their kinds.
        schema: the JSON schema of the answers: each property is a column, in place of the answer.
        calls: whether there is a column for calls of tools.
    """
    out = [Column(name, name, "input", kind) for name, kind in inputs.items()]
    taken = set(inputs)

    def add(column: Column) -> None:
        name, number = column.name, 2
        while name in taken:
            name, number = f"{column.name}_{number}", number + 1
        taken.add(name)
        out.append(replace(column, name=name))

    fields, all_of_it = fields_of(schema)
    for column in fields:
        add(column)
    if not all_of_it:
        add(Column(ANSWER, ANSWER, "own"))
    if calls:
        add(Column(CALLS, CALLS, "own"))
    for name, kind in OWN.items():
        add(Column(name, name, "own", kind))
    return out


def fields_of(schema: Mapping[str, Any] | None) -> tuple[list[Column], bool]:
    """Return the columns of the properties of a schema, and whether they hold all of an answer."""
    properties = (schema or {}).get("properties")
    if not isinstance(properties, Mapping) or not properties or schema is None:
        return [], False
    columns = [_column(name, one) for name, one in properties.items()]
    return columns, not (schema.get("additionalProperties") or schema.get("patternProperties"))


def _column(name: str, schema: Any) -> Column:
    kinds = _types(schema)
    if kinds == {"array"} and isinstance(schema, Mapping):
        inner = _types(schema.get("items"))
        if len(inner) == 1 and (kind := _KINDS.get(next(iter(inner)))):
            return Column(name, name, "field", kind, many=True)
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    kind = _KINDS.get(next(iter(kinds))) if len(kinds) == 1 else None
    return Column(name, name, "field", kind or "text")


def _types(schema: Any) -> set[str]:
    """Return the types that a schema allows beside null, as far as it says so plainly."""
    if not isinstance(schema, Mapping):
        return set()
    said = schema.get("type")
    if isinstance(said, str):
        return {said} - {"null"}
    if isinstance(said, list):
        return {one for one in said if isinstance(one, str)} - {"null"}
    either = schema.get("anyOf")
    if isinstance(either, list) and len(either) <= 2:
        found = [_types(one) for one in either]
        if all(found[:1]) or {"type": "null"} in either:
            return set().union(*found)
    return set()


def kind_of(value: Any) -> Kind | None:
    """Return the kind of a cell, None for an empty one."""
    match value:
        case None:
            return None
        case bool():
            return "flag"
        case int() if -_MOST <= value < _MOST:
            return "whole"
        case float():
            return "number"
        case _:
            return "text"


def joined(one: Kind | None, other: Kind | None) -> Kind | None:
    """Return the kind of a column with cells of two kinds."""
    if one is None or other is None or one == other:
        return one or other
    return "number" if {one, other} == {"whole", "number"} else "text"


def fitted(value: Any, column: Column, place: int) -> Any:
    """Return a value as one of its column's kind. Raises `UnfitError` where it is none."""
    if value is None:
        return None
    if column.many:
        if not isinstance(value, list):
            raise UnfitError(place)
        return [fitted(one, replace(column, many=False), place) for one in value]
    match column.kind, value:
        case "text", _:
            return as_text(value)
        case "flag", bool():
            return value
        case (("whole" | "number"), bool()):
            raise UnfitError(place)
        case "whole", int() if -_MOST <= value < _MOST:
            return value
        case "whole", float() if value.is_integer() and abs(value) < _MOST:
            return int(value)
        case "number", int() | float():
            return float(value)
        case _:
            raise UnfitError(place)
