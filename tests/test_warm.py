"""A fork of a process that has loaded the packages ends as a fresh interpreter does."""

import subprocess
import sys

import pytest

from tests import warm

pytestmark = pytest.mark.skipif(not warm.AVAILABLE, reason="each program is a fresh interpreter here")

PROGRAMS = {
    "streams": "import os, sys; print(sys.stdin.read().upper()); print(os.environ['SAID'], file=sys.stderr)",
    "a code": "import sys; sys.exit(7)",
    "a message": "import sys; sys.exit('Too bad.')",
    "an error": "print(1 / 0)",
    "the end": "import atexit; atexit.register(print, 'the last word'); print('the first word')",
    "a thread": "import threading, time; threading.Thread(target=lambda: print('at last')).start()",
    "a socket left open": "import socket\ndef f():\n    a = [socket.socket()]; a.append(a)\nf()",
    "a name": "import sys; print(__name__, sys.argv, sys.flags.dev_mode, sys.stdout.encoding)",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_it_ends_like_a_fresh_interpreter(program):
    env = {"SAID": "äh", "PYTHONIOENCODING": "utf-8", "PYTHONPATH": ""}
    arguments = ["-c", program, "more"]
    real = subprocess.run(
        [sys.executable, "-X", "dev", *arguments],
        input="ä\n".encode(),
        capture_output=True,
        env=env,
        check=False,
    )
    fork = warm.command_line().run(arguments, stdin="ä\n".encode(), env=env)
    assert (fork.returncode, fork.stdout) == (real.returncode, real.stdout)
    last = [said.stderr.decode().splitlines()[-1:] for said in (fork, real)]
    assert last[0] == last[1] or "unclosed <socket.socket fd=" in last[0][0]
    assert bool(fork.stderr) == bool(real.stderr)


def test_what_does_not_end_is_killed():
    with pytest.raises(subprocess.TimeoutExpired):
        warm.command_line().run(["-c", "import signal; signal.pause()"], seconds=0.1)
