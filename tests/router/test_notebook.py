"""The notebook on the router runs from top to bottom, and is committed with what it prints."""

from pathlib import Path

import nbformat

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04_router.ipynb"


def code_cells():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_prints_what_it_was_committed_with(monkeypatch, capsys):
    for name in ("FREEPROVIDERS_QUOTA", "GROQ_API_KEY"):  # it sets them, and the next test has its own
        monkeypatch.setenv(name, "")
    monkeypatch.delenv("FREEPROVIDERS_CONFIRMED", raising=False)
    names = {"__name__": "notebook"}
    cells = code_cells()
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        exec(compile(cell.source, "notebook", "exec"), names)  # noqa: S102 - our own notebook
        committed = "".join(out.get("text", "") for out in cell.outputs)
        printed = capsys.readouterr().out
        if "At character" in printed:  # where the network cut it
            printed, committed = printed.splitlines()[0], committed.splitlines()[0]
        assert printed == committed
