"""LlamaIndex messages as core messages: every role and every block, as text where need be."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import IOBase
from mimetypes import guess_extension
from pathlib import Path
from typing import Any, Final

from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from freeproviders import types as core
from freeproviders.errors import UnsupportedInputError, UsageError
from freeproviders.wire.json import loads

_ROLES: Final[Mapping[MessageRole, core.Role]] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}
_PDF: Final = b"%PDF-"
_NO_TITLE: Final = "input_document"
"""What LlamaIndex calls a document without a title."""
_NOT_IN_A_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")


def sanitized(name: str) -> str:
    """A tool's name as models and services know it: `Box[int]` is `Box_int_`."""
    return _NOT_IN_A_NAME.sub("_", name)


def to_core_messages(
    messages: Sequence[ChatMessage], names: Mapping[str, str] | None = None
) -> tuple[core.Message, ...]:
    """Write a conversation as the core has it.

    `names` maps the tool names that the model is given to the tools' own, where they differ. Tool
    calls without an id get one, and a tool's result without one answers the oldest call that is
    still open. Raises `UnsupportedInputError` on video and on what is only an address, `UsageError` on
    what is no conversation.
    """
    if isinstance(messages, str | ChatMessage) or not isinstance(messages, Iterable):
        raise UsageError("messages must be a list of ChatMessage; use complete() for a prompt.")
    for message in messages:
        if not isinstance(message, ChatMessage):
            raise UsageError(
                f"messages must be a list of ChatMessage, and there is a {type(message).__name__} in it: use "
                "ChatMessage(role=..., content=...)."
            )
    ids = _CallIds({name: wire for wire, name in (names or {}).items()})
    return tuple([_message(message, ids) for message in messages])


class _CallIds:
    """Pairs tool calls with their results, under the names that the model knows.

    Not every application fills the ids in.
    """

    def __init__(self, wire_names: Mapping[str, str]) -> None:
        self._wire_names = wire_names
        self._names: dict[str, str] = {}
        self._open: list[str] = []

    def called(
        self, identity: str | None, name: str, arguments: object, extras: object = None
    ) -> core.ToolCall:
        """A call, with what `extras` has of it; one without an id gets one."""
        extra = core.saved_extra(extras, identity)
        identity = identity or f"call_{len(self._names)}"
        name = self._names[identity] = self._wire_names.get(name) or sanitized(name)
        self._open.append(identity)
        return core.ToolCall(identity, name, arguments_of(arguments), extra)

    def answered(self, identity: str | None) -> tuple[str | None, str | None]:
        """A result; returns the id and the name of the call."""
        if identity is None and self._open:
            identity = self._open[0]
        if identity in self._open:
            self._open.remove(identity)
        return identity, self._names.get(identity) if identity else None


def _message(message: ChatMessage, ids: _CallIds) -> core.Message:
    role, named = _ROLES[MessageRole(message.role)], message.role == MessageRole.DEVELOPER
    blocks = message.blocks
    if role == "tool":
        identity = message.additional_kwargs.get("tool_call_id")
        identity, name = ids.answered(str(identity) if identity else None)
        return core.Message(
            "tool",
            _content(blocks),
            name=name or message.additional_kwargs.get("name"),
            tool_call_id=identity,
            is_error=bool(message.additional_kwargs.get("is_error")),
        )
    if len(blocks) == 1 and type(blocks[0]) is TextBlock and not message.additional_kwargs:
        return core.Message(role, blocks[0].text, developer=named)
    calls = _tool_calls(message, ids) if role == "assistant" else ()
    thoughts = [block.content or "" for block in blocks if isinstance(block, ThinkingBlock)]
    return core.Message(
        role,
        _content(blocks),
        name=message.additional_kwargs.get("name"),
        tool_calls=calls,
        reasoning="".join(thoughts) if role == "assistant" else "",
        developer=named,
    )


def _tool_calls(message: ChatMessage, ids: _CallIds) -> tuple[core.ToolCall, ...]:
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    found = [(block.tool_call_id, block.tool_name, block.tool_kwargs) for block in blocks]
    if not found:
        found = [
            call
            for raw in message.additional_kwargs.get("tool_calls") or ()
            if (call := legacy_call(raw)) is not None
        ]
    extras = message.additional_kwargs.get(core.CALL_EXTRAS)
    return tuple([ids.called(*call, extras) for call in found])


def legacy_call(raw: object) -> tuple[str | None, str, Any] | None:
    """A call as messages of other models remember it: OpenAI's object or mapping."""
    get: Callable[[object, str], Any] = lambda value, key: (  # noqa: E731
        value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    )
    function = get(raw, "function") or raw
    name = get(function, "name")
    return (get(raw, "id"), name, get(function, "arguments")) if isinstance(name, str) else None


