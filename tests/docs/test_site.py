"""What the site makes of a notebook; `make docs` builds the whole site, and takes a dead link as an error."""

import importlib.util
import re
from types import SimpleNamespace

import nbformat
import pytest

from tests.docs.pages import ROOT

pytest.importorskip("mkdocs", reason="the site's packages come with make .venv/.docs")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def hooks():
    """The module that MkDocs loads."""
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / ".ci" / "site_hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_a_page_with_what_it_showed(notebook, hooks):
    """Each text and each plot that is kept, under a title and a link to the file itself."""
    from mkdocs.config.defaults import MkDocsConfig

    config = MkDocsConfig()
    config.plugins = SimpleNamespace(_current_plugin="the hook")

    page, download, *pictures = hooks.of_notebook(config, notebook)
    text = page.content_string
    cells = nbformat.read(notebook, as_version=4).cells
    assert text.startswith(cells[0].source.partition("\n")[0])
    assert download.src_uri == f"notebooks/{notebook.name}"
    assert f"({notebook.name}){{ download }}" in text.partition("\n## ")[0]
    outputs = [one for cell in cells for one in cell.get("outputs", ())]
    plots = [one.data for one in outputs if "image/png" in one.get("data", {})]
    named = re.findall(r"!\[What the lines above draw\]\((.*?)\)", text)
    assert [f"notebooks/{one}" for one in named] == [one.src_uri for one in pictures]
    assert len(named) == len(plots)
    assert all(one.content_bytes.startswith(b"\x89PNG") for one in pictures)
    for one in outputs:
        if one.output_type == "stream":
            assert re.sub(r"\x1b\[[0-9;]*m", "", one.text).rstrip() in text


def test_links_of_a_notebook_lead_to_pages(hooks):
    page = SimpleNamespace(file=SimpleNamespace(src_uri="notebooks/01_quickstart.md"))
    said = "[a](../docs/router.md#x) [b](02_agent.ipynb) [c](01_quickstart.ipynb){ download } [d](data/)"
    expected = "[a](../router.md#x) [b](02_agent.md) [c](01_quickstart.ipynb){ download } d"
    assert hooks.on_page_markdown(said, page=page, config=None, files=None) == expected
