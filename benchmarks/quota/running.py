"""Runs a service and the processes that ask it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from benchmarks.quota.driver import Job
from benchmarks.quota.queue import Queue
from benchmarks.quota.service import Report, now
from benchmarks.quota.tally import Limits


@contextmanager
def service(limits: dict[str, Limits], queue: Queue) -> Iterator[int]:
    """Run the service in a process of its own; yields its port."""
    names = {name: asdict(one) for name, one in limits.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.quota.service", json.dumps(names), json.dumps(asdict(queue))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def reports(port: int) -> dict[str, Report]:
    """Ask a service what it has seen."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/report") as answer:
        return {name: Report(**one) for name, one in json.load(answer).items()}


def client(job: Job) -> subprocess.Popen[str]:
    """Start a process; it says when it is ready."""
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.quota.client", job.text()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin(clients: list[subprocess.Popen[str]], ahead: float = 0.3) -> int:
    """Wait until all are ready and tell them the start, which is returned."""
    for one in clients:
        assert one.stdout.readline() == "ready\n", "A client did not start."
    start = now() + int(ahead * 1e6)
    for one in clients:
        tell(one, start)
    return start


def tell(one: subprocess.Popen[str], start: int) -> None:
    """Tell a process the start, which may be past."""
    one.stdin.write(f"{start}\n")
    one.stdin.flush()


def finish(clients: list[subprocess.Popen[str]], seconds: float) -> list[int]:
    """Wait for the processes to end; returns their exit codes."""
    limit = time.monotonic() + seconds
    codes = [one.wait(max(1.0, limit - time.monotonic())) for one in clients]
    for one in clients:
        one.stdin.close()
        one.stdout.close()
    return codes


def run(job: Job, processes: int) -> tuple[dict[str, Report], int]:
    """Run the processes of a job to the end; returns what the service saw, and the start."""
    with service(job.limits, job.queue) as port:
        clients = [client(replace(job, port=port)) for _ in range(processes)]
        start = begin(clients)
        codes = finish(clients, job.duration / 1e6 + 60)
        assert not any(codes), f"Clients ended with {codes}."
        time.sleep(job.queue.window / 1e6 / 20)  # answers without a waiting client end
        return reports(port), start
