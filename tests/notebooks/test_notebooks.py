"""Each notebook is run whole in a fresh kernel, and is committed with what it showed.

What is computed must be shown again to the letter; a cell with a model's own words, which may differ
from machine to machine, is tagged "varies", and the facts that it must show are named here.
"""

from __future__ import annotations

import base64
import getpass
import re
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.notebooks.running import FOLDER, NOTEBOOKS, ROOT, Run, cells, read, run

STORE = "python -m tests.notebooks.store"
FONTS = "import matplotlib.font_manager"


@dataclass(frozen=True)
class Expected:
    """What a notebook must show, whatever a model says; `model` is asked in place of the default."""

    facts: tuple[str, ...] = ()
    pictures: int = 0
    model: str = ""
    real: bool = True


EXPECTED = {
    "01_quickstart": Expected(
        ("whole:", "streamed:", "The end, because of: "),
        pictures=1,
        model="smollm2-135m",
    ),
    "02_agent": Expected(
        (
            "tool   It is 21 degrees and sunny in Paris.",
            "get_time({'city': 'Tokyo'}) -> It is half past two in Tokyo.",
            "{'name': 'Bergen', 'country': 'Norway', 'inhabitants': 290000}",
        )
    ),
    "03_rag": Expected(
        (
            "12 crowns",
            "Source: ferry.md",
            "Wednesday",
            "Source: waste.md",
            "Source: pool.md",
            "27 degrees",
        ),
        pictures=1,
    ),
    "04_router": Expected(pictures=3, real=False),
    "05_your_own": Expected(("corner-small",), real=False),
    "06_batches": Expected(
        ("48 done", "invoices that were answered more than once: 0", "asked again: 0"), pictures=2, real=False
    ),
}
NAMES = [
    pytest.param(name, marks=[pytest.mark.real] if expected.real else [])
    for name, expected in EXPECTED.items()
]


