"""The needs of model families, as data: `quirks.toml`."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Literal

from freeproviders.abilities import Answering

ToolForm = Literal["", "schema", "short"]
"""How a tool is shown: with its whole JSON schema, or in short."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """The known needs of a model.

    `dialect` is the one it prefers, "" where none is known; `system` says that it obeys a system
    message, `thinking` that its answers begin inside the reasoning, `native` that a service's own
    tools may be tried with it. `tools` is how a tool is shown to it, "" where that is not known;
    `words` are its own for fields of `ToolPrompt`. `repeats` says that it makes a call again whose
    result it was just told, or the same call several times in a row; `invents` that it makes up what
    it should look up, and optional arguments; `rushes` that it writes a call beside the one whose result
    it needs. `tiny` says that it has these habits and more of the
    smallest models, as small talk in the shape of a call.
    `interleaved` says that it wants its thinking back in a run of tool calls.
    """

    dialect: str = ""
    system: bool = True
    thinking: bool = False
    native: bool = True
    tools: ToolForm = ""
    words: Mapping[str, str] = field(default_factory=dict)
    invents: bool = False
    repeats: bool = False
    rushes: bool = False
    tiny: bool = False
    interleaved: bool = False


@cache
def quirks_of(model: str) -> Quirks:
    """Look a model up by its name."""
    table = _table()
    row: Mapping[str, Any] = next((row for row in table["family"] if _matches(model, row)), {})
    known = {name: value for name, value in row.items() if name != "match"}
    tiny = _matches(model, table["tiny"])
    return Quirks(
        **{"invents": tiny, "repeats": tiny, **known},
        tiny=tiny,
        interleaved=_matches(model, table["interleaved"]),
    )


def quirks_for(backend: Answering, model: str | None = None) -> Quirks:
    """Look up the model that a backend asks, by the family that it tells or by the model's name."""
    model = model or backend.model
    return quirks_of(backend.abilities(model).family or model)


def _matches(model: str, row: Mapping[str, Any]) -> bool:
    """Return whether a pattern of a row matches a model's name, or what follows its last slash."""
    name = model.lower()
    names = (name, name.rpartition("/")[2])
    return any(fnmatchcase(candidate, pattern) for pattern in row["match"] for candidate in names)


@cache
def _table() -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - read once, at the first question with tools

    # Read as modules are, which guards against blocking calls on an event loop know to be short.
    data = pkgutil.get_data("freeproviders.tools", "quirks.toml")
    return tomllib.loads((data or b"").decode())
