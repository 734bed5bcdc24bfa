"""Checks of files: every mistake is found, and what a file changes is said fact by fact."""

from datetime import date

import pytest

from freeproviders.catalogue import Catalogue
from freeproviders.catalogue.check import (
    dated_facts,
    effects,
    mistakes,
    readdressed,
    sources_in,
)
from freeproviders.catalogue.places import Source, packages
from freeproviders.catalogue.rows import STALE_DAYS, Limit, Privacy
from freeproviders.catalogue.words import amount, day, free, oldest, privacy, seen, shown
from tests.catalogue.test_rows import HOUSE, shelf

MISTAKEN = """\
nme = "x"
keys = 3
checked = 2126-01-01
limit = [
  { metric = "requests", per = "minute", cap = 2 },
  { metric = "requets", per = "day", cap = 2 },
]
"""


def file_of(tmp_path, name, text):
    """A user's file."""
    path = tmp_path / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return Source(name, path, "user")


def test_every_mistake_of_a_file_is_found_with_its_line(tmp_path):
    """In the order of the lines, not only the first one."""
    found = mistakes(file_of(tmp_path, "house", MISTAKEN))
    assert [mistake.line for mistake in found] == [1, 2, 3, 6]
    assert all(mistake.file.endswith("house.toml") for mistake in found)


def test_every_contradiction_and_objection_is_found(tmp_path):
    """What only the whole row shows, and what the pins say."""
    text = HOUSE.replace('"HOUSE_KEY"', '"GROQ_API_KEY", "MISTRAL_API_KEY"')
    text = text.replace('default_model = "house-blend"', 'default_model = "no-blend"')
    said = [str(mistake) for mistake in mistakes(file_of(tmp_path, "house", text))]
    assert len(said) == 3
    for words in ("'no-blend' is a default", "the key of groq", "the key of mistral"):
        assert any(words in one for one in said), words


def test_a_file_goes_on_top_of_the_ones_below(tmp_path):
    """A part of a row is whole where others hold the rest."""
    part = file_of(tmp_path, "house", 'default_model = "old-blend"\n')
    (tmp_path / "below").mkdir()
    below = file_of(tmp_path / "below", "house", HOUSE)
    assert [str(one) for one in mistakes(part)] != []
    assert mistakes(part, [below]) == []


@pytest.mark.parametrize("data", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path, data):
    """Its name is said, and no exception leaves."""
    path = tmp_path / "house.toml"
    if data is not None:
        path.write_bytes(data)
    (mistake,) = mistakes(Source("house", path, "user"))
    assert "cannot be read" in str(mistake)
    assert str(path) in str(mistake)


def test_another_packages_file_is_told_what_forbids_it(tmp_path):
    """A pinned id, as the catalogue itself refuses it."""
    path = tmp_path / "groq.toml"
    path.write_text(HOUSE)
    assert any("may not change it" in str(one) for one in mistakes(Source("groq", path, "package")))


def test_what_a_file_changes_is_told_fact_by_fact(tmp_path):
    """Field, before and after; a new one has nothing before."""
    text = """\
base_url = "https://gw.example/v1"
keys = ["MY_KEY"]
limit = [{ metric = "usd", per = "month", cap = 2, source = "x" }]
[models]
"openai/gpt-oss-20b" = { cost = "paid" }
"new" = { cost = "never" }
"""
    source = file_of(tmp_path, "groq", text)
    groq = Catalogue(others=()).service("groq")
    found = {change.field: (change.before, change.after) for change in effects(source)}
    assert found == {
        "base_url": (groq.base_url, "https://gw.example/v1"),
        "keys": (["GROQ_API_KEY"], ["MY_KEY"]),
        "limit (usd month)": (None, {"metric": "usd", "per": "month", "cap": 2, "source": "x"}),
        "models.openai/gpt-oss-20b.cost": ("allowance", "paid"),
        "models.new.cost": (None, "never"),
    }
    change = readdressed(source)
    assert change is not None
    assert change.after == "https://gw.example/v1"
    assert readdressed(file_of(tmp_path, "house", HOUSE)) is None


def test_a_limit_that_takes_the_place_of_another_is_a_change(tmp_path):
    """Only its own facts are told, not the limits that stay."""
    first = Catalogue(others=()).service("openrouter").limit[1]
    models = ", ".join(f'"{name}"' for name in first.models)
    text = (
        f'limit = [{{ metric = "{first.metric}", per = "{first.per}", cap = 1000, scope = "{first.scope}", '
        f'models = [{models}], reset = "fixed" }}]\n'
    )
    found = {
        change.field.rpartition(".")[2]: change for change in effects(file_of(tmp_path, "openrouter", text))
    }
    assert found["cap"].before == first.cap
    assert found["cap"].after == 1000
    assert not {"metric", "per", "scope", "reset"} & found.keys()


