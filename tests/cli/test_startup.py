"""What the command loads, and when."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from freeproviders import __version__
from freeproviders.cli.app import app
from freeproviders.installing import with_extra
from tests.cli.command import environment, run


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["chat", "--help"],
        ["providers", "--help"],
        ["models", "--help"],
        ["catalogue", "--help"],
        ["catalogue", "check", "--help"],
        ["doctor", "--help"],
        ["embed", "--help"],
        ["embeddings", "list", "--help"],
        ["replica", "--help"],
        ["--version"],
    ],
)
def test_help_loads_no_network_code(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['freeproviders', *{arguments!r}]\n"
        "from freeproviders.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        "    late = {'aiohttp', 'asyncio', 'rich.progress', 'freeproviders.provider', 'tomllib'}\n"
        "    loaded = late & sys.modules.keys()\n"
        "    sys.exit(end.code or (f'loaded: {loaded}' if loaded else 0))\n"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def commands(group: TyperGroup, name: str = "") -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        yield f"{name} {word}".strip(), command
        if isinstance(command, TyperGroup):
            yield from commands(command, word)


def test_every_command_and_option_says_what_it_is_for() -> None:
    """In sentences that end, of which help shows the first one whole in its list."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for name, command in commands(group):
        assert command.help, name
        first = command.help.strip().split("\n\n")[0]
        assert first.endswith("."), name
        for parameter in command.params:
            said = getattr(parameter, "help", None)
            assert said or parameter.name == "help" or parameter.nargs == -1, f"{name} {parameter.name}"


def test_the_core_does_not_load_the_command_line() -> None:
    code = (
        "import sys, freeproviders\n"
        "[getattr(freeproviders, name) for name in freeproviders.__all__]\n"
        "from freeproviders.testing import replica\n"
        "others = {'typer', 'click', 'rich'}\n"
        "print([name for name in sys.modules"
        " if name.partition('.')[0] in others or name.startswith('freeproviders.cli')])\n"
    )
    assert python(code).stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_its_packages_it_says_what_to_install(missing: str) -> None:
    done = python(f"import sys; sys.modules[{missing!r}] = None; from freeproviders.cli import main; main()")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"The command line needs two more packages. {with_extra('cli')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["chat", "Hi", "--temperature", "-1"],
        ["batch", "missing.csv", "-o", "out.csv"],
        ["batch", "one.csv", "-o", "out.csv", "--prompt-field", "missing"],
        ["batch", "one.csv", "-o", "missing/out.csv", "--prompt-field", "question"],
        ["serve", "--model", "qwen2.5-coder-0.5b", "--at-once", "2", "--dimensions", "3"],
    ],
    ids=" ".join,
)
def test_nothing_is_fetched_for_a_command_that_cannot_work(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "one.csv").write_text("question\nHi\n")
    env = environment(FREEPROVIDERS_CACHE=str(tmp_path / "cache"), HF_ENDPOINT="http://127.0.0.1:1")
    command = [sys.executable, "-m", "freeproviders", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=env, cwd=tmp_path
    )
    assert done.returncode in {1, 2}
    assert "could not be fetched" not in done.stderr
    assert not (tmp_path / "cache" / "models").exists()


def test_without_the_engine_nothing_is_fetched(tmp_path: Path) -> None:
    """Half a gigabyte that nothing could run."""
    code = (
        "import sys; sys.modules['xllamacpp'] = None; sys.argv = ['freeproviders', 'chat', 'Hi']; "
        "from freeproviders.cli import main; main()"
    )
    env = environment(
        FREEPROVIDERS_CACHE=str(tmp_path),
        HF_ENDPOINT="http://127.0.0.1:1",
        PIP_INDEX_URL="http://127.0.0.1:1/simple",
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=env
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "The embedded model needs its engine." in done.stderr
    assert done.stderr.endswith(f"{with_extra('embedded')}\n")
    assert not list(tmp_path.iterdir())


def test_an_interrupt_while_it_loads_is_silent() -> None:
    code = (
        "import sys\n"
        "class Pressed:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'freeproviders.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Pressed())\n"
        "from freeproviders.cli import main\n"
        "main()\n"
    )
    done = python(code)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_version() -> None:
    assert run("--version").stdout.decode() == f"freeproviders {__version__}\n"


def test_no_command_is_a_question_for_help() -> None:
    done = run()
    assert done.returncode == 2
    assert "replica" in done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("chat --provider f", ["free-netfly", "flow-gpt"]),
        ("chat --service gro", ["groq"]),
        ("chat --model smol", ["smollm2-135m"]),
        ("chat --model groq/openai/gpt-oss-12", ["groq/openai/gpt-oss-120b"]),
        ("chat --service groq -m openai/gpt-oss-12", ["openai/gpt-oss-120b"]),
        ("models --service mis", ["mistral"]),
        ("catalogue show open", ["opencode-zen", "openrouter"]),
        ("replica o", ["openai-compatible"]),
    ],
)
def test_a_shell_completes_the_names_of_providers_and_services(typed: str, words: list[str]) -> None:
    script = Path(sysconfig.get_path("scripts")) / "freeproviders"
    environment = {
        "_FREEPROVIDERS_COMPLETE": "complete_bash",
        "COMP_WORDS": f"freeproviders {typed}",
        "COMP_CWORD": str(len(typed.split())),
    }
    done = run(env=environment, command=[str(script)])
    assert (done.returncode, done.stdout.decode().split()) == (0, words)
