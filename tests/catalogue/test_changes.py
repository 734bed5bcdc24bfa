"""A change of a fact is one line of one file, or one file; no code and no other file follows it."""

import difflib
import shutil
from pathlib import Path

import pytest

from freeproviders import OpenAICompatible
from freeproviders.catalogue import Catalogue, facts_of, places
from freeproviders.errors import RetiredModelError, UsageError
from tests.catalogue.test_rows import HOUSE


class Ours:
    """A copy of the package's files, in which a line may be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(places.OWN, folder)
        self.before = self._texts()

    def replace(self, file, old, new):
        """Replace one line, found by a part of it."""
        path = self.folder / f"{file}.toml"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [n for n, line in enumerate(lines) if old in line]
        assert found, f"{file} has no line with {old!r}"
        lines[found[0]] = new + "\n"
        path.write_text("".join(lines), encoding="utf-8")

    def add(self, file, after, new):
        """Add one line behind another, which is found by a part of it."""
        path = self.folder / f"{file}.toml"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [n for n, line in enumerate(lines) if after in line]
        assert found, f"{file} has no line with {after!r}"
        lines.insert(found[0] + 1, new + "\n")
        path.write_text("".join(lines), encoding="utf-8")

    def service(self, name):
        """The service as it is read now."""
        return Catalogue({path.stem: path for path in self.folder.glob("*.toml")}, ()).service(name)

    def provider(self, name, model=None, **more):
        """A provider of the service as it is read now."""
        return OpenAICompatible(model, service=self.service(name), api_key="key", **more)

    def difference(self):
        """How many files differ, and the largest number of lines that one differs in."""
        now = self._texts()
        changed = [name for name in {*now, *self.before} if now.get(name) != self.before.get(name)]
        lines = [
            line
            for name in changed
            for line in difflib.unified_diff(
                self.before.get(name, "").splitlines(), now.get(name, "").splitlines(), lineterm="", n=0
            )
            if line.startswith("+") and not line.startswith("+++")
        ]
        return len(changed), len(lines)

    def _texts(self):
        return {path.name: path.read_text(encoding="utf-8") for path in self.folder.glob("*.toml")}


@pytest.fixture
def ours(tmp_path):
    return Ours(tmp_path / "services")


def test_a_new_service(ours):
    (ours.folder / "house.toml").write_text(HOUSE)
    assert ours.provider("house").model == "house-blend"
    assert ours.difference()[0] == 1


def test_a_new_model(ours):
    ours.add("groq", "[models]", '"moonshotai/kimi-k9" = { cost = "allowance", context = 999, tools = true }')
    able = ours.provider("groq", "moonshotai/kimi-k9").abilities()
    assert (able.window, able.tools) == (999, True)
    assert ours.difference() == (1, 1)


def test_a_new_limit(ours):
    before = len(ours.service("groq").limit)
    ours.add(
        "groq",
        "limit = [",
        '  { metric = "requests", per = "hour", cap = 7, checked = 2026-11-01, source = "x" },',
    )
    assert len(ours.service("groq").limit) == before + 1
    assert ours.difference() == (1, 1)


def test_another_cap(ours):
    ours.replace(
        "groq",
        'metric = "requests", per = "minute"',
        '  { metric = "requests", per = "minute", cap = 77, checked = 2026-11-01, source = "x" },',
    )
    assert 77 in {limit.cap for limit in ours.service("groq").limit}
    assert ours.difference() == (1, 1)


def test_a_retirement(ours):
    ours.add(
        "groq",
        "[retired]",
        '"qwen/old" = { on = 2026-11-01, successor = "openai/gpt-oss-20b", source = "x" }',
    )
    with pytest.raises(RetiredModelError, match="openai/gpt-oss-20b") as caught:
        ours.provider("groq", "qwen/old")
    assert str(caught.value.retired_on) == "2026-11-01"
    assert ours.provider("groq", "qwen/old", fallback=True).model == "openai/gpt-oss-20b"
    assert ours.difference() == (1, 1)


def test_another_default_model(ours):
    ours.replace("groq", "default_model", 'default_model = "openai/gpt-oss-20b"')
    assert ours.provider("groq").model == "openai/gpt-oss-20b"
    assert ours.difference() == (1, 1)


def test_the_end_of_a_service(ours):
    ours.add("groq", "name =", 'gone = { on = 2026-11-20, why = "It was shut down.", source = "x" }')
    with pytest.raises(UsageError, match="gone since 2026-11-20: It was shut down"):
        ours.provider("groq")
    assert ours.difference() == (1, 1)


def test_a_model_that_costs_money_now(ours):
    ours.replace("groq", '"openai/gpt-oss-20b" =', '"openai/gpt-oss-20b" = { cost = "paid" }')
    assert facts_of(ours.service("groq"), "openai/gpt-oss-20b").cost == "paid"
    assert ours.difference() == (1, 1)


def test_another_name_for_the_limit_of_an_answer(ours):
    ours.add("groq", "[request]", 'max_tokens = "max_completion_tokens"')
    provider = ours.provider("groq")
    sent = provider.encode(provider.checked(provider.request("Hi", max_tokens=5))).body
    assert b'"max_completion_tokens":5' in sent
    assert ours.difference() == (1, 1)


def test_a_move_to_another_path(ours):
    ours.replace("groq", "base_url", 'base_url = "https://api.groq.com/v2"')
    assert ours.provider("groq").base_url == "https://api.groq.com/v2"
    assert ours.difference() == (1, 1)
