"""Typed answers from any provider: asked for by a schema, found in what came, judged, and asked for again."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final

from freeproviders.abilities import Answering
from freeproviders.errors import BadRequestError, ContextOverflowError, StructuredOutputError
from freeproviders.tools.dialects.registry import HERMES
from freeproviders.tools.extract import Growing, extends, extract
from freeproviders.tools.fence import fence
from freeproviders.tools.fold import fold, has_tool_turns, with_instructions
from freeproviders.tools.markup import escape
from freeproviders.tools.parser import Parser, Piece
from freeproviders.tools.prompt import DEFAULT_PROMPT, ToolPrompt, fill
from freeproviders.tools.quirks import quirks_of
from freeproviders.tools.schema import constrained, pruned, response_format
from freeproviders.tools.sketch import sketch
from freeproviders.tools.tally import Tally, turns_again
from freeproviders.tools.target import Misfit, Target
from freeproviders.types import Batch, ChatRequest, Finish, Reasoning, Text, Usage
from freeproviders.wire.json import dumps, loads

_ANY_OBJECT: Final = {"type": "object"}
_BEGINNINGS: Final = {"object": ("{",), "array": ("[",), "string": ('"',)}


@dataclass(frozen=True, slots=True)
class Draft:
    """The object so far, as plain data; every draft extends the one before it, also where the model was asked again."""

    data: Any


@dataclass(frozen=True, slots=True)
class Structured:
    """The answer: `value` as the schema's own type (an instance, or plain data), `data` as plain data; what the model said, and what it cost.

    `revised` says that it does not extend the last draft: the model has taken back what it had begun with, by itself or when it was asked again.
    """

    value: Any
    data: Any
    text: str
    reasoning: str
    usage: Usage
    finish: Finish
    revised: bool = False


async def complete_structured(
    provider: Answering,
    request: ChatRequest,
    schema: object,
    *,
    prompt: ToolPrompt = DEFAULT_PROMPT,
) -> Structured:
    """Wait for an object that fits a pydantic class, a TypedDict, a dataclass or a JSON schema.

    Raises:
        UsageError: the schema is none.
        StructuredOutputError: no valid object came, after asking again.
    """
    last: Draft | Structured | None = None
    async with aclosing(stream_structured(provider, request, schema, prompt=prompt)) as steps:
        async for step in steps:
            last = step
    if not isinstance(last, Structured):  # the stream ends with one or raises
        raise TypeError(last)
    return last


def stream_structured(
    provider: Answering,
    request: ChatRequest,
    schema: object,
    *,
    prompt: ToolPrompt = DEFAULT_PROMPT,
) -> AsyncGenerator[Draft | Structured, None]:
    """Stream the object as it grows: drafts, and at last the valid answer. The request's own tools and response format do not count.

    Raises:
        UsageError: at the call itself: the schema is none.
        StructuredOutputError: while iterating: no valid object came, after asking again.
    """
    return _objects(_Asking(provider, request, Target.of(schema), prompt))


def ask_for_json(
    provider: Answering, request: ChatRequest, target: Target, *, prompt: ToolPrompt
) -> AsyncGenerator[Batch, None]:
    """Stream an answer whose text is bare JSON that fits the target.

    A service that constrains answers streams it as it comes, and it is judged at the end: what has gone out cannot be asked for again. Else, and where an
    answer does not begin as one under constraint would, it comes in one piece, once it is valid.
    """
    return _bare_json(_Asking(provider, request, target, prompt))


def schema_instructions(prompt: ToolPrompt, target: Target) -> str:
    """The words that ask for an object."""
    small = pruned(target.schema)
    if small == _ANY_OBJECT:
        return prompt.any_object
    return fill(prompt.schema, schema=escape(dumps(small).decode()), form=_form(target))


def misfit_turn(prompt: ToolPrompt, target: Target, misfit: Misfit) -> str:
    """The words that ask for an object again."""
    return fill(prompt.misfit, complaint=fence(str(misfit)), form=_form(target))


def _form(target: Target) -> str:
    return escape(sketch(pruned(target.schema)))


class _Asking:
    """One question for an object: the attempts, and what they add up to.

    Once `committed`, the text of the answer at hand has gone out: nothing can be found in it or asked for again any more.
    """

    def __init__(self, provider: Answering, request: ChatRequest, target: Target, prompt: ToolPrompt) -> None:
        self._provider = provider
        self._target = target
        self._prompt = prompt
        self._model = request.model or provider.model
        self._quirks = quirks_of(self._model)
        self._tally = Tally(provider, self._model, request.max_repairs)
        self._request = self._asking(request)
        self._draft: Any = None
        self.committed = False

    @property
    def constrained(self) -> bool:
        """Whether the service has been told the schema."""
        return self._request.response_format is not None

    def begins(self, text: str) -> bool:
        """Whether a text begins as an answer under constraint does."""
        return text.lstrip()[:1] in _BEGINNINGS.get(str(self._target.root.get("type")), ("{", "["))

    def _asking(self, request: ChatRequest) -> ChatRequest:
        """The request with the words that ask for an object, under its schema where the service takes one."""
        words = schema_instructions(self._prompt, self._target)
        if has_tool_turns(request.messages):
            messages = fold(
                request.messages, self._prompt, HERMES, None, words, obeys_system=self._quirks.system
            )
        else:
            messages = with_instructions(request.messages, words, obeys_system=self._quirks.system)
        form = _constraint(self._target) if self._provider.abilities(self._model).schema else None
        return replace(
            request,
            messages=messages,
            tools=(),
            tool_choice=None,
            parallel_tool_calls=None,
            response_format=form,
        )

    async def steps(self) -> AsyncGenerator[list[Piece] | Draft | Structured, None]:
        """Ask until the answer is good, or there is no asking again: what is said, the drafts in it, and at last the answer."""
        while True:
            answer = _Answer(self._target, thinking=self._quirks.thinking)
            try:
                async with aclosing(self._provider.batches(self._request)) as batches:
                    async for batch in batches:
                        if pieces := answer.take(batch):
                            yield pieces
                        if (
                            answer.snapshot is not None
                            and answer.snapshot != self._draft
                            and extends(self._draft, answer.snapshot)
                        ):
                            self._draft = answer.snapshot
                            yield Draft(self._draft)
            except BadRequestError as error:
                if isinstance(error, ContextOverflowError) or not self.constrained or answer.text:
                    raise
                self._tally.refused("schema", error.attempts)
                self._request = replace(self._request, response_format=None)
                continue
            if pieces := answer.end():
                yield pieces
            self._tally.answered(self._request, answer.text, answer.usage, answer.finish)
            try:
                value, data = self._judged(answer)
            except Misfit as misfit:
                self._ask_again(answer.text, misfit)
            else:
                finish = replace(
                    answer.finish or Finish(provider=self._provider.name, model=self._model),
                    attempts=self._tally.requests,
                )
                yield Structured(
                    value,
                    data,
                    answer.text,
                    answer.reasoning,
                    self._tally.usage,
                    finish,
                    revised=not extends(self._draft, data),
                )
                return

    def _judged(self, answer: _Answer) -> tuple[Any, Any]:
        if self.committed:
            return _strictly(answer.text, self._target)
        return extract(answer.text, self._target, truncated=answer.truncated, confirmed=answer.confirmed)

    def _ask_again(self, said: str, misfit: Misfit) -> None:
        if self.committed or self._tally.exhausted:
            what = f"The answer does not fit the schema {self._target.name}: {misfit}."
            attempts = self._tally.repairs + 1
            raise StructuredOutputError(
                what, said=said, attempts=attempts, provider=self._provider.name, model=self._model
            ) from None
        self._tally.repairs += 1
        turns = turns_again(said, misfit_turn(self._prompt, self._target, misfit))
        self._request = replace(self._request, messages=(*self._request.messages, *turns))


class _Answer:
    """Reads one answer. No I/O. `snapshot` is the object so far, None if it has not grown."""

    def __init__(self, target: Target, *, thinking: bool) -> None:
        self._parser = Parser((), thinking=thinking)
        self._growing = Growing(target)
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self.snapshot: Any = None
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

    @property
    def confirmed(self) -> bool:
        return self.finish is None or self.finish.confirmed

    def take(self, batch: Batch) -> list[Piece]:
        """Take what came; return what of it is text and reasoning."""
        out: list[Piece] = []
        for part in batch:
            match part:
                case Text():
                    out += self._parser.feed(part.text)
                case Reasoning():
                    out.append(part)
                case Usage():
                    self.usage = part
                case Finish():
                    self.finish = part
        return self._kept(out)

    def end(self) -> list[Piece]:
        """The answer has ended; return what was held."""
        return self._kept(self._parser.close(truncated=self.truncated))

    def _kept(self, pieces: list[Piece]) -> list[Piece]:
        for piece in pieces:
            if isinstance(piece, Reasoning):
                self._reasoning.append(piece.text)
            elif isinstance(piece, Text):
                self._text.append(piece.text)
                grown = self._growing.feed(piece.text)
                self.snapshot = grown if grown is not None else self.snapshot
        return pieces


async def _objects(asking: _Asking) -> AsyncGenerator[Draft | Structured, None]:
    async with aclosing(asking.steps()) as steps:
        async for step in steps:
            if not isinstance(step, list):
                yield step


async def _bare_json(asking: _Asking) -> AsyncGenerator[Batch, None]:
    """Reasoning as it comes; the text as it comes, too, where it can be trusted, else the object when it is known."""
    held = False
    async with aclosing(asking.steps()) as steps:
        async for step in steps:
            if isinstance(step, Structured):
                text: Batch = [] if asking.committed else [Text(dumps(step.data).decode())]
                yield [*text, step.usage, step.finish]
            elif isinstance(step, list):
                words = "".join(piece.text for piece in step if isinstance(piece, Text))
                if words.strip() and not held and not asking.committed:
                    asking.committed = asking.constrained and asking.begins(words)
                    held = not asking.committed
                if out := [
                    piece
                    for piece in step
                    if isinstance(piece, Reasoning) or (asking.committed and isinstance(piece, Text))
                ]:
                    yield [*out]


def _constraint(target: Target) -> dict[str, Any]:
    """The service's setting; one that takes any object says so itself, for some services refuse a schema without properties."""
    return (
        {"type": "json_object"}
        if pruned(target.schema) == _ANY_OBJECT
        else response_format(target.name, constrained(target.schema))
    )


def _strictly(text: str, target: Target) -> tuple[Any, Any]:
    """The object that a text is: nothing can be found in it or repaired."""
    try:
        value = loads(text)
    except ValueError as error:
        msg = f"it is not JSON: {error}"
        raise Misfit(msg) from None
    findings = target.check.findings(value)
    if findings:
        raise Misfit("; ".join(findings))
    return value, value
