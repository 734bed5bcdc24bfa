"""What a process has one of: made once, made anew by a forked child, put away at the end."""

import os
import subprocess
import sys
import textwrap
import threading

import pytest

from freeproviders.process import PerProcess


def test_made_once_and_again_when_it_is_of_no_use():
    """Many threads get one value; one that is of no use any more is replaced."""
    made, usable = [], set()

    def make():
        made.append(len(made) + 1)
        usable.add(made[-1])
        return made[-1]

    one = PerProcess(make, usable=lambda value: value in usable)
    got = []
    together = threading.Barrier(8)

    def get():
        together.wait(5)
        got.append(one.get())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert got == [1] * 8
    usable.clear()
    assert (one.get(), one.get()) == (2, 2)


def test_what_cannot_be_made_is_tried_again():
    """An error of `make` is its caller's, and the next caller's turn comes."""
    answers = iter([OSError("no"), "yes"])

    def make():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    one = PerProcess(make)
    with pytest.raises(OSError, match="no"):
        one.get()
    assert one.get() == "yes"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fork_and_exit():
    """A child makes its own value, though a thread of the parent held the lock.

    Only what a process has made is put away by it.
    """
    code = """
        import os, sys, threading
        from freeproviders.process import PerProcess
        say = lambda *words: (print(*words), sys.stdout.flush())
        one = PerProcess(lambda: [os.getpid()], after_fork=lambda value: value.append("inherited"),
                         at_exit=lambda value: say("end", value == [os.getpid()]))
        never = PerProcess(list, at_exit=lambda value: say("never"))
        mine = one.get()
        one._lock.acquire()
        pid = os.fork()
        if pid == 0:
            say("child", one.get() is not mine, one.get() == [os.getpid()], mine[1:])
            sys.exit()
        os.waitpid(pid, 0)
        one._lock.release()
        say("parent", one.get() is mine, mine == [os.getpid()])
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "child True True ['inherited']",
        "end True",
        "parent True True",
        "end True",
    ]
