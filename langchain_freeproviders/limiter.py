"""A service's limits as LangChain's rate limiter, shared by all processes of the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.rate_limiters import BaseRateLimiter

from freeproviders.catalogue.rows import Limit
from freeproviders.errors import QuotaSpentError
from freeproviders.quota.interface import Grant, Ledger
from freeproviders.quota.limiter import WAIT_SECONDS, Limiter, SharedLimiter
from langchain_freeproviders.errors import translating

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings


class SharedQuota(SharedLimiter, BaseRateLimiter):
    """Keep a service's limits with any chat model, together with all processes of the user.

        ```python
        from langchain_freeproviders import SharedQuota

        quota = SharedQuota("groq", model="openai/gpt-oss-120b", key="gsk-...", tokens_per_request=2000)
        # model = ChatGroq(model=quota.model, max_retries=0, rate_limiter=quota, callbacks=[quota.handler])
        ```

    Each request is counted in the user's ledger before it is sent, together with those of this
    package's models and of `freeproviders`. The count is exact if the model sends one request for
    each call: turn off its own retries. Limits of concurrency are not kept, since LangChain does
    not tell a rate limiter when a call ends. Limits of tokens are kept if `tokens_per_request` is
    given.

    If one of this package's models gets the object as `rate_limiter`, it uses it as its `quota` and
    counts each HTTP request itself, once.

    Args:
        service: the id of a service of the catalogue, or any name if `limits` is given. All users
            of the same name, model and key share the limits.
        limits: limits in place of the catalogue's, such as `{"metric": "requests", "per": "minute",
            "cap": 30}`.
        model: the model that is asked, if the service limits each model separately. "" is the one
            that `handler` hears of, else the service's default model.
        key: the API key that the model uses; only a salted hash of it is written. None is the key
            in the environment.
        ledger: where requests are counted: a path, a `redis://` URL or "memory". "" is
            `FREEPROVIDERS_QUOTA`, else the user's file.
        keep: the share (0 to 1) of a day's limit that is left to others.
        tokens_per_request: the most tokens of a call, question and answer together, which are
            reserved. With `handler` among the model's callbacks, those that were not used are given
            back.
        wait_up_to: the most seconds to wait for room. If there is none by then, a `QuotaSpentError`
            is raised, at once if that can be foreseen.
        transit: the most seconds from the permission to send until the request reaches the service.
            None is the catalogue's number, else one second; pass more if the other library begins
            slowly.

    Raises:
        UsageError: an argument cannot work.
    """

    def __init__(
        self,
        service: str,
        limits: Iterable[Limit | Mapping[str, Any]] | None = None,
        *,
        model: str = "",
        key: str | None = None,
        ledger: str | Path | Ledger = "",
        keep: float = 0.0,
        tokens_per_request: int = 0,
        wait_up_to: float = WAIT_SECONDS,
        transit: float | None = None,
    ) -> None:
        arguments = {
            "service": service,
            "limits": limits,
            "model": model,
            "key": key,
            "ledger": ledger,
            "keep": keep,
            "tokens_per_request": tokens_per_request,
            "wait_up_to": wait_up_to,
            "transit": transit,
        }
        with translating:
            super().__init__(arguments)
        self.handler = SettlingHandler(self, self._limiter)

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for room for one request, and count it.

        Returns False where there is none and `blocking` is False.

        Raises:
            QuotaSpentError: there is no room within `wait_up_to`.
            QuotaTooSmallError: `tokens_per_request` is more than a limit.
        """
        run = self.handler.next_run()
        grant: Grant | None = None
        try:
            with translating:
                grant = self._limiter.reserve_sync(model=_model(run), wait_up_to=None if blocking else 0.0)
        except QuotaSpentError:
            if blocking:
                raise
            return False
        finally:
            self.handler.begin(run, grant)
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """Do as `acquire`, without blocking the event loop."""
        run = self.handler.next_run()
        grant: Grant | None = None
        try:
            with translating:
                grant = await self._limiter.reserve(model=_model(run), wait_up_to=None if blocking else 0.0)
        except QuotaSpentError:
            if blocking:
                raise
            return False
        finally:
            self.handler.begin(run, grant)
        return True

    def embeddings(self, other: Embeddings, *, batch: int = 1) -> Embeddings:
        """Wrap embeddings, which have no rate limiter, so that they keep these limits.

        Of embeddings of this package that ask a service, a copy with these limits as its `quota`
        comes out, which counts each HTTP request itself.

        Args:
            other: LangChain embeddings of any class.
            batch: how many texts go to `other` at once and are counted as one request: no more than
                it sends in one.
        """
        from langchain_freeproviders.configured import ConfigurationFields  # noqa: PLC0415 - for few
        from langchain_freeproviders.limited import QuotaEmbeddings  # noqa: PLC0415

        wrapped = QuotaEmbeddings(other, self._limiter, batch=batch)
        if not isinstance(other, ConfigurationFields):
            return wrapped
        return other.model_copy(update={"quota": self.quota, "wait_up_to": self.wait_up_to})