def test_folders_and_files_are_looked_through(tmp_path):
    """A folder stands for its files of services."""
    file_of(tmp_path, "house", HOUSE)
    (tmp_path / "notes.txt").write_text("x")
    assert [source.id for source in sources_in([tmp_path, tmp_path / "house.toml"])] == ["house", "house"]


def test_a_package_that_cannot_be_found_does_not_hide_the_others(tmp_path, monkeypatch):
    """What is wrong with it is said; the files of the others and our own are read."""
    (tmp_path / "corner_services").mkdir()
    (tmp_path / "corner_services" / "__init__.py").write_text("raise RuntimeError('code runs for data')")
    (tmp_path / "corner_services" / "corner.toml").write_text(HOUSE)
    info = tmp_path / "corner-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: corner\nVersion: 1.0\n")
    points = ["lost = nowhere_services", "deep = nowhere.services", "corner = corner_services"]
    (info / "entry_points.txt").write_text("[freeproviders.services]\n" + "\n".join(points))
    monkeypatch.syspath_prepend(str(tmp_path))
    found = [package for package in packages() if package.name == "corner"]
    assert sorted(bool(package.wrong) for package in found) == [False, True, True]
    assert any("'nowhere.services' cannot be found" in package.wrong for package in found)
    assert Catalogue().service("corner").name == "House"
    assert "groq" in Catalogue().ids


def test_facts_have_the_date_of_their_service_unless_they_have_one(tmp_path):
    """Each limit is a fact; a model is one where it has a date."""
    text = HOUSE.replace('per = "day", cap = 100', 'per = "day", cap = 100, checked = 2026-05-01')
    house = shelf(tmp_path, [("house", text)]).service("house")
    facts = {fact.fact: fact.known.checked for fact in dated_facts(house)}
    assert facts == {
        "the service": date(2026, 11, 1),
        "limit: 3 requests a minute": date(2026, 11, 1),
        "limit: 100 requests a day": date(2026, 5, 1),
    }
    assert oldest(house) == date(2026, 5, 1)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit(metric="requests", per="day", cap=1000, scope="model"), "1 000 requests a day for each model"),
        (Limit(metric="tokens", per="month", cap=1e9), "1 000 000 000 tokens a month"),
        (Limit(metric="requests", per="5 hours", cap=1), "1 request in 5 hours"),
        (Limit(metric="concurrency", cap=1), "1 request at the same time"),
        (Limit(metric="concurrency", cap=2), "2 requests at the same time"),
        (Limit(metric="usd", per="month", cap=0.1), "0.1 USD a month"),
    ],
)
def test_a_limit_in_words(limit, words):
    """Numbers have groups and no exponent, units are written as people write them."""
    assert shown(limit) == words


def test_an_old_fact_is_shown_as_unknown():
    """At the 91st day, with what it was; before that with its day, source and confidence."""
    limit = Limit(
        metric="requests", per="day", cap=5, checked=date(2026, 1, 1), source="docs", confidence="A"
    )
    limits = {
        0: "5 requests a day, seen 1 Jan 2026 (docs), confidence A",
        91: "unknown, was 5 requests a day (1 Jan 2026)",
    }
    for days, words in limits.items():
        today = date.fromordinal(limit.checked.toordinal() + days)
        assert seen(shown(limit), limit, today) == words
    assert STALE_DAYS == 90
    assert day(date(2026, 9, 3)) == "3 Sep 2026"
    assert amount(0) == "0"


def test_what_is_free_in_words(tmp_path):
    """By the limit that says most, or by what has ended; for a day that is given, by its age."""
    house = shelf(tmp_path, [("house", HOUSE)]).service("house")
    assert free(house) == "100 requests a day"
    assert free(house, date(2026, 11, 21)) == "100 requests a day"
    assert free(house, date(2027, 2, 21)) == "unknown, was 100 requests a day (1 Nov 2026)"
    ours = Catalogue(others=())
    assert free(ours.service("github-models")) == "nothing since 30 Jul 2026"
    assert free(ours.service("ollama")).startswith("everything")
    assert all(free(service) for service in ours)


def test_privacy_in_words():
    """Both halves where both are known."""
    assert privacy(Privacy(trains="no", logs="no")) == "does not train on prompts and does not keep them"
    assert privacy(Privacy(trains="opt-out", logs="opt-out")).endswith(", unless the account says no")
    assert privacy(Privacy(logs="yes")) == "keeps prompts, not known whether it trains on them"
    assert privacy(Privacy()) == "not known"
