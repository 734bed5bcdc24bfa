"""What others offer for the same purpose, as their documentation says to use it.

Each is imported where it is used, so that none need be installed. Limiters that know minutes only
are given a clock that runs faster.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from benchmarks.quota.driver import Driver, Line
from benchmarks.quota.queue import Item
from benchmarks.quota.service import now


class Unlimited(Driver):
    """No limiter at all: what is refused is asked again when the service says."""


class LimitsMoving(Driver):
    """`limits`: its moving window over Redis, one limit for requests and one for tokens."""

    async def open(self) -> None:
        from limits import RateLimitItemPerSecond, storage, strategies

        self.limiter = strategies.MovingWindowRateLimiter(storage.RedisStorage(self.job.redis))
        seconds = {name: one.window // 1_000_000 for name, one in self.job.limits.items()}
        self.caps = {
            name: (
                RateLimitItemPerSecond(one.requests, seconds[name], namespace=f"{name}-requests"),
                RateLimitItemPerSecond(one.tokens, seconds[name], namespace=f"{name}-tokens"),
            )
            for name, one in self.job.limits.items()
        }

    async def admit(self, name: str, item: Item) -> None:
        for limit, cost in zip(self.caps[name], (1, item.most), strict=True):
            while not await asyncio.to_thread(self.limiter.hit, limit, cost=cost):
                reset = (await asyncio.to_thread(self.limiter.get_window_stats, limit)).reset_time
                await asyncio.sleep(max(0.01, reset - time.time()))


class PyrateSQLite(Driver):
    """pyrate-limiter: two limiters over SQLite with its lock between processes."""

    async def open(self) -> None:
        from pyrate_limiter import Limiter, Rate, SQLiteBucket

        self.limiters = {}
        for name, one in self.job.limits.items():
            for what, cap in (("requests", one.requests), ("tokens", one.tokens)):
                bucket = SQLiteBucket.init_from_file(
                    [Rate(cap, one.window // 1000)],
                    table=f"{name}_{what}",
                    db_path=f"{self.job.folder}/{name}_{what}.sqlite",
                    use_file_lock=True,
                )
                self.limiters[name, what] = Limiter(bucket)

    async def admit(self, name: str, item: Item) -> None:
        for what, weight in (("requests", 1), ("tokens", item.most)):
            while True:
                left = max(0.1, (self.end - now()) / 1e6)
                try:
                    if await asyncio.to_thread(
                        self.limiters[name, what].try_acquire, name, weight, blocking=True, timeout=left
                    ):
                        break
                except (sqlite3.OperationalError, AssertionError):
                    await asyncio.sleep(0.01)


class LlamaIndexSliding(Driver):
    """LlamaIndex core's sliding window, which is of one process."""

    processes = 1
    limiter = "SlidingWindowRateLimiter"

    async def open(self) -> None:
        from llama_index.core import rate_limiter

        speed = 60e6 / self.job.queue.window
        rate_limiter.time = SimpleNamespace(monotonic=lambda: time.monotonic() * speed)
        rate_limiter.asyncio = SimpleNamespace(sleep=lambda seconds: asyncio.sleep(seconds / speed))
        self.limiters = {
            name: getattr(rate_limiter, self.limiter)(
                requests_per_minute=one.requests, tokens_per_minute=one.tokens
            )
            for name, one in self.job.limits.items()
        }

    async def admit(self, name: str, item: Item) -> None:
        await self.limiters[name].async_acquire(item.most)


class LlamaIndexBucket(LlamaIndexSliding):
    """LlamaIndex core's token bucket, which is of one process."""

    limiter = "TokenBucketRateLimiter"


class LiteLLMRouter(Driver):
    """LiteLLM's Router over Redis, with the strategy and the checks that its documentation names for caps.

    What it keeps in memory has times of its own that cannot be scaled: windows of 60 s do it justice.
    """

    settings: dict[str, Any] = {  # noqa: RUF012 - read only
        "routing_strategy": "usage-based-routing-v2",
        "enable_pre_call_checks": True,
    }

    async def open(self) -> None:
        os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks a public server at import
        import litellm
        from litellm import router
        from litellm.router_strategy import lowest_tpm_rpm_v2
        from litellm.router_utils.pre_call_checks import model_rate_limit_check

        litellm.suppress_debug_info = True
        logging.disable(logging.CRITICAL)
        speed = 60e6 / self.job.queue.window

        def clock() -> datetime:
            return datetime.fromtimestamp(time.time() * speed % 2e9, UTC)

        for module in (router, lowest_tpm_rpm_v2, model_rate_limit_check):
            module.get_utc_datetime = clock
        address, _, port = self.job.redis.removeprefix("redis://").partition(":")
        self.routers = {
            name: litellm.Router(
                model_list=[
                    {
                        "model_name": name,
                        "litellm_params": {
                            "model": "openai/m",
                            "api_base": f"http://127.0.0.1:{self.job.port}/{name}/v1",
                            "api_key": "none",
                            "rpm": one.requests,
                            "tpm": one.tokens,
                        },
                        "model_info": {"id": f"{name}-1"},
                    }
                ],
                redis_host=address,
                redis_port=int(port.partition("/")[0]),
                num_retries=0,
                disable_cooldowns=True,
                **self.settings,
            )
            for name, one in self.job.limits.items()
        }

    async def ask(self, name: str, number: int, line: Line) -> None:
        import litellm

        item = self.job.queue.item(number)
        prompt = [{"role": "user", "content": "a " * item.prompt}]
        while True:
            try:
                await self.routers[name].acompletion(
                    model=name, messages=prompt, max_tokens=item.max_tokens, extra_body={"user": str(number)}
                )
            except (litellm.RateLimitError, ValueError):
                # Refused by the service or by the router, which does not tell when it will do.
                await asyncio.sleep(self.job.queue.window / 100e6)
            else:
                return


class LiteLLMEnforced(LiteLLMRouter):
    """The same Router with `enforce_model_rate_limits`."""

    settings: dict[str, Any] = {"optional_pre_call_checks": ["enforce_model_rate_limits"]}  # noqa: RUF012
