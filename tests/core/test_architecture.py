"""The direction of imports, what an import costs, and public names that are what they claim to be."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import freeproviders

ROOT = Path(freeproviders.__file__).parent

# Who may import whom: a module may import what stands in its own row or above.
LAYERS = [
    ["_version", "lazy", "context_windows", "errors"],
    ["types"],
    ["wire"],
    ["bridge", "checks", "retry", "deadlines", "sessions", "transport", "stop", "usage"],
    ["exchange", "provider"],
    ["embedded"],
    ["providers"],
    ["tools"],
    ["ask"],
    ["ask"],
    ["testing"],
    ["cli", "__main__"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports_of(path, *, top_level_only=True):
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if not top_level_only else tree.body
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_direction(path):
    """Each module of the core imports downwards only, and no framework at all."""
    here = path.relative_to(ROOT).with_suffix("").parts[0]
    if here == "__init__":
        return
    for module in imports_of(path):
        assert not module.startswith(("langchain", "llama_index")), f"{path} imports {module}"
        parts = module.split(".")
        if parts[0] == "freeproviders" and len(parts) > 1 and parts[1] in LEVEL:
            assert LEVEL[parts[1]] <= LEVEL[here], f"{here} imports {module}"


def test_adapters_do_not_know_each_other():
    """Neither adapter imports the other, and none of them a provider's protocol or the transport."""
    for adapter, other in (
        ("langchain_freeproviders", "llama_index"),
        ("llama_index_freeproviders", "langchain"),
    ):
        for path in (ROOT.parent / adapter).rglob("*.py"):
            for module in imports_of(path, top_level_only=False):
                assert not module.startswith(other), f"{path} imports {module}"
                assert not module.startswith(
                    (
                        "aiohttp",
                        "freeproviders.wire.sse",
                        "freeproviders.wire.lines",
                        "freeproviders.exchange",
                    )
                ), f"{path} imports {module}"


def run(code):
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


HEAVY = [
    "langchain_core",
    "llama_index",
    "typer",
    "rich",
    "xllamacpp",
    "jsonschema",
    "json_repair",
    "freeproviders.testing",
    "freeproviders.cli",
    "freeproviders.tools",
]


def test_import_loads_no_framework():
    """Importing the core, and even every provider, loads no framework, no command line, no engine and no server; nothing is opened."""
    code = """
import sys, json
opened = []
sys.addaudithook(lambda event, args: opened.append(event) if event in ("socket.connect", "socket.bind", "subprocess.Popen", "socket.getaddrinfo") else None)
import freeproviders
bare = sorted(sys.modules)
from freeproviders import FreeNetfly, ChatgptFree, FlowGpt, AIChatFree, OpenAICompatible, Embedded
print(json.dumps([bare, sorted(sys.modules), opened]))
"""
    bare, full, opened = run(code)
    assert "aiohttp" not in bare
    assert [name for name in HEAVY if name in full] == []
    assert opened == []


def test_public_names():
    """`__all__` is sorted, complete and importable; the lazy table is what the type checker sees."""
    assert sorted(freeproviders.__all__) == freeproviders.__all__
    for name in freeproviders.__all__:
        assert getattr(freeproviders, name) is not None
        assert name in dir(freeproviders)
    assert set(freeproviders._HOMES) == set(freeproviders.__all__) - {"__version__"}
    checked = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(Path(freeproviders.__file__).read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(freeproviders._HOMES) <= checked
    with pytest.raises(AttributeError, match="no_such_name") as caught:
        _ = freeproviders.no_such_name
    assert (caught.value.name, caught.value.obj) == (
        "no_such_name",
        freeproviders,
    )  # which lets Python ask for a name alike


def test_every_public_thing_is_documented():
    """Every public class and function of the core has a docstring."""
    for path in ROOT.rglob("*.py"):
        if "cli" in path.parts:
            continue
        name = ".".join(["freeproviders", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(
            ".__init__"
        )
        if name.endswith(("__main__", ".engine")):
            continue
        module = importlib.import_module(name)
        assert module.__doc__, name
        for key, value in vars(module).items():
            if (
                not key.startswith("_")
                and getattr(value, "__module__", None) == name
                and (inspect.isclass(value) or inspect.isfunction(value))
            ):
                assert value.__doc__, f"{name}.{key}"
