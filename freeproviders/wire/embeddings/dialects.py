"""The dialects in which services are asked for vectors, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from freeproviders.wire.embeddings.decoder import Form, VectorDecoder
from freeproviders.wire.embeddings.forms import read_openai
from freeproviders.wire.embeddings.request import EmbeddingRequest, Role


class Facts(Protocol):
    """What is known of a model at a service, as far as a request needs it; see `EmbeddingRow`."""

    @property
    def base64(self) -> bool | None:
        """Whether vectors come as base64 where they are asked for so."""
        ...

    @property
    def input_types(self) -> Mapping[str, str]:
        """The service's words for the roles."""
        ...


class Dialect:
    """A way to ask for vectors, and to read the answer.

    `name` is the one in rows. `form` finds the vectors in an answer.
    """

    name: str = "openai"
    form: Form = staticmethod(read_openai)

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request: its path behind the base_url, and its body.

        What the caller's options say counts.
        """
        body: dict[str, Any] = {"model": request.model, "input": list(request.texts)}
        if facts is not None and facts.base64:
            body["encoding_format"] = "base64"
        if request.size is not None:
            body["dimensions"] = request.size
        if input_type := input_type_of(request.role, facts):
            body["input_type"] = input_type
        return "/embeddings", {**body, **request.options}

    def decoder(self, request: EmbeddingRequest) -> VectorDecoder:
        """Return a new decoder for one answer."""
        return VectorDecoder(request, self.form)


def input_type_of(role: Role, facts: Facts | None) -> str:
    """Return the service's word for a role that is sent beside the texts, "" where none is."""
    return "" if facts is None else facts.input_types.get(role, "")


_DIALECTS: Final[Mapping[str, Dialect]] = {dialect.name: dialect for dialect in (Dialect(),)}


def dialect_named(name: str) -> Dialect:
    """Look up a dialect. Raises `KeyError`."""
    return _DIALECTS[name]
