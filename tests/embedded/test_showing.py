"""A download as it is shown in a log, in a terminal and in a notebook."""

from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from freeproviders.embedded import showing

TOTAL = 500_000_000
SOURCE = "Fetching the model from <somewhere>."


class Clock:
    """The time, which goes on by itself with each look."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(place: showing.Shown, steps: int = 1000) -> None:
    place.say(SOURCE)
    for step in range(steps + 1):
        place.show(TOTAL * step // steps, TOTAL)
    place.close()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock(0.01)
    monkeypatch.setattr(showing, "monotonic", made)
    return made


def test_a_log_gets_a_line_for_each_tenth() -> None:
    out = io.StringIO()
    run(showing.InLog(out))
    source, *lines = out.getvalue().splitlines()
    assert source == SOURCE
    assert [int(line.partition(" %")[0]) // 10 for line in lines] == list(range(1, 11))
    assert re.search(r"\(25\d of 500 MB, ", lines[4])
    assert " MB/s, 0:" in lines[4]
    assert lines[4].endswith(" min left)")
    assert "\r" not in out.getvalue()


def test_a_slow_download_gets_a_line_for_each_half_minute(clock: Clock) -> None:
    clock.step = 5.0
    out = io.StringIO()
    place = showing.InLog(out)
    for there in range(100):
        place.show(there, TOTAL)
    assert 10 < len(out.getvalue().splitlines()) <= 40


def test_a_terminal_without_rich_has_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    place = showing.shown()
    run(place)
    first, last = out.getvalue().splitlines()[0], out.getvalue().split("\r")[-1]
    assert first == SOURCE
    assert last.startswith("100 % (500 of 500 MB")
    assert out.getvalue().endswith("\n")
    assert out.getvalue().count("\n") == 2


def test_a_terminal_with_rich_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", out)
    place = showing.shown()
    assert isinstance(place, showing.InTerminal)
    run(place, 10)
    assert out.getvalue().startswith(f"{SOURCE}\n")
    assert "500.0/500.0 MB" in out.getvalue()


@pytest.mark.parametrize("stderr", [None, io.StringIO()], ids=["none", "closed"])
def test_a_missing_stream_is_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, stderr: io.StringIO | None
) -> None:
    if stderr is not None:
        stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    run(showing.shown())


def test_a_notebook_has_a_bar_below_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    """One display that is updated; what is shown is escaped."""
    shown: list[dict[str, str]] = []

    def display(data: dict[str, str], **how: Any) -> Any:
        assert how == {"raw": True, "display_id": True}
        shown.append(data)
        return SimpleNamespace(update=lambda data, raw: shown.append(data))

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    place = showing.shown()
    assert isinstance(place, showing.InNotebook)
    run(place)
    assert "&lt;somewhere&gt;" in shown[0]["text/html"]
    assert f'<progress value="{TOTAL}" max="{TOTAL}"' in shown[-1]["text/html"]
    assert "<script" not in str(shown)
    assert shown[-1]["text/plain"].splitlines()[-1].startswith("100 % (500 of 500 MB")
    assert len(shown) < 120  # a few times a second, however many bytes come


def test_a_shell_that_is_no_notebook_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=object))
    assert isinstance(showing.shown(), showing.InLog)
