"""`freeproviders services`: who would be asked here, and what the user has confirmed."""

from __future__ import annotations

import json
import stat

import pytest
from typer.testing import CliRunner

from freeproviders import consent
from freeproviders.catalogue.pins import VARIABLES
from freeproviders.cli.app import app
from freeproviders.errors import UsageError
from tests.cli import command

KEY = "key-of-nobody-12345"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The command for a user whose folders are empty, with keys for some services."""
    for name in VARIABLES | {"FREEPROVIDERS_CONFIRMED"}:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    keys = {"GROQ_API_KEY": KEY, "MISTRAL_API_KEY": KEY, "OLLAMA_API_BASE": "http://127.0.0.1:9/v1"}

    def run(*arguments, code=0, **env):
        done = CliRunner().invoke(app, ["services", *arguments], env={**keys, **env})
        error = done.exception if isinstance(done.exception, UsageError) else None
        assert (2 if error else done.exit_code) == code, (done.output, done.exception)
        said = done.stderr + (str(error) if error else "")
        assert KEY not in done.stdout + said
        return done.stdout, said

    return run


def test_as_a_process_of_its_own(tmp_path):
    env = {"XDG_CONFIG_HOME": str(tmp_path), "GROQ_API_KEY": KEY, "OLLAMA_API_BASE": "http://127.0.0.1:9/v1"}
    done = command.run("services", "confirm", "groq", env=env)
    assert (done.returncode, done.stderr) == (0, b""), done
    done = command.run("services", "--json", env=env)
    assert (done.returncode, done.stderr) == (0, b""), done
    assert json.loads(done.stdout)["asked"][0]["name"] == "groq/openai/gpt-oss-120b"


def test_a_confirmation_and_its_end(run):
    out, _ = run("--json")
    found = json.loads(out)
    assert [one["name"] for one in found["asked"]] == ["embedded"]
    skipped = {one["name"]: one["reason"] for one in found["skipped"]}
    assert "freeproviders services confirm groq" in skipped["groq"]
    assert "trains on prompts" in skipped["mistral"]
    assert "No server answers" in skipped["ollama"]
    assert found["confirmed"] == []

    out, _ = run("confirm", "openrouter")
    missing = {one["name"]: one["reason"] for one in json.loads(run("--json")[0])["skipped"]}["openrouter"]
    assert missing == "It is confirmed, and has no key here: set OPENROUTER_API_KEY."
    assert "openrouter: It is confirmed" in run()[0]
    run("revoke", "openrouter")

    out, _ = run("confirm", "Groq")
    assert out.startswith("Groq: confirmed. You say that your account there is not billed.")
    assert stat.S_IMODE(consent.path().stat().st_mode) == 0o600
    assert set(consent.kept()) == {"groq"}
    found = json.loads(run("--json")[0])
    assert found["asked"][0]["name"] == "groq/openai/gpt-oss-120b"
    assert found["confirmed"] == ["groq"]
    out, err = run()
    assert out.splitlines()[2].split()[0] == "groq/openai/gpt-oss-120b"
    assert "Confirmed as free accounts: groq" in out
    assert "mistral: " in out
    assert "catalogue --free" in err

    assert run("revoke", "groq")[0] == "groq: revoked.\n"
    assert run("revoke", "groq")[0] == "groq: it was not confirmed.\n"
    out, _ = run("--json", FREEPROVIDERS_CONFIRMED="groq")
    assert json.loads(out)["confirmed"] == ["groq"]


def test_several_are_confirmed_at_once_or_none(run):
    _, err = run("confirm", "groq", "grok", code=2)
    assert "There is no service 'grok'. Did you mean 'groq'?" in err
    assert not consent.path().exists()
    out, _ = run("confirm", "nvidia", "cohere")
    assert "your use is for evaluation." in out
    assert "your use is non-commercial." in out
    assert set(consent.kept()) == {"nvidia", "cohere"}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ollama", "a server on your own machine"),
        ("cerebras", "Nothing is free there since 17 Aug 2026"),
        ("ovhcloud", "without a key only"),
    ],
)
def test_where_there_is_nothing_to_confirm(run, name, why):
    assert why in " ".join(run("confirm", name, code=2)[1].replace("│", " ").split())


def test_a_damaged_file_is_named(run):
    consent.path().parent.mkdir(parents=True)
    consent.path().write_text('{"version": 1, "confirmed": ["groq"]}')
    for arguments in (("--json",), ("confirm", "groq"), ("revoke", "groq")):
        _, err = run(*arguments, code=2)
        assert "confirmed.json is damaged" in err
    assert consent.path().read_text() == '{"version": 1, "confirmed": ["groq"]}'


def test_options_of_the_list(run):
    found = json.loads(run("--json", "--privacy", "any", "--allow", "flow-gpt", "--allow", "llm7")[0])
    names = [one["name"].partition("/")[0] for one in found["asked"]]
    assert {"flow-gpt", "llm7", "embedded"} == set(names)
    assert names[-1] == "embedded"
    run("--privacy", "none", code=2)
    run("--json", "confirm", "groq", code=2)


def test_reasons_name_options_of_the_command_and_no_arguments(run, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "a-key-of-the-test")
    monkeypatch.setenv("OPENROUTER_API_KEY", "a-key-of-the-test")
    out, _ = run()
    assert "groq: It is free within an allowance only. Confirm once that your account" in out
    assert 'Pass --privacy "any" to ask it all the same.' in out
    assert "confirmed=" not in out
