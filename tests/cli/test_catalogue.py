"""`freeproviders catalogue` and `chat --service`: what is told, in which words, and what is not told."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from freeproviders.catalogue import Catalogue
from freeproviders.catalogue.places import OWN
from freeproviders.testing import replica
from tests.cli.command import Terminal, plain, run

KEY = "sk-house-a1b2c3d4e5f6"
TODAY = datetime.now(UTC).date()
HOUSE = """\
name = "House"
base_url = "{base_url}"
keys = ["HOUSE_KEY"]
key_address = "https://house.example/keys"
default_model = "house-blend"
checked = {today}
source = "https://house.example/docs"
confidence = "B"
limit = [
  {{ metric = "requests", per = "day", cap = 1000, scope = "model" }},
  {{ metric = "tokens", per = "minute", cap = 8000, checked = {old}, source = "a list" }},
]
privacy = {{ trains = "no" }}

[models]
"house-blend" = {{ cost = "allowance", context = 8000, tools = true, retires = 2099-01-31 }}
"long-blend" = {{ cost = "paid", context = 200000, tools = false }}
"stale-blend" = {{ cost = "never", checked = {old}, source = "a list" }}

[retired]
"old-blend" = {{ on = 2026-01-02, successor = "house-blend", why = "too old" }}

[terms]
use = "evaluation"
age = 18
"""


def written(day: date) -> str:
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    return f"{day.day} {months[day.month - 1]} {day.year}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the file of a service of the user's own."""
    put(tmp_path)
    return tmp_path


def put(
    folder: Path, base_url: str = "https://house.example/v1", old: date = TODAY - timedelta(days=100)
) -> None:
    (folder / "house.toml").write_text(HOUSE.format(base_url=base_url, today=TODAY, old=old))


def environment(folder: Path, **changes: str) -> dict[str, str]:
    return {
        "FREEPROVIDERS_SERVICES": str(folder),
        "FREEPROVIDERS_CACHE": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        **changes,
    }


def test_each_service_that_is_there_is_a_line(folder: Path) -> None:
    done = run("catalogue", env=environment(folder))
    assert done.returncode == 0
    lines = done.stdout.decode().splitlines()
    for service in Catalogue(others=()):
        found = [line for line in lines if line.split(" ", 1)[0] == service.id]
        gone = service.gone is not None and service.gone.what == "service"
        assert len(found) == (not gone), service.id
        assert gone == (
            service.id in done.stderr.decode().partition("Gone: ")[2].partition(".")[0].split(", ")
        )
    (line,) = [line for line in lines if line.startswith("house ")]
    for words in ("1 000 requests a day for each model", "does not train", "HOUSE_KEY (not set)", "100 days"):
        assert words in line


def test_what_is_old_is_marked_in_a_line_that_can_be_read(folder: Path) -> None:
    """A mark with its meaning takes less room than the words; a pipe gets lines of 200 columns at most."""
    old = TODAY - timedelta(days=100)
    row = HOUSE.format(base_url="https://house.example/v1", today=old, old=old)
    (folder / "house.toml").write_text(row)
    for arguments in (["catalogue", "--free"], ["catalogue"]):
        lines = run(*arguments, env=environment(folder)).stdout.decode().splitlines()
        assert max(map(len, lines)) <= 200
        (line,) = [line for line in lines if line.startswith("house ")]
        assert "was 1 000 requests a day for each model * " in line
        assert "was does not train * " in line
        assert lines[-1].startswith("*: so it was when it was checked, more than 90 days ago")
    fresh = run("catalogue", "--local", env=environment(folder)).stdout.decode()
    assert "was everything" not in fresh


def test_a_key_is_told_to_be_there_and_never_shown(folder: Path) -> None:
    env = environment(folder, HOUSE_KEY=KEY)
    for arguments in (
        ["catalogue"],
        ["catalogue", "--json"],
        ["catalogue", "house"],
        ["catalogue", "show", "house", "--json"],
    ):
        done = run(*arguments, env=env)
        assert done.returncode == 0
        assert KEY.encode() not in done.stdout + done.stderr
    assert b"HOUSE_KEY (set)" in run("catalogue", "house", env=env).stdout
    rows = {row["id"]: row for row in json.loads(run("catalogue", "--json", env=env).stdout)}
    assert rows["house"]["key_set"] == "HOUSE_KEY"


@pytest.mark.parametrize(
    ("filters", "is_there"),
    [
        (["--free"], True),
        (["--free", "--tools", "--private"], True),
        (["--window", "200000"], True),
        (["--window", "200001"], False),
        (["--free", "--window", "100000"], False),  # two models, neither of which fits both
        (["--tools", "--window", "8001"], False),
        (["--local"], False),
    ],
)  # fmt: skip
def test_one_model_must_fit_all_filters(folder: Path, filters: list[str], is_there: bool) -> None:
    rows = json.loads(run("catalogue", "--json", *filters, env=environment(folder)).stdout)
    assert ("house" in {row["id"] for row in rows}) is is_there
    for row in rows:
        assert row["models"] or not {"--free", "--tools", "--window"} & set(filters)
        assert row["trains"] == "no" or "--private" not in filters
        assert row["local"] or "--local" not in filters


