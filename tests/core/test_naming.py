"""Names of arguments in errors: marked where an error is raised, and written in another notation."""

from __future__ import annotations

import ast
import copy
import inspect
import logging
import logging.handlers
import pickle
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import freeproviders
from freeproviders import errors
from freeproviders.checks import SETTINGS
from freeproviders.configuration import CONFIGURATION, read_base_url
from freeproviders.naming import Words, argument, joined, marked, words
from freeproviders.providers import PROVIDERS, load_provider

ROOT = Path(freeproviders.__file__).parent
CLASSES = [
    one
    for one in vars(errors).values()
    if inspect.isclass(one) and issubclass(one, errors.FreeProvidersError)
]


@given(st.lists(st.tuples(st.text(), st.from_regex(r"[a-z_]{1,9}", fullmatch=True))), st.text())
def test_marks_are_not_seen_and_not_lost(pieces: list[tuple[str, str]], end: str) -> None:
    plain = "".join(f"{text}{name}=" for text, name in pieces) + end
    said = words("".join(f"{text}{argument(name, f'{name}=')}" for text, name in pieces) + end)
    assert said == plain
    assert isinstance(said, Words) == bool(pieces)
    if isinstance(said, Words):
        assert said.arguments == tuple(name for _, name in pieces)
        assert (
            said.renamed(lambda name: f"--{name}")
            == "".join(f"{text}--{name}" for text, name in pieces) + end
        )
        assert said.renamed(lambda name: None) == plain
        for other in (*(pickle.loads(pickle.dumps(said, n)) for n in range(6)), copy.deepcopy(said)):
            assert (other, other.marked) == (said, said.marked)
    assert words(marked(said)) == said


def option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def test_an_errors_words_can_be_renamed() -> None:
    """Also after it was pickled, and where a service's own words name the same things."""
    error = errors.NotFoundError("Set base_url to model.", status=404, provider="P", body="x" * 9)
    assert str(error) == (
        "[P] HTTP 404: Set base_url to model. The answer began: 'xxxxxxxxx'. Check base_url and model."
    )
    for one in (error, pickle.loads(pickle.dumps(error)), error.without(["nothing"])):
        said = one.wording
        assert isinstance(said, Words)
        assert said.renamed(option).endswith(
            "Set base_url to model. The answer began: 'xxxxxxxxx'. Check --base-url and --model."
        )
    with pytest.raises(errors.UsageError) as caught:
        read_base_url("nowhere", "P")
    said = caught.value.wording
    assert said == "[P] base_url must look like https://host:port/path, not 'nowhere'."
    assert isinstance(said, Words)
    assert said.renamed(option).startswith("[P] --base-url must look")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_no_mark_is_shown(cls: type[errors.FreeProvidersError]) -> None:
    error = cls(f"About {argument('proxy')}.", advice=f"Look at {argument('timeout', 'timeout=3')}.")
    for text in (str(error), error.message, error.advice, repr(error), cls.advice, str(error.args)):
        assert not re.search("[\ufdd0-\ufdd2]", text)
    said = error.wording
    assert isinstance(said, Words)
    assert "--proxy" in said.renamed(option)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_text_of_an_error_is_plain(protocol: int) -> None:
    """What a log handler sends, or a job's result holds, is read by programs without this package."""
    error = errors.UsageError(f"{argument('base_url')} is wrong.")
    said = str(error)
    assert type(said) is type(f"{error}") is str
    assert b"freeproviders" not in pickle.dumps(said, protocol)
    record = logging.LogRecord("app", logging.ERROR, "app.py", 1, error, None, None)
    sent = logging.handlers.SocketHandler("127.0.0.1", 9).makePickle(record)
    assert b"freeproviders" not in sent
    assert pickle.loads(sent[4:])["msg"] == "base_url is wrong."
    assert str(pickle.loads(pickle.dumps(error, protocol))) == said


def test_sentences_that_are_added_to_advice_keep_its_marks() -> None:
    said = joined(words(f"Pass {argument('truncate', 'truncate=True')}."), "", "2 of 3 texts are kept.")
    assert said == "Pass truncate=True. 2 of 3 texts are kept."
    assert isinstance(said, Words)
    assert said.renamed(option) == "Pass --truncate. 2 of 3 texts are kept."


@cache
def names() -> frozenset[str]:
    """The arguments that are no words of English: those with an underscore."""
    own = {
        name
        for row in PROVIDERS
        for base in load_provider(row).__mro__
        if "__init__" in base.__dict__
        for name in inspect.signature(base.__init__).parameters
    }
    return frozenset(name for name in {*CONFIGURATION, *SETTINGS, *own} if "_" in name) - {
        "json_schema"
    }  # a kind of format too


def said_in(tree: ast.AST):
    """Yield line and text of each literal in the words of an error."""
    for node in ast.walk(tree):
        found: list[ast.AST] = []
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called.endswith("Error") and called in vars(errors):
                found = [*node.args[:1], *(one.value for one in node.keywords if one.arg == "advice")]
        elif isinstance(node, ast.Assign) and "advice" in ast.unparse(node.targets[0]).lower():
            found = [node.value]
        for one in found:
            marks = {
                id(inner)
                for call in ast.walk(one)
                if isinstance(call, ast.Call)
                for inner in ast.walk(call)
                if ast.unparse(call.func) == "argument"
            }
            for inner in ast.walk(one):
                if (
                    isinstance(inner, ast.Constant)
                    and isinstance(inner.value, str)
                    and id(inner) not in marks
                ):
                    yield inner.lineno, inner.value


@pytest.mark.parametrize(
    "path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_every_name_in_an_error_is_marked(path: Path) -> None:
    """What the command line writes as `--base-url` is never a plain word of a message or of advice."""
    if {"testing", "cli", "catalogue", "gateway"} & set(path.relative_to(ROOT).parts):
        return  # fields of files and of requests have names of their own, and options are written as such
    wrong = [
        f"{path}:{line}: {text!r}"
        for line, text in said_in(ast.parse(path.read_text(encoding="utf-8")))
        for word in re.findall(r"(?<![\w.`\[{])[a-z_]+(?![\w(\]])", text)
        if word in names()
    ]
    wrong += [
        f"{path}:{line}: {text!r}"
        for line, text in said_in(ast.parse(path.read_text(encoding="utf-8")))
        if "{argument(" in text  # the f before the text is missing
    ]
    assert not wrong
