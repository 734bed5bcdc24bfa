"""What a service adds to its tool calls and demands back with them, as Gemini its signatures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from freeproviders.testing.services.style import EXTRA
from freeproviders.types import InvalidToolCall, ToolCall
from freeproviders.wire.openai.style import Style


class Signatures:
    """The signatures that a service has given."""

    def __init__(self, style: Style) -> None:
        self._wanted = style.tool_extras
        self._foreign = _signature(style.tool_extra_default.get(EXTRA))
        self._given: dict[str, set[str]] = {}

    def signed(self, call: ToolCall | InvalidToolCall) -> Mapping[str, Any]:
        """Write what the service adds to a call, and expects back with it."""
        digest = hashlib.sha256(repr(call).encode()).digest()
        signature = base64.b64encode(digest).decode()
        self._given.setdefault(call.id, set()).add(signature)
        return {EXTRA: {"google": {"thought_signature": signature}}}

    def missing(self, messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
        """Find calls that lack the signature that they had, or have another: the field, and a sentence.

        The first call of an answer of another service has the one that the row names for those.
        Calls of earlier turns may lack theirs.
        """
        if not self._wanted:
            return
        last = max((n for n, one in enumerate(messages) if one["role"] == "user"), default=-1)
        for n, message in enumerate(messages):
            for m, call in enumerate(message.get("tool_calls") or ()):
                where = f"messages[{n}].tool_calls[{m}]"
                sent, known = _signature(call.get(EXTRA)), self._given.get(call["id"], set())
                if sent is None:
                    if n > last and (known or (self._foreign is not None and m == 0)):
                        yield EXTRA, f"{where} is missing a thought_signature."
                elif sent not in known and (known or sent != self._foreign):
                    yield EXTRA, f"{where}: Thought signature is not valid."


def _signature(extra: object) -> str | None:
    """Find the signature in what a call carries, None where there is none."""
    google = extra.get("google") if isinstance(extra, Mapping) else None
    signature = google.get("thought_signature") if isinstance(google, Mapping) else None
    return signature if isinstance(signature, str) else None
