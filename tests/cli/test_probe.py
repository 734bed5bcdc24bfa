"""`freeproviders probe`: what it says before it sends, what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from freeproviders.testing import Replica, replica
from tests.cli.command import Terminal, plain, run
from tests.probing.models import Obedient

KEY = "gsk_a0key1of2mine3which4nobody5has"


def environment(server: Replica, folder: Path) -> dict[str, str]:
    """A key, and the replica as the place of the service; no files of the user's own."""
    return {
        "GROQ_API_KEY": KEY,
        "GROQ_API_BASE": server.base_url,
        "XDG_CONFIG_HOME": str(folder),
        "FREEPROVIDERS_SERVICES": str(folder),
    }


def test_nothing_differs(tmp_path: Path) -> None:
    with replica(service="groq", api_key=KEY, answer=Obedient()) as server:
        done = run("probe", "groq", "--yes", env=environment(server, tmp_path))
        assert len(server.requests) == 6
    assert (done.returncode, done.stdout) == (0, b"groq is as its row says.\n")
    said = done.stderr.decode()
    assert "gets 6 requests, 8 at most" in said
    assert "They count 6 of 1 000 requests a day for each model." in said
    assert "a model that the service does not have: refused, HTTP 404" in said
    assert KEY not in said


def test_what_differs_and_the_file_that_corrects_it(tmp_path: Path) -> None:
    with replica(service="groq", answer="Hello", limits={"requests/day": 14_400}) as server:
        env = environment(server, tmp_path)
        done = run("probe", "groq", "--yes", env=env)
        shown = done.stdout.decode()
        assert done.returncode == 0
        assert shown.startswith("Differs:\n  tools: A tool call was required, and text came")
        assert "\n  limit: The service announces 14 400 requests a day; the row has 1 000.\n" in shown
        path = tmp_path / "freeproviders" / "services" / "groq.toml"
        head, _, file = shown.partition(f"# Together, for {path}:\n")
        assert head
        assert tomllib.loads(file)["models"]["openai/gpt-oss-120b"]["tools"] is False
        path.parent.mkdir(parents=True)
        path.write_text(file)
        checked = run("catalogue", "check", str(path), env=env)
        assert (checked.returncode, checked.stderr) == (0, b"")
        again = run("probe", "groq", "--yes", env=env)
    assert again.stdout == b"groq is as its row says.\n"


def test_the_report_as_json(tmp_path: Path) -> None:
    with replica(service="groq", answer=Obedient(), headers=False) as server:
        done = run("probe", "groq", "--yes", "--json", env=environment(server, tmp_path))
    report = json.loads(done.stdout)
    assert (report["service"], report["requests"], report["agrees"]) == ("groq", 6, False)
    assert [finding["about"] for finding in report["findings"]] == ["headers"]
    assert tomllib.loads(report["toml"]) == {"headers": {"on": "none"}}


def test_nothing_is_sent_unasked(tmp_path: Path) -> None:
    with replica(service="groq") as server:
        env = environment(server, tmp_path)
        done = run("probe", "groq", env=env)
        assert (done.returncode, done.stdout) == (2, b"")
        assert b"--yes" in done.stderr
        with Terminal("probe", "groq", env=env) as terminal:
            terminal.wait_for("Send them?")
            terminal.press("n\n")
            assert terminal.wait() == 0
        assert server.requests == []
        assert "They count 6 of 30 requests a minute" in plain(terminal.shown)


def test_a_yes_at_the_terminal(tmp_path: Path) -> None:
    with (
        replica(service="groq", answer=Obedient()) as server,
        Terminal("probe", "groq", env=environment(server, tmp_path)) as terminal,
    ):
        terminal.wait_for("Send them?")
        terminal.press("y\n")
        terminal.wait_for("groq is as its row says.")
        assert terminal.wait() == 0


def test_no_key(tmp_path: Path) -> None:
    done = run("probe", "groq", env={"FREEPROVIDERS_SERVICES": str(tmp_path)})
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (2, b"")
    assert line.startswith("Error: [Groq] The service wants a key, and there is none. Set GROQ_API_KEY")


def test_no_key_goes_elsewhere(tmp_path: Path) -> None:
    with replica(service="groq", answer=Obedient()) as server:
        env = {"GROQ_API_KEY": KEY, "FREEPROVIDERS_SERVICES": str(tmp_path)}
        done = run("probe", "groq", "--yes", "--base-url", server.base_url, env=env)
        assert server.requests
        assert all(KEY not in str(request.headers) for request in server.requests)
    assert done.returncode == 1


def test_a_limit_ends_it(tmp_path: Path) -> None:
    with replica(service="groq", answer=Obedient(), faults=[None, {"kind": "minute"}]) as server:
        done = run("probe", "groq", "--yes", env=environment(server, tmp_path))
        assert len(server.requests) == 3
    said = done.stderr.decode()
    assert done.returncode == 1
    assert "a tool call that is required: not asked, the probe had ended" in said
    assert said.splitlines()[-1].startswith("Error: [Groq openai/gpt-oss-120b] HTTP 429")


def test_the_file_of_exchanges(tmp_path: Path) -> None:
    path = tmp_path / "groq.json"
    with replica(service="groq", answer=Obedient()) as server:
        env = environment(server, tmp_path)
        done = run("probe", "groq", "--yes", "--fixture", str(path), env=env)
        lost = run("probe", "groq", "--yes", "--fixture", str(tmp_path / "no" / "groq.json"), env=env)
        assert len(server.requests) == 6
    assert (done.returncode, lost.returncode) == (0, 2)
    assert "has 5 exchanges" in done.stderr.decode()
    file = json.loads(path.read_text())
    assert len(file["exchanges"]) == 5
    assert KEY not in path.read_text()


def test_a_service_that_is_none() -> None:
    done = run("probe", "grok", "--yes")
    assert done.returncode == 2
    assert "There is no service 'grok'. Did you mean 'groq'?" in done.stderr.decode()
