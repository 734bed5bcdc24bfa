"""Batches over the nodes of a Ray cluster (the extra `ray`): Ray places questions, nothing else.

The store of answers and the ledger of limits are the same as on one machine: an answer that is kept
is not asked for again, whatever becomes of a node.
"""

from __future__ import annotations

from freeproviders.batch.ray.data import Answerer, answered_dataset
from freeproviders.batch.ray.placed import OnRay

__all__ = ["Answerer", "OnRay", "answered_dataset"]
