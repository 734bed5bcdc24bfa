"""kill -9 at random moments: every row is answered once, and nothing that was handed on is asked again."""

import pytest

from tests.batch.killing import killed

IN_FLIGHT = 8


@pytest.mark.parametrize("seed", [1])
def test_a_batch_that_is_killed_goes_on(tmp_path, seed):
    found = killed(tmp_path / "answers.db", rows=250, kills=4, in_flight=IN_FLIGHT, seed=seed)
    assert found.texts == [f"Answer to Question {number}" for number in range(250)]
    assert found.states == {"done": 250}
    assert len(found.lives) >= 4
    assert found.repeated_though_handed_on == set()
    assert found.repeated <= found.unsafe
