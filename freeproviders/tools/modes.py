"""The ways to put a question with tools, and what answers show of a service's own tools."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

from freeproviders.abilities import Answering, Feature
from freeproviders.errors import (
    BadRequestError,
    ContextOverflowError,
    NotFoundError,
    OutputError,
    ProviderError,
    ResponseError,
    ServerError,
    ToolsNotSupportedError,
)
from freeproviders.tools.fold import has_tool_turns
from freeproviders.tools.plan import Plan
from freeproviders.tools.quirks import Quirks
from freeproviders.tools.readers import CallReader
from freeproviders.tools.tally import Tally
from freeproviders.tools.toolbox import properties
from freeproviders.types import ChatRequest, Tool, Usage

Mode = Literal["native", "both", "schema", "prompt", "plain"]
"""How a question is put.

With the service's own tools; with these and in words, to find out whether it has them; under a
schema; in words; without tools. The second never forces a call natively: under the grammar of a
forced call, a small model that had been told in words to write it otherwise called without end.
"""

CHARS_PER_TOKEN: Final = 8
"""More than any tokenizer puts into one token of names and descriptions, on the average."""

_ABOUT_TOOLS = re.compile(r"(?i)tool|function")
_ABOUT_THESE_TOOLS = re.compile(
    r"(?i)schema|pattern|tool[_ ]choice|parallel_tool_calls|single tool|function\."
    r"|tools?(?:\[|\.|['\"],? ?)\d"
)


class Modes:
    """The choice among the ways to put one question.

    A way that failed is not taken again, whatever the backend claims. Where answers decide about a
    service's own tools (`Backend.finds_out`), what this one shows is remembered.
    """

    def __init__(self, backend: Answering, request: ChatRequest, plan: Plan, quirks: Quirks) -> None:
        self._backend = backend
        self._model = request.model or backend.model
        self._plan = plan
        self._tries_native = quirks.native and not has_tool_turns(request.messages)
        """With calls in the conversation no try: they would be there in words, and imitated."""
        self._failed: set[Mode] = set()

    def best(self) -> Mode:
        """Choose the best way that has not failed."""
        backend, model, failed = self._backend, self._model, self._failed
        if "native" not in failed and self._is_native():
            return "native"
        constrains = "schema" not in failed and self._plan.must and bool(self._plan.outstanding)
        if constrains and backend.abilities(model).schema:
            return "schema"
        if "both" not in failed and self._is_to_be_tried():
            return "both"
        return "schema" if constrains and backend.tries("schema", model) else "prompt"

    def is_doubtful(self, mode: Mode) -> bool:
        """Return whether native tools are used because of a claim alone, which may be refuted."""
        return (
            mode == "native" and self._finds_out() and not self._backend.learned.proves("tools", self._model)
        )

    def fail(self, mode: Mode, error: ProviderError | OutputError, tally: Tally) -> bool:
        """Note that a request failed; return whether to put the question in another way."""
        refused = isinstance(error, BadRequestError) and not isinstance(error, ContextOverflowError)
        bad = isinstance(error, ResponseError) and error.is_retryable
        salvageable = isinstance(error, ProviderError) and bool(error.failed_generation)
        if mode in {"native", "both"} and isinstance(error, ToolsNotSupportedError):
            tally.refused("tools", error.attempts, error.message, certain=True)
        elif mode == "both" and not salvageable:
            # Whatever the service says of it: less was asked of it where there were only words.
            if isinstance(error, ProviderError) and not (
                bad or isinstance(error, BadRequestError | NotFoundError | ServerError)
            ):
                return False
            blames = isinstance(error, ProviderError) and refused and _blames_tools(error)
            tally.refused("tools" if blames else None, error.attempts, error.message)
        elif mode == "native" and self._finds_out() and (refused or bad) and not salvageable:
            tally.refused(None, error.attempts)
        elif mode == "schema" and (refused or (bad and self._backend.tries("schema", self._model))):
            tally.refused("schema" if refused else None, error.attempts, error.message)
        else:
            return False
        self._failed.add(mode)
        return True

    def show(self, mode: Mode, answer: CallReader) -> bool:
        """Learn from the calls of an answer; return whether they speak against the way."""
        if mode not in {"native", "both"} or not self._finds_out():
            return False
        if answer.native_calls:
            if mode == "both" or not self._plan.must:  # services may force calls and tell no free ones
                self._backend.learned.prove("tools", self._model, "A native call came.")
        elif answer.text_calls:
            self._backend.learned.disprove("tools", self._model, "A call came as text.")
            self._failed.add(mode)
            return True
        return False

    def passed_over(self, mode: Mode, answer: CallReader) -> bool:
        """Learn from an answer in words; return whether the service passed over what was asked."""
        learned, model = self._backend.learned, self._model
        if mode in {"native", "both"} and self._finds_out():
            if self._plan.must:
                feature: Feature = "tools" if mode == "both" else "forced_tools"
                learned.disprove(feature, model, "A call was required, but none came.")
            elif self.is_doubtful(mode) and cannot_hold(answer.usage, self._plan.box.tools):
                learned.disprove("tools", model, "The tokens counted for the prompt cannot hold the tools.")
            else:
                return False
        elif mode == "schema" and self._backend.tries("schema", model):
            if not answer.truncated:
                learned.disprove("schema", model, "What came is nothing that the schema allows.")
        else:
            return False
        self._failed.add(mode)
        return True

    def _is_native(self) -> bool:
        backend, model = self._backend, self._model
        forces = not (self._plan.must and self._finds_out() and backend.learned.lacks("forced_tools", model))
        return forces and backend.abilities(model).tools

    def _is_to_be_tried(self) -> bool:
        backend, model = self._backend, self._model
        return self._tries_native and backend.tries("tools", model) and backend.learned.is_due("tools", model)

    def _finds_out(self) -> bool:
        return self._backend.finds_out("tools")


def cannot_hold(usage: Usage | None, tools: Iterable[Tool]) -> bool:
    """Return whether a prompt of so many tokens, counted by the service, has no room for the tools.

    Only what every way of writing them holds is counted: names, descriptions, names of parameters.
    """
    if usage is None or usage.estimated or usage.input_tokens <= 0:
        return False
    words = [word for tool in tools for word in (tool.name, tool.description, *properties(tool))]
    return (usage.input_tokens + (usage.cached_tokens or 0)) * CHARS_PER_TOKEN < sum(map(len, words))


def _blames_tools(error: ProviderError) -> bool:
    """Return whether a refusal seems to be about tools as such.

    One of these tools' schemas or names, of a choice among them or of something else is not.
    """
    said = f"{error.code or ''} {error.message} {error.body}"
    return _ABOUT_TOOLS.search(said) is not None and _ABOUT_THESE_TOOLS.search(said) is None
