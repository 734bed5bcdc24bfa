"""One answer: shown as it comes, and remembered."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import typer

from freeproviders.cli.terminal import dimmed, is_terminal, printable, say
from freeproviders.types import Batch, Completion, Part, Reasoning, Text, collect


class Answer:
    """What has come so far; `show` writes it to standard output meanwhile.

    Thinking is shown, dimmed, to somebody who looks, and is left out of files and pipes.
    """

    def __init__(self, *, show: bool) -> None:
        self._show = show
        self._terminal = is_terminal(sys.stdout)
        self._parts: list[Part] = []
        self._thinking = False
        self._line_open = False

    async def read(self, batches: AsyncGenerator[Batch, None]) -> Completion:
        """Read to the end. Whatever ends it early, the request ends too and the terminal's line is closed."""
        try:
            async with aclosing(batches):
                async for batch in batches:
                    self._parts += batch
                    if self._show:
                        self._write(batch)
        finally:
            self._end_line()
        return self.so_far()

    def so_far(self) -> Completion:
        """What has come."""
        return collect(self._parts)

    def _write(self, batch: Batch) -> None:
        shown = "".join([self._shown(part) for part in batch])
        if not shown:
            return
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
    """Say what a reader could not see in the text: that it is not all of it."""
    finish = completion.finish
    if finish.reason == "length":
        say("(The answer stopped at its length limit.)")
    elif finish.reason == "content_filter":
        say("(The service's content filter stopped the answer.)")
    elif not finish.confirmed:
        say("(The connection ended without a word that this was all.)")


def as_json(completion: Completion) -> dict[str, Any]:
    """The answer as one JSON object."""
    usage, finish = completion.usage, completion.finish
    return {
        "text": completion.text,
        "reasoning": completion.reasoning,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "reasoning_tokens": usage.reasoning_tokens,
            "cached_tokens": usage.cached_tokens,
            "estimated": usage.estimated,
        },
        "finish": {
            "reason": finish.reason,
            "raw_reason": finish.raw_reason,
            "confirmed": finish.confirmed,
            "attempts": finish.attempts,
            "response_id": finish.response_id,
        },
        "provider": finish.provider,
        "model": finish.model,
    }
