"""What a kernel draws, noted as data: the labels and the points of each figure that it shows.

The tests import this in the kernel, before the first cell, so that they see what is about to be
turned into a picture.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "FREEPROVIDERS_TEST_FIGURES"
"""The environment variable that names the file: a line of JSON for each figure."""


def note(figure: Any) -> None:
    """Add a figure to the file."""
    with Path(os.environ[VARIABLE]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([described(one) for one in figure.axes]) + "\n")


def described(axes: Any) -> dict[str, Any]:
    """Return the words of one pair of axes, and the points of its lines."""
    legend = axes.get_legend()
    return {
        "title": axes.get_title(),
        "x": axes.get_xlabel(),
        "y": axes.get_ylabel(),
        "names": [text.get_text() for text in legend.get_texts()] if legend else [],
        "ticks": [text.get_text() for text in axes.get_yticklabels()],
        "lines": {
            line.get_label(): [[float(x), float(y)] for x, y in line.get_xydata()] for line in axes.lines
        },
        "points": {
            dots.get_label(): [[float(x), float(y)] for x, y in dots.get_offsets()]
            for dots in axes.collections
        },
        "bars": [float(bar.get_height()) for bar in axes.patches],
    }


def watch() -> None:
    """Look at all that is displayed; a figure is closed right after that."""
    from IPython import get_ipython

    formatter = get_ipython().display_formatter
    formats = formatter.format

    def noted(shown: Any, *args: Any, **keywords: Any) -> Any:
        if type(shown).__module__ == "matplotlib.figure":
            note(shown)
        return formats(shown, *args, **keywords)

    formatter.format = noted
