"""The cache of vectors: what was put comes back as it was, and nothing else does."""

import contextlib
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
import warnings
from array import array
from contextlib import closing
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import private_file
from freeproviders.embeddings import cache as caches
from freeproviders.embeddings.cache import VectorCache
from freeproviders.embeddings.family import Family
from freeproviders.errors import FamilyMismatchError, VectorCacheError, VectorCacheWarning
from freeproviders.wire.embeddings.vectors import Vectors

if sys.platform != "win32":
    import resource

posix = pytest.mark.skipif(sys.platform == "win32", reason="files of POSIX")

ROOT = Path(__file__).parent.parent.parent
FAMILY = Family(model="bge-m3", size=4, normalised=True)
UNKNOWN = Family(model="localhost:8080/mine", size=None, normalised=False)
TEXTS = ["one", "two", "three"]


def rows(count, size=4, first=0):
    return Vectors(array("f", [first + at / 8 for at in range(count * size)]), size)


@pytest.fixture
def cache(tmp_path):
    made = VectorCache(tmp_path / "folder" / "vectors.db")
    yield made
    made.close()


def vandalise(cache, statement, *values):
    """Write into the file as another program might."""
    cache.close()
    with closing(sqlite3.connect(cache.path)) as file, file:
        assert file.execute(statement, values).rowcount > 0


# --- what comes back ------------------------------------------------------------------------------


def test_what_was_put_comes_back(cache):
    """Each vector is its text's, whatever the order in which they are asked for."""
    assert cache.get(FAMILY, "document", TEXTS).places == []
    cache.put(FAMILY, "document", TEXTS, rows(3))
    found = cache.get(FAMILY, "document", ["three", "four", "one", "one"])
    assert found.places == [0, 2, 3]
    assert found.vectors.lists() == [rows(3).lists()[2], *[rows(3).lists()[0]] * 2]
    assert found.family == FAMILY
    assert cache.get(FAMILY, "document", []).vectors == Vectors(array("f"), 4)


@settings(max_examples=40, deadline=None)  # each makes a file
@given(
    st.lists(st.text(st.characters(), max_size=8), unique=True, max_size=20),
    st.integers(1, 9),
    st.randoms(use_true_random=False),
)
def test_any_texts_and_numbers(tmp_path_factory, texts, size, random):
    """Whatever the texts, half surrogates and NUL too, and whatever the bits of the numbers."""
    cache = VectorCache(tmp_path_factory.mktemp("any") / "vectors.db")
    data = array("f", random.randbytes(4 * size * len(texts)))
    family = Family(model="any", size=size, normalised=False)
    cache.put(family, "query", texts, Vectors(data, size))
    wanted = [*texts, "not among them, for its length"]
    random.shuffle(wanted)
    found = cache.get(family, "query", wanted)
    assert [wanted[at] for at in found.places] == [text for text in wanted if text in texts]
    for at, vector in zip(found.places, found.vectors, strict=True):
        place = texts.index(wanted[at])
        assert vector.tobytes() == data[place * size : (place + 1) * size].tobytes()
    cache.remove()


@pytest.mark.parametrize(
    ("family", "role", "truncate"),
    [
        (FAMILY, "query", False),
        (FAMILY, "document", True),
        (Family(model="bge-m2", size=4, normalised=True), "document", False),
        (Family(model="bge-m3", size=5, normalised=True), "document", False),
        (Family(model="bge-m3", size=None, normalised=True), "document", False),
        (Family(model="bge-m3", size=4, normalised=False), "document", False),
        (Family(model="bge-m3", size=4, normalised=True, rules="query: "), "document", False),
    ],
    ids=["role", "truncation", "model", "size", "size unknown", "normalisation", "prefix"],
)
def test_what_was_made_otherwise_does_not_come(cache, family, role, truncate):
    cache.put(FAMILY, "document", TEXTS, rows(3))
    assert cache.get(family, role, TEXTS, truncate=truncate).places == []
    other = rows(3, size=family.size or 6, first=9)
    cache.put(family, role, TEXTS, other, truncate=truncate)
    assert cache.get(family, role, TEXTS, truncate=truncate).vectors == other
    assert cache.get(FAMILY, "document", TEXTS).vectors == rows(3)