def arguments_of(arguments: object) -> dict[str, Any]:
    """Read a call's arguments as an object; what cannot be read is kept under `input`."""
    if isinstance(arguments, str):
        text = arguments
        try:
            arguments = loads(text) if text.strip() else {}
        except ValueError:
            return {"input": text.removeprefix(core.NO_OBJECT)}
    if isinstance(arguments, Mapping):
        return dict(arguments)
    return {} if arguments is None else {"input": arguments}


# --- blocks ---------------------------------------------------------------------------------------


def _content(blocks: Sequence[ContentBlock]) -> str | tuple[core.Block, ...]:
    out = [written for block in blocks if (written := _block(block)) is not None]
    if any(not isinstance(block, core.TextBlock) for block in out):
        return tuple(out)
    return "\n".join([block.text for block in out if isinstance(block, core.TextBlock)])


def _block(block: object) -> core.Block | None:
    match block:
        case TextBlock():
            return core.TextBlock(block.text)
        case ImageBlock():
            return core.ImageBlock(_image_url(block), block.detail)
        case AudioBlock():
            return _audio(block)
        case DocumentBlock():
            return _document(block)
        case CitableBlock():
            content = _content(block.content)
            text = (
                content
                if isinstance(content, str)
                else "\n".join([part.text for part in content if isinstance(part, core.TextBlock)])
            )
            return core.TextBlock(f"{block.title} ({block.source}):\n{text}")
        case CitationBlock():
            cited = block.cited_content
            text = f'"{cited.text}" ' if isinstance(cited, TextBlock) else ""
            return core.TextBlock(f"{text}[{block.title}, {block.source}]")
        case ThinkingBlock() | ToolCallBlock() | CachePoint():
            # Thoughts and calls travel beside the content, and cache points are another service's.
            return None
        case _:
            kind = getattr(block, "block_type", type(block).__name__)
            raise UnsupportedInputError(
                f"Content of type {kind!r} cannot be sent: use text, or pictures, audio and documents where "
                "the model takes them."
            )


def _image_url(block: ImageBlock) -> str:
    if block.url is not None:
        url = str(block.url)
        if url.startswith("file:"):
            raise UnsupportedInputError("No service can fetch a file: url: use ImageBlock(path=...).")
        return url  # the service fetches it, not we
    if isinstance(block.image, IOBase):
        block.image.seek(0)
        block = ImageBlock(
            image=block.image.read(), image_mimetype=block.image_mimetype
        )  # makes base64 of it and looks what it is
    elif block.path is not None:
        block = ImageBlock(image=Path(block.path).read_bytes(), image_mimetype=block.image_mimetype)
    if not block.image:
        raise UnsupportedInputError("An ImageBlock holds neither bytes nor a path nor a url.")
    data = block.image if isinstance(block.image, bytes) else b""
    return f"data:{block.image_mimetype or 'image/png'};base64,{data.decode()}"


def _audio(block: AudioBlock) -> core.AudioBlock:
    """A recording, whose format must be known; nothing is fetched from the network for it."""
    if block.audio is None and block.path is None:
        raise UnsupportedInputError("An AudioBlock holds no bytes and no path: no service fetches its url.")
    if isinstance(block.audio, IOBase):
        block.audio.seek(0)
        block = AudioBlock(audio=block.audio.read(), format=block.format)  # makes base64 of it
    elif block.path is not None:
        block = AudioBlock(audio=Path(block.path).read_bytes(), format=block.format)
    if not block.format:
        raise UnsupportedInputError("The format of an AudioBlock is not known: pass format='wav' or 'mp3'.")
    data = block.audio if isinstance(block.audio, bytes) else b""
    return core.AudioBlock(data.decode(), block.format)


def _document(block: DocumentBlock) -> core.Block:
    """A document: as text where it is text, else as a file; nothing is fetched from the network."""
    named = block.title not in {None, _NO_TITLE}
    if block.data is None and block.path is None:
        raise UnsupportedInputError(
            f"Document {block.title!r} is only an address: load it with a reader and pass its text."
        )
    read = block.resolve_document().read()
    data = read if isinstance(read, bytes) else str(read).encode()
    if not data.startswith(_PDF):
        try:
            text = data.decode()
        except UnicodeDecodeError:
            pass
        else:
            return core.TextBlock(f"{block.title}:\n{text}" if named else text)
    kind = "application/pdf" if data.startswith(_PDF) else block.document_mimetype
    name = block.title if named else Path(block.path).name if block.path else None
    return core.FileBlock(
        f"data:{kind or 'application/octet-stream'};base64,{b64encode(data).decode()}",
        name or f"{_NO_TITLE}{guess_extension(kind or '') or ''}",
    )


def holds_files(messages: Sequence[ChatMessage]) -> bool:
    """Return whether a file must be read to send a conversation."""
    return any(
        getattr(block, "path", None) is not None
        for message in messages
        for block in getattr(message, "blocks", ())
    )
