"""Write what the documentation has from the code; `make docs-tables` runs this.

    python .ci/generate_docs.py [--check]

With --check nothing is written, and the exit code is 1 where a page is not current; `make lint` runs that.
Each part is a module beside this one: tables of services, help of the commands, tree of errors, pages of
names, tables of what was measured, and what the first page has from the README.
"""

from __future__ import annotations

import sys
from pathlib import Path

import generate_errors
import generate_help
import generate_measured
import generate_names
import generate_services
import generate_shared

DOCS = Path(__file__).parents[1] / "docs"
PARTS = (
    generate_services,
    generate_errors,
    generate_help,
    generate_names,
    generate_measured,
    generate_shared,
)


def main(arguments: list[str], docs: Path = DOCS) -> int:
    """Write or check all pages; return the exit code."""
    stale = []
    for part in PARTS:
        for page, text in part.pages(docs).items():
            if page.exists() and page.read_text(encoding="utf-8") == text:
                continue
            if "--check" in arguments:
                stale.append(page.relative_to(docs.parent).as_posix())
                continue
            page.parent.mkdir(exist_ok=True)
            page.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"Not current: {', '.join(stale)}. Run: make docs-tables\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
