"""The notebook runs from top to bottom in a fresh kernel, and is committed with what it printed."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_langchain.ipynb"
FACTS = (
    "Embedded qwen2.5-coder-0.5b stop",
    "FlowGpt True",
    "City(name='Paris', country='France')",
    "('get_weather', {'city': 'Paris'})",
    "RateLimitError True 30.0",
)
"""What does not depend on the model's words."""


def read():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return notebook, [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cells):
    return "\n".join(
        str(out.get("text") or out.get("data", {}).get("text/plain", ""))
        for cell in cells
        for out in cell.outputs
    )


def test_it_is_committed_with_its_outputs():
    _, cells = read()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    shown = printed(cells)
    assert all(fact in shown for fact in FACTS)
    assert not re.search(r"Traceback|Warning|/(?:home|root|work|Users)/", shown)


def test_it_begins_with_ten_lines_that_stream():
    _, cells = read()
    assert len(cells[0].source.splitlines()) <= 10
    assert ".stream(" in cells[0].source


@pytest.mark.real
@pytest.mark.timeout(900)
def test_it_runs(weights_05b, monkeypatch, tmp_path):
    assert weights_05b.exists()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nowhere: what would go out fails
    notebook, cells = read()
    for cell in cells:
        cell.outputs, cell.execution_count = [], None
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = printed(cells)
    assert [fact for fact in FACTS if fact not in shown] == []
    assert "It is 21 degrees and sunny in Paris." in shown
    assert not any(
        out.output_type == "stream" and out.name == "stderr" for cell in cells for out in cell.outputs
    )
