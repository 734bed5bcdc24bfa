"""A conversation at the terminal."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import typer

from freeproviders import FreeProviders
from freeproviders.backend import Backend
from freeproviders.cli.answer import AnswerDisplay, remark
from freeproviders.cli.interrupt import interruptible
from freeproviders.cli.routed import announced, introduction
from freeproviders.cli.terminal import complain, is_terminal, say
from freeproviders.errors import FreeProvidersError

PROMPT: Final = "> "
MORE: Final = "... "
QUOTES: Final = '"""'
_COMMAND: Final = re.compile(r"/\w+")
HELP: Final = (
    f"/clear forgets the conversation, {QUOTES} begins and ends a question of several lines, "
    "/exit or Ctrl-D leaves, Ctrl-C stops an answer."
)


def converse(backend: Backend, system: str | None, settings: Mapping[str, Any], limit: float | None) -> None:
    """Ask, answer and remember until the user leaves.

    Each answer may take `limit` seconds. Ctrl-C ends the answer under way, and its request; the
    text that had come stays in the conversation. A failed question is forgotten, so that it can be
    asked again.
    """
    with suppress(ImportError):
        import readline  # gives `input` its editing and its history, in memory only

        readline.parse_and_bind("set enable-bracketed-paste on")  # pasted lines are one question
    say(f"{_introduced(backend)} {HELP}")
    beginning: list[Mapping[str, Any]] = [{"role": "system", "content": system}] if system else []
    history = list(beginning)
    with asyncio.Runner() as runner:  # one loop, so that one connection serves the whole conversation
        while (line := _question()) is not None:
            match line.strip():
                case "":
                    continue
                case "/exit" | "/quit":
                    return
                case "/clear":
                    history = list(beginning)
                    say("Forgotten.")
                case "/help":
                    say(HELP)
                case command if _COMMAND.fullmatch(command):
                    say(f"There is no command {command}. {HELP}")
                case _:
                    history = (
                        _turn(runner, backend, [*history, {"role": "user", "content": line}], settings, limit)
                        or history
                    )


def _turn(
    runner: asyncio.Runner,
    backend: Backend,
    messages: list[Mapping[str, Any]],
    settings: Mapping[str, Any],
    limit: float | None,
) -> list[Mapping[str, Any]] | None:
    """Ask one question; return the conversation with its answer, None where there is no answer."""
    answer = AnswerDisplay(show=True)
    try:
        request = backend.request(messages, **settings)
        if isinstance(backend, FreeProviders):
            request = announced(request)
        remark(runner.run(answer.read(backend, request, limit)))
    except KeyboardInterrupt:
        say("(Stopped.)")
    except FreeProvidersError as error:
        complain(error)
        return None
    said = answer.so_far().text
    return [*messages, {"role": "assistant", "content": said}] if said else None


def _introduced(backend: Backend) -> str:
    if isinstance(backend, FreeProviders):
        return introduction(backend)
    where = f"at {backend.base_url}" if backend.base_url else "on this machine"
    return f"{backend.name} {backend.model} {where}."


def _question() -> str | None:
    """Read the next question or command; None at the end of the input."""
    while True:
        try:
            return _typed()
        except KeyboardInterrupt:
            typer.echo(err=True)
            say("Ctrl-D or /exit leaves.")
        except EOFError:
            typer.echo(err=True)
            return None


def _typed() -> str:
    line = _line(PROMPT)
    if not line.lstrip().startswith(QUOTES):
        return line
    lines = [line.lstrip().removeprefix(QUOTES)]
    while not lines[-1].rstrip().endswith(QUOTES):
        lines.append(_line(MORE))
    lines[-1] = lines[-1].rstrip().removesuffix(QUOTES)
    return "\n".join(lines).strip("\n")


def _line(prompt: str) -> str:
    with interruptible():
        if is_terminal(sys.stdout):
            return input(prompt)
        typer.echo(prompt, nl=False, err=True)  # standard output is for the answers
        return input()
