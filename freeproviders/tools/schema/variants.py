"""JSON schemas, made small for a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from freeproviders.tools.schema.coerce import required_keys, resolve
from freeproviders.tools.schema.modern import modern

MAX_NODES: Final = 2000
"""References are written out; a schema that grows past this is cut."""
MAX_RECURSION: Final = 1
"""How often a definition is written out inside itself."""
_KEPT: Final = (
    "type",
    "description",
    "enum",
    "const",
    "format",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
)
_UNIONS: Final = ("anyOf", "oneOf", "allOf")


def pruned(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce a schema to what a model needs: types, descriptions, limits, references written out.

    Titles, defaults and other keywords go.
    """
    schema = modern(schema)
    return _Pruner(schema).prune(schema)


class _Pruner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def prune(self, schema: Any, open_refs: tuple[str, ...] = ()) -> dict[str, Any]:
        self._nodes += 1
        if not isinstance(schema, Mapping) or self._nodes > MAX_NODES:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            target = resolve(reference, self._root)
            if open_refs.count(reference) > MAX_RECURSION:
                return {key: target[key] for key in ("type",) if key in target}
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            return self.prune({**target, **beside}, (*open_refs, reference))
        out = {key: schema[key] for key in _KEPT if key in schema}
        if out.get("description") == "":
            del out["description"]
        for key in _UNIONS:
            if isinstance(schema.get(key), list):
                self._union(out, key, [self.prune(part, open_refs) for part in schema[key]])
        if isinstance(schema.get("properties"), Mapping):
            out["properties"] = {
                name: self.prune(part, open_refs) for name, part in schema["properties"].items()
            }
            if required_keys(schema):
                out["required"] = list(required_keys(schema))
        if isinstance(schema.get("patternProperties"), Mapping):
            out["patternProperties"] = {
                pattern: self.prune(part, open_refs) for pattern, part in schema["patternProperties"].items()
            }
        if "items" in schema:
            out["items"] = self.prune(schema["items"], open_refs)
        if isinstance(schema.get("prefixItems"), list):
            out["prefixItems"] = [self.prune(part, open_refs) for part in schema["prefixItems"]]
        if isinstance(schema.get("additionalProperties"), Mapping):
            out["additionalProperties"] = self.prune(schema["additionalProperties"], open_refs)
        return out

    def _union(self, out: dict[str, Any], key: str, parts: list[dict[str, Any]]) -> None:
        """Write a union of one, or of null and one other, in the shorter form."""
        others = [part for part in parts if part != {"type": "null"}]
        if len(others) == 1 and (len(parts) == 1 or isinstance(others[0].get("type"), str)):
            only = dict(others[0])
            if len(parts) > 1:
                only["type"] = [only["type"], "null"]
                if "enum" in only:
                    only["enum"] = [*only["enum"], None]
            for name, value in only.items():
                out.setdefault(name, value)
        else:
            out[key] = parts
