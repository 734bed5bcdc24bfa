"""Who is measured: the ledger over its stores, and what others offer."""

from __future__ import annotations

from typing import Final

from benchmarks.quota import peers
from benchmarks.quota.driver import Driver
from benchmarks.quota.ours import OverRedis, OverSQLite

DRIVERS: Final[dict[str, type[Driver]]] = {
    "ledger, SQLite": OverSQLite,
    "ledger, Redis": OverRedis,
    "LiteLLM Router, usage-based-routing-v2": peers.LiteLLMRouter,
    "LiteLLM Router, enforce_model_rate_limits": peers.LiteLLMEnforced,
    "LlamaIndex SlidingWindow, one process": peers.LlamaIndexSliding,
    "LlamaIndex TokenBucket, one process": peers.LlamaIndexBucket,
    "limits, moving window, Redis": peers.LimitsMoving,
    "pyrate-limiter, SQLite": peers.PyrateSQLite,
    "none, obeying Retry-After": peers.Unlimited,
}
