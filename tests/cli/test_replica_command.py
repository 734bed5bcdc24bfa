"""`freeproviders replica`, run by hand: what it prints can be pasted, and works."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from freeproviders.testing.faults import FAULT_NAMES
from freeproviders.testing.services import SLUGS
from tests.cli.command import run, start
from tests.devmode import complaints


@contextmanager
def running(*arguments: str, log: str = "") -> Iterator[list[str]]:
    """A replica; gives the command that it says to paste, ends it with Ctrl-C, and compares its log."""
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
        said = re.sub(r" \d+\.\d\d s\b", "", err.decode())
        assert (process.returncode, complaints(said)) == (0, f"Ctrl-C ends it.\n{log}".splitlines())


@pytest.mark.parametrize("slug", SLUGS)
def test_the_printed_command_gets_the_given_answer(slug: str) -> None:
    paths = {
        "free-netfly": ["POST /api/openai/v1/chat/completions"],
        "chatgpt-free": ["GET /", "POST /wp-admin/admin-ajax.php"],
        "flow-gpt": ["POST /v3/chat-anonymous"],
        "ai-chat-free": ["POST /api/generate"],
        "openai-compatible": ["POST /v1/chat/completions"],
    }
    log = "".join(f"{line} 200\n" for line in paths[slug])  # a server that is silent is hard to look into
    with running(slug, "--backend", "So it is.", log=log) as command:
        done = run(*command)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"So it is.\n", b"")


def test_a_service_of_the_catalogue() -> None:
    """The printed command is admitted as often as the limits say."""
    log = "POST /openai/v1/chat/completions 200\n" * 2
    with running("--service", "groq", "--limits", '{"requests/minute": 2}', log=log) as command:
        assert [run(*command).stdout for _ in range(2)] == [b"Hello\n"] * 2


def test_a_file_of_a_service(tmp_path: Path) -> None:
    path = tmp_path / "corner.toml"
    path.write_text(
        'name = "Corner"\nbase_url = "https://corner.example/v2"\nkey = "none"\nchecked = 2026-11-20\n'
        'source = "mine"\nerror = [{ kind = "region", status = 403 }]\n'
    )
    log = "POST /v2/chat/completions 403: fault sign=0\nPOST /v2/chat/completions 200\n"
    with running("--service", str(path), "--faults", '[{"sign": 0}]', log=log) as command:
        assert b"403" in run(*command).stderr
        assert run(*command).stdout == b"Hello\n"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "or a service with --service"),
        (["flow-gpt", "--service", "groq"], "or a service with --service"),
        (["--service", "groqq"], "Did you mean 'groq'?"),
        (["--service", "groq", "--limits", "{"], "This is not JSON"),
        (["--service", "groq", "--limits", "[3]"], "It must be an object, or false"),
        (["--service", "groq", "--limits", '{"rpm": 3}'], "a limit is named as"),
        (["--service", "groq", "--faults", '{"sign": 99}'], "signs, numbered from 0"),
        (["flow-gpt", "--limits", "false"], "Only a --service has limits"),
    ],
)
def test_services_that_are_none(options: list[str], complaint: str) -> None:
    done = run("replica", "--port", "0", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert complaint in " ".join(done.stderr.decode().replace("│", " ").split())


def test_the_echo_is_the_default_and_a_quiet_one_logs_nothing() -> None:
    with running("FlowGpt", "--quiet") as command:
        assert run(*command).stdout == b"Hello\n"


def test_a_refusal_is_told_with_its_reason() -> None:
    log = "POST /v3/chat-anonymous 403: Header Accept-Language is missing\n"
    with running("FlowGpt", log=log) as command:
        url = urlsplit(command[command.index("--base-url") + 1])
        connection = http.client.HTTPConnection(url.netloc, timeout=30)
        connection.request("POST", "/v3/chat-anonymous", b"{}", {"Accept": "*/*"})
        assert connection.getresponse().status == 403
        connection.close()


@pytest.mark.parametrize("way", ["--fault", "a file"])
def test_faults_from_the_shell(way: str, tmp_path: Path) -> None:
    log = (
        "POST /v3/chat-anonymous 503: fault status=503,retry_after=0\n"
        "POST /v3/chat-anonymous 502: fault status=502\n"
        "POST /v3/chat-anonymous 200\n"
    )
    specs = [{"status": 503, "retry_after": 0}, {"status": 502}]
    if way == "--fault":
        options = ["--fault", "status=503,retry_after=0", "--fault", "502"]
    else:
        (tmp_path / "faults.json").write_text(json.dumps(specs))
        options = ["--faults", str(tmp_path / "faults.json")]
    with running("FlowGpt", *options, log=log) as command:
        assert run(*command).stdout == b"Hello\n"  # tried again


def test_a_client_that_leaves_is_told() -> None:
    log = "POST /v3/chat-anonymous 200: fault stall=0; the client left\n"
    with running("FlowGpt", "--fault", "stall=0", "--always", log=log) as command:
        assert run(*command, "--timeout", "1").returncode == 1


def test_the_faults_of_a_protocol_are_listed() -> None:
    """What the protocol has a place for, and what it does, from the one table of all."""
    done = run("replica", "flow-gpt", "--fault", "list")
    said = done.stdout.decode()
    assert done.returncode == 0
    assert re.search(r"^stall +n pieces +then silence, with the connection open", said, re.MULTILINE)
    assert "nonce_expired" not in said
    assert "nonce_expired" in run("replica", "chatgpt-free", "--fault", "list").stdout.decode()
    done = run("replica", "--fault", "list")  # of all
    names = {line.split(" ", 1)[0] for line in done.stdout.decode().splitlines()}
    assert done.returncode == 0
    assert set(FAULT_NAMES) <= names
    assert run("replica", "nobody", "--fault", "list").returncode == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--fault", "no_such"], "Unknown fault 'no_such'"),
        (["--fault", "pace=fast"], "Fault 'pace' takes a number"),
        (["--fault", "{"], "This cannot be read"),
        (["--fault", "503", "--faults", "[]"], "not both"),
        (["--share", "0.3"], "It needs a --fault"),
        (["--always"], "It needs a --fault"),
        (["--fault", "503", "--fault", "drop", "--always"], "It takes one --fault"),
    ],
)
def test_words_of_faults_that_are_none(options: list[str], complaint: str) -> None:
    done = run("replica", "flow-gpt", "--port", "0", *options)
    assert (done.returncode, done.stdout) == (2, b"")
    assert complaint in " ".join(done.stderr.decode().replace("│", " ").split())


@pytest.mark.parametrize(
    ("faults", "complaint"),
    [
        ("{", "This is not JSON"),
        ("3", "It must be an object or a list of objects"),
        ('{"no_such": 1}', "Unknown fault 'no_such'"),
        ('{"nonce_expired": "-1"}', "FlowGpt has no place for the fault 'nonce_expired'"),
    ],
)
def test_faults_that_are_none(faults: str, complaint: str) -> None:
    done = run("replica", "flow-gpt", "--port", "0", "--faults", faults)
    assert (done.returncode, done.stdout) == (2, b"")
    assert complaint in " ".join(done.stderr.decode().replace("│", " ").split())


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done: subprocess.CompletedProcess[bytes] = run("replica", "flow-gpt", "--port", port)
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"Error: Port {port} cannot be used")
