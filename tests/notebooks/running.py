"""A notebook of the project, run whole in a kernel of its own, without a network but this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.notebooks import figures

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = tuple(sorted(path.stem for path in FOLDER.glob("*.ipynb")))
NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: what would leave the machine fails."""
VARIES = "varies"
"""The tag of cells that show a model's own words, which may differ from machine to machine."""
SECONDS = 300
STARTUP = "from tests.notebooks.figures import watch; watch()"


@dataclass(frozen=True)
class Cell:
    """A cell of code, and what it shows."""

    source: str
    varies: bool
    count: int | None
    text: str
    errors: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """A notebook after its run: its cells of code, and its figures as data."""

    cells: list[Cell]
    figures: list[list[dict[str, Any]]]

    @property
    def text(self) -> str:
        """All that is shown as text."""
        return "\n".join(cell.text for cell in self.cells)


def read(name: str) -> Any:
    """Return the notebook as it is committed."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    return notebook


def cells(notebook: Any) -> list[Cell]:
    """Return the notebook's cells of code."""
    return [_cell(cell) for cell in notebook.cells if cell.cell_type == "code"]


def _cell(cell: Any) -> Cell:
    text, errors, pictures = [], [], []
    for out in cell.outputs:
        if out.output_type == "stream":
            (errors if out.name == "stderr" else text).append(out.text)
        elif out.output_type == "error":
            errors.append("\n".join(out.traceback))
        else:
            text += [
                out.data[kind] for kind in ("text/markdown", "text/html", "text/plain") if kind in out.data
            ]
            pictures += [out.data[kind] for kind in ("image/png",) if kind in out.data]
    return Cell(
        cell.source,
        VARIES in cell.metadata.get("tags", ()),
        cell.execution_count,
        "".join(text),
        "".join(errors),
        tuple(pictures),
    )


def run(notebook: Any, folder: Path, *, model: str = "") -> Run:
    """Run a notebook and put what it shows into it.

    The kernel works in `folder`, beside a copy of the notebooks' data. `model` is the embedded model,
    where it is not to be the default. Raises `CellExecutionError` where a cell fails.
    """
    work = folder / "notebooks"
    work.mkdir()
    shutil.copytree(FOLDER / "data", work / "data")
    drawn = folder / "figures.jsonl"
    drawn.touch()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        coalesce_streams=True,
        record_timing=False,
        extra_arguments=[f"--IPKernelApp.exec_lines={STARTUP}"],
        resources={"metadata": {"path": str(work)}},
    )
    client.execute(env=_environment(folder, drawn, model))
    left = {path.name for path in work.iterdir()} - {"data"}
    assert not left, f"The notebook has left {left} behind."
    return Run(cells(notebook), [json.loads(line) for line in drawn.read_text("utf-8").splitlines()])


def _environment(folder: Path, drawn: Path, model: str) -> dict[str, str]:
    """The variables of a new user's machine without a network: no keys, and no state of anybody."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not re.search(r"API_KEY|API_BASE|_TOKEN$|^PYTEST|^COV_|^FREEPROVIDERS_(?!CACHE|WEIGHTS)", name)
    }
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    ours = {
        "FREEPROVIDERS_STATE": str(folder / "state"),
        "FREEPROVIDERS_MODEL": model,
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "",
        "PYTHONPATH": str(ROOT),
        figures.VARIABLE: str(drawn),
    }
    return kept | proxies | ours