def test_other_options_of_the_service_are_other_vectors(cache):
    """Whatever they mean there; how they are ordered means nothing."""
    cache.put(FAMILY, "document", TEXTS, rows(3), options={"late_chunking": True, "task": "a"})
    assert cache.get(FAMILY, "document", TEXTS).places == []
    assert cache.get(FAMILY, "document", TEXTS, options={"task": "a"}).places == []
    found = cache.get(FAMILY, "document", TEXTS, options={"task": "a", "late_chunking": True})
    assert found.places == [0, 1, 2]


def test_which_texts_were_cut_is_known_later(cache):
    cache.put(FAMILY, "document", TEXTS, rows(3), truncate=True, cut={1})
    assert cache.get(FAMILY, "document", ["no", *TEXTS], truncate=True).cut == [2]


def test_a_text_is_put_again(cache):
    cache.put(FAMILY, "document", TEXTS, rows(3))
    cache.put(FAMILY, "document", ["two"], rows(1, first=7))
    assert cache.get(FAMILY, "document", ["two"]).vectors == rows(1, first=7)
    (family,) = cache.families()
    assert family.documents == 3


def test_no_text_is_in_the_file(cache):
    cache.put(FAMILY, "document", ["a text that nobody else may read"], rows(1))
    cache.close()
    assert b"nobody" not in cache.path.read_bytes()


# --- a size that is not known ---------------------------------------------------------------------


def test_a_size_that_came_is_known_later(cache):
    """A program that starts anew finds vectors before the model has said their size again."""
    assert cache.get(UNKNOWN, "document", TEXTS).family == UNKNOWN
    cache.put(UNKNOWN, "document", TEXTS, rows(3))
    found = cache.get(UNKNOWN, "document", TEXTS)
    assert (found.family, found.places) == (UNKNOWN.with_size(4), [0, 1, 2])
    assert cache.get(UNKNOWN, "query", TEXTS).family == UNKNOWN.with_size(4)
    assert cache.get(UNKNOWN.with_size(4), "document", TEXTS).places == [0, 1, 2]


def test_a_size_that_was_asked_for_is_not_the_models_own(cache):
    cache.put(UNKNOWN.with_size(2), "document", TEXTS, rows(3, size=2))
    assert cache.get(UNKNOWN, "document", TEXTS).places == []
    cache.put(UNKNOWN, "document", TEXTS, rows(3))
    assert cache.get(UNKNOWN, "document", TEXTS).vectors.size == 4


def test_a_model_that_answers_with_another_size_is_refused(cache):
    cache.put(UNKNOWN, "document", TEXTS, rows(3))
    with pytest.raises(FamilyMismatchError) as caught:
        cache.put(UNKNOWN, "query", ["four"], rows(1, size=6))
    assert (caught.value.stored, caught.value.own) == (
        "localhost:8080/mine;4;as is;",
        "localhost:8080/mine;6;as is;",
    )
    assert all(one in str(caught.value) for one in (caught.value.stored, caught.value.own, str(cache.path)))
    assert cache.get(UNKNOWN, "query", ["four"]).places == []
    assert [one.fingerprint for one in cache.families()] == [caught.value.stored]
    cache.delete(caught.value.stored)  # as the error says
    cache.put(UNKNOWN, "query", ["four"], rows(1, size=6))


def test_a_size_other_than_the_familys_is_refused(cache):
    with pytest.raises(FamilyMismatchError, match=r"bge-m3;6;unit;.*bge-m3;4;unit;"):
        cache.put(FAMILY, "document", TEXTS, rows(3, size=6))
    assert cache.families() == []


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "blob",
    [b"", b"\x00" * 12, b"\x00" * 20, b"\x00" * 16, "text of 16 signs", None],
    ids=["empty", "short", "long", "other numbers", "text", "unchanged, with another sum"],
)
def test_a_damaged_vector_is_never_returned_and_is_replaced(cache, blob):
    cache.put(FAMILY, "document", TEXTS, rows(3))
    if blob is None:
        vandalise(cache, "UPDATE vector SET sum = sum + 1 WHERE rowid = 2")
    else:
        vandalise(cache, "UPDATE vector SET numbers = ? WHERE rowid = 2", blob)
    assert cache.get(FAMILY, "document", TEXTS).places == [0, 2]
    cache.put(FAMILY, "document", ["two"], rows(1, first=7))
    assert cache.get(FAMILY, "document", TEXTS).places == [0, 1, 2]


