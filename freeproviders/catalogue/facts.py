"""Facts of models, generated from models.dev: windows, abilities, dates.

`models.json` holds them by model, and by service what a service has otherwise. A model is found by
its own name, or by what follows the last slash of it, since services put names of their own before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from freeproviders.catalogue.places import text_of
from freeproviders.catalogue.rows import Cost, ModelRow, Service
from freeproviders.model_names import tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of one model; None is what is not known.

    `context` counts the tokens of question and answer together, `output` those of an answer. `open`
    says that its weights are public.
    """

    name: str = ""
    context: int | None = None
    output: int | None = None
    tools: bool | None = None
    schema: bool | None = None
    reasoning: bool | None = None
    images: bool | None = None
    audio: bool | None = None
    files: bool | None = None
    open: bool | None = None
    family: str = ""
    status: str = ""
    released: str = ""
    updated: str = ""
    cost: Cost | None = None
    retires: date | None = None
    note: str = ""


_FLAGS: Final = ("tools", "reasoning", "images", "audio", "files", "open")
"""Facts that models.dev has of every model."""
_OF_A_ROW: Final = tuple(one.name for one in fields(ModelRow) if one.name in Facts.__dataclass_fields__)


def facts(model: str, service: str = "") -> Facts | None:
    """Look up a model by name, as a service has it where one is named; None where it is not known."""
    if not model:
        return None
    known, services = _all()["models"], _all()["services"]
    own: Mapping[str, Any] | None = services.get(service, {}).get(model) or known.get(model)
    if own is None:
        own = _by_tail().get(tail(model))
        if own is None:
            return None
    base = own.get("of", "")
    row = {**known.get(base, {}), **own}
    row.pop("of", None)
    return Facts(**dict.fromkeys(_FLAGS, False) | row)


@lru_cache(maxsize=1024)
def facts_of(service: Service, model: str) -> Facts:
    """Put together what a service's file says of a model, and what the generated facts say."""
    row = row_of(service, model)
    named = row.facts if row is not None else ""
    found = facts(named or model, "" if named else service.facts or service.id) or Facts()
    changes: dict[str, Any] = {} if row is None else _given(row)
    for name, said in (("tools", service.native_tools), ("schema", service.json_schema)):
        if said is not None and name not in changes:
            # A service without a feature lacks it for every model; one with it, for those that have it.
            changes[name] = said and getattr(found, name) is not False
    return replace(found, **changes) if changes else found


def row_of(service: Service, model: str) -> ModelRow | None:
    """Return a service's line about a model: by its name, else the first pattern that fits."""
    exact = service.models.get(model)
    if exact is not None:
        return exact
    patterns = (name for name in service.models if "*" in name and fnmatchcase(model, name))
    pattern = next(patterns, None)
    return None if pattern is None else service.models[pattern]


def about() -> Mapping[str, str]:
    """Return where the generated facts are from: source, licence, commit and its date."""
    found: Mapping[str, str] = _all()["about"]
    return found


def _given(row: ModelRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in _OF_A_ROW}
    return {name: value for name, value in values.items() if value is not None and value != ""}


@cache
def _all() -> dict[str, Any]:
    found: dict[str, Any] = from_json(text_of(Path(__file__).with_name("models.json")))
    return found


@cache
def _by_tail() -> dict[str, dict[str, Any]]:
    """The models by what follows the last slash, those of services behind; the first of a name counts."""
    found: dict[str, dict[str, Any]] = {}
    for table in (_all()["models"], *_all()["services"].values()):
        for name, row in table.items():
            found.setdefault(tail(name), row)
    return found
