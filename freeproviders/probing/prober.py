"""The questions of a probe, asked one by one, each with one request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from freeproviders import journal
from freeproviders.catalogue import Service, catalogue
from freeproviders.configuration import Configuration
from freeproviders.errors import (
    AuthenticationError,
    BadRequestError,
    BlockedError,
    ContextOverflowError,
    FreeProvidersError,
    NotFoundError,
    NotInPlanError,
    OverloadedError,
    PermissionDeniedError,
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    RateLimitError,
    RedirectError,
    RequestTooLargeError,
    UsageError,
)
from freeproviders.probing.comparing import compared
from freeproviders.probing.plan import LONGEST, MENDS, OF_THE_MODEL, Plan
from freeproviders.probing.report import Finding, Outcome, Question, Report
from freeproviders.providers.openai_compatible import OpenAICompatible
from freeproviders.transport import HttpRequest, send
from freeproviders.types import ChatRequest, Finish, Usage, collect
from freeproviders.wire.embeddings.dialects import dialect_named
from freeproviders.wire.embeddings.request import EmbeddingRequest
from freeproviders.wire.json import dumps, loads

if TYPE_CHECKING:
    from freeproviders.quota.meter import Ticket

NO_SUCH_MODEL: Final = "no-such-model-of-a-probe"
_NEEDED: Final[Mapping[Question, str]] = {"tools": "tools", "schema": "response_format"}
"""Fields without which a question makes no sense, though a row may leave them out."""
MAX_BYTES: Final = 2**20
WAIT_SECONDS: Final = 60.0
"""The time for which a limit is waited for that other programs of the user have used up."""
SECONDS: Final = 180.0
"""The time for one answer; a model on this machine may have to be loaded first."""
_Error = TypeVar("_Error", bound=FreeProvidersError)
_ASK: Final = "Say hello in one word."
_ASK_TOOL: Final = "What is the weather in Paris? Use the tool."
_TOOL: Final[Mapping[str, Any]] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
_FORMAT: Final[Mapping[str, Any]] = {
    "type": "json_schema",
    "json_schema": {
        "name": "greeting",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"word": {"type": "string"}, "letters": {"type": "integer"}},
            "required": ["word", "letters"],
            "additionalProperties": False,
        },
    },
}
# Said in the question too: some services want the word JSON there, and a model that is not held to
# the schema still writes a sentence first.
_ASK_OBJECT: Final = "Say hello in one word, tell how many letters it has, and think of it as JSON."
_ENDING: Final = (
    AuthenticationError,
    BlockedError,
    OverloadedError,
    ProviderConnectionError,
    ProviderTimeoutError,
    RateLimitError,
    RedirectError,
)
"""Errors after which the next request would fare no better, or should not be sent."""
_REFUSED_NAME: Final = re.compile(
    r"(?i)unsupported|unrecognized|unknown|unexpected|extra|not (?:supported|permitted|allowed)"
)
_OTHER_NAME: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}


class Prober:
    """A probe of one service of the catalogue, with the user's own key.

    Args:
        service: the service's id or name.
        model: the model to ask; None is the row's default.
        embeddings: whether a vector is asked for too.
        configuration: how the service is reached, as of `OpenAICompatible`; a request is never tried
            again.

    Raises:
        UnknownServiceError: there is no such service.
        MissingKeyError: it wants a key, and there is none.
        UsageError: it is gone, no model is named and it has no default one, or it has no embedding
            model.
    """

    def __init__(
        self,
        service: str,
        model: str | None = None,
        *,
        embeddings: bool = False,
        **configuration: Unpack[Configuration],
    ) -> None:
        self.row: Service = catalogue().service(service)
        configuration["retry"] = 0
        if configuration.get("timeout") is None:
            configuration["timeout"] = SECONDS
        self.provider = OpenAICompatible(
            model,
            service=replace(self.row, retired={}),  # a model that is said to be gone may be asked for too
            native_tools=True,
            json_schema=True,
            **configuration,
        )
        embedding = next(iter(self.row.embeddings), "") if embeddings else ""
        if embeddings and not embedding:
            raise UsageError("The row has no embedding model.", provider=self.row.name)
        provider = self.provider
        keyless = not provider.api_key and provider.login is None
        self.plan = Plan(self.row, provider.base_url, provider.model, embedding, keyless)
        self.model = provider.model
        self._outcomes: list[Outcome] = []
        self._learned: list[Finding] = []
        self._requests = 0
        self._mends = 0
        self._ended: Exception | None = None

    def secrets(self) -> list[str]:
        """List what must not be written down: keys, logins and cookies."""
        return [*self.provider.secrets, self.provider.api_key or ""]  # however short it is

    async def run(
        self,
        observe: Callable[[Outcome], object] = lambda _: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> Report:
        """Ask the questions of the plan, with its pauses; no request is sent twice.

        `observe` is told each outcome, `sleep` passes the time between two requests.

        Where limits are kept, each question is counted as any other is.

        A refused key, a limit that is reached, and a service that cannot be reached end the probe:
        the report then says so, and has what came before.
        """
        at = datetime.now(UTC)
        for question in self.plan.questions:
            outcome = self._skipped(question) or await self._outcome(question, sleep)
            while self._mended(outcome):
                self._outcomes.append(outcome)
                outcome = await self._outcome(question, sleep)
            self._outcomes.append(outcome)
            self._look_at(outcome)
            observe(outcome)
        outcomes = tuple(self._outcomes)
        findings = (*self._learned, *compared(self.row, self.model, outcomes, keyless=self.plan.keyless))
        return Report(
            self.row.id,
            self.provider.base_url,
            self.model,
            at,
            self._requests,
            outcomes,
            findings,
            self._ended,
        )

    # --- which question, and what follows ---

    def _skipped(self, question: Question) -> Outcome | None:
        """Return the outcome of a question that is not asked, None for one that is."""
        why = ""
        if self._ended is not None:
            why = "the probe had ended"
        elif question in OF_THE_MODEL and not self.model:
            why = "no model is known: name one"
        elif question in OF_THE_MODEL and any(
            one.question in OF_THE_MODEL and isinstance(one.error, NotFoundError | NotInPlanError)
            for one in self._outcomes
        ):
            why = "the service does not give this model"
        return Outcome(question, self.model, datetime.now(UTC), skipped=why) if why else None

    def _look_at(self, outcome: Outcome) -> None:
        if outcome.question == "models" and not self.model:
            self.model = next(iter(outcome.models), "")
        error = outcome.error
        if (
            outcome.question == "error"
            and isinstance(error, AuthenticationError)
            and any(one.completion is not None for one in self._outcomes)
        ):
            return  # the key is right: this service has no other words for a model
        if isinstance(error, _ENDING) or (
            outcome.question in {"answer", "stream"}
            and isinstance(error, PermissionDeniedError)
            and not isinstance(error, NotInPlanError)
        ):
            self._ended = error

    def _mended(self, outcome: Outcome) -> bool:
        """Return whether a field was refused that the next request does without."""
        error = outcome.error
        if outcome.question not in OF_THE_MODEL or not isinstance(error, BadRequestError):
            return False
        if self._mends == MENDS:
            return False
        finding = self._renamed(error)
        if finding is None:
            before = set(self.provider.learned.lessons)
            if not self.provider.recover(error):
                return False
            lessons = [one for one in self.provider.learned.lessons if one not in before]
            if not lessons:
                return False
            if any(lesson.feature == "usage_frames" for lesson in lessons):
                left_out = [*self.row.request.leave_out, "stream_options"]
                finding = Finding(
                    "request",
                    "differs",
                    f"stream_options is refused: {error.message}",
                    {"request": {"leave_out": left_out}},
                )
        if finding is not None:
            self._learned.append(finding)
        self._mends += 1
        return True

    def _renamed(self, error: BadRequestError) -> Finding | None:
        """Call the limit of an answer by its other name, if the refusal is about the name."""
        if error.sign is not None or isinstance(error, ContextOverflowError | RequestTooLargeError):
            return None
        style, said = self.provider.style, f"{error.message} {error.body}"
        sent, other = style.max_tokens, _OTHER_NAME[style.max_tokens]
        words = re.findall(r"max_(?:completion_)?tokens", said)
        if sent not in words or not (other in words or _REFUSED_NAME.search(said)):
            return None
        self.provider.style = replace(style, max_tokens=other)  # type: ignore[arg-type]  # one of the two
        return Finding(
            "request",
            "differs",
            f"{sent} is refused: {error.message}",
            {"request": {"max_tokens": other}},
        )

    # --- one request ---

    async def _outcome(self, question: Question, sleep: Callable[[float], Awaitable[object]]) -> Outcome:
        """Ask one question; whatever goes wrong is a part of the outcome."""
        if self._requests and self.plan.pause:
            await sleep(self.plan.pause)
        try:
            match question:
                case "models":
                    return await self._list()
                case "embeddings":
                    return await self._vector()
                case _:
                    return await self._chat(question)
        except UsageError:
            raise  # the caller's mistake, not the service's
        except FreeProvidersError as error:
            return Outcome(question, self.model, datetime.now(UTC), error=self._explained(error))

    def _explained(self, error: _Error, model: str = "") -> _Error:
        error.about(self.provider.name, model).without(self.provider.secrets)
        if isinstance(error, ProviderError):
            error.env = self.provider.api_key_env if isinstance(error, AuthenticationError) else None
            self.provider.given_up(error)
        return error

    async def _list(self) -> Outcome:
        self._requests += 1
        names = await self.provider.list_models()
        return Outcome("models", "", datetime.now(UTC), 200, models=tuple(names))

    async def _vector(self) -> Outcome:
        model = self.plan.embedding
        request, row = EmbeddingRequest(texts=("Hello",), model=model), self.row.embeddings[model]
        dialect = dialect_named(row.dialect)
        path, asked = dialect.written(request, row)
        headers = dialect.headers(self.provider.encode(self._request("answer")).headers)
        address = dialect.address(self.provider.base_url, path)
        status, headers, said = await self._sent(HttpRequest("POST", address, headers, dumps(asked)))
        at = datetime.now(UTC)
        if not 200 <= status < 300:
            refused = self._explained(self.provider.failure(status, headers, said), model)
            return Outcome("embeddings", model, at, status, headers, said, error=refused)
        decoder = dialect.decoder(request)
        decoder.signs, decoder.announces = self.provider.signs, self.provider.announces
        decoder.feed(said)
        if decoder.failure is None:
            decoder.close()
        if decoder.failure is not None:
            failed = self._explained(decoder.failure, model)
            return Outcome("embeddings", model, at, status, headers, said, error=failed)
        vector = tuple(decoder.answer.vectors[0])
        return Outcome("embeddings", model, at, status, headers, said, vector=vector)

    async def _chat(self, question: Question) -> Outcome:
        request = self._request(question)
        http = self.provider.encode(request)
        asked = loads(http.body or b"{}")
        needed = _NEEDED.get(question, "")
        if needed and needed not in asked:
            why = f"the row leaves {needed} out"
            return Outcome(question, request.model or "", datetime.now(UTC), skipped=why)
        meter = await self.provider.metered()
        if meter is None:
            return await self._answered(question, request, http, asked, None)
        ticket = await meter.admit(request, WAIT_SECONDS, self.provider.timeout.total)
        outcome = None
        try:
            outcome = await self._answered(question, request, http, asked, ticket)
        finally:
            completion = outcome.completion if outcome is not None else None
            usage = None if completion is None or completion.usage.estimated else completion.usage
            if outcome is not None and isinstance(outcome.error, ProviderError):
                ticket.refused(outcome.error)
            ticket.end(usage)
        return outcome

    async def _answered(
        self,
        question: Question,
        request: ChatRequest,
        http: HttpRequest,
        asked: Mapping[str, Any],
        ticket: Ticket | None,
    ) -> Outcome:
        """Send a question, and read what came."""
        status, headers, body = await self._sent(http, ticket)
        at = datetime.now(UTC)
        model = request.model or ""
        outcome = Outcome(question, model, at, status, headers, body, asked)
        if not 200 <= status < 300:
            error = self._explained(self.provider.failure(status, headers, body), model)
            return replace(outcome, error=error, allowances=error.allowances)
        decoder = self.provider.decoder(request)
        batch = decoder.feed(body)
        if decoder.failure is None:
            batch += decoder.close()
        allowances = self.provider.allowances(headers)
        if decoder.failure is not None:
            failed = self._explained(decoder.failure, model)
            return replace(outcome, error=failed, allowances=allowances)
        batch.append(decoder.usage or Usage(0, 0, estimated=True))
        finish = Finish(
            reason=decoder.reason or "unknown",
            provider=self.row.name,
            model=decoder.model or model,
            raw_reason=decoder.raw_reason,
            confirmed=decoder.confirmed,
        )
        return replace(
            outcome,
            completion=collect([*batch, finish]),
            complete=decoder.done,
            allowances=allowances,
        )

    def _request(self, question: Question) -> ChatRequest:
        ask: dict[str, Any] = {"model": self.model or None, "stream": question == "stream"}
        words = _ASK
        match question:
            case "tools":
                words = _ASK_TOOL
                ask |= {"tools": [_TOOL], "tool_choice": "required"}
            case "schema":
                words = _ASK_OBJECT
                ask |= {"response_format": _FORMAT}
            case "error":
                ask["model"] = NO_SUCH_MODEL
        request = self.provider.request(words, max_tokens=LONGEST.get(question), **ask)
        return self.provider.checked(request)

    async def _sent(
        self, request: HttpRequest, ticket: Ticket | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request once; return status, headers and body, whatever they are."""
        provider, trace = self.provider, journal.traced()
        self._requests += 1
        if trace is not None:
            size = len(request.body or b"")
            trace.sent(
                request.method,
                request.url,
                provider.name,
                secrets=provider.secrets,
                headers=request.headers,
                size=size,
            )
        try:
            async with asyncio.timeout(provider.timeout.total):
                writing = None if ticket is None else ticket.writing
                response = await send(request, provider.route, provider.timeout.connect, writing=writing)
                if ticket is not None:
                    ticket.received(provider.allowances(response.headers))
                if trace is not None:
                    trace.answered(response.status, response.headers)
                try:
                    body = await response.read_all(MAX_BYTES)
                finally:
                    response.close()
        except (TimeoutError, ProviderError) as error:
            if trace is not None:
                trace.failed(error)
            if isinstance(error, ProviderError):
                raise
            raise ProviderTimeoutError("The service did not answer in time.") from error
        if trace is not None:
            trace.ended(len(body))
        return response.status, response.headers, body
