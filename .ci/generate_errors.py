"""The tree of errors in docs/errors.md, from the module's docstring."""

from __future__ import annotations

from pathlib import Path

from marked import replaced

from freeproviders import errors


def pages(docs: Path) -> dict[Path, str]:
    """Give the page with the tree in it."""
    page = docs / "errors.md"
    drawn = (errors.__doc__ or "").split("::\n", 1)[1].splitlines()
    tree = "\n".join(line[4:] for line in drawn if line.startswith("    "))
    return {page: replaced(page.read_text(encoding="utf-8"), "tree", "errors", f"```text\n{tree}\n```\n")}
