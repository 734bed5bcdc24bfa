"""One LLM over everything that is free for this user, which goes on where a service fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final, Literal

from llama_index.core.llms.llm import LLM
from pydantic import Field, field_serializer

from freeproviders.backend import Backend
from freeproviders.configuration import CONFIGURATION, SECOND_NAMES, Configuration, is_credential
from freeproviders.errors import UsageError
from freeproviders.types import OnBrokenStream
from llama_index_freeproviders.base import CoreLLM
from llama_index_freeproviders.fields import PatienceFields
from llama_index_freeproviders.members import as_backend
from llama_index_freeproviders.names import LLM_NAMES, Names
from llama_index_freeproviders.saved import recognize

_OF_ONE_MEMBER: Final = frozenset(CONFIGURATION) - {"timeout", "retry"}
_NOT_SAVED: Final = "not_saved"
_NEVER_SAVED: Final = frozenset({*_OF_ONE_MEMBER, "default_headers", "extra_headers", "extra_body"}) - {
    "base_url"
}


class FreeProviders(PatienceFields, CoreLLM):
    """One LLM over everything that is free for this user, which goes on where a service fails.

    Without `models` it finds them: services with a key in the environment, then Ollama, then the
    embedded model. It spends nothing unasked; `freeproviders.FreeProviders` says what is asked when.
    With `models` those are asked, in their order. `model`, also of a call, restricts it to the
    members of that name.

    `raw` of a response names what answered (`provider`, `model`), what became of each member
    (`trail`) and where another went on (`seams`). LlamaIndex's instrumentation tells of all that
    while it happens (`llama_index_freeproviders.events`). If no member answers, a
    `NoProviderError` says why, member by member.

    Examples:
        ```python
        from llama_index.core.llms import MockLLM
        from llama_index.llms.freeproviders import FreeProviders

        llm = FreeProviders(models=["flow-gpt", MockLLM(max_tokens=3)])
        ```

        ```python
        from freeproviders.testing import replica
        from llama_index.llms.freeproviders import FreeProviders, OpenAICompatible

        with (
            replica("openai-compatible", faults={"status": 503}) as down,
            replica("openai-compatible", answer="It scatters.") as up,
        ):
            services = [OpenAICompatible("m", base_url=server.base_url) for server in (down, up)]
            response = FreeProviders(models=services).complete("Why is the sky blue?")
            print(response, [attempt["error"][:26] for attempt in response.raw["trail"]])
        ```
    """

    names: ClassVar[Names] = replace(
        LLM_NAMES, other_ways={**LLM_NAMES.other_ways, "members": "Pass the members as models=[...]."}
    )

    models: list[Any] = Field(
        default_factory=list,
        description=(
            "What is asked, in this order: names ('groq', 'groq/openai/gpt-oss-120b', 'embedded'), LLMs of "
            "any package, backends; without any, what is free for this user is found."
        ),
    )
    prefer: list[str] = Field(default_factory=list, description="Names of found members asked first.")
    exclude: list[str] = Field(default_factory=list, description="Names of members that are not asked.")
    allow: list[str] = Field(
        default_factory=list, description="Services that are asked only when allowed, as those without a key."
    )
    confirmed: list[str] = Field(
        default_factory=list,
        exclude=True,
        description="Services whose accounts are free ones by your word, which is not saved.",
    )
    paid: bool = Field(
        default=False,
        exclude=True,
        description="Whether models that cost money may be asked where they are named; it is not saved.",
    )
    privacy: Literal["local", "no-training", "any"] | None = Field(
        default=None,
        description=(
            "Where prompts may go: 'local', 'no-training' or 'any'; None is 'no-training' for members that "
            "are found, and 'any' where models are named."
        ),
    )
    strategy: Literal["ordered", "spread", "auto"] | None = Field(
        default=None, description="How members are chosen; None is 'ordered' for named ones, else 'auto'."
    )
    on_broken_stream: OnBrokenStream = Field(
        default="raise",
        description=(
            "What happens where an answer breaks off after its first words: 'raise' raises, 'continue' goes "
            "on where that can be done without a wrong word, 'restart' begins anew where it cannot, which a "
            "chunk with raw['reset'] says."
        ),
    )
    max_requests: int = Field(
        default=6,
        ge=1,
        description="The most HTTP requests for one question, repairs and further members included.",
    )
    ledger: Any = Field(
        default="",
        exclude=True,
        repr=False,
        description="Where limits and health are kept; see freeproviders.Quota. Not saved.",
    )

    def __init__(self, model: str | None = None, **fields: Any) -> None:
        super().__init__(**self._read({"model": model, **fields}))

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        return "freeproviders"

    @classmethod
    def _named(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        if wrong := [name for name in given if SECOND_NAMES.get(name, name) in _OF_ONE_MEMBER]:
            raise UsageError(
                f"{', '.join(wrong)} belongs to one member: configure the member, as "
                "OpenAICompatible(service=..., ...), and pass it in models.",
                provider=cls._who(),
            )
        return super()._named(given)

    @classmethod
    def _makes_core(cls, name: str) -> bool:
        return name == "context_window" or super()._makes_core(name)

    @property
    def members(self) -> list[str]:
        """The names of the members; Ollama's models are known after the first question."""
        return [member.name for member in getattr(self.core, "members", ())]

    def _made_core(self) -> Backend:
        if self.function_calling not in {"auto", "off"}:
            raise UsageError(
                f"function_calling={self.function_calling!r} belongs to one member: configure the member, as "
                "OpenAICompatible(service=..., function_calling=...), and pass it in models.",
                provider=self._who(),
            )
        return self._made_backend()

    def _made_backend(self) -> Backend:
        from freeproviders import FreeProviders as Router  # noqa: PLC0415 - only a router needs it

        own = {name: getattr(self, name) for name in Router.options}
        router = Router(*map(_member, self.models), **own)
        changes: Configuration = {}
        if self.timeout is not None:
            changes["timeout"] = self.timeout
        if self.retry is not None:
            changes["retry"] = self.retry
        if changes:
            router = router.configured(**changes)
        return router.with_model(self.model) if self.model else router

    # --- what is saved ----------------------------------------------------------------------------

    @field_serializer("models")
    def _saved_models(self, models: list[Any]) -> list[Any]:
        """Names as they are, LLMs without what is secret; a backend only by its name."""
        return [_saved(model) for model in models]

    @classmethod
    def _read(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Load the models among arguments that were saved."""
        fields = super()._read(given)
        models = fields.get("models")
        return {**fields, "models": [_loaded(model) for model in models]} if models else fields


def _member(model: Any) -> Any:
    """Make a backend of an LLM; another package's tries nothing again, since the router goes on."""
    if not isinstance(model, LLM):
        return model
    backend = as_backend(model)
    return backend if isinstance(model, CoreLLM) else backend.configured(retry=0)


def _saved(model: Any) -> Any:
    if isinstance(model, str):
        return model
    if isinstance(model, LLM):
        return _without_secrets(model.to_dict())
    return {
        _NOT_SAVED: f"{getattr(model, 'name', type(model).__name__)} {getattr(model, 'model', '')}".strip()
    }


def _without_secrets(value: Any) -> Any:
    """Leave out of saved fields whatever is a credential, or may hold one."""
    if isinstance(value, Mapping):
        return {
            name: _without_secrets(item)
            for name, item in value.items()
            if name not in _NEVER_SAVED and not is_credential(str(name), item)
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value if not is_credential("", item)]
    return value


def _loaded(model: Any) -> Any:
    """Make an LLM of what was saved of it; all else stays as it is."""
    if not isinstance(model, Mapping):
        return model
    if _NOT_SAVED in model:
        raise UsageError(
            f"models: the backend {model[_NOT_SAVED]!r} is not saved with an LLM. Pass models= again, as in "
            "FreeProviders.from_dict(saved, models=[...])."
        )
    # Late, see `recognize`.
    from llama_index.core.llms.loading import RECOGNIZED_LLMS, load_llm  # noqa: PLC0415

    if model.get("class_name") not in RECOGNIZED_LLMS:
        raise UsageError(
            f"models: LlamaIndex finds no class {model.get('class_name')!r}: import its package before."
        )
    return load_llm(dict(model))


recognize({FreeProviders.class_name(): FreeProviders})
