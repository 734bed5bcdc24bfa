"""Measurements on pages have results behind them, comparisons a test or a benchmark."""

from __future__ import annotations

import ast
import importlib.util
import json
import pkgutil
import re

import pytest

import benchmarks
from benchmarks.__main__ import NO_BENCHMARKS
from benchmarks.harness import server
from benchmarks.measured import FOLDER, Results, digest
from benchmarks.peers.contenders import CONTENDERS, CORE
from benchmarks.peers.incidents import INCIDENTS, do, seen
from benchmarks.peers.worker import Worker
from freeproviders import OpenAICompatible, Timeout
from freeproviders.catalogue import Catalogue
from freeproviders.embedded.weights import DEFAULT, WEIGHTS
from freeproviders.testing import replica
from freeproviders.tokens.likely import likely_tokens
from freeproviders.tokens.upper import upper_tokens
from tests.core.test_tokens import MODEL_OF, true_of
from tests.core.texts import TEXTS
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
LINES = re.findall(
    r"^\| (?!---)(?P<what>[^|]+?) \|.*\| (?P<behind>[^|]+?) \|$",
    PAGE.split("## What happened")[0],
    re.MULTILINE,
)[1:]
SAID = json.loads((FOLDER / "incidents.json").read_text(encoding="utf-8"))["found"]
OTHERS_ONLY = {
    "proxy with users, budgets and a dashboard",
    "OpenAI's Responses API, made pictures, speech",
}


def names_in(path):
    """What is defined at the top of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if hasattr(node, "name")}


@pytest.mark.parametrize(("what", "behind"), LINES, ids=[what for what, _ in LINES])
def test_a_line_has_a_test_or_a_benchmark_behind_it(what, behind):
    if behind == "-":
        assert what in OTHERS_ONLY  # nothing of ours is claimed there
        return
    for one in behind.split("; "):
        if one.startswith("incident: "):
            assert one.removeprefix("incident: ") in SAID
        elif one.startswith("`benchmarks."):
            assert importlib.util.find_spec(one.strip("`"))
        else:
            path, _, name = one.strip("`").partition("::")
            assert not name or name in names_in(path)
            assert (ROOT / path).is_file()


def test_the_numbers_of_services():
    """Of ours as the catalogue has them, of others as their packages said when they were run."""
    rows = list(Catalogue(others=()))
    gone = [row for row in rows if row.gone]
    listed = json.loads((FOLDER / "incidents.json").read_text(encoding="utf-8"))["services"]
    text = " ".join(PAGE.split())
    lists = f"LiteLLM. It lists {listed['LiteLLM']} providers, any-llm {listed['any-llm']};"
    ours = f"ours has {len(rows)} rows, {len(gone)} of them tombstones"
    theirs = f"freelm has {listed['freelm']} of them"
    line = ["OpenAI's protocol"] * 2 + [listed["LiteLLM"], listed["freelm"], "not counted", listed["any-llm"]]
    here = f"{len(rows) - len(gone)}, and {len(gone)} that are gone"
    for said in (f"{lists} {ours}", theirs, f"| {here} | {' | '.join(map(str, line))} |"):
        assert said in text
    short = [line[0], line[2], line[3], "many", line[5]]
    assert f"| {here} | {' | '.join(map(str, short))} |" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_has_lines():
    assert len(LINES) > 15


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda one: one.name)
def test_ours_does_what_the_page_says(incident, monkeypatch):
    if "stall" in (incident.faults or ()):  # the silence is timed, not how late a busy machine begins
        monkeypatch.setattr(
            "benchmarks.peers.contenders.patient",
            lambda seconds: {"timeout": Timeout(stall=seconds)} if seconds else {},
        )
    arrived = []
    with replica(
        OpenAICompatible,
        incident.answer,
        faults=incident.faults,
        watch=lambda request: arrived.append(len(arrived)),
        **incident.options,
    ) as service:
        said = do(CORE, incident.how, service.base_url)
        told = said + seen(incident, service, arrived)
    assert told.partition(", after ")[0] == SAID[incident.name][CORE].partition(", after ")[0]


def test_every_client_met_every_incident():
    assert list(SAID) == [one.name for one in INCIDENTS]
    assert all(list(said) == list(CONTENDERS)[1:] for said in SAID.values())


async def test_a_worker_measures_and_refuses_other_texts(monkeypatch):
    with server() as url:
        worker = Worker(CORE, url)
        for workload in ("burst", "first", "burst_with_a_tool", "at_once 3"):
            assert all(value > 0 for value in (await worker.workload(workload)()).values())
        monkeypatch.setattr("benchmarks.peers.worker.pieces", lambda n: ["another"])
        with pytest.raises(ValueError, match="Another text"):
            await worker.burst()


@pytest.mark.parametrize("name", ["pieces", "at-once", "needs"])
def test_a_picture_is_of_these_results(name):
    """And readable: its text has the same distance from white as from black."""
    picture = (FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert f"<!-- drawn from {digest(FOLDER / 'peers.json')} -->" in picture
    assert len(picture) < 60_000
    assert "<text" in picture
    colours = set(re.findall(r"<text[^>]*fill: (#\w{6})", picture))
    assert colours
    for colour in colours:
        assert contrast(colour, "#ffffff") > 4
        assert contrast(colour, "#0d1117") > 4


def contrast(one, other):
    """WCAG's contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_results_are_read_in_rounds(tmp_path):
    rows = {
        "a": [{"piece": 2.0}, {"piece": 9.0}, {"piece": 4.0}],
        "b": [{"piece": 1.0}, {"piece": 3.0}, {"piece": 4.0}],
    }
    path = tmp_path / "peers.json"
    path.write_text(json.dumps({"found": {"burst": {**rows, "c": [{"error": "lost"}]}}}))
    results = Results(path)
    assert results.median("burst", "a", "piece") == 4
    assert results.times("burst", "a", "b", "piece") == 2
    assert results.median("burst", "c", "piece") is results.times("burst", "c", "a", "piece") is None


