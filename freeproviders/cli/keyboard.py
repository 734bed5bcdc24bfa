"""Questions as a person types and pastes them at a terminal."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import typer

from freeproviders.cli.interrupt import interruptible
from freeproviders.cli.terminal import is_terminal, takes_sequences

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.history import History
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import Output

    from freeproviders.cli.history import Questions

PROMPT: Final = "> "
MORE: Final = "... "
QUOTES: Final = '"""'
LONG_PASTE: Final = 4000
"""Characters from which on a paste is shown as one mark, since no screen has room for it."""


class Keyboard(Protocol):
    """The input that asks the user for the next question."""

    typed: bool
    """Whether there was something on the line at Ctrl-C, as far as that is known."""

    def question(self) -> str:
        """Wait for a question. Raises `EOFError` at Ctrl-D, `KeyboardInterrupt` at Ctrl-C."""


def keyboard(runner: asyncio.Runner, questions: Questions, commands: Iterable[str]) -> Keyboard:
    """Return the best way to ask that this terminal and this installation have."""
    shown = is_terminal(sys.stdout) or is_terminal(sys.stderr)
    able = is_terminal(sys.stdin) and shown and takes_sequences()
    if able and importlib.util.find_spec("prompt_toolkit") is not None:
        return EditedLines(runner, questions, commands)
    return PlainLines()


def unquoted(text: str) -> str:
    """Take the quotes of a question of several lines away."""
    bare = text.strip()
    if is_open(text) or not bare.startswith(QUOTES):
        return text
    return bare.removeprefix(QUOTES).removesuffix(QUOTES).strip("\n")


def is_open(text: str) -> bool:
    """Return whether a question began with quotes that have not been closed."""
    bare = text.strip()
    return bare.startswith(QUOTES) and (len(bare) < 2 * len(QUOTES) or not bare.endswith(QUOTES))


class PlainLines:
    """Lines as any terminal gives them, with the editing of `readline` where that is installed."""

    typed = False

    def __init__(self) -> None:
        with suppress(ImportError):
            import readline  # gives `input` its editing and its history, in memory only

            readline.parse_and_bind("set enable-bracketed-paste on")  # pasted lines are one question

    def question(self) -> str:
        """Wait for a line, or for all up to the closing quotes."""
        text = self._line(PROMPT)
        while is_open(text):
            text = f"{text}\n{self._line(MORE)}"
        return unquoted(text)

    def _line(self, prompt: str) -> str:
        with interruptible():
            if is_terminal(sys.stdout):
                return input(prompt)
            typer.echo(prompt, nl=False, err=True)  # standard output is for the answers
            return input()


class EditedLines:
    """Lines with editing, history and search; what is pasted is one question, however many lines it has."""

    def __init__(self, runner: asyncio.Runner, questions: Questions, commands: Iterable[str]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.shortcuts import CompleteStyle

        self.typed = False
        self._runner = runner
        self._pastes: dict[str, str] = {}
        self._session: PromptSession[str] = PromptSession(
            PROMPT,
            multiline=True,
            prompt_continuation=MORE,
            key_bindings=self._keys(),
            history=_history(questions, self._shortened),
            completer=_completer(commands),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
            input=_input(),
            output=_output(),
        )

    def question(self) -> str:
        """Wait for a question; the event loop of the conversation runs meanwhile."""
        text = self._runner.run(self._asked())
        if isinstance(text, BaseException):
            raise text
        whole = _PASTED.sub(lambda mark: self._pastes.get(mark[0], mark[0]), text)
        # What came in another encoding than the terminal's would be halves of characters.
        return unquoted(whole.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))

    async def _asked(self) -> str | BaseException:
        try:
            return await self._session.prompt_async()
        except (EOFError, KeyboardInterrupt) as end:  # through the loop it would stop its other tasks
            self.typed = bool(self._session.default_buffer.text)
            return end

    def _keys(self) -> KeyBindings:
        from prompt_toolkit.enums import DEFAULT_BUFFER
        from prompt_toolkit.filters import has_focus
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.keys import Keys

        keys = KeyBindings()
        asked = has_focus(DEFAULT_BUFFER)  # and no search in the history

        @keys.add("enter", filter=asked)
        def _(event: KeyPressEvent) -> None:
            buffer = event.current_buffer
            if is_open(buffer.text):
                buffer.insert_text("\n")
            else:
                buffer.validate_and_handle()

        @keys.add("escape", "enter", filter=asked)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add(Keys.BracketedPaste, filter=asked)
        def _(event: KeyPressEvent) -> None:
            text = event.data.replace("\r\n", "\n").replace("\r", "\n")
            event.current_buffer.insert_text(text if len(text) < LONG_PASTE else self._mark(text))

        return keys

    def _mark(self, text: str) -> str:
        lines = text.count("\n") + (not text.endswith("\n"))
        mark = f"[pasted text {len(self._pastes) + 1}, {lines} line{'s' * (lines != 1)}]"
        self._pastes[mark] = text
        return mark

    def _shortened(self, text: str) -> bool:
        """Whether a question holds a mark, which means nothing in another session."""
        return any(mark[0] in self._pastes for mark in _PASTED.finditer(text))


