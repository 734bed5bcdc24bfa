"""Nobody is told to install the package by a name that is not ours on any index."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from freeproviders.installing import with_extra

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TOLD_IN = {".py", ".md", ".ipynb", ".toml", ".yml", ".json", ".css", ".html", ".svg", ""}
BY_NAME = re.compile(
    r"""(?:\binstall|\badd|\buvx|\bpipx\s+run|--with)\s+      # whatever installs
    (?:-\S+\s+|\\?["'])*                                # options and quotation marks
    (?:[\w.-]+(?:\[[\w,-]*\])?\s+)*                     # other packages before it
    \\?["']?(?:freeproviders|langchain[-_]freeproviders|llama[-_]index[-_]\S*freeproviders)\b(?!/)""",
    re.VERBOSE,
)


def files():
    """The files that a commit would hold, else (in a source package) all that are there."""
    told = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],  # noqa: S607 - git is where it is
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = told.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    return [
        path
        for path in (ROOT / name for name in names)
        if path.is_file() and path.suffix in TOLD_IN and path != Path(__file__)
    ]


def test_nothing_says_to_install_the_name():
    found = [
        f"{path.relative_to(ROOT)}: {match[0]!r}"
        for path in files()
        for match in BY_NAME.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "wrong",
    [
        "pip install freeproviders",
        'pip install "freeproviders[langchain]"',
        "%pip install -q 'freeproviders[rag]'",
        '"pip install \\"freeproviders[rag]\\""',
        "uv add freeproviders",
        "pip install\n    'freeproviders[langchain,rag]'",
        "pip install langchain freeproviders",
        "uv run --with freeproviders python",
    ],
)
def test_what_says_so_is_noticed(wrong):
    assert BY_NAME.search(wrong)


@pytest.mark.parametrize("right", ['pip install ".[rag]"', 'pip install "/path/to/freeproviders[rag]"'])
def test_a_clone_is_installed_by_its_path(right):
    assert not BY_NAME.search(right)


def test_errors_name_extras_that_exist():
    extras = set(PROJECT["optional-dependencies"])
    named = {
        extra
        for path in files()
        if path.suffix == ".py"
        for call in re.findall(r"with_extra\(([^)]*)\)", path.read_text(encoding="utf-8"))
        for extra in re.findall(r"""["']([\w-]+)["']""", call)
    }
    assert {"agents", "embedded", "langchain", "llama-index", "rag"} <= named <= extras
    assert with_extra("cli", "rag") == 'Run in your clone of freeproviders: pip install ".[cli,rag]"'


def test_all_is_all_that_is_small_and_needs_no_server():
    whole = {extra for one in PROJECT["optional-dependencies"]["all"] for extra in re.findall(r"[\w-]+", one)}
    left_out = set(PROJECT["optional-dependencies"]) - whole - {"all"}
    assert left_out == {"langchain", "parquet", "plot", "ray", "redis"}  # `agents` brings the first
