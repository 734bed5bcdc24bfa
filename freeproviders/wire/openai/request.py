"""The body of a chat completions request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from freeproviders.types import AudioBlock, Block, ChatRequest, FileBlock, ImageBlock, Message
from freeproviders.types.messages import DEVELOPER
from freeproviders.wire.openai.style import PLAIN, Style
from freeproviders.wire.openai.styled import (
    Say,
    style_extras,
    style_fields,
    style_messages,
    style_prefill,
    style_tools,
)

REASONING: Final = "reasoning_content"
"""The field in which most services want thinking sent back."""

_SETTINGS: Final = ("temperature", "top_p", "max_tokens", "parallel_tool_calls", "response_format")
_CHOICES: Final = frozenset({"auto", "none", "required"})


def request_body(
    request: ChatRequest,
    style: Style = PLAIN,
    *,
    usage_frames: bool = True,
    reasoning: bool = False,
    max_tokens: str = "",
    extras_of: str = "",
    developer: bool = False,
    say: Say = lambda *_: None,
) -> dict[str, Any]:
    """Write a request with everything that the protocol has, in the style of a service.

    Args:
        request: the request.
        style: what the service wants to be written in another way.
        usage_frames: whether to ask for the tokens of a streamed answer, which some services refuse
            to be asked for.
        reasoning: whether the thinking of the present run of tool calls is sent back.
        max_tokens: what the service calls the limit of an answer; "" leaves it to the style.
        extras_of: the service whose additions to tool calls are sent with them, "" for none.
        developer: whether the service knows the role that OpenAI calls so.
        say: told what is left out or changed, for a warning.
    """
    messages = full_messages(request.messages)
    if developer:
        for message, out in zip(request.messages, messages, strict=True):
            out["role"] = DEVELOPER if message.developer else out["role"]
    if reasoning:
        _add_reasoning(request.messages, messages, style.reasoning or REASONING)
    if extras_of:
        style_extras(request.messages, messages, extras_of, style.tool_extra_default)
    if request.prefill:
        messages.append({"role": "assistant", "content": request.prefill})
    if style is not PLAIN:
        messages = style_messages(messages, style, say)
    body: dict[str, Any] = {"messages": messages, "stream": request.stream}
    if request.model:
        body["model"] = request.model  # local servers have one, and want none named
    if request.stream and request.stream_usage and usage_frames:
        body["stream_options"] = {"include_usage": True}
    for key in _SETTINGS:
        value = getattr(request, key)
        if value is not None:
            body[key] = value
    max_tokens = max_tokens or style.max_tokens
    if max_tokens != "max_tokens" and "max_tokens" in body:
        body[max_tokens] = body.pop("max_tokens")
    if request.stop and style.stops:
        body["stop"] = request.stop[: style.stops]  # the answer is cut here at any further one
    if request.n != 1:
        body["n"] = request.n
    if request.tools or request.service_tools:
        choice = request.tool_choice
        # The protocol has no place for several names: only the tools that may be called are sent.
        among = choice if isinstance(choice, tuple) else None
        own = [tool.to_openai() for tool in request.tools if among is None or tool.name in among]
        if style.leave_out_of_schemas:
            style_tools(own, style.leave_out_of_schemas)
        body["tools"] = [*own, *request.service_tools]
        if choice is not None:
            body["tool_choice"] = _tool_choice(choice)
    body.update(request.options)
    if request.prefill:
        style_prefill(body, style)
    if style is not PLAIN:
        style_fields(body, style, say)
    return body


def full_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Write a conversation with names, pictures, tool calls and their results."""
    return [_full_message(message) for message in messages]


def _add_reasoning(messages: Sequence[Message], written: list[dict[str, Any]], field: str) -> None:
    """Add its thinking to each call that the assistant made since the user last spoke."""
    for message, out in zip(reversed(messages), reversed(written), strict=True):
        if message.role == "user":
            break
        if message.tool_calls and message.reasoning:
            out[field] = message.reasoning


def plain_messages(messages: Iterable[Message]) -> list[dict[str, str]]:
    """Write a conversation as role and text, for services that know nothing else."""
    return [
        {"role": "user" if message.role == "tool" else message.role, "content": message.text}
        for message in messages
    ]


def _full_message(message: Message) -> dict[str, Any]:
    content = message.content
    out: dict[str, Any] = {
        "role": message.role,
        "content": content if isinstance(content, str) else _content(message),
    }
    if message.name:
        out["name"] = message.name
    if message.tool_call_id is not None:
        out["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        out["tool_calls"] = [call.to_openai() for call in message.tool_calls]
        out["content"] = out["content"] or None
    return out


def _content(message: Message) -> str | list[dict[str, Any]]:
    if not message.media:
        return message.text  # a list of texts is refused by more services than a text is
    return [_written(block) for block in message.content if not isinstance(block, str)]


def _written(block: Block) -> dict[str, Any]:
    match block:
        case ImageBlock():
            image = {"url": block.url} | ({"detail": block.detail} if block.detail else {})
            return {"type": "image_url", "image_url": image}
        case AudioBlock():
            return {"type": "input_audio", "input_audio": {"data": block.data, "format": block.format}}
        case FileBlock():
            file = {"file_data": block.data, "filename": block.filename, "file_id": block.file_id}
            return {"type": "file", "file": {key: value for key, value in file.items() if value is not None}}
        case _:
            return {"type": "text", "text": block.text}


def _tool_choice(choice: str | tuple[str, ...]) -> str | Mapping[str, Any]:
    if isinstance(choice, tuple):
        return "required"
    return choice if choice in _CHOICES else {"type": "function", "function": {"name": choice}}
