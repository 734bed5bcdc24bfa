"""The notebook runs from top to bottom in a fresh kernel, and is committed with what it printed."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent.parent / "notebooks" / "02_llamaindex_rag.ipynb"


def printed(notebook):
    """All output as text, cell by cell."""
    return [
        "".join(str(out.get("text") or out.get("data", {}).get("text/plain", "")) for out in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_it_is_committed_with_its_outputs():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    shown = "\n".join(printed(notebook))
    assert "Fredville" in shown
    assert "Traceback" not in shown
    assert not re.search(r"/(?:home|root|work|Users)/", shown)  # nobody's machine


def test_ten_lines_lead_from_documents_to_an_answer_with_its_source():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    _, cell, *_ = [cell for cell in notebook.cells if cell.cell_type == "code"]
    lines = [line for line in cell.source.splitlines() if line]
    assert len(lines) <= 10
    assert "from_documents(documents" in "".join(lines)
    assert "source_nodes" in lines[-1]


@pytest.mark.real
@pytest.mark.timeout(900)
def test_it_runs(weights_05b, monkeypatch, tmp_path):
    assert weights_05b.exists()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nowhere: what would go out fails
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    committed = printed(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    now = printed(notebook)
    # The model's words may differ from machine to machine; what is computed may not.
    for at in (0, 2, 3):
        assert now[at] == committed[at]
    shown = "\n".join(now)
    for fact in ("Fredville", "duck soup", "Source: food", "700 feathers", "inhabitants=40000"):
        assert fact in shown
