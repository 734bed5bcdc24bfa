"""The core's messages and tools as LlamaIndex has them."""

from __future__ import annotations

import copy
from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.tools.types import BaseTool, ToolMetadata, ToolOutput
from pydantic import BaseModel

from freeproviders import types as core
from freeproviders.errors import UnsupportedInputError

_ROLES: Final[Mapping[core.Role, MessageRole]] = {
    "system": MessageRole.SYSTEM,
    "user": MessageRole.USER,
    "assistant": MessageRole.ASSISTANT,
    "tool": MessageRole.TOOL,
}


def chat_messages(messages: Sequence[core.Message]) -> list[ChatMessage]:
    """Write a conversation as LlamaIndex has it.

    Raises `UnsupportedInputError` on a document that is only a service's id of it.
    """
    return [_message(message) for message in messages]


def _message(message: core.Message) -> ChatMessage:
    blocks: list[ContentBlock] = []
    if not isinstance(message.content, str):
        blocks += [_block(block) for block in message.content]
    elif message.content or not message.tool_calls:
        blocks.append(TextBlock(text=message.content))
    blocks += [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=dict(call.arguments))
        for call in message.tool_calls
    ]
    beside: dict[str, Any] = {}
    if message.role == "tool":
        beside["tool_call_id"] = message.tool_call_id
    elif message.name:
        beside["name"] = message.name
    return ChatMessage(role=_ROLES[message.role], blocks=blocks, additional_kwargs=beside)


def _block(block: core.Block) -> ContentBlock:
    match block:
        case core.TextBlock():
            return TextBlock(text=block.text)
        case core.ImageBlock():
            kind, data = _data(block.url)
            if data is None:
                return ImageBlock(url=block.url, detail=block.detail)
            return ImageBlock(image=data, image_mimetype=kind, detail=block.detail)
        case core.AudioBlock():
            return AudioBlock(audio=block.data.encode(), format=block.format)
        case core.FileBlock():
            kind, data = _data(block.data or "")
            if data is None:
                raise UnsupportedInputError(
                    "A document that is only a service's id of it cannot be sent here: pass its data."
                )
            return DocumentBlock(data=data, title=block.filename, document_mimetype=kind)


def _data(url: str) -> tuple[str | None, bytes | None]:
    """The kind and the base64 bytes of a `data:` address; None and None for another one."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:"):
        return None, None
    kind, *about = head.removeprefix("data:").split(";")
    return kind or None, data.encode() if "base64" in about else b64decode(data)


class WrittenTool(BaseTool):
    """A tool of the core, as far as an LLM needs it to offer it: it is not called here."""

    def __init__(self, tool: core.Tool) -> None:
        self._metadata = _Metadata(tool)

    @property
    def metadata(self) -> ToolMetadata:
        """Name, description and parameters."""
        return self._metadata

    def __call__(self, input: Any) -> ToolOutput:  # noqa: A002 - LlamaIndex's name
        """Raise, since tools are the caller's to run."""
        raise NotImplementedError("This tool is only offered to a model, and run by the caller.")


class _Metadata(ToolMetadata):
    """The facts of a tool whose parameters are a JSON schema."""

    def __init__(self, tool: core.Tool) -> None:
        super().__init__(description=tool.description, name=tool.name)
        if isinstance(tool.source, type) and issubclass(tool.source, BaseModel):
            self.fn_schema = tool.source
        self._parameters = tool.parameters

    def get_parameters_dict(self) -> dict[str, Any]:
        """The schema, as a copy: LLMs write into it."""
        return copy.deepcopy(dict(self._parameters))
