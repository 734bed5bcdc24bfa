"""The form of the language: short first lines, narrow prose, one way to raise."""

import ast
import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("freeproviders", "langchain_freeproviders", "llama_index_freeproviders")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

PROSE_COLUMNS = 100
_FENCE = re.compile(r"\s*(```|~~~)")
_RUN_ON = re.compile(
    r"^\s*(?:Args|Returns|Raises|Examples): +\S|(?<=\w\.)  +(?=[A-Z]\w* [a-z])", re.MULTILINE
)
_NOT_PROSE = re.compile(r"\s*(\||<|\[[^\]]+\]:|!?\[[^\]]*\]\([^)]*\)[.,;:]?$)")
_DESCRIBED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def public_docstrings(tree):
    """Yield (line, docstring) of what is public: the module, its classes, functions and methods."""
    if not isinstance(tree, _DESCRIBED):
        return
    name = getattr(tree, "name", "")
    if name.startswith("_") and not name.startswith("__"):
        return
    if (text := ast.get_docstring(tree)) is not None:
        yield tree.body[0].lineno, text
    for node in tree.body:
        yield from public_docstrings(node)


def wide_prose(text):
    """Yield (line number, line) of prose that is wider than it may be."""
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced = not fenced
        elif fenced or len(line) <= PROSE_COLUMNS or _NOT_PROSE.match(line):
            continue
        elif max(map(len, line.split())) < PROSE_COLUMNS - 20:  # an address cannot be broken
            yield number, line


def named_messages(tree):
    """Yield the line of each `raise X(name)` whose message was written down just before."""
    for node in ast.walk(tree):
        for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if not isinstance(body, list):
                continue
            for one, other in pairwise(body):
                if (
                    isinstance(one, ast.Assign)
                    and isinstance(one.value, ast.JoinedStr | ast.Constant)
                    and isinstance(other, ast.Raise)
                    and isinstance(other.exc, ast.Call)
                    and [ast.unparse(argument) for argument in other.exc.args]
                    == [ast.unparse(target) for target in one.targets]
                ):
                    yield other.lineno


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def where(path):
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_a_docstring_begins_with_one_short_line(path):
    """At most 100 characters, of a sentence that is not left open."""
    for line, text in public_docstrings(tree_of(path)):
        first, *rest = text.splitlines()
        assert len(first) <= PROSE_COLUMNS, f"{where(path)}:{line}"
        assert not rest or not rest[0].strip(), f"{where(path)}:{line}: the first line is a paragraph"


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_a_docstring_was_not_run_together(path):
    """A section's head has a line of its own, and sentences have one blank between them."""
    for line, text in public_docstrings(tree_of(path)):
        assert not (found := _RUN_ON.search(text)), f"{where(path)}:{line}: {found[0]!r}"


@pytest.mark.parametrize("path", MODULES, ids=where)
def test_a_message_stands_where_it_is_raised(path):
    """`raise X("...")`, without a variable for the text."""
    assert not list(named_messages(tree_of(path)))


@pytest.mark.parametrize("path", PAGES, ids=where)
def test_prose_is_narrow(path):
    """At most 100 columns, beside tables, code and lines that are one link."""
    text = path.read_text(encoding="utf-8")
    wide = [f"{number}: {line}" for number, line in wide_prose(text)]
    assert not wide
    assert text.endswith("\n")


def test_what_is_prose():
    """The rules see what they should, and nothing else."""
    long = "word " * 30
    text = f"{long}\n| {long} |\n```\n{long}\n```\n[name](https://x.example/{'a' * 100})\n{long}\n"
    assert [number for number, _ in wide_prose(text)] == [1, 7]
    tree = ast.parse('"""A."""\nclass B:\n    """C."""\n    def _d(self):\n        """E."""\n')
    assert [text for _, text in public_docstrings(tree)] == ["A.", "C."]
    named = ast.parse('def f():\n    msg = f"no {1}"\n    raise ValueError(msg)\n')
    direct = ast.parse('def f():\n    x = "no"\n    raise ValueError("no")\n')
    assert (list(named_messages(named)), list(named_messages(direct))) == ([3], [])
