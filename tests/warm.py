"""Python programs run in forks of one process that has loaded the packages already.

A fresh interpreter takes half a second of a core to load them; a fork takes some milliseconds. Each
program is still a process of its own, with its own streams, environment, exit and exit code. What is
loaded when is not to be tested with it: that takes a fresh interpreter.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import types
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

AVAILABLE = hasattr(os, "fork") and hasattr(socket, "recv_fds") and sys.platform != "darwin"
"""Whether processes can be forked here: elsewhere each program is a fresh interpreter."""
_LENGTH = 8
_READ = 1 << 16


class Warm:
    """A process that has loaded modules, and runs programs in forks of itself."""

    def __init__(self, modules: Iterable[str], flags: Sequence[str] = ()) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *flags, "-c", _SERVER, str(theirs.fileno()), *modules],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._ours = ours
        self._lock = threading.Lock()
        self._owner = os.getpid()
        atexit.register(self.close)

    def close(self) -> None:
        """End the process; the programs that run are left alone."""
        if os.getpid() == self._owner:
            self._ours.close()
            self._process.wait()

    def run(
        self,
        arguments: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        seconds: float = 60.0,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run what `python ...` runs with such arguments (`-m module ...` or `-c code ...`) to its end."""
        (in_read, in_write), (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe(), os.pipe()
        conn, theirs = socket.socketpair()
        order = json.dumps(
            [list(arguments), dict(os.environ if env is None else env), str(Path.cwd())]
        ).encode()
        with self._lock:  # the descriptors travel with the first byte of the order
            fds = array.array("i", [theirs.fileno(), in_read, out_write, err_write])
            self._ours.sendmsg(
                [len(order).to_bytes(_LENGTH, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]
            )
        theirs.close()
        for end in (in_read, out_write, err_write):
            os.close(end)
        with conn:
            conn.sendall(order)
            pid = int(_exactly(conn, _LENGTH))
            conn.settimeout(seconds)
            said: dict[int, bytes] = {}
            threads = [
                threading.Thread(target=_put, args=(in_write, stdin), daemon=True),
                threading.Thread(target=lambda: said.__setitem__(out_read, _all(out_read)), daemon=True),
                threading.Thread(target=lambda: said.__setitem__(err_read, _all(err_read)), daemon=True),
            ]
            for thread in threads:
                thread.start()
            try:
                status = int(_exactly(conn, _LENGTH))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(arguments), seconds) from None
            for thread in threads:
                thread.join()
        return subprocess.CompletedProcess(list(arguments), status, said[out_read], said[err_read])


@cache
def command_line() -> Warm:
    """The process behind the command line's tests, in Python's development mode."""
    import freeproviders

    ours = (module.name for module in pkgutil.walk_packages(freeproviders.__path__, "freeproviders."))
    return Warm(
        ["sqlite3", "pydantic.main", "rich.progress", *(name for name in ours if "__main__" not in name)],
        flags=["-X", "dev"],
    )


def _put(fd: int, data: bytes) -> None:
    """Write all of it and close; the reader may leave before."""
    with open(fd, "wb", buffering=0) as file, contextlib.suppress(BrokenPipeError):
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]


def _all(fd: int) -> bytes:
    with open(fd, "rb") as file:
        return file.read()


def _exactly(conn: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = conn.recv(size - len(data))
        if not more:
            raise EOFError("The process that forks is gone.")
        data += more
    return data


# ---------------------------------------------------------------- in the process that forks

_SERVER = "import sys; from tests.warm import serve; serve(int(sys.argv[1]), sys.argv[2:])"


def serve(control: int, modules: Sequence[str]) -> None:
    """Load the modules, then fork a process for each order, until the tests are gone."""
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the programs' collectors need not look at what is loaded
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    with socket.socket(fileno=control) as orders:
        while True:
            head, fds, _, _ = socket.recv_fds(orders, _LENGTH, 4)
            if not head:
                return
            if os.fork() == 0:
                orders.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                program = _keep(int.from_bytes(head, "big"), *fds)
                break  # this process is the program
            for fd in fds:
                os.close(fd)
    _become(*program)


def _keep(size: int, connection: int, *streams: int) -> tuple[list[str], dict[str, str], str]:
    """Fork the program and tell its process id and its end; in the program, returns what it is to be."""
    with socket.socket(fileno=connection) as conn:
        arguments, env, folder = json.loads(_exactly(conn, size))
        pid = os.fork()
        if pid:
            for stream in streams:
                os.close(stream)
            status = 1
            with contextlib.suppress(OSError):  # the tests may be gone
                conn.sendall(b"%08d" % pid)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                conn.sendall(b"%8d" % status)
            os._exit(0)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    return arguments, env, folder


def _become(arguments: list[str], env: dict[str, str], folder: str) -> NoReturn:
    """Run the program as a fresh interpreter would, and end this process.

    Threads are waited for, handlers of the end are run and garbage is collected, so that what was
    left open is complained of. The modules are not taken apart, which would cost most of what a
    fork saves.
    """
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = sys.__stdin__ = _stream(0, "r")
    sys.stdout = sys.__stdout__ = _stream(1, "w")
    sys.stderr = sys.__stderr__ = _stream(2, "w", errors="backslashreplace", buffering=1)
    status = 1
    try:
        _execute(*arguments)
        status = 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            status = end.code or 0
        else:
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        sys.excepthook(*sys.exc_info())
    threading._shutdown()
    atexit._run_exitfuncs()
    gc.collect()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = 120  # an interpreter's own code for it
    os._exit(status)


def _stream(number: int, mode: str, *, buffering: int = -1, errors: str | None = None) -> Any:
    return open(number, mode, buffering, encoding="utf-8", errors=errors, closefd=False)


def _execute(kind: str, what: str, *rest: str) -> None:
    sys.argv = [kind, *rest]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
        return
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    exec(compile(what, "<string>", "exec"), main.__dict__)  # noqa: S102 - it is what `-c` does
