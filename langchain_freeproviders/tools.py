"""Tools, the choice among them and the form of an answer: from what is bound to the core's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from freeproviders.checks import runs_at_the_service
from freeproviders.errors import UsageError
from freeproviders.tools.choice import offered, read_choice
from freeproviders.types import FromClass


def on_one_line(error: Exception) -> str:
    """Write what LangChain says about a tool or a schema as the end of a sentence of ours."""
    return " ".join(str(error).split()).rstrip(".") + "."


class DraftedForm(FromClass):
    """The form of an answer whose object is shown as it grows, where the answer is streamed."""


Method = Literal["json_schema", "function_calling", "json_mode"]
"""The ways to ask for an object, as LangChain names them."""


def openai_tools(tools: Sequence[Any], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Write tools as JSON schemas.

    Each is a `BaseTool`, a function, a pydantic class, a TypedDict or a mapping. Raises
    `UsageError` for what is none of these. Tools that run at the service are left out, see
    `service_tools`.
    """
    if isinstance(tools, BaseTool | str | Mapping) or not isinstance(tools, Iterable):
        raise UsageError(f"Tools are passed as a list, as [get_weather], not {tools!r:.200}.")
    out = []
    for tool in tools:
        if runs_at_the_service(tool):
            continue
        if tool.__class__ is dict and tool.get("type") == "function":
            out.append(tool)  # converted already, where it was bound
            continue
        try:
            schema = convert_to_openai_tool(tool, strict=strict)
        except (ValueError, TypeError, NotImplementedError) as error:
            raise UsageError(f"{tool!r:.200} cannot be bound as a tool: {on_one_line(error)}") from error
        out.append(FromClass(schema, tool.source) if isinstance(tool, FromClass) else schema)
    return out


def service_tools(tools: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the tools that run at the service, as `{"type": "web_search"}`: they go there as they are."""
    return [dict(tool) for tool in tools if runs_at_the_service(tool)]


def choose(
    tools: list[dict[str, Any]], choice: object
) -> tuple[list[dict[str, Any]], str | tuple[str, ...] | None]:
    """Return the tools that stay on offer, and the choice among them in the core's form.

    Raises `UsageError` where the choice names a tool that is not bound.
    """
    if choice is None:
        return tools, None
    names = [tool["function"]["name"] for tool in tools]
    stay, read = offered(choice, names), read_choice(choice, names)
    if read == "required" and not names:
        read = None  # there is nothing to require
    return [tool for tool in tools if tool["function"]["name"] in stay], read


def core_format(form: Any) -> Mapping[str, Any]:
    """Write the form of an answer in OpenAI's form; a class or a bare JSON schema is taken too."""
    if isinstance(form, Mapping) and form.get("type") in {"text", "json_object", "json_schema"}:
        return form
    written = json_schema_format(form)
    return FromClass(written, form) if isinstance(form, type) and is_basemodel_subclass(form) else written


def json_schema_format(schema: Any, *, strict: bool | None = None) -> dict[str, Any]:
    """Make the `response_format` for a schema.

    It is a pydantic class, a TypedDict, a dataclass, a function's or a JSON schema. Raises
    `UsageError` for anything else.
    """
    if isinstance(schema, Mapping) and "properties" in schema and "name" not in schema:
        schema = {"title": "answer", **schema}
    try:
        document = convert_to_json_schema(schema, strict=strict)
    except (ValueError, TypeError, NotImplementedError, KeyError) as error:
        raise UsageError(f"{schema!r:.200} is no schema: {on_one_line(error)}") from error
    wrapped = {"name": document["title"], "schema": document}
    return {
        "type": "json_schema",
        "json_schema": wrapped if strict is None else {**wrapped, "strict": strict},
    }
