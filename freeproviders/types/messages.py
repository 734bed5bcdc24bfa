"""The messages of a conversation, as callers write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, Final, Literal, get_args

from freeproviders.errors import UnsupportedInputError, UsageError
from freeproviders.records import record
from freeproviders.types.calls import ToolCall, calls_of

Role = Literal["system", "user", "assistant", "tool"]

ROLES: Final[tuple[str, ...]] = get_args(Role)
_ROLES: Final = f"use one of {', '.join(ROLES)}."
DEVELOPER: Final = "developer"
"""OpenAI's newer name of the role of the system."""
_ROLE_ALIASES: Final[Mapping[str, Role]] = {DEVELOPER: "system", "function": "tool"}


@record
class TextBlock:
    """A piece of text inside a message whose content is a list."""

    text: str


@record
class ImageBlock:
    """A picture, by URL; `data:image/png;base64,...` holds the bytes themselves."""

    url: str
    detail: str | None = None


@record
class AudioBlock:
    """A recording, as base64; `format` is its kind: "wav", "mp3" ..."""

    data: str = field(repr=False)
    format: str


@record
class FileBlock:
    """A document: its bytes as `data:application/pdf;base64,...`, or the service's id of it."""

    data: str | None = field(default=None, repr=False)
    filename: str | None = None
    file_id: str | None = None


Block = TextBlock | ImageBlock | AudioBlock | FileBlock


@record
class Message:
    """One turn of a conversation.

    `content` is text or a tuple of blocks. `tool_calls` are the tool calls that the assistant made
    in this turn; they are answered by `tool` messages whose `tool_call_id` names the call.
    `is_error` marks a result that reports a failure. `reasoning` is what the assistant thought before
    it; only services that want it back in a run of tool calls are sent it. `developer` says that a
    `system` message came with OpenAI's newer name of that role: OpenAI's own API is told so, any
    other service gets it as `system`, which all of them know.
    """

    role: Role
    content: str | tuple[Block, ...] = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False
    reasoning: str = ""
    developer: bool = False

    @property
    def text(self) -> str:
        """The message's text; blocks are joined by a line break, pictures left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(block.text for block in self.content if isinstance(block, TextBlock))

    @property
    def images(self) -> tuple[ImageBlock, ...]:
        """The message's pictures, in order."""
        if isinstance(self.content, str):
            return ()
        return tuple(block for block in self.content if isinstance(block, ImageBlock))

    @property
    def media(self) -> tuple[Block, ...]:
        """The pictures, recordings and documents of the message, in order."""
        if isinstance(self.content, str):
            return ()
        return tuple([block for block in self.content if not isinstance(block, TextBlock)])

    @classmethod
    def of(cls, value: Message | Mapping[str, Any]) -> Message:
        """Read a message as the OpenAI protocol writes it: a mapping with `role` and `content`.

        Raises `UsageError` on anything that is not one, and `UnsupportedInputError` on content that
        the protocol does not have.
        """
        if isinstance(value, Message):
            return value
        if not isinstance(value, Mapping):
            raise UsageError(
                f"A message must be a mapping with 'role' and 'content', not {type(value).__name__}."
            )
        given = role = value.get("role")
        if role is None:
            raise UsageError("A message has no 'role': " + _ROLES)
        role = _ROLE_ALIASES.get(role, role) if isinstance(role, str) else role
        if role not in ROLES:
            raise UsageError(f"Unknown message role {role!r}: {_ROLES}")
        content = value.get("content")
        if content is None and role != "assistant" and "content" not in value:
            raise UsageError(f"A message of the role {role!r} has no 'content'.")
        return cls(
            role=role,
            content=_content(content),
            name=value.get("name"),
            tool_calls=calls_of(value.get("tool_calls")),
            tool_call_id=value.get("tool_call_id"),
            is_error=bool(value.get("is_error")),
            reasoning=_reasoning(value) if role == "assistant" else "",
            developer=given == DEVELOPER,
        )


Messages = list[Mapping[str, Any]]
"""A conversation: a list of `{"role": ..., "content": ...}` mappings, or of `Message` objects."""


def as_messages(messages: str | Iterable[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
    """Read what a caller passed as the conversation; a bare string is one user message.

    Raises `UsageError` when there is nothing to send.
    """
    if isinstance(messages, str):
        return (Message("user", messages),)
    if not isinstance(messages, Iterable) or isinstance(messages, Mapping):
        raise UsageError(
            "messages must be text or a list of mappings with 'role' and 'content', not "
            f"{type(messages).__name__}."
        )
    out = tuple([Message.of(message) for message in messages])
    if not out:
        raise UsageError("messages is empty: pass at least one message.")
    return out


def _content(content: object) -> str | tuple[Block, ...]:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        return tuple([_block(block) for block in content])
    raise UsageError(f"Message content must be a string or a list of blocks, not {type(content).__name__}.")


def _block(block: object) -> Block:
    if isinstance(block, Block):
        return block
    if isinstance(block, str):
        return TextBlock(block)
    kind = block.get("type") if isinstance(block, Mapping) else type(block).__name__
    if isinstance(block, Mapping):
        if kind in ("text", "input_text") and isinstance(block.get("text"), str):
            return TextBlock(block["text"])
        if kind == "image_url":
            image = block.get("image_url")
            url, detail = (
                (image.get("url"), image.get("detail")) if isinstance(image, Mapping) else (image, None)
            )
            if isinstance(url, str):
                return ImageBlock(url, detail)
        if kind == "input_audio" and isinstance(audio := block.get("input_audio"), Mapping):
            data, form = audio.get("data"), audio.get("format")
            if isinstance(data, str) and isinstance(form, str):
                return AudioBlock(data, form)
        if kind == "file" and isinstance(file := block.get("file"), Mapping):
            data, name, identity = file.get("file_data"), file.get("filename"), file.get("file_id")
            if isinstance(data or identity, str):
                return FileBlock(data, name, identity)
    raise UnsupportedInputError(
        f"Content block of type {kind!r} is not supported: use text, image_url, input_audio or file blocks."
    )


def _reasoning(message: Mapping[str, Any]) -> str:
    """Read the thinking of an assistant's message, by either of its names in the protocol."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return reasoning if isinstance(reasoning, str) else ""
