"""Many texts through a small limit and many faults, in a process that is killed: nothing lost, nothing over.

The whole run, of 10,000 texts and ten kills, is `python -m benchmarks.indexing`.
"""

from benchmarks.indexing import Job, run


def test_a_killed_run_goes_on_where_it_ended():
    """Three requests of ten fail, a window has room for fifty: what was in flight is asked for again."""
    said = run(Job(texts=120, cap=50, kills=2))
    assert (said["vectors"], said["right"]) == (120, 120)
    assert said["over the limit"] == 0
    assert said["answered twice"] <= 2 * 16
