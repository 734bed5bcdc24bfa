"""One way to write calls, as a row of the registry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from freeproviders.tools.read.cursor import Cursor, Recogniser
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import ToolCall

OBJECT: Final = '{"name": <function-name>, "arguments": <args-json-object>}'
"""How a call as JSON is described to a model."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to write calls.

    `render` writes calls as the model would, `format` tells the model how to. `opens` are the texts
    that begin a call, none of which begins another, and `read` reads on behind one of them; a
    dialect without any is found by its brackets. All dialects are always understood.
    """

    name: str
    render: Callable[[Sequence[ToolCall]], str]
    format: str
    opens: tuple[str, ...] = ()
    read: Callable[[Cursor, Toolbox, str], Recogniser] | None = None
