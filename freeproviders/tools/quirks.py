"""The needs of model families, as data: `quirks.toml`."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Literal

ToolForm = Literal["", "schema", "short"]
"""How a tool is shown: with its whole JSON schema, or in short."""


@dataclass(frozen=True, slots=True)
class Quirks:
    """The known needs of a model.

    `dialect` is the one it prefers, "" where none is known; `system` says that it obeys a system
    message, `thinking` that its answers begin inside the reasoning, `native` that a service's own
    tools may be tried with it. `tools` is how a tool is shown to it, "" where that is not known.
    """

    dialect: str = ""
    system: bool = True
    thinking: bool = False
    native: bool = True
    tools: ToolForm = ""


@cache
def quirks_of(model: str) -> Quirks:
    """Look a model up by its name."""
    name = model.lower()
    names = (name, name.rpartition("/")[2])
    for row in _families():
        if any(fnmatchcase(candidate, pattern) for pattern in row["match"] for candidate in names):
            return Quirks(
                row.get("dialect", ""),
                row.get("system", True),
                row.get("thinking", False),
                row.get("native", True),
                row.get("tools", ""),
            )
    return Quirks()


@cache
def _families() -> list[dict[str, Any]]:
    import tomllib  # noqa: PLC0415 - read once, at the first question with tools

    # Read as modules are, which guards against blocking calls on an event loop know to be short.
    data = pkgutil.get_data("freeproviders.tools", "quirks.toml")
    families: list[dict[str, Any]] = tomllib.loads((data or b"").decode())["family"]
    return families
