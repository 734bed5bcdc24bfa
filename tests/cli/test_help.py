"""Help that teaches: examples that run, groups, no words of Python, all within 80 columns."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

import freeproviders
from freeproviders.cli.app import app
from freeproviders.cli.commands import EXIT_CODES, Command, Group, examples_of
from freeproviders.testing import replica
from tests.cli.command import run

PAGE = Path(freeproviders.__file__).parent.parent / "docs" / "command-line.md"
# They run until Ctrl-C, ask a person or fetch half a gigabyte: tests of their own have them.
ELSEWHERE = {
    "freeproviders chat",
    "freeproviders probe groq",
    "freeproviders quota reset groq --yes",
    "freeproviders models pull",
    "freeproviders models pull smollm2-135m",
}


def commands(command: Any, name: str = "freeproviders") -> Iterator[tuple[str, Any]]:
    yield name, command
    if isinstance(command, TyperGroup):
        for word, inner in command.commands.items():
            yield from commands(inner, f"{name} {word}")


FILES = re.compile(r"(notes|questions|prompt|answers)\.\w+")


COMMANDS = dict(commands(get_command(app)))
OURS = {name: one for name, one in COMMANDS.items() if isinstance(one, Command | Group)}
EXAMPLES = [line for one in OURS.values() for line in examples_of(one) if line not in ELSEWHERE]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_reads_well_in_80_columns(name: str) -> None:
    done = run(*shlex.split(name)[1:], "--help", env={"COLUMNS": "80"})
    said = done.stdout.decode()
    assert done.returncode == 0
    assert max(map(len, said.splitlines())) <= 80
    assert not re.search(r"<(str|int|float|path|list)|\w\.\.\.\n", said)
    if name in OURS and OURS[name].callback is not None and not name.endswith((" replica", " serve")):
        assert "\nExamples:\n" in said


def test_the_exit_codes_are_written_down() -> None:
    said = " ".join(run("--help").stdout.decode().split())
    page = PAGE.read_text(encoding="utf-8")
    for code, what in EXIT_CODES.items():
        assert f"{code} {what[0].upper()}{what[1:]}." in said
        assert f"| {code} | {what} |" in page


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Services that answer on this machine, and files that examples name."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "notes.txt").write_text("Buy milk.")
    (folder / "questions.csv").write_text("prompt\nWell?\n")
    (folder / "prompt.txt").write_text("{prompt}")
    with (
        replica(service="groq", answer="Well.", limits=False) as groq,
        replica(service="gemini", answer="Well.") as gemini,
    ):
        env = {
            "GROQ_API_KEY": "gsk_any",
            "GROQ_API_BASE": groq.base_url,
            "GEMINI_API_KEY": "any",
            "GEMINI_API_BASE": gemini.base_url,
            "OLLAMA_API_BASE": "http://127.0.0.1:9/v1",
            "FREEPROVIDERS_CONFIRMED": "groq",
            "FREEPROVIDERS_QUOTA": str(folder / "ledger.sqlite"),
            "FREEPROVIDERS_CACHE": str(folder / "cache"),
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
        # What an example deletes or looks at is there.
        questions, answers = str(folder / "questions.csv"), str(folder / "answers.csv")
        assert run("batch", questions, "-o", answers, env=env).returncode == 0
        assert run("embed", "--service", "gemini", "--cache", "Hi", env=env).returncode == 0
        yield {"folder": str(folder), **env}


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_runs(line: str, outside: dict[str, str]) -> None:
    """As it stands in the help, with replicas in the services' places."""
    *before, typed = line.split(" | ")
    typed, _, _ = typed.partition(" < ")
    arguments = [
        str(Path(outside["folder"]) / word) if FILES.fullmatch(word) else word
        for word in shlex.split(typed)[1:]
    ]
    env = {name: value for name, value in outside.items() if name != "folder"}
    done = run(*arguments, stdin=b"one\ntwo\n", env=env)
    codes = {0, 1} if typed.split()[1] == "doctor" else {0}  # 1 is what it tells of this machine
    assert done.returncode in codes, done.stderr.decode()
    assert not before or before == ["git diff"]
