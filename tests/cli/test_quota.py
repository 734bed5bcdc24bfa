"""`freeproviders quota`: what is told of the limits that were counted, and how they are forgotten."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from freeproviders.catalogue.reading import whole
from freeproviders.quota.interface import Ask
from freeproviders.quota.ledger import SharedLedger
from freeproviders.quota.opening import open_ledger
from freeproviders.quota.rules import claims_of, rules_of
from freeproviders.wire.limits import Allowance
from tests.cli.command import Terminal, run
from tests.cli.test_catalogue import KEY, put
from tests.cli.test_catalogue import environment as of_services


class Counted:
    """A folder with a service of the user's own, and a ledger in which requests to it are counted."""

    def __init__(self, folder: Path) -> None:
        put(folder)
        self.file = folder / "ledger" / "quota.db"
        self.env = of_services(
            folder, FREEPROVIDERS_QUOTA=str(self.file), HOUSE_KEY=KEY, XDG_RUNTIME_DIR=str(folder)
        )
        path = folder / "house.toml"
        self.house = replace(whole(path.read_text(), "house", str(path)), file=str(path))
        self.ledger: SharedLedger = open_ledger(self.file)

    def ask(self, tokens: int = 0, *, model: str = "house-blend", **facts: Any) -> None:
        """Count a request; `facts` are an allowance that is announced with its answer."""
        rules = rules_of(self.house, model, keyless=False)
        ask = Ask(claims=claims_of(rules, {"tokens": tokens} if tokens else {}), account=KEY)
        grant = self.ledger.reserve_sync(ask)
        if facts:
            self.ledger.adopt(grant, [Allowance(**facts)])
        self.ledger.settle(grant)
        self.close()

    def close(self) -> None:
        self.ledger.close()

    def told(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """What the command prints; a key is never in it."""
        done = run("quota", *arguments, env=self.env if env is None else env)
        assert (done.returncode, done.stderr) == (0, b"")
        assert KEY not in done.stdout.decode()
        return done.stdout.decode()

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.told("--json"))
        return found


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    made = Counted(tmp_path)
    yield made
    made.close()


def test_without_a_ledger_nothing_was_counted_and_none_is_made(counted: Counted) -> None:
    done = run("quota", env=counted.env)
    assert done.returncode == 0
    assert done.stdout.decode().strip() == "With your keys: about 1 000 answers left today (house 1 000)."
    assert done.stderr.decode().strip() == "Nothing was counted yet."
    assert not counted.file.exists()
    assert counted.facts() == {
        "answers_left_today": 1000,
        "services": {"house": 1000},
        "no_limit_a_day": [],
        "pools": [],
    }


def test_each_limit_that_was_counted_is_a_line(counted: Counted) -> None:
    for _ in range(3):
        counted.ask(tokens=500)
    lines = counted.told().splitlines()
    assert lines[0] == "With your keys: about 997 answers left today (house 997)."
    (day,) = [" ".join(line.split()) for line in lines if "requests a day" in line]
    assert day == "house house-blend 1 000 requests a day 3 997 in 1 day your file"
    (minute,) = [" ".join(line.split()) for line in lines if "tokens a minute" in line]
    assert minute.startswith("house account 8 000 tokens a minute 1 500 6 500 in ")
    assert minute.endswith((" seconds your file", " minute your file"))
    assert len([line for line in lines if line.startswith("house")]) == 2  # the gate is open


def test_the_same_as_json(counted: Counted) -> None:
    counted.ask(tokens=500)
    pools = {(one["metric"], one["per"]): one for one in counted.facts()["pools"]}
    assert pools.keys() == {("requests", "day"), ("tokens", "minute")}
    day = pools["requests", "day"]
    assert (day["service"], day["pool"], day["cap"], day["used"], day["left"]) == (
        "house",
        "house-blend",
        1000,
        1,
        999,
    )
    assert day["source"] == "user"
    assert day["learned_at"] is None
    assert datetime.fromisoformat(day["back_at"]) > datetime.now(UTC)