@pytest.fixture(scope="module")
def fonts() -> None:
    """The list of fonts, which matplotlib makes once for a user and says so on stderr."""
    subprocess.run([sys.executable, "-c", FONTS], check=True, capture_output=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_shows_what_it_is_committed_with(
    name: str, tmp_path: Path, fonts: None, request: pytest.FixtureRequest
) -> None:
    expected = EXPECTED[name]
    if expected.real:
        request.getfixturevalue("weights_135m" if expected.model == "smollm2-135m" else "weights_05b")
    committed = cells(read(name))
    done = run(read(name), tmp_path, model=expected.model)
    for before, now in zip(committed, done.cells, strict=True):
        assert not now.errors, now.source
        assert len(now.pictures) == len(before.pictures), now.source
        if not now.varies:
            assert now.text == before.text, f"Run `{STORE} {name}`, and look at what has changed."
    assert [fact for fact in expected.facts if fact not in done.text] == []
    assert len(done.figures) == expected.pictures == sum(len(cell.pictures) for cell in done.cells)
    for figure in done.figures:
        for axes in figure:
            assert all(axes[words] for words in ("title", "x", "y"))
    if name in DRAWN:
        DRAWN[name](done)


def router(done: Run) -> None:
    """Who answered when; two quotas; a stream that was cut."""
    (timeline,), (quotas,), (cut,) = done.figures
    points = timeline["points"]
    assert [x for x, _ in points["answered"]] == list(range(1, 23))  # every question has its answer
    assert {y for _, y in points["answered"]} == {0, 1, 2}
    assert points["failed"] == [[5, 0], [6, 0], [11, 1]]
    assert quotas["lines"] == {
        "alpha": [[x, max(5 - x, 0)] for x in range(9)],
        "beta": [[x, min(3, 8 - x)] for x in range(9)],
    }
    continued, restarted = ([y for _, y in cut["lines"][name]] for name in ("continue", "restart"))
    assert continued == sorted(continued)
    assert restarted != sorted(restarted)


def quickstart(done: Run) -> None:
    """A stream has something to read before its end; the whole answer has not."""
    (lines,) = (axes["lines"] for (axes,) in done.figures)
    streamed, whole = lines["stream"], lines["whole"]
    assert whole == [[0, 0], [1, streamed[-1][1]]]
    assert any(0 < at < 1 and 0 < length < streamed[-1][1] for at, length in streamed)
    assert "|" in done.cells[1].text
    assert "|" in done.cells[3].text


def rag(done: Run) -> None:
    """Vectors and words together find at least as many as either."""
    ((axes,),) = done.figures
    recall = {way: [share for _, share in points] for way, points in axes["lines"].items()}
    assert recall["both"][0] > max(recall["vectors"][0], recall["words"][0])
    assert all(shares == sorted(shares) for shares in recall.values())


def batches(done: Run) -> None:
    """Answers by service up to the end of one day's quota; two models that can be told apart."""
    (answers, quota), (shares, times) = done.figures
    lines = {name: [y for _, y in answers["lines"][name]] for name in ("alpha", "beta")}
    assert all(counts == list(range(1, len(counts) + 1)) for counts in lines.values())
    assert 0 < len(lines["beta"]) <= 12 < len(lines["alpha"])
    left = [y for _, y in quota["lines"]["beta"]]
    assert len(left) == len(lines["beta"])
    assert 0 <= min(left) < max(left) < 12
    assert shares["ticks"] == ["large", "small"]
    assert all(len(dots) for dots in times["points"].values())


DRAWN = {"01_quickstart": quickstart, "03_rag": rag, "04_router": router, "06_batches": batches}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_is_committed_with_its_outputs(name: str) -> None:
    """In the order of the page, without what is of the machine it ran on."""
    notebook = read(name)
    code = cells(notebook)
    assert [cell.count for cell in code] == list(range(1, len(code) + 1))
    text = "\n".join(cell.text for cell in code)
    assert not re.search(r"Traceback|Warning|/(?:home|root|work|Users|tmp|site-packages)/", text)
    assert getpass.getuser() not in text or getpass.getuser() == "root"
    assert not re.search(r"127\.0\.0\.1:\d|localhost:\d", text)  # ports that are others the next time
    assert not any(cell.errors for cell in code)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in notebook.cells:
        assert set(cell.metadata) <= {"tags"}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_pictures_are_small(name: str) -> None:
    """No wider than a page, and few enough bytes for a repository."""
    for cell in cells(read(name)):
        for picture in cell.pictures:
            data = base64.b64decode(picture)
            width, height = struct.unpack(">II", data[16:24])
            assert (width <= 1000, height <= 600, len(data) <= 60_000) == (True, True, True)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_it_says_how_to_install_and_how_long_it_takes(name: str) -> None:
    """In the first cell, from a clone: nothing of that name is on an index yet."""
    first = read(name).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert 'pip install ".[' in first.source
    assert "**Time**" in first.source
    for cell in read(name).cells:
        assert not re.search(r"pip install [\"']?freeproviders", cell.source)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_its_prose_is_narrow_and_its_links_lead_somewhere(name: str) -> None:
    for cell in read(name).cells:
        limit = 100 if cell.cell_type == "markdown" else 110
        assert [line for line in cell.source.splitlines() if len(line) > limit] == []
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#\s]+)", cell.source):
                assert target.startswith("https://") or (FOLDER / target).exists(), target


def test_ten_lines_lead_from_passages_to_an_answer_with_its_source() -> None:
    """In both frameworks."""
    for cell in cells(read("03_rag"))[1:4:2]:
        lines = [line for line in cell.source.splitlines() if line]
        assert len(lines) <= 10
        assert "parts" in cell.source
        assert 'metadata["source"]' in lines[-1]
        assert re.search(r"Source: \w+\.md", cell.text)


def test_every_notebook_is_tested_and_listed() -> None:
    """In the documentation's index, by its file."""
    assert set(EXPECTED) == set(NOTEBOOKS)
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [name for name in NOTEBOOKS if f"../notebooks/{name}.ipynb" not in index] == []
