"""The table by which LlamaIndex finds the class of a saved LLM, filled in when LlamaIndex has it."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from llama_index.core.llms.llm import LLM
from wrapt import register_post_import_hook


def recognize(classes: Mapping[str, type[LLM]]) -> None:
    """Let LlamaIndex load what was saved under these names.

    The table's module is not imported for that, since it imports the LLMs of other packages that
    are installed, and their clients: twice the modules, for programs that load nothing.
    """

    def fill(module: ModuleType) -> None:
        module.RECOGNIZED_LLMS.update(classes)

    register_post_import_hook(fill, "llama_index.core.llms.loading")
