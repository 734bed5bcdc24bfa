"""Tool calls and typed answers on models that have neither, and on those that have.

`complete_structured` and `stream_structured` answer with an object of a schema; `answer` is
`Backend.answer` with a `ToolPrompt` of the caller's own. All else in this package is internal and
may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freeproviders.lazy import lazy

if TYPE_CHECKING:
    from freeproviders.tools.engine import answer
    from freeproviders.tools.prompt import ToolPrompt
    from freeproviders.tools.structured import Structured, complete_structured, stream_structured
    from freeproviders.types import Draft

_HOMES = {
    "Draft": "structured",
    "Structured": "structured",
    "ToolPrompt": "prompt",
    "answer": "engine",
    "complete_structured": "structured",
    "stream_structured": "structured",
}

__all__ = ["Draft", "Structured", "ToolPrompt", "answer", "complete_structured", "stream_structured"]

__getattr__, __dir__ = lazy(globals(), _HOMES)
