"""Public names that are loaded when they are first used, so that nobody pays for what he does not import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy(
    namespace: dict[str, Any], homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A package's `__getattr__` and `__dir__`: `namespace` is its `globals()`, `homes` says in which of its modules each name lives."""
    package = namespace["__name__"]

    def load(name: str) -> Any:
        if name not in homes:
            # With both, Python asks whether a name alike was meant.
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package]
            )
        value = namespace[name] = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *homes})

    return load, names
