"""Regular expressions that are compiled when they are first used.

Most are for errors and rare forms of answers, and compiling them all would be a good part of the
import.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from re import compile as pattern
else:

    class pattern:  # noqa: N801 - in the place of `re.compile`
        """A regular expression with the attributes of `re.Pattern`."""

        def __init__(self, source: str | bytes, flags: int = 0) -> None:
            self._given = source, flags

        def __getattr__(self, name: str) -> Any:
            """Take an attribute over from the compiled expression; from then on it costs nothing more."""
            value = self.__dict__[name] = getattr(re.compile(*self._given), name)
            return value


__all__ = ["pattern"]
