"""Calls that plain words open: `functools[...]` of Phi-4 and Firefunction."""

from __future__ import annotations

from typing import Final

from freeproviders.tools.read.cursor import CALLS, TEXT, Cursor, RawCall, Recogniser, peek
from freeproviders.tools.read.dialects.payload import read_calls
from freeproviders.tools.toolbox import Toolbox

OPENER: Final = "functools"


def functools(c: Cursor, box: Toolbox, _opener: str = OPENER) -> Recogniser:
    """Read on behind `functools`."""
    if not box or (yield from peek(c)) != "[":
        return TEXT
    calls: list[RawCall] = yield from read_calls(c, box)
    if not any(box.match(call.name) for call in calls):
        return TEXT
    yield from calls
    return CALLS
