"""The OpenAI chat completions protocol, as strict as its inventor."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NoReturn

from freeproviders.testing.answers import Piece
from freeproviders.testing.faults import COMPLETION_FAULTS, EVERYWHERE, VECTOR_FAULTS, Fault
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import (
    Embedding,
    Refusal,
    Renderer,
    Reply,
    Service,
    Turn,
    check_keys,
    dump,
    expect,
    read_json,
    refuse,
)
from freeproviders.testing.services.completions import (
    completion_renderer,
    count_tokens,
    error_reply,
)
from freeproviders.testing.services.embedding_body import OPENAI, OPENAI_MODELS, EmbeddingModel, Rules, judge
from freeproviders.testing.services.openai_body import (
    CONTINUE_KEYS,
    NUMBERS,
    OTHERS,
    Range,
    check_messages,
    check_prefill,
    check_reasoning,
    check_settings,
    check_tools,
)
from freeproviders.testing.services.refusals import REFUSED_SCHEMAS, REFUSED_TOOLS, Words
from freeproviders.testing.vectors import MakesVectors, VectorMaker
from freeproviders.types import Text, ToolCall
from freeproviders.wire.openai.writer import AnswerStyle

FINGERPRINT: Final = "fp_replica"
VECTOR_SIZE: Final = 256


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

    `vectors` is a function that makes the vectors of embedding requests, which else are those of
    `checksum_vector`; `vector_size` is how many numbers they have where neither the request nor
    what is known of the model says so.
    """

    name: ClassVar[str] = "OpenAICompatible"
    slug: ClassVar[str] = "openai-compatible"
    base_path: ClassVar[str] = "/v1"
    places: ClassVar = ("answer", "models", "embeddings")
    routes: ClassVar = {
        ("POST", "/v1/chat/completions"): "answer",
        ("POST", "/v1/embeddings"): "embeddings",
        ("GET", "/v1/models"): "models",
    }
    fault_names = EVERYWHERE | COMPLETION_FAULTS | VECTOR_FAULTS
    numbers: ClassVar[Mapping[str, Range]] = NUMBERS
    stops: ClassVar[int] = 4
    prefill: ClassVar[str] = ""
    """How the service is given the beginning of an answer, as `Style.prefill` has it."""
    embedding_rules: ClassVar[Rules] = OPENAI

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
        vectors: MakesVectors | None = None,
        vector_size: int = VECTOR_SIZE,
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
        self._maker = VectorMaker(vectors)
        self._vector_size = vector_size

    def page(self, place: str, request: RecordedRequest, fault: Fault) -> Reply:  # noqa: ARG002
        """The list of models."""
        self._check_key(request)
        made = int(time.time())
        models = [
            {"id": model, "object": "model", "created": made, "owned_by": "replica"}
            for model in self._listed()
        ]
        return Reply(200, dump({"object": "list", "data": models}))

    def embedding(self, request: RecordedRequest) -> Embedding:
        self._check_key(request)
        body = _read_body(request)
        model = _name(body.get("model"))
        facts = self._embedding_model(model)
        asked = judge(body, model, facts, self.embedding_rules)
        asked.tell(request)
        return asked

    async def vectors(self, asked: Embedding, request: RecordedRequest) -> list[list[float]]:
        return await self._maker.make(asked.read, request, normalised=asked.normalised)

    def _embedding_model(self, model: str) -> EmbeddingModel:
        """Tell what is known of an embedding model. Raises `Refusal` where it is none."""
        self._check_model(model)
        return OPENAI_MODELS.get(model) or EmbeddingModel(size=self._vector_size)

    def turn(self, request: RecordedRequest) -> Turn:
        self._check_key(request)
        body = _read_body(request)
        keys = (*OTHERS, *self._extra_keys, *(CONTINUE_KEYS if self.prefill == "continue" else ()))
        check_keys(body, ("model", "messages"), (*self.numbers, *keys))
        model = _name(body["model"])
        self._check_model(model)
        check_settings(body, self.numbers, self.stops)
        expect(body.get("n") in {None, 1} or not body.get("stream"), "This replica streams one answer only.")
        self._check_abilities(body)
        check_tools(body, self._service_tools)
        check_messages(
            body["messages"],
            native_tools=self._has_tools(model),
            extra_keys=(*self._message_keys, *(("prefix",) if self.prefill == "prefix" else ())),
        )
        check_prefill(body, self.prefill)
        if self._earlier_reasoning == "wanted":
            check_reasoning(body["messages"])
        stream, options = bool(body.get("stream")), body.get("stream_options") or {}
        settings = _settings({key: value for key, value in body.items() if key not in self._kept_back})

        def render(fault: Fault) -> Renderer:
            renderer = completion_renderer(
                self._answered_by(body),
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

    def _check_model(self, model: str) -> None:
        expect(
            self._knows(model),
            f"The model `{model}` does not exist or you do not have access to it.",
            status=404,
            code="model_not_found",
        )

    def _knows(self, model: str) -> bool:
        return self._models is None or model in self._models

    def _answered_by(self, body: Mapping[str, Any]) -> str:
        """Name the model that answers a request."""
        name: str = body["model"]
        return name

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


def _read_body(request: RecordedRequest) -> dict[str, Any]:
    """Read the body of a request, which must say that it is JSON."""
    given = request.headers.get("Content-Type", "")
    expect(
        given.partition(";")[0].strip().lower() == "application/json",
        f"Header Content-Type must be application/json, not {given!r}.",
    )
    return read_json(request)


def _name(model: Any) -> str:
    """Read the name of a model."""
    if not isinstance(model, str) or not model:
        refuse("you must provide a model parameter")
    return model


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
