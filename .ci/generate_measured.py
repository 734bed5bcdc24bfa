"""What README.md and pages of docs say of the results in docs/measured.

Nothing is measured here: `make bench` and `make bench-peers` write the results.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from marked import replaced

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.measured import Results
from benchmarks.peers.contenders import CONTENDERS, CORE, IN_LANGCHAIN, IN_LLAMAINDEX, NATIVE

OURS = (CORE, IN_LANGCHAIN, IN_LLAMAINDEX)
FLOOR = next(iter(CONTENDERS))
Column = tuple[str, str, str]
"""A workload, the number in it, and the column's title."""

SPEED: tuple[Column, ...] = (
    ("burst", "piece", "a piece of a burst"),
    ("paced", "piece", "a piece, 1 ms apart"),
    ("first", "first", "to the first text"),
    ("whole", "call", "a whole answer"),
    ("sync_burst", "piece", "sync: a piece of a burst"),
    ("sync_whole", "call", "sync: a whole answer"),
)
TOOL: tuple[Column, ...] = (
    ("burst_with_a_tool", "piece", "a piece of a burst"),
    ("whole_with_a_tool", "call", "a whole answer"),
)
AT_ONCE: tuple[Column, ...] = (
    ("at_once 1", "piece", "1 stream"),
    ("at_once 100", "piece", "100 streams"),
    ("at_once 500", "piece", "500 streams"),
)
NEEDS: tuple[Column, ...] = (
    ("import", "ms", "import, ms"),
    ("import", "modules", "modules"),
    ("import", "memory", "memory then, MB"),
    ("at_once 500", "memory", "memory after 500 streams, MB"),
)


FLOORS: dict[str, tuple[str, tuple[str, str, str]]] = {
    "a piece of a burst": ("burst of 2000 pieces, per piece", ("stream", "astream", "astream_chat")),
    "a piece, 1 ms apart": ("300 pieces 1 ms apart, per piece", ("stream", "astream", "astream_chat")),
    "500 streams at once: a piece": (
        "500 streams at once, 10 ms apart, per piece",
        ("stream", "astream", "astream_chat"),
    ),
    "a short streamed answer": ("short stream, per call", ("stream", "astream", "astream_chat")),
    "a whole answer": ("whole answer, per call", ("complete", "ainvoke", "achat")),
    "sync: a piece of a burst": ("burst of 2000 pieces, per piece", ("stream_sync", "stream", "stream_chat")),
    "sync: a piece, 1 ms apart": (
        "300 pieces 1 ms apart, per piece",
        ("stream_sync", "stream", "stream_chat"),
    ),
    "sync: a whole answer": ("whole answer, per call", ("complete_sync", "invoke", "chat")),
}
"""The lines of the table, each with a comparison's title and our contender in each module."""
MODULES = ("core", "langchain", "llamaindex")


