"""Ctrl-C at a prompt: never lost, never twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.command import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")

# Presses Ctrl-C where readline has shown its prompt and does not wait yet. There Python notes the
# signal and goes on: the hook is called by C and calls C, so no line of Python runs after it and
# sees the note.
EARLY = """
import ctypes, functools, readline, signal
from freeproviders.cli.interrupt import interruptible

send = ctypes.CDLL(None)["raise"]
early = ctypes.CFUNCTYPE(ctypes.c_int)(functools.partial(send, signal.SIGINT))
hook = ctypes.c_void_p.in_dll(ctypes.CDLL(readline.__file__), "rl_pre_input_hook")
for turn in range(20):
    hook.value = ctypes.cast(early, ctypes.c_void_p).value
    try:
        with interruptible():
            print("answered", input("> "))
    except KeyboardInterrupt:
        print("interrupted", turn)
hook.value = None
with interruptible():
    print("answered", input("> "))
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("handler back", signal.set_wakeup_fd(-1))
"""


def program(tmp_path: Path, text: str) -> Terminal:
    path = tmp_path / "program.py"
    path.write_text(text)
    return Terminal(command=(sys.executable, "-X", "dev", str(path)), env={"TERM": "dumb"})


def test_pressed_before_the_wait_begins(tmp_path: Path) -> None:
    """Each one ends its prompt, and none of them the next prompt."""
    with program(tmp_path, EARLY) as at:
        for turn in range(20):
            at.wait_for(f"interrupted {turn}\r\n")
        at.wait_for("> ")
        at.press("Hello\n")
        at.wait_for("answered Hello")
        at.wait_for("handler back -1")
        assert at.wait() == 0
    assert "Traceback" not in at.shown


FOREIGN = """
import signal, threading
from freeproviders.cli.interrupt import interruptible

def handler(*_): print("theirs")
signal.signal(signal.SIGINT, handler)
with interruptible():
    assert signal.getsignal(signal.SIGINT) is handler
signal.signal(signal.SIGINT, signal.default_int_handler)
def elsewhere():
    with interruptible():
        print("no handler from here", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
"""


def test_a_handler_of_the_users_stays(tmp_path: Path) -> None:
    """Nothing is changed where SIGINT is somebody's, nor from another thread."""
    with program(tmp_path, FOREIGN) as at:
        at.wait_for("no handler from here True")
        assert at.wait() == 0
    assert "Traceback" not in at.shown
