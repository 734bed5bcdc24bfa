"""The parent's side of the engine: one child process for each model and its settings.

All users in a process share the child, which ends with the process: its standard input is a pipe
from here, so that it ends also when this process is killed. A forked process does not use the
children of its parent and starts its own when it needs one.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

from freeproviders import journal
from freeproviders.embedded import engine
from freeproviders.embedded.children import OWN_GROUP
from freeproviders.embedded.cores import usable_cores
from freeproviders.errors import EmbeddedModelError, MissingDependencyError
from freeproviders.installing import with_extra
from freeproviders.naming import argument
from freeproviders.process import PerProcess

READY_SECONDS: Final = 180.0
STOP_SECONDS: Final = 2.0
IDLE_SECONDS: Final = 300
SLOTS: Final = 2
_ERROR_BYTES: Final = 1 << 16
_EXCERPT_CHARS: Final = 400
_ILLEGAL_INSTRUCTION: Final = 0xC000001D  # Windows' SIGILL


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """The settings of a child; equal settings share one child.

    `context` is the tokens that each of the `slots` (answers at the same time) has. After `idle`
    seconds without a request the weights leave the memory. `threads` None is all cores but one.
    With `pooling` ("mean", "cls" or "last") the child makes vectors, else it answers questions.
    """

    model: Path
    alias: str
    context: int
    slots: int = SLOTS
    idle: int = IDLE_SECONDS
    threads: int | None = None
    pooling: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the settings as the child reads them."""
        # One core is left to others: without it, generation collapses on a busy machine.
        threads = self.threads or max(1, usable_cores() - 1)
        return {
            "model": str(self.model),
            "alias": self.alias,
            "context": self.context,
            "slots": self.slots,
            "idle": self.idle,
            "threads": threads,
            "pooling": self.pooling,
        }


class EngineServer:
    """A running child: its address and key. `ensure_server` makes it."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, key: str) -> None:
        self._process = process
        self.address = address
        self.api_key = key

    def __repr__(self) -> str:
        return f"<EngineServer {self.address} pid={self.pid} {'alive' if self.alive else 'ended'}>"

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True while the child runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the child; this takes some seconds at most."""
        _end(self._process)


# --- the servers of this process ------------------------------------------------------------------


class _Engines:
    """The servers of a process, by what they were started with, and all its children."""

    def __init__(self) -> None:
        self.servers: dict[EngineSettings, Future[EngineServer]] = {}
        self.children: set[subprocess.Popen[bytes]] = set()
        self.lock = threading.Lock()

    def close(self) -> None:
        with self.lock:
            futures = list(self.servers.values())
            self.servers.clear()
        for future in futures:
            if future.done() and future.exception() is None:
                future.result().close()

    def let_go(self) -> None:
        """In the child of a fork: untie the parent's children from this process."""
        for process in self.children:
            if process.stdin is not None:
                process.stdin.close()  # a copy of the parent's pipe: only the parent's life counts
            process.returncode = process.returncode or 0  # only the parent can wait for it


# The requests to the engines are cancelled before the engines end.
_engines: Final = PerProcess(_Engines, after_fork=_Engines.let_go, at_exit=_Engines.close, last=True)


async def ensure_server(settings: EngineSettings, *, instead_of: EngineServer | None = None) -> EngineServer:
    """Return the running server for these settings; start it if there is none.

    However many ask at once, one is started, on a thread of its own. `instead_of` is a server that
    no longer answers: it is ended and replaced, unless another caller has done so already.
    Raises `EmbeddedModelError` or `MissingDependencyError`.
    """
    return await asyncio.wrap_future(_future(settings, instead_of))


def running_server(settings: EngineSettings) -> EngineServer | None:
    """Return the server for these settings if it runs now, else None."""
    engines = _engines.get()
    with engines.lock:
        future = engines.servers.get(settings)
    return future.result() if future is not None and future.done() and _usable(future, None) else None


def close_servers() -> None:
    """End all children; the next use starts new ones."""
    _engines.get().close()


def _future(settings: EngineSettings, instead_of: EngineServer | None) -> Future[EngineServer]:
    engines = _engines.get()
    with engines.lock:
        previous = engines.servers.get(settings)
        if previous is not None and (not previous.done() or _usable(previous, instead_of)):
            return previous
        future = engines.servers[settings] = Future()
        # From here on, a waiter that gives up cannot cancel the start for the others.
        future.set_running_or_notify_cancel()
    # Daemonic, so that a program that ends meanwhile is not held up: the child then ends with it.
    thread = threading.Thread(
        target=_start_into, args=(future, settings, previous), name="freeproviders-engine-start", daemon=True
    )
    try:
        thread.start()
    except RuntimeError as error:  # the interpreter is shutting down
        future.set_exception(error)
    return future


def _usable(future: Future[EngineServer], instead_of: EngineServer | None) -> bool:
    return future.exception() is None and future.result() is not instead_of and future.result().alive