class _Run:
    """A call of a model that the handler has heard of, and its reservation once there is one."""

    __slots__ = ("answered", "grant", "id", "model", "over")

    def __init__(self, run_id: UUID, model: str) -> None:
        self.id = run_id
        self.model = model
        self.grant: Grant | None = None
        self.answered = False
        self.over = False


def _model(run: _Run | None) -> str:
    return "" if run is None else run.model


class SettlingHandler(BaseCallbackHandler):
    """Tells a quota when an answer begins and what it took; `SharedQuota.handler` is one."""

    run_inline = True
    """In the caller's own context, where the rate limiter is asked right after `on_chat_model_start`."""

    def __init__(self, owner: SharedQuota, limiter: Limiter) -> None:
        self._owner = owner
        self._limiter = limiter
        self._runs: dict[UUID, _Run] = {}
        # Calls of one context that have begun and not yet asked for room. Each context gets a tuple
        # of its own, so that tasks which run at the same time take nothing from each other.
        self._begun: ContextVar[tuple[_Run, ...]] = ContextVar("begun", default=())

    def __reduce__(self) -> tuple[Any, ...]:
        return attrgetter("handler"), (self._owner,)

    def __deepcopy__(self, memo: object) -> SettlingHandler:
        return self

    def next_run(self) -> _Run | None:
        """Return the call that asks for room now; None where its model does not have the handler."""
        return next((run for run in self._begun.get() if not run.over and run.grant is None), None)

    def begin(self, run: _Run | None, grant: Grant | None) -> None:
        """Note the reservation of a call, None where it has got none.

        Of a call whose end is not told, it is final.
        """
        if grant is None:
            if run is not None:
                self._over(run.id)  # LangChain does not always tell that it has failed
        elif run is None or run.over or run.grant is not None:
            self._limiter.settle(grant)
        else:
            run.grant = grant

    # --- what LangChain tells ---------------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        **kwargs: Any,
    ) -> None:
        """Note that a call begins."""
        del serialized, messages
        params = kwargs.get("invocation_params") or {}
        model = params.get("model") or params.get("model_name")
        run = self._runs[run_id] = _Run(run_id, model if isinstance(model, str) else "")
        waiting = [one for one in self._begun.get() if not one.over and one.grant is None]
        self._begun.set((*waiting, run))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """Note that the answer has begun, so that the request has arrived."""
        del token, kwargs
        run = self._runs.get(run_id)
        if run is not None and not run.answered and run.grant is not None:
            run.answered = True
            self._limiter.received(run.grant)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle with the tokens that were used, as far as the model tells."""
        del kwargs
        run = self._over(run_id)
        if run is not None and run.grant is not None:
            if not run.answered:
                self._limiter.received(run.grant)
            self._limiter.settle(run.grant, _tokens(response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """Settle: before any content no tokens were used, else as many as were reserved.

        A refusal of the service, in an error of its SDK, is learned: no call asks again too soon.
        """
        del kwargs
        run = self._over(run_id)
        if run is not None and run.grant is not None:
            if (answer := _answer_of(error)) is not None:
                self._limiter.refused(run.grant, *answer)
            self._limiter.settle(run.grant, None if run.answered else (0, 0))

    def _over(self, run_id: UUID) -> _Run | None:
        run = self._runs.pop(run_id, None)
        if run is not None:
            run.over = True
        return run


def _tokens(response: LLMResult) -> tuple[int, int] | None:
    """Return the tokens in and out of a call, None where the model does not tell."""
    messages = [
        generation.message
        for generations in response.generations
        for generation in generations
        if isinstance(generation, ChatGeneration)
    ]
    usages = [one.usage_metadata for one in messages if isinstance(one, AIMessage) and one.usage_metadata]
    if usages:  # the question is in the usage of each of several answers
        return max(one["input_tokens"] for one in usages), sum(one["output_tokens"] for one in usages)
    told = (response.llm_output or {}).get("token_usage")
    if isinstance(told, Mapping):
        asked, answered = told.get("prompt_tokens"), told.get("completion_tokens")
        if isinstance(asked, int) and isinstance(answered, int):
            return asked, answered
    return None


def _answer_of(error: BaseException) -> tuple[int, Mapping[str, str], bytes] | None:
    """Return status, headers and body of the answer behind an SDK's error, None without one.

    The SDKs of most services keep it as `response`, in the form of an answer of httpx or requests.
    """
    response = getattr(error, "response", None)
    status, headers = getattr(response, "status_code", None), getattr(response, "headers", None)
    if not isinstance(status, int) or status < 400 or not isinstance(headers, Mapping):
        return None
    try:
        body = str(cast("Any", response).text).encode(errors="replace")
    except Exception:  # noqa: BLE001 - of a stream that was not read
        body = b""
    return status, {str(name): str(value) for name, value in headers.items()}, body
