"""Any service that speaks the OpenAI chat completions protocol."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, Self, Unpack
from urllib.parse import urlsplit

from freeproviders.abilities import Abilities, Feature
from freeproviders.configuration import Configuration
from freeproviders.errors import (
    BadRequestError,
    PermissionDeniedError,
    ProviderError,
    RetiredModelError,
    UsageError,
)
from freeproviders.openai_service import OpenAIService
from freeproviders.patterns import pattern
from freeproviders.provider import AsyncGeneratorProvider
from freeproviders.transport import HttpRequest
from freeproviders.types import ChatRequest, Finish, OnEmpty, Prefill, Usage
from freeproviders.wire.json import dumps, loads
from freeproviders.wire.openai.answer import ChatDecoder
from freeproviders.wire.openai.counting import question_asked, read_count, read_prompt, text_asked
from freeproviders.wire.openai.disguise import DisguiseDecoder
from freeproviders.wire.openai.listed import Listed
from freeproviders.wire.openai.request import REASONING, request_body
from freeproviders.wire.openai.styled import APPLIED_HERE, insist
from freeproviders.wire.parts import PartDecoder
from freeproviders.wire.signs import disguises

if TYPE_CHECKING:
    from freeproviders.answers.cache import Cache
    from freeproviders.catalogue import Service

_MISSED_EXTRAS: Final = pattern(r"missing a `?thought_signature|reasoning[ _]details to be preserved")
"""The words of services that miss what they had added to their tool calls."""


_OPENAI: Final = (".api.openai.com", ".openai.azure.com")
"""The ends of OpenAI's own addresses, whose models know the role `developer`."""


class Guard(Protocol):
    """A check of the answers of a service that must not cost anything."""

    def answered(self, finish: Finish, usage: Usage | None) -> str:
        """Return why nothing more must be sent after an answer, "" where all is right."""

    def refused(self, error: ProviderError) -> str:
        """Return why nothing more must be sent after a refusal, "" where all is right."""


Claim = bool | Literal["auto"]
"""Whether a service has a feature: yes, no, or to be found out."""