@settings(max_examples=40, deadline=None)  # each makes and spoils a file
@given(st.data())
def test_bytes_that_change_on_the_disk(tmp_path_factory, data):
    """Whichever bytes a disk loses: what comes back is what was put, or a warning, or a refusal."""
    cache = VectorCache(tmp_path_factory.mktemp("bits") / "vectors.db")
    many = [f"text {number}" for number in range(300)]
    cache.put(FAMILY, "document", many, rows(300))
    cache.close()
    content = bytearray(cache.path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        piece = data.draw(st.binary(min_size=1, max_size=40))
        content[at : at + len(piece)] = piece
    cache.path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    right = rows(300).lists()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with contextlib.suppress(VectorCacheError):
            found = cache.get(FAMILY, "document", many)
            assert found.vectors.lists() == [right[at] for at in found.places]
            cache.put(FAMILY, "document", many, rows(300))
    assert {one.category for one in said} <= {VectorCacheWarning}
    cache.remove()


def test_a_damaged_file_costs_no_answer(cache, monkeypatch):
    """It is said once; for a minute the file is let alone."""
    many = [f"text {number}" for number in range(3000)]
    cache.put(FAMILY, "document", many, rows(3000))
    cache.close()
    content = bytearray(cache.path.read_bytes())
    content[16_384:] = b"\xff" * (len(content) - 16_384)
    cache.path.write_bytes(content)
    with pytest.warns(VectorCacheWarning, match="damaged: delete it"):
        assert cache.get(FAMILY, "document", many).places == []
    cache.put(FAMILY, "document", many, rows(3000))
    assert cache.get(FAMILY, "document", many).places == []
    with pytest.raises(VectorCacheError, match="damaged"):
        cache.families()
    cache.remove()
    monkeypatch.setattr(caches, "_RETRY_SECONDS", 0.0)
    caches._states.get().clear()
    cache.put(FAMILY, "document", many, rows(3000))
    assert len(cache.get(FAMILY, "document", many).places) == 3000


@pytest.mark.parametrize("kind", ["text", "database", "version"])
def test_a_foreign_file_is_refused_and_left_as_it_was(cache, kind):
    cache.path.parent.mkdir()
    if kind == "text":
        cache.path.write_bytes(b"Dear diary, " * 1000)
    else:
        with closing(sqlite3.connect(cache.path)) as file, file:
            file.execute("CREATE TABLE mine (id)")
            if kind == "version":
                file.execute(f"PRAGMA application_id = {0x66707665}")
                file.execute("PRAGMA user_version = 99")
    before = cache.path.read_bytes()
    for act in (
        lambda: cache.get(FAMILY, "document", TEXTS),
        lambda: cache.put(FAMILY, "document", TEXTS, rows(3)),
        cache.families,
        cache.delete,
    ):
        with pytest.raises(
            VectorCacheError, match="another version" if kind == "version" else "another program"
        ):
            act()
    assert cache.path.read_bytes() == before


# --- what a machine does --------------------------------------------------------------------------


@posix
def test_a_full_disk_costs_no_answer(cache):
    """It is said once, and what is there can still be read later."""
    cache.put(FAMILY, "document", TEXTS, rows(3))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.warns(VectorCacheWarning, match=r"full|cannot be used"):
            cache.put(FAMILY, "document", ["four"], rows(1))
        cache.put(FAMILY, "document", ["five"], rows(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    caches._states.get()[cache.path]._retry_at = 0.0  # a minute later
    assert cache.get(FAMILY, "document", [*TEXTS, "four"]).places == [0, 1, 2]
    cache.put(FAMILY, "document", ["four"], rows(1))
    assert cache.get(FAMILY, "document", ["four"]).places == [0]


def test_a_file_that_is_locked_costs_no_answer(cache):
    cache.put(FAMILY, "document", TEXTS, rows(3))
    caches._states.get()[cache.path].file._busy_seconds = 0.05
    with closing(sqlite3.connect(cache.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert cache.get(FAMILY, "document", TEXTS).places == [0, 1, 2]  # who reads is not in the way
        with pytest.warns(VectorCacheWarning, match="locked"):
            cache.put(FAMILY, "document", ["four"], rows(1))
        other.execute("ROLLBACK")


def test_a_folder_that_cannot_be_had_costs_no_answer(tmp_path):
    (tmp_path / "file").write_text("")
    cache = VectorCache(tmp_path / "file" / "vectors.db")
    with pytest.warns(VectorCacheWarning, match="cannot be written"):
        assert cache.get(FAMILY, "document", TEXTS).places == []
    cache.put(FAMILY, "document", TEXTS, rows(3))


@posix
def test_the_file_is_the_users_alone(cache):
    """From its first byte on, with all that lies beside it; a folder of the user's stays as it is."""
    old = os.umask(0)
    try:
        cache.put(FAMILY, "document", TEXTS, rows(3))
    finally:
        os.umask(old)
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in cache.path.parent.iterdir()}
    assert names == dict.fromkeys(["vectors.db", "vectors.db-wal", "vectors.db-shm"], 0o600)
    shared = cache.path.parent.parent / "shared"
    shared.mkdir(mode=0o755)
    (shared / "empty.db").touch(mode=0o644)
    other = VectorCache(shared / "empty.db")
    other.put(FAMILY, "document", TEXTS, rows(3))
    assert stat.S_IMODE(other.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755


@posix
def test_a_link_is_not_followed(cache, tmp_path):
    cache.path.parent.mkdir()
    cache.path.symlink_to(tmp_path / "elsewhere")
    with pytest.warns(VectorCacheWarning, match="is a link"):
        cache.put(FAMILY, "document", TEXTS, rows(3))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the table of mounts of Linux")
def test_machines_that_share_a_file_need_its_locks_alone(cache, monkeypatch):
    """A WAL's shared memory would reach no other machine."""
    number = cache.path.parent.parent.stat().st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    monkeypatch.setattr(private_file, "_mounts", lambda: iter([(device, "nfs4")]))
    cache.put(FAMILY, "document", TEXTS, rows(3))
    with closing(sqlite3.connect(cache.path)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert cache.get(FAMILY, "document", TEXTS).vectors == rows(3)


def test_a_file_that_is_deleted_is_made_anew(cache):
    cache.put(FAMILY, "document", TEXTS, rows(3))
    cache.remove()
    assert (cache.size, cache.families()) == (0, [])
    assert cache.get(FAMILY, "document", TEXTS).places == []
    cache.put(FAMILY, "document", TEXTS, rows(3))
    for path in cache.path.parent.iterdir():  # as somebody else does
        path.unlink()
    cache.put(FAMILY, "document", ["two"], rows(1))
    assert cache.get(FAMILY, "document", TEXTS).places == [1]


# --- several at once ------------------------------------------------------------------------------


def test_threads_on_one_file(cache):
    """Each writes and reads through an object of its own."""
    errors = []

    def work(number):
        try:
            own = VectorCache(cache.path)
            for batch in range(10):
                texts = [f"{number} {batch} {at}" for at in range(20)]
                own.put(FAMILY, "document", texts, rows(20, first=number))
                assert own.get(FAMILY, "document", texts).vectors == rows(20, first=number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [one.documents for one in cache.families()] == [1600]


WRITER = """
import sys
from array import array
from freeproviders.embeddings.cache import VectorCache
from tests.embeddings.test_cache import FAMILY, rows
cache, name = VectorCache(sys.argv[1]), sys.argv[2]
for batch in range(int(sys.argv[3])):
    texts = [f"{name} {batch} {at}" for at in range(20)]
    cache.put(FAMILY, "document", texts, rows(20, first=batch))
    print(batch, flush=True)
"""


def writer(cache, name, batches):
    command = [sys.executable, "-W", "error", "-c", WRITER, str(cache.path), name, str(batches)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_processes_on_one_file(cache):
    writers = [writer(cache, name, 20) for name in ("a", "b")]
    for process in writers:
        process.communicate(timeout=60)
        assert process.returncode == 0
    (family,) = cache.families()
    assert family.documents == 800
    assert cache.get(FAMILY, "document", ["a 7 0", "b 3 0"]).places == [0, 1]


@pytest.mark.parametrize("batches", [1, 4])
def test_what_was_put_before_a_kill_is_there(cache, batches):
    """The batch that was being written is there as a whole, or not at all."""
    process = writer(cache, "a", 100_000)
    for _ in range(batches):
        last = int(process.stdout.readline())
    process.kill()
    rest = process.communicate(timeout=60)[0].split()
    last = int(rest[-1]) if rest else last
    for batch in range(last + 1):
        texts = [f"a {batch} {at}" for at in range(20)]
        assert cache.get(FAMILY, "document", texts).vectors == rows(20, first=batch)
    texts = [f"a {last + 1} {at}" for at in range(20)]
    assert len(cache.get(FAMILY, "document", texts).places) in {0, 20}


@posix
def test_a_forked_child_uses_the_same_file(cache):
    cache.put(FAMILY, "document", TEXTS, rows(3))
    child = os.fork()
    if not child:  # pragma: no cover - not counted in children
        try:
            assert cache.get(FAMILY, "document", TEXTS).places == [0, 1, 2]
            cache.put(FAMILY, "document", ["four"], rows(1))
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.get(FAMILY, "document", [*TEXTS, "four"]).places == [0, 1, 2, 3]


# --- lists, deletes, arguments --------------------------------------------------------------------


def test_families_are_listed_and_deleted(cache):
    other = Family(model="nomic", size=6, normalised=False, rules="search_query: ")
    assert (cache.families(), cache.delete(), cache.size) == ([], 0, 0)
    assert not cache.path.exists()  # who only looks makes none
    cache.put(FAMILY, "document", TEXTS, rows(3))
    cache.put(FAMILY, "document", ["three", "four"], rows(2), truncate=True)
    cache.put(FAMILY, "query", ["one"], rows(1))
    cache.put(other, "document", ["one"], rows(1, size=6))
    first, second = cache.families()
    assert (first.fingerprint, first.documents, first.queries, first.bytes) == (FAMILY.fingerprint, 5, 1, 96)
    assert second.fingerprint == "nomic;6;as is;search_query: "
    assert first.made <= first.written <= second.made
    assert cache.delete("no such family") == 0
    assert cache.delete(FAMILY.fingerprint) == 6
    assert cache.get(FAMILY, "document", TEXTS).places == []
    assert cache.get(other, "document", ["one"]).places == [0]
    assert cache.delete() == 1
    assert cache.families() == []


def test_deleting_gives_the_room_back(cache):
    many = [f"text {number}" for number in range(2000)]
    family = Family(model="wide", size=256, normalised=True)
    cache.put(family, "document", many, rows(2000, size=256))
    full = cache.size
    assert full > 2000 * 256 * 4
    assert cache.delete(family.fingerprint) == 2000
    assert cache.size < full / 10


def test_the_argument(tmp_path, monkeypatch):
    monkeypatch.setenv("FREEPROVIDERS_CACHE", str(tmp_path))
    made = VectorCache(tmp_path / "x.db")
    assert VectorCache.of(made) is made
    assert [VectorCache.of(one) for one in (None, False)] == [None, None]
    assert VectorCache.of(True).path == tmp_path / "embeddings" / "vectors.db"
    assert VectorCache.of(str(tmp_path / "x.db")) == made == VectorCache.of(tmp_path / "x.db")
    assert {made, deepcopy(made), pickle.loads(pickle.dumps(made))} == {made}
    assert list(tmp_path.iterdir()) == []


@posix
def test_the_users_own_file_has_a_folder_of_its_own(tmp_path, monkeypatch):
    """What else is in the cache folder, as models, stays readable for those who could read it."""
    monkeypatch.setenv("FREEPROVIDERS_CACHE", str(tmp_path))
    tmp_path.chmod(0o755)
    (tmp_path / "embeddings").mkdir(mode=0o755)
    cache = VectorCache()
    cache.put(FAMILY, "document", TEXTS, rows(3))
    cache.close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700
