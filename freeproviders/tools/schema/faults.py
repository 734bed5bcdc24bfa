"""Faults of a caller's schema that would make any value valid, found before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from freeproviders.errors import UsageError
from freeproviders.tools.schema.modern import LISTS, MAPS, PARTS, TYPES

_ANY: Final = TYPES | {"any"}
_MAX_DEPTH: Final = 64


def check_schema(schema: Mapping[str, Any], what: str) -> None:
    """Raise `UsageError` where a schema has a fault; `what` begins the message.

    Only the faults that a validator would pass over count: an unknown type of the whole schema, a
    reference to nothing, a keyword of the wrong form. Older drafts pass as they are.
    """
    kind = schema.get("type")
    if isinstance(kind, str) and kind.lower() not in _ANY:
        raise UsageError(f"{what} has the unknown type {kind!r}: use one of {', '.join(sorted(TYPES))}.")
    for fault in _faults(schema, schema, "", 0):
        raise UsageError(f"{what} is broken: {fault}.")


def _faults(schema: object, root: Mapping[str, Any], place: str, depth: int) -> Iterator[str]:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return
    if depth and "$id" in schema:
        return  # its references are its own
    where = f" at {place}" if place else ""
    required = schema.get("required")
    if required is not None and not isinstance(required, list | tuple | bool):
        yield f"required must be a list of names, not {required!r:.80}{where}"
    reference = schema.get("$ref")
    if isinstance(reference, str) and not _leads_somewhere(reference, root):
        yield f"$ref {reference!r:.200} names no part of the schema{where}"
    for key, part in schema.items():
        inner = f"{place}/{key}"
        if key in MAPS and part is not None:
            if not isinstance(part, Mapping):
                yield f"{key} must be a mapping, not {part!r:.80}{where}"
                continue
            for name, one in part.items():
                yield from _faults(one, root, f"{inner}/{name}", depth + 1)
        elif key in LISTS and part is not None:
            if not isinstance(part, list | tuple):
                yield f"{key} must be a list, not {part!r:.80}{where}"
                continue
            for number, one in enumerate(part):
                yield from _faults(one, root, f"{inner}/{number}", depth + 1)
        elif key in PARTS:
            yield from _faults(part, root, inner, depth + 1)


def _leads_somewhere(reference: str, root: Mapping[str, Any]) -> bool:
    """Return whether a reference has a target; one by a name, which may be an anchor, counts."""
    if not reference.startswith("#/"):
        return reference.startswith("#") or "$id" in str(root)
    target: Any = root
    for step in unquote(reference[2:]).split("/"):
        step = step.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 - the same step, as it is meant
        if isinstance(target, Mapping) and step in target:
            target = target[step]
        elif isinstance(target, list | tuple) and step.isdecimal() and int(step) < len(target):
            target = target[int(step)]
        else:
            return False
    return True
