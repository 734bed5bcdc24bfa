"""Model files are looked at before anything is started with them."""

from __future__ import annotations

import contextlib
import os
import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders.embedded.digest import digest
from freeproviders.embedded.gguf import MAX_STRINGS, read_model_file
from freeproviders.embedded.weights import weights_named
from freeproviders.errors import EmbeddedModelError
from tests.embedded.tiny_bert import tiny_bert

U8, F32, STRING, ARRAY, U32, I32, BOOL = 0, 6, 8, 9, 4, 5, 7


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def strings(*values: str) -> bytes:
    return struct.pack("<IQ", STRING, len(values)) + b"".join(text(value) for value in values)


KEYS = [
    key("general.architecture", STRING, text("tiny")),
    key("general.name", STRING, text("Tiny Tester ü")),
    key("tiny.scale", F32, struct.pack("<f", 1.5)),
    key("tiny.context_length", U32, struct.pack("<I", 4096)),
    key("tokenizer.ggml.tokens", ARRAY, strings("a", "bc", "", "def" * 50)),
    key("tokenizer.ggml.token_type", ARRAY, struct.pack("<IQ3i", I32, 3, 1, 2, 3)),
    key("tokenizer.add_bos", BOOL, b"\x01"),
    key("tokenizer.chat_template", STRING, text("{{ messages }}")),
]


def tensor(name: str, offset: int) -> bytes:
    return text(name) + struct.pack("<I2QIQ", 2, 4, 4, 0, offset)


def file_of(
    keys: list[bytes] = KEYS,
    tensors: tuple[bytes, ...] = (tensor("a", 0), tensor("b", 64)),
    *,
    version: int = 3,
    data: bytes = bytes(256),
) -> bytes:
    return (
        b"GGUF"
        + struct.pack("<IQQ", version, len(tensors), len(keys))
        + b"".join(keys)
        + b"".join(tensors)
        + data
    )


def written(folder: Path, data: bytes) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_the_description_is_read(tmp_path: Path, version: int) -> None:
    found = read_model_file(written(tmp_path, file_of(version=version)))
    assert (found.architecture, found.name, found.context_length) == ("tiny", "Tiny Tester ü", 4096)


def test_what_the_file_does_not_say_is_none(tmp_path: Path) -> None:
    found = read_model_file(written(tmp_path, file_of(KEYS[:1])))
    assert (found.name, found.context_length) == ("", None)
    assert (found.vector_size, found.pooling) == (None, None)


def number(name: str, value: int) -> bytes:
    return key(name, U32, struct.pack("<I", value))


@pytest.mark.parametrize(
    ("pooling", "called"), [(0, "none"), (1, "mean"), (2, "cls"), (3, "last"), (4, "rank"), (5, None)]
)
def test_how_vectors_are_made_is_read(tmp_path: Path, pooling: int, called: str | None) -> None:
    keys = [*KEYS, number("tiny.embedding_length", 384), number("tiny.pooling_type", pooling)]
    found = read_model_file(written(tmp_path, file_of(keys)))
    assert (found.vector_size, found.pooling) == (384, called)
    keys += [number("other.embedding_length", 1), number("tiny.embedding_length_out", 96)]
    assert read_model_file(written(tmp_path, file_of(keys))).vector_size == 96


@pytest.mark.parametrize("alignment", [32, 64, 256])
def test_where_the_tensors_begin(tmp_path: Path, alignment: int) -> None:
    keys = [*KEYS, number("general.alignment", alignment)] if alignment != 32 else KEYS
    whole = file_of(keys, data=b"")
    start = -(-len(whole) // alignment) * alignment
    found = read_model_file(written(tmp_path, file_of(keys, data=bytes(start + 128 - len(whole)))))
    assert list(found.tensors) == [start, start + 64]


def test_a_digest_tells_weights_and_words_apart(tmp_path: Path) -> None:
    """Copies of a file have one digest; what makes other vectors has another."""

    def of(data: bytes, folder: str) -> str:
        (tmp_path / folder).mkdir()
        return digest(read_model_file(written(tmp_path / folder, data)))

    same = of(tiny_bert(), "one")
    assert same == of(tiny_bert(), "copy")
    weight = bytearray(tiny_bert())
    weight[-100] ^= 1  # in the last tensor
    others = {
        of(bytes(weight), "a weight"),
        of(tiny_bert(seed=2), "trained anew"),
        of(tiny_bert(pooling=2), "pooled in another way"),
        of(tiny_bert() + bytes(32), "longer"),
        of(tiny_bert().replace(b"bad", b"bax"), "a word"),
    }
    assert len(others) == 5
    assert same not in others
    assert len(same) == 12
    assert set(same) <= set("0123456789abcdef")


def test_a_digest_of_a_file_that_changes_is_made_anew(tmp_path: Path) -> None:
    path = written(tmp_path, tiny_bert())
    before = digest(read_model_file(path))
    written(tmp_path, tiny_bert(seed=2))
    os.utime(path, ns=(1, 1))
    assert digest(read_model_file(path)) != before


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "cut off or damaged"),
        (b"GG", "cut off or damaged"),
        (b"<!doctype html><title>404</title>", "is not a GGUF file: it begins with b'<!do'"),
        (b"PK\x03\x04" + bytes(100), "is not a GGUF file"),
        (file_of(version=1), "version 1"),
        (file_of(version=50331648), "version 50331648"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 60), "damaged"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 0), "damaged"),
        (
            b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", (1 << 64) - 1) + bytes(100),
            "cut off or damaged",
        ),
        (file_of([*KEYS, key("x", 77, b"")]), "unknown type 77"),
        (file_of([*KEYS, key("x", ARRAY, struct.pack("<IQ", ARRAY, 1))]), "array of type 9"),
        (file_of([*KEYS, key("x", ARRAY, struct.pack("<IQ", STRING, 1 << 50))]), "cut off or damaged"),
        (file_of([*KEYS, key("x", ARRAY, struct.pack("<IQ", I32, 1 << 62))]), "cut off or damaged"),
        (
            file_of([*KEYS, key("x", ARRAY, struct.pack("<IQQ", STRING, 2, (1 << 64) - 1))]),
            "cut off or damaged",
        ),
        (file_of(tensors=()), "holds no model"),
        (file_of(tensors=(text("a") + struct.pack("<I", 4_000_000_000),)), "dimensions"),
        (file_of(tensors=(tensor("a", 1_000_000),)), "is cut off: its last tensor"),
        (file_of(data=b""), "is cut off: its last tensor"),
        (file_of(KEYS[1:]), "what kind of model"),
        (file_of([*KEYS, key("x", ARRAY, struct.pack("<IQ", STRING, 1 << 62))]), "cut off or damaged"),
        (file_of([key("general.architecture", U32, bytes(4))]), "what kind of model"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 70_000) + bytes(80_000), "a name of 70,000 bytes"),
    ],
)
def test_bad_files_are_told_apart(tmp_path: Path, data: bytes, complaint: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(EmbeddedModelError, match=complaint) as caught:
        read_model_file(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedModelError, match=r"no model file at .*nothing\.gguf.*FREEPROVIDERS_MODEL"):
        read_model_file(tmp_path / "nothing.gguf")
    with pytest.raises(EmbeddedModelError, match="is not a file"):
        read_model_file(tmp_path)


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path, file_of())
    assert read_model_file(path).name == "Tiny Tester ü"
    written(tmp_path, file_of([KEYS[0]]))
    assert read_model_file(path).name == ""


