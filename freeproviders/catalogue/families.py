"""Families of embedding models: what their authors want, under whatever name a server has them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

from freeproviders.catalogue.places import text_of
from freeproviders.catalogue.rows import EmbeddingRow, Known, Service
from freeproviders.wire.embeddings.names import DialectName

_FILE: Final = Path(__file__).with_name("families.toml")
_LM_STUDIO: Final = "text-embedding-"
"""What LM Studio puts before the names of embedding models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRow(Known):
    """A model that several services and servers have.

    `names` are patterns of the names that servers on one's own machine have for it; the rest is as
    in `EmbeddingRow`, for lines that leave it out.
    """

    size: int
    window: int | None = None
    query: str = ""
    document: str = ""
    names: tuple[str, ...] = ()
    note: str = ""


_PASSED_ON: Final = ("size", "window", "query", "document")


@cache
def families() -> Mapping[str, FamilyRow]:
    """Read the families, by name."""
    found: dict[str, FamilyRow] = {}
    for name, table in tomllib.loads(text_of(_FILE)).items():
        found[name] = FamilyRow(**{**table, "names": tuple(table.get("names", ()))})
    return found


def of_family(name: str) -> dict[str, Any]:
    """Return what a line of that family need not say itself, {} where the family has no row."""
    row = families().get(name)
    return {} if row is None else {field: getattr(row, field) for field in _PASSED_ON}


def family_of(model: str) -> str | None:
    """Name the family of a model by what a server on one's own machine calls it, None for an unknown one."""
    plain = _plain(model)
    for name, row in families().items():
        if any(fnmatchcase(plain, pattern) for pattern in row.names):
            return name
    return None


def embedding_of(service: Service | None, model: str) -> EmbeddingRow | None:
    """Return what is known of an embedding model at a service, None where that is nothing.

    A server on the user's own machine, as None is one, has models under names of the user's
    choice: what no line names is known by its family. Elsewhere the same name may stand for vectors
    that were pooled in another way.
    """
    exact = None if service is None else service.embeddings.get(model)
    if exact is not None or (service is not None and not service.local):
        return exact
    family = family_of(model)
    if family is None:
        return None
    lines = () if service is None else service.embeddings.values()
    row = next((line for line in lines if line.family == family), None)
    if row is not None:
        return row
    known = families()[family]
    about: dict[str, Any] = {field.name: getattr(known, field.name) for field in fields(Known)}
    dialect: DialectName = "openai" if service is None else service.embedding_dialect
    return EmbeddingRow(family=family, cost="never", dialect=dialect, **of_family(family), **about)


def _plain(model: str) -> str:
    name = model.rpartition("/")[2].lower().removesuffix(".gguf").removesuffix(":latest")
    return name.removeprefix(_LM_STUDIO)
