"""Kinds of methods: for class and instance alike, and with the parameters of another one."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class hybridmethod(Generic[P, R]):  # noqa: N801 - used as a decorator
    """A method for class and instance alike: its first argument is what it was called on."""

    def __init__(self, function: Callable[Concatenate[Any, P], R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: object, owner: type) -> Callable[P, R]:
        """Bind to the instance, or to the class."""
        return types.MethodType(self._function, owner if instance is None else instance)


def takes_what(asked: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Show editors and type checkers a method with the parameters of the one it calls."""

    def like(method: Callable[..., R]) -> Callable[P, R]:
        returns = method.__annotations__["return"]
        method.__signature__ = inspect.signature(asked).replace(return_annotation=returns)  # type: ignore[attr-defined]
        return method

    return like
