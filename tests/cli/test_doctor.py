"""`freeproviders doctor`: what it finds, and that it asks nobody."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from freeproviders.testing import replica
from tests.cli.command import run
from tests.cli.test_catalogue import KEY, environment, put

WATCHED = (
    sys.executable,
    "-c",
    """
import sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        address = arguments[1] if event == "socket.connect" else arguments[0]
        where = address if isinstance(address, str) else address[0]
        sys.stderr.write(f"asked {where}\\n")  # at once, since threads ask side by side
sys.addaudithook(watch)
from freeproviders.cli import main
main()
""",
)


def findings(env: dict[str, str], *arguments: str) -> dict[str, object]:
    done = run("doctor", "--json", *arguments, env=env)
    assert done.stderr == b""
    assert KEY.encode() not in done.stdout
    found: dict[str, object] = json.loads(done.stdout)
    assert done.returncode == bool(found["wrong"])
    return found


def test_keys_are_told_by_their_variables(tmp_path: Path) -> None:
    put(tmp_path)
    env = environment(tmp_path, HOUSE_KEY=KEY, GOOGLE_API_KEY=KEY)
    keys = {one["service"]: one["variable"] for one in findings(env)["keys"]}
    assert keys["house"] == "HOUSE_KEY"
    assert keys["gemini"] == "GOOGLE_API_KEY"
    assert "groq" not in keys
    shown = run("doctor", env=env).stdout
    assert b"house: HOUSE_KEY is set" in shown
    assert KEY.encode() not in shown


def test_files_are_told_with_where_they_lead(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "groq.toml").write_text('base_url = "https://gw.example/v1"\nkeys = ["MY_KEY"]\n')
    (tmp_path / "mistral.toml").write_text('base_url = "https://gw.example/v1"\n')
    shown = run("doctor", env=environment(tmp_path)).stdout.decode().splitlines()
    assert f"  {tmp_path / 'house.toml'}: adds house" in shown
    assert (
        f"  {tmp_path / 'groq.toml'}: leads groq from https://api.groq.com/openai/v1 to https://gw.example/v1"
        in shown
    )
    (refused,) = [line for line in shown if "refused" in line]
    assert f"{tmp_path / 'mistral.toml'}: MISTRAL_API_KEY holds the key of mistral" in refused


def test_other_packages_are_told_and_what_is_refused_of_them(tmp_path: Path) -> None:
    package = tmp_path / "site" / "corner_services"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    put(package)
    (package / "groq.toml").write_text((package / "house.toml").read_text())
    info = tmp_path / "site" / "corner-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: corner\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[freeproviders.services]\ncorner = corner_services\nlost = nowhere_services\n"
    )
    env = environment(
        tmp_path / "none",
        PYTHONPATH=os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parents[2])]),
    )
    shown = run("doctor", env=env).stdout.decode()
    assert f"corner: {package / 'house.toml'}: adds house" in shown
    assert "'groq' is a service of freeproviders: another package may not change it." in shown
    assert "corner: refused: 'nowhere_services' is no package that is installed." in shown


def test_nobody_is_asked_unasked(tmp_path: Path) -> None:
    """No connection is opened and no name is looked up, whatever the environment holds."""
    env = environment(tmp_path, GROQ_API_KEY=KEY, OLLAMA_API_BASE="http://user:pass@gpu.example:11434/v1")
    done = run("doctor", env=env, command=WATCHED)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"ollama and its key are led to http://gpu.example:11434/v1" in done.stdout
    assert b"pass@" not in done.stdout


def test_only_this_machine_is_probed(tmp_path: Path) -> None:
    """By a GET without a key and through no proxy; an address elsewhere is left alone."""
    with replica(service="ollama") as server, replica("openai-compatible") as proxy:
        env = environment(
            tmp_path,
            OLLAMA_API_BASE=server.base_url,
            VLLM_API_BASE="http://gpu.example:8000/v1",
            OPENAI_COMPATIBLE_API_KEY=KEY,
            OPENAI_COMPATIBLE_PROXY=proxy.base_url.removesuffix("/v1"),
        )
        done = run("doctor", "--probe-local", env=env, command=WATCHED)
        assert done.returncode == 0
        assert [(one.method, one.path) for one in server.requests] == [("GET", "/api/version")]
        assert not [name for name in server.requests[0].headers if name.lower() == "authorization"]
        assert proxy.requests == []
    asked = {line.split()[1] for line in done.stderr.decode().splitlines() if line.startswith("asked ")}
    assert asked
    assert asked <= {"127.0.0.1", "::1", "localhost"}
    shown = done.stdout.decode()
    assert f"ollama, {server.base_url}: it answers" in shown
    assert "vllm, http://gpu.example:8000/v1: not on this machine" in shown


def test_a_wrong_address_is_told(tmp_path: Path) -> None:
    """It does not end the command."""
    found = findings(environment(tmp_path, OLLAMA_API_BASE="bla", FREEPROVIDERS_MODEL="gpt-4"))
    (wrong,) = found["addresses"]
    assert "OLLAMA_API_BASE must look like" in wrong["wrong"]
    assert "ollama" not in [one["service"] for one in found["local_servers"]]
    assert "FREEPROVIDERS_MODEL" in found["embedded"]["model"]


def test_who_would_answer_is_told_and_who_not_with_what_to_do(tmp_path: Path) -> None:
    env = environment(tmp_path, GROQ_API_KEY=KEY, GEMINI_API_KEY=KEY, FREEPROVIDERS_CONFIRMED="groq,gemini")
    router = findings(env)["router"]
    assert isinstance(router, dict)
    assert [one["name"] for one in router["members"]][:2] == [
        "groq/openai/gpt-oss-120b",
        "groq/openai/gpt-oss-20b",
    ]
    reasons = {one["name"]: one["reason"] for one in router["skipped"]}
    assert "privacy" in reasons["gemini"]
    shown = run("doctor", env=environment(tmp_path, GROQ_API_KEY=KEY)).stdout.decode()
    assert "freeproviders services confirm groq" in shown


def test_what_is_wrong_is_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_text("name = 5")
    done = run("doctor", env=environment(tmp_path))
    assert done.returncode == 1
    assert "house.toml" in done.stdout.decode().partition("Wrong:")[2]


def test_a_service_that_refused_its_key_is_told(tmp_path: Path) -> None:
    with replica(service="groq", api_key="right") as groq:
        env = environment(
            tmp_path,
            GROQ_API_KEY=KEY,
            GROQ_API_BASE=groq.base_url,
            FREEPROVIDERS_CONFIRMED="groq",
            FREEPROVIDERS_QUOTA=str(tmp_path / "ledger.sqlite"),
        )
        assert run("chat", "--model", "groq/openai/gpt-oss-120b", "Hi", env=env).returncode == 1
        wrong = findings(env)["wrong"]
    assert isinstance(wrong, list)
    assert wrong
    assert all(line.startswith("groq/") for line in wrong)
