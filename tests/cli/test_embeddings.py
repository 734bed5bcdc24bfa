"""`freeproviders embeddings`: what is kept of vectors is listed, and deleted after a question."""

from __future__ import annotations

import json
from array import array
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.family import Family
from freeproviders.wire.embeddings.vectors import Vectors
from tests.cli.command import Terminal, run

WIDE = Family(model="wide", size=300, normalised=True)
SMALL = Family(model="small", size=2, normalised=False, rules="query 'find: '")


class Kept:
    """A cache folder with vectors of two families."""

    def __init__(self, folder: Path) -> None:
        self.env = {"FREEPROVIDERS_CACHE": str(folder)}
        self.file = folder / "embeddings" / "vectors.db"

    def put(self, file: Path | None = None) -> None:
        cache = VectorCache(file or self.file)
        texts = ["a", "b", "c"]
        cache.put(WIDE, "document", texts, Vectors(array("f", [1.0] * 900), 300))
        cache.put(WIDE, "query", texts[:1], Vectors(array("f", [1.0] * 300), 300))
        cache.put(SMALL, "document", texts, Vectors(array("f", [1.0] * 6), 2))
        cache.close()

    def told(self, *arguments: str) -> str:
        done = run("embeddings", *arguments, env=self.env)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def left(self, file: Path | None = None) -> list[str]:
        """The families in the file, without the command."""
        cache = VectorCache(file or self.file)
        found = [one.fingerprint for one in cache.families()]
        cache.close()
        return found


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_without_a_file_nothing_is_kept_and_none_is_made(kept: Kept) -> None:
    done = run("embeddings", "list", env=kept.env)
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode().strip() == f"Nothing is kept in {kept.file}."
    assert not kept.file.exists()
    assert json.loads(kept.told("list", "--json"))["families"] == []


def test_each_family_is_a_line(kept: Kept) -> None:
    kept.put()
    first, second, *_ = [" ".join(line.split()) for line in kept.told("list").splitlines()[2:]]
    assert first.startswith("small;2;as is;query 'find: ' 3 0 24 bytes 20")
    assert second.startswith("wide;300;unit; 3 1 4.8 KB 20")


def test_the_same_as_json(kept: Kept) -> None:
    kept.put()
    report = json.loads(kept.told("list", "--json"))
    assert report["file"] == str(kept.file)
    assert report["bytes"] == kept.file.stat().st_size
    small, wide = report["families"]
    assert (wide["family"], wide["documents"], wide["queries"], wide["bytes"]) == (
        WIDE.fingerprint,
        3,
        1,
        4800,
    )
    assert datetime.now(UTC) - datetime.fromisoformat(small["latest"]) < timedelta(minutes=5)


def test_a_file_of_ones_own(kept: Kept, tmp_path: Path) -> None:
    other = tmp_path / "mine.db"
    kept.put(other)
    assert SMALL.fingerprint in kept.told("list", "--file", str(other))
    assert kept.told("delete", "--all", "-y", "--file", str(other)) == "Deleted: 7 vectors.\n"
    assert kept.left(other) == []


def test_one_family_is_deleted(kept: Kept) -> None:
    kept.put()
    assert kept.told("delete", WIDE.fingerprint, "--yes") == "Deleted: 4 vectors.\n"
    assert kept.left() == [SMALL.fingerprint]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Name a family"),
        (["--all", "x", "-y"], "Name a family"),
        (["--all"], "--yes"),
        (["bge", "-y"], "Nothing is kept of the family 'bge'"),
    ],
)
def test_what_cannot_be_deleted(kept: Kept, arguments: list[str], complaint: str) -> None:
    kept.put()
    done = run("embeddings", "delete", *arguments, env=kept.env)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.decode().replace("│", " ").split())
    assert len(kept.left()) == 2


@pytest.mark.parametrize(("answer", "left"), [("n", 2), ("y", 0)])
def test_at_a_terminal_it_asks(kept: Kept, answer: str, left: int) -> None:
    kept.put()
    with Terminal("embeddings", "delete", "--all", env=kept.env) as terminal:
        terminal.wait_for("Delete it?")
        terminal.press(f"{answer}\n")
        assert terminal.wait() == 0
    assert len(kept.left()) == left


def test_a_damaged_file_is_deleted_by_all_and_a_foreign_one_never(kept: Kept, tmp_path: Path) -> None:
    """In the user's own folder it is ours, whatever is left of it."""
    kept.put()
    kept.file.write_bytes(b"\xff" * 50_000)
    done = run("embeddings", "list", env=kept.env)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"is a file of another program" in done.stderr
    assert run("embeddings", "delete", WIDE.fingerprint, "-y", env=kept.env).returncode == 2
    assert kept.file.exists()
    assert kept.told("delete", "--all", "-y") == f"Deleted: {kept.file}.\n"
    assert not kept.file.exists()
    diary = tmp_path / "diary"
    diary.write_text("Dear diary, " * 1000)
    done = run("embeddings", "delete", "--all", "-y", "--file", str(diary), env=kept.env)
    assert (done.returncode, diary.exists()) == (1, True)
