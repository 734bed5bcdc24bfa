"""What is noted of a run, and the lock that lets one process at a time write its output."""

from contextlib import ExitStack

import pytest

from freeproviders.batch.tables import note
from freeproviders.batch.tables.note import RunNote, alone, is_running
from freeproviders.errors import UsageError


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("FREEPROVIDERS_STATE", str(tmp_path))


def test_two_runs_with_one_output_are_refused():
    assert not is_running("out.csv")
    with alone("out.csv"):
        assert is_running("out.csv")
        assert not is_running("other.csv")
        with pytest.raises(UsageError, match="Another process"), alone("out.csv"):
            pass
    assert not is_running("out.csv")


def test_who_only_asks_how_a_run_fares_is_not_in_its_way(monkeypatch):
    asking = ExitStack()
    asking.enter_context(alone("out.csv"))
    monkeypatch.setattr(note, "sleep", lambda _: asking.close())
    with alone("out.csv"):
        assert is_running("out.csv")


def test_a_note_that_cannot_be_written_is_said(tmp_path):
    state = RunNote(output="out.csv", rows=3)
    state.save()
    (found,) = (tmp_path / note.FOLDER).glob("*.json")
    assert RunNote.of("out.csv").rows == 3
    found.unlink()
    found.mkdir()
    with pytest.raises(UsageError, match="cannot be noted"):
        state.save()
    assert [one.name for one in (tmp_path / note.FOLDER).iterdir()] == [found.name]
