"""Parts of a page between the comments `<!-- KIND: NAME -->` and `<!-- end -->`."""

from __future__ import annotations

import re
import sys


def replaced(text: str, kind: str, name: str, lines: str) -> str:
    """Put lines between the markers, which the page must have once."""
    marked = re.compile(rf"(<!-- {kind}: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    text, found = marked.subn(lambda match: f"{match[1]}{lines}{match[2]}", text)
    if found != 1:
        sys.exit(f"The page needs the markers of the {kind} {name!r} once.")
    return text
