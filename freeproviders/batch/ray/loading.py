"""The package ray, imported when it is first needed: that takes a second."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from freeproviders.errors import MissingDependencyError
from freeproviders.installing import with_extra


def check_ray() -> None:
    """Raise `MissingDependencyError` where the package ray is not installed."""
    if find_spec("ray") is None:
        raise MissingDependencyError(
            "Several machines are asked through the package ray, which is not installed.",
            advice=with_extra("ray"),
        )


def ray_module(name: str = "ray") -> Any:
    """Import a module of Ray. Raises `MissingDependencyError` where there is none."""
    check_ray()
    return import_module(name)
