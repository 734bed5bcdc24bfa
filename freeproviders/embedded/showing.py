"""How far a download is, shown to the user: in a notebook, in a terminal, in a plain log."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from html import escape
from time import monotonic
from typing import IO, Any, Final, Protocol

DRAWN_SECONDS: Final = 0.2
LINE_SECONDS: Final = 30.0
LINE_SHARE: Final = 10
"""Per cent of a download after which a plain log gets another line."""


class Shown(Protocol):
    """A place where a download is shown."""

    def say(self, sentence: str) -> None:
        """Show a sentence: where the bytes are from."""

    def show(self, there: int, total: int) -> None:
        """Show how many bytes are there."""

    def close(self) -> None:
        """Leave the place as it is at the end."""


def shown() -> Shown:
    """Return the place for this process: the notebook's cell, the terminal, else lines in a log."""
    if (display := _notebook()) is not None:
        return InNotebook(display)
    stream = sys.stderr
    if not _is_terminal(stream):
        return InLog(stream)
    if os.environ.get("TERM") != "dumb":
        with suppress(ImportError):
            return InTerminal(stream)
    return OnOneLine(stream)


class Throttled:
    """A place that is drawn a few times a second, and once more at the end."""

    def __init__(self) -> None:
        self._began = monotonic()
        self._drawn = 0.0
        self._first: int | None = None
        self._state: tuple[int, int] | None = None

    def show(self, there: int, total: int) -> None:
        """Note how many bytes are there, and draw that now and then."""
        if self._first is None:
            self._first, self._began = there, monotonic()
        self._state = there, total
        now = monotonic()
        if now - self._drawn >= DRAWN_SECONDS or there >= total:
            self._drawn = now
            self.draw(there, total)

    def draw(self, there: int, total: int) -> None:
        """Draw the state."""
        raise NotImplementedError

    def last(self) -> None:
        """Draw the last state that was noted."""
        if self._state is not None:
            self.draw(*self._state)

    def words(self, there: int, total: int) -> str:
        """Say how far it is: the share, the sizes, the speed, the time that is left."""
        seconds = monotonic() - self._began
        speed = (there - (self._first or 0)) / seconds if seconds > 0.5 else 0.0
        left = f", {_clock((total - there) / speed)} left" if speed > 0 and there < total else ""
        fast = f", {speed / 1e6:,.1f} MB/s" if speed > 0 else ""
        return f"{_per_cent(there, total)} % ({there / 1e6:,.0f} of {total / 1e6:,.0f} MB{fast}{left})"


class InLog(Throttled):
    """Lines on a stream that is no terminal: one for each tenth, or for each half minute."""

    def __init__(self, stream: IO[str] | None) -> None:
        super().__init__()
        self._stream = stream
        self._line_at = monotonic()
        self._share = 0

    def say(self, sentence: str) -> None:
        """Write a line."""
        _write(self._stream, f"{sentence}\n")

    def draw(self, there: int, total: int) -> None:
        """Write a line if there is something new to say."""
        share, now = _per_cent(there, total) // LINE_SHARE, monotonic()
        if share > self._share or now - self._line_at >= LINE_SECONDS:
            self._share, self._line_at = share, now
            _write(self._stream, f"{self.words(there, total)}\n")

    def close(self) -> None:
        """Leave the lines as they are."""


class OnOneLine(Throttled):
    """One line of a terminal that is written anew."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__()
        self._stream = stream
        self._width = 0

    def say(self, sentence: str) -> None:
        """Write a line."""
        self.close()
        _write(self._stream, f"{sentence}\n")

    def draw(self, there: int, total: int) -> None:
        """Write the line anew."""
        text = self.words(there, total)
        _write(self._stream, f"\r{text.ljust(self._width)}")
        self._width = len(text)

    def close(self) -> None:
        """End the line."""
        if self._width:
            self.last()
            _write(self._stream, "\n")
            self._width = 0


class InTerminal:
    """A bar of the package rich. Raises `ImportError` where it is not installed."""

    def __init__(self, stream: IO[str]) -> None:
        from rich import progress  # noqa: PLC0415 - only where something is downloaded
        from rich.console import Console  # noqa: PLC0415 - as above

        self._stream = stream
        self._bars = progress.Progress(
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(file=stream),
        )
        self._task: progress.TaskID | None = None

    def say(self, sentence: str) -> None:
        """Write a line, above the bar."""
        if self._task is None:
            _write(self._stream, f"{sentence}\n")
        else:
            self._bars.console.print(sentence, markup=False, highlight=False)

    def show(self, there: int, total: int) -> None:
        """Draw the bar, which appears with the first bytes."""
        if self._task is None:
            self._bars.start()
            self._task = self._bars.add_task("", total=total)
        self._bars.update(self._task, completed=there)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._task is not None:
            self._bars.stop()
            self._task = None


class InNotebook(Throttled):
    """A bar below the cell of a notebook, which needs no package beside the notebook's own."""

    def __init__(self, display: Callable[..., Any]) -> None:
        super().__init__()
        self._display = display
        self._sentences: list[str] = []
        self._handle: Any = None

    def say(self, sentence: str) -> None:
        """Show a sentence above the bar."""
        self._sentences.append(sentence)
        self._put("", "\n".join(self._sentences))

    def draw(self, there: int, total: int) -> None:
        """Draw the bar."""
        words = self.words(there, total)
        style = "width: 20em; vertical-align: middle"
        bar = f'<progress value="{there}" max="{total}" style="{style}"></progress> {escape(words)}'
        self._put(f"<div>{bar}</div>", "\n".join([*self._sentences, words]))

    def close(self) -> None:
        """Leave the bar as it is."""
        self.last()

    def _put(self, bar: str, plain: str) -> None:
        lines = "".join(f"<div>{escape(sentence)}</div>" for sentence in self._sentences)
        data = {"text/html": f"{lines}{bar}", "text/plain": plain}
        if self._handle is None:
            self._handle = self._display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _notebook() -> Callable[..., Any] | None:
    """Return IPython's `display` where this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    try:
        shell = None if ipython is None else ipython.get_ipython()
        if getattr(shell, "kernel", None) is None:
            return None
        from IPython.display import display  # noqa: PLC0415 - it is loaded in a notebook
    except Exception:  # noqa: BLE001 - whatever is wrong there, the download goes on
        return None
    found: Callable[..., Any] = display
    return found


def _is_terminal(stream: IO[str] | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def _write(stream: IO[str] | None, text: str) -> None:
    """Write to a stream, which may be missing, closed, or know few letters."""
    with suppress(OSError, ValueError, AttributeError):
        stream.write(text)  # type: ignore[union-attr]
        stream.flush()  # type: ignore[union-attr]


def _per_cent(there: int, total: int) -> int:
    return 100 * there // total if total > 0 else 100


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds) + 1, 60)
    return f"{minutes}:{seconds:02d} min"
