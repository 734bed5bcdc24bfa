"""What the protocols of services have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import Embedding, Reply, bearer, read_json
from freeproviders.testing.services.embedding import Entry, with_faults
from freeproviders.testing.services.embedding_body import Cut, EmbeddingModel, within, word_count
from freeproviders.testing.services.embedding_words import Voice

Models = Callable[[str], EmbeddingModel]
"""Finds what is known of a model. Raises `Refusal` where there is none."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its body, and what the path names."""

    body: dict[str, Any]
    named: Mapping[str, str]


class Native(ABC):
    """The protocol of one service."""

    path: ClassVar[re.Pattern[str]]
    """Its paths, with named parts."""
    voice: ClassVar[Voice]
    unwraps: ClassVar[bool] = False
    """Whether errors stand alone that the service's OpenAI protocol has in a list."""
    any_model: ClassVar[bool] = False
    """Whether it serves models that the row does not name."""
    batch: ClassVar[int | None] = None
    window: ClassVar[int | None] = None

    def speaks(self, request: RecordedRequest) -> bool:
        """Whether a request is to one of the paths."""
        return request.method == "POST" and self.path.fullmatch(request.path) is not None

    def read(self, request: RecordedRequest, models: Models) -> Embedding:
        """Judge a request to one of the paths. Raises `Refusal`."""
        match = self.path.fullmatch(request.path)
        return self.judge(Call(read_json(request), match.groupdict() if match else {}), models)

    def key(self, request: RecordedRequest) -> str:
        """Return the key of a request, "" for none."""
        return bearer(request)

    @abstractmethod
    def judge(self, call: Call, models: Models) -> Embedding:
        """Judge a request. Raises `Refusal`."""

    def check_keys(self, body: Mapping[str, Any], known: Collection[str], *, where: str = "") -> None:
        """Refuse a body with a key that the service does not know."""
        for key in body:
            if key not in known:
                self.voice.refuse("unknown", given=where + key)

    def embedding(
        self,
        texts: Sequence[str],
        facts: EmbeddingModel,
        cut: Cut,
        write: Callable[[Sequence[Entry], int], object],
        *,
        model: str,
        size: int,
        input_type: str = "",
        normalised: bool | None = None,
        numbered: bool = False,
        requests: int = 1,
    ) -> Embedding:
        """Judge the texts of a request. Raises `Refusal`.

        `write` makes the document of an answer from the vectors and the number of tokens.
        """
        batch, window = facts.batch or self.batch, facts.window or self.window
        if batch is not None and len(texts) > batch:
            self.voice.refuse("batch", batch=batch, count=len(texts))
        counts = [word_count(text) for text in texts]
        tokens = sum(min(count, window or count) for count in counts)
        return Embedding(
            texts=list(texts),
            read=within(texts, counts, window, cut, self.voice),
            tokens=tokens,
            model=model,
            size=size,
            input_type=input_type,
            requests=requests,
            normalised=facts.normalised if normalised is None else normalised,
            write=with_faults(lambda entries: write(entries, tokens), numbered=numbered),
            complaint=self.complaint,
        )

    def texts(self, given: Any) -> list[str]:
        """Read a text or a list of texts, of which none is empty."""
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            self.voice.refuse("input")
        if not texts or not all(texts):
            self.voice.refuse("empty")
        return texts

    def complaint(self, status: int, message: str) -> Reply | None:
        """Write an error; None leaves that to the service."""
        return self.voice.reply(status, message)

    def as_own(self, reply: Reply) -> Reply:
        """Write a refusal of the service's OpenAI protocol as this one does."""
        body = reply.body.strip()
        alone = self.unwraps and body.startswith(b"[") and body.endswith(b"]")
        return replace(reply, body=body[1:-1]) if alone else reply
