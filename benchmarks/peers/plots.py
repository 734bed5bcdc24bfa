"""Draws docs/measured/*.svg from the results: readable on white and on black, text kept as text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

from benchmarks.measured import FOLDER, Results, digest
from benchmarks.peers.contenders import CONTENDERS, CORE, IN_LANGCHAIN, IN_LLAMAINDEX

RESULTS = FOLDER / "peers.json"
TEXT = "#747a82"  # as far from white as from black
OURS, OTHERS, LEAST = ("#0f9d8f", "#5cc5ba"), ("#c2703d", "#dba47f"), ("#747a82", "#a3a8ae")
NAMES = {
    CORE: "freeproviders",
    IN_LANGCHAIN: "freeproviders (LangChain)",
    IN_LLAMAINDEX: "freeproviders (LlamaIndex)",
}
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "freeproviders",  # the same picture from the same numbers
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def colours(name: str) -> tuple[str, str]:
    return OURS if name in NAMES else LEAST if name == next(iter(CONTENDERS)) else OTHERS


def bars(axes: Any, rows: list[tuple[str, list[float | None]]], titles: list[str]) -> None:
    """A group of horizontal bars for each client, with its number at its end."""
    height = 0.8 / len(titles)
    for place, (name, values) in enumerate(rows):
        for number, value in enumerate(values):
            if value is None:
                continue
            at = place - 0.4 + (number + 0.5) * height
            label = titles[number] if name == CORE else None
            axes.barh(at, value, height * 0.92, color=colours(name)[number], label=label)
            said = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
            axes.annotate(said, (value, at), (4, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [NAMES.get(name, name) for name, _ in rows])
    axes.invert_yaxis()
    if len(titles) > 1:
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(titles), fontsize=9)


def pieces(results: Results) -> Any:
    figure, axes = plt.subplots(figsize=(8, 5))
    found = [
        [results.median(workload, name, "piece") for workload in ("burst", "paced")] for name in CONTENDERS
    ]
    rows = list(zip(CONTENDERS, found, strict=True))
    bars(axes, rows, ["in a burst (dark)", "1 ms apart (light)"])
    axes.set_xscale("log")
    axes.set_xlim(1, 1500)
    axes.xaxis.set_major_formatter(PLAIN)
    axes.set_xlabel("CPU time for a piece of a stream, µs (logarithmic)")
    return figure


def at_once(results: Results) -> Any:
    figure, axes = plt.subplots(figsize=(8, 4.6))
    streams, ends = [1, 100, 500], {}
    for name in CONTENDERS:
        values = [results.median(f"at_once {n}", name, "piece") for n in streams]
        if None in values:
            continue
        mine = name in NAMES
        ends[name] = values[-1]
        axes.plot(streams, values, "o-", color=colours(name)[0], lw=2.4 if mine else 1.4, ms=4)
    place = 0.0
    for name in sorted(ends, key=ends.__getitem__):  # from below, none over another
        place = max(ends[name], place * 1.13)
        axes.annotate(NAMES.get(name, name), (560, place), va="center", fontsize=9)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(streams)
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(PLAIN)
    axes.yaxis.set_major_formatter(PLAIN)
    axes.set_xlim(0.8, 4500)
    axes.set_xlabel("streams at once (logarithmic)")
    axes.set_ylabel("CPU time for a piece, µs (logarithmic)")
    return figure


def needs(results: Results) -> Any:
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4.2), sharey=True)
    for axes, workload, field, title in (
        (left, "import", "ms", "CPU time of the import, ms"),
        (right, "at_once 500", "memory", "memory after 500 streams, MB"),
    ):
        bars(axes, [(name, [results.median(workload, name, field)]) for name in CONTENDERS], [""])
        axes.set_xlabel(title)
        axes.margins(x=0.15)
    right.invert_yaxis()  # the axis is shared and was turned twice
    right.tick_params(labelleft=False)
    return figure


PLOTS = {"pieces": pieces, "at-once": at_once, "needs": needs}


def draw(name: str, results: Results, path: Path) -> None:
    with mpl.rc_context(STYLE):
        figure = PLOTS[name](results)
        figure.tight_layout()
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)
    text = re.sub(r"(\d\.\d\d)\d{3,}", r"\1", text)  # a hundredth of a point is enough
    marked = text.replace("<svg ", f"<!-- drawn from {digest(RESULTS)} -->\n<svg ", 1)
    path.write_text(marked, encoding="utf-8")


def main() -> None:
    results = Results(RESULTS)
    for name in PLOTS:
        draw(name, results, FOLDER / f"{name}.svg")


if __name__ == "__main__":
    main()
