"""Results as files: docs/measured/*.json, with the machine, the versions and the day.

`.ci/generate_measured.py` makes the tables of the pages from them, `benchmarks.peers.plots` the
pictures.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
import re
import statistics
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.harness import ratio

FOLDER = Path(__file__).parents[1] / "docs" / "measured"


def conditions(packages: Iterable[str]) -> dict[str, Any]:
    """Where and with what something is measured; `load` is what ran beside it, as `uptime` says it."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": [round(one, 1) for one in os.getloadavg()],
        "versions": dict(sorted((name, found) for name in packages if (found := version_of(name)))),
    }


def processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    names = re.findall(r"^model name\s*: (.+)$", text, flags=re.MULTILINE)
    return names[0].strip() if names else platform.machine()


def version_of(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write(path: Path, results: dict[str, Any]) -> None:
    """Numbers have four digits, since no more of them mean anything."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rounded(results), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return value


def digest(path: Path) -> str:
    """What a picture carries of the results that it was drawn from."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class Results:
    """The numbers of `python -m benchmarks.peers`, in the one way in which all pages read them."""

    def __init__(self, path: Path = FOLDER / "peers.json") -> None:
        self.all = json.loads(path.read_text(encoding="utf-8"))
        self.found: dict[str, dict[str, list[dict]]] = self.all["found"]

    def numbers(self, workload: str, contender: str, field: str) -> list[float] | None:
        """One for each round; None where the contender did not do it, or failed."""
        rows = self.found[workload].get(contender, [])
        return [row[field] for row in rows] if rows and all(field in row for row in rows) else None

    def median(self, workload: str, contender: str, field: str) -> float | None:
        found = self.numbers(workload, contender, field)
        return None if found is None else statistics.median(found)

    def times(self, workload: str, contender: str, other: str, field: str) -> float | None:
        """How many times as much as another one, in the same rounds."""
        one, two = (self.numbers(workload, name, field) for name in (contender, other))
        return None if one is None or two is None else ratio(one, two)
