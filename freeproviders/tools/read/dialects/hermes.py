"""Calls as `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`: Hermes, Qwen, many others.

`block` reads them, and much else between these tags.
"""

from __future__ import annotations

from collections.abc import Sequence

from freeproviders.tools.read.dialects.render import call_json
from freeproviders.types import ToolCall


def render(calls: Sequence[ToolCall]) -> str:
    """Write calls in this dialect."""
    return "\n".join(f"<tool_call>\n{call_json(call)}\n</tool_call>" for call in calls)
