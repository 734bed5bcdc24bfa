"""A conversation at the terminal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import typer

from freeproviders import FreeProviders
from freeproviders.backend import Backend
from freeproviders.cli.answer import AnswerDisplay, remark
from freeproviders.cli.attachments import Attachment, AttachmentError, attachment, check, content
from freeproviders.cli.history import LastConversation, Questions
from freeproviders.cli.keyboard import QUOTES, Keyboard, keyboard
from freeproviders.cli.routed import announced, introduction
from freeproviders.cli.terminal import complain, say
from freeproviders.errors import FreeProvidersError

Messages = list[Mapping[str, Any]]

_COMMAND: Final = re.compile(r"(/[a-z]\w*)(?: +(.*))?", re.IGNORECASE)
COMMANDS: Final = {
    "/help": "Show this.",
    "/attach FILE": "Send a picture, recording, PDF or text file with the next question.",
    "/clear": "Forget the conversation.",
    "/exit": "Leave; Ctrl-D does the same.",
}
KEYS: Final = {
    "Alt-Enter": "Begin a new line; pasted lines are one question anyway.",
    QUOTES: "Begin and end a question of several lines.",
    "Up, Ctrl-R": "Earlier questions; search in them.",
    "Tab": "Complete a command.",
    "Ctrl-C": "Stop an answer, leave a line; twice on an empty line: leave.",
}


@dataclass
class Conversation:
    """The backend that is asked, the form of questions, and what was said so far.

    Each answer may take `limit` seconds. `files` go with the next question.
    """

    backend: Backend
    system: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    limit: float | None = None
    earlier: Sequence[Mapping[str, Any]] = ()
    files: list[Attachment] = field(default_factory=list)
    last: LastConversation = field(default_factory=lambda: LastConversation(None))
    questions: Questions = field(default_factory=lambda: Questions(None))

    def __post_init__(self) -> None:
        self._beginning: Messages = [{"role": "system", "content": self.system}] if self.system else []
        self._messages: Messages = [*self._beginning, *self.earlier]

    def hold(self) -> None:
        """Ask, answer and remember until the user leaves.

        Ctrl-C ends the answer under way, and its request; the text that had come stays in the
        conversation. A failed question is forgotten, so that it can be asked again. Raises
        `KeyboardInterrupt` where Ctrl-C was pressed twice to leave.
        """
        going_on = f" It goes on after {len(self.earlier)} messages." if self.earlier else ""
        say(
            f"{_introduced(self.backend)}{going_on} Ctrl-C stops an answer, Ctrl-D leaves, "
            "/help says what else can be typed."
        )
        with asyncio.Runner() as runner:  # one loop, so that one connection serves the whole conversation
            words = [name.partition(" ")[0] for name in COMMANDS]
            keys = keyboard(runner, self.questions, words)
            while (line := _question(keys)) is not None:
                if not line.strip():
                    continue
                if command := _COMMAND.fullmatch(line.rstrip()):
                    if not self._obey(command[1].lower(), (command[2] or "").strip()):
                        return
                else:
                    self._ask(runner, line)

    def _obey(self, command: str, word: str) -> bool:
        """Do what a command says; False leaves the conversation."""
        match command:
            case "/exit" | "/quit" | "/bye":
                return False
            case "/clear":
                self._messages = list(self._beginning)
                self.files.clear()
                self.last.keep([])
                say("Forgotten.")
            case "/help":
                for name, what in {**COMMANDS, **KEYS}.items():
                    say(f"{name:<13} {what}", keep_blanks=True)
            case "/attach":
                self._attach(word)
            case _:
                say(f"There is no command {command}: /help lists them. With a blank before it, it is asked.")
        return True

    def _attach(self, name: str) -> None:
        if not name:
            say("/attach needs the name of a file.")
            return
        try:
            file = attachment(Path(name.strip("\"'")).expanduser())
            check([file], self.backend)
        except (AttachmentError, RuntimeError) as error:  # also no home for "~"
            complain(error)
            return
        self.files.append(file)
        say(f"{file.name} goes with the next question.")

    def _ask(self, runner: asyncio.Runner, question: str) -> None:
        """Ask one question; what was said is kept where there was an answer, or a part of one."""
        messages = [*self._messages, {"role": "user", "content": content(question.strip("\n"), self.files)}]
        answer = AnswerDisplay(show=True)
        try:
            request = self.backend.request(messages, **self.settings)
            if isinstance(self.backend, FreeProviders):
                request = announced(request)
            remark(runner.run(answer.read(self.backend, request, self.limit)))
        except KeyboardInterrupt:
            say("(Stopped.)")
        except FreeProvidersError as error:
            complain(error)
            return
        if said := answer.so_far().text:
            self._messages = [*messages, {"role": "assistant", "content": said}]
            self.files.clear()
            self.last.keep(self._messages)


def _introduced(backend: Backend) -> str:
    if isinstance(backend, FreeProviders):
        return introduction(backend)
    where = f"at {backend.base_url}" if backend.base_url else "on this machine"
    return f"{' '.join(filter(None, (backend.name, backend.model)))} {where}."


def _question(keys: Keyboard) -> str | None:
    """Read the next question or command; None at the end of the input."""
    warned = False
    while True:
        try:
            return keys.question()
        except KeyboardInterrupt:
            typer.echo(err=True)
            if warned and not keys.typed:
                raise
            say("Ctrl-C again, Ctrl-D or /exit leaves.")
            warned = True
        except EOFError:
            typer.echo(err=True)
            return None
