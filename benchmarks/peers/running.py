"""Runs the contenders, each in a process of its own, in turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.harness import server
from benchmarks.peers.contenders import CONTENDERS, NATIVE, Contender

SPEED = (
    "burst",
    "paced",
    "first",
    "whole",
    "sync_burst",
    "sync_whole",
    "burst_with_a_tool",
    "whole_with_a_tool",
)
AT_ONCE = ("at_once 1", "at_once 100", "at_once 500")
FLOOR = next(iter(CONTENDERS))

Found = dict[str, dict[str, list[dict]]]
"""What was measured, by workload and contender: one row of numbers for each turn."""

IMPORT = """
import json, os, sys, time
started, modules = time.process_time(), len(sys.modules)
exec(sys.argv[1])
spent = time.process_time() - started
with open("/proc/self/status") as file:
    memory = next(int(row.split()[1]) / 1024 for row in file if row.startswith("VmRSS:"))
print("RESULT", json.dumps({"ms": spent * 1e3, "modules": len(sys.modules) - modules, "memory": memory}))
sys.stdout.flush()
os._exit(0)
"""


class Process:
    """A worker; packages print what they like between the results."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.running = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.worker", name, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def result(self) -> dict:
        for line in self.running.stdout:
            if line.startswith("RESULT "):
                return json.loads(line.removeprefix("RESULT "))
        raise RuntimeError(f"The process of {self.name} has ended.")

    def ask(self, workload: str) -> dict:
        self.running.stdin.write(f"{workload}\n")
        self.running.stdin.flush()
        return self.result()

    def end(self) -> None:
        self.running.stdin.close()
        self.running.wait(30)
        self.running.stdout.close()


@contextmanager
def processes(names: Iterable[str], url: str) -> Iterator[list[Process]]:
    with ExitStack() as stack:
        made = [Process(name, url) for name in names]
        for one in made:
            stack.callback(one.end)
        for one in made:
            one.result()
        yield made


def takes(name: str, workload: str) -> bool:
    """Whether a contender can do a workload, or it says anything of it."""
    if name == FLOOR:
        return "sync" not in workload and "tool" not in workload
    return name not in NATIVE or "tool" in workload


def turns(workloads: Iterable[str], names: list[str], *, rounds: int, url: str, warm: int = 1) -> Found:
    """Each workload by all contenders in turns, in an order that is turned round each time."""
    found: Found = {}
    with processes(names, url) as running:
        for workload in workloads:
            rows: dict[str, list[dict]] = {name: [] for name in names if takes(name, workload)}
            for turn in range(warm + rounds):
                for one in running if turn % 2 else reversed(running):
                    if one.name in rows:
                        said = one.ask(workload)
                        if turn >= warm:
                            rows[one.name].append(said)
            found[workload] = rows
            show(workload, rows)
    return found


def imports(contenders: dict[str, Contender], *, rounds: int) -> Found:
    """The import that a program begins with, each time in a process of its own."""
    rows: dict[str, list[dict]] = {name: [] for name in contenders}
    # What pip installed has bytecode; a checkout must be able to keep its own, or is compiled each time.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(rounds + 1):  # the first reads the files from disk
        for name, contender in contenders.items():
            done = subprocess.run(
                [sys.executable, "-c", IMPORT, contender.imports],
                env=kept,
                capture_output=True,
                text=True,
                check=True,
            )
            line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
            rows[name].append(json.loads(line.removeprefix("RESULT ")))
    rows = {name: some[1:] for name, some in rows.items()}
    show("import", rows)
    return {"import": rows}


def measured(*, rounds: int, only: list[str]) -> Found:
    """Everything. Those that are many at once have fresh processes, since what is kept would count."""
    chosen = {name: one for name, one in CONTENDERS.items() if not only or name in only}
    names = list(chosen)
    with server() as url:
        found = imports(chosen, rounds=rounds)
        native = [name for name in NATIVE if not only]
        found |= turns(SPEED, names + native, rounds=rounds, url=url)
        for workload in AT_ONCE:
            found |= turns([workload], names, rounds=max(1, rounds // 2), url=url, warm=0)
    return found


def show(workload: str, rows: dict[str, list[dict]]) -> None:
    print(f"\n{workload}")
    for name, some in rows.items():
        print(f"  {name:32} {'  '.join(told(one) for one in some)}", flush=True)


def told(row: dict) -> str:
    return ", ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values())
