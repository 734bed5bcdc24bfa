"""Batches: CPU beside a bare loop, memory of 100,000 rows, kill -9, limits, and the predicted end.

    python -m benchmarks.batch [cpu] [memory] [killed] [workers] [predicted] [abatch]

Without a name all of them, and docs/measured/batch.json is written. The service is a process of its
own, and so is each run whose memory is measured. Of CPU the ratios of two runs side by side are
taken, since the machine's speed drifts.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import ratio, server
from benchmarks.measured import FOLDER, conditions, write
from freeproviders import OpenAICompatible, Quota
from freeproviders.batch import answered, batch
from freeproviders.batch.forecast import RowCost, seconds_for, supplies_of
from freeproviders.testing import replica
from tests.batch.killing import killed
from tests.batch.working import worked
from tests.quota.servers import redis_server

PACKAGES = {"aiohttp", "langchain-core", "pydantic"}
IN_FLIGHT = 16
ROWS, ROUNDS = 2000, 15
MANY = 100_000
KILLED_ROWS, KILLS, KILLED_IN_FLIGHT = 2000, 20, 8
HALF_ROWS = 600
WORKERS, WINDOW, CAP, WINDOWS = 3, 60, 100, 3
"""So many workers share a limit of so many requests in so many seconds, for so many windows."""
MINUTE, MINUTE_CAP, DAY, DAY_CAP, DAYS = 2, 10, 24, 60, 4
"""A minute and a day made shorter, in seconds, and the requests that each allows."""


def main(names: list[str]) -> None:
    tasks = {
        "cpu": cpu,
        "memory": memory,
        "killed": kills,
        "workers": workers,
        "predicted": predicted,
        "abatch": abatch,
    }
    begun, found = conditions(PACKAGES), {}
    for name in names or tasks:
        found[name] = tasks[name]()
        print(name, json.dumps(found[name], indent=1), flush=True)
    if not names:
        write(FOLDER / "batch.json", {"conditions": begun, "found": found})


# --- CPU beside a bare loop -----------------------------------------------------------------------


def cpu() -> dict[str, Any]:
    """CPU time of the client for each row: a bare loop, and batches over a store."""
    with server() as url:
        return asyncio.run(_side_by_side(url))


async def _side_by_side(url: str) -> dict[str, Any]:
    backend = OpenAICompatible("m", base_url=f"{url}/n20/v1")
    times: dict[str, list[float]] = {"bare loop": [], "SQLite": [], "memory": [], "kept": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answers.db"
        for turn in range(ROUNDS + 1):
            questions = [f"Question {turn} {number}" for number in range(ROWS)]
            for name, spent in times.items():
                started = time.process_time()
                if name == "bare loop":
                    await _bare(backend, questions)
                else:
                    store = "memory" if name == "memory" else file
                    report = await batch(questions, backend, store=store, in_flight=IN_FLIGHT)
                    assert report.done == ROWS
                    assert report.kept == (ROWS if name == "kept" else 0)
                if turn:  # the first warms up
                    spent.append((time.process_time() - started) / ROWS * 1e6)
    return {
        name: {"us": statistics.median(spent), "ratio": ratio(spent, times["bare loop"])}
        for name, spent in times.items()
    }


async def _bare(backend: OpenAICompatible, questions: list[str]) -> None:
    """Ask with as many at a time, and keep all answers in memory."""
    left = iter(questions)
    answers = []

    async def work() -> None:
        answers.extend([await backend.complete(question) for question in left])

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    assert len(answers) == len(questions)


# --- memory ---------------------------------------------------------------------------------------


def memory() -> dict[str, Any]:
    """Memory at most, of a process that asks all rows and of one that finds all of them answered."""
    out: dict[str, Any] = {"rows": MANY}
    with server() as url, tempfile.TemporaryDirectory() as folder:
        for name in ("asked", "kept"):
            command = [
                sys.executable,
                "-m",
                "benchmarks.batch",
                "child",
                url,
                str(Path(folder) / "answers.db"),
            ]
            out[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return out


async def _child(url: str, store: str) -> None:
    backend = OpenAICompatible("m", base_url=f"{url}/n20/v1")
    started, before = time.monotonic(), _most_megabytes()
    report = await batch((f"Question {number}" for number in range(MANY)), backend, store=store)
    assert report.done == MANY
    told = {"megabytes": _most_megabytes(), "at the start": before, "seconds": time.monotonic() - started}
    print(json.dumps(told))


def _most_megabytes() -> float:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2**20 if sys.platform == "darwin" else most / 2**10


# --- kill -9 --------------------------------------------------------------------------------------


def kills() -> dict[str, Any]:
    """A batch with faults, killed at random moments."""
    with tempfile.TemporaryDirectory() as folder:
        found = killed(
            Path(folder) / "answers.db", rows=KILLED_ROWS, kills=KILLS, in_flight=KILLED_IN_FLIGHT, seed=1
        )
    assert found.texts == [f"Answer to Question {number}" for number in range(KILLED_ROWS)]
    assert found.repeated_though_handed_on == set()
    assert found.repeated <= found.unsafe
    return {
        "rows": KILLED_ROWS,
        "in flight": KILLED_IN_FLIGHT,
        "kills": sum(not life.ended for life in found.lives),
        "states": dict(found.states),
        "asked and not stored at a kill": found.unsafe,
        "asked again": found.repeated,
        "asked again though handed on": len(found.repeated_though_handed_on),
    }


# --- workers on one limit -------------------------------------------------------------------------


def workers() -> dict[str, Any]:
    """Three processes, one ledger, one service that counts: calls over its limit, and the share used."""
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        out["SQLite"] = _workers(str(Path(folder) / "quota.db"), folder)
        with redis_server(Path(folder)) as started:
            out["Redis"] = _workers(started.url, folder)
    return out


def _workers(ledger: str, folder: str) -> dict[str, Any]:
    limits = [
        {"metric": "requests", "per": f"{WINDOW} seconds", "cap": CAP, "reset": "rolling"},
        {"metric": "requests", "per": "day", "cap": CAP * WINDOWS},
    ]
    with tempfile.TemporaryDirectory(dir=folder) as own:
        came, _ = worked(ledger, Path(own), limits=limits, workers=WORKERS, rows=CAP * WINDOWS)
    most = max(sum(begun <= one < begun + WINDOW for one in came) for begun in came)
    return {
        "requests": len(came),
        "over the day": max(0, len(came) - CAP * WINDOWS),
        "over a window": max(0, most - CAP),
        # The first window's worth may come at once, each further one takes its window.
        "used": WINDOW * (len(came) / CAP - 1) / (came[-1] - came[0]),
    }


# --- the predicted end ------------------------------------------------------------------------------


def predicted() -> dict[str, Any]:
    """The end as it is foretold at each quarter of a run under two limits, beside the real one."""
    return asyncio.run(_foretold())


async def _foretold() -> dict[str, Any]:
    limits = [
        {"metric": "requests", "per": f"{MINUTE} seconds", "cap": MINUTE_CAP, "reset": "rolling"},
        {"metric": "requests", "per": f"{DAY} seconds", "cap": DAY_CAP, "reset": "rolling"},
    ]
    rows, told = DAY_CAP * DAYS - DAY_CAP // 2, {}
    with replica(OpenAICompatible) as asked:
        backend = OpenAICompatible(
            "m", base_url=asked.base_url, quota=Quota(limits, name="foretold", ledger="memory")
        )
        began = time.monotonic()
        run = answered([f"Question {number}" for number in range(rows)], backend, store="memory")
        for done in range(rows + 1):
            if done in {rows * quarter // 4 for quarter in range(4)}:
                left = seconds_for(rows - done, await supplies_of(backend, RowCost()))
                told[f"{done} of {rows} done"] = time.monotonic() + left - began
            if done < rows:
                await anext(run)
        took = time.monotonic() - began
        await run.aclose()
    return {
        "seconds": took,
        "foretold": told,
        "off by at most": max(abs(one - took) / took for one in told.values()),
    }


# --- LangChain's own batch beside it ----------------------------------------------------------------


def abatch() -> dict[str, Any]:
    """Killed once at half of its rows and started again: calls beside one for each row."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: _killed_at_half(name, Path(folder) / f"{name}.db") for name in ("batch", "abatch")}


