"""`freeproviders embed`: vectors of texts, of services and of the floor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from freeproviders import OpenAICompatible
from freeproviders.testing import Replica, checksum_vector, replica
from tests.cli.command import run


@pytest.fixture(scope="module")
def service() -> Iterator[Replica]:
    with replica(OpenAICompatible) as server:
        yield server


def test_each_text_is_a_line_of_numbers(service: Replica) -> None:
    done = run("embed", "--base-url", service.base_url, "-m", "m", "--size", "8", "a", "b c")
    assert done.returncode == 0
    lines = [[float(number) for number in line.split()] for line in done.stdout.decode().splitlines()]
    assert lines == [pytest.approx(checksum_vector(text, 8, "m"), abs=1e-6) for text in ("a", "b c")]
    assert done.stderr.decode().startswith("OpenAICompatible m: 127.0.0.1:")


def test_lines_of_standard_input_as_json_and_kept(service: Replica, tmp_path: Path) -> None:
    """A second time nothing is asked."""
    arguments = ["embed", "--base-url", service.base_url, "-m", "m", "--role", "query", "--cache", "--json"]
    service.requests.clear()
    for _ in range(2):
        done = run(*arguments, stdin="a\n\nZoë\n".encode(), env={"FREEPROVIDERS_CACHE": str(tmp_path)})
        said = json.loads(done.stdout)
        assert said["vectors"][1] == pytest.approx(checksum_vector("Zoë", 256, "m"), abs=1e-6)
        assert said["family"].endswith("/m;256;unit;")
    assert [request.texts for request in service.requests] == [["a", "Zoë"]]


def test_the_floor_needs_nothing() -> None:
    said = json.loads(run("embed", "--json", "A cat.").stdout)
    assert said["family"].startswith("wordllama-l2-supercat-256;256;unit")
    assert len(said["vectors"][0]) == 256


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "There is no text"),
        (["--size", "8", "a"], "--service"),
        (["-m", "bge", "a"], "It is no file"),
        (["--role", "passage", "a"], "passage"),
    ],
)
def test_what_cannot_be(arguments: list[str], complaint: str) -> None:
    done = run("embed", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert complaint in " ".join(done.stderr.decode().replace("│", " ").split())
