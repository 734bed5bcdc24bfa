"""Eight real processes: one finds a service down, the others do not ask it; one probe for all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.quota.servers import redis_server

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

WANTED = """closed closed
first asked done
down passed by
probe passed by passed by passed by passed by passed by passed by passed by probe
while it is probed passed by
after the kill passed by
later passed by passed by passed by passed by passed by passed by probe
closed done closed
"""


def told(place):
    """What the processes say."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.router.health_crowd", str(place)],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_one_file(tmp_path):
    assert told(tmp_path / "quota.db") == WANTED


def test_one_server(tmp_path):
    with redis_server(tmp_path) as server:
        assert told(server.url) == WANTED
