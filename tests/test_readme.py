"""What the documents say and point to is there; `tests/docs` runs their code."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import freeproviders
from freeproviders import errors, gateway, testing, tools
from freeproviders.cli.app import app
from freeproviders.cli.lookup import all_providers
from freeproviders.provider import Provider

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
OWN_PROSE = [
    page
    for page in PAGES
    if page.name not in {"langchain-details.md", "llamaindex-details.md", "tools.md", "CHANGELOG.md"}
]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def blocks(page: Path) -> list[str]:
    """The page's Python code."""
    return re.findall(
        r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


def test_there_are_ten_lines_for_each_way_in() -> None:
    for first in (
        "from freeproviders import Embedded",
        "from langchain_freeproviders import ",
        "from llama_index.llms.freeproviders import ",
    ):
        block = next(block for block in blocks(ROOT / "README.md") if first in block)
        assert len([line for line in block.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), target


def test_every_error_is_in_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(
        r"^ +(?:[│ ]*[├└]── )?(\w+Error)(?: \(\w+(?:\.\w+)?\))?(?:  .*)?$", errors.__doc__, flags=re.MULTILINE
    )
    classes = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.FreeProvidersError)
    ]
    assert sorted(drawn) == sorted(classes)


@pytest.mark.parametrize(
    "package", [freeproviders, tools, testing, gateway], ids=lambda package: package.__name__
)
def test_the_page_of_public_names_has_them_all(package: ModuleType) -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    section = re.search(rf"^## `{package.__name__}`\n(.*?)(?=^## )", page, flags=re.DOTALL | re.MULTILINE)
    assert section is not None
    assert set(package.__all__) <= set(re.findall(r"`(\w+)`", section[1]))


def test_the_page_of_the_command_line_has_every_command_and_option() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    commands = {
        **group.commands,
        **{
            f"{first} {name}": command
            for first, inner in group.commands.items()
            if isinstance(inner, TyperGroup)
            for name, command in inner.commands.items()
        },
    }
    for name, command in commands.items():
        assert f"freeproviders {name}" in page
        for parameter in command.params:
            for option in parameter.opts:
                assert not option.startswith("-") or option == "--help" or f"`{option}`" in page, option


def test_lines_of_prose_are_at_most_100_columns() -> None:
    """Tables cannot be broken, and code has its own limit."""
    for page in OWN_PROSE:
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for line in text.splitlines():
            assert len(line) <= 100 or line.startswith("|"), f"{page.name}: {line}"


@pytest.mark.parametrize("cls", all_providers(), ids=lambda cls: cls.name)
def test_the_page_of_providers_has_the_classes_facts(cls: type[Provider]) -> None:
    page = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
    section = re.search(rf"^##+ {cls.name}\n(.*?)(?=^##|\Z)", page, flags=re.DOTALL | re.MULTILINE)
    assert section is not None
    facts = [cls.default_base_url, cls.api_endpoint, cls.default_model] if not cls.working else []
    for fact in [*facts, *re.findall(r"\d{4}-\d\d-\d\d", cls.status_note)]:
        assert fact in section[1]
    for option in cls.accepted_options or ():
        assert f"`{option}`" in section[1]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for date in re.findall(r"\d{4}-\d\d-\d\d", cls.status_note):
        assert re.search(rf"\| `{cls.name}` \|.*{date}", readme)
