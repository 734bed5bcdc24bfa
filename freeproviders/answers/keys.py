"""The key of a question: a hash of all that decides its answer."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

from freeproviders.errors import UsageError
from freeproviders.types import (
    AudioBlock,
    Block,
    ChatRequest,
    FileBlock,
    FromClass,
    ImageBlock,
    Message,
    TextBlock,
    Tool,
    ToolCall,
)

_VERSION: Final = 1
_WHOLE_BELOW: Final = 2.0**53
"""Up to here a float without a fraction is the same number as an integer."""
DECIDING: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "stop",
    "tool_choice",
    "parallel_tool_calls",
    "max_repairs",
    "allow_repeats",
    "on_invalid",
    "reasoning",
    "on_empty",
    "n",
    "prefill",
)
"""The plain fields of a request that decide its answer.

Beside them are those that have a form of their own here: `messages`, `tools`, `service_tools`,
`response_format`, `options`.
"""
_USUAL: Final = {name: ChatRequest.__dataclass_fields__[name].default for name in DECIDING}


def request_key(request: ChatRequest, asked: str, occurrence: int = 0) -> bytes:
    """Return the key of a question, a SHA-256; two questions have one key where all that decides is equal.

    What decides are the messages, the tools, the settings and the options, pictures and files by
    their bytes, and for a class that judges what comes also its name. How the answer is brought and
    how long one waits for it does not: `stream`, `stream_usage`, `stream_tool_arguments`,
    `include_response_headers`, `wait_up_to`. In a JSON schema the order of properties counts, since
    models write them in that order; elsewhere the order of names does not.

    Args:
        request: the question; its `model` is not looked at.
        asked: what it is asked for, with the model, as `Backend.asked_as` says it.
        occurrence: tells equal questions apart that are to have an answer each.

    Raises:
        UsageError: an option that cannot be written as JSON, so that the question has no key.
    """
    try:
        settings: dict[str, Any] = {}
        for name, usual in _USUAL.items():
            if (value := getattr(request, name)) != usual:
                settings[name] = _canonical(value)
        if request.tools:
            settings["tools"] = [_tool(tool) for tool in request.tools]
        if request.service_tools:
            settings["service_tools"] = [_canonical(tool) for tool in request.service_tools]
        if request.response_format is not None:
            settings["response_format"] = _schema(request.response_format)
        if request.options:
            settings["options"] = _canonical(request.options)
        facts = [_VERSION, asked, occurrence, [_message(one) for one in request.messages], settings]
        text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise UsageError(
            f"The question has no key, since it holds what JSON has no form for: {error}."
        ) from error
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _message(message: Message) -> list[Any]:
    content = message.content
    facts: list[Any] = [
        message.role,
        content if isinstance(content, str) else [_block(block) for block in content],
    ]
    beside: dict[str, Any] = {}
    if message.name is not None:
        beside["name"] = message.name
    if message.tool_calls:
        beside["calls"] = [_call(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        beside["answers"] = message.tool_call_id
    if message.is_error:
        beside["is_error"] = True
    if message.reasoning:
        beside["reasoning"] = message.reasoning
    if message.developer:
        beside["developer"] = True
    if beside:
        facts.append(beside)
    return facts


def _call(call: ToolCall) -> list[Any]:
    extra = None if call.extra is None else _canonical(call.extra.to_dict())
    return [call.id, call.name, _canonical(call.arguments), extra]


def _block(block: Block) -> list[Any]:
    match block:
        case TextBlock():
            return ["text", block.text]
        case ImageBlock():
            return ["image", _content(block.url), block.detail]
        case AudioBlock():
            return ["audio", _decoded(block.data), block.format]
        case FileBlock():
            data = None if block.data is None else _content(block.data)
            return ["file", data, block.filename, block.file_id]


def _content(url: str) -> str | list[str]:
    """Return the kind and the hash of what a `data:` address holds, any other address as it is."""
    if not url.startswith("data:"):
        return url
    head, _, body = url.partition(",")
    return [head, _decoded(body)] if head.endswith(";base64") else url


def _decoded(text: str) -> str:
    """Return the hash of what is written as base64, in whatever lines; that of the text if it is none."""
    try:
        data = b64decode(text)
    except ValueError:
        data = text.encode("utf-8", "surrogatepass")
    return sha256(data).hexdigest()


def _tool(tool: Tool) -> list[Any]:
    return [tool.name, tool.description, _schema(tool.parameters), tool.strict, _class_name(tool.source)]


def _schema(form: Mapping[str, Any]) -> list[Any]:
    return [_canonical(form, ordered=True), _class_name(form.source if isinstance(form, FromClass) else None)]


def _class_name(source: type | None) -> str | None:
    return None if source is None else f"{source.__module__}.{source.__qualname__}"


def _canonical(value: Any, *, ordered: bool = False) -> Any:
    """Return a value as data that JSON writes in one way only; `ordered` keeps the order of names."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _WHOLE_BELOW else value
    if isinstance(value, Mapping):
        items = [(str(name), _canonical(item, ordered=ordered)) for name, item in value.items()]
        return dict(items if ordered else sorted(items, key=_first))
    if isinstance(value, list | tuple):
        return [_canonical(item, ordered=ordered) for item in value]
    if isinstance(value, AbstractSet):
        return sorted([_canonical(item, ordered=ordered) for item in value], key=json.dumps)
    return _canonical(to_jsonable_python(value), ordered=ordered)


def _first(item: tuple[str, Any]) -> str:
    return item[0]
