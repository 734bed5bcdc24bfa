"""Run blocks of Python one after the other, as somebody would who pastes them from the page.

    python -m tests.docs.run_blocks < [{"where": ..., "code": ..., "needs": [...], "last": true}, ...]

Each block is the main program, with names of its own unless the one before is not the last of its session.
Printed is a list with, for each block, what it printed and what went wrong. Nothing but this machine can be
reached.
"""

import asyncio
import contextlib
import gc
import io
import ipaddress
import json
import linecache
import os
import shutil
import sys
import tempfile
import traceback
import types
from pathlib import Path

from tests.docs.answers import FILES, answer

ROOT = Path(__file__).parents[2]


def only_this_machine(event, arguments):
    """Refuse a connection to another host, and a question for its address."""
    if event == "socket.connect":
        host = arguments[1][0] if isinstance(arguments[1], tuple) else "127.0.0.1"
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host or "127.0.0.1").is_loopback:
            return
    if host != "localhost":
        message = f"A block of the documentation asks {host}."
        raise RuntimeError(message)


class Session:
    """The names that blocks share, and what is there for them until a block begins anew."""

    def __init__(self):
        self.main = types.ModuleType("__main__")
        self.around = contextlib.ExitStack()
        self.environment = dict(os.environ)

    def needs(self, need):
        """Provide a variable, a replica, a file of the clone or a model's file."""
        name, is_variable, value = need.partition("=")
        if need == "nothing":
            return
        if is_variable:
            os.environ[name] = value
        elif need.startswith("replica "):
            from freeproviders.testing import replica

            service = need.removeprefix("replica ")
            server = self.around.enter_context(replica(service=service, answer=answer))
            os.environ[f"{service.upper()}_API_BASE"] = server.base_url
            os.environ[f"{service.upper()}_API_KEY"] = "a-key-of-the-page"
        elif need in FILES:
            Path(need).write_text(FILES[need], encoding="utf-8")
        elif (ROOT / need).is_file():
            Path(need).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / need, need)
        else:
            from tests.embedded.tiny_bert import written

            written(Path.cwd()).rename(need)

    def close(self):
        """Forget the names, end the replicas, and put the environment back."""
        self.main.__dict__.clear()
        gc.collect()
        self.around.close()
        os.environ.clear()
        os.environ.update(self.environment)


def run(block, session):
    """Run one block; return what it printed and what went wrong."""
    where, code = block["where"], block["code"]
    linecache.cache[where] = (len(code), None, code.splitlines(keepends=True), where)
    said, complained = io.StringIO(), io.StringIO()
    failed = ""
    for need in block["needs"]:
        session.needs(need)
    session.main.__file__ = where
    before, sys.modules["__main__"] = sys.modules["__main__"], session.main
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        try:
            exec(compile(code, where, "exec", dont_inherit=True), session.main.__dict__)  # noqa: S102 - ours
        except BaseException:
            failed = traceback.format_exc()
        if block["last"]:
            session.close()
    sys.modules["__main__"] = before
    return {"where": where, "said": said.getvalue(), "complained": complained.getvalue(), "failed": failed}


def run_all(blocks):
    """Run blocks, each in a session of its own but for those that continue one."""
    session = Session()
    for block in blocks:
        yield run(block, session)
        if block["last"]:
            session = Session()


if __name__ == "__main__":
    todo = json.load(sys.stdin)
    sys.addaudithook(only_this_machine)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        done = list(run_all(todo))
    asyncio.set_event_loop(None)
    print(json.dumps(done))
