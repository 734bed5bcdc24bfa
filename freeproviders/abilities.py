"""Abilities of models, features that services refuse, and backends as the tools see them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from freeproviders.retry import Retry
from freeproviders.types import Batch, ChatRequest

Feature = Literal["tools", "schema", "usage_frames"]
"""What a service may refuse: native tools, constrained answers, usage in a stream."""


@dataclass(frozen=True, slots=True)
class Abilities:
    """The abilities of one model, without the help of freeproviders.

    `tools` are native tool calls, `schema` answers constrained to a JSON schema, `images`, `audio`
    and `files` parts of messages; `window` counts the tokens of question and answer together, None
    where it is not known; `reasoning` says that the model thinks before it answers. `strict_schema`
    says that a schema is sent in OpenAI's strict form where it has one, else always as it is.
    """

    tools: bool = False
    schema: bool = False
    images: bool = False
    audio: bool = False
    files: bool = False
    window: int | None = None
    reasoning: bool = False
    strict_schema: bool = True


@dataclass(slots=True)
class Learned:
    """The features that a service has refused, as its answers have shown.

    One object serves all copies of a configuration that reach the same address. It only grows, so
    that threads and event loops may share it without a lock. A feature is refused for one model, or
    for all ("").
    """

    refused: set[tuple[str, str]] = field(default_factory=set)

    def refuse(self, feature: Feature, model: str = "") -> None:
        """Remember that the service refuses a feature for a model, "" for all models."""
        self.refused.add((feature, model))

    def refuses(self, feature: Feature, model: str = "") -> bool:
        """Return whether the service has refused a feature for a model."""
        return bool(self.refused) and ((feature, model) in self.refused or (feature, "") in self.refused)

    def without_refused(self, abilities: Abilities, model: str) -> Abilities:
        """Return the claimed abilities of a model, less those that the service has refused."""
        lost: dict[str, Any] = {
            feature: False for feature in ("tools", "schema") if self.refuses(feature, model)
        }
        return replace(abilities, **lost) if lost else abilities


class Askable(Protocol):
    """The members without which no object is a backend; `Backend.of` makes one of it."""

    @property
    def name(self) -> str:
        """The name for errors."""

    @property
    def model(self) -> str:
        """The model of a request that names none; "" if that is not known."""

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the parts of an answer by the bare protocol."""


class Answering(Askable, Protocol):
    """A backend as far as the tools need it: the bare protocol and the model's abilities."""

    @property
    def retry(self) -> Retry:
        """The rule for sending a failed request again."""

    @property
    def learned(self) -> Learned:
        """The features that the service has refused."""

    def abilities(self, model: str | None = None) -> Abilities:
        """The abilities of a model; None is the backend's own model."""