def test_nothing_fits(folder: Path) -> None:
    done = run("catalogue", "--window", "999999999", env=environment(folder))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"No service is like that.\n")


@pytest.mark.parametrize("arguments", [["house"], ["show", "House"]])
def test_a_service_is_shown_with_the_age_of_its_facts(folder: Path, arguments: list[str]) -> None:
    shown = run("catalogue", *arguments, env=environment(folder)).stdout.decode()
    today, old = written(TODAY), written(TODAY - timedelta(days=100))
    for line in (
        "House (house), https://house.example/v1",
        "Key: HOUSE_KEY (not set); keys are issued at https://house.example/keys",
        f"  1 000 requests a day for each model, seen {today} (https://house.example/docs), confidence B",
        f"  unknown, was 8 000 tokens a minute ({old})",
        f"Terms: evaluation use; from 18 years, seen {today} (https://house.example/docs), confidence B",
        "  old-blend: gone since 2 Jan 2026, use house-blend (too old)",
        f"Your file {folder / 'house.toml'} changes it: `freeproviders catalogue check` says what.",
    ):
        assert line in shown.splitlines(), line
    (model,) = [line for line in shown.splitlines() if line.startswith("house-blend ")]
    assert model.split()[1:4] == ["allowance", "8", "000"]
    assert model.rstrip().endswith("retires 31 Jan 2099")


def test_what_is_old_is_unknown(folder: Path) -> None:
    """A model's cost by the date of its line, what becomes of prompts by that of the row."""
    old = written(TODAY - timedelta(days=100))
    shown = run("catalogue", "house", env=environment(folder)).stdout.decode()
    (line,) = [line for line in shown.splitlines() if line.startswith("stale-blend ")]
    assert f"unknown, was never ({old})" in line
    assert "Prompts: does not train on prompts\n" in shown
    text = (folder / "house.toml").read_text()
    (folder / "house.toml").write_text(text.replace(str(TODAY), str(TODAY - timedelta(days=100))))
    shown = run("catalogue", "house", env=environment(folder)).stdout.decode()
    assert f"Prompts: unknown, was does not train on prompts ({old})\n" in shown
    assert f"Free: unknown, was 1 000 requests a day for each model ({old})\n" in shown
    assert f"All else was checked: {old}, more than 90 days ago" in shown


def test_a_tombstone_says_when_and_why(folder: Path) -> None:
    gone = Catalogue(others=()).service("github-models").gone
    assert gone is not None
    shown = run("catalogue", "github-models", env=environment(folder)).stdout.decode()
    assert f"It is gone since {written(gone.on)}: {gone.why}" in shown
    assert gone.source in shown


def test_every_service_can_be_shown(folder: Path) -> None:
    """In one process: the lines of each row, and its models."""
    from freeproviders.cli.show import about

    for service in Catalogue(others=()):
        assert len(list(about(service, TODAY))) > 1
    row = json.loads(run("catalogue", "show", "groq", "--json", env=environment(folder)).stdout)
    assert row["base_url"] == Catalogue(others=()).service("groq").base_url


def test_a_service_that_is_not_there_is_one_line_with_a_suggestion(folder: Path) -> None:
    done = run("catalogue", "hose", env=environment(folder))
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.decode().splitlines()
    assert "Did you mean 'house'?" in line


def test_filters_of_the_list_are_refused_for_one_service(folder: Path) -> None:
    done = run("catalogue", "--free", "house", env=environment(folder))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"These options are the list's" in done.stderr


def test_a_file_with_a_mistake_does_not_hide_the_others(folder: Path) -> None:
    (folder / "groq.toml").write_text('base_url = "https://evil.example/v1"\n')
    done = run("catalogue", env=environment(folder))
    assert done.returncode == 0
    assert b"house" in done.stdout
    assert f"Error: {folder / 'groq.toml'}: GROQ_API_KEY holds the key of groq" in done.stderr.decode()


def test_what_another_hand_wrote_cannot_steer_the_terminal(folder: Path) -> None:
    path = folder / "house.toml"
    path.write_text(
        path.read_text()
        .replace('"too old"', '"\\u001b]0;owned\\u0007"')
        .replace('"House"', '"Ho\\u001b[2Juse"')
    )
    with_models = path.read_text().replace('"long-blend"', '"long\\u001b[31mblend"')
    path.write_text(with_models)
    for arguments in (["catalogue"], ["catalogue", "house"], ["models", "--service", "house"]):
        shown = run(*arguments, env=environment(folder)).stdout
        assert b"\x1b" not in shown
        assert b"\x07" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("arguments", [["catalogue", "--local"], ["catalogue", "house"]])
