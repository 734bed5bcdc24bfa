"""Cores are counted as the container allows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from freeproviders.embedded.cores import cgroup_quota, usable_cores


def group(root: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    for name, content in files.items():
        path = root / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "cgroup").write_text(membership)
    return root / "fs", root / "cgroup"


@pytest.mark.parametrize(
    ("membership", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3.0),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n", "a/cpu.max": "300000 100000\n"}, 2.0),
        ("0::/not/seen/from/inside\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/../../up\n", {"cpu.max": "50000 100000\n"}, 0.5),
        (
            "4:cpu,cpuacct:/docker/x\n3:memory:/y\n",
            {
                "cpu,cpuacct/docker/x/cpu.cfs_quota_us": "250000",
                "cpu,cpuacct/docker/x/cpu.cfs_period_us": "100000",
            },
            2.5,
        ),
        (
            "4:cpu,cpuacct:/docker/x\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "100000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            1.0,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {"cpu.max": "100000 0"}, None),
        ("nonsense", {}, None),
    ],
)
def test_quotas(tmp_path: Path, membership: str, files: dict[str, str], quota: float | None) -> None:
    assert cgroup_quota(*group(tmp_path, membership, files)) == quota


def test_no_control_groups_no_quota(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path, tmp_path / "missing") is None


def test_never_less_than_one_and_never_more_than_there_are(tmp_path: Path) -> None:
    root, membership = group(tmp_path, "0::/\n", {"cpu.max": "100 100000\n"})
    assert usable_cores(root=root, membership=membership) == 1
    (root / "cpu.max").write_text("100000000 100000\n")
    assert 1 <= usable_cores(root=root, membership=membership) <= (os.cpu_count() or 1)
