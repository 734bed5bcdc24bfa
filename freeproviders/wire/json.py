"""JSON, by the decoder that pydantic brings along.

It takes half the time of the standard library's on a stream frame and is already installed. The
standard library's reads what pydantic's refuses, see `loads_leniently`.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from pydantic_core import from_json, to_json

MAX_LENIENT_BYTES: Final = 2**20

_BLANK: Final = " \t\r\n"
_BLANKS: Final = frozenset(_BLANK)

__all__ = [
    "dumps",
    "from_json",
    "loads",
    "loads_leniently",
    "loads_several",
]  # `from_json` is the bare decoder, for the hot path; it lets NaN and Infinity through


def loads(data: str | bytes) -> Any:
    """Decode a JSON document, without NaN and Infinity.

    Raises `ValueError` with the place of the fault.
    """
    try:
        return from_json(data, allow_inf_nan=False)
    except TypeError as error:  # pydantic's word for a text with half a character in it
        raise ValueError(f"not text that can be encoded: {error}") from error


def loads_leniently(data: bytes, *, constants: bool = True) -> Any:
    """Decode text that is not quite JSON and has one plain meaning; raises `ValueError` on others.

    That is NaN and Infinity, control characters inside strings, bytes that are not UTF-8 (as
    U+FFFD), and halves of surrogate pairs, which stay in the strings as they are: see
    `freeproviders.wire.text.mended`. `constants` False refuses NaN and Infinity. A document of more
    than `MAX_LENIENT_BYTES` is not tried: this decoder is slow, and the event loop stands
    still meanwhile.
    """
    if len(data) > MAX_LENIENT_BYTES:
        raise ValueError(f"not JSON, and longer than {MAX_LENIENT_BYTES} bytes")
    try:
        return json.loads(
            data.decode("utf-8", "replace"), strict=False, parse_constant=None if constants else _refuse
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def loads_several(text: str, most: int) -> list[Any]:
    """Decode documents that stand one behind the other.

    Raises `ValueError` on anything else, and on more than `most` documents or so much text that
    the event loop would stand still for long.
    """
    documents: list[Any] = []
    at, end = 0, len(text.rstrip(_BLANK))
    while at < end:
        if len(documents) == most or end > MAX_LENIENT_BYTES:
            raise ValueError("too many documents, or too long ones")
        try:
            document, at = _DECODER.raw_decode(text, at)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        documents.append(document)
        while text[at : at + 1] in _BLANKS:
            at += 1
    return documents


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)


def dumps(value: Any) -> bytes:
    """Encode as compact UTF-8 JSON; raises `ValueError` on what JSON cannot hold."""
    return to_json(value, inf_nan_mode="strings")
