"""What MkDocs does beside its own: pages from the root of the repository, notebooks, links, other hosts.

The pages are read in two places, as a site and as files in the repository. So they link as files do
(`../CONTRIBUTING.md`, `../notebooks/01_quickstart.ipynb`), and here such a link finds its way in the site.
A notebook is a page with the outputs that are kept in it, and a file to download; nothing is run here.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
FROM_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]*)(#[^)\s]*)?(?=\)(?P<download>\{ download \})?)")

FOLDER_LINK = re.compile(r"\[([^\]]+)\]\([^):]*/\)")
"""A link to a folder, which a site does not show."""
FOREIGN = re.compile(r'<(?:script|img|iframe|source)\b[^>]*\bsrc="https?:|<link\b[^>]*\bhref="https?:')
"""What a browser fetches from another host by itself."""
log = get_plugin_logger("site")

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NOTEBOOK = """
{%- extends "markdown/index.md.j2" %}
{% block stream %}
~~~~~~~~{ .text .output }
{{ (output.text | strip_ansi).rstrip() }}
~~~~~~~~
{% endblock %}
{% block data_text %}
~~~~~~~~{ .text .output }
{{ output.data["text/plain"] }}
~~~~~~~~
{% endblock %}
{% block data_html %}<div class="output">{{ super() }}</div>{% endblock %}
{% block data_markdown %}<div class="output" markdown="block">
{{ output.data["text/markdown"].replace("][", "]&#91;") }}
</div>{% endblock %}
{% block data_png %}![What the lines above draw]({{ output.metadata.filenames["image/png"] }})
{% endblock %}
"""
"""A page of a notebook: what a cell showed stands in a box of its own, and is never taken for a reference."""
DOWNLOAD = """
*This page is [a notebook](https://jupyter.org) with what its cells showed when they were run.
[Download it]({name}){{ download }}, or run it in a clone: `jupyter lab notebooks`.*
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the notebooks where the navigation has their folder."""
    for entry in config.nav:
        for title, target in entry.items():
            if target == "notebooks":
                entry[title] = [f"notebooks/{one.stem}.md" for one in NOTEBOOKS]
    return config


def of_notebook(config: MkDocsConfig, path: Path) -> list[File]:
    """Make the page of a notebook, its pictures, and the file to download."""
    exporter = MarkdownExporter(raw_template=NOTEBOOK)
    names = {"unique_key": path.stem, "output_files_dir": path.stem}
    text, more = exporter.from_notebook_node(nbformat.read(path, as_version=4), dict(names))
    head, _, rest = text.strip().partition("\n")
    page = f"{head}\n{DOWNLOAD.format(name=path.name)}\n{rest}\n"
    return [
        File.generated(config, f"notebooks/{path.stem}.md", content=page),
        File.generated(config, f"notebooks/{path.name}", abs_src_path=str(path)),
        *(
            File.generated(config, f"notebooks/{name}", content=data)
            for name, data in more["outputs"].items()
        ),
    ]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages of the root, and the notebooks."""
    for name in FROM_ROOT:
        page = name if name.endswith(".md") else f"{name}.txt"
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for notebook in NOTEBOOKS:
        for file in of_notebook(config, notebook):
            files.append(file)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Lead links to where their files are in the site."""
    uri = page.file.src_uri
    depth = uri.count("/")
    outside = "../" * (depth + 1)

    def led(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        if match["download"]:
            return match[0]
        if uri in FROM_ROOT:
            target = "README.md" if target == "README.md" else target.removeprefix("docs/")
        elif uri.startswith("notebooks/"):
            target = target.replace("../docs/", "../")
        elif target.startswith(outside):
            target = "../" * depth + target.removeprefix(outside)
        if target.endswith(".ipynb"):
            target = f"{target.removesuffix('.ipynb')}.md"
        return (f"{target}.txt" if target.endswith("LICENSE") else target) + anchor

    return LINK.sub(led, FOLDER_LINK.sub(r"\1", markdown) if uri.startswith("notebooks/") else markdown)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Warn of a page that a browser would ask other hosts for; `--strict` makes it an error."""
    for found in FOREIGN.findall(output):
        log.warning("%s fetches something from another host: %s", page.file.src_uri, found)
    return output
