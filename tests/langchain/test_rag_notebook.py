"""The notebook on retrieval runs from top to bottom, and is committed with what it printed.

It runs in this process, so that it shares the engine of the other tests.
"""

import ast
import asyncio
import inspect
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_langchain_rag.ipynb"
FACTS = ("duck soup", "Source: food", "Source: economy", "quack", "neighbour Sylvania", "Rufus Firefly")


def code_cells():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell):
    return "".join(out.get("text", "") for out in cell.outputs)


def test_it_is_committed_with_its_outputs():
    cells = code_cells()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    shown = "\n".join(printed(cell) for cell in cells)
    assert all(fact in shown for fact in FACTS)
    assert not re.search(r"Traceback|Warning|/(?:home|root|work|Users)/", shown)


def test_ten_lines_lead_from_documents_to_an_answer_with_its_source():
    lines = [line for line in code_cells()[1].source.splitlines() if line]
    assert len(lines) <= 10
    assert "from_documents(documents" in "".join(lines)
    assert 'metadata["topic"]' in lines[-1]


@pytest.mark.real
@pytest.mark.timeout(600)
def test_it_runs(weights_05b, monkeypatch, capsys):
    assert weights_05b.exists()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nowhere: what would go out fails
    names, shown = {"__name__": "notebook"}, []
    for cell in code_cells():
        code = compile(cell.source, "notebook", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, names)  # noqa: S307 - our own notebook
        if inspect.isawaitable(outcome):
            asyncio.run(outcome)
        shown.append(capsys.readouterr().out)
    assert shown[2] == printed(code_cells()[2])  # what is computed is the same on every machine
    assert all(fact in "\n".join(shown) for fact in FACTS)
