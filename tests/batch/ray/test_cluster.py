"""The tests that need a cluster, in a process of their own: whoever runs tests in parallel has one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(400)
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray has no wheel for this Python here")
def test_on_a_cluster():
    """What `on_a_cluster.py` tests."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTEST_"))
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    # Older versions of Ray leave /dev/null open.
    command += ["-W", "ignore::ResourceWarning", "-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
    done = subprocess.run(
        [*command, "tests/batch/ray/on_a_cluster.py"],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=380,
    )
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-4000:]
