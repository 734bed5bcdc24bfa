"""The direction of imports, what an import costs, and public names that are what they claim to be."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import freeproviders
from freeproviders import providers
from freeproviders.testing.services import service_class

ROOT = Path(freeproviders.__file__).parent

# Who may import whom: a module may import what stands in its own row or above. A longer name wins
# over the package that holds it.
LAYERS = [
    [
        "_version",
        "lazy",
        "model_names",
        "model_windows",
        "windows",
        "templates",
        "redaction",
        "journal",
        "display",
        "process",
        "folders",
        "installing",
        "naming",
        "patterns",
        "records",
        "addresses",
        "private_file",
        "sqlite_file",
    ],
    ["wire.json", "wire.limits", "wire.signs"],
    ["errors", "redis_server"],
    ["types"],
    ["wire"],
    ["tokens"],
    ["catalogue"],
    ["quota"],
    ["answers"],
    [
        "listed",
        "bridge",
        "checks",
        "foreign",
        "retry",
        "deadlines",
        "sessions",
        "transport",
        "stop",
        "usage",
        "listening",
        "methods",
        "streams",
    ],
    [
        "configuration",
        "consent",
        "abilities",
        "exchange",
        "services",
        "over_http",
        "openai_service",
        "adapted",
    ],
    ["tools", "thinking", "several"],
    ["backend"],
    ["provider"],
    ["embedded"],
    ["providers"],
    ["router"],
    ["batch"],
    ["embeddings"],
    ["probing"],
    ["gateway"],
    ["testing"],
    ["cli", "__main__"],
]
LEVEL = {f"freeproviders.{name}": level for level, names in enumerate(LAYERS) for name in names}


def modules_of(root):
    """The modules of a package by their names."""
    return {
        ".".join([root.name, *path.relative_to(root).with_suffix("").parts]).removesuffix(".__init__"): path
        for path in sorted(root.rglob("*.py"))
    }


PACKAGES = {
    name: modules_of(ROOT.parent / name)
    for name in ("freeproviders", "langchain_freeproviders", "llama_index_freeproviders")
}
MODULES = PACKAGES["freeproviders"]
EVERY = {name: path for modules in PACKAGES.values() for name, path in modules.items()}


@cache
def imports_of(path):
    """Every module that a file imports: at its top, late inside a function, or for types only."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.append(inner if inner in EVERY else node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


def level_of(module):
    """The row of a module, None for what is no module of the core."""
    while module:
        if module in LEVEL:
            return LEVEL[module]
        module = module.rpartition(".")[0]
    return None


@pytest.mark.parametrize("name", [name for name in MODULES if name != "freeproviders"])
def test_direction(name):
    """Each module of the core imports downwards only, also late and for types, and no framework at all."""
    here = level_of(name)
    assert here is not None, f"{name} has no row in LAYERS"
    for module in imports_of(MODULES[name]):
        assert not module.startswith(("langchain", "llama_index")), f"{name} imports {module}"
        there = level_of(module)
        assert there is None or there <= here, f"{name} imports {module}"


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_circle(package):
    """No module reaches itself through what it imports, late imports and types included."""
    modules = PACKAGES[package]
    graph = {
        name: {m for m in imports_of(path) if m in modules and m != name} for name, path in modules.items()
    }
    del graph[package]  # the face of the package, which names everything
    done = set()

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, [*trail, name])
            done.add(name)

    for name in graph:
        visit(name, [])


def test_only_the_transport_knows_aiohttp():
    """The network is asked in one place and served in two, and loops are started in two."""
    clients = {"freeproviders.transport", "freeproviders.sessions", "freeproviders.errors"}
    for name, path in MODULES.items():
        if name not in clients and not name.startswith(("freeproviders.testing", "freeproviders.gateway")):
            assert not any(module.startswith("aiohttp") for module in imports_of(path)), name
        text = path.read_text()
        if not name.startswith(("freeproviders.cli", "freeproviders.testing")):
            assert "asyncio.run(" not in text, name


