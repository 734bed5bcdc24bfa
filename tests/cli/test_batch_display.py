"""What the state of a batch says of waits, and of its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from freeproviders.batch import Progress
from freeproviders.batch.progress import Pause
from freeproviders.cli.batch_display import BatchDisplay
from freeproviders.cli.moments import shown_moment


def test_a_short_wait_is_a_length_and_a_long_one_a_time() -> None:
    progress = Progress()
    display = BatchDisplay(progress)
    long = datetime.now(UTC) + timedelta(hours=3)
    progress.pause = Pause(long, "Too many. And more.")
    assert display.lines()[-1] == f"Waiting until {shown_moment(long)}: Too many."
    progress.pause = Pause(datetime.now(UTC), "Too many.")
    assert display.lines()[-1] == "Waiting 1 second: Too many."


@pytest.mark.parametrize(("hours", "shown"), [(-1, False), (1, True)])
def test_no_end_is_told_that_comes_before_the_wait_is_over(hours: int, shown: bool) -> None:
    progress = Progress()
    display = BatchDisplay(progress)
    over = datetime.now(UTC) + timedelta(hours=3)
    progress.pause = Pause(over, "Too many.")
    display.ends = over + timedelta(hours=hours)
    assert any(line.startswith("It ends about") for line in display.lines()) is shown
