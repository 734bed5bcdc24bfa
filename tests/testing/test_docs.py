"""What the page about testing names is there; `tests/docs` runs its code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from freeproviders.testing import plugin
from freeproviders.testing.faults import FAULT_NAMES
from freeproviders.testing.services.catalogued import CataloguedService

PAGE = Path(__file__).parent.parent.parent / "docs" / "testing.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_what_is_named_is_there() -> None:
    assert set(re.findall(r'^\| `\{"(\w+)"', TEXT, flags=re.MULTILINE)) <= set(FAULT_NAMES)
    options = re.findall(r"^\| `(\w+)` \|", TEXT.partition("## Services")[2], flags=re.MULTILINE)
    assert set(options) <= set(inspect.signature(CataloguedService).parameters)
    fixtures = {name for name in vars(plugin) if name.endswith("_replica")}
    assert fixtures
    assert all(f"`{name}" in TEXT for name in fixtures)
