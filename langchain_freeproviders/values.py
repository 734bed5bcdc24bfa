"""LangChain's own objects as JSON and back, by a list of classes; nothing is imported to read one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from langchain_core import agents, documents, messages, outputs, prompt_values

from freeproviders.answers.values import Values, named

_PREFIX: Final = "langchain."
_CLASSES: Final[dict[str, type[Any]]] = {
    _PREFIX + cls.__name__: cls
    for cls in (
        agents.AgentAction,
        agents.AgentActionMessageLog,
        agents.AgentFinish,
        documents.Document,
        messages.AIMessage,
        messages.AIMessageChunk,
        messages.ChatMessage,
        messages.ChatMessageChunk,
        messages.FunctionMessage,
        messages.FunctionMessageChunk,
        messages.HumanMessage,
        messages.HumanMessageChunk,
        messages.RemoveMessage,
        messages.SystemMessage,
        messages.SystemMessageChunk,
        messages.ToolMessage,
        messages.ToolMessageChunk,
        outputs.ChatGeneration,
        outputs.ChatGenerationChunk,
        outputs.Generation,
        outputs.GenerationChunk,
        prompt_values.ChatPromptValue,
        prompt_values.ChatPromptValueConcrete,
        prompt_values.StringPromptValue,
    )
}
_LABELS: Final = dict.fromkeys(_CLASSES, ("id",))
"""The id of a message is made up for each run, and a document's says nothing of its text."""


def values_of(types: Iterable[type[Any]] = ()) -> Values:
    """Return how values are kept: LangChain's messages, documents and answers, and given classes."""
    return Values({**named(types), **_CLASSES}, labels=_LABELS)
