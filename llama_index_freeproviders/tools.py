"""LlamaIndex tools for the core, and the model's calls for LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import ToolMetadata

from freeproviders.errors import ToolCallError, UsageError
from freeproviders.tools.choice import offered, read_choice
from freeproviders.types import new_call_id
from freeproviders.wire.json import loads
from llama_index_freeproviders.messages import arguments_of

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool
    from pydantic import BaseModel

    from freeproviders.tools.choice import Choice


_MAKE_A_TOOL: Final = "Make a tool of a function by FunctionTool.from_defaults(function), and pass [tool]."
UNREADABLE: Final = " (whose arguments must be a JSON object)"
"""Behind the name of a selection that runs nothing; the agent says: Tool ... not found."""


def chat_arguments(
    tools: Sequence[BaseTool],
    *,
    user_msg: str | ChatMessage | None = None,
    chat_history: Sequence[ChatMessage] | None = None,
    allow_parallel_tool_calls: bool = False,
    tool_required: bool = False,
    tool_choice: object = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Write the keyword arguments for `chat` and its siblings: messages, tools and the choice.

    Raises `UsageError` for what is no tool, and for a `tool_choice` that names none of the tools.
    """
    if not isinstance(tools, Sequence) or isinstance(tools, str):
        raise UsageError(f"tools must be a list of tools, not {tools!r:.200}. {_MAKE_A_TOOL}")
    messages = list(chat_history or ())
    if user_msg is not None:
        messages.append(
            ChatMessage(role=MessageRole.USER, content=user_msg) if isinstance(user_msg, str) else user_msg
        )
    arguments: dict[str, Any] = {"messages": messages, **kwargs}
    if not tools:
        return arguments
    written, names = _written(tools)
    choice, among = _chosen(tool_choice, names)
    arguments["tools"] = [tool for tool in written if tool["function"]["name"] in among]
    arguments["tool_choice"] = "required" if tool_required and choice in {None, "auto"} else choice
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
        metadata = getattr(tool, "metadata", None)
        if metadata is None:
            raise UsageError(f"tools holds {tool!r:.200}, which is no tool. {_MAKE_A_TOOL}")
        document = _document(metadata)
        name = wire = document["function"]["name"]
        copy = 2
        while wire in names:  # `a b` and `a.b` are both `a_b`
            wire = f"{name}_{copy}"
            copy += 1
        document["function"]["name"] = wire
        document["function"]["description"] = document["function"]["description"] or ""
        written.append(document)
        names[wire] = metadata.get_name()
    return written, names


def _document(metadata: ToolMetadata) -> dict[str, Any]:
    """Write a tool in OpenAI's form; metadata of a class of its own are asked each time."""
    if type(metadata) is not ToolMetadata:
        return metadata.to_openai_tool(skip_length_check=True)
    document = _kept_document(metadata.name, metadata.description, metadata.fn_schema)
    return {**document, "function": {**document["function"]}}


@lru_cache(maxsize=256)
def _kept_document(name: str | None, description: str, schema: type[BaseModel] | None) -> dict[str, Any]:
    # For the schema of a small class pydantic takes longer than we do for the rest of a call.
    metadata = ToolMetadata(description=description, name=name, fn_schema=schema)
    return metadata.to_openai_tool(skip_length_check=True)


def _chosen(choice: object, names: Mapping[str, str]) -> tuple[Choice, frozenset[str]]:
    """Read a choice, by the model's names or the tools' own; also the tools on offer."""
    wires = {wire: wire for wire in names} | {name: wire for wire, name in names.items()}
    among = frozenset([wires[name] for name in offered(choice, wires)])
    found = read_choice(choice, wires)
    if isinstance(found, tuple):
        return tuple([wires[name] for name in found]), among
    return (wires.get(found, found) if found is not None else None), among


def selections(response: ChatResponse, *, error_on_no_tool_call: bool = True) -> list[ToolSelection]:
    """Return the calls in a response. Cheap, as agents ask for each chunk of a stream.

    A call whose arguments are no JSON object gets a name that no tool has, so that an agent answers
    it without running anything: LlamaIndex would run the tool with no arguments. Raises
    `ToolCallError`, a `ValueError`, only if there are none and that is an error.
    """
    calls = [
        _selection(block.tool_call_id or new_call_id(), block.tool_name, block.tool_kwargs)
        for block in response.message.blocks
        if type(block) is ToolCallBlock
    ]
    if not calls and error_on_no_tool_call:
        raise ToolCallError(
            "Expected at least one tool call, but got 0 tool calls.", said=response.message.content or ""
        )
    return calls


def _selection(identity: str, name: str, arguments: object) -> ToolSelection:
    if isinstance(arguments, str):
        try:
            arguments = loads(arguments) if arguments.strip() else {}
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            return ToolSelection(tool_id=identity, tool_name=f"{name}{UNREADABLE}", tool_kwargs={})
    return ToolSelection(tool_id=identity, tool_name=name, tool_kwargs=arguments_of(arguments))
