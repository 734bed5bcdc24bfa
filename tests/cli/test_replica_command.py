"""`freeproviders replica`, run by hand: what it prints can be pasted, and works."""

from __future__ import annotations

import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from freeproviders.testing.services import SLUGS
from tests.cli.command import run, start


@contextmanager
def running(*arguments: str) -> Iterator[list[str]]:
    """A replica; gives the command that it says to paste, and ends it with Ctrl-C."""
    with start("replica", *arguments, "--port", "0") as process:
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, b"")
            command = next(
                line.decode().strip() for line in lines if line.startswith(b"    freeproviders chat ")
            )
            yield shlex.split(command)[1:]
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert (process.returncode, err.decode()) == (0, "Ctrl-C ends it.\n")


@pytest.mark.parametrize("slug", SLUGS)
def test_the_printed_command_gets_the_given_answer(slug: str) -> None:
    with running(slug, "--backend", "So it is.") as command:
        done = run(*command)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"So it is.\n", b"")


def test_the_echo_is_the_default() -> None:
    with running("FlowGpt") as command:
        assert run(*command).stdout == b"Hello\n"


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done: subprocess.CompletedProcess[bytes] = run("replica", "flow-gpt", "--port", port)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"Error: Port {port} cannot be used")
