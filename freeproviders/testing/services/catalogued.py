"""A service of the catalogue: the OpenAI protocol as its row says that the service speaks it."""

# ruff: noqa: D102 - the methods are described where they are declared, in `services.base`

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, ClassVar, Final, NoReturn
from urllib.parse import urlsplit

from freeproviders.catalogue import facts_of
from freeproviders.catalogue.facts import row_of
from freeproviders.catalogue.rows import Headers, Limit
from freeproviders.catalogue.rows import Service as Row
from freeproviders.testing.announce import announcement
from freeproviders.testing.billed import Billed
from freeproviders.testing.faults import SIGN_FAULTS, Fault
from freeproviders.testing.limits import Asker, Caps, Counts, Exceeded, Limits, Ticket, changed
from freeproviders.testing.meters import Standing
from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import (
    Embedding,
    Refusal,
    Renderer,
    Reply,
    Turn,
    bearer,
    dump,
    refuse,
)
from freeproviders.testing.services.embedding_body import EmbeddingModel, Rules
from freeproviders.testing.services.embedding_rules import RULES
from freeproviders.testing.services.metered import Metered
from freeproviders.testing.services.native import NATIVES
from freeproviders.testing.services.native.base import Native
from freeproviders.testing.services.openai import VECTOR_SIZE, OpenAIService
from freeproviders.testing.services.openai_body import NUMBERS
from freeproviders.testing.services.refusals import REFUSED_SCHEMAS, REFUSED_TOOLS
from freeproviders.testing.services.saying_no import (
    Refusals,
    expected,
    is_mended,
    kind_of,
    waiting,
)
from freeproviders.testing.services.signatures import Signatures
from freeproviders.testing.services.style import faults_of_style
from freeproviders.testing.vectors import MakesVectors
from freeproviders.wire.signs import Kind, Sign

ABILITIES: Final = frozenset({"tools", "schema", "images", "streaming", "usage"})
_REFUSING: Final = {*REFUSED_TOOLS, *REFUSED_SCHEMAS}
_VARIABLE: Final = re.compile(r"\{\w+\}")


