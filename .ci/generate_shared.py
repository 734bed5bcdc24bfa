"""What the first page of the site has from the README: sections by their headings, with links that fit."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from marked import replaced

ASKED = re.compile(r"<!-- README: (.*?) -->")
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s]*)(?=\))")


def pages(docs: Path) -> dict[Path, str]:
    """Give the page with the sections in it."""
    page = docs / "README.md"
    text = page.read_text(encoding="utf-8")
    readme = (docs.parent / "README.md").read_text(encoding="utf-8")
    for heading in ASKED.findall(text):
        text = replaced(text, "README", heading, section(readme, heading))
    return {page: text}


def section(readme: str, heading: str) -> str:
    """Cut out what stands below a heading, up to the next one of its level or above."""
    found = re.search(rf"^(##+) {re.escape(heading)}\n(.*?)(?=^##|\Z)", readme, re.DOTALL | re.MULTILINE)
    if found is None:
        sys.exit(f"The first page of the site wants the README's section {heading!r}, which is not there.")
    return LINK.sub(led, found[2].strip("\n")) + "\n"


def led(match: re.Match[str]) -> str:
    """Lead a link from the root to where it is seen from the folder of the pages."""
    target = match[1]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"
