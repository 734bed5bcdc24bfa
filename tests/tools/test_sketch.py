"""A schema's shape, as a model is shown it."""

import pytest
from pydantic import BaseModel

from freeproviders.tools.schema.sketch import sketch
from freeproviders.tools.schema.variants import pruned


class Node(BaseModel):
    name: str
    children: list["Node"] = []


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"type": "string"}, "string"),
        ({"type": "string", "format": "date"}, '"YYYY-MM-DD"'),
        ({"type": ["integer", "null"]}, "integer | null"),
        ({"enum": ["a", 1, None]}, '"a" | 1 | null'),
        ({"const": "cat"}, '"cat"'),
        ({"anyOf": [{"type": "string"}, {"type": "string"}, {"type": "null"}]}, "string | null"),
        ({"type": "array", "items": {"type": "number"}}, "[number, ...]"),
        ({"type": "array"}, "[any, ...]"),
        (
            {"type": "object", "properties": {"a b": {"type": "integer"}, "c": {}}, "required": ["a b"]},
            '{"a b": integer, "c"?: any}',
        ),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, '{"<name>": integer, ...}'),
        ({"type": "object"}, "{}"),
        ({}, "any"),
        (True, "any"),
    ],
)
def test_shapes(schema, shape):
    """Each kind of schema has its shape."""
    assert sketch(schema) == shape


def test_recursion_ends():
    """A recursive schema has a shape of bounded size."""
    shape = sketch(pruned(Node.model_json_schema()))
    assert shape.startswith('{"name": string, "children"?: [')
    assert len(shape) < 2000
    deep = {"type": "string"}
    for _ in range(50):
        deep = {"type": "array", "items": deep}
    assert "..." in sketch(deep)
    assert len(sketch(deep)) < 200
