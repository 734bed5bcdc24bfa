"""The code on the page about embeddings runs as it stands."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "embeddings.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("block", [block for block in BLOCKS if ".gguf" not in block])
def test_the_code_runs(block, tmp_path, monkeypatch):
    """With keys that nobody asks with: what is sent is sent to this machine, or not at all."""
    monkeypatch.chdir(tmp_path)
    for name in ("GEMINI_API_KEY", "NVIDIA_API_KEY"):
        monkeypatch.setenv(name, "key")
    exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102 - our own page
