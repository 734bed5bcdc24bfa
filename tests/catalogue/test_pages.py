"""The tables of docs/services.md are made of the catalogue, and are told when they are not current."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from freeproviders.catalogue import Catalogue
from freeproviders.catalogue.places import own_files

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / ".ci" / "generate_tables.py"


@pytest.fixture(scope="module")
def script():
    """The program as a module."""
    spec = importlib.util.spec_from_file_location("generate_tables", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(tmp_path, script):
    """A copy of the page, made current."""
    path = tmp_path / "services.md"
    shutil.copy(script.PAGE, path)
    assert script.main([], path) == 0
    return path


def cells_of(page):
    """The lines of all tables."""
    return [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]


def test_a_current_page_stays_as_it_is(page, script):
    """Written again nothing changes, whatever the day; a check is content."""
    before = page.read_bytes()
    assert script.main([], page) == 0
    assert script.main(["--check"], page) == 0
    assert page.read_bytes() == before


def test_each_service_is_in_one_table(page):
    """And each line has as many cells as its head."""
    lines = cells_of(page)
    for service in Catalogue(others=()):
        assert len([line for line in lines if f" `{service.id}` |" in line]) == 1, service.id
    for line in lines:
        assert line.endswith(" |")


def test_a_changed_fact_is_a_changed_line(page, script, tmp_path, capsys):
    """One line of a row, one line of the page; a check says which command mends it."""
    row = tmp_path / "ovhcloud.toml"
    text = own_files()["ovhcloud"].read_text(encoding="utf-8")
    assert "cap = 2," in text
    row.write_text(text.replace("cap = 2,", "cap = 37,"), encoding="utf-8")
    changed = Catalogue({**own_files(), "ovhcloud": row}, others=())
    before = cells_of(page)
    assert script.main(["--check"], page, changed) == 1
    assert "make docs-tables" in capsys.readouterr().err
    assert cells_of(page) == before
    assert script.main([], page, changed) == 0
    (new,) = set(cells_of(page)) - set(before)
    assert "37 requests a minute" in new
    assert script.main(["--check"], page, changed) == 0


def test_the_users_files_are_not_in_the_page(page, script, tmp_path, monkeypatch):
    """The tables are the same on every machine."""
    (tmp_path / "groq.toml").write_text('name = "Mine"\n')
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", str(tmp_path))
    assert script.main(["--check"], page) == 0


def test_a_page_without_its_markers_is_refused(page, script):
    """No table is lost in silence."""
    page.write_text(page.read_text().replace("<!-- table: local -->", ""))
    with pytest.raises(SystemExit, match="local"):
        script.main([], page)


def test_what_a_row_says_stays_in_its_cell(script):
    """Bars and line breaks do not break the table."""
    assert script.cell("a | b\nc") == "a \\| b c"
