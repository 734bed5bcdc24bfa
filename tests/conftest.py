"""What all tests share: the embedded models' weights, fetched once a session.

A machine that cannot have them fails the tests and does not skip them.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from blockbuster import blockbuster_ctx
from coverage import Coverage
from hypothesis import is_hypothesis_test

from freeproviders import Embedded
from freeproviders.embedded.fetch import fetch
from freeproviders.embedded.weights import weights_named
from freeproviders.tools.loading import load
from tests.catalogued import SERVICES, Catalogued, catalogued

FETCHING_SECONDS = 900
MAY_BLOCK = [
    ("freeproviders/bridge.py", {"run", "get", "end"}, "a sync method called in a running loop blocks it"),
    ("freeproviders/listening.py", {"__enter__", "__exit__"}, "so does a sync `with` of a server"),
    ("coverage/collector.py", {"lock_data"}, "coverage notes a line that is new to it"),
    ("freeproviders/providers/embedded.py", {"_running", "_started"}, "the engine's start looks at files"),
    ("freeproviders/providers/embedded.py", {"context_window"}, "the first look at a file of one's own"),
    ("freeproviders/embeddings/embedded.py", {"__init__"}, "a constructor that looks at its model's file"),
    (
        "freeproviders/embedded/cache.py",
        {"write", "close", "restart", "cut", "note", "noted"},
        "a download's bytes, once in a life",
    ),
    ("freeproviders/embedded/index.py", {"write", "restart"}, "the same, where there is no pip"),
    ("freeproviders/embedded/cache.py", {"cached_lately"}, "the first look into a folder that is new"),
    ("freeproviders/embeddings/static.py", {"find", "load"}, "a sync method that loads the weights once"),
]
"""Where our code may block an event loop: the end of a file's name, functions in it, and why."""
NOT_COVERED = pytest.StashKey[bool]()
OURS = ("freeproviders", "langchain_freeproviders", "llama_index_freeproviders")

# What is loaded on a thread in the first question with tools is there for all tests, so that none
# depends on being the first; `test_event_loop` has processes of its own.
load()

# Where the tests run in the background, Ctrl-C is ignored by them and by all that they start, and
# some of them press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell a test's first case from its further ones, and from those that hypothesis draws."""
    parser.addoption(
        "--cases",
        choices=["first", "first-covered"],
        help="first: of each test the first case alone; first-covered: all, with the coverage of these",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The first test that needs the weights also waits for them; `--cases` takes or orders."""
    for item in items:
        if item.get_closest_marker("real") is not None and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(FETCHING_SECONDS))
    if (wanted := config.getoption("--cases")) is None:
        return
    first: list[pytest.Item] = []
    further: list[pytest.Item] = []
    seen: set[str] = set()
    for item in items:
        test, drawn = item.nodeid.partition("[")[0], is_hypothesis_test(getattr(item, "obj", None))
        (further if drawn or test in seen else first).append(item)
        seen.add(test)
    items[:] = first
    if wanted == "first":
        config.hook.pytest_deselected(items=further)
        return
    items += further
    for item in further:
        item.stash[NOT_COVERED] = True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """End the coverage with the first test that it does not count: those behind it are none either.

    It cannot go on later, since threads that run already would not be seen again.
    """
    if item.stash.get(NOT_COVERED, False) and (coverage := Coverage.current()) is not None:
        coverage.stop()


def pytest_collection_finish() -> None:
    """Thousands of tests are objects that no collection of garbage need look at again."""
    gc.collect()
    gc.freeze()


def folder(name: str) -> ModuleType:
    """A package as the guard wants it: importing both frameworks for its path would take seconds."""
    package = ModuleType(name)
    package.__path__ = [str(Path(__file__).parents[1] / name)]
    return package


@pytest.fixture(autouse=True)
def no_blocking_call(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail an async test in which our code blocks the event loop: in a file, a socket, a lock or a sleep.

    This is the guard of LangChain's own tests. A test that blocks on purpose is marked `blocks`,
    with its reason.
    """
    function = getattr(request, "function", None)
    if not inspect.iscoroutinefunction(function) or request.node.get_closest_marker("blocks") is not None:
        yield
        return
    with blockbuster_ctx(
        [folder(name) for name in OURS], excluded_modules=[folder("freeproviders/testing")]
    ) as guard:
        for called in guard.functions.values():
            for file, functions, _ in MAY_BLOCK:
                called.can_block_in(file, functions)
        yield


@pytest.fixture(scope="session", autouse=True)
def state_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder for what is counted and learned: never the user's, in child processes neither."""
    os.environ["FREEPROVIDERS_STATE"] = str(tmp_path_factory.mktemp("state"))
    os.environ.pop("FREEPROVIDERS_QUOTA", None)


@pytest.fixture(params=SERVICES)
def listed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalogued]:
    """A service of the catalogue: one of ours, and one that is only a file of the user's."""
    with catalogued(request.param, tmp_path) as service:
        yield service


@pytest.fixture(scope="session")
def weights_135m() -> Path:
    """The smallest model's file: quick and silly, for plumbing."""
    return asyncio.run(fetch(weights_named("smollm2-135m")))


@pytest.fixture(scope="session")
def weights_05b() -> Path:
    """The default model's file: for answers that make sense."""
    return asyncio.run(fetch(weights_named("qwen2.5-coder-0.5b")))


@pytest.fixture(scope="session")
def embedded_135m(weights_135m: Path) -> Embedded:
    """The smallest model as a provider; good for any loop and thread."""
    assert weights_135m.exists()
    return Embedded("smollm2-135m", prompt_cache=False)


@pytest.fixture(scope="session")
def embedded_05b(weights_05b: Path) -> Embedded:
    """The default model as a provider; good for any loop and thread."""
    assert weights_05b.exists()
    return Embedded("qwen2.5-coder-0.5b", prompt_cache=False)
