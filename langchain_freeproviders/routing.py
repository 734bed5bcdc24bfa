"""The fields of the models over a router: what may be asked, and how the router goes on.

A run of LangChain's travels with a call as one more keyword, since LangChain does not tell a model
that streams which run it is in. No trace, no cache and no service sees that keyword.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Self, TypeVar
from uuid import UUID

from langchain_core.callbacks.manager import BaseRunManager
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import BaseLanguageModel
from langchain_core.load.serializable import (
    Serializable,
    SerializedConstructor,
    SerializedNotImplemented,
)
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.utils.uuid import uuid7
from pydantic import Field

from freeproviders.backend import Backend
from freeproviders.configuration import CONFIGURATION, Configuration
from freeproviders.errors import UsageError
from freeproviders.types import Batch, ChatRequest, OnBrokenStream
from langchain_freeproviders.backend import identity_of
from langchain_freeproviders.configured import PatienceFields
from langchain_freeproviders.events import AsyncRun, Run, below
from langchain_freeproviders.keywords import OTHER_WAYS, SECOND_NAMES
from langchain_freeproviders.settings import BackendSettings
from langchain_freeproviders.wrapped import as_backend

RUN: Final = "freeproviders_run"
"""The keyword with which the run of a call travels."""
_OF_ONE_MEMBER: Final = frozenset(CONFIGURATION) - {"timeout", "retry"}


class RouterSettings(PatienceFields, BackendSettings):
    """The settings of a request, and the configuration of a router."""

    models: list[Any] = Field(default_factory=list)
    """What is asked, in this order; without any, what is free for this user is found.

    Each is a name ("groq", "groq/openai/gpt-oss-120b", "embedded"), a LangChain chat model, or a
    `freeproviders.Backend`.
    """
    prefer: list[str] = Field(default_factory=list)
    """Names of found members asked first."""
    exclude: list[str] = Field(default_factory=list)
    """Names of members that are not asked."""
    allow: list[str] = Field(default_factory=list)
    """Services that are asked only when allowed, as those without a key."""
    confirmed: list[str] = Field(default_factory=list, exclude=True)
    """Services whose accounts you have confirmed to be free ones. Not saved: it is your word."""
    paid: bool = Field(default=False, exclude=True)
    """Whether models that cost money may be asked where they are named. Not saved: it is your word."""
    privacy: Literal["local", "no-training", "any"] | None = None
    """Where prompts may go: "local", "no-training" or "any".

    None is "no-training" for members that are found, and "any" where you name the members.
    """
    strategy: Literal["ordered", "spread", "auto"] | None = None
    """How members are chosen; None is "ordered" for named ones, else "auto"."""
    on_broken_stream: OnBrokenStream = "raise"
    """What happens where an answer breaks off after its first words.

    "raise" raises, "continue" goes on where that can be done without a wrong word, "restart" begins
    anew where it cannot, which a chunk with `response_metadata["reset"]` says.
    """
    max_requests: int = Field(default=6, ge=1)
    """The most HTTP requests for one question, repairs and further members included."""
    context_window: int | None = Field(default=None, ge=1)
    """The announced window, in tokens; None is the smallest among the preferred members."""
    ledger: Any = Field(default="", exclude=True, repr=False)
    """Where limits and health are kept; see `freeproviders.Quota`. Not saved: it belongs to a machine."""

    derived = (*BackendSettings.derived, "_has_chat_models")
    other_ways: ClassVar[Mapping[str, str]] = {**OTHER_WAYS, "members": "Pass the members as models=[...]."}

    # --- reading what the caller passed ---

    @classmethod
    def _named(cls, values: dict[str, Any]) -> dict[str, Any]:
        wrong = [name for name in values if SECOND_NAMES.get(name, name) in _OF_ONE_MEMBER]
        if wrong:
            raise UsageError(
                f"{', '.join(wrong)} belongs to one member: configure the member, as "
                "ChatOpenAICompatible(service=..., ...), and pass it in models.",
                provider=cls.__name__,
            )
        return super()._named(values)

    # --- the router ---

    def _made_backend(self) -> Backend:
        from freeproviders import FreeProviders  # noqa: PLC0415 - many modules, which only a router needs

        router = FreeProviders(
            *[as_backend(model) if isinstance(model, BaseChatModel) else model for model in self.models],
            **{name: getattr(self, name) for name in FreeProviders.options},
        )
        changes: Configuration = {}
        if self.timeout is not None:
            changes["timeout"] = self.timeout
        if self.max_retries is not None:
            changes["retry"] = self.max_retries
        return router.configured(**changes) if changes else router

    @cached_property
    def _has_chat_models(self) -> bool:
        """Whether a member is a LangChain chat model, whose runs belong below the router's."""
        return any(isinstance(model, BaseChatModel) for model in self.models)

    @property
    def _found(self) -> list[str]:
        """The names of the members that the router has."""
        return [member.name for member in getattr(self._backend, "members", ())]

    @cached_property
    def _own_window(self) -> int | None:
        return None  # a question that is too long for one member goes to another

    def _made_settings(self) -> dict[str, Any]:
        return {**super()._made_settings(), **({"model": self.model_name} if self.model_name else {})}

    def _made_identity(self) -> dict[str, Any]:
        return {
            **super()._made_identity(),
            "models": [identity_of(model) for model in self.models] or self._found,
            "on_broken_stream": self.on_broken_stream,
            **{
                name: value
                for name in ("prefer", "exclude", "allow", "privacy", "strategy")
                if (value := getattr(self, name))
            },
        }

    # --- a request ---

    def _prepare(self, settings: dict[str, Any], options: Mapping[str, Any]) -> Backend:
        return super()._prepare(settings, without_run(options))

    def _asked(
        self, backend: Backend, request: ChatRequest, options: Mapping[str, Any]
    ) -> AsyncGenerator[Batch, None]:
        run: Run | None = options.get(RUN)
        if run is None:
            return super()._asked(backend, request, options)
        heard = run.listens or (request.stream and self.on_broken_stream == "restart")
        if heard:
            request = replace(request, listener=run.hear)
        batches = super()._asked(backend, request, options)
        if self._has_chat_models:
            batches = below(run.child, batches)
        return run.heard(batches) if heard and (request.stream or isinstance(run, AsyncRun)) else batches

    # --- copies, and what is saved ---

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Members are shared by all copies, as connections and what was learned of services are.
        return super().__deepcopy__({**{id(one): one for one in self.models}, **(memo or {})})

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Write the model as LangChain saves it: not where a member is an object that cannot be."""
        for model in self.models:
            if not isinstance(model, str) and not (
                isinstance(model, Serializable) and model.is_lc_serializable()
            ):
                return self.to_json_not_implemented()
        return super().to_json()


R = TypeVar("R", bound=Run)


def with_run(
    kind: type[R], manager: BaseRunManager | None, options: dict[str, Any]
) -> tuple[R, dict[str, Any]]:
    """Return the run of a call, and the keywords of the call with it.

    It is LangChain's where it tells, else the one that came with the call, else one without callbacks.
    """
    run: R = kind.of(manager) if manager is not None else options.get(RUN) or kind.without_callbacks()
    return run, {**options, RUN: run}


def run_ahead(
    kind: type[Run], model: BaseLanguageModel[Any], config: RunnableConfig | None
) -> tuple[RunnableConfig, dict[str, Any]]:
    """Return a config with the id of the run that LangChain is about to begin, and the keyword with it."""
    known = ensure_config(config)
    run_id: UUID = known.get("run_id") or uuid7()
    known["run_id"] = run_id
    return known, {RUN: kind.ahead(model, known, run_id)}


def without_run(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of a call as the caller gave them."""
    return {name: value for name, value in options.items() if name != RUN}
