"""What the user has confirmed: the call, the environment, a file of his."""

from __future__ import annotations

import contextlib
import stat
import sys
from datetime import date

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeproviders import consent
from freeproviders.errors import UnknownServiceError, UsageError


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(consent.ENV_CONFIRMED, raising=False)
    return tmp_path / "freeproviders"


def test_nothing_is_confirmed_where_nobody_did():
    assert consent.confirmed_services() == frozenset()
    assert not consent.revoke("groq")
    assert not consent.path().exists()


def test_all_three_places_count(monkeypatch):
    assert consent.confirm("Groq") == "groq"
    monkeypatch.setenv(consent.ENV_CONFIRMED, "mistral, ,NVIDIA,")
    assert consent.confirmed_services(["Gemini"]) == {"groq", "mistral", "nvidia", "gemini"}
    assert isinstance(consent.kept()["groq"], date)
    assert consent.revoke("groq")
    assert consent.confirmed_services() == {"mistral", "nvidia"}


def test_the_day_of_the_first_confirmation_stays(folder):
    folder.mkdir()
    consent.path().write_text('{"version": 1, "confirmed": {"groq": "2026-01-02"}}')
    consent.confirm("groq")
    consent.confirm("mistral")
    assert consent.kept()["groq"] == date(2026, 1, 2)


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are those of POSIX")
def test_the_file_is_the_users_alone(folder):
    folder.mkdir(mode=0o755)
    consent.confirm("groq")
    assert stat.S_IMODE(consent.path().stat().st_mode) == 0o600
    assert [one.name for one in folder.iterdir()] == ["confirmed.json"]
    other = folder.parent / "other.json"
    consent.path().rename(other)
    consent.path().symlink_to(other)
    with pytest.raises(UsageError, match="is a link"):
        consent.confirm("mistral")
    assert "mistral" not in other.read_text()


def test_a_folder_that_cannot_be_written_is_named(folder):
    folder.write_text("a file in its place")
    with pytest.raises(UsageError, match=str(folder)):
        consent.confirm("groq")


def test_a_service_that_is_gone_from_the_catalogue_can_be_revoked(folder):
    folder.mkdir()
    consent.path().write_text('{"version": 1, "confirmed": {"of-yesterday": "2026-01-02"}}')
    assert consent.confirmed_services() == {"of-yesterday"}  # and no row has this id
    assert consent.revoke("of-yesterday")
    assert not consent.kept()


@pytest.mark.parametrize("given", [["grok"], [""], [7], "groq", [None]])
def test_what_is_no_service_is_refused(given):
    with pytest.raises(UsageError):
        consent.confirmed_services(given)


def test_the_error_says_where_the_name_was(monkeypatch):
    with pytest.raises(UnknownServiceError, match=r"Did you mean 'groq'\?.*in confirmed\."):
        consent.confirmed_services(["grok"])
    monkeypatch.setenv(consent.ENV_CONFIRMED, "grok")
    with pytest.raises(UnknownServiceError, match=r"in FREEPROVIDERS_CONFIRMED\."):
        consent.confirmed_services()


DAMAGED = [
    "",
    "{",
    "[]",
    "null",
    "7",
    '{"confirmed": {"groq": "2026-01-02"}}',
    '{"version": 2, "confirmed": {"groq": "2026-01-02"}}',
    '{"version": 1}',
    '{"version": 1, "confirmed": ["groq"]}',
    '{"version": 1, "confirmed": "groq"}',
    '{"version": 1, "confirmed": {"groq": true}}',
    '{"version": 1, "confirmed": {"groq": "yes"}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_is_an_error_that_names_it(folder, text):
    folder.mkdir()
    consent.path().write_text(text)
    for act in (consent.confirmed_services, lambda: consent.confirm("groq"), lambda: consent.revoke("groq")):
        with pytest.raises(UsageError, match=r"confirmed\.json is damaged.*services confirm"):
            act()
    assert consent.path().read_text() == text  # and nothing is written over it


def test_a_file_that_cannot_be_read_is_an_error(folder):
    folder.mkdir()
    consent.path().mkdir()
    with pytest.raises(UsageError, match=r"confirmed\.json cannot be read"):
        consent.confirmed_services()
    consent.path().rmdir()
    consent.path().write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"confirmed\.json cannot be read"):
        consent.confirmed_services()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, 200), data=st.binary(max_size=3))
def test_no_file_that_was_cut_or_spoilt_is_taken_for_more_than_it_says(folder, cut, data):
    """Whatever became of the bytes: what was never confirmed is not, or the file is an error."""
    consent.path().unlink(missing_ok=True)
    consent.confirm("groq")
    consent.confirm("mistral")
    whole = consent.path().read_bytes()
    consent.path().write_bytes(whole[:cut] + data)
    found = set()
    with contextlib.suppress(UsageError):
        found = set(consent.kept())
    assert found <= {"groq", "mistral"}
