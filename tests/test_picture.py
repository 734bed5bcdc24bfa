"""The picture of README shows what its script prints."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SCRIPT = PICTURES / "shop_agent.py"


def shown() -> list[str]:
    """The lines of the picture."""
    drawn = (PICTURES / "first-minute.svg").read_text(encoding="utf-8")
    pieces = re.findall(r'<text class="terminal-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)<', drawn)
    lines: dict[float, str] = {}
    for x, y, text in pieces:
        lines[float(y)] = lines.get(float(y), "").ljust(round(float(x) / 12.2)) + text_of(text)
    return [line.rstrip() for _, line in sorted(lines.items())]


def text_of(drawn: str) -> str:
    return html.unescape(drawn).replace("\xa0", " ").rstrip("\n")


def test_it_shows_the_script() -> None:
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if line]
    picture = [line for line in shown() if line]
    start = picture.index(lines[0])
    assert picture[start : start + len(lines)] == lines


@pytest.mark.real
@pytest.mark.timeout(300)
def test_the_script_prints_what_it_shows() -> None:
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, timeout=280, check=True)
    *lines, answer = done.stdout.splitlines()
    picture = [line for line in shown() if line][-len(lines) - 1 :]
    assert picture[:-1] == lines
    # The words of the answer are those of one processor.
    assert answer.startswith("   ai: ")
    assert picture[-1].startswith("   ai: ")
