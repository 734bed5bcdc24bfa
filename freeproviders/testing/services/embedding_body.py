"""Judging a request for vectors as OpenAI does.

What is refused, and in which words: the service's reference (an input is no empty string, an array
has at most 2048 entries, all texts of a request 300,000 tokens), openai-python issue 576 (an empty
string in a list), mteb issue 1200 (too many texts), JMTEB issue 15 (a text that is too long),
CrackSQL pull 27 (a request that is too long).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.testing.services.base import expect, is_number, refuse

KEYS: Final = ("encoding_format", "dimensions", "user")
ENCODINGS: Final = ("float", "base64")
INVALID: Final = (
    "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel:
    """What a service takes for one embedding model.

    `sizes` are the numbers of numbers that can be asked for, None any up to `size`. `batch` is how
    many texts a request may have, `window` how many tokens a text, `total` how many all; None is
    no limit. `tokens` says whether lists of tokens are taken in place of texts.
    """

    size: int
    sizes: Collection[int] | None = None
    normalised: bool = True
    batch: int | None = 2048
    window: int | None = 8192
    total: int | None = 300_000
    tokens: bool = True


OPENAI_MODELS: Final[Mapping[str, EmbeddingModel]] = {
    "text-embedding-3-small": EmbeddingModel(size=1536),
    "text-embedding-3-large": EmbeddingModel(size=3072),
    "text-embedding-ada-002": EmbeddingModel(size=1536, sizes=()),
}


@dataclass(frozen=True, slots=True)
class Input:
    """The texts of a request, and how many tokens each has; a list of tokens is written as JSON."""

    texts: list[str]
    counts: list[int]


def read_input(given: Any, model: EmbeddingModel) -> Input:
    """Read `input`, a text, a list of texts, or tokens in place of a text."""
    if isinstance(given, str) or _is_tokens(given):
        given = [given]
    expect(isinstance(given, list) and bool(given), INVALID)
    expect(all(isinstance(one, str) for one in given) or all(map(_is_tokens, given)), INVALID)
    expect(model.tokens or isinstance(given[0], str), INVALID)
    expect(all(given), INVALID)
    expect(model.batch is None or len(given) <= model.batch, INVALID)
    texts = [one if isinstance(one, str) else json.dumps(one) for one in given]
    counts = [word_count(one) if isinstance(one, str) else len(one) for one in given]
    check_window(counts, model.window)
    total = sum(counts)
    if model.total is not None and total > model.total:
        refuse(
            f"Requested {total} tokens, max {model.total} tokens per request", code="max_tokens_per_request"
        )
    return Input(texts, counts)


def check_window(counts: Sequence[int], window: int | None) -> None:
    """Refuse a text that is longer than the model reads."""
    for count in counts:
        expect(
            window is None or count <= window,
            f"This model's maximum context length is {window} tokens, however you requested {count} tokens "
            f"({count} in your prompt; 0 for the completion). Please reduce your prompt; or completion "
            "length.",
        )


def read_size(body: Mapping[str, Any], model: EmbeddingModel, key: str = "dimensions") -> int:
    """Read how many numbers a vector shall have."""
    size = body.get(key)
    if size is None:
        return model.size
    if not isinstance(size, int) or not is_number(size):
        refuse(f"Invalid type for '{key}': expected an integer, but got {size!r} instead.")
    expect(model.sizes is None or bool(model.sizes), f"This model does not support specifying {key}.")
    expect(size > 0, f"Invalid '{key}': integer below minimum value. Expected a value >= 1.")
    expect(
        size <= model.size,
        f"Invalid value for '{key}' = {size}. Must be less than or equal to {model.size}.",
    )
    expect(
        model.sizes is None or size in {*model.sizes, model.size},
        f"Invalid value for '{key}' = {size}. Must be one of {sorted({*(model.sizes or ()), model.size})}.",
    )
    return size


def read_encoding(body: Mapping[str, Any], encodings: Sequence[str] = ENCODINGS) -> str:
    """Read in which form vectors are wanted."""
    encoding = body.get("encoding_format")
    if encoding is None:
        return encodings[0]
    expect(
        encoding in encodings,
        f"Invalid value for 'encoding_format': {encoding!r}. Supported values are: {', '.join(encodings)}.",
    )
    return str(encoding)


def word_count(text: str) -> int:
    """Count the tokens of a text, one for each word, so that tests know the number."""
    return max(1, len(text.split()))


def _is_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(one) is int and one >= 0 for one in value)