def pages(docs: Path) -> dict[Path, str]:
    """Give the pages with their tables and sentences in them."""
    results = Results(docs / "measured" / "peers.json")
    incidents, floors, names, local, batches, ray = (
        json.loads((docs / "measured" / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("incidents", "floors", "names", "local", "batch", "ray")
    )
    parts = {
        "performance.md": {
            "floors": table(["", "core", "LangChain", "LlamaIndex"], over(floors["found"], FLOORS)),
            "floors said": said_of(floors["conditions"]),
            "long": long_answers(floors["found"]),
            "peers": said_of(results.all["conditions"], results.all["rounds"]),
            "speed": numbers(results, SPEED),
            "tool": numbers(results, TOOL),
            "at once": numbers(results, AT_ONCE),
            "needs": numbers(results, NEEDS),
            "vectors": of_vectors(floors["found"]["embeddings"]),
            "tokens": of_tokens(local["found"]),
            "local": said_of(local["conditions"]),
        },
        "embeddings.md": {
            "offline": table(["", "CPU time"], timed(local["found"]["offline"])),
            "offline said": said_of(local["conditions"]),
            "kept": of_kept(local["found"]["kept"]),
        },
        "comparison.md": {
            "cost": numbers(results, (*SPEED[:4], NEEDS[0])),
            "incidents": table(["", *columns(incidents)], rows(incidents["found"])),
            "versions": said_of(incidents["conditions"]),
        },
        "batch-python.md": {"batch": of_batches(batches)},
        "batch-ray.md": {
            "nodes": table(["", "seconds", "asked on each"], nodes(ray)),
            "nodes said": wrapped(limits_of(ray)) + "\n" + said_of(ray["conditions"]),
        },
        "coming-from.md": {"names": tried(names["conditions"])},
        "../README.md": {"short": in_short(results)},
    }
    found = {}
    for name, made in parts.items():
        page = (docs / name).resolve()
        text = page.read_text(encoding="utf-8")
        for part, lines in made.items():
            text = replaced(text, "measured", part, lines)
        found[page] = text
    return found


def of_batches(results: dict[str, Any]) -> str:
    """Write what batches cost, and what a kill costs them."""
    found = results["found"]
    cpu, memory, killed = (found[name] for name in ("cpu", "memory", "killed"))
    ours, theirs = found["abatch"]["batch"], found["abatch"]["abatch"]
    lines = [
        [
            "processor time for each row, beside a loop that keeps the answers in memory",
            f"{cpu['SQLite']['ratio']:.2f} times ({shown(cpu['SQLite']['us'])} µs)",
        ],
        ["the same for a row that has its answer", f"{cpu['kept']['ratio']:.2f} times"],
        [
            f"memory of a process at most, over {memory['rows']:,} rows",
            f"{max(memory['asked']['megabytes'], memory['kept']['megabytes']):.0f} MB",
        ],
        [
            f"{killed['rows']:,} rows with faults, {killed['kills']} times `kill -9`: answered",
            f"{killed['states']['done']:,}",
        ],
        [
            f"of them asked again, for each kill, with {killed['in flight']} in flight",
            f"{killed['asked again'] / killed['kills']:.0f}",
        ],
        ["of them asked again though they had been handed on", str(killed["asked again though handed on"])],
        [
            f"{ours['rows']} rows, killed at half of them: calls too many",
            "{}; LangChain's `abatch` {}".format(
                *(one["calls beside one for each row"] for one in (ours, theirs))
            ),
        ],
        *(
            [
                f"three processes on one limit a minute, over {place}: calls over it, share of it used",
                f"{one['over a window'] + one['over the day']}, {one['used']:.0%}",
            ]
            for place, one in found["workers"].items()
        ),
    ]
    said = said_of(results["conditions"])
    return f"{table(['', ''], lines)}\n{said}\n`python -m benchmarks.batch` measures it again.\n"


def nodes(found: dict[str, Any]) -> Iterable[list[str]]:
    """Write how long the rows took on so many nodes."""
    for row in found["nodes"]:
        asked = ", ".join(map(str, row.get("asked", [])))
        count = row["nodes"]
        name = "this process alone, one server" if not count else f"{count} node{'s' * (count > 1)}"
        yield [name, f"{row['seconds']:.1f}", asked]


def limits_of(found: dict[str, Any]) -> str:
    """Write how much faster two nodes are, and how nodes used a limit that they share."""
    one, more = found["limits"]
    return (
        f"{found['rows']} rows for servers that answer {found['slots']} questions at a time, each in "
        f"{found['seconds']} seconds: two nodes are {found['times']:.2f} times one. {one['nodes']} nodes "
        f"that share a limit on one Redis sent at most {one['most']} requests in any {one['window']} seconds "
        f"where {one['cap']} were allowed, and used {one['used']:.1%} of them; of {more['cap']}, at most "
        f"{more['most']} and {more['used']:.1%}."
    )


def over(found: dict[str, Any], lines: dict[str, tuple[str, tuple[str, str, str]]]) -> Iterable[list[str]]:
    """Write how many times the floor each of ours takes, with its microseconds."""
    for line, (title, names) in lines.items():
        cells = [found[module][title][name] for module, name in zip(MODULES, names, strict=True)]
        yield [line, *(f"{one['ratio']:.1f} ({shown(one['us'])} µs)" for one in cells)]


def long_answers(found: dict[str, Any]) -> str:
    """Write what a piece costs in LlamaIndex, whose chunks hold the text so far, by the answer's length."""
    lengths = (2000, 20_000, 100_000)
    said = [found["llamaindex"][f"burst of {n} pieces, per piece"]["astream_chat"]["us"] for n in lengths]
    head = ["pieces of an answer", *(f"{n:,}" for n in lengths)]
    return table(head, [["µs for each", *map(shown, said)]])


def said_of(conditions: dict[str, Any], rounds: int | None = None) -> str:
    """Write when, where and with what, in lines of prose."""
    load = ", ".join(map(str, conditions["load"]))
    said = (
        f"Measured on {conditions['date']} with Python {conditions['python']} on {conditions['cores']} cores "
        f"({conditions['processor']}, {conditions['system']}) that others used too (load {load})"
        + (f", medians of {rounds} rounds" if rounds else "")
        + ": "
        + ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
        + "."
    )
    return wrapped(f"{said} {conditions.get('note', '')}")


def of_vectors(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Write how many times the floor embeddings take, in calls of many texts and of one."""
    lines = []
    for texts in (96, 1):
        titles = [
            f"call of {texts} texts, vectors of 1024 numbers as {how}, per text"
            for how in ("float", "base64")
        ]
        for name in ("embed", "embed in LangChain", "embed in LlamaIndex"):
            cells = [found[title].get(name) for title in titles]
            what = f"a call of {texts} text{'s' * (texts > 1)}{name.removeprefix('embed')}"
            lines.append([what, *(f"{one['ratio']:.1f}" if one else "" for one in cells)])
    return table(["", "numbers as text", "base64"], lines)


def timed(rows: dict[str, float]) -> Iterable[list[str]]:
    """Write a line for each time in milliseconds."""
    for name, spent in rows.items():
        yield [name, f"{spent:.0f} ms" if spent >= 10 else f"{spent:.2g} ms"]


def of_tokens(found: dict[str, Any]) -> str:
    """Write what estimates of tokens take, and how far the likely one is from true counts."""
    far = found["deviations"]
    said = (
        f"The likely estimate is {far['likely']:.0f} % off on average, over the counts that are recorded in "
        f"`tests/core/counted.json`; four "
        f"characters a token are {far['four characters a token']:.0f} % off. CPU time:"
    )
    return f"{wrapped(said)}\n{table(['', 'CPU time'], timed(found['tokens']))}"


def of_kept(found: dict[str, float]) -> str:
    """Write what vectors on disk take."""
    return wrapped(
        f"10,000 vectors of 768 numbers are found in {found['found'] / 1000:.2g} seconds of CPU time, and "
        f"the file is {found['larger by percent']:.0f} % larger than they are."
    )


def tried(conditions: dict[str, Any]) -> str:
    """Write in which versions the names of other packages were tried."""
    versions = ", ".join(f"{name} {version}" for name, version in conditions["versions"].items())
    return wrapped(f"Tried on {conditions['date']} with {versions}.")


def in_short(results: Results) -> str:
    """Write in a sentence how many times our CPU time the others take for a piece of an answer."""
    others = []
    for name, contender in {**CONTENDERS, **NATIVE}.items():
        if name not in {FLOOR, *OURS}:
            measured = (results.times(load, name, contender.ours, "piece") for load in ("burst", "paced"))
            ratios = [one for one in measured if one is not None]
            if len(ratios) == 2:
                others.append(f"{name} {' and '.join(map(shown, ratios))}")
    return wrapped(
        "Each piece of a streamed answer costs others more processor time, in a burst and where pieces come "
        f"a millisecond apart: {', '.join(others)} times ours ({results.all['conditions']['date']})."
    )


def wrapped(text: str, width: int = 100) -> str:
    """Break prose at blanks."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line]) + "\n"


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    """Write a table of Markdown."""
    head = list(head)
    made = [head, ["---"] * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in made)


def numbers(results: Results, wanted: tuple[Column, ...]) -> str:
    """Write a line for each client that says anything of these columns."""
    every = {**CONTENDERS, **NATIVE}
    lines = []
    for name, contender in every.items():
        cells = [cell(results, column, name, contender.ours) for column in wanted]
        if any(cells):
            lines.append([f"**{name}**" if name in OURS else name, *cells])
    return table(["", *(title for _, _, title in wanted)], lines)


def cell(results: Results, column: Column, name: str, ours: str) -> str:
    """Write the median, and how many times ours that is; a failure is a dash."""
    workload, field, _ = column
    median = results.median(workload, name, field)
    if median is None:
        return "-" if results.found[workload].get(name) else ""
    times = results.times(workload, name, ours, field) if ours and name != FLOOR else None
    return shown(median) + (f" ({shown(times)} x)" if times is not None else "")


def shown(value: float) -> str:
    """Write two digits, or all before the point."""
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def columns(incidents: dict[str, Any]) -> list[str]:
    """Give the clients, ours as one: they do the same, which `rows` makes sure of."""
    clients = next(iter(incidents["found"].values()))
    return [CORE, *(name for name in clients if name not in OURS)]


def rows(found: dict[str, dict[str, str]]) -> Iterable[list[str]]:
    """Write a line for each incident."""
    for incident, said in found.items():
        ours = {plain(said[name]) for name in OURS if name in said}
        if len(ours) != 1:
            sys.exit(f"Our classes differ in {incident!r}, which the page cannot say: {ours}")
        yield [incident, said[CORE], *(one for name, one in said.items() if name not in OURS)]


def plain(said: str) -> str:
    """Leave out what differs from run to run: seconds."""
    return said.partition(", after ")[0]
