"""Conversion of LangChain's messages to the core's.

Only what belongs to the conversation is sent: text, pictures, tool calls, results, and the thinking
between tool calls and what a service added to its calls, each to the services that want it back.
Other `additional_kwargs`, response metadata,
notifications and citations of earlier answers stay here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from freeproviders.errors import UnsupportedInputError, UsageError
from freeproviders.types import (
    CALL_EXTRAS,
    AudioBlock,
    Block,
    FileBlock,
    ImageBlock,
    Message,
    Role,
    TextBlock,
    ToolCall,
    saved_extra,
)
from freeproviders.types.messages import DEVELOPER
from freeproviders.wire.json import dumps, loads

_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    DEVELOPER: "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
OPENAI_ROLE: Final = "__openai_role__"
"""The key of `additional_kwargs` in which LangChain keeps that a system message is the developer's."""
_TEXTS: Final = frozenset({"text", "text-plain", "input_text", "output_text"})
_CALLS: Final = frozenset(
    {"tool_call", "tool_use", "tool_call_chunk", "invalid_tool_call", "function_call", "input_json_delta"}
)
_AUDIO_FORMATS: Final[Mapping[str, str]] = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
"""The protocol's names of formats that have another one in mime types."""
_DEFAULT_NAME: Final = "document.pdf"
_THOUGHTS: Final = frozenset({"reasoning", "reasoning_content", "thinking", "redacted_thinking"})
"""Blocks of thinking, which are no content: a graph may hand on one model's answer as words of the user."""
_NOT_SENT: Final = frozenset(
    {
        "citation",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "server_tool_use",
        "non_standard",
    }
)
"""Blocks of an earlier answer that no model wants back."""


def core_messages(messages: Iterable[BaseMessage]) -> tuple[Message, ...]:
    """Write a conversation in the core's form.

    Raises:
        UsageError: nothing to send, or a message of a kind that is no turn.
        UnsupportedInputError: content of a kind that no service takes.
    """
    out: list[Message] = []
    numbers = count()
    for message in messages:
        if type(message) is HumanMessage and isinstance(message.content, str):
            out.append(Message("user", message.content, message.name))
        else:
            out.extend(_turns(message, numbers))
    if not out:
        raise UsageError("messages is empty: pass at least one message.")
    return tuple(out)


def _turns(message: BaseMessage, numbers: Iterator[int]) -> list[Message]:
    """Turn a message into one or more: some providers put tool results into a human message.

    Calls without an id get `numbers`.
    """
    match message:
        case HumanMessage():
            results = _results(message.content)
            content = _content(message.content, "user")
            return [*results, Message("user", content, message.name)] if content or not results else results
        case AIMessage():
            return [
                Message(
                    "assistant",
                    _content(message.content, "assistant"),
                    message.name,
                    tool_calls=_calls(message, numbers),
                    reasoning=_reasoning(message),
                )
            ]
        case SystemMessage():
            named = message.additional_kwargs.get(OPENAI_ROLE) == DEVELOPER
            return [Message("system", _content(message.content, "system"), message.name, developer=named)]
        case ToolMessage():
            return [
                _result(
                    message.content,
                    message.tool_call_id,
                    name=message.name,
                    is_error=message.status == "error",
                )
            ]
        case FunctionMessage():
            return [Message("tool", _content(message.content, "tool"), message.name)]
        case ChatMessage():
            role = _ROLES.get(message.role)
            if role is None:
                raise UsageError(
                    f"A ChatMessage has the role {message.role!r}: use one of {', '.join(_ROLES)}."
                )
            named = message.role == DEVELOPER
            return [Message(role, _content(message.content, role), message.name, developer=named)]
        case _:
            raise UsageError(f"A {type(message).__name__} cannot be sent to a model.")


# --- content --------------------------------------------------------------------------------------


def _content(content: str | list[Any], role: Role) -> str | tuple[Block, ...]:
    if isinstance(content, str):
        return content
    blocks = [block for item in content if (block := _block(item, role)) is not None]
    if len(blocks) == 1 and isinstance(blocks[0], TextBlock):
        return blocks[0].text
    return tuple(blocks)


def _block(item: object, role: Role) -> Block | None:
    """One block of a message; None for what is not sent."""
    if isinstance(item, str):
        return TextBlock(item)
    if not isinstance(item, Mapping):
        raise UsageError(f"A content block must be text or a mapping, not {type(item).__name__}.")
    kind = item.get("type")
    text = item.get("text")
    if (kind in _TEXTS or kind is None) and isinstance(text, str):
        return TextBlock(text)
    if kind == "refusal":
        return TextBlock(str(item.get("refusal") or item.get("explanation") or ""))
    if kind == "json":
        return TextBlock(dumps(item.get("json")).decode())
    if kind in {"image_url", "image"}:
        if role == "system":
            raise UnsupportedInputError("A system message holds a picture: put it into a user message.")
        if (image := _image(item)) is None:
            raise UnsupportedInputError(
                "A picture must have a url or base64 data: files kept at a service cannot be sent."
            )
        return image
    if kind in {"audio", "input_audio", "file", "input_file"}:
        if role == "system":
            raise UnsupportedInputError(
                f"A system message holds a block of type {kind!r}: put it into a user one."
            )
        return _audio(item) if "audio" in kind else _file(item)
    if kind in _CALLS or kind in _THOUGHTS or kind == "tool_result":
        return None
    if role == "assistant" and kind in _NOT_SENT:
        return None
    raise UnsupportedInputError(
        f"A {role} message holds a content block of type {kind!r}: only text, pictures, audio and files can "
        "be sent."
    )


