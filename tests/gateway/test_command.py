"""`freeproviders serve`, as a process of its own."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.testing import replica
from freeproviders.types import Text
from tests.cli.command import run, start


def lines_of(process: subprocess.Popen[bytes], last: str) -> list[str]:
    """Read standard error up to a line."""
    assert process.stderr
    lines: list[str] = []
    while not lines or last not in lines[-1]:
        line = process.stderr.readline()
        assert line, lines
        lines.append(line.decode().rstrip())
    return lines


@contextmanager
def serving(*arguments: str, **env: str) -> Iterator[tuple[subprocess.Popen[bytes], str, list[str]]]:
    """The command with its address, once it has said all of its beginning."""
    process = start("serve", *arguments, "--port", "0", env=env)
    try:
        lines = lines_of(process, "Clients send")
        found = re.search(r"Serving (\S+)", "\n".join(lines))
        assert found
        yield process, found[1], lines
    finally:
        process.kill()
        process.communicate()


def asked(url: str, **headers: str) -> dict[str, Any]:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    sent = {"Content-Type": "application/json", **headers}
    with urlopen(Request(f"{url}/chat/completions", body, sent)) as answer:  # noqa: S310 - loopback
        document: dict[str, Any] = json.load(answer)
        return document


def ends_well(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    assert process.wait(20) == 0
    assert process.stderr
    assert "Ending" in process.stderr.read().decode()


def test_one_provider() -> None:
    with (
        replica(FlowGpt, answer="Hello") as server,
        serving("-p", "flow-gpt", "--base-url", server.base_url, "--embeddings", "none") as (
            process,
            url,
            lines,
        ),
    ):
        assert "Model gpt-3.5-turbo" in lines
        assert "Prompts stay on this machine." in lines
        assert asked(url)["choices"][0]["message"]["content"] == "Hello"
        assert "POST /v1/chat/completions 200" in lines_of(process, "POST")[-1]
        ends_well(process, signal.SIGTERM)


def test_members_that_leave_the_machine_are_told_and_others_need_the_key() -> None:
    key = "a-key-of-sixteen-and-more"
    with serving(
        "groq/openai/gpt-oss-20b",
        "--host",
        "0.0.0.0",  # noqa: S104 - what a key is for
        FREEPROVIDERS_SERVE_KEY=key,
        GROQ_API_KEY="gsk-nobody",
    ) as (process, url, lines):
        assert "Prompts leave this machine for: groq/openai/gpt-oss-20b." in lines
        assert not any(key in line or "gsk-nobody" in line for line in lines)
        assert url.startswith("http://127.0.0.1:")  # 0.0.0.0 is no address that anybody can open
        assert any("OPENAI_API_KEY=that key" in line for line in lines)
        assert not any("0.0.0.0" in line for line in lines)  # noqa: S104
        request = Request(f"{url}/models", headers={"Authorization": f"Bearer {key}"})  # noqa: S310
        with urlopen(request) as answer:  # noqa: S310 - loopback
            assert "groq/openai/gpt-oss-20b" in answer.read().decode()
        ends_well(process, signal.SIGINT)


ROW = """
name = "{name}"
base_url = "{base_url}"
key = "none"
local = true
checked = 2026-01-01
source = "a test"

[models]
"*" = {{ cost = "never" }}
"""
SENTENCE = "One two three four five six seven eight nine ten eleven twelve and so on to the end."


def streamed(url: str) -> list[dict[str, Any]]:
    """The events of a streamed answer at temperature 0."""
    document = {"model": "auto", "messages": [{"role": "user", "content": "Count."}]}
    body = json.dumps({**document, "stream": True, "temperature": 0}).encode()
    with urlopen(Request(f"{url}/chat/completions", body, {"Content-Type": "application/json"})) as answer:  # noqa: S310
        events = [line[6:] for line in answer.read().decode().splitlines() if line.startswith("data: ")]
    return [json.loads(event) for event in events if event != "[DONE]"]


@pytest.mark.parametrize("way", ["raise", "continue"])
def test_an_answer_that_breaks_off(way: str, tmp_path: Path) -> None:
    """Another member goes on where --on-broken-stream says so, and the client sees one answer."""
    pieces = [Text(SENTENCE[at : at + 9]) for at in range(0, len(SENTENCE), 9)]
    with (
        replica(OpenAICompatible, pieces, faults={"error": "Gone.", "error_at": 4}) as first,
        replica(OpenAICompatible, pieces) as second,
    ):
        for name, server in (("one", first), ("two", second)):
            (tmp_path / f"{name}.toml").write_text(ROW.format(name=name, base_url=server.base_url))
        state = {"FREEPROVIDERS_SERVICES": str(tmp_path), "FREEPROVIDERS_STATE": str(tmp_path)}
        with serving("one/small", "two/small", "--on-broken-stream", way, **state) as (_, url, _):
            said = streamed(url)
    text = "".join([one["choices"][0]["delta"].get("content") or "" for one in said if one.get("choices")])
    if way == "raise":
        assert second.requests == []
        assert (text, said[-1]["error"]["message"][-5:]) == (SENTENCE[:36], "Gone.")
    else:
        assert text == SENTENCE
        assert [seam["how"] for one in said for seam in one.get("freeproviders", {}).get("seams", ())] == [
            "replay"
        ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "0.0.0.0"], "a key is needed"),  # noqa: S104 - the point
        (["--host", "0.0.0.0", "--api-key", "short"], "too short"),  # noqa: S104
        (["groq", "-m", "x"], "cannot go with names of members"),
        (["-p", "flow-gpt", "--privacy", "local"], "cannot go with --provider"),
        (["-p", "flow-gpt", "--on-broken-stream", "continue"], "cannot go with --provider"),
        (["-p", "flow-gpt", "--allow-origin", "*"], "must look like https://host"),
        (["nobody-at-all"], "nobody-at-all"),
        (["-p", "flow-gpt", "--dimensions", "3"], "It is for a service"),
        (["--base-url", "http://localhost:9"], "belongs to one service"),
    ],
)
def test_wrong_commands(arguments: list[str], says: str) -> None:
    done = run("serve", *arguments)
    assert done.returncode == 2, done
    assert says in " ".join(done.stderr.decode().replace("│", " ").split())


def test_a_port_that_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("serve", "-p", "flow-gpt", "--embeddings", "none", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "choose another --port" in done.stderr.decode()