def test_every_benchmark_can_be_run():
    """`make bench` runs the `main` of each module that is not named as something else."""
    for info in pkgutil.iter_modules(benchmarks.__path__):
        if info.name not in NO_BENCHMARKS:
            assert "main" in names_in(f"benchmarks/{info.name}.py"), info.name


def flat(name):
    """A page in one line."""
    return " ".join((ROOT / name).read_text(encoding="utf-8").split())


def test_what_the_embedded_models_can_do_was_graded():
    """By `python -m benchmarks.grading`; what the pages say of it are its counts."""
    graded = json.loads((FOLDER / "grading.json").read_text(encoding="utf-8"))["found"]
    exam = json.loads((ROOT / "tests" / "real" / "results.json").read_text(encoding="utf-8"))
    readme = flat("README.md")
    for row in WEIGHTS:
        counts = graded[row.name]
        assert not row.note.endswith("memory") or f"{counts['memory'] / 1000:.1f} GB" in row.note
        assert counts["plain"]["of"] == 20
        assert counts["read"]["of"] == 10
        tools = exam.get(f"{row.name.rpartition('-')[2]} embedded")
        cells = [
            f"{row.size / 1e6:.0f} MB",
            f"{counts['memory'] / 1000:.1f} GB",
            f"{counts['plain']['right']}",
            f"{counts['read']['right']}",
            f"{tools['tools']['right']}" if tools else "",
        ]
        assert f"| `{row.name}` | {' | '.join(cells).strip()} |" in readme
    default = graded[DEFAULT]
    plain, read, obeyed = default["plain"], default["read"], default["obeyed"]
    said = f"{plain['right']} of {plain['of']} plain questions rightly"
    assert f"{said}, and {read['right']} of {read['of']} questions about a paragraph" in flat("docs/faq.md")
    commands = f"{obeyed['times']} of {obeyed['of']} tool results"
    for page in ("README.md", "SECURITY.md", "docs/security-and-privacy.md", "docs/tools.md"):
        assert commands in flat(page), page


def test_the_scores_of_tools_are_those_of_the_examination():
    """`make exam` keeps them; one line of the page may stand for several protocols that have the same."""
    exam = json.loads((ROOT / "tests" / "real" / "results.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    lines = dict(
        re.findall(r"^\| (`?\w+)[^|]* \| (\d+ \| \d+ \| \d+ \| \d+ \| \d+ \| \d+) \|$", page, re.MULTILINE)
    )
    names = {"`Embedded": "embedded", "FlowGpt": "flow-gpt", "AIChatFree": "ai-chat-free"}
    names["ChatgptFree"] = "chatgpt-free"
    assert lines.keys() == names.keys()
    for name, protocol in names.items():
        scores = [exam[f"{model} {protocol}"] for model in ("0.5b", "1.5b")]
        wanted = [
            str(value)
            for one in scores
            for value in (one["tools"]["held out"]["right"], one["tools"]["right"], one["objects"]["right"])
        ]
        assert lines[name].split(" | ") == wanted, name
    for protocol in ("free-netfly", "openai-compatible"):
        for model in ("0.5b", "1.5b"):
            assert exam[f"{model} {protocol}"] == exam[f"{model} flow-gpt"]
    assert all(one["objects"]["valid"] == one["objects"]["of"] for one in exam.values())


def test_the_table_of_token_estimates_is_what_is_estimated():
    """Of each family and text: the true count, where it was recorded, the likely and the upper estimate."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    head, *lines = page.partition("| | english ")[2].partition("\n\n")[0].splitlines()
    names = ["english", *(cell.strip() for cell in head.strip("|").split("|")[:-1])]
    seen = 0
    for line in lines:
        family, *cells, _ = (cell.strip() for cell in line.strip("|").split("|"))
        if family not in MODEL_OF:
            continue
        for name, cell in zip(names, cells, strict=True):
            true, *estimates = map(int, cell.split(" / "))
            model = MODEL_OF[family]
            assert estimates == [likely_tokens(TEXTS[name], model), upper_tokens(TEXTS[name], model)]
            assert true_of(family).get(name, true) == true
            seen += 1
    assert seen == 63
