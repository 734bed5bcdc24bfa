"""Warnings of the core, as a command says them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from freeproviders.cli import terminal


@contextmanager
def warnings_as_remarks() -> Iterator[None]:
    """Show warnings about unsupported settings as one line, without the place in our code."""
    from freeproviders.errors import UnsupportedOptionWarning

    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, UnsupportedOptionWarning):
                terminal.say(f"Note: {message}")
            else:
                usual(message, category, *where, **more)

        warnings.showwarning = show
        yield