def _image(block: Mapping[str, Any]) -> ImageBlock | None:
    """Read a picture as OpenAI, LangChain (v1, v0) or Anthropic write it, or a bare address."""
    image = block.get("image_url")
    if isinstance(image, str):
        return ImageBlock(image)
    if isinstance(image, Mapping):
        return ImageBlock(str(image["url"]), image.get("detail")) if image.get("url") else None
    source = block.get("source")
    source = source if isinstance(source, Mapping) else block
    data = source.get("base64") or source.get("data")
    if isinstance(data, str):
        return ImageBlock(
            f"data:{source.get('mime_type') or source.get('media_type') or 'image/png'};base64,{data}"
        )
    url = source.get("url")
    return ImageBlock(url) if isinstance(url, str) else None


def _audio(block: Mapping[str, Any]) -> AudioBlock:
    """Read a recording as OpenAI or LangChain (v1, v0) write it."""
    inner = block.get("input_audio")
    if isinstance(inner, Mapping):
        data, form = inner.get("data"), inner.get("format")
    else:
        data, form = block.get("base64") or block.get("data"), _AUDIO_FORMATS.get(_kind_of(block))
        form = form or _kind_of(block)
    if not isinstance(data, str) or not isinstance(form, str) or not form:
        raise UnsupportedInputError(
            "An audio block must have base64 data and a mime_type: addresses and ids cannot be sent."
        )
    return AudioBlock(data, form)


def _kind_of(block: Mapping[str, Any]) -> str:
    """The second half of a block's mime type."""
    return str(block.get("mime_type") or "").partition(";")[0].rpartition("/")[2]


def _file(block: Mapping[str, Any]) -> FileBlock:
    """Read a document as OpenAI or LangChain (v1, v0) write it."""
    inner = block.get("file")
    inner = inner if isinstance(inner, Mapping) else block
    name = _name_of(inner)
    identity = inner.get("file_id") or (block.get("id") if block.get("source_type") == "id" else None)
    data = inner.get("file_data")
    if data is None and isinstance(plain := block.get("base64") or block.get("data"), str):
        data = f"data:{block.get('mime_type') or 'application/pdf'};base64,{plain}"
    if not isinstance(data or identity, str):
        raise UnsupportedInputError(
            "A file block must have base64 data or a file_id: addresses cannot be sent."
        )
    # A service refuses data without a name.
    return FileBlock(data, name or (None if data is None else _DEFAULT_NAME), identity)


def _name_of(block: Mapping[str, Any]) -> str | None:
    """Find a file's name, also where LangChain keeps what a block of its first version said."""
    for key in ("filename", "name", "title"):
        if isinstance(name := block.get(key), str) and name:
            return name
    inside = [block[key] for key in ("extras", "metadata") if isinstance(block.get(key), Mapping)]
    return next((name for more in inside if (name := _name_of(more))), None)


# --- tools ----------------------------------------------------------------------------------------


def _calls(message: AIMessage, numbers: Iterator[int]) -> tuple[ToolCall, ...]:
    """Read the calls that a model made; two of them may have one id.

    Calls that it made badly are among them, since the conversation may hold an answer to them.
    """
    calls: list[tuple[str, str, object]] = [
        (call["id"] or f"call_{next(numbers)}", call["name"], call["args"]) for call in message.tool_calls
    ]
    known = {identity for identity, _, _ in calls}
    calls += [
        (bad["id"], bad["name"], bad["args"] or "")
        for bad in message.invalid_tool_calls
        if bad["id"] and bad["name"] and bad["id"] not in known
    ]
    if isinstance(message.content, list):
        known = {identity for identity, _, _ in calls}
        calls += [
            (block["id"], block["name"], block.get("input", block.get("args")) or {})
            for block in message.content
            if isinstance(block, dict)
            and block.get("type") in {"tool_use", "tool_call"}
            and block.get("id")
            and block.get("name")
            and block["id"] not in known
        ]
    extras = message.additional_kwargs.get(CALL_EXTRAS)
    return tuple(
        [
            ToolCall(identity, name, _arguments(args), saved_extra(extras, identity))
            for identity, name, args in calls
        ]
    )


def _reasoning(message: AIMessage) -> str:
    """Read what the model thought, beside the text or in blocks of it."""
    apart = message.additional_kwargs.get("reasoning_content")
    if isinstance(apart, str) and apart:
        return apart
    if isinstance(message.content, str):
        return ""
    thoughts = [
        block.get("reasoning") or block.get("thinking")
        for block in message.content
        if isinstance(block, dict) and block.get("type") in {"reasoning", "thinking"}
    ]
    return "".join([thought for thought in thoughts if isinstance(thought, str)])


def _arguments(args: object) -> Mapping[str, Any]:
    if isinstance(args, str):
        try:
            args = loads(args)
        except ValueError:
            return {}
    return args if isinstance(args, Mapping) else {}


def _result(content: Any, call_id: str, *, name: str | None = None, is_error: bool = False) -> Message:
    return Message("tool", _content(content, "tool"), name, tool_call_id=call_id, is_error=is_error)


def _results(content: str | list[Any]) -> list[Message]:
    """Tool results as Anthropic writes them: blocks of a human message."""
    if isinstance(content, str):
        return []
    return [
        _result(block.get("content") or "", str(block["tool_use_id"]), is_error=bool(block.get("is_error")))
        for block in content
        if isinstance(block, dict) and block.get("type") == "tool_result" and block.get("tool_use_id")
    ]
