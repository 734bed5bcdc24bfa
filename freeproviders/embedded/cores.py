"""The number of processor cores that this process may really use.

A container shows all cores of the machine and often allows only some of them.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
SELF: Final = Path("/proc/self/cgroup")


def usable_cores(*, root: Path = CGROUP_ROOT, membership: Path = SELF) -> int:
    """Return the number of cores by affinity or by quota, whichever is less; at least 1."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        cores = os.cpu_count() or 1
    quota = cgroup_quota(root, membership)
    return max(1, min(cores, math.ceil(quota) if quota is not None else cores))


def cgroup_quota(root: Path, membership: Path) -> float | None:
    """Return the cores that control groups allow, or None without a limit.

    It is the lowest of the limits of the process's group and of the groups above it.
    """
    quotas: list[float] = []
    try:
        lines = membership.read_text("utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for folder in _upwards((root / controllers if controllers else root), path):
            quota = _v1(folder) if controllers else _v2(folder)
            if quota is not None:
                quotas.append(quota)
    return min(quotas, default=None)


def _upwards(root: Path, path: str) -> list[Path]:
    """List the group's folder and its parents up to the root.

    Inside a container, the path may not be there: then the root is the group.
    """
    folder = Path(os.path.normpath(root / path.strip("/")))
    if root not in (folder, *folder.parents):
        return [root]
    return [folder, *(parent for parent in folder.parents if root in (parent, *parent.parents))]


def _v2(folder: Path) -> float | None:
    """Read `cpu.max`: "max 100000", or quota and period in microseconds."""
    try:
        quota, period = (folder / "cpu.max").read_text("utf-8").split()
        return float(quota) / float(period) if quota != "max" else None
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _v1(folder: Path) -> float | None:
    try:
        quota = float((folder / "cpu.cfs_quota_us").read_text("utf-8"))
        period = float((folder / "cpu.cfs_period_us").read_text("utf-8"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
