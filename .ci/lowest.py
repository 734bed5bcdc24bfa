"""Print the lowest versions that pyproject.toml declares for users, one `name==version` a line.

python .ci/lowest.py > constraints.txt
"""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

PYPROJECT = Path(__file__).parent.parent / "pyproject.toml"
_LOWER = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,-]+\])?>=([0-9a-z.]+)")


def lowest_versions() -> dict[str, str]:
    """Name and lowest version of everything that the package and its extras need."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    found: dict[str, str] = {}
    for wanted in chain(project["dependencies"], *project["optional-dependencies"].values()):
        if wanted.startswith(f"{project['name']}["):
            continue
        bound = _LOWER.match(wanted)
        if bound is None:
            raise SystemExit(f"{wanted!r} in pyproject.toml has no lower bound: write name>=version.")
        found[bound[1]] = bound[2]
    return found


if __name__ == "__main__":
    for name, version in lowest_versions().items():
        print(f"{name}=={version}")
