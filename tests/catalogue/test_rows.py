"""Files of services: what is read, what is refused with its line, and what goes on top of what."""

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.catalogue import Catalogue, catalogue
from freeproviders.catalogue.places import Source
from freeproviders.catalogue.reading import built, line_of, parsed
from freeproviders.catalogue.rows import seconds_of
from freeproviders.errors import CatalogueError, UnknownServiceError

HOUSE = """\
name = "House"
base_url = "https://house.example/v1"
keys = ["HOUSE_KEY"]
default_model = "house-blend"
checked = 2026-11-01
source = "https://house.example/docs"
confidence = "C"
limit = [
  { metric = "requests", per = "minute", cap = 3 },
  { metric = "requests", per = "day", cap = 100, reset = "fixed" },
]

[models]
"house-blend" = { cost = "allowance", context = 8000, tools = true }
"old-blend" = { cost = "allowance" }
"""


def shelf(tmp_path, own=(), others=()):
    """A catalogue of these files: (id, text) of the package, (id, text, origin) of others."""
    paths, sources = {}, []
    for n, (name, text, origin) in enumerate([*((*one, "own") for one in own), *others]):
        path = tmp_path / str(n) / f"{name}.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
        if origin == "own":
            paths[name] = path
        else:
            sources.append(Source(name, path, origin))
    return Catalogue(paths, sources)


@pytest.mark.parametrize("service_id", catalogue().ids)
def test_every_row_of_ours_is_read(service_id):
    """It is dated and sourced, and agrees with what is pinned."""
    service = Catalogue(others=()).service(service_id)
    assert service.checked is not None
    assert service.source
    assert service.confidence
    for limit in service.limit:
        assert limit.checked or service.checked
        assert limit.source or service.source


def test_a_row_is_what_its_file_says(tmp_path):
    """Lists and tables become rows of their own, defaults are filled in."""
    house = shelf(tmp_path, [("house", HOUSE)]).service("House")
    assert (house.id, house.key, house.keys) == ("house", "required", ("HOUSE_KEY",))
    assert [(limit.per, limit.cap, limit.reset) for limit in house.limit] == [
        ("minute", 3, "unknown"),
        ("day", 100, "fixed"),
    ]
    assert house.models["house-blend"].context == 8000


@pytest.mark.parametrize(
    ("wrong", "line", "said"),
    [
        (HOUSE.replace('name = "House"', 'name = "House'), 1, "TOML"),
        (HOUSE.replace("keys", "kyes"), 3, "There is no field 'kyes': is 'keys' meant."),
        (HOUSE.replace('per = "day"', 'pre = "day"'), 10, "There is no field 'pre': is 'per' meant."),
        (HOUSE.replace("cap = 3", 'cap = "3"'), 9, "cap"),
        (HOUSE.replace('per = "day"', 'per = "fortnight"'), 10, "'fortnight' is no period"),
        (HOUSE.replace("2026-11-01", "2126-11-01"), 5, "future"),
        (HOUSE.replace("2026-11-01", '"2026-11-01"'), 5, "checked"),
        (HOUSE.replace('confidence = "C"', 'confidence = "E"'), 7, "confidence"),
        (HOUSE.replace("keys =", "transit = 0\nkeys ="), 3, "transit must be a number of seconds above 0."),
        (HOUSE.replace("tools = true", "tols = true"), 14, "There is no field 'tols': is 'tools' meant."),
        (HOUSE.replace('cost = "allowance" }', 'cost = "free" }'), 15, "cost"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_line(wrong, line, said):
    """The message names the file, the line and the field."""
    with pytest.raises(CatalogueError) as caught:
        parsed(wrong, "house.toml")
    message = str(caught.value)
    assert said in message
    assert "house.toml" in message
    assert caught.value.line in {line, None}
    assert caught.value.line == line or f"line {line}" in message


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (HOUSE.replace('"house-blend"\n', '"new-blend"\n', 1), "'new-blend' is a default"),
        (HOUSE.replace('source = "https://house.example/docs"\n', ""), "source"),
        (HOUSE + '[retired]\n"house-blend" = { on = 2026-11-01 }\n', "[retired] too"),
        (HOUSE.replace('base_url = "https://house.example/v1"\n', ""), "base_url is missing"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(wrong, said):
    """What the parts say against each other is found when the whole is there."""
    with pytest.raises(CatalogueError) as caught:
        built(parsed(wrong, "house.toml"), "house", "house.toml")
    assert said in str(caught.value)


def test_a_users_file_goes_on_top(tmp_path):
    """Fields replace, tables and lists are put together, and one limit replaces one of its kind."""
    mine = """\
        default_model = "old-blend"
        limit = [{ metric = "requests", per = "minute", cap = 30, checked = 2026-11-02, source = "seen" }]
        [models]
        "new-blend" = { cost = "paid" }
        "house-blend" = { cost = "allowance", context = 9000 }
    """
    found = shelf(tmp_path, [("house", HOUSE)], [("house", mine, "user")])
    house = found.service("house")
    assert house.default_model == "old-blend"
    assert sorted(house.models) == ["house-blend", "new-blend", "old-blend"]
    assert {limit.per: limit.cap for limit in house.limit} == {"day": 100, "minute": 30}
    source = found.files_of("house")[-1]
    assert {change.field for change in found.changes(source)} == {"default_model", "limit", "models"}
    assert house.file == str(source.path)


def test_names_are_found_however_they_are_written(tmp_path):
    """By id, in any case and with any hyphens; else one that is alike is suggested."""
    found = shelf(tmp_path, [("my-house", HOUSE)])
    assert found.service("my-house") is found.service("My House") is found.service("my_house")
    with pytest.raises(UnknownServiceError, match="Did you mean 'my-house'"):
        found.service("my-hose")


def test_user_folders(tmp_path, monkeypatch):
    """Files lie in the platform's folder for settings, and where the environment says."""
    folder = tmp_path / "config" / "freeproviders" / "services"
    folder.mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("sys.platform", "linux")
    (folder / "one.toml").write_text(HOUSE)
    (tmp_path / "two.toml").write_text(HOUSE)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "three.toml").write_text(HOUSE)
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", f"{tmp_path / 'two.toml'}:{tmp_path / 'more'}")
    assert {"one", "two", "three"} <= set(Catalogue().ids)


@pytest.mark.parametrize(("period", "seconds"), [("minute", 60), ("5 hours", 18_000), ("day", 86_400)])
def test_periods(period, seconds):
    """A period is a unit, or a number of them."""
    assert seconds_of(period) == seconds


@given(st.text(alphabet=string.printable, max_size=60))
def test_any_text_is_a_row_or_an_error_of_ours(text):
    """Nothing but `CatalogueError` leaves the reader."""
    with suppress(CatalogueError):
        built(parsed(text, "f"), "house", "f")


def test_a_line_is_found_in_tables_of_either_form():
    """An item of a list is found whether it is an inline table or one of its own."""
    text = 'a = 1\n[[limit]]\nper = "day"\n[[limit]]\nper = "x"\n'
    assert line_of(text, ("limit", 1, "per")) == 5
    assert line_of('limit = [\n  { per = "x" },\n  { per = "y" },\n]\n', ("limit", 1, "per")) == 3
