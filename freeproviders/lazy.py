"""Lazy names, public and of classes: a module is imported when one of its names is first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy(
    namespace: dict[str, Any], homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`.

    Args:
        namespace: the package's `globals()`.
        homes: each public name with the module that defines it, written without the package's own
            name.
    """
    package = namespace["__name__"]

    def load(name: str) -> Any:
        if name not in homes:
            # With `name` and `obj`, Python suggests a similar name.
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package]
            )
        value = namespace[name] = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *homes})

    return load, names


class LazyAttribute:
    """A class attribute whose value is a public name of this package, imported when first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        return getattr(sys.modules["freeproviders"], self._name)
