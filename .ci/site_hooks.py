"""What MkDocs does beside its own: pages from the root of the repository, links, and a look at other hosts.

The pages are read in two places, as a site and as files in the repository. So they link as files do
(`../CONTRIBUTING.md`, `../notebooks/01_quickstart.ipynb`), and here such a link finds its way in the site.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
FROM_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]*)(#[^)\s]*)?(?=\))")

FOREIGN = re.compile(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="https?:|<link\b[^>]*\bhref="https?:')
"""What a browser fetches from another host by itself."""
log = get_plugin_logger("site")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages of the root, and the notebooks as files."""
    for name in FROM_ROOT:
        page = name if name.endswith(".md") else f"{name}.txt"
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{notebook.name}", abs_src_path=str(notebook)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead links to where their files are in the site."""
    uri = page.file.src_uri
    depth = uri.count("/")
    outside = "../" * (depth + 1)

    def led(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if uri in FROM_ROOT:
            target = "README.md" if target == "README.md" else target.removeprefix("docs/")
        elif target.startswith(outside):
            target = "../" * depth + target.removeprefix(outside)
        return (f"{target}.txt" if target.endswith("LICENSE") else target) + anchor

    return LINK.sub(led, markdown)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Warn of a page that a browser would ask other hosts for; `--strict` makes it an error."""
    for found in FOREIGN.findall(output):
        log.warning("%s fetches something from another host: %s", page.file.src_uri, found)
    return output
