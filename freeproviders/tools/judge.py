"""Judgement of a model's call: to a bound tool and fitting its schema, or a complaint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.lenient import read_json
from freeproviders.tools.read.shapes import ARGUMENT_KEYS
from freeproviders.tools.schema.coerce import renamed, required_keys
from freeproviders.tools.schema.target import Misfit, Target
from freeproviders.tools.schema.validate import check_of
from freeproviders.tools.toolbox import Toolbox, parameters, properties
from freeproviders.types import Tool, ToolCall, new_call_id

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
_NOTHING: Final = ("", "null", "None", "none", "{}")


@dataclass(frozen=True, slots=True)
class Complaint:
    """The reason why a call cannot be made, in words for the model.

    `unbound` says that it names no bound tool at all. `call` is the call as the model meant it,
    where its arguments are a JSON object.
    """

    text: str
    unbound: bool = False
    call: ToolCall | None = None


class Judge:
    """Judges calls to the tools of a box."""

    def __init__(self, box: Toolbox) -> None:
        self.box = box

    def judge(self, raw: RawCall, *, call_id: str = "") -> ToolCall | Complaint:
        """Return the call, with the tool's own name and coerced arguments, or the complaint.

        `call_id` is kept if there is one.
        """
        if raw.fault:
            what = f"The call to {raw.name}" if raw.name else "Your tool call"
            return Complaint(f"{what} cannot be read: {raw.fault}. You wrote: {raw.source[:300]}")
        call_id = call_id or new_call_id()
        tool = self.box.match(raw.name)
        if tool is None:
            meant = _json_object(raw.arguments)
            return Complaint(
                f"There is no tool named {raw.name[:100]!r}. The tools are: {', '.join(self.box.names)}.",
                unbound=True,
                call=ToolCall(call_id, raw.name, meant) if raw.name and meant is not None else None,
            )
        given = _as_object(tool, raw.arguments)
        if given is None:
            return Complaint(
                f"The arguments of {tool.name} must be a JSON object, not {raw.arguments!r:.200}."
            )
        arguments, fault = self._bent(tool, given)
        fault = fault or _refused(tool, arguments)
        call = ToolCall(call_id, tool.name, arguments)
        if not fault:
            return call
        return Complaint(fault, call=call if _json_object(raw.arguments) is not None else None)

    def _bent(self, tool: Tool, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
        """Bend arguments towards the schema; return them, and what is still wrong with them."""
        check = check_of(tool.parameters)
        arguments = renamed(given, properties(tool))
        coerced, findings = check.judged(arguments)
        if not findings:
            return self._without_strange(tool, coerced)
        inner = _unwrapped(tool, arguments)
        if inner is not None:
            unwrapped, faults = check.judged(inner)
            if not faults:
                return self._without_strange(tool, unwrapped)
        return dict(coerced), f"The arguments of {tool.name} are invalid: {'; '.join(findings)}."

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


def _json_object(given: object) -> dict[str, Any] | None:
    """Read arguments that are a JSON object, or the text of one; none at all are an empty one."""
    if given is None or (isinstance(given, str) and given.strip() in _NOTHING):
        return {}
    if isinstance(given, str):
        try:
            given = read_json(given)
        except ValueError:
            return None
    return dict(given) if isinstance(given, Mapping) else None


def _as_object(tool: Tool, given: object) -> Mapping[str, Any] | None:
    """Read arguments that came as text, as a list of values, as the only value, or not at all."""
    if given is None or (isinstance(given, str) and given.strip() in _NOTHING):
        return {}
    if isinstance(given, str):
        try:
            parsed = read_json(given)
        except ValueError:
            parsed = None
        if isinstance(parsed, Mapping):
            given = parsed
    if isinstance(given, Mapping):
        inner = _unwrapped(tool, given)
        return given if inner is None else inner
    known = list(properties(tool))
    required = [key for key in known if key in required_keys(parameters(tool))]
    only = known if len(known) == 1 else required
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], Mapping):
        return given[0]
    return {only[0]: given} if len(only) == 1 else {} if given == [] else None


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
