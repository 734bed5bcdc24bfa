"""What became of a row, as its cells say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from freeproviders.batch.rows import RowState
from freeproviders.batch.tables.cells import json_text
from freeproviders.types import Completion


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row.

    Attributes:
        state: "done" or why not.
        completion: the answer, where there is one.
        error: why there is none, in words.
        tries: attempts that have failed.
        fields: the fields of an answer by a schema.
    """

    state: RowState
    completion: Completion | None = None
    error: str = ""
    tries: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)

    def said(self, name: str) -> Any:
        """Return a cell by the name of its column."""
        if name in {"state", "error"}:
            return getattr(self, name) or None
        answer = self.completion
        if answer is None:
            return self.tries if name == "attempts" else None
        finish = answer.finish
        match name:
            case "answer":
                return answer.text or answer.refusal or None
            case "tool_calls":
                calls = [{"name": call.name, "arguments": dict(call.arguments)} for call in answer.tool_calls]
                return json_text(calls) if calls else None
            case "service":
                return finish.provider or None
            case "model":
                return finish.model or None
            case "input_tokens" | "output_tokens":
                return getattr(answer.usage, name)
            case "finish":
                return finish.reason
            case "seams":
                return len(finish.seams)
            case _:
                sent = sum(attempt.requests for attempt in finish.trail)
                return self.tries + max(finish.attempts, sent)
