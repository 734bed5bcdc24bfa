"""Reading what a client of the chat completions protocol asks, for servers of it.

The writer of such requests is `request`. What OpenAI refuses is refused here too, where the reason
is the protocol; what a service can take is for the backend to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.errors import UsageError
from freeproviders.types import NO_OBJECT
from freeproviders.wire.json import loads

MAX_STOPS: Final = 16
MAX_TOOLS: Final = 512
MAX_MESSAGES: Final = 10_000

SETTINGS: Final = (
    "temperature", "top_p", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format",
)  # fmt: skip
"""Fields that every backend has a place for, by the same name."""
PASSED_ON: Final = frozenset(
    {
        "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs",
        "reasoning_effort", "top_k", "min_p", "repetition_penalty", "chat_template_kwargs",
    }
)  # fmt: skip
"""Fields that go to the service as they are, where it has a place for them."""
_READ: Final = frozenset(
    {"model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", *SETTINGS}
)
_REFUSED: Final[Mapping[str, str]] = {
    "functions": "functions is not served: send the functions as tools.",
    "function_call": "function_call is not served: send tool_choice.",
    "audio": "audio answers are not served: leave audio out.",
}
_FORMATS: Final = ("text", "json_object", "json_schema")


class FieldError(UsageError):
    """A request that cannot be served as it is written; `param` names the field."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAsked:
    """A request for an answer.

    `model` is "" where none is named. `settings` are keywords of `Backend.request`, `options` the
    fields that go to the service by its own names. `ignored` are the fields that mean nothing here.
    """

    model: str
    messages: list[Mapping[str, Any]]
    stream: bool = False
    include_usage: bool = False
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    ignored: tuple[str, ...] = ()


def read_object(body: bytes) -> dict[str, Any]:
    """Read a body that must be a JSON object. Raises `FieldError`."""
    try:
        document = loads(body)
    except ValueError as error:
        raise FieldError(f"The body is not JSON: {error}.", code="invalid_json") from error
    if not isinstance(document, dict):
        raise FieldError(f"The body must be a JSON object, not {_kind(document)}.", code="invalid_json")
    return document


def read_model(body: Mapping[str, Any]) -> str:
    """Read the name of the model that a request names, "" for none. Raises `FieldError`."""
    model = body.get("model")
    if model is None:
        return ""
    if not isinstance(model, str):
        raise FieldError(f"model must be a string, not {_kind(model)}.", param="model")
    return model


def read_chat(body: Mapping[str, Any]) -> ChatAsked:
    """Read a request for an answer. Raises `FieldError`.

    Messages and tools are looked at as far as the backend does not do so itself.
    """
    for name, words in _REFUSED.items():
        if body.get(name) is not None:
            raise FieldError(words, param=name, code="unsupported_parameter")
    _check_answers(body)
    stream, include_usage = _read_stream(body)
    for name, (check, words) in _FIELDS.items():
        value = body.get(name)
        if value is not None and not check(value):
            raise FieldError(f"{name} must be {words}, not {_shown(value)}.", param=name)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise FieldError("messages must be a list of at least one message.", param="messages")
    if len(messages) > MAX_MESSAGES:
        raise FieldError(f"messages may hold {MAX_MESSAGES} messages at most.", param="messages")
    settings = {name: body[name] for name in SETTINGS if body.get(name) is not None}
    if settings.get("tools") == []:
        del settings["tools"]
    limit = body.get("max_completion_tokens")
    limit = body.get("max_tokens") if limit is None else limit
    if limit is not None:
        settings["max_tokens"] = limit
    return ChatAsked(
        model=read_model(body),
        messages=[_message(n, message) for n, message in enumerate(messages)],
        stream=stream,
        include_usage=include_usage,
        settings=settings,
        options={name: body[name] for name in sorted(PASSED_ON & body.keys()) if body[name] is not None},
        ignored=tuple(sorted(name for name in body.keys() - _READ - PASSED_ON if body[name] is not None)),
    )


def _check_answers(body: Mapping[str, Any]) -> None:
    """Refuse several answers, and answers that are no text."""
    count = body.get("n")
    if count is not None and (count != 1 or isinstance(count, bool)):
        raise FieldError(
            "n must be 1: one answer is given to a request. Ask several times for several.",
            param="n",
            code="unsupported_value",
        )
    modalities = body.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise FieldError(
            'modalities must be ["text"]: answers are text.', param="modalities", code="unsupported_value"
        )


