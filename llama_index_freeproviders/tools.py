"""LlamaIndex tools for the core, and the model's calls for LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection

from freeproviders.errors import ToolCallError, UsageError
from freeproviders.types import new_call_id
from llama_index_freeproviders.messages import arguments_of, sanitized

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

_CHOICES: Final = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


def chat_arguments(
    tools: Sequence[BaseTool],
    *,
    user_msg: str | ChatMessage | None = None,
    chat_history: Sequence[ChatMessage] | None = None,
    allow_parallel_tool_calls: bool = False,
    tool_required: bool = False,
    tool_choice: str | Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """The keyword arguments for `chat` and its siblings: messages, tools in the OpenAI form, and how they may be used."""
    messages = list(chat_history or ())
    if user_msg is not None:
        messages.append(
            ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
        )
    arguments: dict[str, Any] = {"messages": messages, **kwargs}
    if not tools:
        if tool_required:
            raise UsageError("tool_required is True, but there are no tools.")
        return arguments
    written, names = _written(tools)
    choice = read_choice(tool_choice, names)
    arguments["tools"] = written
    arguments["tool_choice"] = "required" if tool_required and choice in {None, "auto", "none"} else choice
    arguments["parallel_tool_calls"] = allow_parallel_tool_calls
    renamed = {wire: name for wire, name in names.items() if wire != name}
    if renamed:
        arguments["tool_names"] = renamed
    return arguments


def _written(tools: Sequence[BaseTool]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The tools as the model sees them, and their own names by those that it sees."""
    written: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for tool in tools:
        document = tool.metadata.to_openai_tool(skip_length_check=True)
        name = wire = document["function"]["name"]
        copy = 2
        while wire in names:  # `a b` and `a.b` are both `a_b`
            wire = f"{name}_{copy}"
            copy += 1
        document["function"]["name"] = wire
        document["function"]["description"] = document["function"]["description"] or ""
        written.append(document)
        names[wire] = tool.metadata.get_name()
    return written, names


def read_choice(choice: str | Mapping[str, Any] | None, names: Mapping[str, str]) -> str | None:
    """A `tool_choice` in any of the forms in use: "any", a tool's own name, OpenAI's mapping. Raises `UsageError` on a tool that is not there."""
    if isinstance(choice, Mapping):
        function = choice.get("function")
        choice = (
            function.get("name") if isinstance(function, Mapping) else choice.get("name", choice.get("type"))
        )
    if choice is None:
        return None
    for wire, name in names.items():
        if choice in {name, wire}:
            return wire
    if isinstance(choice, str) and choice in _CHOICES:
        return _CHOICES[choice]
    if isinstance(choice, str) and sanitized(choice) in names:
        return sanitized(choice)
    raise UsageError(
        f"tool_choice {choice!r} is none of the tools: use one of {', '.join(names.values())}, or auto, none or required."
    )


def selections(response: ChatResponse, *, error_on_no_tool_call: bool = True) -> list[ToolSelection]:
    """The calls in a response. Cheap, as agents ask for each chunk of a stream; raises `ToolCallError`, a `ValueError`, only if there are none and that is an error."""
    calls = [
        ToolSelection(
            tool_id=block.tool_call_id or new_call_id(),
            tool_name=block.tool_name,
            tool_kwargs=arguments_of(block.tool_kwargs),
        )
        for block in response.message.blocks
        if type(block) is ToolCallBlock
    ]
    if not calls and error_on_no_tool_call:
        raise ToolCallError(
            "Expected at least one tool call, but got 0 tool calls.", said=response.message.content or ""
        )
    return calls