def _killed_at_half(name: str, store: Path) -> dict[str, int]:
    def answer(messages: list[dict[str, Any]]) -> str:
        time.sleep(0.002)
        return str(messages[-1]["content"])

    with replica(OpenAICompatible, answer) as service:
        command = [sys.executable, "-m", "benchmarks.batch", "half", name, service.base_url, str(store)]
        with subprocess.Popen(command) as first:
            while len(service.requests) < HALF_ROWS // 2:
                time.sleep(0.01)
            first.kill()
        answered = len(service.requests)
        subprocess.run(command, check=True)
        return {
            "rows": HALF_ROWS,
            "answered before the kill": answered,
            "calls beside one for each row": len(service.requests) - HALF_ROWS,
        }


async def _half(name: str, address: str, store: str) -> None:
    questions = [f"Question {number}" for number in range(HALF_ROWS)]
    if name == "batch":
        backend = OpenAICompatible("m", base_url=address)
        assert (await batch(questions, backend, store=store, in_flight=IN_FLIGHT)).done == HALF_ROWS
        return
    from langchain_freeproviders import ChatOpenAICompatible  # noqa: PLC0415 - the others do not need it

    model = ChatOpenAICompatible(model="m", base_url=address)
    answers = await model.abatch(questions, config={"max_concurrency": IN_FLIGHT})
    assert len(answers) == HALF_ROWS


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["half", *given]:
            asyncio.run(_half(*given))
        case ["child", address, place]:
            asyncio.run(_child(address, place))
        case names:
            main(names)
