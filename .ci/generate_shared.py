"""What the first page of the site has from the README: a table, by a word of its head."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from marked import replaced

ASKED = re.compile(r"<!-- README: (.*?) -->")
TABLE = re.compile(r"^\|(?P<head>[^|\n]*)\|[^\n]*\n\|[-| :]+\n(?:\|[^\n]*\n)+", re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)\s]*)(?=\))")


def pages(docs: Path) -> dict[Path, str]:
    """Give the page with the sections in it."""
    page = docs / "README.md"
    text = page.read_text(encoding="utf-8")
    readme = (docs.parent / "README.md").read_text(encoding="utf-8")
    for word in ASKED.findall(text):
        text = replaced(text, "README", word, table(readme, word))
    return {page: text}


def table(readme: str, word: str) -> str:
    """Cut out the table whose head begins with a cell that has the word."""
    for found in TABLE.finditer(readme):
        if word in found["head"].split():
            return LINK.sub(led, found[0])
    sys.exit(f"The first page of the site wants a table of the README with {word!r} in its head.")


def led(match: re.Match[str]) -> str:
    """Lead a link from the root to where it is seen from the folder of the pages."""
    target = match[1]
    return target.removeprefix("docs/") if target.startswith("docs/") else f"../{target}"
