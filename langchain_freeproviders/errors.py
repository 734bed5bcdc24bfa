"""The core's errors, each of which is here also LangChain's.

Every class below is a core error *and* the `langchain_core.exceptions.ModelError` for the same
condition. So code that catches either goes on working, `ModelRetryMiddleware` sees `is_retryable`,
and `SummarizationMiddleware` sees a `ContextOverflowError`. The core's word on whether the same
request may work later wins: a used-up quota is a rate limit that waiting seconds does not lift.

`response` is what LangChain's traces look at: status, headers and the excerpt of the body, plain
and synchronous.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from langchain_core import exceptions as langchain

from freeproviders import errors as core


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """The HTTP answer behind an error as far as it is known, in the form of an SDK's response."""

    status_code: int
    text: str
    headers: dict[str, str]

    def json(self) -> Any:
        """Decode the body; raises `ValueError` where it is not JSON, or only its beginning."""
        return json.loads(self.text)


class _Answered:
    """Adds `response` to an error of the service."""

    status: int | None
    body: str
    retry_after: float | None

    @property
    def response(self) -> ErrorResponse | None:
        """The HTTP answer that caused the error, if one came."""
        if self.status is None:
            return None
        headers = {} if self.retry_after is None else {"retry-after": f"{self.retry_after:g}"}
        return ErrorResponse(self.status, self.body, headers)


# --- the caller -----------------------------------------------------------------------------------


class UsageError(core.UsageError, langchain.ModelInvalidRequestError):
    """The call cannot work as written; nothing was sent."""


class UnsupportedInputError(core.UnsupportedInputError, UsageError):
    """The content is of a kind that this service cannot take."""


class UnknownModelError(core.UnknownModelError, UsageError, langchain.ModelNotFoundError):
    """The service has no model of that name."""


class UnknownServiceError(core.UnknownServiceError, UsageError, langchain.ModelNotFoundError):
    """The catalogue has no service of that name."""


class MissingKeyError(core.MissingKeyError, UsageError, langchain.ModelAuthenticationError):
    """The service wants a key, and none was given."""


class CatalogueError(core.CatalogueError, UsageError):
    """A file of the catalogue cannot be read."""


class FamilyMismatchError(core.FamilyMismatchError, UsageError):
    """Vectors of two families would be mixed."""


class SyncOnLoopError(core.SyncOnLoopError, UsageError):
    """A sync method was called on the event-loop thread that would have to answer it."""


class MissingDependencyError(core.MissingDependencyError, UsageError):
    """An optional package is not installed; the message names the extra."""


# --- the service ----------------------------------------------------------------------------------


class ProviderError(_Answered, core.ProviderError, langchain.ModelError):
    """Something went wrong at the service or on the way."""


class ProviderConnectionError(core.ProviderConnectionError, ProviderError, langchain.ModelConnectionError):
    """No connection, or one that broke before the answer was complete enough to be read."""


class ProviderTimeoutError(core.ProviderTimeoutError, ProviderError, langchain.ModelTimeoutError):
    """A time limit passed; `phase` says which."""


class BadRequestError(core.BadRequestError, ProviderError, langchain.ModelInvalidRequestError):
    """The service understood and refused the request."""


class ContextOverflowError(core.ContextOverflowError, BadRequestError, langchain.ContextOverflowError):
    """The conversation is longer than the model's context window."""


class RequestTooLargeError(core.RequestTooLargeError, BadRequestError, langchain.ContextOverflowError):
    """The request is larger than what the account may send at once.

    It is a `ContextOverflowError` of LangChain's, since the cure is the same: a shorter history.
    """


class QuotaTooSmallError(core.QuotaTooSmallError, RequestTooLargeError):
    """The request is larger than a limit ever has room for; nothing was sent."""


class ToolsNotSupportedError(core.ToolsNotSupportedError, BadRequestError):
    """The model cannot call tools natively."""


class AuthenticationError(core.AuthenticationError, ProviderError, langchain.ModelAuthenticationError):
    """The service wants a key, or another one."""


class PermissionDeniedError(core.PermissionDeniedError, ProviderError, langchain.ModelPermissionDeniedError):
    """The key is known but not allowed to do this."""


class NotInPlanError(core.NotInPlanError, PermissionDeniedError):
    """The plan of the account does not have the model."""


class NotFoundError(core.NotFoundError, ProviderError, langchain.ModelNotFoundError):
    """The endpoint or the model does not exist, or does no longer."""


class RetiredModelError(core.RetiredModelError, NotFoundError):
    """The service has dropped the model; `successor` takes its place."""