def test_what_a_service_announced_counts(counted: Counted) -> None:
    counted.ask(metric="requests", per="day", cap=50.0, remaining=7.0)
    found = counted.facts()
    assert found["answers_left_today"] == 7
    (day,) = [one for one in found["pools"] if one["per"] == "day"]
    assert (day["cap"], day["left"], day["source"]) == (50, 7, "header")
    assert day["learned_at"] is not None
    (line,) = [line for line in counted.told().splitlines() if "requests a day" in line]
    assert "50 requests a day" in line
    assert line.rstrip().endswith("ago")


def test_a_service_that_refuses_for_long_has_nothing_left_today(counted: Counted) -> None:
    tomorrow = datetime.now(UTC) + timedelta(hours=20)
    counted.ask(metric="requests", per="", remaining=0.0, reset_at=tomorrow)
    assert counted.facts()["services"] == {"house": 0}
    (line,) = [line for line in counted.told().splitlines() if "refuses" in line]
    assert "in 20 hours" in line


def test_services_without_a_key_or_a_day_are_not_counted(counted: Counted) -> None:
    counted.ask()
    without = {**counted.env, "HOUSE_KEY": ""}
    assert counted.told(env=without).startswith("No service has a key in the environment")
    path = Path(counted.env["FREEPROVIDERS_SERVICES"]) / "house.toml"
    path.write_text(path.read_text().replace('per = "day"', 'per = "hour"'))
    assert counted.facts()["no_limit_a_day"] == ["house"]
    assert counted.told().splitlines()[0] == "With a key, and without a limit a day that is known: house."


def test_the_doctor_tells_the_same_of_the_day(counted: Counted) -> None:
    """In words and as JSON; a ledger on a server is not asked."""
    counted.ask()
    done = run("doctor", env=counted.env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert counted.told().splitlines()[0] in done.stdout.decode()
    found = json.loads(run("doctor", "--json", env=counted.env).stdout)["quota"]
    assert found == {name: value for name, value in counted.facts().items() if name != "pools"}
    assert found["answers_left_today"] > 0
    away = run("doctor", env={**counted.env, "FREEPROVIDERS_QUOTA": "redis://127.0.0.1:9/0"})
    assert away.returncode == 0
    assert b"counted on a server, which is not asked" in away.stdout


def test_accounts_are_told_apart_by_a_mark(counted: Counted) -> None:
    counted.ask()
    rules = rules_of(counted.house, "house-blend", keyless=False)
    other = Ask(claims=claims_of(rules, {}), account="another-key-0123456789")
    counted.ledger.settle(counted.ledger.reserve_sync(other))
    counted.close()
    marks = {line.split()[1] for line in counted.told().splitlines() if line.startswith("house (")}
    assert len(marks) == 2


def test_a_reset_forgets_one_service(counted: Counted) -> None:
    counted.ask(tokens=500)
    counted.ask(tokens=500, model="long-blend")
    done = run("quota", "reset", "house", "--pool", "long-blend", "--yes", env=counted.env)
    assert (done.returncode, done.stderr) == (0, b"")
    used = {(one["pool"], one["per"]): one["used"] for one in counted.facts()["pools"]}
    assert used == {("house-blend", "day"): 1, ("long-blend", "day"): 0, ("account", "minute"): 1000}
    assert counted.told("reset", "house", "-y").startswith("Forgotten: ")
    assert {one["used"] for one in counted.facts()["pools"]} == {0}
    assert asyncio.run(counted.ledger.standings("house"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["house"], "--yes"),
        (["nobody", "--yes"], "Nothing was counted of 'nobody'"),
        (["house", "--pool", "none", "--yes"], "Nothing was counted of 'none' of 'house'"),
    ],
)
def test_a_reset_that_cannot_be(counted: Counted, arguments: list[str], complaint: str) -> None:
    counted.ask()
    done = run("quota", "reset", *arguments, env=counted.env)
    assert done.returncode == 2
    assert complaint in " ".join(done.stderr.decode().replace("│", " ").split())
    assert {one["used"] for one in counted.facts()["pools"]} == {1}


@pytest.mark.parametrize(("answer", "left"), [("n", 1), ("y", 0)])
def test_at_a_terminal_a_reset_asks(counted: Counted, answer: str, left: int) -> None:
    counted.ask()
    with Terminal("quota", "reset", "house", env=counted.env) as terminal:
        terminal.wait_for("Forget it?")
        terminal.press(f"{answer}\n")
        assert terminal.wait() == 0
    assert {one["used"] for one in counted.facts()["pools"]} == {left}
