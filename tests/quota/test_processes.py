"""Eight processes on one ledger, killed at any moment: nothing over, and little lost."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.quota import crowd

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def arrivals(place, log, kills):
    """The moments at which requests came to the service."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.quota.crowd", str(place), str(log), str(kills)],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(float(line) for line in log.read_text().split())


def check(seen, kills):
    """Nothing over in any window, and no more lost than what was under way when a process was killed."""
    assert crowd.DAY_CAP - kills <= len(seen) <= crowd.DAY_CAP
    for number, moment in enumerate(seen):
        window = [one for one in seen[: number + 1] if one > moment - crowd.WINDOW_SECONDS]
        assert len(window) <= crowd.WINDOW_CAP


def test_one_file(tmp_path):
    path = tmp_path / "quota.db"
    check(arrivals(path, tmp_path / "log", 30), 30)
    file = sqlite3.connect(path)
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    file.close()


def test_one_server(tmp_path, redis_address):
    check(arrivals(redis_address, tmp_path / "log", 10), 10)
