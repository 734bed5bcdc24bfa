"""`freeproviders answers`: what is kept of answers is listed by run, and deleted after a question."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from freeproviders.answers.entry import Entry, Run
from freeproviders.answers.opening import open_store
from tests.cli.command import Terminal, run
from tests.quota.servers import redis_server

DAY = 86_400.0


def key(name: object) -> bytes:
    return sha256(str(name).encode()).digest()


class Kept:
    """A state folder whose store has two runs, and what belongs to none."""

    def __init__(self, folder: Path) -> None:
        self.env = {"FREEPROVIDERS_STATE": str(folder)}
        self.file = folder / "answers.sqlite3"
        self.output = folder / "out.jsonl"

    def put(self, where: str | Path = "") -> None:
        store = open_store(where or self.file)
        now = time.time()
        old = Run(name=str(self.output), source="in.csv", rows=5, began=now - 40 * DAY)
        store.begin(old).result()
        of_old = [(key(n), Entry(state="done", value=b"x" * 600, at=now - 40 * DAY)) for n in range(3)]
        of_old.append((key("bad"), Entry(state="refused", value=b"{}", at=now - 39 * DAY)))
        store.put(of_old, run=old.name).result()
        store.put([(key("new"), Entry(state="done", value=b"{}"))], run="new").result()
        store.put([(key("cached"), Entry(state="done", value=b"{}"))]).result()
        store.close()

    def told(self, *arguments: str) -> str:
        done = run("answers", *arguments, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def left(self, where: str | Path = "") -> list[str]:
        """The runs in the store, without the command."""
        store = open_store(where or self.file)
        found = [one.run.name for one in store.kept().result()]
        store.close()
        return sorted(found)

    @property
    def all(self) -> list[str]:
        return ["", str(self.output), "new"]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_without_a_file_nothing_is_kept_and_none_is_made(kept: Kept) -> None:
    done = run("answers", "list", env=kept.env)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().strip() == f"Nothing is kept in {kept.file}."
    assert json.loads(kept.told("list", "--json")) == {"store": str(kept.file), "runs": []}
    assert not kept.file.exists()


def test_each_run_is_a_line(kept: Kept) -> None:
    kept.put()
    lines = [" ".join(line.split()) for line in kept.told("list").splitlines()[2:]]
    assert any(line.startswith("(no run) 1 done 2 bytes 20") for line in lines)
    assert lines[2].startswith(f"{kept.output} 5 3 done, 1 refused 1.8 KB 20")


def test_the_same_as_json(kept: Kept) -> None:
    kept.put()
    report = json.loads(kept.told("list", "--json"))
    assert report["store"] == str(kept.file)
    *_, old = report["runs"]
    assert (old["run"], old["source"], old["rows"]) == (str(kept.output), "in.csv", 5)
    assert (old["states"], old["bytes"]) == ({"done": 3, "refused": 1}, 1802)
    age = datetime.now(UTC) - datetime.fromisoformat(old["began"])
    assert timedelta(days=39) < age < timedelta(days=41)
    assert datetime.fromisoformat(old["first"]) < datetime.fromisoformat(old["latest"])


@pytest.mark.parametrize(
    ("arguments", "number", "left"),
    [
        (["new"], "1 entry", ["", "OUT"]),
        (["OUT"], "4 entries", ["", "new"]),
        (["--cache"], "1 entry", ["OUT", "new"]),
        (["--older-than", "30d"], "4 entries", ["", "new"]),
        (["--older-than", "5.6w", "--all"], "3 entries", ["", "OUT", "new"]),
        (["OUT", "--older-than", "936h"], "4 entries", ["", "new"]),
        (["--all"], "6 entries", []),
    ],
)
def test_what_is_deleted(kept: Kept, arguments: list[str], number: str, left: list[str]) -> None:
    """A run goes by its name, and by the path of its output as it is typed where that is."""
    kept.put()
    typed = [str(kept.output) if one == "OUT" else one for one in arguments]
    assert kept.told("delete", *typed, "--yes") == f"Deleted: {number}.\n"
    assert kept.left() == [str(kept.output) if one == "OUT" else one for one in left]


def test_a_run_that_has_found_its_answers_has_none_to_delete(kept: Kept) -> None:
    kept.put()
    store = open_store(kept.file)
    store.begin(Run(name="later", source="in.csv", rows=5)).result()
    store.close()
    done = run("answers", "delete", "later", "--yes", env=kept.env)
    assert done.stdout.decode() == "Deleted: the run, which has no answers of its own.\n"
    assert "belong to others, or to no run" in " ".join(done.stderr.decode().split())
    assert kept.left() == ["", str(kept.output), "new"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Name a run"),
        (["--all", "x", "-y"], "Name a run"),
        (["--all", "--cache", "-y"], "Name a run"),
        (["--all"], "--yes"),
        (["other", "-y"], "No run 'other' is kept in"),
        (["--older-than", "soon", "-y"], "is no age: write 30d, 12h, 90m or 2w"),
    ],
)
def test_what_cannot_be_deleted(kept: Kept, arguments: list[str], complaint: str) -> None:
    kept.put()
    done = run("answers", "delete", *arguments, env=kept.env)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.decode().replace("│", " ").split())
    assert kept.left() == kept.all


@pytest.mark.parametrize("arguments", [["--older-than", "50d"], ["--all", "--older-than", "2000h"]])
def test_what_is_not_there_needs_no_delete(kept: Kept, arguments: list[str]) -> None:
    """As in a job that runs each night."""
    kept.put()
    done = run("answers", "delete", *arguments, env=kept.env)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().strip() == f"Nothing of that is kept in {kept.file}."
    assert kept.left() == kept.all


@pytest.mark.parametrize(("answer", "left"), [("n", 3), ("y", 0)])
def test_at_a_terminal_it_asks(kept: Kept, answer: str, left: int) -> None:
    kept.put()
    with Terminal("answers", "delete", "--all", env=kept.env) as terminal:
        terminal.wait_for("Delete it?")
        terminal.press(f"{answer}\n")
        assert terminal.wait() == 0
    assert len(kept.left()) == left


def test_a_damaged_file_is_deleted_by_all_and_a_foreign_one_never(kept: Kept, tmp_path: Path) -> None:
    """In the user's own folder it is ours, whatever is left of it."""
    kept.put()
    kept.file.write_bytes(b"\xff" * 50_000)
    done = run("answers", "list", env=kept.env)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"is a file of another program" in done.stderr
    assert run("answers", "delete", "new", "-y", env=kept.env).returncode == 2
    assert kept.file.exists()
    assert kept.told("delete", "--all", "-y") == f"Deleted: {kept.file}.\n"
    assert not kept.file.exists()
    diary = tmp_path / "diary"
    diary.write_text("Dear diary, " * 1000)
    done = run("answers", "delete", "--all", "-y", "--store", str(diary), env=kept.env)
    assert (done.returncode, diary.exists()) == (1, True)


@pytest.mark.skipif(sys.platform == "win32", reason="no server there")
def test_on_a_server_only_what_is_named_is_deleted(kept: Kept, tmp_path: Path) -> None:
    """Others may share it."""
    with redis_server(tmp_path) as server:
        kept.put(server.url)
        kept.env["FREEPROVIDERS_ANSWERS"] = server.url
        assert "3 done, 1 refused" in kept.told("list")
        done = run("answers", "delete", "--all", "-y", env=kept.env)
        assert done.returncode == 2
        assert "name the place" in " ".join(done.stderr.decode().replace("│", " ").split())
        assert kept.left(server.url) == kept.all
        assert kept.told("delete", "--all", "-y", "--store", server.url) == "Deleted: 6 entries.\n"
        assert kept.left(server.url) == []