class RedirectError(core.RedirectError, ProviderError, langchain.ModelConnectionError):
    """The service answered with a redirect that is not followed."""


class RateLimitError(core.RateLimitError, ProviderError, langchain.ModelRateLimitError):
    """Too many requests or tokens for now; `retry_after` in seconds when known."""


class QuotaExceededError(core.QuotaExceededError, RateLimitError):
    """An allowance of a day, a month or a plan is used up."""


class QuotaSpentError(core.QuotaSpentError, RateLimitError):
    """A limit has no room for the request in time; nothing was sent, `soonest` says when it has."""


class ServerError(core.ServerError, ProviderError, langchain.ModelAPIError):
    """The service failed."""


class OverloadedError(core.OverloadedError, ServerError):
    """The service is too busy at present."""


class BlockedError(core.BlockedError, ProviderError, langchain.ModelPermissionDeniedError):
    """A bot check or another HTML page came where data was due."""


class ContentFilterError(core.ContentFilterError, ProviderError, langchain.ModelInvalidRequestError):
    """The service's content filter ended the answer."""


class NoProviderError(core.NoProviderError, ProviderError):
    """No member of a router has answered: `trail` says why, `soonest` when to ask again.

    It is retryable where a member may answer later.
    """


class ResponseError(core.ResponseError, ProviderError, langchain.ModelAPIError):
    """The service reported success, yet what it sent is no answer."""


class EmptyResponseError(core.EmptyResponseError, ResponseError):
    """The answer ended before any content came."""


class MalformedResponseError(core.MalformedResponseError, ResponseError):
    """The answer is not in the protocol that this provider speaks."""


class MissingPageDataError(core.MissingPageDataError, MalformedResponseError):
    """A page lacks the value that the next request needs."""


class MalformedVectorError(core.MalformedVectorError, MalformedResponseError):
    """What came for one text is no vector."""


class ResponseTooLargeError(core.ResponseTooLargeError, ResponseError):
    """The answer passed the size cap."""


class TruncatedResponseError(core.TruncatedResponseError, ResponseError):
    """The answer was cut off."""


# --- the ledger of limits -------------------------------------------------------------------------


class BadTextsError(core.BadTextsError, langchain.ModelInvalidRequestError):
    """Some texts got no vector; the others have theirs."""


class LedgerError(core.LedgerError, langchain.ModelError):
    """The ledger of limits cannot be read or written."""


class ClusterError(core.ClusterError, langchain.ModelConnectionError):
    """The Ray cluster cannot be used."""


class VectorCacheError(core.VectorCacheError, langchain.ModelError):
    """The file in which vectors are kept cannot be read or written."""


class AnswerStoreError(core.AnswerStoreError, langchain.ModelError):
    """The store of answers cannot be read or written."""


# --- the local engine -----------------------------------------------------------------------------


class EmbeddedModelError(core.EmbeddedModelError, langchain.ModelConnectionError):
    """The embedded model cannot be fetched, loaded or kept running."""


# --- the model's words ----------------------------------------------------------------------------


class OutputError(core.OutputError, langchain.ModelError, langchain.OutputParserException):
    """The model answered, but not with what was asked for, even after being asked again.

    `llm_output`, LangChain's name for it, is what the model said.
    """


class ToolCallError(core.ToolCallError, OutputError):
    """A tool call was attempted or required, and no valid one came."""


class StructuredOutputError(core.StructuredOutputError, OutputError):
    """An object was required, and none that fits the schema came."""


TWINS: Final = {
    getattr(core, name): cls
    for name, cls in tuple(globals().items())
    if isinstance(cls, type) and issubclass(cls, core.FreeProvidersError)
}
"""From the class of a core error to the class here."""


def translated(error: core.FreeProvidersError) -> core.FreeProvidersError:
    """Return the error as LangChain's own, with all it says and the place it came from.

    A subclass that only one provider knows becomes the nearest class that has a twin; an error of
    no known class stays itself.
    """
    if isinstance(error, langchain.LangChainException):
        return error
    twin = next((TWINS[cls] for cls in type(error).__mro__ if cls in TWINS), None)
    if twin is None:
        return error
    other = twin(error.message)
    other.__dict__.update(error.__dict__)
    if isinstance(other, OutputError):
        other.llm_output = other.said
    other.__cause__, other.__suppress_context__ = error.__cause__, True
    return other.with_traceback(error.__traceback__)


class Translating:
    """A context whose errors leave it as LangChain's own."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, core.FreeProvidersError):
            raise translated(error) from error.__cause__


translating: Final = Translating()
"""`with translating:` around calls of the core; it has no state, so that all may use it at once."""