def sparse(folder: Path, head: bytes, size: int = 400_000_000) -> Path:
    """Make a file that is large and takes no room on the disk: all zeros after its head."""
    path = written(folder, head)
    with path.open("r+b") as file:
        file.truncate(size)
    return path


EMPTY_TEXTS = struct.pack("<IQ", STRING, 40_000_000)
NESTED = struct.pack("<IQ", ARRAY, 1) * 10_000


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ([key("x", ARRAY, EMPTY_TEXTS)], "lists of more than"),
        ([key("x", ARRAY, struct.pack("<IQ", STRING, 1 << 62))], "cut off or damaged"),
        ([key("x", ARRAY, struct.pack("<IQ", U8, 1 << 62))], "cut off or damaged"),
        ([key("x", ARRAY, NESTED)], "array of type 9"),
        ([key("x", STRING, struct.pack("<Q", 300_000_000))], "what kind of model|cut off or damaged"),
    ],
    ids=["a long list", "2^62 texts", "2^62 bytes", "nested", "a long text"],
)
def test_a_hostile_file_takes_little_memory_and_few_steps(
    tmp_path: Path, keys: list[bytes], complaint: str
) -> None:
    """Steps are bounded by `MAX_STRINGS`; what is not wanted is passed over and never held."""
    path = sparse(tmp_path, file_of(keys))
    tracemalloc.start()
    try:
        with pytest.raises(EmbeddedModelError, match=complaint):
            read_model_file(path)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_many_lists_count_together(tmp_path: Path) -> None:
    keys = [key(f"k{number}", ARRAY, strings(*[""] * 500_000)) for number in range(5)]
    with pytest.raises(EmbeddedModelError, match="lists of more than 2,000,000 texts"):
        read_model_file(written(tmp_path, file_of(keys)))


def test_a_vocabulary_far_larger_than_any_known_is_read(tmp_path: Path) -> None:
    words = struct.pack("<IQ", STRING, 500_000) + (struct.pack("<Q", 3) + b"abc") * 500_000
    assert MAX_STRINGS >= 1_000_000
    keys = [*KEYS, key("tokens", ARRAY, words), key("merges", ARRAY, words)]
    assert read_model_file(written(tmp_path, file_of(keys))).context_length == 4096


def test_long_names_are_cut(tmp_path: Path) -> None:
    long = key("general.name", STRING, text("n" * 5_000_000))
    assert len(read_model_file(written(tmp_path, file_of([*KEYS, long]))).name) == 1000


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_an_error_of_ours_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever is cut off or overwritten, nothing but our own error comes, and quickly."""
    whole = bytearray(file_of())
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=4)
    ):
        whole[position] = value
    path = written(tmp_path_factory.mktemp("damaged"), bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    with contextlib.suppress(EmbeddedModelError):
        read_model_file(path)


@pytest.mark.real
def test_real_files_are_what_their_rows_say(weights_135m: Path, weights_05b: Path) -> None:
    for path, name, architecture in (
        (weights_135m, "smollm2-135m", "llama"),
        (weights_05b, "qwen2.5-coder-0.5b", "qwen2"),
    ):
        found = read_model_file(path)
        assert found.context_length == weights_named(name).context_length
        assert found.architecture == architecture
        assert found.name


@pytest.mark.real
def test_half_a_real_file_is_recognized(weights_135m: Path, tmp_path: Path) -> None:
    with weights_135m.open("rb") as file:
        half = written(tmp_path, file.read(50_000_000))
    with pytest.raises(EmbeddedModelError, match="cut off"):
        read_model_file(half)
