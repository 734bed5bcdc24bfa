"""Every error that freeproviders raises on purpose.

::

    FreeProvidersError
    ├── UsageError (ValueError)                   the caller's mistake, found before anything is sent
    │   ├── UnsupportedInputError                 content that the service cannot take (pictures, files)
    │   ├── UnknownModelError                     a model name that the service does not have
    │   ├── UnknownServiceError                   a name that no service of the catalogue has
    │   ├── MissingKeyError                       no key where the service wants one: `keys`, `key_address`
    │   ├── CatalogueError                        a row that cannot be read: `file` and `line` say which
    │   ├── FamilyMismatchError                   vectors of another family: `stored` and `own` say which
    │   ├── SyncOnLoopError (RuntimeError)        a sync call on freeproviders' own event-loop thread
    │   └── MissingDependencyError (ImportError)  an extra that is not installed
    ├── ProviderError (aiohttp.ClientError)       the service, or the way to it
    │   ├── ProviderConnectionError               refused, reset, no such host, broken proxy, cut early
    │   ├── ProviderTimeoutError (TimeoutError)   connect, first content, stall or total: `phase` says which
    │   ├── BadRequestError                       400, 413, 422 ...: the request as such is refused
    │   │   ├── ContextOverflowError              longer than the model's context window
    │   │   ├── RequestTooLargeError              above what the account may send in one request
    │   │   │   └── QuotaTooSmallError            above a cap of the ledger: nothing was sent
    │   │   └── ToolsNotSupportedError            the model has no native tool calling
    │   ├── AuthenticationError                   401: no key or a wrong one
    │   ├── PermissionDeniedError                 403
    │   │   └── NotInPlanError                    a model for which the account has no allowance at all
    │   ├── NotFoundError                         404, 410: no such endpoint or model
    │   │   └── RetiredModelError                 a model that is gone: `successor`, `retired_on`
    │   ├── RedirectError                         the service has moved to another host, which is not followed
    │   ├── RateLimitError                        429: too much for now; `retry_after` in seconds when known
    │   │   ├── QuotaExceededError                402, or a day's, month's or plan's allowance used up
    │   │   └── QuotaSpentError                   no room in the ledger yet: nothing was sent, see `soonest`
    │   ├── ServerError                           5xx
    │   │   └── OverloadedError                   too busy for any account at present
    │   ├── BlockedError                          a bot check or an HTML page in place of data
    │   ├── ContentFilterError                    the service refused the content
    │   ├── NoProviderError                       no member of a router answered: `trail`, `soonest`
    │   └── ResponseError                         a 200 that is no answer
    │       ├── EmptyResponseError                no content came
    │       ├── MalformedResponseError            not in the service's protocol
    │       │   ├── MalformedVectorError          what came for one text is no vector: `place`
    │       │   └── MissingPageDataError (RuntimeError)  a page lacks what the next request needs
    │       ├── ResponseTooLargeError             a size cap was passed
    │       └── TruncatedResponseError            cut off before its end
    ├── BadTextsError (ValueError)                texts without a vector: `errors` by their places in the list
    ├── LedgerError (RuntimeError)                the ledger of limits cannot be read or written
    ├── ClusterError (RuntimeError)               the Ray cluster cannot be used
    ├── VectorCacheError (RuntimeError)           the file of vectors is damaged, or of another program
    ├── AnswerStoreError (RuntimeError)           the store of answers cannot be read or written
    ├── EmbeddedModelError (RuntimeError)         the local engine, its weights or its process
    └── OutputError (ValueError)                  the model answered, but not what was asked for
        ├── ToolCallError                         no valid tool call, after asking again
        └── StructuredOutputError                 no valid object, after asking again

A message names the provider and the model, says what happened (status, a short excerpt of the body
without secrets) and what to do. Errors pickle. `is_retryable` says whether the same request may
work later.

`UnsupportedOptionWarning` says, once for each option of a provider, that a service cannot take a
setting, `LedgerWarning` that limits are counted for this machine or process only,
`NotAskedWarning` that a router leaves out a service whose key is there, and why,
`VectorCacheWarning` that vectors are not kept, `AnswerStoreWarning` that answers are not,
`TruncatedTextsWarning` that vectors are of the beginnings of their texts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self

# The one import of aiohttp beside the transport: callers may catch `aiohttp.ClientError`, as they
# did with the services' old clients.
from aiohttp import ClientError

from freeproviders.naming import argument, marked, words
from freeproviders.patterns import pattern
from freeproviders.redaction import without_secrets

if TYPE_CHECKING:
    from freeproviders.wire.limits import Allowance
    from freeproviders.wire.signs import Sign

_ESCAPED = pattern(r"\\u([0-9a-fA-F]{4})")
_TELLING_CHARS = 20
"""So many characters of a message tell whether it is in the body too."""
_LONG_SECONDS = 3600
"""From here on a message names a time, not seconds."""


def _rebuild(cls: type[FreeProvidersError], message: str, state: dict[str, Any]) -> FreeProvidersError:
    error = cls(message)
    error.__dict__.update(state)
    return error


class FreeProvidersError(Exception):
    """The root of the tree.

    `provider` and `model` name what failed, `advice` says what to do; each may be "". Where an answer
    of a router broke off, `partial` is the text that had been shown, and `not_resumed` says why no
    member continued.
    """

    advice: str = ""
    partial: str = ""
    not_resumed: str = ""
    is_retryable: bool = False
    _repeating: ClassVar[tuple[str, ...]] = ("message",)
    """The attributes with words of a service or a model."""

    def __init__(
        self, message: str, *, provider: str = "", model: str = "", advice: str | None = None
    ) -> None:
        super().__init__(words(message))
        self.message = words(message)
        self.provider = provider
        self.model = model
        if advice is not None:
            self.advice = words(advice)

    def __str__(self) -> str:
        # Plain text: what a log, a queue or a file holds is read where this package is not.
        return str(self.wording)

    @property
    def wording(self) -> str:
        """The text of `str`, as `freeproviders.naming.Words` where it names arguments."""
        names = " ".join(name for name in (self.provider, self.model) if name)
        pieces = (f"[{names}]" if names else "", self._what(), marked(self.advice))
        return words(" ".join(piece for piece in pieces if piece))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.__dict__.copy())

    def __copy__(self) -> Self:
        # Where one failure is told to several callers: each adds to its own error what it is about.
        own = type(self)(self.message)
        own.__dict__.update(self.__dict__)
        own.__cause__ = self.__cause__
        return own

    def about(self, provider: str, model: str) -> Self:
        """Add provider and model where they are not known yet; return the error itself."""
        self.provider = self.provider or provider
        self.model = self.model or model
        return self

    def without(self, secrets: Iterable[str]) -> Self:
        """Remove secrets that the service or the model repeated; return the error itself."""
        secrets = list(secrets)
        for name in self._repeating:
            if (text := getattr(self, name)) and (clean := without_secrets(text, secrets)) != text:
                setattr(self, name, clean)
        self.args = (self.message,)
        return self

    def _what(self) -> str:
        """Say what happened, with the marks of arguments' names (`freeproviders.naming`)."""
        return marked(self.message)


