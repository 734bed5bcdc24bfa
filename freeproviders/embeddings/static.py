"""The static vectors of wordllama, whose weights are inside its package: nothing is ever fetched.

Each token has a vector of its own; the vector of a text is the mean of those of its tokens.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from freeproviders.embeddings.family import Family
from freeproviders.errors import MissingDependencyError
from freeproviders.installing import with_extra
from freeproviders.wire.embeddings.vectors import Vectors

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

FAMILY: Final = Family(model="wordllama-l2-supercat-256", size=256, normalised=True, rules="lower case")
_WEIGHTS: Final = "weights/l2_supercat_256.safetensors"
_TOKENIZER: Final = "tokenizers/l2_supercat_tokenizer_config.json"
_ADVICE: Final = with_extra("rag")

_TEXTS_AT_ONCE: Final = 256
_TOKENS_AT_ONCE: Final = 4096
"""Both bound the memory that is needed beside the vectors themselves."""


class StaticVectors:
    """Vectors by token, and the tokenizer to which they belong; threads may share them.

    Args:
        table: a row of numbers for each token.
        tokenizer: it neither pads nor truncates.
    """

    def __init__(self, table: np.ndarray, tokenizer: Tokenizer) -> None:
        self.table = table
        self.tokenizer = tokenizer

    def embed(self, texts: Sequence[str]) -> tuple[Vectors, int]:
        """Return the vectors of texts, each of length 1, and how many tokens the texts have.

        Upper and lower case give the same vectors: a question in capitals finds what it asks for
        (measured in docs/embeddings.md). The vector of a text does not depend on the texts beside
        it. A text without tokens gets a vector of length 1 like all others, since a zero has no
        direction and its similarity to anything is no number.
        """
        import numpy as np  # noqa: PLC0415 - the core does without

        size = self.table.shape[1]
        data = array("f", [0.0]) * (len(texts) * size)
        rows = np.frombuffer(data, dtype=np.float32).reshape(len(texts), size)  # the same memory
        tokens = 0
        for start in range(0, len(texts), _TEXTS_AT_ONCE):
            lowered = [_encodable(text).lower() for text in texts[start : start + _TEXTS_AT_ONCE]]
            encodings = self.tokenizer.encode_batch(lowered, add_special_tokens=False)
            for at, encoding in enumerate(encodings, start):
                ids = np.array(encoding.ids, dtype=np.int32)
                tokens += len(ids)
                for first in range(0, len(ids), _TOKENS_AT_ONCE):
                    rows[at] += self.table[ids[first : first + _TOKENS_AT_ONCE]].sum(axis=0)
        lengths = np.linalg.norm(rows, axis=1)
        rows[lengths == 0, 0] = 1
        rows /= np.where(lengths == 0, 1, lengths)[:, np.newaxis]
        return Vectors(data, size), tokens


def _encodable(text: str) -> str:
    """Return a text whose lone surrogates, which no tokenizer takes, are question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def find() -> Path:
    """Return the folder of the package with the weights; nothing of it is imported.

    Importing it would set up the logging of the whole program.
    """
    try:
        spec = find_spec("wordllama")
    except ValueError:  # a module without a spec stands in its place
        spec = None
    if spec is None or spec.origin is None:
        raise MissingDependencyError("wordllama is not installed.", advice=_ADVICE)
    return Path(spec.origin).parent


@cache
def load() -> StaticVectors:
    """Return the vectors, read from disk at the first call, which takes a fifth of a second."""
    folder = find()
    try:
        import numpy as np  # noqa: PLC0415 - an extra
        from safetensors import safe_open  # noqa: PLC0415 - the same
        from tokenizers import Tokenizer  # noqa: PLC0415 - the same
    except ImportError as error:
        raise MissingDependencyError(f"{error.name} is not installed.", advice=_ADVICE) from error
    try:
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        with safe_open(folder / _WEIGHTS, framework="np") as file:
            table = file.get_tensor("embedding.weight").astype(np.float32)
    except Exception as error:  # tokenizers raises the bare class
        raise MissingDependencyError(
            f"The weights in {folder} cannot be read: {error}", advice=_ADVICE
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return StaticVectors(table, tokenizer)


def is_loaded() -> bool:
    """Tell whether `load` returns at once."""
    return load.cache_info().currsize > 0
