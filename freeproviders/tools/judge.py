"""Judgement of a model's call: to a bound tool and fitting its schema, or a complaint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.tools.grounds import Grounds
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.lenient import read_whole
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
_NOTHING: Final = ("", "null", "None", "none")


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
            meant = {} if _is_nothing(raw.arguments) else _json_object(raw.arguments)
            return _complaint(fault, call_id, raw.name, raw, meant, unbound=True)
        given = _as_object(tool, raw)
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
        return _complaint(fault, call_id, tool.name, raw, arguments)

    def is_ahead(self, call: ToolCall) -> bool:
        """Return whether a call of a model that makes things up tells what is not in the conversation."""
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
        if not properties(tool) or _is_open(tool):
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
    """Read arguments that are a JSON object, or the text of one."""
    if isinstance(given, str):
        try:
            given = read_whole(given)
        except ValueError:
            return None
    return dict(given) if isinstance(given, Mapping) else None


def _is_nothing(given: object) -> bool:
    """Return whether arguments were left out in the place where they stand."""
    return given is None or given == [] or (isinstance(given, str) and given.strip() in _NOTHING)


def _as_object(tool: Tool, raw: RawCall) -> Mapping[str, Any] | None:
    """Read arguments that came as an object, as its text or, of a tool without parameters, not at all.

    The dialects that write a bare text for the only parameter say so.
    """
    if _is_nothing(raw.arguments):
        return {} if not properties(tool) and not _is_open(tool) else None
    given = _json_object(raw.arguments)
    if given is not None:
        inner = _unwrapped(tool, given)
        if inner is None and _is_unreadable(tool, given):
            return None
        return given if inner is None else inner
    text = raw.arguments
    if not raw.plain or not isinstance(text, str) or text.lstrip().startswith("{"):
        return None  # an object that cannot be read is not the value of the only parameter
    known = list(properties(tool))
    only = known if len(known) == 1 else [key for key in known if key in required_keys(parameters(tool))]
    return {only[0]: text} if len(only) == 1 else None


def _is_open(tool: Tool) -> bool:
    """Return whether a tool may have more parameters than its schema names at once."""
    return any(parameters(tool).get(key, False) is not False for key in _OPEN)


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


def _wrapped(tool: Tool, given: Mapping[str, Any]) -> Any:
    """What stands under the only key of arguments, where that is no parameter; else None."""
    if len(given) != 1:
        return None
    ((key, inner),) = given.items()
    return inner if key not in properties(tool) and (key in _WRAPPERS or key == tool.name) else None


def _is_unreadable(tool: Tool, given: Mapping[str, Any]) -> bool:
    """Return whether the arguments stand one level too deep, as the text of an object that is none."""
    inner = _wrapped(tool, given)
    return isinstance(inner, str) and inner.lstrip().startswith("{") and _json_object(inner) is None


def _unwrapped(tool: Tool, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Arguments that stand one level too deep: `{"arguments": {...}}`, `{"get_weather": {...}}`."""
    inner = _json_object(_wrapped(tool, given))
    return inner if inner is not None and (properties(tool) or not inner) else None
