"""What happens to each client where a service misbehaves, against the replicas of freeproviders.testing.

    python -m benchmarks.peers.incidents [--only ChatOpenAI] [--incident "a cut stream"]

Each client does everything in one process of its own, which is started anew where nothing came of
it within the limit. docs/comparison.md has what was seen.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.measured import FOLDER, conditions, write
from benchmarks.peers.contenders import CONTENDERS, Client
from freeproviders import OpenAICompatible
from freeproviders.testing import Replica, replica

LIMIT = 20.0
"""Seconds after which nothing is expected any more."""

WORDS = ["The", " weather", " in", " Paris", " is", " fine", " today", "."]
WHOLE = "".join(WORDS)
CALL = 'I will look. <tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}}</tool_call>'
ANN = 'Of course: {"name": "Ann", "age": 31}'
ODD = " begins with a blank,\u2028has a line separator\r\nand `data: [DONE]` in it"


def says_a_call(messages: Iterable[Mapping[str, Any]]) -> str:
    """A model without tools calls one only if the prompt says that there is one, and how."""
    told = any("get_weather" in str(message["content"]) for message in messages)
    return CALL if told else "I cannot look that up."


@dataclass(frozen=True)
class Incident:
    """What the service does, how it is asked, and what may be told of it."""

    name: str
    how: str
    faults: Any = None
    answer: Any = field(default_factory=lambda: WORDS)
    options: Mapping[str, Any] = field(default_factory=dict)
    times: bool = False
    """Whether it is told how often and when the service was asked."""


INCIDENTS = (
    Incident(
        "a tool bound, at a service that refuses tools",
        "calls",
        answer=says_a_call,
        options={"native_tools": False},
    ),
    Incident(
        "a tool bound, at a service that ignores tools",
        "calls",
        answer=says_a_call,
        options={"native_tools": "ignored"},
    ),
    Incident(
        "a typed answer, at a service that refuses schemas",
        "typed",
        answer=ANN,
        options={"json_schema": False, "native_tools": False},
    ),
    Incident(
        "a typed answer, at a service that ignores schemas",
        "typed",
        answer=ANN,
        options={"json_schema": "ignored", "native_tools": "ignored"},
    ),
    Incident("an error inside a 200", "whole", faults={"error": "overloaded"}),
    Incident("an error after the first words", "stream", faults={"error": "overloaded", "error_at": 3}),
    Incident("a stream cut by the network", "stream", faults={"cut": 1100}),
    Incident("an empty answer", "whole", faults={"empty": True}),
    Incident("a page of HTML with status 200", "whole", faults={"html": True}),
    Incident("one document where a stream was asked for", "stream", faults={"no_stream": True}),
    Incident("silence after the first words, limit 1 s", "stream in time", faults={"stall": 3}),
    Incident(
        "keep-alives for 6 s before the first word, limit 1 s", "stream in time", faults={"keepalive": 300}
    ),
    Incident("429 with `Retry-After: 2`", "whole", faults=[{"status": 429, "retry_after": 2}], times=True),
    Incident(
        "429 with `Retry-After: 3600`", "whole", faults={"status": 429, "retry_after": 3600}, times=True
    ),
    Incident("a stream left after two words", "leave", answer=["word "] * 400, faults={"pace": 0.02}),
    Incident("odd text", "odd", answer=ODD),
    Incident("four `asyncio.run` in a row with one client", "loops"),
    Incident("16 threads with one client", "threads"),
    Incident("a sync call where an event loop runs", "inside"),
)
BY_NAME = {one.name: one for one in INCIDENTS}


SERVICES = {
    "LiteLLM": "import litellm; print(len(litellm.provider_list))",
    "any-llm": "from any_llm import LLMProvider; print(len(LLMProvider))",
    "freelm": (
        "from freelm import providers; from freelm.providers.base import Provider as P\n"
        "print(len({c for c in vars(providers).values() if isinstance(c, type) and issubclass(c, P)} - {P}))"
    ),
}
"""How many services a package lists, as it says itself."""


def services_in(code: str) -> int:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


# --- in the process of a client -------------------------------------------------------------------


def judged(text: str | None, expected: str = WHOLE) -> str:
    if text == expected:
        return "the whole answer"
    if not text:
        return "nothing, and no error"
    if expected.startswith(text):
        return "a part of the answer, and no error"
    if text.strip() == expected.strip():
        return "the answer without its first blank"
    return f"another text: {text[:60]!r}"


def error_name(error: BaseException) -> str:
    """The class; what it wraps is not told."""
    return f"`{type(error).__name__}`"


async def stream(client: Client) -> str:
    found: list[str] = []
    try:
        async for text in client.astream():
            found += [text]
    except Exception as error:  # noqa: BLE001 - a client may fail as it likes
        shown = "".join(found)
        return f"{error_name(error)}{' after the first words' if shown else ''}"
    return judged("".join(found))


async def whole(client: Client, expected: str = WHOLE) -> str:
    return judged(await client.ainvoke(), expected)


async def odd(client: Client) -> str:
    streamed = "".join([text async for text in client.astream()])
    return judged(streamed, ODD)


async def calls(client: Client) -> str:
    found = await client.calls()
    if not found:
        return "no call"
    [(name, arguments)] = found
    arguments = json.loads(arguments) if isinstance(arguments, str) else dict(arguments)
    return "the call" if (name, arguments) == ("get_weather", {"city": "Paris"}) else f"{name} {arguments}"


async def typed(client: Client) -> str:
    answer = await client.typed()
    if answer == {"name": "Ann", "age": 31}:
        return "the object"
    return "the model's text as it was" if answer == ANN else f"{answer!r}"[:60]


async def leave(client: Client) -> str:
    async for _ in two(client):
        pass
    return "left"


async def two(client: Client) -> Any:
    """Take two texts and break, without closing what was broken off: that is what programs do."""
    count = 0
    async for text in client.astream():
        count += bool(text)
        if count == 2:
            break
        yield text


async def inside(client: Client) -> str:
    return judged(client.invoke())


def threads(client: Client) -> str:
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.invoke(), range(16)))
    return f"{answers.count(WHOLE)} of 16 answers"


def loops(client: Client) -> str:
    answers = [asyncio.run(client.ainvoke()) for _ in range(4)]
    return f"{answers.count(WHOLE)} of 4 answers"


def do(name: str, how: str, url: str) -> str:
    kind, _, _ = how.partition(" in time")
    timeout = 1.0 if " in time" in how else None
    client = CONTENDERS[name].client(url, tools=how == "calls", timeout=timeout)
    work: Callable[[Client], Any] = globals()[kind]
    try:
        said = work(client)
        return asyncio.run(said) if asyncio.iscoroutine(said) else said
    except Exception as error:  # noqa: BLE001 - a client may fail as it likes
        return error_name(error)


def be_a_client(name: str) -> None:
    CONTENDERS[name].client("http://127.0.0.1:9/v1")  # imports what it needs
    print("RESULT ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        how, url = json.loads(line)
        print("RESULT " + do(name, how, url), flush=True)
    os._exit(0)


# --- in the process of the services ---------------------------------------------------------------


class Process:
    """A client in a process of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.running = subprocess.Popen(
            [sys.executable, "-X", "dev", "-m", "benchmarks.peers.incidents", "--be", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.result(120) == "ready"

    def result(self, seconds: float) -> str | None:
        """The next result; None after so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.running.stdout], [], [], left)[0]:
                line = self.running.stdout.readline()
                if line.startswith(b"RESULT "):
                    return line.decode().removeprefix("RESULT ").rstrip("\n")
                if not line:
                    return "the process ended"
        return None

    def ask(self, incident: Incident, url: str) -> str | None:
        self.running.stdin.write(json.dumps([incident.how, url]).encode() + b"\n")
        self.running.stdin.flush()
        return self.result(LIMIT)

    def end(self) -> None:
        self.running.kill()
        self.running.wait()
        self.running.stdin.close()
        self.running.stdout.close()


def seen(incident: Incident, server: Replica, arrived: list[float]) -> str:
    """What the service saw of it, where that matters."""
    if incident.how == "leave":
        try:
            server.wait_disconnect(timeout=5)
        except TimeoutError:
            return ", the connection goes on"
        return ", the connection ends"
    if not incident.times:
        return ""
    gaps = ", after ".join(f"{later - earlier:.1f} s" for earlier, later in pairwise(arrived))
    return f" ({len(arrived)} requests, after {gaps})" if gaps else " (1 request)"


def observe(names: list[str], incidents: Iterable[Incident]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {incident.name: {} for incident in incidents}
    for name in names:
        process = Process(name)
        for incident in incidents:
            arrived: list[float] = []
            with replica(
                OpenAICompatible,
                incident.answer,
                faults=incident.faults,
                watch=lambda request, arrived=arrived: (
                    arrived.append(time.monotonic()) if request.method == "POST" else None
                ),
                **incident.options,
            ) as server:
                said = process.ask(incident, server.base_url)
                if said is None:
                    process.end()
                    process = Process(name)
                    said = f"nothing within {LIMIT:.0f} s"
                found[incident.name][name] = said + seen(incident, server, arrived)
                print(f"{name:28} {incident.name:55} {found[incident.name][name]}", flush=True)
        process.end()
    return found


def main() -> None:
    say = argparse.ArgumentParser(prog="python -m benchmarks.peers.incidents")
    say.add_argument("--be", help=argparse.SUPPRESS)
    say.add_argument("--only", default="", help="some clients, with commas; writes nothing")
    say.add_argument("--incident", default="", help="one of them; writes nothing")
    said = say.parse_args()
    if said.be:
        be_a_client(said.be)
    names = [name for name in said.only.split(",") if name] or list(CONTENDERS)[1:]
    incidents = [BY_NAME[said.incident]] if said.incident else INCIDENTS
    begun = conditions({name for one in CONTENDERS.values() for name in one.packages})
    found = observe(names, incidents)
    if not said.only and not said.incident:
        listed = {name: services_in(code) for name, code in SERVICES.items()}
        write(FOLDER / "incidents.json", {"conditions": begun, "services": listed, "found": found})


if __name__ == "__main__":
    main()
