"""The default provider, with the smallest of the real models."""

from __future__ import annotations

import json
import sys

import pytest

from tests.cli.command import Terminal, run
from tests.cli.test_replica_command import running

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]
SMALL = "smollm2-135m"


def test_pulling_checks_the_file_that_is_here() -> None:
    first, second = (run("models", "pull", SMALL) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0)
    assert first.stdout == second.stdout
    assert (
        second.stderr.decode() == f"The model {SMALL} is already here and intact: its SHA-256 was checked.\n"
    )


def test_it_answers_without_a_provider_named() -> None:
    assert run("models", "pull", SMALL).returncode == 0
    done = run("chat", "--json", "--max-tokens", "8", "Say hello.", env={"FREEPROVIDERS_MODEL": SMALL})
    said = f"Asking Embedded {SMALL}, on this machine.\n"
    assert (done.returncode, done.stderr.decode()) == (0, said)
    document = json.loads(done.stdout)
    assert document["text"].strip()
    assert (document["provider"], document["model"]) == ("Embedded", SMALL)
    assert 0 < document["usage"]["output_tokens"] <= 8


def test_a_file_is_a_model_too() -> None:
    path = run("models", "pull", SMALL).stdout.decode().strip()
    done = run(
        "chat", "--model", path, "--max-tokens", "4", "--temperature", "0", "Count from one to a hundred."
    )
    assert (done.returncode, done.stderr.decode()) == (0, "(The answer stopped at its length limit.)\n")
    assert done.stdout.strip()


def test_it_speaks_another_protocol() -> None:
    assert run("models", "pull", SMALL).returncode == 0
    log = "POST /v3/chat-anonymous 200\n"
    with running("flow-gpt", "--backend", "embedded", "--model", SMALL, log=log) as command:
        done = run(*command)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.strip()


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_control_c_stops_it() -> None:
    assert run("models", "pull", SMALL).returncode == 0
    with Terminal("chat", "--model", SMALL, env={"TERM": "dumb"}) as at:
        at.wait_for("> ")
        at.press("Write a long story about the sea, chapter after chapter.\n")
        at.wait_for("the ")  # of the echo
        at.wait_for(" the ")
        at.press("\x03")
        at.wait_for("(Stopped.)")
        at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0