class CataloguedService(OpenAIService):
    """A service that behaves as its row says; `CataloguedService.of(row)` is the class of one.

    A request is judged as OpenAI's, and by the row's style, models, retired models, key and limits.
    What is refused is written as the row's signs say, and announced limits in the row's dialect.

    Options: `api_key` is the only key there is (else any will do); `models` are listed and answered
    instead of the row's, as of a service that has changed; `lacks` names what it cannot do whatever
    the row says ("tools", "schema", "images", "streaming", "usage"); `headers` False announces
    nothing, a `Headers` announces otherwise. `limits` changes caps, as {"requests/minute": 3},
    replaces the lines by others, or is False for none; `clock` gives the seconds since 1970;
    `charges` is what a call costs in metrics that requests do not show, as {"neurons": 40};
    `reserve` takes the whole `max_tokens` of a request in advance; `billed` is what becomes of
    requests whose account is charged, a `Billed`. `extra_keys`, `tool_deltas`,
    `tool_index`, `reasoning_key`, `vectors` and `vector_size` are those of `OpenAIService`.

    A call is counted when it is admitted, before any fault: a request and the tokens of its prompt
    at once, those of its answer when it ends. What is refused is not counted.
    """

    row: ClassVar[Row]
    native: ClassVar[Native | None] = None
    fault_names = OpenAIService.fault_names | SIGN_FAULTS

    def __init__(
        self,
        api_key: str | None = None,
        models: Sequence[str] | None = None,
        extra_keys: Collection[str] = (),
        *,
        limits: Caps = True,
        clock: Callable[[], float] = time.time,
        charges: Mapping[str, float] | None = None,
        reserve: bool = False,
        headers: Headers | bool = True,
        lacks: Collection[str] = (),
        billed: Billed | None = None,
        tool_deltas: str = "split",
        tool_index: bool = True,
        reasoning_key: str = "",
        vectors: MakesVectors | None = None,
        vector_size: int = VECTOR_SIZE,
    ) -> None:
        unknown = set(lacks) - ABILITIES
        if unknown or isinstance(lacks, str):
            raise ValueError(f"lacks takes some of {', '.join(sorted(ABILITIES))}, not {lacks!r}.")
        style = self.row.request
        super().__init__(
            api_key,
            models,
            (*extra_keys, *style.send, *style.free),
            tool_deltas,
            reasoning_key or style.reasoning or "reasoning_content",
            refuses_like=next(
                (word for word in (self.row.id, self.row.name.lower()) if word in _REFUSING), ""
            ),
            tool_index=tool_index,
            vectors=vectors,
            vector_size=vector_size,
        )
        self._signatures = Signatures(style)
        if style.tool_extras:
            self._style = replace(self._style, call_extra=self._signatures.signed)
        self._message_keys = (style.reasoning,) if style.reasoning else ()
        self._lacks = frozenset(lacks)
        self._billed = billed
        self._tells_usage = "usage" not in lacks
        lines = changed(self.row.limit, limits, self.row.headers.allowance)
        self._limits = Limits(lines, clock, charges=charges, reserve=reserve)
        self._headers = (
            headers if isinstance(headers, Headers) else self.row.headers if headers else Headers()
        )
        self._refusals = Refusals(self.row)

    @classmethod
    def of(cls, row: Row) -> type[CataloguedService]:
        """Make the class of a row's service."""
        path = _VARIABLE.sub("replica", urlsplit(row.base_url).path).rstrip("/")
        routes = {
            ("POST", f"{path}/chat/completions"): "answer",
            ("POST", f"{path}/embeddings"): "embeddings",
            ("GET", f"{path}/models"): "models",
        }
        if row.probe:
            routes.setdefault(("GET", row.probe), "probe")
        style = row.request
        numbers = dict(NUMBERS)
        for name in {*style.at_least, *style.at_most}:
            low, high = numbers.get(name, (None, None))
            numbers[name] = (style.at_least.get(name, low), style.at_most.get(name, high))
        facts = {
            "row": row,
            "name": row.name,
            "slug": row.id,
            "base_path": path,
            "routes": routes,
            "places": tuple(dict.fromkeys(routes.values())),
            "numbers": numbers,
            "stops": style.stops,
            "prefill": style.prefill,
            "signs": len(row.error),
            "embedding_rules": RULES.get(_spoken(row), Rules()),
            "native": NATIVES.get(_spoken(row)),
        }
        return type("OneService", (cls,), facts)

    def counts(self) -> Counts:
        return self._limits.counts()

    def page(self, place: str, request: RecordedRequest, fault: Fault) -> Reply:
        if place == "probe":
            return Reply(200, dump({"status": "ok", "version": "0.0.0"}))
        return super().page(place, request, fault)

    def turn(self, request: RecordedRequest) -> Turn:
        turn = super().turn(request)
        body = request.json
        model = body["model"]
        for name, wrong in faults_of_style(body, self.row.request):
            self._refuse_field(name, wrong, model)
        for name, wrong in self._signatures.missing(body["messages"]):
            self._refuse_field(name, wrong, model)
        asker = self._asker(request)
        prompt = self._prompt_tokens(body)
        most = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        ticket = self._admit(model, asker, prompt, int(most), stream=bool(body.get("stream")))

        def render(fault: Fault) -> Renderer:
            if "streaming" in self._lacks:
                fault = replace(fault, no_stream=True)
            cost = self._billed.cost if self._billed is not None and self._charges(body) else None
            return Metered(turn.render(fault), ticket, prompt, self.row.request.call_id_chars, cost)

        headers = {**turn.headers, **(self._announced(model, asker) if self._headers.on == "every" else {})}
        return replace(turn, render=render, headers=headers, close=ticket.close)

    def _charges(self, body: Mapping[str, Any]) -> bool:
        return self._billed is not None and self._billed.charges(body, self.row.request.free)

    def _answered_by(self, body: Mapping[str, Any]) -> str:
        asked = super()._answered_by(body)
        return (self._billed.model or asked) if self._billed is not None and self._charges(body) else asked

    def place(self, request: RecordedRequest) -> str:
        return super().place(request) if self._native(request) is None else "embeddings"

    def embedding(self, request: RecordedRequest) -> Embedding:
        native = self._native(request)
        if native is None:
            return self._admitted(super().embedding(request), request)
        try:
            self._check_key(request)
            asked = native.read(request, self._facts_of_any if native.any_model else self._embedding_model)
            asked.tell(request)
            return self._admitted(asked, request)
        except Refusal as refusal:
            reply = refusal.reply or native.complaint(refusal.status, refusal.message)
            refusal.reply = native.as_own(reply) if reply is not None else None
            raise

    def _admitted(self, asked: Embedding, request: RecordedRequest) -> Embedding:
        """Count a request for vectors against the limits. Raises `Refusal`."""
        asker = self._asker(request)
        ticket = self._admit(asked.model, asker, asked.tokens, requests=asked.requests)
        headers = self._announced(asked.model, asker) if self._headers.on == "every" else {}

        def write(vectors: Sequence[list[float]], fault: Fault) -> Reply:
            return replace(asked.write(vectors, fault), headers=headers)

        return replace(asked, write=write, close=ticket.close)

    def complaint(self, status: int, message: str, fault: Fault, code: str | None = None) -> Reply:
        shape = self._refusals.shape if fault.error_shape == "object" else fault.error_shape
        return super().complaint(status, message, replace(fault, error_shape=shape), code)

    def said_no(self, request: RecordedRequest, fault: Fault) -> Reply | None:
        body = request.json
        model = request.model or body["model"]
        if fault.sign is not None:
            sign: Sign | None = self.row.error[fault.sign]
        else:
            sign = self._refusals.sign(fault.kind) if fault.kind else None
        if sign is not None and is_mended(sign, body):
            return None
        kind: Kind = sign.kind if sign is not None else fault.kind or "request"
        now = self._limits.now()
        standing, back_at = expected(self._limits.lines or self.row.limit, kind, sign, model, now)
        wait = waiting(fault)
        if wait is not None:
            back_at = now + wait
        announced = self._announced(model, self._asker(request), standing)
        native = self._native(request)
        reply = self._refusals.reply(
            kind,
            sign,
            model,
            now,
            standing=standing,
            back_at=back_at,
            stream=bool(body.get("stream")),
            headers=announced,
        )
        return reply if native is None else native.as_own(reply)

    # --- judging ----------------------------------------------------------------------------------

    def _check_key(self, request: RecordedRequest) -> None:
        key = self._key(request)
        wanted = self.row.key == "required" or (self.row.key == "none" and self._api_key is not None)
        if (not key and wanted) or (key and self._api_key is not None and key != self._api_key):
            self._say_no("key", "the key is missing" if not key else "the key is wrong")

    def _key(self, request: RecordedRequest) -> str:
        """Return the key of a request, "" for none or the one that stands for none."""
        native = self._native(request)
        key = bearer(request) if native is None else native.key(request)
        return "" if key == self.row.anonymous_key else key

    def _native(self, request: RecordedRequest) -> Native | None:
        """Find the protocol of its own in which the service is asked; None for the OpenAI one."""
        return self.native if self.native is not None and self.native.speaks(request) else None

    def _asker(self, request: RecordedRequest) -> Asker:
        return Asker(self._key(request), "127.0.0.1")

    def _listed(self) -> Iterable[str]:
        if self._models is not None:
            return self._models
        return [name for name in self.row.models if "*" not in name] or [self.row.default_model or "replica"]

    def _knows(self, model: str) -> bool:
        if self._models is not None:
            return model in self._models
        if model in self.row.retired:
            self._say_no("retired", f"the model {model} has been retired", model)
        return (
            not self.row.models
            or model in (self.row.default_model, *self.row.fallback_models)
            or row_of(self.row, model) is not None
        )

    def _embedding_model(self, model: str) -> EmbeddingModel:
        if model not in self.row.embeddings or self._models is not None or model in self.row.retired:
            self._check_model(model)
            chats = model in self.row.models or (bool(model) and model == self.row.default_model)
            if self._models is None and chats:
                self.embedding_rules.voice.refuse("no embeddings", model=model)
        return self._facts_of_any(model)

    def _facts_of_any(self, model: str) -> EmbeddingModel:
        row = self.row.embeddings.get(model)
        rules = self.embedding_rules
        size = self._vector_size if row is None else row.size
        sizes = (() if rules.no_sizes else None) if row is None else row.sizes
        return EmbeddingModel(
            size=size,
            sizes=sizes,
            normalised=row is None or row.normalised is not False,
            batch=(row and row.batch) or rules.batch,
            window=(row and row.window) or rules.window,
            total=(row and row.tokens) or rules.total,
            types=() if row is None else tuple(row.input_types.values()),
            base64=row is None or row.base64 is not False,
        )

    def _has_tools(self, model: str) -> bool:
        return "tools" not in self._lacks and facts_of(self.row, model).tools is not False

    def _has_schemas(self, model: str) -> bool:
        return "schema" not in self._lacks and facts_of(self.row, model).schema is not False

    def _check_abilities(self, body: Mapping[str, Any]) -> None:
        super()._check_abilities(body)
        if "images" not in self._lacks and facts_of(self.row, body["model"]).images is not False:
            return
        for message in body["messages"]:
            content = message.get("content") if isinstance(message, dict) else None
            for part in content if isinstance(content, list) else ():
                if isinstance(part, dict) and part.get("type") == "image_url":
                    refuse(f"{body['model']} does not support images.")

    def _admit(
        self,
        model: str,
        asker: Asker,
        prompt: int,
        most: int = 0,
        *,
        requests: int = 1,
        stream: bool = False,
    ) -> Ticket:
        try:
            return self._limits.admit(model, asker, prompt, most, requests)
        except Exceeded as exceeded:
            limit = exceeded.standing.limit
            self._say_no(
                kind_of(exceeded.standing),
                f"the limit of {limit.cap:g} {limit.metric} {limit.per and f'per {limit.per} '}is reached",
                model,
                standing=exceeded.standing,
                headers=self._announced(model, asker, exceeded.standing),
                stream=stream,
            )

    # --- answering --------------------------------------------------------------------------------

    def _announced(self, model: str, asker: Asker, refusing: Standing | None = None) -> dict[str, str]:
        """Write the headers of the limits; where only errors have any, those of the one that refuses."""
        if self._headers.on == "every":
            standings = [
                refusing if refusing is not None and refusing.limit is standing.limit else standing
                for standing in self._limits.standings(model, asker)
            ]
        elif self._headers.on == "errors" and refusing is not None:
            standings = [refusing]
        else:
            return {}
        return announcement(self._headers.allowance, standings, self._limits.now())

    def _refuse_field(self, field: str, reason: str, model: str) -> NoReturn:
        """Refuse a request for a field, as a sign about that field says, else in the row's shape."""
        signs = [sign for sign in self.row.error if sign.kind == "request"]
        about = next((sign for sign in signs if field in sign.leave_out), None)
        if about is not None:
            self._say_no("request", reason, model, sign=about)
        plain = next((sign for sign in signs if not sign.leave_out and not sign.send), None)
        refuse(reason, status=plain.status or 400 if plain is not None else 400)

    def _say_no(
        self,
        kind: Kind,
        reason: str,
        model: str = "",
        *,
        sign: Sign | None = None,
        standing: Standing | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> NoReturn:
        limit: Limit | None = standing.limit if standing is not None else None
        sign = sign or self._refusals.sign(kind, limit=limit)
        back_at: Fraction | None = standing.back_at if standing is not None else None
        reply = self._refusals.reply(
            kind,
            sign,
            model,
            self._limits.now(),
            standing=standing,
            back_at=back_at,
            stream=stream,
            headers=headers,
        )
        raise Refusal(reply.status, reason, reply=reply)


def _spoken(row: Row) -> str:
    """Name the service that a row's embeddings are asked for like: itself, or that of a dialect."""
    if row.id in RULES or row.id in NATIVES:
        return row.id
    return next((model.dialect for model in row.embeddings.values()), "")
