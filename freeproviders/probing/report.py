"""What a probe found: the questions with their outcomes, and what differs from the row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from freeproviders.catalogue.writing import together, toml_of
from freeproviders.errors import ProviderError
from freeproviders.types import Completion
from freeproviders.wire.limits import Allowance

Question = Literal["models", "answer", "stream", "tools", "schema", "error", "embeddings"]
"""What is asked: the list of models, a whole and a streamed answer, a call that is required, an
answer in the form of a schema, a model that does not exist, vectors."""
Verdict = Literal["differs", "unsaid", "open"]
"""What a finding is: other than the row says, not in the row, or not to be told by one request."""

WHAT: Final[Mapping[Question, str]] = {
    "models": "the list of models",
    "answer": "a whole answer",
    "stream": "a streamed answer",
    "tools": "a tool call that is required",
    "schema": "an answer in the form of a schema",
    "error": "a model that the service does not have",
    "embeddings": "a vector",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between a service and its row.

    `about` is the question or the field, `said` a sentence, `change` the fields of a service's file
    that correct the row ({} where no field does), `advice` what else can be done.
    """

    about: str
    verdict: Verdict
    said: str
    change: Mapping[str, Any] = field(default_factory=dict)
    advice: str = ""

    @property
    def toml(self) -> str:
        """The lines that correct the row, "" for none."""
        return toml_of(self.change)

    def plain(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return {
            "about": self.about,
            "verdict": self.verdict,
            "said": self.said,
            "toml": self.toml,
            "advice": self.advice,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question and what came of it.

    `error` is the error of a request that failed, `completion` the answer of one that did not;
    `skipped` says why nothing was sent. `asked` is the body of the request; `status`, `headers` and
    `body` are the service's own, with all that may be private in them: `recorded` takes that out.
    """

    question: Question
    model: str
    at: datetime
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    asked: Mapping[str, Any] = field(default_factory=dict, repr=False)
    completion: Completion | None = None
    complete: bool = False
    allowances: tuple[Allowance, ...] = ()
    error: Exception | None = None
    models: tuple[str, ...] = ()
    vector: tuple[float, ...] = ()
    skipped: str = ""

    @property
    def failed(self) -> bool:
        """Whether the request failed, which is what the deliberate mistake has to do."""
        return self.error is not None

    def plain(self) -> dict[str, Any]:
        """Return what came, without headers and bodies, as plain data."""
        return {
            "question": self.question,
            "model": self.model,
            "status": self.status,
            "error": type(self.error).__name__ if self.error is not None else None,
            "message": str(self.error) if self.error is not None else "",
            "kind": self.error.kind if isinstance(self.error, ProviderError) else "",
            "allowances": [allowance.plain() for allowance in self.allowances],
            "skipped": self.skipped,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe of one service found.

    `requests` is how many were sent. `ended` is the error after which nothing further was asked,
    None where all was.
    """

    service: str
    base_url: str
    model: str
    at: datetime
    requests: int
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]
    ended: Exception | None = None

    @property
    def differences(self) -> tuple[Finding, ...]:
        """The findings that speak against the row."""
        return tuple(finding for finding in self.findings if finding.verdict == "differs")

    @property
    def change(self) -> dict[str, Any]:
        """All corrections together, as the data of a service's file."""
        return together(finding.change for finding in self.findings)

    @property
    def toml(self) -> str:
        """All corrections as the text of a service's file, "" where there is nothing to correct."""
        return toml_of(self.change)

    def outcome(self, question: Question) -> Outcome | None:
        """Return the last outcome of a question, None where it was not asked."""
        return next((one for one in reversed(self.outcomes) if one.question == question), None)

    def plain(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "service": self.service,
            "base_url": self.base_url,
            "model": self.model,
            "at": self.at.isoformat(),
            "requests": self.requests,
            "agrees": not self.differences and self.ended is None,
            "ended": str(self.ended) if self.ended is not None else "",
            "outcomes": [outcome.plain() for outcome in self.outcomes],
            "findings": [finding.plain() for finding in self.findings],
            "toml": self.toml,
        }