def test_values_of_sql_are_not_numbered():
    """Python 3.12 warns of `?1` with a tuple, 3.14 refuses it: a value used twice has a name (`:now`)."""
    of_sql = {path for path in MODULES.values() if "sqlite3" in path.read_text()}
    assert of_sql
    for path in of_sql:
        assert not re.search(r"\?\d", path.read_text()), path


NOT_FOR_ADAPTERS = (
    "aiohttp",
    "freeproviders.wire.sse",
    "freeproviders.wire.lines",
    "freeproviders.exchange",
    "freeproviders.transport",
    "freeproviders.sessions",
    "freeproviders.testing",
    "freeproviders.cli",
)


def test_adapters_know_neither_each_other_nor_the_network():
    """No adapter imports the other, nor protocols, the transport, the replicas or the command line."""
    for adapter, other in (
        ("langchain_freeproviders", "llama_index"),
        ("llama_index_freeproviders", "langchain"),
    ):
        for path in (ROOT.parent / adapter).rglob("*.py"):
            for module in imports_of(path):
                assert not module.startswith((other, *NOT_FOR_ADAPTERS)), f"{path} imports {module}"


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
    "freeproviders.probing",
    "freeproviders.gateway",
    "freeproviders.catalogue",
    "freeproviders.quota",
    "freeproviders.services",
    "freeproviders.tools.engine",
    "freeproviders.tools.schema",
]


def test_import_loads_no_framework():
    """Importing the core and every provider loads no framework, command line, engine or server.

    Nothing is opened.
    """
    code = """
import sys, json
opened = []
EVENTS = ("socket.connect", "socket.bind", "subprocess.Popen", "socket.getaddrinfo")
sys.addaudithook(lambda event, args: opened.append(event) if event in EVENTS else None)
import freeproviders
bare = sorted(sys.modules)
from freeproviders import FreeNetfly, ChatgptFree, FlowGpt, AIChatFree, OpenAICompatible, Embedded
print(json.dumps([bare, sorted(sys.modules), opened]))
"""
    bare, full, opened = run(code)
    assert "aiohttp" not in bare
    assert [name for name in HEAVY if name in full] == []
    assert opened == []


def test_every_room_is_on_the_page():
    """The page on architecture says where each module and package of the core lives."""
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.name + "/" * path.is_dir() for path in ROOT.iterdir() if not path.name.startswith("_")}
    for room in rooms - {"py.typed"}:
        assert f"`{room}`" in page, room


def names_for_checkers(path):
    """What a module imports by name, where type checkers alone look too."""
    return {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_table_of_providers():
    """A row is what the class says of itself.

    Every file beside the table has a row, and type checkers see its class.
    """
    for row in providers.PROVIDERS:
        cls = providers.load_provider(row)
        assert (cls.slug, cls.name, cls.__name__) == (row.slug, row.name, row.name)
        for name in (row.slug, row.name, row.slug.replace("-", "_"), row.name.upper()):
            assert providers.find_provider(name) is row
        if row.replica:
            service = service_class(row.slug)
            assert (service.slug, service.name) == (row.slug, row.name)
            assert service_class(cls) is service
    assert providers.find_provider("nobody") is None
    files = {path.stem for path in Path(providers.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {row.module.removeprefix("providers.") for row in providers.PROVIDERS}
    assert {row.name for row in providers.PROVIDERS} <= names_for_checkers(Path(providers.__file__))


def test_public_names():
    """`__all__` is complete and importable; the lazy table is what the type checker sees."""
    assert len(set(freeproviders.__all__)) == len(freeproviders.__all__)
    for name in freeproviders.__all__:
        assert getattr(freeproviders, name) is not None
        assert name in dir(freeproviders)
    assert set(freeproviders._HOMES) == set(freeproviders.__all__) - {"__version__"}
    checked = names_for_checkers(Path(freeproviders.__file__)) | names_for_checkers(Path(providers.__file__))
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