def _is_told(message: str, body: str) -> bool:
    """Return whether a message was read out of a body, of which either may have been shortened."""
    said = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), body)
    said = said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # of two halves, a character
    said = " ".join(said.replace("\\n", " ").replace("\\", "").split())
    return " ".join(message.replace("\\", "").split())[:_TELLING_CHARS].rstrip(". ") in said


# --- the caller -----------------------------------------------------------------------------------


class UsageError(FreeProvidersError, ValueError):
    """The call cannot work as written; nothing was sent."""


class UnsupportedInputError(UsageError):
    """The content is of a kind that this service cannot take."""


class UnknownModelError(UsageError):
    """The service has no model of that name."""


class UnknownServiceError(UsageError):
    """The catalogue has no service of that name."""


class MissingKeyError(UsageError):
    """The service wants a key, and none was given.

    `keys` are the environment variables that may hold it, `key_address` the page where one is
    issued.
    """

    def __init__(
        self, message: str, *, keys: Iterable[str] = (), key_address: str = "", **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.keys = tuple(keys)
        self.key_address = key_address

    def _what(self) -> str:
        what = marked(self.message)
        if self.keys:
            what += f" Set {' or '.join(self.keys)}, or pass {argument('api_key')}."
        return f"{what} Keys are issued at <{self.key_address}>." if self.key_address else what


class CatalogueError(UsageError):
    """A file of the catalogue cannot be read; `line` is None where no single one is to blame."""

    def __init__(self, message: str, *, file: str = "", line: int | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.file = file
        self.line = line

    def _what(self) -> str:
        where = f"{self.file}, line {self.line}" if self.line is not None else self.file
        return f"{where}: {marked(self.message)}" if where else marked(self.message)


class FamilyMismatchError(UsageError):
    """Vectors of two families would be mixed; `stored` and `own` are their fingerprints."""

    def __init__(self, message: str, *, stored: str = "", own: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.stored = stored
        self.own = own


class SyncOnLoopError(UsageError, RuntimeError):
    """A sync method was called on freeproviders' own event-loop thread."""


class MissingDependencyError(UsageError, ImportError):
    """An optional package is not installed; the message names the extra."""


# --- the service ----------------------------------------------------------------------------------


class ProviderError(FreeProvidersError, ClientError):
    """Something went wrong at the service or on the way.

    `status` is the HTTP status if there was one, `body` a short excerpt of the answer, `code` the
    service's own error code, `retry_after` the seconds after which the service said to come back,
    `env` the environment variable that holds its key, `attempts` the number of requests sent,
    `unanswered` the number of further ones that went whole to a pooled connection that brought
    nothing (the service may have worked on them), `failed_generation` the model's own words where
    the service could not read a tool call in them.

    What the catalogue knows of a service adds: `kind`, what the refusal is about (as "minute" or
    "day", `freeproviders.wire.signs.Kind`; "" where nothing tells), `scope`, what it counts for
    ("model", or the name of a pool of the service's limits), `metric`, what is counted ("tokens",
    "" where nothing tells), `sign`, the row's words for such a refusal, and `allowances`, the
    limits that were announced with it. `soonest` is the time (UTC) from which the service may be
    asked again, where anything says it.
    """

    _repeating = ("message", "body", "code", "failed_generation")

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        advice: str | None = None,
        status: int | None = None,
        body: str = "",
        code: str | None = None,
        retry_after: float | None = None,
        env: str | None = None,
    ) -> None:
        super().__init__(message, provider=provider, model=model, advice=advice)
        self.status = status
        self.body = body
        self.code = code
        self.retry_after = retry_after
        self.env = env
        self.attempts = 1
        self.unanswered = 0
        self.failed_generation: str | None = None
        self.kind = ""
        self.scope = ""
        self.metric = ""
        self.sign: Sign | None = None
        self.soonest: datetime | None = None
        self.allowances: tuple[Allowance, ...] = ()

    def _what(self) -> str:
        what = f"HTTP {self.status}: {marked(self.message)}" if self.status else marked(self.message)
        if what[-1:].isalnum():  # a service's own words, often without an end
            what += "."
        if self.body and self.body not in self.message and not _is_told(self.message, self.body):
            what += f" The answer began: {self.body!r}."
        if self.soonest is not None and (self.retry_after is None or self.retry_after >= _LONG_SECONDS):
            what += f" Try again at {self.soonest.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
        elif self.retry_after is not None:
            what += f" Try again in {self.retry_after:g} s."
        if self.attempts > 1:
            what += f" It was tried {self.attempts} times."
        return what


class ProviderConnectionError(ProviderError):
    """No connection, or one that broke before the answer was complete enough to be read.

    `phase` is "connect" where there was none at all: refused, no such host, no way through the proxy.
    """

    advice = words(f"Check the network, the {argument('base_url')} and the {argument('proxy')}.")
    is_retryable = True

    def __init__(self, message: str, *, phase: str = "", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.phase = phase


class ProviderTimeoutError(ProviderError, asyncio.TimeoutError):
    """A time limit passed; `phase` is "connect", "first content", "stall" or "total"."""

    advice = words(
        f"Raise the limit with {argument('timeout', 'timeout=Timeout(...)')} if the service is known "
        f"to be slow."
    )
    is_retryable = True

    def __init__(self, message: str, *, phase: str = "total", **fields: Any) -> None:
        super().__init__(message, **fields)
        self.phase = phase


class BadRequestError(ProviderError):
    """The service understood and refused the request; sending it again would change nothing."""


class ContextOverflowError(BadRequestError):
    """The conversation is longer than the model's context window: `window` tokens, where that is known."""

    advice = "Send fewer or shorter messages, or use a model with a larger context window."

    def __init__(self, message: str, *, window: int | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.window = window


class RequestTooLargeError(BadRequestError):
    """The request is larger than what the account may send at once, as all the tokens of a minute."""

    advice = "Send fewer or shorter messages, or use a model or a service that allows more at once."


class QuotaTooSmallError(RequestTooLargeError):
    """The request is larger than a limit ever has room for; nothing was sent.

    `amount` of `metric` was needed, and `cap` is the whole of it.
    """

    def __init__(
        self, message: str, *, metric: str = "", amount: float = 0.0, cap: float = 0.0, **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.metric = metric
        self.amount = amount
        self.cap = cap
        self.attempts = 0


class ToolsNotSupportedError(BadRequestError):
    """The model cannot call tools natively."""

    advice = words(
        f"Leave {argument('native_tools')} out, or set it to False: tools then go through the prompt."
    )


class AuthenticationError(ProviderError):
    """The service wants a key, or another one."""

    def _what(self) -> str:
        key = argument("api_key")
        hint = f" Set {self.env} or pass {key}." if self.env else f" Pass a valid {key}."
        return super()._what() + hint


class PermissionDeniedError(ProviderError):
    """The key is known but not allowed to do this."""

    advice = "Check what the key and its account are allowed to use."


class NotInPlanError(PermissionDeniedError):
    """The plan of the account does not have the model, not even a little of it: waiting is no help."""

    advice = "Use another model of the service, or an account whose plan has this one."


class NotFoundError(ProviderError):
    """The endpoint or the model does not exist, or does no longer."""

    advice = words(f"Check {argument('base_url')} and {argument('model')}.")


class RetiredModelError(NotFoundError):
    """The service has dropped the model.

    `successor` is the model that takes its place, "" if none is known, and `retired_on` the day.
    """

    advice = ""

    def __init__(
        self, message: str, *, successor: str = "", retired_on: date | None = None, **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.successor = successor
        self.retired_on = retired_on

    def _what(self) -> str:
        what = super()._what()
        if self.retired_on is not None:
            what += f" It is gone since {self.retired_on}."
        if self.successor:
            return f"{what} Use {self.successor} in its place."
        return what if self.advice else f"{what} Use another model."


class RedirectError(ProviderError):
    """The service answered with a redirect that is not followed.

    Prompts and credentials stay with the host that the caller named.
    """

    advice = words(f"If you trust the new address, pass it as {argument('base_url')}.")


class RateLimitError(ProviderError):
    """Too many requests or tokens for now."""

    is_retryable = True


class QuotaExceededError(RateLimitError):
    """An allowance of a day, a month or a plan is used up: waiting seconds does not help."""

    is_retryable = False


class QuotaSpentError(RateLimitError):
    """A limit has no room for the request within the time that may be waited; nothing was sent.

    `soonest` is the time (UTC) at which there is room if nothing is sent until then, `metric` and
    `scope` say which limit is the last to have it. `earliest` is the first time at which there may
    be room: before `soonest` where calls that still run hold some of it.
    """

    advice = words(
        f"Wait longer with {argument('wait_up_to', 'wait_up_to=')}, or ask another service. Where your "
        f"account "
        f"is allowed more than the catalogue knows, pass {argument('quota', 'quota=None')}, or a Quota with "
        "limits of its own."
    )
    is_retryable = False  # to wait is the ledger's business, and it has done so

    def __init__(self, message: str, *, soonest: datetime | None = None, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.soonest = soonest
        self.earliest = soonest
        self.attempts = 0


class ServerError(ProviderError):
    """The service failed."""

    is_retryable = True


class OverloadedError(ServerError):
    """The service is too busy at present, whatever the account's allowance."""


class BlockedError(ProviderError):
    """A bot check or another HTML page came where data was due; it is never worked around."""

    advice = words(
        f"The service refuses this client or is down: use another provider or {argument('base_url')}."
    )


class ContentFilterError(ProviderError):
    """The service's content filter ended the answer."""


class NoProviderError(ProviderError):
    """No member of a router has answered.

    `trail` are the attempts, each a `freeproviders.types.Attempt`; the message has them in words.
    `soonest` is the first time (UTC) at which one of them may be asked again, None where no limit names
    one. `waiting_helps` is False where all of them are out: their keys are not accepted, say, or their
    models are gone. `attempts` counts the HTTP requests of all of them.
    """

    def __init__(
        self, message: str, *, trail: Iterable[Any] = (), waiting_helps: bool = True, **fields: Any
    ) -> None:
        super().__init__(message, **fields)
        self.trail = tuple(trail)
        self.waiting_helps = waiting_helps
        self.attempts = sum(one.requests for one in self.trail)


class ResponseError(ProviderError):
    """The service reported success, yet what it sent is no answer."""

    is_retryable = True


class EmptyResponseError(ResponseError):
    """The answer ended before any content came."""


class MalformedResponseError(ResponseError):
    """The answer is not in the protocol that this provider speaks."""


class MissingPageDataError(MalformedResponseError, RuntimeError):
    """A page lacks the value that the next request needs."""

    is_retryable = False


class MalformedVectorError(MalformedResponseError):
    """What came for one text is no vector, as where a number in it is NaN.

    `place` is the text's place in the request. The other texts may fare better in another request.
    """

    is_retryable = False

    def __init__(self, message: str, *, place: int = 0, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.place = place


class ResponseTooLargeError(ResponseError):
    """The answer passed the size cap; reading stopped."""

    is_retryable = False


class TruncatedResponseError(ResponseError):
    """The transfer broke, or the answer ended inside a tool call or a JSON document."""


# --- the ledger of limits -------------------------------------------------------------------------


class BadTextsError(FreeProvidersError, ValueError):
    """Some texts got no vector; the others have theirs.

    `errors` are the reasons by the places of the texts in the list, `embeddings` what came of the
    others, None where the error went to another process.
    """

    def __init__(
        self,
        message: str,
        *,
        errors: Mapping[int, FreeProvidersError] | None = None,
        embeddings: Any = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, **fields)
        self.errors = dict(errors or {})
        self.embeddings = embeddings

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, {**self.__dict__, "embeddings": None})


class LedgerError(FreeProvidersError, RuntimeError):
    """The ledger of limits cannot be read or written, so that what is left is unknown."""


class ClusterError(FreeProvidersError, RuntimeError):
    """The Ray cluster cannot be used: there is none at the address, or none of its nodes can ask."""


class VectorCacheError(FreeProvidersError, RuntimeError):
    """The file in which vectors are kept cannot be read or written, or is of another program."""


class AnswerStoreError(FreeProvidersError, RuntimeError):
    """The store of answers cannot be read or written, or what it holds is damaged."""


# --- the local engine -----------------------------------------------------------------------------


class EmbeddedModelError(FreeProvidersError, RuntimeError):
    """The embedded model cannot be fetched, loaded or kept running."""


# --- the model's words ----------------------------------------------------------------------------


class OutputError(FreeProvidersError, ValueError):
    """The model answered, but not with what was asked for, even after being asked again.

    `said` is the model's last answer, `attempts` how often it was asked; `usage` is what all of it
    has cost and `finish` how the last answer ended, where they are known. Another try may bring
    another answer, so `is_retryable` is True; the core has tried by then and does not do it again.
    """

    kind: ClassVar[str] = "answer"
    is_retryable = True
    _repeating = ("message", "said")

    def __init__(self, message: str, *, said: str = "", attempts: int = 1, **fields: Any) -> None:
        super().__init__(message, **fields)
        self.said = said
        self.attempts = attempts
        self.usage: Any = None  # a `Usage` and a `Finish`, of a module that imports this one
        self.finish: Any = None

    def _what(self) -> str:
        said = f" It said: {self.said[:500]!r}." if self.said else ""
        return f"{marked(self.message)} No valid {self.kind} after {self.attempts} attempt(s).{said}"


class ToolCallError(OutputError):
    """A tool call was attempted or required, and no valid one came.

    `calls` are the attempts, where they came as tool calls of the service's own protocol. `rest` is
    then all of the answer that has not gone out: these calls, its `Usage` and its `Finish`, and
    before them the text and the thinking of an answer that was not streamed.
    """

    kind = "tool call"
    calls: tuple[Any, ...] = ()
    rest: tuple[Any, ...] = ()


class StructuredOutputError(OutputError):
    """An object was required, and none that fits the schema came."""

    kind = "object"


# --- warnings -------------------------------------------------------------------------------------


class LedgerWarning(UserWarning):
    """The ledger of limits is not shared as it should be; said once for each reason."""


class VectorCacheWarning(UserWarning):
    """Vectors are not kept, since their file cannot be used; said once for each reason."""


class AnswerStoreWarning(UserWarning):
    """Answers are not kept, since their store cannot be used; said once for each reason."""


class TruncatedTextsWarning(UserWarning):
    """Texts were cut to the model's window before their vectors were made."""


class NotAskedWarning(UserWarning):
    """A router leaves out a service that could be asked; said once for each reason."""


class UnsupportedOptionWarning(UserWarning):
    """A setting that the service cannot take was left out of the request."""
