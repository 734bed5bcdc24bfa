"""The common part of all dialects' writers: JSON in which no markup can stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from freeproviders.tools.read.markup import OWN
from freeproviders.types import ToolCall
from freeproviders.wire.json import dumps


def plain_json(value: Any) -> str:
    """Encode as JSON in which no string holds a tag: `<` and brackets of `[INST]` are escaped."""
    return OWN.sub(lambda match: f"\\u{ord(match.group()):04x}", dumps(value).decode())


def call_json(call: ToolCall, arguments: str = "arguments") -> str:
    """Write a call as an object with a name and arguments."""
    return f'{{"name": {plain_json(call.name)}, "{arguments}": {plain_json(call.arguments)}}}'


def calls_json(calls: Sequence[ToolCall]) -> str:
    """Write one call as an object, several as a list."""
    return call_json(calls[0]) if len(calls) == 1 else f"[{', '.join(map(call_json, calls))}]"
