"""Conversion of the core's requests to what LangChain's chat models of any package take."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call

from freeproviders.types import AudioBlock, Block, ChatRequest, FileBlock, ImageBlock, Message, TextBlock
from freeproviders.types.messages import DEVELOPER
from langchain_freeproviders.messages import OPENAI_ROLE

CONTENT: Final = "content"
BESIDE: Final = "additional_kwargs"
"""What is kept of another package's answer with tool calls, so that it can go back as it came."""

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "model": ("model_name", "model", "model_id", "deployment_name"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "max_tokens": (
        "max_tokens",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens_to_sample",
        "max_new_tokens",
        "num_predict",
    ),
    "stop": ("stop", "stop_sequences"),
    "include_response_headers": ("include_response_headers",),
}
"""The core's settings, each with the names that packages have for its field."""
_ADDRESSES: Final = ("base_url", "api_base", "endpoint_url", "endpoint", "azure_endpoint")


@cache
def _fields(cls: type[BaseChatModel]) -> Mapping[str, str]:
    """Return the fields of a class by their names and by their aliases."""
    names = {name: name for name in cls.model_fields}
    return {
        **{field.alias: name for name, field in cls.model_fields.items() if field.alias},
        **names,
    }


def field_of(model: BaseChatModel, setting: str) -> str | None:
    """Return the field in which a class keeps a setting or an option; None where it has none."""
    fields = _fields(type(model))
    return next((fields[name] for name in _NAMES.get(setting, (setting,)) if name in fields), None)


def address_of(model: BaseChatModel) -> str:
    """Return where a model's requests go, as far as a field tells; "" where none does."""
    fields = _fields(type(model))
    values = [getattr(model, fields[name], None) for name in _ADDRESSES if name in fields]
    return next((value for value in values if isinstance(value, str) and value), "")


def with_settings(model: BaseChatModel, request: ChatRequest) -> tuple[BaseChatModel, list[str]]:
    """Return the model with the settings of a request, and the names of those it has no place for.

    They go into the fields of a copy: what a call may say differs from package to package, and so
    does what its client makes of it.
    """
    wanted: dict[str, Any] = {**request.options}
    for name in ("temperature", "top_p", "max_tokens"):
        if (value := getattr(request, name)) is not None:
            wanted[name] = value
    if request.include_response_headers:
        wanted["include_response_headers"] = True
    changes: dict[str, Any] = {}
    left_out = []
    for name, value in wanted.items():
        if (field := field_of(model, name)) is None:
            left_out.append(name)
        else:
            changes[field] = value
    if request.stop and (field := field_of(model, "stop")) is not None:
        changes[field] = list(request.stop)  # beside a field that is set, some refuse the argument
    if not changes:
        return model, left_out
    changed = model.model_copy(update=changes)
    changed.__dict__.pop("_serialized", None)  # which caches and traces know a model by
    return changed, left_out


def tool_keywords(model: BaseChatModel, request: ChatRequest) -> dict[str, Any]:
    """Return the keywords of `bind_tools`, beside the tools, for a request."""
    takes = inspect.signature(model.bind_tools).parameters
    keywords: dict[str, Any] = {}
    choice = request.tool_choice
    if choice is not None and choice not in {"auto", "none"} and "tool_choice" in takes:
        keywords["tool_choice"] = choice if isinstance(choice, str) and choice != "required" else "any"
    if request.parallel_tool_calls is not None and "parallel_tool_calls" in takes:
        keywords["parallel_tool_calls"] = request.parallel_tool_calls
    return keywords


# --- messages -------------------------------------------------------------------------------------


def langchain_messages(messages: Iterable[Message], origin: str) -> list[BaseMessage]:
    """Write a conversation as LangChain's messages.

    What another package's model added to its calls goes back with them to the same one, `origin`.
    """
    return [_message(message, origin) for message in messages]


def _message(message: Message, origin: str) -> BaseMessage:
    content = _content(message)
    match message.role:
        case "system":
            beside = {OPENAI_ROLE: DEVELOPER} if message.developer else {}
            return SystemMessage(content, name=message.name, additional_kwargs=beside)
        case "user":
            return HumanMessage(content, name=message.name)
        case "tool":
            return ToolMessage(
                content,
                tool_call_id=message.tool_call_id or "",
                name=message.name,
                status="error" if message.is_error else "success",
            )
        case "assistant":
            kept = _kept(message, origin)
            return AIMessage(
                content=kept.get(CONTENT, content),
                name=message.name,
                tool_calls=[
                    tool_call(name=call.name, args=dict(call.arguments), id=call.id)
                    for call in message.tool_calls
                ],
                additional_kwargs=kept.get(BESIDE, {}),
            )


def _kept(message: Message, origin: str) -> Mapping[str, Any]:
    """Return what was kept of the answer that is this message, if it is this model's."""
    extras = [call.extra for call in message.tool_calls if call.extra is not None]
    return next((extra.beside for extra in extras if extra.origin == origin and extra.beside), {})


def _content(message: Message) -> str | list[str | dict[str, Any]]:
    if isinstance(message.content, str):
        return message.content
    return [_block(block) for block in message.content]


def _block(block: Block) -> dict[str, Any]:
    match block:
        case TextBlock():
            return {"type": "text", "text": block.text}
        case ImageBlock():
            detail = {} if block.detail is None else {"detail": block.detail}
            return {"type": "image_url", "image_url": {"url": block.url, **detail}}
        case AudioBlock():
            return {"type": "audio", "base64": block.data, "mime_type": f"audio/{block.format}"}
        case FileBlock():
            return _file(block)


def _file(block: FileBlock) -> dict[str, Any]:
    if block.data is None:
        return {"type": "file", "file_id": block.file_id}
    head, _, data = block.data.partition(",")
    mime = head.removeprefix("data:").partition(";")[0] or "application/pdf"
    named = {} if block.filename is None else {"filename": block.filename}
    return {"type": "file", "base64": data, "mime_type": mime, **named}