def _read_stream(body: Mapping[str, Any]) -> tuple[bool, bool]:
    """Read whether the answer is streamed, and whether its usage is."""
    stream, options = body.get("stream"), body.get("stream_options")
    if stream is not None and not isinstance(stream, bool):
        raise FieldError(f"stream must be true or false, not {_shown(stream)}.", param="stream")
    if options is None:
        return bool(stream), False
    if not stream:
        raise FieldError("stream_options is for requests with stream true.", param="stream_options")
    usage = options.get("include_usage") if isinstance(options, dict) else options
    if usage is not None and not isinstance(usage, bool):
        raise FieldError(
            'stream_options must be an object, as {"include_usage": true}.', param="stream_options"
        )
    return True, bool(usage)


def _message(n: int, message: object) -> Mapping[str, Any]:
    """Check what the backend does not look at, and write invalid calls and refusals as it has them."""
    where = f"messages[{n}]"
    if not isinstance(message, dict):
        raise FieldError(f"{where} must be an object, not {_kind(message)}.", param=where)
    for name in ("name", "tool_call_id"):
        if not isinstance(message.get(name), str | None):
            raise FieldError(f"{where}.{name} must be a string.", param=f"{where}.{name}")
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, list) and any(_is_refusal(block) for block in content):
        texts = [
            {"type": "text", "text": block["refusal"]} if _is_refusal(block) else block for block in content
        ]
        message = {**message, "content": texts}
    elif content is None and isinstance(message.get("refusal"), str):
        message = {**message, "content": message["refusal"]}
    if calls is not None:
        if not isinstance(calls, list):
            raise FieldError(f"{where}.tool_calls must be a list.", param=f"{where}.tool_calls")
        message = {**message, "tool_calls": [_call(call) for call in calls]}
    return message


def _is_refusal(block: object) -> bool:
    return (
        isinstance(block, dict) and block.get("type") == "refusal" and isinstance(block.get("refusal"), str)
    )


def _call(call: object) -> object:
    """Write a call whose arguments are no JSON object so that the model is shown what it wrote."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        return call
    arguments = function.get("arguments")
    if not isinstance(arguments, str):
        return call
    try:
        if not arguments or isinstance(loads(arguments), dict):
            return call
    except ValueError:
        pass
    return {**call, "function": {**function, "arguments": {"input": arguments.removeprefix(NO_OBJECT)}}}


# --- the fields -----------------------------------------------------------------------------------


def _is_number(low: float, high: float) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high

    return check


def _is_whole(low: int, high: int) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return check


def _is_format(value: object) -> bool:
    if not isinstance(value, dict) or value.get("type") not in _FORMATS:
        return False
    if value["type"] != "json_schema":
        return True
    inner = value.get("json_schema")
    return isinstance(inner, dict) and isinstance(inner.get("schema"), dict)


def _are_stops(value: object) -> bool:
    stops = value if isinstance(value, list) else [value]
    return len(stops) <= MAX_STOPS and all(isinstance(stop, str) and stop for stop in stops)


_WHOLE: Final = (_is_whole(1, 2**31 - 1), "a whole number of at least 1")
_PENALTY: Final = (_is_number(-2, 2), "a number from -2 to 2")
_FLAG: Final = (lambda value: isinstance(value, bool), "true or false")
_FIELDS: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "temperature": (_is_number(0, 2), "a number from 0 to 2"),
    "top_p": (_is_number(0, 1), "a number from 0 to 1"),
    "max_tokens": _WHOLE,
    "max_completion_tokens": _WHOLE,
    "stop": (_are_stops, f"a string, or a list of at most {MAX_STOPS} strings, none empty"),
    "tools": (lambda value: isinstance(value, list) and len(value) <= MAX_TOOLS, "a list of tools"),
    "tool_choice": (lambda value: isinstance(value, str | dict), "a string or an object"),
    "parallel_tool_calls": _FLAG,
    "response_format": (
        _is_format,
        'an object with the type "text", "json_object" or "json_schema", which has json_schema.schema',
    ),
    "seed": (_is_whole(-(2**63), 2**63 - 1), "a whole number of 64 bits"),
    "presence_penalty": _PENALTY,
    "frequency_penalty": _PENALTY,
    "logit_bias": (lambda value: isinstance(value, dict), "an object"),
    "logprobs": _FLAG,
    "top_logprobs": (_is_whole(0, 20), "a whole number from 0 to 20"),
    "reasoning_effort": (lambda value: isinstance(value, str), "a string"),
    "top_k": (_is_whole(-1, 2**31 - 1), "a whole number"),
    "min_p": (_is_number(0, 1), "a number from 0 to 1"),
    "repetition_penalty": (_is_number(-math.inf, math.inf), "a number"),
    "chat_template_kwargs": (lambda value: isinstance(value, dict), "an object"),
}
"""The fields of a request with what each must be."""


def _kind(value: object) -> str:
    """Name the type of a JSON value."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _shown(value: object) -> str:
    """Write a value for an error: of what is long, its type alone."""
    return repr(value) if isinstance(value, int | float | bool) and len(repr(value)) < 40 else _kind(value)
