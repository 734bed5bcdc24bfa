"""One request for vectors, in no service's own form, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, get_args

from freeproviders.types import OnEmpty
from freeproviders.wire.embeddings.vectors import Vectors

Role = Literal["document", "query"]
"""Whether a text is to be found, or finds; many models make another vector of the one than of the other."""
ROLES: Final[tuple[Role, ...]] = get_args(Role)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """Texts that go out in one HTTP request, with the prefixes of their role.

    `size` is how many numbers a vector shall have, None for the model's own number. `truncate` True
    lets the service cut a text that is too long; else it is refused. `options` are options of the
    service, by its own names. `wait_up_to` and `patience` are as in `ChatRequest`. `counts_as` is as how
    many requests the service counts it.
    """

    texts: tuple[str, ...]
    model: str | None = None
    role: Role = "document"
    size: int | None = None
    truncate: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    wait_up_to: float | None = None
    patience: Any = field(default=None, repr=False, compare=False)
    counts_as: int = 1

    # What an exchange asks of every request: nothing is streamed, cut at words or left empty here.
    stream: ClassVar[bool] = False
    stop: ClassVar[tuple[str, ...]] = ()
    max_tokens: ClassVar[int | None] = 0
    on_empty: ClassVar[OnEmpty | None] = None
    include_response_headers: ClassVar[bool] = False
    keep: ClassVar[float] = 0.0
    listener: ClassVar[None] = None

    def may_be_empty(self, reason: str, *, thought: bool, said: bool = False) -> bool:
        """Return False: an answer without vectors is none."""
        del reason, thought, said
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingAnswer:
    """The vectors of a request's texts, in their order.

    `tokens` is what the service counted, None where it does not say; `estimated` says that the
    number is an estimate. `model` is the service's name of the model that answered, "" where it
    does not say.
    """

    vectors: Vectors
    tokens: int | None = None
    estimated: bool = False
    model: str = ""
