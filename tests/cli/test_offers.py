"""`freeproviders models --service`: the row's models, and what the service itself lists."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from freeproviders.catalogue import Catalogue
from freeproviders.cli.offers import compared
from freeproviders.listed import Listed
from freeproviders.testing import replica
from tests.cli.command import run
from tests.cli.test_catalogue import KEY, environment, put, written


def states(*arguments: str, env: dict[str, str]) -> dict[str, str]:
    done = run("models", "--service", "house", "--json", *arguments, env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    return {row["name"]: row["state"] for row in json.loads(done.stdout)["models"]}


def test_without_a_list_the_rows_models_are_shown_with_their_facts(tmp_path: Path) -> None:
    put(tmp_path)
    done = run("models", "--service", "house", env=environment(tmp_path))
    assert done.returncode == 0
    assert done.stderr.decode() == "These are the catalogue's; --refresh asks House for its own list.\n"
    (line,) = [line for line in done.stdout.decode().splitlines() if line.startswith("house-blend")]
    assert "allowance" in line
    assert "8 000" in line
    assert not (tmp_path / "cache").exists()


def test_a_refresh_asks_with_the_key_and_is_kept(tmp_path: Path) -> None:
    """New, missing and retired models are told; the next look asks nobody."""
    names = ["house-blend", "fresh-blend", "old-blend"]
    with replica("openai-compatible", models=names, api_key=KEY) as server:
        put(tmp_path, server.base_url)
        env = environment(tmp_path, HOUSE_KEY=KEY)
        expected = {
            "house-blend": "",
            "long-blend": "missing",
            "stale-blend": "missing",
            "fresh-blend": "new",
            "old-blend": "retired but listed",
        }
        assert states("--refresh", env=env) == expected
        asked = len(server.requests)
        assert asked == 1
        assert states(env=env) == expected
        shown = run("models", "--service", "house", env=env)
        assert len(server.requests) == asked
        # What the service lists is asked, whatever the row says of it.
        done = run("chat", "--service", "house", "-m", "old-blend", "Hi", env=env)
        assert (done.returncode, done.stderr) == (0, b"")
        assert server.requests[-1].json["model"] == "old-blend"
    today = written(datetime.now(UTC).date())
    assert shown.stderr.decode() == f"House listed its models on {today}; --refresh asks again.\n"
    for name, remark in (
        ("fresh-blend", "new: not in the catalogue"),
        ("long-blend", "not in the service's list: gone?"),
        ("old-blend", "retired on 2 Jan 2026 says the catalogue; the service lists it"),
    ):
        (line,) = [line for line in shown.stdout.decode().splitlines() if line.startswith(name)]
        assert remark in line
    (file,) = (tmp_path / "cache" / "services").iterdir()
    assert file.name == "house.json"
    assert KEY not in file.read_text()
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o777 == 0o600


def test_the_list_of_a_gateway_stays_with_the_gateway(tmp_path: Path) -> None:
    """A list from `HOUSE_API_BASE` says nothing about the service's own address."""
    put(tmp_path)
    with replica("openai-compatible", models=["other"], api_key=KEY) as server:
        own = environment(tmp_path, HOUSE_KEY=KEY)
        gateway = {**own, "HOUSE_API_BASE": server.base_url.replace("http://", "http://user:pass@")}
        assert states("--refresh", env={**own, "HOUSE_API_BASE": server.base_url})["other"] == "new"
    assert states(env=gateway)["other"] == "new"
    assert "other" not in states(env=own)


def test_a_refresh_that_fails_leaves_the_list_as_it_was(tmp_path: Path) -> None:
    with replica("openai-compatible", models=["house-blend"], api_key=KEY) as server:
        put(tmp_path, server.base_url)
        env = environment(tmp_path, HOUSE_KEY=KEY)
        before = states("--refresh", env=env)
        done = run("models", "--service", "house", "--refresh", env={**env, "HOUSE_KEY": "wrong-key-123"})
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[House]" in done.stderr.decode()
    assert states(env=env) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--service", "groq", "--refresh"], "Set GROQ_API_KEY, or pass"),
        (["--refresh"], "It needs a --service."),
        (["--service", "github-models"], "It is gone since"),
        (["--service", "nobody"], "There is no service 'nobody'"),
        (["--service", "groq", "pull"], "without a command"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run("models", *arguments, env=environment(tmp_path))
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr.decode()


def test_patterns_and_embeddings_are_not_new() -> None:
    """A line "*:free" or "*" of the row is about a model that it does not name."""
    ours = Catalogue(others=())
    router = ours.service("openrouter")
    names = ("openai/gpt-oss-20b:free", "made/up:free")
    found = compared(router, Listed(datetime.now(UTC), router.base_url, names))
    assert found["openai/gpt-oss-20b:free"].word == ""
    assert found["made/up:free"].word == "by pattern"
    local = ours.service("ollama")
    found = compared(local, Listed(datetime.now(UTC), local.base_url, ("llama3.2", "nomic-embed-text")))
    assert {name: state.word for name, state in found.items()} == {
        "llama3.2": "by pattern",
        "nomic-embed-text": "embeddings",
    }
