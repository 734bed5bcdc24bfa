"""The tables of docs/services.md are made of the catalogue, and are told when they are not current."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from freeproviders.catalogue import Catalogue
from freeproviders.catalogue.places import own_files

ROOT = Path(__file__).parents[2]
PARTS = ("generate_docs", "generate_services")


@pytest.fixture(scope="module")
def programs():
    """The program that writes pages, and its part that writes these tables, as modules."""
    sys.path.insert(0, str(ROOT / ".ci"))
    yield [importlib.import_module(name) for name in PARTS]
    sys.path.remove(str(ROOT / ".ci"))


@pytest.fixture
def script(programs):
    """The part that writes these tables."""
    return programs[1]


@pytest.fixture
def page(tmp_path, script):
    """A copy of the page, made current."""
    folder = tmp_path / "docs"
    folder.mkdir()
    path = folder / "services.md"
    shutil.copy(ROOT / "docs" / "services.md", path)
    write(script, path)
    return path


def write(script, page, catalogue=None):
    """Make the page current."""
    for path, text in script.pages(page.parent, catalogue).items():
        path.write_text(text, encoding="utf-8")


def is_current(script, page, catalogue=None):
    """Tell whether the page is as the part would write it."""
    return script.pages(page.parent, catalogue) == {page: page.read_text(encoding="utf-8")}


def cells_of(page):
    """The lines of all tables."""
    return [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]


def test_a_current_page_stays_as_it_is(page, script):
    """Written again nothing changes, whatever the day; a check is content."""
    before = page.read_bytes()
    write(script, page)
    assert is_current(script, page)
    assert page.read_bytes() == before


def test_each_service_is_in_one_table(page):
    """And each line has as many cells as its head."""
    lines = cells_of(page)
    for service in Catalogue(others=()):
        assert len([line for line in lines if f" `{service.id}` |" in line]) == 1, service.id
    for line in lines:
        assert line.endswith(" |")


def test_a_changed_fact_is_a_changed_line(page, script, tmp_path):
    """One line of a row is one line of the page."""
    row = tmp_path / "ovhcloud.toml"
    text = own_files()["ovhcloud"].read_text(encoding="utf-8")
    assert "cap = 2," in text
    row.write_text(text.replace("cap = 2,", "cap = 37,"), encoding="utf-8")
    changed = Catalogue({**own_files(), "ovhcloud": row}, others=())
    before = cells_of(page)
    assert not is_current(script, page, changed)
    write(script, page, changed)
    (new,) = set(cells_of(page)) - set(before)
    assert "37 requests a minute" in new
    assert is_current(script, page, changed)


def test_the_users_files_are_not_in_the_page(page, script, tmp_path, monkeypatch):
    """The tables are the same on every machine."""
    (tmp_path / "groq.toml").write_text('name = "Mine"\n')
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", str(tmp_path))
    assert is_current(script, page)


def test_a_page_without_its_markers_is_refused(page, script):
    """No table is lost in silence."""
    page.write_text(page.read_text().replace("<!-- table: local -->", ""))
    with pytest.raises(SystemExit, match="local"):
        script.pages(page.parent)


def test_what_a_row_says_stays_in_its_cell(script):
    """Bars and line breaks do not break the table."""
    assert script.cell("a | b\nc") == "a \\| b c"


def test_a_check_writes_nothing_and_says_what_to_run(programs, page, monkeypatch, capsys):
    """Only its exit code and its words tell that a page is not current."""
    program, part = programs
    monkeypatch.setattr(program, "PARTS", (part,))
    assert program.main(["--check"], page.parent) == 0
    old = page.read_text(encoding="utf-8").replace("Groq", "Grog")
    page.write_text(old, encoding="utf-8")
    assert program.main(["--check"], page.parent) == 1
    assert "docs/services.md. Run: make docs-tables" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == old
    assert program.main([], page.parent) == 0
    assert program.main(["--check"], page.parent) == 0
