"""`-v`: what the core logs, on the standard error of every command that sends something."""

from __future__ import annotations

from pathlib import Path

import pytest

from freeproviders import OpenAICompatible
from freeproviders.testing import replica
from tests.cli.command import run

KEY = "key-of-nobody-12345"


@pytest.mark.parametrize(
    "arguments",
    [
        ["embed", "--base-url", "{url}", "-m", "m", "a"],
        ["probe", "groq", "--base-url", "{url}", "--api-key", KEY, "--yes"],
        ["chat", "-p", "openai-compatible", "-m", "m", "--base-url", "{url}", "Hi"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_requests_are_told(arguments: list[str]) -> None:
    """One line for each, without a key; none where it is not asked for."""
    with replica(OpenAICompatible) as server:
        given = [word.format(url=server.base_url) for word in arguments]
        quiet, told = run(*given), run(*given, "-v")
    line = f"POST {server.base_url}".encode()
    assert line in told.stderr
    assert line not in quiet.stderr
    assert quiet.stdout == told.stdout
    assert KEY.encode() not in told.stdout + told.stderr


def test_the_look_at_a_server_of_this_machine_is_told(tmp_path: Path) -> None:
    """The list of services, doctor and models send a GET at most."""
    env = {"XDG_CONFIG_HOME": str(tmp_path), "OLLAMA_API_BASE": "http://127.0.0.1:9/v1"}
    for command in (
        ["services"],
        ["doctor", "--probe-local"],
        ["models", "--service", "ollama", "--refresh"],
    ):
        assert b"GET http://127.0.0.1:9/" in run(*command, "-v", env=env).stderr, command
