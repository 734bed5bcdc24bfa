"""What more machines bring: python -m benchmarks.ray (seven minutes, 2 GB), on clusters of this machine.

Two nodes with an engine each beside one, where an engine answers four questions at a time and takes
its time for each; and nodes that share one limit on Redis: how much of it is used, and whether more is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.measured import FOLDER, conditions, write
from freeproviders import OpenAICompatible, Quota
from freeproviders.batch import batch_sync
from freeproviders.batch.ray import OnRay
from freeproviders.testing import replica
from tests.quota.servers import redis_server

SLOTS, SECONDS, ROWS = 4, 0.4, 200
CAPS, WINDOW = (30, 100), 60
NODES_AT_MOST = 3
STORE_BYTES = 80 * 2**20


class Engine:
    """A server that answers `SLOTS` questions at a time, each in `SECONDS`."""

    def __init__(self, slots: int = SLOTS, seconds: float = SECONDS) -> None:
        self.slots, self.seconds, self.free = slots, seconds, None
        self.seen: list[float] = []
        self.replica = replica(OpenAICompatible, answer=self._answer)

    async def _answer(self, messages: Any) -> str:
        self.seen.append(time.monotonic())
        self.free = self.free or asyncio.Semaphore(self.slots)
        async with self.free:
            await asyncio.sleep(self.seconds)
        return "Yes."


class Machines:
    """A cluster with a node for each address of a server."""

    def __init__(self, addresses: list[str], **environment: str) -> None:
        from ray.cluster_utils import Cluster  # noqa: PLC0415 - its settings come first

        self.cluster = Cluster()
        for number, address in enumerate(addresses):
            self.cluster.add_node(
                num_cpus=1,
                object_store_memory=STORE_BYTES,
                node_ip_address="127.0.0.1",
                env_vars={"OPENAI_COMPATIBLE_API_BASE": address, **environment},
                **({"include_dashboard": False} if not number else {}),
            )

    def __enter__(self) -> str:
        return self.cluster.address

    def __exit__(self, *_: object) -> None:
        import ray  # noqa: PLC0415 - as above

        ray.shutdown()
        self.cluster.shutdown()


def run(backend: Any, rows: int, folder: Path, **settings: Any) -> float:
    """Ask rows that are new, and return the seconds; what is started first does not count."""
    for _ in range(2 * NODES_AT_MOST):  # each node opens what it needs
        backend.complete_sync("Begin", max_tokens=1)
    began = time.monotonic()
    report = batch_sync(
        [f"{began} {n}" for n in range(rows)], backend, store=folder / "answers", in_flight=None, **settings
    )
    assert report.done == rows, report
    return time.monotonic() - began


def nodes(count: int, rows: int, folder: Path) -> dict[str, Any]:
    """The same questions on so many nodes with an engine each; none is this process alone."""
    engines = [Engine() for _ in range(max(1, count))]
    with ExitStack() as stack:
        for engine in engines:
            stack.enter_context(engine.replica)
        os.environ["OPENAI_COMPATIBLE_API_BASE"] = engines[0].replica.base_url
        plain = OpenAICompatible("any", retry=0)
        if not count:
            return {"nodes": 0, "seconds": run(plain, rows, folder)}
        address = stack.enter_context(Machines([one.replica.base_url for one in engines]))
        seconds = run(OnRay(plain, address=address), rows, folder)
        return {
            "nodes": count,
            "seconds": seconds,
            "asked": [len(one.seen) - 2 * NODES_AT_MOST // count for one in engines],
        }


def limit(count: int, cap: int, folder: Path, windows: int = 3) -> dict[str, Any]:
    """Nodes that share a limit on Redis, as a service sees their requests come."""
    engine = Engine(slots=1000, seconds=0.05)
    with ExitStack() as stack:
        server = stack.enter_context(redis_server(folder))
        stack.enter_context(engine.replica)
        base_url = engine.replica.base_url
        os.environ["OPENAI_COMPATIBLE_API_BASE"] = base_url
        os.environ["FREEPROVIDERS_QUOTA"] = server.url
        address = stack.enter_context(Machines([base_url] * count, FREEPROVIDERS_QUOTA=server.url))
        quota = Quota(
            [{"metric": "requests", "per": f"{WINDOW} seconds", "cap": cap}], name="shared", transit=0.2
        )
        rows = cap * windows - 2 * NODES_AT_MOST
        seconds = run(
            OnRay(OpenAICompatible("any", retry=0, quota=quota), address=address), rows, folder, wait=True
        )
    del os.environ["FREEPROVIDERS_QUOTA"]
    seen = engine.seen
    most = max(sum(1 for one in seen if at <= one < at + WINDOW) for at in seen)
    return {
        "nodes": count,
        "rows": rows,
        "cap": cap,
        "window": WINDOW,
        "most": most,
        "over": max(0, most - cap),
        "seconds": seconds,
        "used": WINDOW * (windows - 1) / seconds,  # the first window is full at once
    }


def main() -> None:
    """Measure, and write what was seen."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=ROWS)
    options.add_argument("--out", type=Path, default=FOLDER / "ray.json")
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fp", dir="/tmp"))
    os.environ.update(
        RAY_TMPDIR=str(folder), RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0"
    )
    try:
        found = [nodes(count, given.rows, folder) for count in (0, 1, 2)]
        shared = [limit(NODES_AT_MOST, cap, folder) for cap in CAPS]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    times = found[1]["seconds"] / found[2]["seconds"]
    for row in (*found, {"two nodes are so many times one": times}, *shared):
        print(row)
    write(
        given.out,
        {
            "conditions": conditions(["ray", "aiohttp", "redis"]),
            "slots": SLOTS,
            "seconds": SECONDS,
            "rows": given.rows,
            "nodes": found,
            "times": times,
            "limits": shared,
        },
    )


if __name__ == "__main__":
    main()
