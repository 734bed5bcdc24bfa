"""What the writers of all dialects share: JSON in which no markup can stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from freeproviders.types import ToolCall
from freeproviders.wire.json import dumps

_MARKUP = re.compile(r"<|\[(?=/?[A-Z])")


def plain_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Encode as JSON in which `<` and the brackets of `[INST]` and its like are escaped: no string can hold a tag."""
    return _MARKUP.sub(lambda match: f"\\u{ord(match.group()):04x}", dumps(value).decode())


def call_json(call: ToolCall, arguments: str = "arguments") -> str:
    """Write a call as an object with a name and arguments."""
    return f'{{"name": {plain_json(call.name)}, "{arguments}": {plain_json(call.arguments)}}}'


def arguments_of(call: ToolCall) -> Mapping[str, Any]:
    """The arguments of a call, as plain types."""
    return dict(call.arguments)
