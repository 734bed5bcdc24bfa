"""Judging the body of a request of the OpenAI protocol."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from freeproviders.testing.services.base import expect, is_number, refuse

Range = tuple[float | None, float | None]
NUMBERS: Final[Mapping[str, Range]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "max_tokens": (1, None),
    "max_completion_tokens": (1, None),
    "n": (1, 128),
    "seed": (None, None),
    "top_logprobs": (0, 20),
}
OTHERS: Final = (
    "stream", "stream_options", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format",
    "user", "logit_bias", "logprobs", "metadata", "store", "service_tier", "reasoning_effort", "verbosity",
    "safety_identifier", "prompt_cache_key", "modalities", "prediction",
)  # fmt: skip
CONTINUE_KEYS: Final = ("continue_final_message", "add_generation_prompt")
"""Keys of a body with which vLLM is told to go on with the last message."""
AUDIO: Final = frozenset({"wav", "mp3"})
NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})


def check_settings(body: Mapping[str, Any], numbers: Mapping[str, Range], most_stops: int) -> None:
    """Refuse settings that are none, or out of their range."""
    for key, (low, high) in numbers.items():
        value = body.get(key)
        if value is not None:
            expect(is_number(value), f"{key} must be a number, not {value!r}.")
            expect(
                (low is None or value >= low) and (high is None or value <= high),
                f"{key} is out of range: {value!r}.",
            )
    expect(
        body.get("top_logprobs") is None or body.get("logprobs") is True,
        "'top_logprobs' is only allowed when 'logprobs' is enabled.",
    )
    for key in ("stream", "parallel_tool_calls", "logprobs"):
        expect(isinstance(body.get(key, False), bool | None), f"{key} must be a boolean.")
    options = body.get("stream_options")
    if options is not None:
        expect(
            body.get("stream") is True,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        )
        expect(
            isinstance(options, dict) and set(options) <= {"include_usage", "include_obfuscation"},
            "stream_options is malformed.",
        )
    stop = body.get("stop")
    stops = stop if isinstance(stop, list) else [""] if stop is None else [stop]
    expect(
        0 < len(stops) <= (1 if stop is None else most_stops) and all(isinstance(s, str) for s in stops),
        f"stop must be a string or a list of 1 to {most_stops} strings.",
    )
    shape = body.get("response_format")
    if shape is not None:
        kind = shape.get("type") if isinstance(shape, dict) else None
        expect(
            kind in {"text", "json_object", "json_schema"},
            "response_format.type must be text, json_object or json_schema.",
        )
        schema = shape.get("json_schema") if kind == "json_schema" else {"name": "none", "schema": {}}
        expect(
            isinstance(schema, dict) and isinstance(schema.get("schema"), dict),
            "Missing required parameter: response_format.json_schema.schema.",
        )
        expect(
            _is_name(schema.get("name")),
            f"response_format.json_schema.name does not match the pattern: {schema.get('name')!r}.",
        )


def check_tools(body: Mapping[str, Any], service_tools: Collection[str]) -> None:
    """Refuse tools and choices of tools that are malformed or do not fit each other."""
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools is None:
        expect(
            choice in {None, "none"} if not isinstance(choice, dict) else False,
            "'tool_choice' is only allowed when 'tools' are specified.",
        )
        expect(
            body.get("parallel_tool_calls") is None,
            "'parallel_tool_calls' is only allowed when 'tools' are specified.",
        )
        return
    expect(isinstance(tools, list) and bool(tools), "tools must be a list of at least one tool.")
    own = [tool for tool in tools if not _runs_here(tool, service_tools)]
    for n, tool in enumerate(own):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict):
            refuse(f'tools[{n}] must be {{"type": "function", "function": {{...}}}}.')
        expect(
            _is_name(function.get("name")),
            f"tools[{n}].function.name does not match the pattern: {function.get('name')!r}.",
        )
        parameters = function.get("parameters", {"type": "object"})
        expect(
            isinstance(parameters, dict) and parameters.get("type", "object") == "object",
            f"tools[{n}].function.parameters must be of type object.",
        )
    names = [tool["function"]["name"] for tool in own]
    expect(len(set(names)) == len(names), "Tool names must be unique.")
    wanted = [choice] if choice is not None else []
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools", {})
        expect(
            allowed.get("mode") in {"auto", "required"},
            "tool_choice.allowed_tools.mode must be auto or required.",
        )
        wanted = allowed.get("tools", [])
    for one in wanted:
        if isinstance(one, dict):
            name = one.get("function", {}).get("name")
            expect(
                one.get("type") == "function" and name in names,
                f"Tool choice {name!r} not found in 'tools' parameter.",
            )
        else:
            expect(
                one in {"none", "auto", "required"},
                f"tool_choice must be none, auto, required or a function, not {one!r}.",
            )


def _runs_here(tool: Any, service_tools: Collection[str]) -> bool:
    return isinstance(tool, dict) and tool.get("type") in service_tools


def check_prefill(body: Mapping[str, Any], prefill: str) -> None:
    """Refuse the beginning of an answer that is not given as the service wants it."""
    *others, last = body["messages"]
    if prefill == "prefix":
        expect(
            last["role"] != "assistant" or last.get("prefix") is True,
            "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant",
        )
        wrong = [message for message in others if message.get("prefix")]
        wrong += [last] if last.get("prefix") and last["role"] != "assistant" else []
        expect(not wrong, "Only the last message, of the role assistant, may have prefix.")
    elif prefill == "continue" and body.get("continue_final_message"):
        expect(
            body.get("add_generation_prompt") is False,
            "Cannot set both `continue_final_message` and `add_generation_prompt` to True.",
        )
        expect(last["role"] == "assistant", "The last message must be the assistant's to be continued.")


def check_reasoning(messages: list[dict[str, Any]]) -> None:
    """Refuse calls since the user last spoke that lack the thinking before them."""
    for n in range(len(messages) - 1, -1, -1):
        if messages[n]["role"] == "user":
            return
        expect(
            not messages[n].get("tool_calls") or bool(messages[n].get("reasoning_content")),
            f"Missing `reasoning_content` field in the assistant message at message index {n}.",
        )


def check_messages(messages: Any, *, native_tools: bool, extra_keys: Collection[str]) -> None:
    """Refuse messages that are malformed, or calls and results that do not belong together."""
    expect(isinstance(messages, list) and bool(messages), "messages must be a list of at least one message.")
    open_calls: set[str] = set()
    unanswered = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'."
    )
    for n, message in enumerate(messages):
        where = f"messages[{n}]"
        role = message.get("role") if isinstance(message, dict) else None
        expect(role in ROLES, f"{where}.role must be one of {', '.join(sorted(ROLES))}, not {role!r}.")
        expect(
            native_tools or (role != "tool" and "tool_calls" not in message),
            f"{where}: the model does not support tools",
        )
        content, calls = message.get("content"), message.get("tool_calls")
        if role == "tool":
            expect(
                message.get("tool_call_id") in open_calls,
                f"{where}.tool_call_id answers no tool call: {message.get('tool_call_id')!r}.",
            )
            open_calls.discard(message["tool_call_id"])
        else:
            expect(not open_calls, unanswered)
        if calls is not None:
            expect(
                role == "assistant" and isinstance(calls, list) and bool(calls),
                f"{where}.tool_calls must be a list, in an assistant message.",
            )
            open_calls = {_check_call(call, f"{where}.tool_calls[{m}]") for m, call in enumerate(calls)}
            expect(len(open_calls) == len(calls), f"{where}.tool_calls: ids must be unique.")
        expect(
            content is not None or calls is not None,
            f"{where}.content must be a string or a list of parts, not null.",
        )
        _check_content(content, f"{where}.content")
        known = {"role", "content", "name", "tool_calls", "tool_call_id", "refusal"}
        unknown = set(message) - known - set(extra_keys)
        expect(not unknown, f"{where} has unknown key(s): {', '.join(sorted(unknown))}.")
    expect(not open_calls, unanswered)


def _check_call(call: Any, where: str) -> str:
    function = call.get("function") if isinstance(call, dict) and call.get("type") == "function" else None
    fits = (
        isinstance(function, dict)
        and isinstance(function.get("name"), str)
        and isinstance(call.get("id"), str)
        and bool(call["id"])
    )
    expect(fits, f"{where} must have id, type 'function' and function.name.")
    try:
        arguments = json.loads(function["arguments"]) if function else None
    except (KeyError, TypeError, ValueError):
        arguments = None
    expect(
        isinstance(arguments, dict), f"{where}.function.arguments must be a string that holds a JSON object."
    )
    return str(call["id"])


def _check_content(content: Any, where: str) -> None:
    if content is None or isinstance(content, str):
        return
    expect(isinstance(content, list) and bool(content), f"{where} must be a string or a list of parts.")
    for n, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            image = part.get("image_url")
            expect(
                isinstance(image, dict) and isinstance(image.get("url"), str),
                f"{where}[{n}].image_url.url must be a string.",
            )
        elif kind == "input_audio":
            audio = part.get("input_audio")
            expect(
                isinstance(audio, dict) and audio.get("format") in AUDIO and _is_base64(audio.get("data")),
                f"{where}[{n}].input_audio must have data in base64 and the format wav or mp3.",
            )
        elif kind == "file":
            file = part.get("file")
            head, comma, data = str((file or {}).get("file_data")).partition(";base64,")
            expect(
                isinstance(file, dict)
                and (
                    isinstance(file.get("file_id"), str)
                    or (
                        isinstance(file.get("filename"), str)
                        and head.startswith("data:")
                        and bool(comma)
                        and _is_base64(data)
                    )
                ),
                f"{where}[{n}].file must have a file_id, or a filename and file_data as a data: URL.",
            )
        else:
            expect(
                kind == "text" and isinstance(part.get("text"), str),
                f"{where}[{n}] must be a text, image_url, input_audio or file part.",
            )


def _is_base64(data: object) -> bool:
    try:
        return isinstance(data, str) and bool(base64.b64decode(data, validate=True))
    except ValueError:
        return False


def _is_name(name: object) -> bool:
    return isinstance(name, str) and NAME.fullmatch(name) is not None
