"""The page for those who add a service: its examples are read, its code runs, no field is missing."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from freeproviders import OpenAICompatible
from freeproviders.catalogue import look_again, rows
from freeproviders.catalogue.places import ENV_SERVICES, Source
from freeproviders.catalogue.reading import built, parsed
from freeproviders.catalogue.shelf import Catalogue
from freeproviders.testing import replica
from freeproviders.wire.limits import AllowanceHeaders
from freeproviders.wire.openai.style import Style
from freeproviders.wire.signs import Kind, Sign

PAGE = (Path(__file__).parents[2] / "docs" / "adding-a-service.md").read_text(encoding="utf-8")
LEAST, WHOLE, CHANGE = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
[CODE] = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def _files_are_looked_for_again():
    yield
    look_again()


def test_the_least_is_enough(tmp_path, monkeypatch, capsys):
    """The page's code asks the service of the page's shortest file, with the key of its variable."""
    with replica(OpenAICompatible, answer="From the corner.", models=["corner-large"]) as server:
        file = tmp_path / "corner.toml"
        file.write_text(LEAST.replace("https://api.corner.example/v1", server.base_url), encoding="utf-8")
        monkeypatch.setenv(ENV_SERVICES, str(tmp_path))
        monkeypatch.setenv("CORNER_API_KEY", "the-key-of-the-corner")
        look_again()
        exec(compile(CODE, "adding-a-service.md", "exec"), {})  # noqa: S102 - our own page
        asked = server.requests[-1]
    assert capsys.readouterr().out == "From the corner.\n"
    assert asked.headers["authorization"] == "Bearer the-key-of-the-corner"
    assert asked.json["model"] == "corner-large"


def test_the_whole_one_is_a_row():
    """Each of its tables is read as what the page says."""
    corner = built(parsed(WHOLE, "corner.toml"), "corner", "corner.toml")
    assert [limit.metric for limit in corner.limit] == ["requests", "requests", "concurrency"]
    assert {sign.kind for sign in corner.error} == {"day", "minute", "request"}
    assert corner.models["corner-large"].facts == "openai/gpt-oss-120b"
    assert corner.retired["corner-tiny"].successor in corner.models
    assert corner.request.max_tokens == "max_completion_tokens"


def test_a_change_goes_on_top_of_ours(tmp_path):
    """One limit takes the place of ours, the other limits stay."""
    file = tmp_path / "groq.toml"
    file.write_text(CHANGE, encoding="utf-8")
    ours, mine = Catalogue(others=()).service("groq"), Catalogue(others=[Source("groq", file, "user")])
    groq = mine.service("groq")
    assert len(groq.limit) == len(ours.limit)
    assert 300 in {limit.cap for limit in groq.limit}
    assert set(groq.models) == {*ours.models, "my-own/model"}


@pytest.mark.parametrize(
    "row",
    [
        rows.Service, rows.ModelRow, rows.Retired, rows.Limit, rows.Headers, rows.Privacy, rows.Terms,
        rows.Gone, rows.EmbeddingRow, AllowanceHeaders, Sign, Style,
    ],
    ids=lambda row: row.__name__,
)  # fmt: skip
def test_every_field_is_explained(row):
    """A field that is added here is added to the page."""
    explained = set(re.findall(r"`(\w+)`", PAGE)) | {"id", "file"}  # given by the file's name and place
    assert {one.name for one in fields(row)} <= explained


def test_every_kind_of_refusal_is_named():
    """The words of the code are those of the page."""
    [line] = [line for line in PAGE.splitlines() if line.startswith("| `kind` |")]
    assert set(re.findall(r'"([a-z-]+)"', line)) == set(Kind.__args__)
