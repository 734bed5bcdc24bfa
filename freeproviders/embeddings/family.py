"""A family: vectors that may be compared with each other, and nothing else with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

from freeproviders.errors import FamilyMismatchError
from freeproviders.wire.embeddings.request import ROLES, Role

_HARMLESS: Final = frozenset(
    {
        "encoding_format",
        "user",
        "keep_alive",
        "priority",
        # those that only say the size, which the fingerprint has
        "dimensions",
        "output_dimension",
        "output_dimensionality",
        "outputDimensionality",
        # those that refuse or cut what is too long, of which the result tells
        "truncate",
        "truncate_prompt_tokens",
    }
)
"""Options of services that leave the vectors as they are. Any other one may change them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What decides whether two vectors may be compared.

    Attributes:
        model: the name under which a model is known everywhere, as "bge-m3"; a model that no row
            knows has its service in the name, as "localhost:8080/my-model".
        size: numbers of a vector; None as long as it is not known and no vector has come.
        normalised: whether vectors have length 1.
        rules: what is put before texts of each role, or sent beside them, in a few words; "" where
            both roles are the same.
    """

    model: str
    size: int | None
    normalised: bool
    rules: str = ""

    @property
    def fingerprint(self) -> str:
        """The family in one line of text, to be stored beside an index.

        Fields are told apart by semicolons: `model;size;unit|as is;rules`.
        """
        size = "?" if self.size is None else str(self.size)
        return ";".join([self.model, size, "unit" if self.normalised else "as is", self.rules])

    def admits(self, fingerprint: str) -> bool:
        """Whether a stored fingerprint is this family's, or may be where the own size is unknown."""
        if self.size is not None:
            return fingerprint == self.fingerprint
        before = f"{self.model};"
        after = self.fingerprint[len(before) + 1 :]
        middle = fingerprint[len(before) : len(fingerprint) - len(after)]
        return fingerprint == f"{before}{middle}{after}" and (middle == "?" or middle.isdecimal())

    def check(self, fingerprint: str, *, where: str) -> None:
        """Raise `FamilyMismatchError`, which names both, unless a stored fingerprint is admitted.

        `where` says what holds the other vectors, as "The index".
        """
        if not self.admits(fingerprint):
            raise FamilyMismatchError(
                f"{where} holds vectors of the family {fingerprint!r}, and these are of "
                f"{self.fingerprint!r}: they cannot be compared.",
                stored=fingerprint,
                own=self.fingerprint,
            )

    def with_size(self, size: int) -> Family:
        """Return the family with the size that its vectors turned out to have."""
        return replace(self, size=size)


def rules_of(
    prefixes: Mapping[Role, str],
    input_types: Mapping[str, str],
    options: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Return `Family.rules`: what is done to texts or said of them, "" where nothing is.

    Args:
        prefixes: what is put before texts of each role.
        input_types: the service's words for the roles, sent beside the texts.
        options: options of the service; those that may change vectors are told.
    """
    said = [f"{role} {prefixes.get(role, '')!r}" for role in ROLES if prefixes.get(role)]
    said += [f"{role} as {input_types[role]}" for role in ROLES if input_types.get(role)]
    said += [
        f"{name} {json.dumps(options[name], sort_keys=True, default=repr)}"
        for name in sorted(options)
        if name not in _HARMLESS
    ]
    return ", ".join(said)
