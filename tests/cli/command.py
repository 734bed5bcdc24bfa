"""The command as a user runs it: a process of its own, with or without a terminal."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Self

from tests import warm
from tests.devmode import complaints

COMMAND = (sys.executable, "-X", "dev", "-m", "freeproviders")
SECONDS = 60.0
# Takes the terminal on its standard input as its own, so that Ctrl-C there reaches it, and becomes
# the command.
_LAUNCHER = (
    "import fcntl, os, sys, termios; "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def environment(**changes: str) -> dict[str, str]:
    """The environment without what would change the command's ways."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"} and not key.endswith(("_API_KEY", "_API_BASE"))
    }
    return {**kept, "TERM": "xterm-256color", **changes}


def run(
    *arguments: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = COMMAND,
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end, without a terminal.

    Standard error is without what development mode says of a slow machine. The command is a fork of
    a process that has loaded it, unless a variable is for the interpreter's own start.
    """
    variables = environment(**env or {})
    if warm.AVAILABLE and command == COMMAND and not any(name.startswith("PYTHON") for name in env or {}):
        done = warm.command_line().run(
            [*COMMAND[-2:], *arguments], stdin=stdin, env=variables, seconds=SECONDS
        )
    else:
        done = subprocess.run(
            [*command, *arguments],
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            env=variables,
            check=False,
        )
    said = done.stderr.decode()
    kept = "\n".join(complaints(said)) + "\n" * said.endswith("\n") if said else ""
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout, kept.encode() if kept.strip() else b""
    )


def start(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the command without a terminal."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**env or {}),
        bufsize=0,
    )


class Terminal:
    """The command at a terminal of its own: what it shows, and keys to press."""

    def __init__(
        self, *arguments: str, env: Mapping[str, str] | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        import pty

        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, *command, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(**env or {}),
            start_new_session=True,
        )
        os.close(theirs)
        self.shown = ""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def wait_for(self, text: str, seconds: float = SECONDS) -> str:
        """Wait until a text is shown that was not waited for before; returns all that came up to it."""
        end = time.monotonic() + seconds
        while (at := self.shown.find(text, self._seen)) < 0:
            assert self._read(end), f"{text!r} was not shown after {self.shown[self._seen :]!r}"
        before, self._seen = self.shown[self._seen : at + len(text)], at + len(text)
        return before

    def press(self, keys: str) -> None:
        """Press keys; "\\x03" is Ctrl-C, "\\x04" Ctrl-D."""
        os.write(self._ours, keys.encode())

    def wait(self, seconds: float = SECONDS) -> int:
        """Wait for the end; returns the exit code."""
        end = time.monotonic() + seconds
        while self._read(end):
            pass
        return self.process.wait(max(0.1, end - time.monotonic()))

    def _read(self, end: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # the other side is closed
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


def plain(text: str) -> str:
    """What a terminal shows, without colours and with plain line ends."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r\n", "\n")
