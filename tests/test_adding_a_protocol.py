"""The page about adding a protocol, followed to the letter in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "adding-a-protocol.md").read_text(encoding="utf-8")
PACKAGES = ("freeproviders", "langchain_freeproviders", "llama_index_freeproviders", "llama_index")
STEPS = re.findall(r"^## \d\. `([\w/.]+)`( \(new\))?\n(.*?)(?=^## )", PAGE, flags=re.DOTALL | re.MULTILINE)

PROGRAM = """
import json, subprocess, sys

import freeproviders
import langchain_freeproviders
import llama_index.llms.freeproviders
from freeproviders import Finish, LineChat
from freeproviders.errors import ProviderError, RateLimitError
from freeproviders.testing import plugin, replica
from langchain_core.tools import tool
from langchain_freeproviders import ChatLineChat, init_chat_model
from llama_index.core.llms.loading import load_llm
from llama_index.llms.freeproviders import LineChat as LlamaIndexLineChat

for module in (freeproviders, langchain_freeproviders, sys.modules["llama_index_freeproviders"]):
    assert module.__file__.startswith(sys.argv[1]), module.__file__
assert "LineChat" in freeproviders.__all__
assert "ChatLineChat" in langchain_freeproviders.__all__
assert "LineChat" in llama_index.llms.freeproviders.__all__
assert plugin.line_chat_replica

TEXT = "Grüße,\\n\\ntwo paragraphs."


def command(*words):
    done = subprocess.run(
        [sys.executable, "-m", "freeproviders", *words], capture_output=True, text=True, check=True,
        encoding="utf-8",
    )
    assert not done.stderr, done.stderr
    return done.stdout


@tool
def get_weather(city: str) -> str:
    "The weather in a city."
    return f"21 degrees in {city}"


with replica(LineChat, answer=TEXT, faults={"chunk": 1}) as server:
    chat = LineChat(base_url=server.base_url, retry=0)
    assert chat.complete_sync("Hi", temperature=0.5).text == TEXT
    assert server.requests[-1].json == {
        "model": "small", "turns": [{"who": "user", "what": "Hi"}], "temperature": 0.5,
    }
    finish = list(chat.stream_sync("Hi"))[-1]
    assert isinstance(finish, Finish) and finish.confirmed and finish.reason == "stop"

    model = ChatLineChat(base_url=server.base_url)
    assert model.invoke("Hi").content == TEXT
    assert "".join(chunk.content for chunk in model.stream("Hi")) == TEXT
    assert isinstance(init_chat_model("line_chat:large", base_url=server.base_url), ChatLineChat)

    llm = LlamaIndexLineChat(base_url=server.base_url, model="large")
    assert llm.complete("Hi").text == TEXT
    assert server.requests[-1].json["model"] == "large"
    assert load_llm(llm.to_dict()).complete("Hi").text == TEXT

    assert command("chat", "--provider", "line-chat", "--base-url", server.base_url, "Hi") == TEXT + "\\n"
    assert not any(request.refusal for request in server.requests)

    server.answer = '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'
    (call,) = model.bind_tools([get_weather]).invoke("The weather?").tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    (call,) = chat.complete_sync("The weather?", tools=[{
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }]).tool_calls
    assert call.name == "get_weather"

    for fault, error in (
        ({"status": 429}, RateLimitError),
        ({"cut": 3}, ProviderError),
        ({"empty": True}, ProviderError),
        ({"error": "out of order", "error_at": 1}, ProviderError),
    ):
        server.faults = fault
        try:
            chat.complete_sync("Hi")
        except error as raised:
            assert "[LineChat small]" in str(raised), raised
        else:
            raise AssertionError(fault)

rows = {row["name"]: row for row in json.loads(command("providers", "--json"))}
assert rows["LineChat"]["models"] == ["small", "large"]
assert "line-chat" in command("replica", "--help")
print("done")
"""


def apply(diff: str, path: Path) -> None:
    """Insert the added lines below the line above them, or above the line below them, else at the end."""
    lines = diff.splitlines()
    added = "".join(line[1:] + "\n" for line in lines if line.startswith("+"))
    text = path.read_text(encoding="utf-8")
    if lines[0].startswith(" "):
        anchor = lines[0][1:] + "\n"
        new = anchor + added
    elif lines[-1].startswith(" "):
        anchor = lines[-1][1:] + "\n"
        new = added + anchor
    else:
        path.write_text(text + added, encoding="utf-8")
        return
    assert text.count(anchor) == 1, f"{anchor!r} in {path}"
    path.write_text(text.replace(anchor, new), encoding="utf-8")


def files(root: Path) -> dict[str, bytes]:
    """The Python files below a folder with what is in them."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
    }


@pytest.mark.timeout(300)
def test_a_stranger_adds_a_protocol(tmp_path: Path) -> None:
    """At most five files, of which two are new; then it can be asked in every way there is."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    before = files(tmp_path)
    for name, new, text in STEPS:
        path = tmp_path / name
        assert path.exists() is not bool(new)
        if new:
            (code,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
            path.write_text(code, encoding="utf-8")
        else:
            for diff in re.findall(r"^```diff\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE):
                apply(diff, path)
    after = files(tmp_path)
    touched = [name for name, text in after.items() if before.get(name) != text]
    assert len(touched) <= 5, touched
    assert len(after) - len(before) == 2

    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error::ResourceWarning", "-c", PROGRAM, str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