class OpenAICompatible(OpenAIService, AsyncGeneratorProvider):
    """A service at `base_url`, which ends where `/chat/completions` begins, usually in `/v1`.

    `service` is one of the catalogue by its id, as "groq": address, key variables, default model,
    abilities and quirks are then its row's, and its name stands in errors. A key of the environment
    goes to the row's address, or to `<ID>_API_BASE` of the environment; with a `base_url` elsewhere
    pass `api_key`, but for an address of this machine, which needs none. `fallback=True` asks the
    successor of a model that the service has dropped.

    Any text is a `model`; `api_key` is optional, since local servers want none. `native_tools` says
    whether the model calls tools itself, `json_schema` whether the service constrains an answer to
    a schema; without them freeproviders does both through the prompt. "auto" finds out: tools go
    through the prompt until a native call has come, and are offered natively beside it in some of
    the first requests; a schema is sent until the service refuses or ignores it. `learned.lessons`
    says what was found.
    """

    name = "OpenAICompatible"
    slug = "openai-compatible"
    api_endpoint = "/chat/completions"
    protocol = "OpenAI; server-sent events"
    working = True
    status_note = "whatever base_url points to"
    default_abilities = Abilities(images=True, audio=True, files=True)
    gives_several = True
    on_empty: ClassVar[OnEmpty] = "allow"
    api_key_env: str | None = "OPENAI_COMPATIBLE_API_KEY"
    accepted_options = None
    _guard: Guard | None = None
    _found: list[str]
    """What the guard has found, shared by copies and by other models of the account."""
    _is_openai = False
    _calls_origin: str
    """The name of the service, for what it adds to tool calls and gets back alone."""

    def __init__(
        self,
        model: str | None = None,
        *,
        service: str | Service | None = None,
        fallback: bool = False,
        native_tools: Claim = "auto",
        json_schema: Claim = "auto",
        cache: Cache = None,
        **configuration: Unpack[Configuration],
    ) -> None:
        if service is not None:
            self._serve(service, fallback=fallback, at_home=not configuration.get("base_url"))
        super().__init__(model, cache=cache, **configuration)
        self._check_key()
        self.known_abilities(self.model)  # reads files, which no call may do on its event loop
        claims: Mapping[Feature, Claim] = {"tools": native_tools, "schema": json_schema}
        for name, claim in (("native_tools", native_tools), ("json_schema", json_schema)):
            if not isinstance(claim, bool) and claim != "auto":
                raise UsageError(f'{name} must be True, False or "auto", not {claim!r}.', provider=self.name)
        self._finds_out = frozenset(claims)
        self._changed: Mapping[str, Any] = {
            feature: claim for feature, claim in claims.items() if claim != "auto"
        }

    def free_only(self, guard: Guard, shown: list[str] | None = None) -> Self:
        """Return a copy whose requests must not cost anything.

        They forbid the service to charge, where it has a way to say so: the row's `[request] free`,
        as a highest price of zero, wins over options. After the first answer or refusal in which
        `guard` finds that the account is billed, nothing more is sent: each further request is a
        `PermissionDeniedError`. `shown` takes what was found, and may be shared by several models of
        one account.
        """
        other = copy.copy(self)
        other._guard, other._found = guard, [] if shown is None else shown  # noqa: SLF001 - of the same class
        return other

    def ended(self, finish: Finish, usage: Usage) -> None:
        """Look at the end of an answer."""
        if self._guard is not None and (reason := self._guard.answered(finish, usage)):
            self._found.append(reason)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Read an answer with an error status."""
        error = super().failure(status, headers, body)
        if self._guard is None or not (reason := self._guard.refused(error)):
            return error
        self._found.append(reason)
        denied = PermissionDeniedError(reason, status=status, advice="")
        denied.allowances, denied.kind = error.allowances, error.kind
        return denied

    def model_to_ask(self, model: str | None = None) -> str:
        """Return the service's own name of a model, its default for None.

        Raises `UsageError` where the service has no default model and none is named,
        `RetiredModelError` for one that is gone.
        """
        name = super().model_to_ask(model)
        return name if self._served is None else self._served.model_to_ask(name)

    def known_abilities(self, model: str) -> Abilities | None:
        """Return the abilities of a model as the catalogue has them, None without a service."""
        return None if self._served is None else self._served.abilities(model, self.default_abilities)

    def knows(self, feature: Feature, model: str) -> bool:
        """Return whether the catalogue says if a model has a feature."""
        return super().knows(feature, model) if self._served is None else self._served.knows(feature, model)

    def prefills(self, model: str | None = None) -> Prefill:
        """Say whether the service goes on with the beginning of an answer, as its row has it."""
        if not self.style.prefill or self.learned.refuses("prefill", model or self.model):
            return ""
        return "asked"

    def _take_address(self, url: object, given_as: str = "base_url") -> None:
        super()._take_address(url, given_as)
        host = urlsplit(self.base_url).hostname or ""
        self._is_openai = host.endswith(_OPENAI) or f".{host}" in _OPENAI
        row = self.service
        self._calls_origin = urlsplit(self.base_url).netloc if row is None else row.id

    def _is_at_home(self) -> bool:
        row = self.service
        return super()._is_at_home() or (row is not None and self.base_url == row.base_url.rstrip("/"))

    def _learn_of(self, models: Sequence[Listed]) -> None:
        windows = self.learned.windows
        windows.update({model.name: model.window for model in models if model.window is not None})
        if len(models) == 1 and models[0].for_any_name and models[0].window is not None:
            windows[""] = models[0].window

    def encode(self, request: ChatRequest) -> HttpRequest:
        """Write the request as the service wants it."""
        style, learned = self.style, self.learned
        extras_of = self._origin_of(request) if self._wants_extras() else ""  # as in `decoder`
        if self._served is not None:
            request, changed = self._served.adapted(request, learned)
            if changed:
                self._warn_once("max_tokens", changed)
        thoughts = [message.reasoning for message in request.messages if message.reasoning]
        body = request_body(
            request,
            style,
            usage_frames=not learned.refuses("usage_frames"),
            max_tokens="max_completion_tokens" if learned.refuses("max_tokens") else "",
            reasoning=bool(thoughts) and self._wants_back(request),
            extras_of=extras_of,
            developer=self._is_openai,
            say=self._warn_once,
        )
        if self._guard is not None:
            if self._found:
                raise PermissionDeniedError(self._found[0], advice="")
            insist(body, style.free)
        for name in learned.mend(body, request.model or self.model):
            given = name in request.options or getattr(request, name, None) is not None
            if given and name not in APPLIED_HERE:
                self._warn_once(name, f"cannot take {name}: left out of the request.")
        return HttpRequest("POST", self.base_url + self.api_endpoint, self._headers(), dumps(body))

    async def exact_input_tokens(self, request: ChatRequest) -> int | None:
        """Count a question's tokens as the server will, template and tools included; None if it cannot."""
        if (service := self.service) is None or not service.tokenizer:
            return None
        model = request.model or self.model
        asked = question_asked(loads(self.encode(request).body or b"{}"), model)
        if service.tokenizer == "llamacpp":
            prompt = await self._told("/apply-template", asked, read_prompt)
            if prompt is None:
                return None
            asked = text_asked(service.tokenizer, prompt, model, is_prompt=True)
        return await self._told("/tokenize", asked, read_count)

    def decoder(self, request: ChatRequest) -> PartDecoder:
        """Return a new decoder for one answer."""
        settings: dict[str, Any] = {
            "logprobs": bool(request.options and request.options.get("logprobs")),
            "deltas": request.stream_tool_arguments and request.stream,
            "origin": self._origin_of(request),
        }
        if not self.signs:
            return ChatDecoder(**settings)
        if masks := disguises(self.signs):
            decoder: ChatDecoder = DisguiseDecoder(masks, **settings)
        else:
            decoder = ChatDecoder(**settings)
        decoder.signs, decoder.announces = self.signs, self.announces
        return decoder

    def _origin_of(self, request: ChatRequest) -> str:
        """Name the service and model of a request: what one model signs, another one may refuse."""
        return f"{self._calls_origin}/{request.model or self.model}"

    def _wants_extras(self) -> bool:
        """Return whether what the service adds to tool calls is sent back with them."""
        return self.style.tool_extras or self.learned.proves("tool_extras", "")

    def _wants_back(self, request: ChatRequest) -> bool:
        """Return whether the thinking of a run of tool calls is sent back."""
        if self.learned.refuses("reasoning"):
            return False
        if self.style.reasoning:
            return True
        from freeproviders.tools.quirks import quirks_for  # noqa: PLC0415 - for histories with thinking

        model = request.model or self.model
        return (
            self.learned.proves("reasoning", "")
            or self.abilities(model).interleaved
            or quirks_for(self, model).interleaved
        )

    def recover(self, error: ProviderError) -> bool:
        """Leave out from now on what the service refused, or send the thinking that it missed."""
        if self._guard is not None and (reason := self._guard.refused(error)):
            self._found.append(reason)
            return False
        if isinstance(error, RetiredModelError):
            return self._served is not None and self._served.goes_on_without(error, self.learned)
        if not isinstance(error, BadRequestError):
            return False
        if error.sign is not None and (error.sign.send or error.sign.leave_out):
            self.learned.refuse_fields(error.sign, error.model, why=error.message)
            return True
        said = f"{error.message} {error.body}"
        if _MISSED_EXTRAS.search(said) and not self._wants_extras():
            self.learned.prove("tool_extras", "", why=error.message)
        elif "stream_options" in said:
            self.learned.refuse("usage_frames", why=error.message)
        elif "max_completion_tokens" in said and "max_tokens" in said.replace("max_completion_tokens", ""):
            self.learned.refuse("max_tokens", why=error.message)  # models that think want the other name
        elif REASONING in said and "missing" in said.lower():
            self.learned.prove("reasoning", "", why=error.message)
        elif REASONING in said:
            self.learned.refuse("reasoning", why=error.message)
        else:
            return False
        return True
