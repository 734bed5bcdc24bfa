"""The page about testing: its tests are run by pytest, its program by itself."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

from freeproviders.testing import plugin
from freeproviders.testing.faults import FAULT_NAMES
from freeproviders.testing.services.catalogued import CataloguedService

PAGE = Path(__file__).parent.parent.parent / "docs" / "testing.md"
TEXT = PAGE.read_text(encoding="utf-8")
TESTS, PROGRAM, VECTORS, QUOTA = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.DOTALL | re.MULTILINE)


def test_the_tests_pass(tmp_path: Path) -> None:
    """In a project that has nothing of ours but the package: the plugin finds its way by itself."""
    (tmp_path / "test_mine.py").write_text(TESTS)
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            "-W",
            "error::ResourceWarning",
            str(tmp_path),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_the_program_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "It is 21 degrees.\n"), done.stderr


def test_vectors_are_their_texts_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", VECTORS], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "2 times asked, 1 times answered\n"), done.stderr


def test_limits_are_kept() -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUOTA], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "3 admitted, 1 refused\n"), done.stderr


def test_what_is_named_is_there() -> None:
    assert set(re.findall(r'^\| `\{"(\w+)"', TEXT, flags=re.MULTILINE)) <= set(FAULT_NAMES)
    options = re.findall(r"^\| `(\w+)` \|", TEXT.partition("## Services")[2], flags=re.MULTILINE)
    assert set(options) <= set(inspect.signature(CataloguedService).parameters)
    fixtures = {name for name in vars(plugin) if name.endswith("_replica")}
    assert fixtures
    assert all(f"`{name}" in TEXT for name in fixtures)
