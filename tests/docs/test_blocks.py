"""Every block of Python in every page runs as it stands, and prints what the page says."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, Block, blocks_of, where

SECRETS = re.compile(r"_(KEY|TOKEN|SECRET|API_BASE|PROXY)$|^FREEPROVIDERS_(?!CACHE|WEIGHTS)|^OPENAI_")
OTHERS = (
    "cacheprovider",
    "langsmith_plugin",
    "hypothesispytest",
    "benchmark",
    "xdist",
    "pytest_cov",
    "anyio",
)
"""Plugins of other packages that cost seconds to load."""


def run(blocks: list[Block], tmp_path, **environment: str) -> list[dict[str, str]]:
    """Run blocks in one process of their own, with the settings of a user who has none."""
    clean = {name: value for name, value in os.environ.items() if not SECRETS.search(name)}
    own = {"FREEPROVIDERS_STATE": str(tmp_path / "state"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", "-m", "tests.docs.run_blocks"],
        input=json.dumps(
            [
                {"where": one.where, "code": one.code, "needs": one.needs, "last": not after.continues}
                for one, after in zip(blocks, [*blocks[1:], Block(ROOT, 0, "", "")], strict=True)
            ]
        ),
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        cwd=ROOT,
        env={**clean, **own, "PYTHONPATH": str(ROOT), **environment},
    )
    assert done.returncode == 0, done.stderr
    assert "ResourceWarning" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def judge(blocks: list[Block], results: list[dict[str, str]]) -> None:
    """No block fails, complains, or is silent where it prints."""
    for block, result in zip(blocks, results, strict=True):
        assert not result["failed"], result["failed"]
        for word in ("ResourceWarning", "never awaited", "never retrieved", "Traceback"):
            assert word not in result["complained"], f"{block.where}: {result['complained']}"
        assert result["said"].strip() or "print" not in block.code, f"{block.where} prints nothing"
        if block.output:
            pattern = re.escape(block.output.strip()).replace(re.escape("..."), ".*")
            assert re.fullmatch(pattern, result["said"].strip(), re.DOTALL), result["said"]


def group(page: Path, blocks: list[Block]) -> str:
    """Whose process runs a page: to import the frameworks takes longer than most pages' code."""
    if page.name.endswith("-details.md"):
        return where(page)  # they leave settings and handlers of events behind
    text = "".join(one.code for one in blocks)
    return "frameworks" if re.search(r"^from (langchain|llama_index)", text, re.MULTILINE) else "core"


def chosen(*, real: bool) -> list[object]:
    """The blocks that are run here, by the process that runs them."""
    found: dict[str, list[Block]] = {}
    for page in PAGES:
        blocks = [
            one
            for one in blocks_of(page, "python")
            if one.real is real and not one.tested and "def test_" not in one.code
        ]
        if blocks:
            found.setdefault(group(page, blocks), []).extend(blocks)
    return [pytest.param(blocks, id=name) for name, blocks in found.items()]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("blocks", chosen(real=False))
def test_the_code_of_pages_runs(blocks: list[Block], tmp_path) -> None:
    judge(blocks, run(blocks, tmp_path))


@pytest.mark.real
@pytest.mark.timeout(900)
@pytest.mark.parametrize("blocks", chosen(real=True))
def test_the_code_with_the_model_runs(blocks: list[Block], tmp_path, weights_135m) -> None:
    """With the smallest model, which is quick and silly."""
    assert weights_135m.exists()
    judge(blocks, run(blocks, tmp_path, FREEPROVIDERS_MODEL="smollm2-135m"))


TESTS = [one for page in PAGES for one in blocks_of(page, "python") if "def test_" in one.code]


@pytest.mark.parametrize("block", TESTS, ids=lambda block: block.where)
def test_the_tests_of_a_page_pass(block: Block, tmp_path) -> None:
    """In a project that has nothing of ours but the package: the plugin finds its way by itself."""
    (tmp_path / "test_mine.py").write_text(block.code, encoding="utf-8")
    without = [word for name in OTHERS for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", "-q", *without]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-W", "error::ResourceWarning", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d passed", done.stdout)


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_a_block_that_is_tested_elsewhere_is_read_there(page) -> None:
    for block in blocks_of(page, "python", "toml", "diff"):
        if block.tested:
            assert page.name in (ROOT / block.tested).read_text(encoding="utf-8"), block.where


def test_a_block_that_is_wrong_is_noticed(tmp_path) -> None:
    """An exception, silence, a file left open, a question to another host, and other words than announced."""
    page = tmp_path / "page.md"
    network = "import socket; socket.getaddrinfo('site.example', 80)"
    wrong = ["1 / 0", "print()", "open('f', 'w')", network, "print('a tree')\n```\n\n```text\na ... bush"]
    page.write_text("".join(f"```python\n{code}\n```\n\n" for code in wrong), encoding="utf-8")
    blocks = [replace(one, page=ROOT / "page.md") for one in blocks_of(page, "python")]
    assert len(blocks) == len(wrong)
    assert blocks[-1].output == "a ... bush\n"
    for block, result in zip(blocks, run(blocks, tmp_path), strict=True):
        with pytest.raises(AssertionError):
            judge([block], [result])
