"""An answer, shown as it comes and kept."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, Final

import typer

from freeproviders.backend import Backend
from freeproviders.cli.terminal import dimmed, is_terminal, printable, say
from freeproviders.cli.waiting import waiting
from freeproviders.errors import ProviderTimeoutError
from freeproviders.types import Batch, ChatRequest, Completion, Part, Reasoning, Text, collect

_LISTS: Final = ("allowances", "quota", "trail", "seams")
"""What a finish has lists of."""


class AnswerDisplay:
    """The parts that have come so far; `show` writes them to standard output meanwhile.

    Thinking is shown dimmed at a terminal, and is left out of files and pipes.
    """

    def __init__(self, *, show: bool) -> None:
        self._show = show
        self._terminal = is_terminal(sys.stdout)
        self._parts: list[Part] = []
        self._thinking = False
        self._line_open = False

    async def read(self, backend: Backend, request: ChatRequest, limit: float | None) -> Completion:
        """Ask, and read the answer to its end, in at most `limit` seconds.

        Whatever ends it early, the request ends too and the terminal's line is closed.
        """
        try:
            async with asyncio.timeout(limit) as scope:
                await self._read(backend.answer(request))
        except TimeoutError as error:
            if not scope.expired():  # one of the core's own limits
                raise
            raise ProviderTimeoutError(
                f"The answer was not complete within {limit:g} s.",
                provider=backend.name,
                model=request.model or backend.model,
                advice="Allow more with --timeout.",
            ) from error
        finally:
            self._end_line()
        return self.so_far()

    async def _read(self, batches: AsyncGenerator[Batch, None]) -> None:
        async with waiting() as sign, aclosing(batches):
            async for batch in batches:
                self._parts += batch
                if self._show and (shown := "".join([self._shown(part) for part in batch])):
                    sign.end()
                    self._write(shown)

    def so_far(self) -> Completion:
        """Collect the parts that have come."""
        return collect(self._parts)

    def _write(self, shown: str) -> None:
        if self._terminal:
            typer.echo(shown, nl=False)  # flushes
        else:
            sys.stdout.write(shown)  # `echo` would take out what looks like a colour
            sys.stdout.flush()

    def _shown(self, part: Part) -> str:
        if isinstance(part, Text):
            text = printable(part.text) if self._terminal else part.text
        elif isinstance(part, Reasoning) and self._terminal:
            text = printable(part.text)
        else:
            return ""
        if not text:
            return ""
        gap = ""
        if isinstance(part, Reasoning):
            self._thinking = True
            self._line_open = not text.endswith("\n")
            return dimmed(text, sys.stdout)
        if self._thinking:  # the answer begins below the thinking
            self._thinking, gap = False, "\n\n" if self._line_open else "\n"
        self._line_open = not text.endswith("\n")
        return gap + text

    def _end_line(self) -> None:
        if self._line_open:
            self._line_open = False
            typer.echo()


def remark(completion: Completion) -> None:
    """Report that an answer is incomplete, which its text does not show."""
    finish = completion.finish
    if finish.reason == "length":
        say("(The answer stopped at its length limit.)")
    elif finish.reason == "content_filter":
        say("(The service's content filter stopped the answer.)")
    elif not finish.confirmed:
        say("(The connection closed before the service confirmed the end of the answer.)")


def as_json(completion: Completion) -> dict[str, Any]:
    """Write an answer as one JSON object."""
    finish = asdict(completion.finish)
    for name in _LISTS:  # with their times as texts
        finish[name] = [one.plain() for one in getattr(completion.finish, name)]
    return {
        "text": completion.text,
        "reasoning": completion.reasoning,
        "usage": {**asdict(completion.usage), "total_tokens": completion.usage.total_tokens},
        "provider": finish.pop("provider"),
        "model": finish.pop("model"),
        "finish": finish,
    }
