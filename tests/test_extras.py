"""A package whose framework is not installed says which extra brings it."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "framework", "extra"),
    [
        ("langchain_freeproviders", "langchain_core", "langchain"),
        ("llama_index_freeproviders", "llama_index.core", "llama-index"),
        ("llama_index.embeddings.freeproviders", "llama_index.core", "llama-index"),
        ("llama_index.llms.freeproviders", "llama_index.core", "llama-index"),
    ],
)
def test_a_missing_framework_is_told_with_its_extra(module, framework, extra):
    code = f"""
import importlib, sys

class Without:
    "Finds nothing where the framework would be."
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {framework!r}:
            raise AssertionError("the framework was imported")

import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == {framework!r} else find(name, *more)
sys.meta_path.insert(0, Without)
try:
    importlib.import_module({module!r})
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert f'pip install ".[{extra}]"' in done.stdout, done.stderr
