"""An account that is billed, as a replica of a service of the catalogue has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What a service does with an account that it may charge.

    Attributes:
        model: the model that answers, and is named in the answer, whatever is asked; "" is the one
            that is asked.
        cost: what the usage of an answer says that it has cost, None to say nothing.
        anyway: whether also those requests are charged that forbid it as the row's
            `[request] free` says.
    """

    model: str = ""
    cost: float | None = None
    anyway: bool = False

    def charges(self, body: Mapping[str, Any], free: Mapping[str, Any]) -> bool:
        """Return whether a request is charged, where `free` are the fields that forbid it."""
        return self.anyway or not free or not _has(body, free)


def _has(body: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether a body has some fields with just these values, at any depth."""
    return all(
        _has(body.get(name) or {}, value) if isinstance(value, Mapping) else body.get(name) == value
        for name, value in fields.items()
    )
