"""A service's limits as LlamaIndex's rate limiter, shared by all processes of the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from llama_index.core.rate_limiter import BaseRateLimiter

from freeproviders.catalogue.rows import Limit
from freeproviders.quota.interface import Ledger
from freeproviders.quota.limiter import WAIT_SECONDS, SharedLimiter


class SharedQuota(SharedLimiter, BaseRateLimiter):
    """Keep a service's limits with any LLM and embeddings, together with all processes of the user.

        ```python
        from llama_index_freeproviders import SharedQuota

        quota = SharedQuota("groq", model="openai/gpt-oss-120b", key="gsk-...", tokens_per_request=2000)
        # llm = Groq(model=quota.model, max_retries=0, rate_limiter=quota)
        ```

    Each request is counted in the user's ledger before it is sent, where the LLMs of this package
    and `freeproviders` count theirs. Requests are counted exactly where the LLM sends one for each
    call, and the embeddings one for each batch: turn off their own retries. LlamaIndex never tells a
    rate limiter when a call ends, so that limits of concurrency are not kept, and tokens count as
    reserved.

    One of this package's LLMs that is given it as `rate_limiter` takes it as its `quota`, and counts
    each HTTP request itself, once.

    Args:
        service: a service of the catalogue; with `limits` any other name as well. Whoever uses the
            same name, model and key shares the limits.
        limits: in place of those of the catalogue, as `{"metric": "requests", "per": "minute",
            "cap": 30}`.
        model: the model that is asked, where each has limits of its own; "" is the service's default
            model.
        key: the API key that the LLM uses, of which only a salted hash is written; None is that of
            the environment.
        ledger: a path, a `redis://` URL or "memory"; "" is `FREEPROVIDERS_QUOTA`, else the user's.
        keep: the share (0 to 1) of a day's limit that is left to others.
        tokens_per_request: the most tokens that a call takes, question and answer, where LlamaIndex
            does not say how many. 0 leaves limits of tokens to the service.
        wait_up_to: seconds to wait for room; after that, or at once where it is plain that there is
            none in time, comes a `QuotaSpentError`.
        transit: seconds within which a request has reached the service once it may be made. None is
            the row's, else one second: too short where the other library needs longer to begin.

    Raises `UsageError` for what cannot work.
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
        super().__init__(arguments)

    def acquire(self, num_tokens: int = 0) -> None:
        """Wait for room for one request, and count it.

        Raises:
            QuotaSpentError: there is no room within `wait_up_to`.
            QuotaTooSmallError: the request has more tokens than a limit.
        """
        self._limiter.settle(self._limiter.reserve_sync(num_tokens))

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """Do as `acquire`, without blocking the event loop."""
        self._limiter.settle(await self._limiter.reserve(num_tokens))
