"""Run blocks of Python one after the other, as somebody would who pastes them from the page.

    python -W always -m tests.docs.run_blocks < [{"where": ..., "code": ..., "needs": [...]}, ...]

Each block is the main program, with names of its own. Printed is a list with, for each block, what it printed
and what went wrong. Nothing but this machine can be reached.
"""

import asyncio
import contextlib
import gc
import io
import ipaddress
import json
import linecache
import os
import sys
import tempfile
import traceback
import types
from pathlib import Path


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


def run(block):
    """Run one block; return what it printed and what went wrong."""
    where, code = block["where"], block["code"]
    linecache.cache[where] = (len(code), None, code.splitlines(keepends=True), where)
    main = types.ModuleType("__main__")
    main.__file__ = where
    said, complained = io.StringIO(), io.StringIO()
    before = sys.modules["__main__"], dict(os.environ)
    sys.modules["__main__"] = main
    failed = ""
    for need in block["needs"]:
        name, is_variable, value = need.partition("=")
        if is_variable:
            os.environ[name] = value
        else:
            from tests.embedded.tiny_bert import written

            written(Path.cwd()).rename(name)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        try:
            exec(compile(code, where, "exec", dont_inherit=True), main.__dict__)  # noqa: S102 - our own pages
        except BaseException:
            failed = traceback.format_exc()
        main.__dict__.clear()
        gc.collect()
    sys.modules["__main__"] = before[0]
    os.environ.clear()
    os.environ.update(before[1])
    return {"where": where, "said": said.getvalue(), "complained": complained.getvalue(), "failed": failed}


if __name__ == "__main__":
    todo = json.load(sys.stdin)
    sys.addaudithook(only_this_machine)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        done = [run(block) for block in todo]
    asyncio.set_event_loop(None)
    print(json.dumps(done))
