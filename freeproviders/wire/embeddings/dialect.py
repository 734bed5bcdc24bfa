"""A way to ask for vectors: the OpenAI protocol's, which others change where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from freeproviders.wire.embeddings.decoder import Form, VectorDecoder
from freeproviders.wire.embeddings.facts import Facts, input_type_of
from freeproviders.wire.embeddings.forms import read_openai
from freeproviders.wire.embeddings.names import DialectName
from freeproviders.wire.embeddings.request import EmbeddingRequest

Truncation = Literal["asked", "never", "unknown"]
"""What becomes of a text that is too long.

"asked": it is cut where a request says so, else refused. "never": it is refused. "unknown": no
source says that it is refused, so it may be cut without a word.
"""

_AUTHORIZATION: Final = "Authorization"


class Dialect:
    """A way to ask for vectors, and to read the answer.

    Attributes:
        name: the name in rows.
        form: finds the vectors in an answer.
        base64: whether vectors are asked for as base64 where no row says whether they come so.
        truncation: what becomes of a text that is too long.
        below: the end of a base_url above which the requests' paths begin, "" where they begin
            behind all of it.
        key_header: the header that takes a key, which else is a bearer's "Authorization".
    """

    name: DialectName = "openai"
    form: Form = staticmethod(read_openai)
    base64: bool = False
    truncation: Truncation = "unknown"
    below: str = ""
    key_header: str = ""

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request: its path, which `address` takes, and its body.

        What the caller's options say counts.
        """
        body: dict[str, Any] = {"model": request.model, "input": list(request.texts)}
        if self.takes_base64(facts):
            body["encoding_format"] = "base64"
        if request.size is not None:
            body["dimensions"] = request.size
        if input_type := input_type_of(request.role, facts):
            body["input_type"] = input_type
        return "/embeddings", {**body, **request.options}

    def takes_base64(self, facts: Facts | None) -> bool:
        """Return whether vectors are asked for as base64."""
        return self.base64 if facts is None or facts.base64 is None else facts.base64

    def address(self, base_url: str, path: str) -> str:
        """Return where a request goes."""
        return base_url.removesuffix(self.below) + path

    def headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Put a key where the service looks for it."""
        scheme, _, key = headers.get(_AUTHORIZATION, "").partition(" ")
        if not self.key_header or scheme != "Bearer":
            return headers
        others = {name: value for name, value in headers.items() if name != _AUTHORIZATION}
        return {**others, self.key_header: key}

    def decoder(self, request: EmbeddingRequest) -> VectorDecoder:
        """Return a new decoder for one answer."""
        return VectorDecoder(request, self.form)
