"""Programs that embed, killed at random moments of the service's, and run again until they end."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from freeproviders.testing import Replica

ROOT = Path(__file__).parent.parent.parent


def asked(server: Replica) -> Counter[str]:
    """How often each text was sent."""
    return Counter(text for request in server.requests for text in request.texts)


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a program."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=ROOT)


def run(server: Replica, code: str, *arguments: object, kills: int, most: int, seed: int = 12) -> None:
    """Run a program until it ends by itself, after it was killed so many times.

    Each kill comes when the service has been sent between one and `most` requests more.
    """
    picked = random.Random(seed)
    for _ in range(kills):
        process = start(code, *arguments)
        wanted = len(server.requests) + picked.randint(1, most)
        _wait_until(lambda: len(server.requests) >= wanted, process)  # noqa: B023 - at once
        process.kill()
        process.wait()
    assert start(code, *arguments).wait(60) == 0


def _wait_until(reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not reached() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
