"""The OpenAI chat completions protocol, as strict as its inventor."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NoReturn

from freeproviders.testing.answers import Piece
from freeproviders.testing.faults import COMPLETION_FAULTS, EVERYWHERE, Fault
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import (
    Refusal,
    Renderer,
    Reply,
    Service,
    Turn,
    check_keys,
    dump,
    expect,
    is_number,
    read_json,
    refuse,
)
from freeproviders.testing.services.completions import (
    completion_renderer,
    count_tokens,
    error_reply,
)
from freeproviders.testing.services.refusals import REFUSED_SCHEMAS, REFUSED_TOOLS, Words
from freeproviders.types import Text, ToolCall
from freeproviders.wire.openai.writer import AnswerStyle

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
AUDIO: Final = frozenset({"wav", "mp3"})
NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
FINGERPRINT: Final = "fp_replica"
ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool"})


class OpenAIService(Service):
    """The OpenAI protocol.

    Options: `api_key` must then be the bearer token; `models` are the only ones there are (else any
    name will do); `extra_keys` are further keys that the body may have; `tool_deltas` and
    `tool_index` say how tool calls are streamed (see `AnswerStyle`), `reasoning_key` how thinking
    is called; `service_tools` are the types of tools that run at the service, as "web_search".
    `earlier_reasoning` says what becomes of thinking that is sent back: it is "refused", "taken",
    or "wanted" from each call since the user last spoke.

    `native_tools` and `json_schema` False refuse what they name, in the words of the service that
    `refuses_like` names (a key of `REFUSED_TOOLS` or `REFUSED_SCHEMAS`); "ignored" takes it and
    keeps it from the model, as some services do. `native_tools` "text" gives the model the tools
    and does not tell its calls from text.
    """

    name: ClassVar[str] = "OpenAICompatible"
    slug: ClassVar[str] = "openai-compatible"
    base_path: ClassVar[str] = "/v1"
    places: ClassVar = ("answer", "models")
    routes: ClassVar = {("POST", "/v1/chat/completions"): "answer", ("GET", "/v1/models"): "models"}
    fault_names = EVERYWHERE | COMPLETION_FAULTS
    numbers: ClassVar[Mapping[str, Range]] = NUMBERS
    stops: ClassVar[int] = 4

    def __init__(
        self,
        api_key: str | None = None,
        models: Sequence[str] | None = None,
        extra_keys: Collection[str] = (),
        tool_deltas: str = "split",
        reasoning_key: str = "reasoning_content",
        *,
        earlier_reasoning: Literal["refused", "taken", "wanted"] = "refused",
        service_tools: Collection[str] = (),
        native_tools: bool | Literal["ignored", "text"] = True,
        json_schema: bool | Literal["ignored"] = True,
        refuses_like: str = "",
        tool_index: bool = True,
    ) -> None:
        if native_tools not in {True, False, "ignored", "text"}:
            raise ValueError(f'native_tools must be True, False, "ignored" or "text", not {native_tools!r}.')
        if json_schema not in {True, False, "ignored"}:
            raise ValueError(f'json_schema must be True, False or "ignored", not {json_schema!r}.')
        if refuses_like and refuses_like not in {*REFUSED_TOOLS, *REFUSED_SCHEMAS}:
            raise ValueError(f"refuses_like names no service: {refuses_like!r}.")
        self._api_key = api_key
        self._models = models
        self._native_tools = native_tools
        self._json_schema = json_schema
        self._refuses_like = refuses_like
        self._kept_back = {
            *(("tools", "tool_choice", "parallel_tool_calls") if native_tools == "ignored" else ()),
            *(("response_format",) if json_schema == "ignored" else ()),
        }
        self._extra_keys = tuple(extra_keys)
        self._tells_usage = True
        self._earlier_reasoning = earlier_reasoning
        self._message_keys: Collection[str] = () if earlier_reasoning == "refused" else ("reasoning_content",)
        self._service_tools = frozenset(service_tools)
        self._style = AnswerStyle(tool_deltas=tool_deltas, tool_index=tool_index, reasoning_key=reasoning_key)

    def page(self, place: str, request: RecordedRequest, fault: Fault) -> Reply:  # noqa: ARG002
        """The list of models."""
        self._check_key(request)
        made = int(time.time())
        models = [
            {"id": model, "object": "model", "created": made, "owned_by": "replica"}
            for model in self._listed()
        ]
        return Reply(200, dump({"object": "list", "data": models}))

    def turn(self, request: RecordedRequest) -> Turn:
        self._check_key(request)
        given = request.headers.get("Content-Type", "")
        expect(
            given.partition(";")[0].strip().lower() == "application/json",
            f"Header Content-Type must be application/json, not {given!r}.",
        )
        body = read_json(request)
        check_keys(body, ("model", "messages"), (*self.numbers, *OTHERS, *self._extra_keys))
        model = body["model"]
        expect(isinstance(model, str) and bool(model), "you must provide a model parameter")
        expect(
            self._knows(model),
            f"The model `{model}` does not exist or you do not have access to it.",
            status=404,
            code="model_not_found",
        )
        _check_settings(body, self.numbers, self.stops)
        expect(body.get("n") in {None, 1} or not body.get("stream"), "This replica streams one answer only.")
        self._check_abilities(body)
        _check_tools(body, self._service_tools)
        _check_messages(
            body["messages"],
            native_tools=self._has_tools(model),
            extra_keys=self._message_keys,
        )
        if self._earlier_reasoning == "wanted":
            _check_reasoning(body["messages"])
        stream, options = bool(body.get("stream")), body.get("stream_options") or {}
        settings = _settings({key: value for key, value in body.items() if key not in self._kept_back})

        def render(fault: Fault) -> Renderer:
            renderer = completion_renderer(
                model,
                fault,
                self._style,
                prompt_tokens=self._prompt_tokens(body),
                stream=stream,
                include_usage=options.get("include_usage", False) and self._tells_usage,
                top_logprobs=(body.get("top_logprobs") or 0) if body.get("logprobs") else None,
                n=body.get("n") or 1,
                system_fingerprint=FINGERPRINT,
                service_tier="default" if body.get("service_tier") else None,
            )
            return renderer if self._native_tools is True else _WithoutCalls(renderer, self._native_tools)

        return Turn(body["messages"], render, settings, {"X-Request-Id": f"req_{secrets.token_hex(8)}"})

    def complaint(self, status: int, message: str, fault: Fault, code: str | None = None) -> Reply:
        return error_reply(status, message, fault, code)

    def _check_key(self, request: RecordedRequest) -> None:
        if self._api_key is None:
            return
        given = request.headers.get("Authorization")
        expect(given is not None, "You didn't provide an API key.", status=401)
        expect(
            given == f"Bearer {self._api_key}",
            "Incorrect API key provided.",
            status=401,
            code="invalid_api_key",
        )

    def _listed(self) -> Iterable[str]:
        """Name the models of the list."""
        return self._models or ("replica",)

    def _knows(self, model: str) -> bool:
        return self._models is None or model in self._models

    def _has_tools(self, model: str) -> bool:  # noqa: ARG002 - a service of the catalogue asks its row
        return self._native_tools is not False

    def _has_schemas(self, model: str) -> bool:  # noqa: ARG002 - as above
        return self._json_schema is not False

    def _prompt_tokens(self, body: Mapping[str, Any]) -> int:
        """Count the tokens of a prompt, those of the tools that it tells the model about too."""
        told = body.get("tools") if "tools" not in self._kept_back else None
        return count_tokens(body["messages"]) + (len(dump(told)) // 4 if told is not None else 0)

    def _check_abilities(self, body: Mapping[str, Any]) -> None:
        model = body["model"]
        if body.get("tools") and not self._has_tools(model):
            self._refuse(REFUSED_TOOLS, model, "tools")
        if not self._has_schemas(model) and (body.get("response_format") or {}).get("type") == "json_schema":
            self._refuse(REFUSED_SCHEMAS, model, "response_format json_schema")

    def _refuse(self, all_words: Mapping[str, Words], model: str, what: str) -> NoReturn:
        words = all_words.get(self._refuses_like)
        if words is None:
            refuse(f"{model} does not support {what}")
        reply = Reply(words.status, dump(words.document(model)))
        raise Refusal(words.status, f"refused {what} as {self._refuses_like} does", reply=reply)


class _WithoutCalls:
    """Writes the answers of a service that tells no call from text.

    Where its model knows the tools, a call is text; where it does not, a script with one is wrong.
    """

    def __init__(self, renderer: Renderer, mode: object) -> None:
        self._renderer = renderer
        self._as_text = mode == "text"
        self.content_type = renderer.content_type
        self.start = renderer.start
        self.keepalive = renderer.keepalive
        self.error = renderer.error
        self.end = renderer.end

    def piece(self, piece: Piece) -> Iterable[bytes]:
        if isinstance(piece, ToolCall):
            if not self._as_text:
                raise TypeError("This service has no tools of its own: its model writes calls as text.")
            call = dump({"name": piece.name, "arguments": dict(piece.arguments)}).decode()
            piece = Text(f"<tool_call>\n{call}\n</tool_call>")
        return self._renderer.piece(piece)


def _check_settings(body: Mapping[str, Any], numbers: Mapping[str, Range], most_stops: int) -> None:
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


def _check_tools(body: Mapping[str, Any], service_tools: Collection[str]) -> None:
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


def _check_reasoning(messages: list[dict[str, Any]]) -> None:
    for n in range(len(messages) - 1, -1, -1):
        if messages[n]["role"] == "user":
            return
        expect(
            not messages[n].get("tool_calls") or bool(messages[n].get("reasoning_content")),
            f"Missing `reasoning_content` field in the assistant message at message index {n}.",
        )


def _check_messages(messages: Any, *, native_tools: bool, extra_keys: Collection[str]) -> None:
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


def _settings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Write the settings of a request for an answering backend's `request`."""
    keys = (
        "temperature", "top_p", "stop", "tools", "tool_choice", "parallel_tool_calls", "response_format",
    )  # fmt: skip
    settings = {key: body[key] for key in keys if body.get(key) is not None}
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is not None:
        settings["max_tokens"] = limit
    return settings
