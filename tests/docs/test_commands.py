"""What pages say of a shell exists: commands, options, recipes, extras, modules; marked blocks run."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from importlib.util import find_spec

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from freeproviders.cli.app import app
from tests.docs.pages import PAGES, ROOT, blocks_of, where
from tests.docs.run_blocks import Session
from tests.docs.test_blocks import SECRETS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RECIPES = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
SHELLS = ("sh", "bash", "console")
HELP = {"--help"}


RUNNING = [one for page in PAGES for one in blocks_of(page, *SHELLS) if one.needs]
# The command, which reaches nothing but this machine.
_COMMAND = f"""#!{sys.executable}
import sys
from tests.docs.run_blocks import only_this_machine
sys.addaudithook(only_this_machine)
from freeproviders.cli import main
main()
"""


@cache
def program():
    """The command line."""
    return get_command(app)


def lines_of(text):
    """Yield the command lines of a block, without comments, prompts and documents given in place."""
    text = re.sub(r"<<\s*'?(\w+)'?.*?^\1$", "", text.replace("\\\n", " "), flags=re.DOTALL | re.MULTILINE)
    for line in text.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words:
            yield words


def commands_of(words):
    """Split words at pipes and conjunctions, and leave out variables that are set for one command."""
    found = [[]]
    for word in words:
        if word in {"|", "&&", "||", ";", "&"}:
            found.append([])
        elif found[-1] or not re.match(r"[A-Z_]+=", word):
            found[-1].append(word)
    return [one for one in found if one]


def check_ours(words):
    """Find the command and each of its options."""
    command, rest = program(), words[1:]
    while isinstance(command, TyperGroup) and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    options = HELP | {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    if isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        usual = getattr(command, "usual", None)  # `catalogue groq` is `catalogue show groq`
        assert usual, f"{' '.join(words)}: there is no command {rest[0]}"
        meant = command.commands[usual]
        options |= {name for one in meant.params for name in (*one.opts, *one.secondary_opts)}
    for word in rest:
        if re.match(r"--?[A-Za-z]", word):
            assert word.partition("=")[0] in options, f"{' '.join(words)}: there is no {word}"


def check(words):
    """Check one command of a shell."""
    name = words[0].rpartition("/")[2]
    if name == "freeproviders":
        check_ours(words)
    elif name == "make":
        for word in words[1:]:
            assert "=" in word or word in RECIPES, f"There is no recipe {word}."
    elif name in {"pip", "uv"}:
        for extras in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
            assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), extras
    elif name.startswith("python") and words[1:2] == ["-m"]:
        assert words[2].partition(".")[0] not in {"benchmarks", "tests"} or find_spec(words[2]), words


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_what_is_typed_exists(page):
    """In blocks for a shell, and in code within the text that begins with our command's name."""
    for block in blocks_of(page, *SHELLS):
        for words in lines_of(block.code):
            for command in commands_of(words):
                check(command)
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for words in re.findall(r"`((?:freeproviders|make|python -m) [^`]+)`", " ".join(prose.split())):
        for command in commands_of(shlex.split(re.sub(r"[<>\[\]]|\.\.\.", "", words))):
            check(command)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=where)
def test_nobody_is_told_to_install_a_name_that_others_could_take(page):
    """The package is on no index yet: it is installed from a clone."""
    assert not re.findall(r"""pip install ["']?freeproviders""", page.read_text(encoding="utf-8"))


def test_what_does_not_exist_is_noticed():
    """A wrong command, option, recipe, extra and module."""
    for wrong in (
        "freeproviders chat --spell groq Hi",
        "freeproviders services conform groq",
        "FREEPROVIDERS_MODEL=x freeproviders speak",
        "make demos",
        'pip install ".[lama]"',
        "python -m benchmarks.nothing",
    ):
        with pytest.raises(AssertionError):
            check(commands_of(shlex.split(wrong))[0])
    piped = commands_of(["git", "diff", "|", "A=b", "freeproviders"])
    assert piped == [["git", "diff"], ["freeproviders"]]


@pytest.mark.parametrize("block", RUNNING, ids=lambda block: block.where)
def test_a_block_for_a_shell_runs(block, tmp_path, monkeypatch):
    """As it stands, line by line, for a user who has nothing but what the comment before it names."""
    for name in [name for name in os.environ if SECRETS.search(name)]:
        monkeypatch.delenv(name)
    command = tmp_path / "bin" / "freeproviders"
    command.parent.mkdir()
    command.write_text(_COMMAND, encoding="utf-8")
    command.chmod(0o755)
    own = {
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "FREEPROVIDERS_STATE": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }
    session = Session()
    with contextlib.chdir(tmp_path), contextlib.closing(session):
        for need in block.needs:
            session.needs(need)
        done = subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", block.code],
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^Error|Traceback", done.stderr, re.MULTILINE), done.stderr