def test_a_narrow_terminal_gets_whole_words(folder: Path, columns: int, arguments: list[str]) -> None:
    with Terminal(*arguments, env=environment(folder, COLUMNS=str(columns))) as at:
        assert at.wait() == 0
    shown = plain(at.shown)
    for word in ["ollama", "lmstudio"] if "--local" in arguments else ["house-blend", "long-blend"]:
        assert word in shown.split()


def test_check_finds_every_mistake_of_every_file(folder: Path) -> None:
    (folder / "one.toml").write_text('nme = "x"\nkeys = 3\n')
    (folder / "two.toml").write_text('name = "Two\n')
    done = run("catalogue", "check", env=environment(folder))
    assert done.returncode == 2
    said = done.stderr.decode().splitlines()
    assert [line.split(": ")[1] for line in said] == [
        f"{folder / 'one.toml'}, line 1",
        f"{folder / 'one.toml'}, line 2",
        f"{folder / 'two.toml'}, line 1",
    ]
    assert f"{folder / 'house.toml'}: adds the service house.\n" in done.stdout.decode()


def test_check_tells_what_a_file_changes_and_where_it_leads(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("mine") / "groq.toml"
    file.write_text('base_url = "https://gw.example/v1"\nkeys = ["MY_KEY"]\n')
    done = run("catalogue", "check", str(file), env=environment(folder, MY_KEY=KEY))
    groq = Catalogue(others=()).service("groq")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().splitlines() == [
        f"{file}: changes groq:",
        f"  It readdresses the service, from {groq.base_url} to https://gw.example/v1.",
        f'  base_url: "{groq.base_url}" -> "https://gw.example/v1"',
        '  keys: ["GROQ_API_KEY"] -> ["MY_KEY"]',
    ]


def test_check_without_files_says_where_they_go(tmp_path: Path) -> None:
    done = run("catalogue", "check", env=environment(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (0, b"")
    assert "FREEPROVIDERS_SERVICES" in done.stderr.decode()


def test_the_shipped_files_have_no_mistake(folder: Path) -> None:
    done = run("catalogue", "check", str(OWN), env=environment(folder))
    assert (done.returncode, done.stderr) == (0, b"")


def test_check_lists_facts_by_age(folder: Path) -> None:
    done = run("catalogue", "check", "--stale", "60", env=environment(folder))
    assert done.returncode == 0
    mine = [line for line in done.stdout.decode().splitlines() if line.startswith("house ")]
    assert [line.split()[1:4] for line in mine] == [["100", "limit:", "8"], ["100", "models:", "stale-blend"]]
    days = [int(line.split()[1]) for line in done.stdout.decode().splitlines()[2:]]
    assert days == sorted(days, reverse=True)
    assert min(days) > 60
    assert run("catalogue", "check", "--stale", "60", str(folder), env=environment(folder)).returncode == 2


def test_a_service_of_ones_own_answers_by_its_file(folder: Path) -> None:
    """The file is all that it takes: address, key variable and default model are its."""
    with replica("openai-compatible", answer="Good morning", api_key=KEY) as server:
        put(folder, server.base_url)
        done = run("chat", "--service", "house", "Hi", env=environment(folder, HOUSE_KEY=KEY))
        assert (done.returncode, done.stdout, done.stderr) == (0, b"Good morning\n", b"")
        assert server.requests[-1].json["model"] == "house-blend"
        done = run(
            "chat",
            "-p",
            "OpenAICompatible",
            "--service",
            "house",
            "-m",
            "long-blend",
            "--json",
            "Hi",
            env=environment(folder, HOUSE_KEY=KEY),
        )
        document = json.loads(done.stdout)
        assert (document["provider"], document["model"]) == ("House", "long-blend")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--service", "groq"], 2, "Set GROQ_API_KEY, or pass --api-key. Keys are issued at <https://console.groq.com/keys>."),
        (["--service", "gorq"], 2, "Did you mean 'groq'?"),
        (["--service", "github-models"], 2, "[GitHub Models] It is gone since 2026-07-30"),
        (["--service", "house", "-p", "embedded"], 2, "--service"),
        (["--service", "novita", "--api-key", "x"], 2, "name one with --model."),
        (["--service", "house", "--api-key", "x", "-m", "old-blend"], 1, "Use house-blend in its place."),
        (["--service", "house", "--base-url", "https://x.example/v1"], 2, "pass --api-key."),
    ],
)  # fmt: skip
def test_an_error_is_one_line_that_says_what_to_do(
    folder: Path, arguments: list[str], code: int, said: str
) -> None:
    done = run("chat", *arguments, "Hi", env=environment(folder, HOUSE_KEY=KEY))
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr.decode()
    assert KEY not in done.stderr.decode()


def test_a_wrong_key_is_told_with_the_variables_name(folder: Path) -> None:
    with replica("openai-compatible", api_key="another") as server:
        put(folder, server.base_url)
        done = run("chat", "--service", "house", "Hi", env=environment(folder, HOUSE_KEY=KEY))
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[House" in done.stderr.decode()
    assert "Set HOUSE_KEY or pass --api-key." in done.stderr.decode()
    assert KEY not in done.stderr.decode()
