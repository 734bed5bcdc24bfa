"""Local replicas of the services, for this project's tests and for yours.

A replica is a server on 127.0.0.1 that speaks one service's protocol, refuses what the real service
would
refuse, gives the answers you choose, and misbehaves on demand::

    from freeproviders import FlowGpt
    from freeproviders.testing import replica

    with replica(FlowGpt, answer="Hello there") as r:
        flow = FlowGpt(base_url=r.base_url)
        ...
        assert r.requests[-1].json["question"] == "Hi"

`freeproviders.testing.answers` describes the answers, `freeproviders.testing.faults` the faults,
and the modules of `freeproviders.testing.services` the requests that each service accepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freeproviders.lazy import lazy

if TYPE_CHECKING:
    from freeproviders.testing.billed import Billed
    from freeproviders.testing.faults import RandomFaults
    from freeproviders.testing.record import RecordedRequest
    from freeproviders.testing.running import Replica, replica, serve
    from freeproviders.testing.vectors import checksum_vector

__all__ = ["Billed", "RandomFaults", "RecordedRequest", "Replica", "checksum_vector", "replica", "serve"]

# Late, because pytest loads this package's plugin in every run wherever freeproviders is
# installed.
__getattr__, __dir__ = lazy(
    globals(),
    {
        "Billed": "billed",
        "RandomFaults": "faults",
        "RecordedRequest": "record",
        "Replica": "running",
        "checksum_vector": "vectors",
        "replica": "running",
        "serve": "running",
    },
)
