"""Many texts through a service with a small limit that fails often: nothing lost, nothing over.

`python -m benchmarks.indexing` embeds 10,000 texts in requests of one text at a service that
allows 100 requests a window (a minute, scaled down to a second or two) and spoils 30 % of them.
With `--kills 10` the embedding process is killed and started again, with its vectors in a cache.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from freeproviders import Quota, Retry
from freeproviders.catalogue import catalogue
from freeproviders.catalogue.rows import Limit
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.testing import checksum_vector, replica
from freeproviders.testing.running import Replica

MODEL, SIZE, SERVICE = "mistral-embed", 1024, "mistral"
REFUSALS: tuple[dict[str, Any], ...] = (
    {"status": 429, "retry_after_ms": 50},
    {"status": 429},
    {"status": 503},
    {"status": 500},
)
SPOILT: tuple[dict[str, Any], ...] = ({"cut": 0}, {"cut": 500}, {"vectors": "missing"}, {"vectors": "twice"})
"""Answers that are counted as given, and hold no vectors of use."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is done: `window` is the seconds that stand for a minute, `share` of requests is spoilt."""

    texts: int
    window: int = 1
    cap: int = 100
    batch: int = 1
    share: float = 0.3
    kills: int = 0
    seed: int = 1

    @property
    def requests(self) -> int:
        """The requests that are needed where none is spoilt."""
        return -(-self.texts // self.batch)

    @property
    def limit(self) -> Limit:
        return Limit(metric="requests", per=f"{self.window} seconds", cap=self.cap, reset="rolling")

    def all_texts(self) -> list[str]:
        return [
            f"Text {place} says that {place * 7919 % 10_007} is its number." for place in range(self.texts)
        ]

    def service(self) -> Replica:
        """Start the service, which counts its limit by itself."""
        dice = random.Random(self.seed)
        faults = REFUSALS if self.kills else REFUSALS + SPOILT  # "answered twice" is what kills cost
        good = {"on": "embeddings"}
        plan = [
            {**good, **dice.choice(faults)} if dice.random() < self.share else good
            for _ in range(self.requests * 3)
        ]
        return replica(service=replace(catalogue().service(SERVICE), limit=(self.limit,)), faults=plan)


def work(address: str, folder: str, job: Job) -> None:
    """Embed all texts, and check each vector: the program that is killed and started again."""
    texts = job.all_texts()
    embedder = OpenAICompatibleEmbedder(
        MODEL,
        service=SERVICE,
        base_url=address,
        api_key="any",
        batch_size=job.batch,
        concurrency=16,
        quota=Quota([job.limit], name="bench", ledger=Path(folder) / "quota.db", transit=job.window / 8),
        retry=Retry(attempts=20, first=0.05, longest=1.0, budget=600),
        cache=Path(folder) / "vectors.db",
    )
    vectors = embedder.embed_sync(texts, wait_up_to=600).vectors
    right = sum(
        bool(np.allclose(vector, checksum_vector(text, SIZE, MODEL), atol=1e-6))
        for vector, text in zip(vectors.numpy(), texts, strict=True)
    )
    print(json.dumps({"vectors": len(vectors), "right": right}))


def run(job: Job) -> dict[str, Any]:
    """Embed the texts in a process of its own, killed so many times; say what the service saw."""
    dice = random.Random(job.seed)
    kills = sorted(dice.randrange(1, job.requests) for _ in range(job.kills))
    with tempfile.TemporaryDirectory() as folder, job.service() as server:
        began = time.monotonic()
        for moment in kills:
            child = _started(server.base_url, folder, job)
            while len(server.requests) < moment and child.poll() is None:
                time.sleep(0.005)
            child.kill()
            child.communicate()
        said, _ = _started(server.base_url, folder, job).communicate()
        seconds = time.monotonic() - began
        answered = Counter(
            text for request in server.requests if request.status == 200 for text in request.texts
        )
        return {
            **json.loads(said),
            "texts": job.texts,
            "requests": len(server.requests),
            "over the limit": server.counts.refused,
            "answered twice": sum(times > 1 for times in answered.values()),
            "killed": job.kills,
            "seconds": round(seconds, 1),
            "seconds at least": round(job.requests / (1 - job.share) / job.cap * job.window, 1),
        }


def _started(address: str, folder: str, job: Job) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.indexing", "--work", json.dumps([address, folder, asdict(job)])],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent.parent,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    say = argparse.ArgumentParser(prog="python -m benchmarks.indexing", description=__doc__)
    for field in fields(Job):
        default = 10_000 if field.name == "texts" else field.default
        say.add_argument(f"--{field.name}", type=type(default), default=default)
    say.add_argument("--work", help=argparse.SUPPRESS)
    said = vars(say.parse_args(arguments))
    if given := said.pop("work"):
        address, folder, job = json.loads(given)
        work(address, folder, Job(**job))
    else:
        for name, value in run(Job(**said)).items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
