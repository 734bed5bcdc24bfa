"""Answers none of whose tool calls can be made: never given as answers, and never lost."""

from __future__ import annotations

from collections.abc import Iterable

from freeproviders.errors import ToolCallError
from freeproviders.types import Batch, Finish, InvalidToolCall, Part, ToolCall, ToolCallDelta, Usage


def unreadable(parts: Iterable[Part], *, shown: bool = False) -> ToolCallError | None:
    """Return the error for the calls among these parts, None where there is nothing wrong with them.

    They are wrong where there are some and none can be made, since no framework would answer them; or
    where one cannot be made whose pieces were `shown`, since frameworks complete what they were shown.
    """
    calls = [part for part in parts if isinstance(part, ToolCall | InvalidToolCall)]
    invalid = tuple([call for call in calls if isinstance(call, InvalidToolCall)])
    if not invalid or (len(invalid) < len(calls) and not shown):
        return None
    error = ToolCallError(invalid[0].error, said="\n".join([call.text for call in invalid]))
    error.calls = invalid
    return error


def with_rest(error: ToolCallError, rest: Iterable[Part]) -> ToolCallError:
    """Add to an error the parts of its answer that have not gone out."""
    error.rest = tuple(rest)
    for part in error.rest:
        if isinstance(part, Usage):
            error.usage = part
        elif isinstance(part, Finish):
            error.finish = part
    return error


class Unmade:
    """Holds unreadable calls back until one comes that can be made; then they go out.

    `parts` are those calls, and the usage that came behind them.
    """

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._model = model
        self.parts: Batch = []
        self._called = False
        self._shown = False

    def take(self, part: Part) -> Batch:
        """Take a part of an answer; return what goes out."""
        if isinstance(part, ToolCallDelta):
            self._shown = True
        elif isinstance(part, ToolCall):
            self._called = True
            held, self.parts = ([], self.parts) if self._shown else (self.parts, [])
            return [*held, part]
        elif isinstance(part, InvalidToolCall):
            if not self._called or self._shown:
                self.parts.append(part)
                return []
        elif isinstance(part, Usage) and self.parts:
            self.parts.append(part)
            return []
        return [part]

    def checked(self, end: Batch) -> Batch:
        """Return the end of an answer; raise the error for calls that are still held back."""
        error = unreadable(self.parts)
        if error is not None:
            raise with_rest(error, [*self.parts, *end]).about(self._provider, self._model)
        return end
