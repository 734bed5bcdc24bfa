"""Typed answers from any provider: asked for by a schema, found in what came, judged, and asked for again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

from freeproviders.errors import BadRequestError, ContextOverflowError, StructuredOutputError
from freeproviders.tools.backend import Backend, has_json_schema, model_of, remember_refusal
from freeproviders.tools.dialects.registry import HERMES
from freeproviders.tools.extract import Growing, extends, extract
from freeproviders.tools.fold import fold, has_tool_turns, with_instructions
from freeproviders.tools.parser import Parser
from freeproviders.tools.prompt import DEFAULT_PROMPT, ToolPrompt, fill
from freeproviders.tools.quirks import quirks_of
from freeproviders.tools.schema import constrained, pruned, response_format
from freeproviders.tools.sketch import sketch
from freeproviders.tools.target import Misfit, Target
from freeproviders.types import Batch, ChatRequest, Finish, Message, Reasoning, Text, Usage
from freeproviders.wire.json import dumps, loads

MAX_REPAIRS: Final = 2
MAX_QUOTED_CHARS: Final = 4000


@dataclass(frozen=True, slots=True)
class Draft:
    """The object so far, as plain data; every draft extends the one before it."""

    data: Any


@dataclass(frozen=True, slots=True)
class Structured:
    """The answer: `value` as the schema's own type (an instance, or plain data), `data` as plain data; what the model said, and what it cost."""

    value: Any
    data: Any
    text: str
    reasoning: str
    usage: Usage
    finish: Finish


async def complete_structured(
    provider: Backend, request: ChatRequest, schema: object, *, prompt: ToolPrompt = DEFAULT_PROMPT, max_repairs: int = MAX_REPAIRS
) -> Structured:
    """Wait for an object that fits a pydantic class, a TypedDict, a dataclass or a JSON schema.

    Raises:
        UsageError: the schema is none.
        StructuredOutputError: no valid object came, after asking again.
    """
    last: Draft | Structured | None = None
    async with aclosing(stream_structured(provider, request, schema, prompt=prompt, max_repairs=max_repairs)) as steps:
        async for step in steps:
            last = step
    if not isinstance(last, Structured):  # the stream ends with one or raises
        raise TypeError(last)
    return last


def stream_structured(
    provider: Backend, request: ChatRequest, schema: object, *, prompt: ToolPrompt = DEFAULT_PROMPT, max_repairs: int = MAX_REPAIRS
) -> AsyncGenerator[Draft | Structured, None]:
    """Stream the object as it grows: drafts, and at last the valid answer. The request's own tools and response format do not count.

    Raises:
        UsageError: at the call itself: the schema is none.
        StructuredOutputError: while iterating: no valid object came, after asking again.
    """
    return _Asking(provider, request, Target.of(schema), prompt, max_repairs).run()


def ask_for_json(provider: Backend, request: ChatRequest, target: Target, *, prompt: ToolPrompt, max_repairs: int) -> AsyncGenerator[Batch, None]:
    """Stream an answer whose text is bare JSON that fits the target.

    A service that constrains answers streams it as it comes, and it is judged at the end; else it comes in one piece, once it is valid.
    """
    if has_json_schema(provider, model_of(provider, request)):
        return _constrained_json(provider, request, target, prompt, max_repairs)
    return _json_once_valid(_Asking(provider, request, target, prompt, max_repairs))


def schema_instructions(prompt: ToolPrompt, target: Target) -> str:
    """The words that ask for an object."""
    small = pruned(target.schema)
    if small == {"type": "object"}:
        return prompt.any_object
    return fill(prompt.schema, schema=dumps(small).decode(), form=sketch(small))