def _start_into(
    future: Future[EngineServer], settings: EngineSettings, previous: Future[EngineServer] | None
) -> None:
    try:
        if previous is not None and previous.exception() is None:
            previous.result().close()  # dead or silent, and its pipe is still open here
        server = start_server(settings)
    except BaseException as error:  # noqa: BLE001 - waiting callers get it
        future.set_exception(error)
    else:
        future.set_result(server)
        engines = _engines.get()
        with engines.lock:
            kept = engines.servers.get(settings) is future
        if not kept:
            server.close()  # closed while it was starting


# --- starting and ending one ----------------------------------------------------------------------


def engine_folder() -> Path:
    """Return the folder that the engine is imported from. Raises `MissingDependencyError`.

    Callers ask before they fetch half a gigabyte of weights for it.
    """
    found = importlib.util.find_spec("xllamacpp")
    if found is None or found.origin is None:
        raise MissingDependencyError("The embedded model needs its engine.", advice=with_extra("embedded"))
    return Path(found.origin).parent.parent


def start_server(settings: EngineSettings, *, ready_seconds: float = READY_SECONDS) -> EngineServer:
    """Start a child and wait until its model is loaded. Blocks.

    Raises `EmbeddedModelError` or `MissingDependencyError`.
    """
    folder = engine_folder()
    if not sys.executable:
        raise EmbeddedModelError(
            "The embedded model needs a child process, and sys.executable of this Python is empty.",
            model=settings.alias,
        )
    told = json.dumps({**settings.arguments(), "path": str(folder)})
    key = secrets.token_urlsafe(24)
    began = monotonic()
    size = (settings.alias, settings.context, settings.slots)
    journal.embedded.info("Starting the engine for %s: a context of %d tokens in each of %d slots", *size)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - a file of this package
            [sys.executable, "-P", str(Path(engine.__file__).resolve()), told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, engine.ENV_KEY: key},
            **OWN_GROUP,
        )
        _engines.get().children.add(process)
        try:
            report, in_time = _read_report(process, ready_seconds)
            if "address" in report:
                facts = (settings.alias, monotonic() - began, process.pid)
                journal.embedded.info("The engine for %s is ready after %.2f s: process %d", *facts)
                return EngineServer(process, str(report["address"]), key)
        except BaseException:
            _end(process)
            raise
        _end(process)
        errors.seek(0)
        said = errors.read(_ERROR_BYTES).decode("utf-8", "replace").strip()
    if not in_time:
        raise EmbeddedModelError(
            f"The engine was not ready after {ready_seconds:g} s and has been ended.",
            model=settings.alias,
            advice="The model may be too large for this machine: use a smaller one.",
        )
    raise _explained(process.returncode, report, said, settings)


def _read_report(process: subprocess.Popen[bytes], seconds: float) -> tuple[dict[str, Any], bool]:
    """Return the child's one line, empty if it ended without one, and whether that was in time.

    A child that is late has been killed.
    """
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    late = threading.Event()

    def kill() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
        process.stdout.close()
    try:
        report = json.loads(line)
    except ValueError:
        report = {}
    return report, not late.is_set()


def _explained(code: int, report: dict[str, Any], said: str, settings: EngineSettings) -> EmbeddedModelError:
    """Return the error for a child that ended before it was ready."""
    complaint = str(report.get("error") or " ".join(said.split())[-_EXCERPT_CHARS:])
    advice = ""
    if report.get("kind") == "import":
        message = f"The engine xllamacpp cannot be loaded: {complaint}."
        if "libgomp" in complaint:
            advice = "Install libgomp1 (apt-get install libgomp1, or libgomp with dnf and apk)."
    elif report.get("kind") == "load":
        # A line of llama.cpp's log is time, level and text; the first error is the cause.
        first = said.partition("\n")[0].rpartition(" E ")[2]
        cause = (first or complaint)[:_EXCERPT_CHARS].rstrip(".")
        message = f"The engine cannot load {settings.model}: {cause}."
        advice = (
            "If the file is damaged, delete it and download it again. Else it may be a kind of model "
            "that this version of llama.cpp does not know, or there is too little memory: "
            f"use a smaller {argument('context_window')} or model."
        )
    elif code in {-signal.SIGILL, _ILLEGAL_INSTRUCTION}:
        message = "The engine used an instruction that this processor lacks: its wheels need AVX2 and FMA."
        advice = "Build xllamacpp from source here, or use a provider that is reached over the network."
    elif code == -getattr(signal, "SIGKILL", 9):
        message = "The engine was killed while it loaded the model, probably because the memory ran out."
        advice = f"Use a smaller {argument('model')} or {argument('context_window')}."
    else:
        message = f"The engine ended with code {code} before it was ready: {complaint or 'no output'}."
    return EmbeddedModelError(message, model=settings.alias, advice=advice)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the child's pipe, and kill it if it does not end by itself."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _engines.get().children.discard(process)
    journal.embedded.info("The engine of process %d has ended", process.pid)