_PASTED: Final = re.compile(r"\[pasted text \d+, \d+ lines?\]")


class Pastes:
    """The parser of what is typed, which is given each paste whole: piece by piece it would take minutes.

    What prompt_toolkit has looks for the end of a paste from its beginning, at each piece of 1 KB.
    """

    def __init__(self, parser: Any, read: Callable[[], str]) -> None:
        self._parser = parser
        self._read = read
        self._pieces: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed(self, data: str) -> None:
        """Take what was read: hand it on, or keep it until the end of the paste is there."""
        while data:
            self._take(data)
            data = self._read() if self._pieces else ""  # the rest is likely there already

    def _take(self, data: str) -> None:
        if not self._pieces:
            begin = data.find(_PASTE_BEGINS)
            if begin < 0 or _PASTE_ENDS in data[begin:]:
                self._parser.feed(data)
                return
            self._parser.feed(data[:begin])
            data = data[begin:]
        edge = self._pieces[-1][-len(_PASTE_ENDS) :] if self._pieces else ""
        self._pieces.append(data)
        if _PASTE_ENDS in edge + data:
            whole = "".join(self._pieces)
            self._pieces.clear()
            self._parser.feed(whole)


_READ_BYTES: Final = 2**16
_PASTE_BEGINS: Final = "\x1b[200~"
_PASTE_ENDS: Final = "\x1b[201~"


def _input() -> Input:
    from prompt_toolkit.input import create_input

    typed = create_input()
    if hasattr(typed, "vt100_parser") and hasattr(typed, "stdin_reader"):  # not on Windows
        typed.vt100_parser = Pastes(typed.vt100_parser, partial(typed.stdin_reader.read, _READ_BYTES))
    return typed


def _output() -> Output:
    """Return where the prompt is drawn: not on a standard output that goes elsewhere."""
    from prompt_toolkit.output import create_output

    output = create_output(sys.stdout if is_terminal(sys.stdout) else sys.stderr)
    # To ask the terminal for the place of its cursor brings nothing here, and its answer may come as
    # if it had been typed.
    if hasattr(output, "enable_cpr"):
        output.enable_cpr = False
    return output


def _completer(commands: Iterable[str]) -> Completer:
    """Complete a command, and the name of a file behind one."""
    from prompt_toolkit.completion import Completer, PathCompleter, WordCompleter
    from prompt_toolkit.document import Document

    words, paths = WordCompleter(list(commands), sentence=True), PathCompleter(expanduser=True)

    class Typed(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
            command, blank, path = document.text_before_cursor.partition(" ")
            if blank and command.startswith("/"):
                return paths.get_completions(Document(path), complete_event)
            return words.get_completions(document, complete_event)

    return Typed()


def _history(questions: Questions, left_out: Callable[[str], bool]) -> History:
    from prompt_toolkit.history import History

    class Kept(History):
        """The questions of earlier sessions, and those of this one."""

        def load_history_strings(self) -> Iterable[str]:
            return reversed(questions.earlier())

        def store_string(self, string: str) -> None:
            if not left_out(string):
                questions.keep(string)

    return Kept()
