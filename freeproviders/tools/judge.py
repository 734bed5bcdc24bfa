"""Judgement of a model's call: to a bound tool and fitting its schema, or a complaint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.tools.grounds import Grounds
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.lenient import read_json
from freeproviders.tools.read.shapes import ARGUMENT_KEYS
from freeproviders.tools.schema.coerce import renamed, required_keys
from freeproviders.tools.schema.sent import object_schema
from freeproviders.tools.schema.sketch import sketch
from freeproviders.tools.schema.target import Misfit, Target
from freeproviders.tools.schema.validate import check_of
from freeproviders.tools.schema.variants import pruned
from freeproviders.tools.toolbox import Toolbox, parameters, properties
from freeproviders.types import InvalidToolCall, Tool, ToolCall, new_call_id
from freeproviders.wire.json import dumps

_WRAPPERS: Final = frozenset({*ARGUMENT_KEYS, "properties"})
_OPEN: Final = (
    "additionalProperties",
    "patternProperties",
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "dependentSchemas",
)
"""A schema with one of these may have more properties than it names at once."""
_MOST_NAMED: Final = 8
"""Of a longer list it is not said that each value is a call of its own."""
_MAX_SHAPE: Final = 1000
_STRING: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
"""A string, also one that never ends; it matches at every quote, so that time is linear."""
_NOTHING: Final = ("", "null", "None", "none", "{}")


@dataclass(frozen=True, slots=True)
class Complaint:
    """The reason why a call cannot be made, in words for the model.

    `unbound` says that it names no bound tool at all. `call` is the call as the model meant it,
    where its arguments are a JSON object; else `invalid` is what there is of it.
    """

    text: str
    unbound: bool = False
    call: ToolCall | None = None
    invalid: InvalidToolCall | None = None


class Judge:
    """Judges calls to the tools of a box."""

    def __init__(self, box: Toolbox) -> None:
        self.box = box
        self.grounds: Grounds | None = None
        """What tells that something in a call was made up, where the model is known to do so."""

    def judge(self, raw: RawCall, *, call_id: str = "") -> ToolCall | Complaint:
        """Return the call, with the tool's own name and coerced arguments, or the complaint.

        `call_id` is kept if there is one.
        """
        call_id = call_id or new_call_id()
        if raw.fault:
            what = f"The call to {raw.name}" if raw.name else "Your tool call"
            fault = f"{what} cannot be read: {raw.fault}. You wrote: {raw.source[:300]}"
            return Complaint(fault, invalid=InvalidToolCall(call_id, raw.name, raw.source, fault))
        tool = self.box.match(raw.name)
        if tool is None:
            fault = f"There is no tool named {raw.name[:100]!r}. The tools are: {', '.join(self.box.names)}."
            return _complaint(fault, call_id, raw.name, raw, _json_object(raw.arguments), unbound=True)
        given = _as_object(tool, raw.arguments)
        if given is None:
            fault = f"The arguments of {tool.name} must be a JSON object, not {raw.arguments!r:.200}."
            return _complaint(f"{fault} {_shape(tool)}", call_id, tool.name, raw, None)
        arguments, fault = self._bent(tool, given)
        if self.grounds is not None:
            said = self.grounds.said(parameters(tool), arguments)
            if fault and len(said) < len(arguments):  # what is wrong may be what was made up
                said, fault = self._bent(tool, said)
            arguments = said
        fault = fault or _refused(tool, arguments)
        if not fault and self.grounds is not None:
            fault = self.grounds.fault(tool.name, arguments)
        if not fault:
            return ToolCall(call_id, tool.name, arguments, raw.extra)
        meant = arguments if _json_object(raw.arguments) is not None else None
        return _complaint(fault, call_id, tool.name, raw, meant)

    def is_ahead(self, call: ToolCall) -> bool:
        """Return whether a call tells what nobody has said, where the model is known to make things up."""
        tool = self.box.match(call.name)
        return (
            self.grounds is not None
            and tool is not None
            and self.grounds.is_ahead(parameters(tool), call.arguments)
        )

    def _bent(self, tool: Tool, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Bend arguments towards the schema; return them, and what is still wrong with them."""
        check = check_of(tool.parameters)
        arguments = renamed(given, properties(tool))
        coerced, findings = check.judged(arguments)
        if not findings:
            return self._without_strange(tool, coerced)
        for meant in (_unwrapped(tool, arguments), _renamed_type(tool, arguments)):
            if meant is not None:
                bent, faults = check.judged(meant)
                if not faults:
                    return self._without_strange(tool, bent)
        fault = f"The arguments of {tool.name} are invalid: {'; '.join(findings)}."
        return dict(coerced), " ".join(filter(None, (fault, _shape(tool), _one_for_each(tool, coerced))))

    def _without_strange(self, tool: Tool, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Leave out arguments that the tool does not have, which a function would refuse.

        Where they are another tool's, two calls were meant, and that is what is wrong.
        """
        if not properties(tool) or any(parameters(tool).get(key, False) is not False for key in _OPEN):
            return dict(arguments), ""
        strange = arguments.keys() - properties(tool)
        for other in self.box.tools:
            needed = required_keys(parameters(other))
            if strange and other is not tool and needed and strange.issuperset(needed):
                return dict(arguments), (
                    f"{tool.name} has no {', '.join(sorted(strange))}: that belongs to {other.name}. "
                    "Call both functions, each with its own arguments."
                )
        return {key: value for key, value in arguments.items() if key not in strange}, ""


def _refused(tool: Tool, arguments: Mapping[str, Any]) -> str:
    """Return what the validators of the tool's class say against arguments that fit its schema."""
    if tool.source is None:
        return ""
    try:
        Target.of(tool.source).load(arguments)
    except Misfit as misfit:
        return f"The arguments of {tool.name} are invalid: {misfit}."
    return ""


def _complaint(
    fault: str,
    call_id: str,
    name: str,
    raw: RawCall,
    arguments: dict[str, Any] | None,
    *,
    unbound: bool = False,
) -> Complaint:
    """Make the complaint about a call, which can be handed on where it has a name and arguments."""
    if name and arguments is not None:
        return Complaint(fault, unbound, call=ToolCall(call_id, name, arguments, raw.extra))
    given = raw.arguments
    text = raw.source or (given if isinstance(given, str) else dumps(given).decode())
    return Complaint(fault, unbound, invalid=InvalidToolCall(call_id, name, text, fault))


def _shape(tool: Tool) -> str:
    """Say what a tool's arguments look like, but for a schema that it would take a page to repeat."""
    shape = sketch(pruned(object_schema(tool)))
    return f"They have the form {shape}." if len(shape) <= _MAX_SHAPE else ""


def _one_for_each(tool: Tool, arguments: Mapping[str, Any]) -> str:
    """Say that several calls are meant, where a list stands for one of its values."""
    known = properties(tool)
    for name, value in arguments.items():
        part = known.get(name)
        if not isinstance(value, list) or not 1 < len(value) <= _MOST_NAMED or not isinstance(part, Mapping):
            continue
        check = check_of({**_definitions(tool), **part})
        if not check.fits(value) and all(check.fits(item) for item in value):
            each = ", ".join(item if isinstance(item, str) else dumps(item).decode() for item in value)
            return f"{name} takes one value: make one call of {tool.name} for each of {each}."
    return ""


def _definitions(tool: Tool) -> dict[str, Any]:
    """The parts of a tool's schema to which a property may refer."""
    schema = tool.parameters
    return {key: schema[key] for key in ("$defs", "definitions") if key in schema}


def _json_object(given: object) -> dict[str, Any] | None:
    """Read arguments that are a JSON object, or the text of one; none at all are an empty one."""
    if given is None or (isinstance(given, str) and given.strip() in _NOTHING):
        return {}
    if isinstance(given, str):
        try:
            given = read_json(given, guess=_is_closed(given))
        except ValueError:
            return None
    return dict(given) if isinstance(given, Mapping) else None


def _is_closed(text: str) -> bool:
    """Return whether a text looks like one whole object: what is missing is never made up."""
    depth = 0
    bare = _STRING.sub("", text).strip()
    for at, char in enumerate(bare):
        depth += (char == "{") - (char == "}")
        if depth <= 0:
            return at == len(bare) - 1 and char == "}"
    return False


def _as_object(tool: Tool, given: object) -> Mapping[str, Any] | None:
    """Read arguments that came as text, as a list of values, as the only value, or not at all."""
    if given is None or (isinstance(given, str) and given.strip() in _NOTHING):
        return {}
    if isinstance(given, str):
        parsed = _json_object(given)
        if parsed is None and given.lstrip().startswith("{"):
            return None  # an object that nobody can read, and not the value of the only argument
        given = given if parsed is None else parsed
    if isinstance(given, Mapping):
        inner = _unwrapped(tool, given)
        return given if inner is None else inner
    known = list(properties(tool))
    required = [key for key in known if key in required_keys(parameters(tool))]
    only = known if len(known) == 1 else required
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], Mapping):
        return given[0]
    return {only[0]: given} if len(only) == 1 else {} if given == [] else None


def _renamed_type(tool: Tool, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Arguments in which a type stands for the only name that is missing: `{"string": "Oslo"}`."""
    missing = [key for key in required_keys(parameters(tool)) if key not in given]
    strange = [key for key in given if key not in properties(tool)]
    if len(missing) != 1 or len(strange) != 1:
        return None
    part = properties(tool).get(missing[0])
    if not isinstance(part, Mapping) or part.get("type") != strange[0]:
        return None
    return {missing[0] if key == strange[0] else key: value for key, value in given.items()}


def _unwrapped(tool: Tool, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Arguments that stand one level too deep: `{"arguments": {...}}`, `{"get_weather": {...}}`."""
    if len(given) != 1:
        return None
    ((key, inner),) = given.items()
    if key in properties(tool) or (key not in _WRAPPERS and key != tool.name):
        return None
    if isinstance(inner, str):
        try:
            inner = read_json(inner)
        except ValueError:
            return None
    return inner if isinstance(inner, Mapping) and (properties(tool) or not inner) else None
