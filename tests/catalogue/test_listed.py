"""Lists of models that services announced: kept, read, and believed before what a row says."""

import asyncio
import json
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from freeproviders import OpenAICompatible
from freeproviders.catalogue import catalogue, look_again
from freeproviders.catalogue.rows import Retired
from freeproviders.errors import RetiredModelError
from freeproviders.listed import _read as read_lists
from freeproviders.listed import is_listed_since, keep, listed_at, path_of
from tests.catalogue.test_rows import HOUSE, shelf

GONE = "llama-3.3-70b-versatile"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache folder of its own."""
    monkeypatch.setenv("FREEPROVIDERS_CACHE", str(tmp_path))
    read_lists.cache_clear()
    yield tmp_path / "services"
    read_lists.cache_clear()


def test_a_list_is_kept_with_its_date_and_for_its_user_alone(folder):
    """Whole, without a second file beside it, each name once and as requests have it."""
    groq = catalogue().service("groq")
    before = datetime.now(UTC).replace(microsecond=0)
    kept = keep(groq, groq.base_url, ["a", "models/b", "a", 7, None, "", "c/ü"])
    assert kept.models == ("a", "b", "c/ü")
    assert before <= kept.at <= datetime.now(UTC)
    assert [path.name for path in folder.iterdir()] == ["groq.json"]
    assert listed_at(groq) == kept
    if sys.platform != "win32":
        assert path_of("groq").stat().st_mode & 0o777 == 0o600
    keep(groq, groq.base_url, ["d"])  # the second takes the place of the first
    found = listed_at(groq)
    assert found is not None
    assert found.models == ("d",)


def test_the_list_of_another_address_is_another_services():
    """A gateway's list says nothing about the service itself."""
    groq = catalogue().service("groq")
    keep(groq, "https://gw.example/v1", [GONE])
    assert listed_at(groq) is None
    assert listed_at(groq, "https://gw.example/v1") is not None
    assert not is_listed_since(groq, GONE, groq.retired[GONE])


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"at": 3}', '{"at": "yesterday", "base_url": "", "models": []}', "\x00"]
)
def test_a_damaged_file_counts_as_none(folder, text):
    """It is written anew at the next refresh."""
    folder.mkdir()
    path_of("groq").write_text(text)
    groq = catalogue().service("groq")
    assert listed_at(groq) is None
    keep(groq, groq.base_url, ["x"])
    assert listed_at(groq) is not None


def test_a_model_that_is_listed_is_asked_though_the_row_says_it_is_gone(monkeypatch):
    """What is announced beats the row, and the user's file too."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk_a1b2c3d4e5")
    with pytest.raises(RetiredModelError):
        OpenAICompatible(GONE, service="groq")
    groq = catalogue().service("groq")
    keep(groq, groq.base_url, [GONE])
    assert OpenAICompatible(GONE, service="groq").model == GONE
    assert OpenAICompatible(GONE, service="groq", fallback=True).model == GONE  # and not its successor
    keep(groq, groq.base_url, ["another"])
    with pytest.raises(RetiredModelError):
        OpenAICompatible(GONE, service="groq")


def test_a_list_older_than_the_rows_knowledge_does_not_count(tmp_path, folder):
    """The later look counts: at the row's day, or at the day on which the model went."""
    house = shelf(tmp_path / "rows", [("house", HOUSE)]).service("house")
    today = datetime.now(UTC)
    folder.mkdir()

    def listed_before(days, gone):
        at = today - timedelta(days=days)
        document = {"at": at.isoformat(), "base_url": house.base_url, "models": ["m"]}
        path_of("house").write_text(json.dumps(document))
        read_lists.cache_clear()
        return is_listed_since(house, "m", gone)

    def ago(days):
        return date.fromordinal(today.date().toordinal() - days)

    seen_gone = Retired(on=ago(20), checked=ago(10), source="x")
    assert listed_before(9, seen_gone)
    assert listed_before(10, seen_gone)
    assert not listed_before(11, seen_gone)
    announced = Retired(on=ago(5), checked=ago(30), source="x")  # told before it happened
    assert listed_before(4, announced)
    assert not listed_before(6, announced)
    to_come = Retired(on=ago(-5), checked=ago(3), source="x")
    assert listed_before(0, to_come)


async def test_a_list_beats_the_users_file_and_is_read_on_an_event_loop(tmp_path, monkeypatch):
    """The guard of these tests refuses a read that would hold up the loop."""
    path = tmp_path / "mine" / "groq.toml"
    path.parent.mkdir()
    path.write_text('[retired]\n"of-mine" = { on = 2026-01-01, checked = 2026-01-02, source = "seen" }\n')
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", str(path))
    monkeypatch.setenv("GROQ_API_KEY", "gsk_a1b2c3d4e5")
    groq = (await asyncio.to_thread(look_again)).service("groq")
    try:
        provider = OpenAICompatible(service="groq")
        for name in ("of-mine", GONE):
            with pytest.raises(RetiredModelError):
                provider.model_to_ask(name)
        await asyncio.to_thread(keep, groq, groq.base_url, ["of-mine", GONE])
        assert [provider.model_to_ask(name) for name in ("of-mine", GONE)] == ["of-mine", GONE]
    finally:
        monkeypatch.undo()
        await asyncio.to_thread(look_again)
