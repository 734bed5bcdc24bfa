"""What is known of a model at a service, as far as a request for vectors needs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from freeproviders.wire.embeddings.request import Role


class Facts(Protocol):
    """Facts of a model at a service; see `EmbeddingRow`."""

    @property
    def base64(self) -> bool | None:
        """Whether vectors come as base64 where they are asked for so."""
        ...

    @property
    def input_types(self) -> Mapping[str, str]:
        """The service's words for the roles."""
        ...


def input_type_of(role: Role, facts: Facts | None) -> str:
    """Return the service's word for a role that is sent beside the texts, "" where none is."""
    return "" if facts is None else facts.input_types.get(role, "")
