"""Run notebooks and write what they show into their files: `python -m tests.notebooks.store [names]`.

What a run leaves behind that says nothing, such as ids and versions, is taken out, so that the
file of a notebook changes only where the notebook does.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import nbformat

from tests.notebooks.running import FOLDER, NOTEBOOKS, read, run

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def store(name: str) -> float:
    """Run one notebook and write it; returns the seconds that it took."""
    notebook = read(name)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        run(notebook, Path(folder))
    seconds = time.monotonic() - begun
    notebook.metadata.clear()
    notebook.metadata.update(kernelspec=KERNEL, language_info={"name": "python"})
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number}"
        tags = cell.metadata.get("tags", [])
        cell.metadata.clear()
        if tags:
            cell.metadata["tags"] = tags
    nbformat.write(notebook, FOLDER / f"{name}.ipynb")
    return seconds


if __name__ == "__main__":
    for one in sys.argv[1:] or NOTEBOOKS:
        print(f"{one}: {store(one):.1f} s", flush=True)
