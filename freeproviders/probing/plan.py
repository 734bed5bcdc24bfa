"""What a probe will send, said before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from freeproviders.catalogue import facts_of
from freeproviders.catalogue.rows import SECONDS, Limit, Service, seconds_of
from freeproviders.catalogue.words import amount, shown
from freeproviders.probing.report import Question

ANSWER_TOKENS: Final = 64
CALL_TOKENS: Final = 512
"""Calls and objects get more room: a model that thinks comes to them late."""
PROMPT_TOKENS: Final = 150
"""More than any question of a probe has, tools and schema included."""
_ROOM: Final = 1.05
"""A clock at the other end may be a little slower."""
MENDS: Final = 2
"""So many fields that the service refuses are changed, each at the price of one more request."""

OF_THE_MODEL: Final[tuple[Question, ...]] = ("answer", "stream", "tools", "schema")
LONGEST: Final[dict[Question, int]] = {
    "answer": ANSWER_TOKENS,
    "stream": ANSWER_TOKENS,
    "tools": CALL_TOKENS,
    "schema": CALL_TOKENS,
    "error": ANSWER_TOKENS,
}
"""The answer's limit, in tokens."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of a probe of one service: one for each question.

    `model` "" is the first one that the service lists; `embedding` the model of the vectors, ""
    where none is asked for.
    """

    service: Service
    base_url: str
    model: str
    embedding: str = ""
    keyless: bool = False

    @property
    def questions(self) -> tuple[Question, ...]:
        """What is asked, in this order."""
        own: tuple[Question, ...] = ("models", *OF_THE_MODEL, "error")
        return (*own, "embeddings") if self.embedding else own

    @property
    def tokens(self) -> int:
        """The most tokens that questions and answers of the model may have together."""
        return sum(LONGEST[question] + PROMPT_TOKENS for question in OF_THE_MODEL)

    @property
    def pause(self) -> float:
        """The seconds between two requests with which limits of a minute and less are kept."""
        asked = len(OF_THE_MODEL) + 1  # the refused one may count too
        waits = [
            seconds_of(limit.per) / limit.cap * _ROOM
            for limit, _ in self.counted()
            if limit.metric == "requests"
            and 0 < limit.cap < asked
            and limit.per
            and seconds_of(limit.per) <= SECONDS["minute"]
        ]
        return max(waits, default=0.0)

    def counted(self) -> Iterator[tuple[Limit, int]]:
        """Go through the recorded limits of the model, each with what the probe takes of it at most."""
        for limit in self.service.limit:
            if not limit.counts(self.model) or limit.keyless not in {None, self.keyless}:
                continue
            if limit.metric == "requests":
                yield limit, len(OF_THE_MODEL) + MENDS
            elif limit.metric in {"tokens", "input tokens", "output tokens"}:
                yield limit, self.tokens

    def sentences(self) -> list[str]:
        """Say what will be sent, and what it counts, one line each."""
        service, model = self.service, self.model or "the first model that it lists"
        several = len(self.questions)
        vectors = f", 1 of {self.embedding}" if self.embedding else ""
        said = [
            f"{service.name} at {self.base_url} gets {several} requests, {several + MENDS} at most.",
            (
                f"1 is for its list of models, {len(OF_THE_MODEL)} are of {model}, 1 is of a model that does "
                f"not exist{vectors}."
            ),
            f"The answers have at most {amount(self.tokens)} tokens, questions included.",
        ]
        counted = list(self.counted())
        said += [f"They count {amount(taken)} of {shown(limit)}." for limit, taken in counted]
        if self.pause:
            said.append(f"{self.pause:.2g} s pass between two of them, so that the limits are kept.")
        if not counted and not service.local:
            said.append("No limit of this model is recorded.")
        unsure = facts_of(service, self.model).cost in {"paid", None} or service.gone is not None
        if unsure and not service.local:
            said.append(f"{model} is not recorded as free: it may cost money.")
        return said
