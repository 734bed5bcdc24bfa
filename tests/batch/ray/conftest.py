"""One small cluster of two nodes on this machine, each with a server of its own, for all of its tests."""

import asyncio
import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from freeproviders import OpenAICompatible
from freeproviders.testing import replica

MEGABYTE = 2**20
STORE_BYTES = 80 * MEGABYTE
"""The memory for objects on a node: about the least that Ray takes."""
ON_LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # where it is off, Ray's own address is 127.0.0.1
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
KEY = "sk-0123456789abcdef0123"
"""The key of both nodes' environment."""


def always():
    return True


class Engine:
    """A server of one node, which counts, and answers as soon as `until` says so."""

    def __init__(self):
        self.running, self.peak, self.until = 0, 0, always
        self.replica = replica(OpenAICompatible, answer=self._answer)

    async def _answer(self, messages):
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            while not self.until():
                await asyncio.sleep(0.01)
        finally:
            self.running -= 1
        return f"Answer to {messages[-1]['content']}"

    def begin(self, until=always):
        """Forget what was seen."""
        self.until, self.peak, self.replica.faults = until, 0, None
        del self.replica.requests[:]

    @property
    def asked(self):
        """The questions that came, in their order."""
        return [request.messages[-1]["content"] for request in self.replica.requests]


class Machines:
    """A head that is a node, and a second node, which may be lost and come again."""

    def __init__(self):
        from ray.cluster_utils import Cluster

        self.engines = [Engine(), Engine()]
        for engine in self.engines:
            engine.replica.__enter__()
        self.cluster = Cluster()
        self._add(0, include_dashboard=False)
        self.second = self._add(1)
        self.address = self.cluster.address

    def _add(self, which, **settings):
        return self.cluster.add_node(
            num_cpus=1,
            object_store_memory=STORE_BYTES,
            node_ip_address="127.0.0.1",
            env_vars={"OPENAI_COMPATIBLE_API_BASE": self.engines[which].replica.base_url},
            **settings,
        )

    def lose_the_second(self):
        """All of its processes end at once, as those of a machine without power."""
        raylet = self.second.all_processes["raylet"][0].process.pid
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) == raylet:
                    os.kill(int(stat.parent.name), signal.SIGKILL)
        self.cluster.remove_node(self.second, allow_graceful=False)

    def have_the_second(self):
        if self.second not in self.cluster.worker_nodes:
            self.second = self._add(1)

    def backend(self, **configuration):
        return OpenAICompatible("any", retry=0, **configuration)

    def end(self):
        import ray

        ray.shutdown()
        self.cluster.shutdown()
        for engine in self.engines:
            engine.replica.__exit__(None, None, None)


@pytest.fixture(scope="session")
def cluster():
    """The cluster, started once."""
    folder = tempfile.mkdtemp(prefix="fp", dir="/tmp")  # Ray's sockets have no room for long paths
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {**ON_LOOPBACK, "RAY_TMPDIR": folder, "OPENAI_COMPATIBLE_API_KEY": KEY}.items():
            environment.setenv(name, value)
        machines = Machines()
        environment.setenv("OPENAI_COMPATIBLE_API_BASE", machines.engines[0].replica.base_url)
        try:
            yield machines
        finally:
            machines.end()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machines(cluster):
    """The cluster with both nodes, and engines that have seen nothing."""
    cluster.have_the_second()
    for engine in cluster.engines:
        engine.begin()
    return cluster