class _Asking:
    """One question for an object: the attempts, and what they add up to."""

    def __init__(self, provider: Backend, request: ChatRequest, target: Target, prompt: ToolPrompt, max_repairs: int) -> None:
        self._provider = provider
        self._target = target
        self._prompt = prompt
        self._max_repairs = max_repairs
        self._model = model_of(provider, request)
        self._quirks = quirks_of(self._model)
        self._request = self.asking(request)
        self._draft: Any = None
        self._usage: Usage | None = None
        self._requests = 0

    def asking(self, request: ChatRequest) -> ChatRequest:
        """The request with the words that ask for an object, under its schema where the service takes one."""
        words = schema_instructions(self._prompt, self._target)
        if has_tool_turns(request.messages):
            messages = fold(request.messages, self._prompt, HERMES, None, words, obeys_system=self._quirks.system)
        else:
            messages = with_instructions(request.messages, words, obeys_system=self._quirks.system)
        form = response_format(self._target.name, constrained(self._target.schema)) if has_json_schema(self._provider, self._model) else None
        return replace(request, messages=messages, tools=(), tool_choice=None, parallel_tool_calls=None, response_format=form)

    async def run(self) -> AsyncGenerator[Draft | Structured, None]:
        """Ask until the answer is good, or there is no asking again."""
        repairs = 0
        while True:
            answer = _Answer(self._target, thinking=self._quirks.thinking)
            try:
                async with aclosing(self._provider.batches(self._request)) as batches:
                    async for batch in batches:
                        snapshot = answer.take(batch)
                        if snapshot is not None and extends(self._draft, snapshot):
                            self._draft = snapshot
                            yield Draft(snapshot)
            except BadRequestError as error:
                if isinstance(error, ContextOverflowError) or self._request.response_format is None or answer.text:
                    raise
                remember_refusal(self._provider, "schema", self._model)
                self._request = replace(self._request, response_format=None)
                continue
            answer.end()
            self._add_up(answer)
            try:
                value, data = extract(answer.text, self._target, truncated=answer.truncated)
            except Misfit as misfit:
                if repairs >= self._max_repairs:
                    what = f"The answer does not fit the schema {self._target.name}: {misfit}."
                    raise StructuredOutputError(
                        what, said=answer.text, attempts=repairs + 1, provider=self._provider.name, model=self._model
                    ) from None
                repairs += 1
                self._ask_again(answer.text, str(misfit))
            else:
                finish = answer.finish or Finish(provider=self._provider.name, model=self._model)
                usage = self._usage or Usage(0, 0, estimated=True)
                yield Structured(value, data, answer.text, answer.reasoning, usage, replace(finish, attempts=self._requests))
                return

    def _add_up(self, answer: _Answer) -> None:
        if answer.usage is not None:
            self._usage = answer.usage if self._usage is None else self._usage + answer.usage
        self._requests += answer.finish.attempts if answer.finish else 1

    def _ask_again(self, said: str, complaint: str) -> None:
        turns = (
            Message("assistant", said[:MAX_QUOTED_CHARS] or "(nothing)"),
            Message("user", fill(self._prompt.misfit, complaint=complaint, form=sketch(pruned(self._target.schema)))),
        )
        self._request = replace(self._request, messages=(*self._request.messages, *turns))


class _Answer:
    """Reads one answer. No I/O."""

    def __init__(self, target: Target, *, thinking: bool) -> None:
        self._parser = Parser((), thinking=thinking)
        self._growing = Growing(target)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.usage: Usage | None = None
        self.finish: Finish | None = None

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def truncated(self) -> bool:
        return self.finish is not None and self.finish.reason == "length"

    def take(self, batch: Batch) -> Any:  # noqa: ANN401 - a JSON value
        """Take what came; return the object so far, None if it has not grown."""
        snapshot = None
        for part in batch:
            match part:
                case Text():
                    for piece in self._parser.feed(part.text):
                        grown = self._piece(piece)
                        snapshot = grown if grown is not None else snapshot
                case Reasoning():
                    self._reasoning.append(part.text)
                case Usage():
                    self.usage = part
                case Finish():
                    self.finish = part
        return snapshot

    def end(self) -> None:
        """The answer has ended."""
        for piece in self._parser.close(truncated=self.truncated):
            self._piece(piece)

    def _piece(self, piece: object) -> Any:  # noqa: ANN401
        if isinstance(piece, Reasoning):
            self._reasoning.append(piece.text)
        elif isinstance(piece, Text):
            self._text.append(piece.text)
            return self._growing.feed(piece.text)
        return None


async def _json_once_valid(asking: _Asking) -> AsyncGenerator[Batch, None]:
    async with aclosing(asking.run()) as steps:
        async for step in steps:
            if isinstance(step, Structured):
                if step.reasoning:
                    yield [Reasoning(step.reasoning)]
                yield [Text(dumps(step.data).decode()), step.usage, step.finish]


async def _constrained_json(
    provider: Backend, request: ChatRequest, target: Target, prompt: ToolPrompt, max_repairs: int
) -> AsyncGenerator[Batch, None]:
    asking = _Asking(provider, request, target, prompt, max_repairs)
    answer = _Answer(target, thinking=False)
    try:
        async with aclosing(provider.batches(asking.asking(request))) as batches:
            async for batch in batches:
                answer.take(batch)
                yield batch
    except BadRequestError as error:
        if isinstance(error, ContextOverflowError) or answer.text:
            raise
        remember_refusal(provider, "schema", model_of(provider, request))
    else:
        answer.end()
        try:
            _load_strictly(target, answer.text)
        except Misfit as misfit:
            what = f"The answer does not fit the schema {target.name}: {misfit}."
            raise StructuredOutputError(what, said=answer.text, provider=provider.name, model=model_of(provider, request)) from None
        return
    async with aclosing(_json_once_valid(_Asking(provider, request, target, prompt, max_repairs))) as rest:
        async for batch in rest:
            yield batch


def _load_strictly(target: Target, text: str) -> None:
    """Judge a text that has gone out already, so that nothing can be found in it or repaired any more."""
    try:
        value = loads(text)
    except ValueError as error:
        msg = f"it is not JSON: {error}"
        raise Misfit(msg) from None
    findings = target.check.findings(value)
    if findings:
        raise Misfit("; ".join(findings))
