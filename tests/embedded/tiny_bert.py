"""A BERT of two layers with random weights, written by hand as a GGUF file of some 100 KB.

Its vectors mean nothing, and depend on each word of a text: enough for the whole way through a real
engine.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterator
from itertools import product
from pathlib import Path

U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
SIZE, LAYERS, HEADS, INNER, WINDOW = 32, 2, 4, 64, 48
MEAN, CLS, LAST, RANK = 1, 2, 3, 4
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTROL, NORMAL = 3, 1
SPACE = "\u2581"
"""How the vocabulary marks the beginning of a word."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?"
WORDS = [a + b + c for a, b, c in product("bdfgklmnprst", "aeiou", "dklmnrst")]
"""Each is one token; any other word is one for each letter."""
VOCABULARY = [*SPECIAL, *(SPACE + word for word in WORDS), *(SPACE + one for one in _LETTERS), *_LETTERS]


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def key(name: str, kind: int, form: str, *value: float) -> bytes:
    return text(name) + struct.pack(f"<I{form}", kind, *value)


def _keys(architecture: str, name: str, pooling: int | None) -> Iterator[bytes]:
    yield text("general.architecture") + struct.pack("<I", STRING) + text(architecture)
    if name:
        yield text("general.name") + struct.pack("<I", STRING) + text(name)
    for what, number in (
        ("context_length", WINDOW),
        ("embedding_length", SIZE),
        ("block_count", LAYERS),
        ("feed_forward_length", INNER),
        ("attention.head_count", HEADS),
    ):
        yield key(f"{architecture}.{what}", U32, "I", number)
    yield key(f"{architecture}.attention.layer_norm_epsilon", F32, "f", 1e-12)
    yield key(f"{architecture}.attention.causal", BOOL, "?", False)
    if pooling is not None:
        yield key(f"{architecture}.pooling_type", U32, "I", pooling)
    yield key("tokenizer.ggml.token_type_count", U32, "I", 2)
    yield text("tokenizer.ggml.model") + struct.pack("<I", STRING) + text("bert")
    tokens = b"".join(text(token) for token in VOCABULARY)
    yield text("tokenizer.ggml.tokens") + struct.pack("<IIQ", ARRAY, STRING, len(VOCABULARY)) + tokens
    kinds = [CONTROL if token in SPECIAL else NORMAL for token in VOCABULARY]
    yield (
        text("tokenizer.ggml.token_type") + struct.pack(f"<IIQ{len(kinds)}i", ARRAY, I32, len(kinds), *kinds)
    )
    for what, token in (
        ("padding", 0),
        ("unknown", 1),
        ("bos", 2),
        ("cls", 2),
        ("seperator", 3),
        ("mask", 4),
    ):
        yield key(f"tokenizer.ggml.{what}_token_id", U32, "I", token)


def _shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors' names and shapes, the fastest running dimension first."""
    yield "token_embd.weight", (SIZE, len(VOCABULARY))
    yield "position_embd.weight", (SIZE, WINDOW)
    yield "token_types.weight", (SIZE, 2)
    yield from (("token_embd_norm.weight", (SIZE,)), ("token_embd_norm.bias", (SIZE,)))
    for layer in range(LAYERS):
        for name, rows, columns in (
            ("attn_q", SIZE, SIZE),
            ("attn_k", SIZE, SIZE),
            ("attn_v", SIZE, SIZE),
            ("attn_output", SIZE, SIZE),
            ("ffn_up", SIZE, INNER),
            ("ffn_down", INNER, SIZE),
        ):
            yield f"blk.{layer}.{name}.weight", (rows, columns)
            yield f"blk.{layer}.{name}.bias", (columns,)
        for name in ("attn_output_norm", "layer_output_norm"):
            yield from ((f"blk.{layer}.{name}.weight", (SIZE,)), (f"blk.{layer}.{name}.bias", (SIZE,)))


def tiny_bert(
    *, name: str = "Tiny BERT", pooling: int | None = MEAN, seed: int = 1, architecture: str = "bert"
) -> bytes:
    """Return the file's bytes."""
    chance = random.Random(seed)
    table, data = b"", bytearray()
    shapes = list(_shapes())
    for tensor, shape in shapes:
        data += bytes(-len(data) % 32)
        table += text(tensor) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        middle, spread = (1.0, 0.1) if tensor.endswith("norm.weight") else (0.0, 0.4)
        data += array("f", (chance.gauss(middle, spread) for _ in range(count))).tobytes()
    keys = list(_keys(architecture, name, pooling))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys)) + b"".join(keys) + table
    return head + bytes(-len(head) % 32) + bytes(data) + bytes(32)


def written(folder: Path, *, file: str = "tiny.gguf", **facts: object) -> Path:
    """Write the file and return its path."""
    path = folder / file
    path.write_bytes(tiny_bert(**facts))  # type: ignore[arg-type]
    return path
