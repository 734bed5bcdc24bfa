"""Ctrl-C at a prompt, also where Python loses it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_PATIENCE: Final = 0.05
"""Seconds that a signal may take to be noticed in the ordinary way, before it is sent again."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt` once, also just before the wait begins.

    `input` waits in `select`, and looks for a signal only where `select` was interrupted by it. A
    signal that comes earlier, while readline shows the prompt or a key, is noted by Python and
    stays unseen until the next key. So a thread that is woken by each signal sends it again until
    it has been noticed.

    Does nothing on another thread than the main one, on Windows, or where SIGINT has another
    handler.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or not hasattr(signal, "pthread_kill")
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    noticed, over = threading.Event(), threading.Event()
    presses: list[int] = []

    def notice(number: int, _: FrameType | None) -> None:
        if presses:
            return  # a signal that was sent again is the same Ctrl-C
        presses.append(number)
        noticed.set()
        if not over.is_set():
            raise KeyboardInterrupt

    def repeat() -> None:
        while (
            os.read(reading, 64) and not over.is_set()
        ):  # ends with an empty read where the other end is closed
            while not noticed.wait(_PATIENCE) and not over.is_set():
                signal.pthread_kill(main, signal.SIGINT)

    main = threading.get_ident()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    repeater = threading.Thread(target=repeat, name="freeproviders-interrupt", daemon=True)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, notice)
    try:
        repeater.start()
        yield
    finally:
        over.set()
        raised = bool(presses)
        noticed.set()  # ends a wait of the thread's
        signal.set_wakeup_fd(before)
        os.close(writing)
        repeater.join()
        os.close(reading)
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if presses and not raised:  # pressed while all this was put back
        raise KeyboardInterrupt
