"""What a failure says: of the question, of limits, of the service, or of the run itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from freeproviders.errors import (
    AnswerStoreError,
    AuthenticationError,
    BadRequestError,
    CatalogueError,
    ClusterError,
    ContentFilterError,
    FreeProvidersError,
    LedgerError,
    MissingDependencyError,
    MissingKeyError,
    NoProviderError,
    OutputError,
    ProviderError,
    QuotaSpentError,
    RateLimitError,
    SyncOnLoopError,
    UnknownServiceError,
    UsageError,
)

Kind = Literal["question", "limit", "fault", "out", "output", "run"]
"""What a failure is about.

"question": asking again would not help. "limit": there is room again later. "fault": a service failed,
or could not be reached. "out": no service takes a question, and waiting would not help, as where the
key is not accepted. "output": the model has answered, but not with what was required. "run": no
question can be asked at all.
"""

_OF_THE_RUN = (
    AnswerStoreError,
    CatalogueError,
    ClusterError,
    LedgerError,
    MissingDependencyError,
    MissingKeyError,
    SyncOnLoopError,
    UnknownServiceError,
)


def kind_of(error: FreeProvidersError) -> Kind:
    """Judge the failure of one question."""
    match error:
        case _ if isinstance(error, _OF_THE_RUN):
            return "run"
        case BadRequestError() | ContentFilterError() | UsageError():
            return "question"
        case OutputError():
            return "output"
        case AuthenticationError():
            return "out"
        case RateLimitError():
            return "limit"
        case NoProviderError() if not error.waiting_helps:
            return "out"
        case NoProviderError() if error.soonest is not None:
            return "limit"
        case _:
            return "fault"


def seconds_until(error: FreeProvidersError) -> float | None:
    """Return the seconds after which a question may be asked again, None where no limit names them."""
    if not isinstance(error, ProviderError):
        return None
    when = error.earliest if isinstance(error, QuotaSpentError) else None
    when = when or error.soonest
    if when is not None:
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return error.retry_after
