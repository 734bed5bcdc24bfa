"""Typed answers from any backend: requested by a schema, found, judged, and repaired."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, TypeVar, cast

from freeproviders.abilities import Abilities, Answering
from freeproviders.errors import (
    BadRequestError,
    ContextOverflowError,
    OutputError,
    ProviderError,
    ResponseError,
    ServerError,
    StructuredOutputError,
)
from freeproviders.tools.fence import Fence, escape, fence
from freeproviders.tools.fold import fence_of, fold, has_tool_turns, with_instructions
from freeproviders.tools.prompt import DEFAULT_PROMPT, ToolPrompt, fill
from freeproviders.tools.read.dialects.registry import HERMES
from freeproviders.tools.read.extract import Growing, extends, extract, unfinished
from freeproviders.tools.readers import ObjectReader, Out
from freeproviders.tools.rounds import Fault, Question
from freeproviders.tools.schema.sent import response_format
from freeproviders.tools.schema.sketch import sketch
from freeproviders.tools.schema.target import Misfit, Target, any_object
from freeproviders.tools.schema.variants import pruned
from freeproviders.tools.tally import turns_again
from freeproviders.types import (
    Batch,
    ChatRequest,
    Draft,
    Finish,
    Part,
    Reasoning,
    ReasoningMode,
    Text,
    Usage,
    collect,
)
from freeproviders.wire.json import dumps, loads

_ANY_OBJECT: Final = {"type": "object"}
_BEGINNINGS: Final = {"object": ("{",), "array": ("[",), "string": ('"',)}


@dataclass(frozen=True, slots=True)
class Structured:
    """A typed answer.

    `value` has the schema's own type (an instance, or plain data), `data` is plain data; `text` and
    `reasoning` are what the model said. `revised` says that the answer does not extend the last
    draft: the model has taken back what it had begun with, by itself or when it was asked again.
    """

    value: Any
    data: Any
    text: str
    reasoning: str
    usage: Usage
    finish: Finish
    revised: bool = False


Step = Part | Draft | Structured
"""What a question for an object may yield."""


async def complete_structured(
    backend: Answering,
    request: ChatRequest,
    schema: object,
    *,
    prompt: ToolPrompt = DEFAULT_PROMPT,
) -> Structured:
    """Wait for an object that fits a pydantic class, a TypedDict, a dataclass or a JSON schema.

    Raises:
        UsageError: the schema is none.
        StructuredOutputError: no valid object came, after asking again.
        ProviderError: the service failed.
    """
    last: Draft | Structured | None = None
    async with aclosing(stream_structured(backend, request, schema, prompt=prompt)) as steps:
        async for step in steps:
            last = step
    if not isinstance(last, Structured):  # the stream ends with one or raises
        raise TypeError(last)
    return last


def stream_structured(
    backend: Answering,
    request: ChatRequest,
    schema: object,
    *,
    prompt: ToolPrompt = DEFAULT_PROMPT,
) -> AsyncGenerator[Draft | Structured, None]:
    """Stream the object as it grows: drafts, and at last the valid answer.

    The request's own tools and response format do not count. Where the backend keeps answers
    (`cache=`), one that is kept comes at once, without drafts, and its `text` is the object alone; a
    `prompt` of the caller's own is always asked.

    Raises:
        UsageError: at the call itself: the schema is none.
        StructuredOutputError: while iterating: no valid object came, after asking again.
        ProviderError: while iterating: the service failed.
    """
    if backend.keeps_answers and prompt is DEFAULT_PROMPT:
        return _kept_or_drafted(backend, request, schema, Target.of(schema))
    return _flat(_DraftedObject(backend, request, Target.of(schema), prompt).rounds())


def schema_instructions(prompt: ToolPrompt, target: Target) -> str:
    """Write the words that ask for an object."""
    small = pruned(target.schema)
    if not target.told or small == _ANY_OBJECT:
        return prompt.any_object
    return fill(prompt.schema, schema=escape(dumps(small).decode()), form=_form(target))


def constraint(abilities: Abilities, target: Target) -> dict[str, Any]:
    """Write the constraint for a service.

    One that takes any object says so itself: some services refuse a schema without properties.
    """
    if not target.told or pruned(target.schema) == _ANY_OBJECT:
        return {"type": "json_object"}
    strict = abilities.strict_schema and target.strict is not False
    return response_format(target.name, target.schema, strict=strict)


def misfit_turn(prompt: ToolPrompt, target: Target, misfit: Misfit) -> str:
    """Write the words that ask for an object again."""
    return fill(prompt.misfit, complaint=fence(str(misfit)), form=_form(target))


def endless_fault(prompt: ToolPrompt, what: str, error: type[OutputError], *, final: bool = False) -> Fault:
    """Write the fault of an answer that was ended since it repeated itself without end."""
    turn = fill(prompt.endless, complaint=fence(what))
    return Fault(f"The answer {what}, and was ended.", turn, error, final=final)


def _form(target: Target) -> str:
    return escape(sketch(pruned(target.schema)))


def stream_drafted(
    backend: Answering, request: ChatRequest, schema: object, *, prompt: ToolPrompt = DEFAULT_PROMPT
) -> AsyncGenerator[list[Part | Draft], None]:
    """Stream the parts of an answer whose text is an object, and drafts of the object before it.

    The text comes in one piece at the end, once it is valid; a model may be asked again up to then.

    Raises as `stream_structured` does.
    """
    question = _DraftedText(backend, request, Target.of(schema), prompt)
    return cast("AsyncGenerator[list[Part | Draft], None]", question.rounds())


async def _kept_or_drafted(
    backend: Answering, request: ChatRequest, schema: object, target: Target
) -> AsyncGenerator[Draft | Structured, None]:
    """Give the object that is kept, under the key of an answer in its form, or ask for it and keep it."""
    asked = replace(
        request,
        response_format=target.form(schema),
        tools=(),
        tool_choice=None,
        parallel_tool_calls=None,
        on_invalid=None,
    )
    draft: Draft | None = None
    parts: Batch = []
    drafted = backend.kept_or_asked(
        asked, lambda bare: cast("AsyncGenerator[Batch, None]", stream_drafted(bare, asked, target))
    )
    async with aclosing(drafted) as batches:
        async for batch in batches:
            for part in cast("list[Part | Draft]", batch):
                if isinstance(part, Draft):
                    yield (draft := part)
                else:
                    parts.append(part)
    answer = collect(parts)
    data = loads(answer.text)
    try:
        value = target.load(data)
    except Misfit as misfit:
        raise StructuredOutputError(
            f"The answer that is kept does not fit the schema {target.name}: {misfit}.", said=answer.text
        ) from None
    revised = draft is not None and not extends(draft.data, data)
    yield Structured(value, data, answer.text, answer.reasoning, answer.usage, answer.finish, revised)


async def _flat(steps: AsyncGenerator[list[Step], None]) -> AsyncGenerator[Draft | Structured, None]:
    async with aclosing(steps):
        async for some in steps:
            for step in some:
                yield cast("Draft | Structured", step)


# --- the readers ----------------------------------------------------------------------------------


class _DraftReader(ObjectReader[Step]):
    """Reads drafts out of an answer; `draft` is the last that went out, also of earlier answers.

    With `shows_reasoning` the thinking goes out as well, as it comes.
    """

    def __init__(
        self,
        target: Target,
        draft: Any,
        *,
        shows_reasoning: bool,
        starts_thinking: bool,
        reasoning: ReasoningMode | None,
    ) -> None:
        super().__init__(starts_thinking=starts_thinking, reasoning=reasoning)
        self._growing = Growing(target)
        self._shows_reasoning = shows_reasoning
        self.draft = draft

    def _more_text(self, piece: Text, out: list[Step]) -> None:
        grown = self._growing.feed(piece.text)
        if grown is not None and grown != self.draft and extends(self.draft, grown):
            self.draft = grown
            out.append(Draft(grown))

    def _more_reasoning(self, piece: Reasoning, out: list[Step]) -> None:
        if self._shows_reasoning:
            out.append(piece)


class _TextReader(ObjectReader[Part]):
    """Reads an answer whose text is to be bare JSON.

    The object in an answer that begins with one of `beginnings` goes out as it grows, as text of
    which nothing is taken back: `given`.
    """

    def __init__(
        self,
        target: Target,
        beginnings: tuple[str, ...],
        *,
        starts_thinking: bool,
        reasoning: ReasoningMode | None,
    ) -> None:
        super().__init__(starts_thinking=starts_thinking, reasoning=reasoning)
        self._growing = Growing(target, keeps_unknown=True)
        self._beginnings = beginnings
        self._begun = self._streams = False
        self.given = ""

    def _more_text(self, piece: Text, out: Batch) -> None:
        if not self._begun and (beginning := piece.text.lstrip()):
            self._begun = True
            self._streams = beginning.startswith(self._beginnings)
        grown = self._growing.feed(piece.text) if self._streams else None
        if grown is None:
            return
        text = unfinished(grown)
        if text.startswith(self.given) and text != self.given:
            out.append(Text(text[len(self.given) :]))
            self.given = text
            self.committed = True

    def _more_reasoning(self, piece: Reasoning, out: Batch) -> None:
        out.append(piece)


# --- the questions --------------------------------------------------------------------------------

ObjectReaderT = TypeVar("ObjectReaderT", bound=ObjectReader)  # type: ignore[type-arg]


class _ObjectQuestion(Question[Out, ObjectReaderT]):
    """A question for an object."""

    is_text: ClassVar[bool] = False
    """Whether the object goes out as text, which may be handed on though it does not fit."""

    def __init__(
        self,
        backend: Answering,
        request: ChatRequest,
        target: Target,
        prompt: ToolPrompt,
        fence: Fence | None = None,
    ) -> None:
        super().__init__(backend, request, prompt)
        self._target = target
        self._fence = fence
        self._value: Any = None
        self._data: Any = None
        self._constrains = backend.abilities(self._model).schema
        self._tried = backend.tries("schema", self._model)
        """Whether the service is asked to constrain the answer and it is not known whether it does."""
        self._asked = self._in_words()

    def _in_words(self) -> ChatRequest:
        """Add the words that ask for an object, and its schema where the service takes one."""
        request = self._request
        words = schema_instructions(self._prompt, self._target)
        if has_tool_turns(request.messages):
            self._fence = fence_of(request.messages, self._prompt)
            messages = fold(
                request.messages, self._prompt, HERMES, self._fence, words, obeys_system=self._quirks.system
            )
        else:
            messages = with_instructions(request.messages, words, obeys_system=self._quirks.system)
        return self._changed(
            messages=messages,
            tools=(),
            tool_choice=None,
            parallel_tool_calls=None,
            response_format=self._constraint(),
        )

    def _constraint(self) -> dict[str, Any] | None:
        """Write the constraint for the service; None where it knows none."""
        abilities = self._backend.abilities(self._model)
        return constraint(abilities, self._target) if abilities.schema or self._tried else None

    def _next_request(self) -> ChatRequest:
        return self._asked

    def _put_otherwise(self, error: ProviderError | OutputError) -> bool:
        if self._asked.response_format is None or isinstance(error, ContextOverflowError):
            return False
        if isinstance(error, BadRequestError):
            self._tally.refused("schema", error.attempts, error.message)
        elif self._tried and isinstance(error, ServerError | ResponseError):
            self._tally.refused(None, error.attempts)
        else:
            return False
        self._asked = replace(self._asked, response_format=None)
        return True

    def _fault_of(self, reader: ObjectReaderT) -> Fault | None:
        if self._tried and self._asked.response_format is not None and _passes_over(reader):
            why = "What came is nothing that the schema allows."
            self._backend.learned.disprove("schema", self._model, why)
        try:
            self._value, self._data = self._found(reader)
        except Misfit as misfit:
            if self._takes_as_it_came(reader):
                return None
            if reader.goes_on:
                return endless_fault(
                    self._prompt, reader.goes_on, StructuredOutputError, final=reader.committed
                )
            return Fault(
                f"The answer does not fit the schema {self._target.name}: {misfit}.",
                misfit_turn(self._prompt, self._target, misfit),
                StructuredOutputError,
                final=reader.committed,
            )
        return None

    def _takes_as_it_came(self, reader: ObjectReaderT) -> bool:
        """Take an object that does not fit, where the caller wants it and nothing is asked again."""
        asks_again = not (reader.committed or self._tally.exhausted)
        if not self.is_text or asks_again or self._request.on_invalid != "pass":
            return False
        try:
            self._value, self._data = extract(
                reader.text, any_object(), truncated=reader.truncated, confirmed=reader.confirmed
            )
        except Misfit:
            return False
        return True

    def _found(self, reader: ObjectReaderT) -> tuple[Any, Any]:
        """The object in an answer, and its plain data. Raises `Misfit`."""
        return extract(reader.text, self._target, truncated=reader.truncated, confirmed=reader.confirmed)

    def _ask_again(self, reader: ObjectReaderT, fault: Fault) -> None:
        said = reader.quoted if self._fence is None else self._fence(reader.quoted)
        turns = turns_again(said, fault.turn)
        form = None if self._tried else self._asked.response_format  # which may be what went wrong
        self._asked = replace(self._asked, messages=(*self._asked.messages, *turns), response_format=form)


class _DraftedObject(_ObjectQuestion[Step, _DraftReader]):
    """A question for an object that is shown as it grows."""

    shows_reasoning: ClassVar[bool] = False
    _last: _DraftReader | None = None

    def _binds(self, out: list[Step]) -> bool:
        return any(type(step) is not Draft for step in out)

    def _reader(self) -> _DraftReader:
        self._last = _DraftReader(
            self._target,
            self._last.draft if self._last else None,
            shows_reasoning=self.shows_reasoning,
            starts_thinking=self._starts_thinking,
            reasoning=self._request.reasoning,
        )
        return self._last

    def _ending(self, reader: _DraftReader) -> list[Step]:
        return [
            Structured(
                self._value,
                self._data,
                reader.text,
                reader.reasoning,
                self._tally.usage,
                self._finish(reader),
                revised=not extends(reader.draft, self._data),
            )
        ]


class _DraftedText(_DraftedObject):
    """A question for the text of an object, which is shown as it grows by drafts beside the text."""

    is_text: ClassVar[bool] = True
    shows_reasoning: ClassVar[bool] = True

    def _ending(self, reader: _DraftReader) -> list[Step]:
        return [Text(dumps(self._data).decode()), self._tally.usage, self._finish(reader)]


class TextObject(_ObjectQuestion[Part, _TextReader]):
    """A question whose answer's text is bare JSON that fits a schema.

    A service that constrains answers streams it as it grows, and it is judged at the end: what has
    gone out cannot be asked for again. Else, and where an answer does not begin as one under
    constraint would, it comes in one piece, once it is valid.
    """

    is_text: ClassVar[bool] = True

    def _reader(self) -> _TextReader:
        streams = self._request.stream and self._constrains and self._asked.response_format is not None
        beginnings = _BEGINNINGS.get(str(self._target.root.get("type")), ("{", "["))
        return _TextReader(
            self._target,
            beginnings if streams else (),
            starts_thinking=self._starts_thinking,
            reasoning=self._request.reasoning,
        )

    def _takes_as_it_came(self, reader: _TextReader) -> bool:
        return super()._takes_as_it_came(reader) and dumps(self._data).decode().startswith(reader.given)

    def _found(self, reader: _TextReader) -> tuple[Any, Any]:
        value, data = super()._found(reader)
        if not dumps(data).decode().startswith(reader.given):
            raise Misfit("it takes back what it had begun with, which has gone out")
        return value, data

    def _ending(self, reader: _TextReader) -> Batch:
        rest = dumps(self._data).decode()[len(reader.given) :]
        return [Text(rest), self._tally.usage, self._finish(reader)]


def _passes_over(answer: ObjectReader[Any]) -> bool:
    """Return whether an answer cannot have been constrained to any schema: it is not JSON."""
    try:
        loads(answer.text)
    except ValueError:
        return answer.confirmed and not (answer.truncated or answer.goes_on)
    return False
