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

    Each request is counted in the user's ledger before it is sent, together with those of this
    package's LLMs and of `freeproviders`. The count is exact if an LLM sends one request for each
    call, and an embedding one for each batch: turn off their own retries. LlamaIndex does not tell
    a rate limiter when a call ends: so limits of concurrency are not kept, and all reserved tokens
    count.

    If one of this package's LLMs gets the object as `rate_limiter`, it uses it as its `quota` and
    counts each HTTP request itself, once.

    Args:
        service: the id of a service of the catalogue, or any name if `limits` is given. All users
            of the same name, model and key share the limits.
        limits: limits in place of the catalogue's, such as `{"metric": "requests", "per": "minute",
            "cap": 30}`.
        model: the model that is asked, if the service limits each model separately; "" is the
            service's default model.
        key: the API key that the LLM uses; only a salted hash of it is written. None is the key in
            the environment.
        ledger: where requests are counted: a path, a `redis://` URL or "memory". "" is
            `FREEPROVIDERS_QUOTA`, else the user's file.
        keep: the share (0 to 1) of a day's limit that is left to others.
        tokens_per_request: the most tokens of a call, question and answer together, where
            LlamaIndex does not give a number. 0 leaves limits of tokens to the service.
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
