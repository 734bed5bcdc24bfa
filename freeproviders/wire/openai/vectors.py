"""Requests for vectors in the OpenAI protocol read, and answers written, for servers of it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from sys import byteorder
from typing import Any, Final

from freeproviders.wire.embeddings.request import Role
from freeproviders.wire.embeddings.vectors import Vectors
from freeproviders.wire.json import dumps
from freeproviders.wire.openai.asked import FieldError, read_model

MAX_TEXTS: Final = 2048
"""As many texts as OpenAI takes in a request."""
_ROLES: Final[Mapping[str, Role]] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "search_document": "document",
    "passage": "document",
}
_READ: Final = frozenset({"model", "input", "encoding_format", "dimensions", "input_type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorsAsked:
    """A request for vectors; `size` is how many numbers each shall have, None for the model's own."""

    model: str
    texts: list[str]
    size: int | None = None
    base64: bool = False
    role: Role = "document"
    ignored: tuple[str, ...] = ()


def read_vectors(body: Mapping[str, Any]) -> VectorsAsked:
    """Read a request for vectors. Raises `FieldError`."""
    encoding, size, kind = body.get("encoding_format"), body.get("dimensions"), body.get("input_type")
    if encoding not in ("float", "base64", None):
        raise FieldError('encoding_format must be "float" or "base64".', param="encoding_format")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 2**20):
        raise FieldError("dimensions must be a whole number of at least 1.", param="dimensions")
    if kind is not None and (not isinstance(kind, str) or kind not in _ROLES):
        raise FieldError(f"input_type must be one of {', '.join(_ROLES)}.", param="input_type")
    return VectorsAsked(
        model=read_model(body),
        texts=_texts(body.get("input")),
        size=size,
        base64=encoding == "base64",
        role=_ROLES[kind] if kind else "document",
        ignored=tuple(sorted(name for name in body.keys() - _READ if body[name] is not None)),
    )


def vectors_document(vectors: Vectors, model: str, tokens: int, *, base64: bool, **more: Any) -> bytes:
    """Write the answer to a request for vectors; `more` are further fields of it."""
    rows = _in_base64(vectors) if base64 else vectors.lists()
    data = [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return dumps({"object": "list", "data": data, "model": model, "usage": usage, **more})


def _in_base64(vectors: Vectors) -> Sequence[str]:
    """Write vectors as 32-bit floats, the least significant byte first."""
    data = vectors.data
    if byteorder == "big":
        data = data[:]
        data.byteswap()
    numbers, size = memoryview(data), vectors.size
    return [b64encode(numbers[at : at + size]).decode() for at in range(0, len(data), size or 1)]


def _texts(given: object) -> list[str]:
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise FieldError("input must be a string or a list of at least one string.", param="input")
    if len(given) > MAX_TEXTS:
        raise FieldError(f"input may hold {MAX_TEXTS} texts at most.", param="input")
    if any(isinstance(one, int | list) for one in given):
        raise FieldError(
            "input must be text: which tokenizer made these tokens is not known here. LangChain sends text "
            "with OpenAIEmbeddings(check_embedding_ctx_length=False).",
            param="input",
        )
    texts = [one for one in given if isinstance(one, str)]
    if len(texts) != len(given):
        raise FieldError("input must be a string or a list of strings.", param="input")
    for n, text in enumerate(texts):
        if not text or text.isspace():
            raise FieldError(f"input[{n}] is blank: a blank text has no vector.", param="input")
    return texts
