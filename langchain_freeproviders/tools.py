"""From what callers bind to what the core takes: tools, the choice among them, and the form of an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool

from freeproviders.errors import UsageError

_REQUIRED: Final = frozenset({"any", "required"})
_PLAIN: Final = frozenset({"auto", "none"})


def openai_tools(tools: Sequence[Any], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Tools as JSON schemas: a `BaseTool`, a function, a pydantic class, a TypedDict or a mapping each.

    Raises `UsageError` for what is none of these, and for tools that only their own service could run.
    """
    out = []
    for tool in tools:
        try:
            schema = convert_to_openai_tool(tool, strict=strict)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise UsageError(f"{tool!r:.200} cannot be bound as a tool: {error}") from error
        if "function" not in schema:
            raise UsageError(
                f"a tool of type {schema.get('type')!r} runs at another service: bind a function instead."
            )
        out.append(schema)
    return out


def choose(
    tools: list[dict[str, Any]], choice: Any
) -> tuple[list[dict[str, Any]], str | tuple[str, ...] | None]:
    """The tools on offer and the choice among them; OpenAI's "allowed_tools" may offer fewer without requiring one."""
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools", choice)
        if allowed.get("mode", "auto") == "auto":
            names = [_bound(_name(tool), tools) for tool in allowed["tools"]]
            return [tool for tool in tools if tool["function"]["name"] in names], "auto"
    return tools, core_choice(choice, tools)


def core_choice(choice: Any, tools: Sequence[Mapping[str, Any]] | None) -> str | tuple[str, ...] | None:
    """The choice among tools, in any of LangChain's, OpenAI's and Anthropic's notations.

    Raises `UsageError` where it names a tool that is not bound.
    """
    if choice is None or choice is False or choice == "":
        return None
    if choice is True or (isinstance(choice, str) and choice in _REQUIRED):
        return "required" if tools else None
    if isinstance(choice, str):
        return choice if choice in _PLAIN else _bound(choice, tools)
    if isinstance(choice, Mapping):
        kind = choice.get("type")
        if kind == "allowed_tools":
            allowed = choice.get("allowed_tools", choice)
            return tuple([_bound(_name(tool), tools) for tool in allowed["tools"]])
        if kind in _REQUIRED or kind in _PLAIN:
            return core_choice(kind, tools)
        return _bound(_name(choice), tools)
    if isinstance(choice, Sequence):
        return tuple([_bound(name, tools) for name in choice])
    raise UsageError(
        f"tool_choice must be 'auto', 'none', 'any', a tool's name or names, not {choice!r:.200}."
    )


def core_format(form: Any) -> Mapping[str, Any]:
    """The form of an answer, as the OpenAI protocol writes it; a class or a bare JSON schema is taken as well."""
    if isinstance(form, Mapping) and form.get("type") in {"text", "json_object", "json_schema"}:
        return form
    return json_schema_format(form)


def json_schema_format(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """`response_format` for a pydantic class, a TypedDict, a dataclass, a function's or a JSON schema. Raises `UsageError` for anything else."""
    if isinstance(schema, Mapping) and "properties" in schema and "name" not in schema:
        schema = {"title": "answer", **schema}
    try:
        document = convert_to_json_schema(schema, strict=strict)
    except (ValueError, TypeError, NotImplementedError, KeyError) as error:
        raise UsageError(f"{schema!r:.200} is no schema: {error}") from error
    wrapped = {"name": document["title"], "schema": document}
    return {
        "type": "json_schema",
        "json_schema": wrapped if strict is None else {**wrapped, "strict": strict},
    }


def _name(choice: Mapping[str, Any]) -> str:
    function = choice.get("function", choice)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise UsageError(f"tool_choice {choice!r:.200} names no tool.")
    return name


def _bound(name: str, tools: Sequence[Mapping[str, Any]] | None) -> str:
    names = [tool["function"]["name"] for tool in tools or ()]
    if name not in names:
        raise UsageError(f"tool_choice names {name!r}, but the tools are {', '.join(names) or 'none'}.")
    return name
