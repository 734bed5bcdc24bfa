"""Answers to any request from any backend: tools, a response format, thinking set apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import ClassVar

from freeproviders.abilities import Answering
from freeproviders.checks import check_service_tools
from freeproviders.errors import (
    BadRequestError,
    OutputError,
    ProviderError,
    StructuredOutputError,
    ToolCallError,
    UsageError,
)
from freeproviders.tools.fence import fence
from freeproviders.tools.fold import fold, has_tool_turns
from freeproviders.tools.judge import Judge
from freeproviders.tools.modes import Mode, Modes, cannot_hold
from freeproviders.tools.plan import Plan, plan_of
from freeproviders.tools.prompt import (
    DEFAULT_PROMPT,
    ToolPrompt,
    chosen_dialect,
    fill,
    instructions,
    shows_short,
)
from freeproviders.tools.quirks import quirks_of
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.dialects.dialect import Dialect
from freeproviders.tools.read.dialects.registry import DIALECTS
from freeproviders.tools.read.extract import extract
from freeproviders.tools.read.parser import Parser
from freeproviders.tools.readers import CallReader, PlainReader, call_key
from freeproviders.tools.rounds import Fault, Question
from freeproviders.tools.schema.sent import call_schema, response_format
from freeproviders.tools.schema.target import Misfit, any_object
from freeproviders.tools.structured import TextObject, endless_fault, misfit_turn, schema_instructions
from freeproviders.tools.tally import turns_again
from freeproviders.tools.toolbox import Toolbox, properties
from freeproviders.types import Batch, ChatRequest, Message, Part, Text, ToolCall
from freeproviders.wire.json import dumps


def answer(
    backend: Answering, request: ChatRequest, *, prompt: ToolPrompt = DEFAULT_PROMPT
) -> AsyncGenerator[Batch, None]:
    """Stream the answer to any request, whatever the service knows of tools and response formats.

    Calls come whole, with the tools' own names and with arguments that fit; nothing goes out twice.
    `Usage` is the sum of all requests. The fields of `ChatRequest` that say how are obeyed:
    `max_repairs`, `allow_repeats`, `on_invalid`, `reasoning`, `wait_up_to`. A request that needs
    none of this goes to the backend as it is.

    Raises:
        UsageError: at the call itself: a choice that names no tool of the request, or a schema that
            is broken.
        ToolCallError: while iterating: no valid call came, although one was attempted or required.
        StructuredOutputError: while iterating: no object came that fits the response format.
        ProviderError: while iterating: the service failed.
    """
    native = backend.abilities(request.model).tools
    if request.service_tools and not (native or backend.finds_out("tools")):
        try:
            check_service_tools(request)
        except UsageError as error:
            raise error.about(backend.name, request.model or backend.model)  # noqa: B904 - the same error
    plan = plan_of(request)
    if native and request.stream_tool_arguments and request.stream:
        return backend.batches(request)  # shown as they come, calls can be neither judged nor mended
    if plan.box:
        return CallQuestion(backend, request, plan, prompt).rounds()
    splits = request.reasoning in {"split", "drop"} or (request.reasoning is None and bool(request.tools))
    request = _without_tools(backend, request, prompt)
    if plan.target is not None:
        return TextObject(backend, request, plan.target, prompt).rounds()
    return _PlainQuestion(backend, request, prompt).rounds() if splits else backend.batches(request)


def failed_generation(text: str, tools: Toolbox) -> list[RawCall]:
    """Read the calls in what a service's own parser could not read (Groq's `failed_generation`)."""
    parser = Parser(tools)
    return [piece for piece in (*parser.feed(text), *parser.close()) if isinstance(piece, RawCall)]


def _without_tools(backend: Answering, request: ChatRequest, prompt: ToolPrompt) -> ChatRequest:
    """Write a request that offers no tools, with earlier calls in a form that the service reads."""
    native = backend.abilities(request.model).tools
    told = has_tool_turns(request.messages)
    if request.tools and not (native and told):  # else they are needed to read the conversation
        request = replace(request, tools=(), tool_choice=None, parallel_tool_calls=None)
    if told and not native:
        dialect = chosen_dialect(prompt, quirks_of(request.model or backend.model).dialect)
        request = replace(request, messages=fold(request.messages, prompt, dialect))
    return request


class _PlainQuestion(Question[Part, PlainReader]):
    """A question without tools or schema: only thinking is separated from text."""

    judges: ClassVar[bool] = False

    def _next_request(self) -> ChatRequest:
        return self._request

    def _reader(self) -> PlainReader:
        return PlainReader(starts_thinking=self._quirks.thinking, reasoning=self._request.reasoning)

    def _is_empty(self, reader: PlainReader) -> bool:
        return not reader.answered

    def _ending(self, reader: PlainReader) -> Batch:
        return [self._tally.usage, self._finish(reader)]


class CallQuestion(Question[Part, CallReader]):
    """A question with tools."""

    def __init__(self, backend: Answering, request: ChatRequest, plan: Plan, prompt: ToolPrompt) -> None:
        super().__init__(backend, request, prompt)
        self._plan = plan
        self._turns_again: list[Message] = []
        """The turns that ask again, behind the conversation."""
        self._calls: list[ToolCall] = []
        """All calls of the answer."""
        self._last_calls: list[ToolCall] = []
        """Those of them that go out last, since they are only then known to be calls."""
        self._given_text = ""
        """The text that has gone out."""
        self._doubted: set[str] = set()
        """The texts about which the model was asked whether they are calls."""
        self._asked_for_words = False
        """Whether the model repeated a call whose result it has, and was asked for words."""
        self._modes = Modes(backend, request, plan, self._quirks)
        self._enter(self._modes.best())

    def _enter(self, mode: Mode) -> None:
        """Put the question in one of the ways from now on."""
        plan = self._plan
        self._mode = mode
        if mode == "plain" and not self._asked_for_words:
            self._box = Toolbox(())  # whatever looks like a call is text
        else:
            self._box = plan.outstanding if mode == "schema" else plan.box
        self._must = plan.must and mode != "plain" and (mode == "native" or bool(plan.outstanding))
        self._judge = Judge(self._box)
        self._dialect = (
            DIALECTS["json"] if mode == "schema" else chosen_dialect(self._prompt, self._quirks.dialect)
        )
        self._base = self._native() if mode == "native" else self._in_words(self._dialect)

    def _native(self) -> ChatRequest:
        """Write the request for a service with tools of its own."""
        request, plan = self._request, self._plan
        keeps_format = plan.target is not None and self._backend.abilities(self._model).schema
        return replace(
            request,
            tools=plan.box.tools,
            tool_choice=plan.choice,
            response_format=request.response_format if keeps_format else None,
        )

    def _in_words(self, dialect: Dialect) -> ChatRequest:
        """Write the request for a service without tools: they are in the instructions."""
        request, plan = self._request, self._plan
        blocks, both = [], self._mode == "both"
        if self._mode != "plain":
            blocks.append(
                instructions(
                    self._prompt,
                    dialect,
                    self._box.tools,
                    must=self._must,
                    single=plan.single,
                    short=shows_short(self._prompt, self._quirks.tools),
                    natively=both,
                )
            )
        if plan.target is not None:
            blocks.append(schema_instructions(self._prompt, plan.target))
        messages = fold(
            request.messages,
            self._prompt,
            None if self._mode == "plain" else dialect,
            plan.box,
            "\n\n".join(blocks),
            obeys_system=self._quirks.system,
        )
        form = None
        if self._mode == "schema":
            strict = self._backend.abilities(self._model).strict_schema
            form = response_format("tool_call", call_schema(self._box.tools), strict=strict)
        # Streamed even where the whole answer was asked for: a model that calls without end is
        # stopped, which in one piece would be seen minutes later.
        return replace(
            request,
            messages=messages,
            tools=plan.box.tools if both else (),
            tool_choice=plan.choice if both else None,
            parallel_tool_calls=request.parallel_tool_calls if both else None,
            response_format=form,
            stream=True,
        )

    # --- a round ---

    def _next_request(self) -> ChatRequest:
        return replace(self._base, messages=(*self._base.messages, *self._turns_again))

    def _reader(self) -> CallReader:
        again = self._tally.repairs > 0 and (self._mode != "plain" or bool(self._given_text))
        searched = self._plan.target is not None  # in the text, where no thinking may stay
        refutable = not self._request.stream and self._modes.is_doubtful(self._mode)
        return CallReader(
            self._judge,
            holds=self._must or again or searched or refutable,
            introduces=self._tally.repairs == 0,
            single=self._plan.single,
            handed_out=self._calls,
            doubted=self._doubted,
            settled=None if self._request.allow_repeats or self._mode == "native" else self._plan.settled,
            asked_twice=self._mode == "both",
            starts_thinking=self._quirks.thinking,
            reasoning=None if searched and self._request.reasoning == "keep" else self._request.reasoning,
            ends=self._must or searched,
        )

    def _put_otherwise(self, error: ProviderError | OutputError) -> bool:
        if not self._modes.fail(self._mode, error, self._tally):
            return False
        self._enter(self._modes.best())
        return True

    def _starts_over(self, reader: CallReader) -> bool:
        if reader.complaints or reader.repeated or reader.given_text or self._calls:
            return False
        if not self._modes.passed_over(self._mode, reader):
            return False
        self._turns_again.clear()
        self._enter(self._modes.best())
        return True

    def _salvaged(self, error: BadRequestError | ToolCallError, reader: CallReader) -> Batch | None:
        if isinstance(error, ToolCallError):  # a native call without a name, or whose arguments are no JSON
            text, fault = error.said, error.message.rstrip(".")
        elif error.failed_generation:
            text, fault = error.failed_generation, "the service could not read it"
        else:
            return None
        raws = failed_generation(text, self._box) or [RawCall("", source=text, fault=fault)]
        return [part for raw in raws for part in reader.add(raw)]

    # --- the judgement ---

    def _is_empty(self, reader: CallReader) -> bool:
        judged = self._must or self._plan.target is not None  # and asked for again
        return not (judged or reader.answered or self._calls or self._given_text)

    def _fault_of(self, reader: CallReader) -> Fault | None:
        self._calls += reader.calls
        self._given_text += "".join(reader.given_text)
        if self._modes.show(self._mode, reader):
            self._enter(self._modes.best())
        if self._plan.single and self._calls:
            return None  # one is enough, whatever stands beside it
        if reader.complaints:
            return self._misfits(reader)
        if self._calls:
            return None
        if reader.goes_on:
            error = ToolCallError if self._must else StructuredOutputError
            return endless_fault(self._prompt, reader.goes_on, error)
        if reader.repeated:
            return self._repeats(reader)
        if self._must:
            return self._no_call(reader)
        if self._modes.is_doubtful(self._mode) and cannot_hold(reader.usage, self._plan.box.tools):
            if not reader.given_text:
                return Fault("The model was not told of the tools.", "", ToolCallError)
            self._modes.passed_over(self._mode, reader)
        if self._plan.target is not None:
            try:
                _, data = extract("".join(reader.held_text), self._plan.target, truncated=reader.truncated)
            except Misfit as misfit:
                return Fault(
                    f"The answer does not fit the schema: {misfit}.",
                    misfit_turn(self._prompt, self._plan.target, misfit),
                    StructuredOutputError,
                )
            reader.held_text = [dumps(data).decode()]
        return None

    def _misfits(self, reader: CallReader) -> Fault | None:
        """Judge calls that do not fit; in the end they may be handed on as they are."""
        if self._passes_on and self._tally.exhausted and all(c.call for c in reader.complaints):
            self._add_last([complaint.call for complaint in reader.complaints if complaint.call])
            return None
        what = "\n".join(dict.fromkeys(complaint.text for complaint in reader.complaints))
        self._doubted.update(reader.doubts)
        doubted = len(reader.doubts) == len(reader.complaints)  # it may be meant as words
        optional = not self._must and (doubted or (self._keeps_calls and _only_unbound(reader)))
        template = self._prompt.unbound if optional else self._prompt.complaint
        turn = fill(template, complaint=fence(what), format=self._dialect.format)
        return Fault(what, turn, ToolCallError)

    def _repeats(self, reader: CallReader) -> Fault | None:
        """Judge calls whose results are there; they pass where nothing can be asked again."""
        names = dict.fromkeys(call.name for call in reader.repeated)
        what = f"{', '.join(names)} has been called with these arguments already, and its result is above."
        if self._must:
            left = ", ".join(name for name in self._plan.outstanding.names if name not in names)
            complaint = fence(f"{what} Call another function: {left}.")
            turn = fill(self._prompt.complaint, complaint=complaint, format=self._dialect.format)
            return Fault(what, turn, ToolCallError)
        if self._tally.exhausted and not self._tally.repairs:
            self._add_last(reader.repeated[:1])
            return None
        return Fault(what, f"{fence(what)} Answer in words, without a function call.", ToolCallError)

    def _no_call(self, reader: CallReader) -> Fault | None:
        """Judge words where a call is required; bare arguments of the only tool are a call."""
        names = ", ".join(self._box.names)
        fault = Fault(
            f"A call is required (tools: {names}), but none came.",
            fill(self._prompt.no_call, names=fence(names), format=self._dialect.format),
            ToolCallError,
        )
        if len(self._box) != 1:
            return fault
        tool = self._box.tools[0]
        try:
            _, value = extract("".join(reader.held_text), any_object())
        except Misfit:
            return fault
        if not value or not all(key in properties(tool) for key in value):
            return fault
        reader.held_text.clear()
        reader.add(RawCall(tool.name, value))
        if reader.complaints:
            return self._misfits(reader)
        self._add_last(reader.calls)
        return None if reader.calls else self._repeats(reader)

    @property
    def _passes_on(self) -> bool:
        """Whether a call that does not fit is handed on in the end."""
        return self._request.on_invalid == "pass"

    @property
    def _keeps_calls(self) -> bool:
        """Whether a call of a tool that is not bound is a call, and not small talk in its shape."""
        return self._request.on_invalid is not None

    def _add_last(self, calls: list[ToolCall]) -> None:
        """Let calls go out at the end of the answer, each of them once."""
        known = {call_key(call) for call in self._calls}
        for call in calls[:1] if self._plan.single else calls:
            if call_key(call) not in known:
                known.add(call_key(call))
                self._last_calls.append(call)
        self._calls += self._last_calls

    # --- the end, or another round ---

    def _ending(self, reader: CallReader) -> Batch:
        if self._calls:  # words beside calls that were asked for again are dropped
            finish = self._finish(reader, reason="tool_calls")
            return [*self._last_calls, self._tally.usage, finish]
        return [*self._held_back(reader), self._tally.usage, self._finish(reader)]

    def _held_back(self, reader: CallReader) -> Batch:
        """Return the text that has not gone out, without what earlier answers already held."""
        text, given = "".join(reader.held_text), self._given_text
        if given.startswith(text):
            return []
        rest = text.removeprefix(given)
        gap = "\n\n" if rest == text and given and not given[-1].isspace() else ""
        return [Text(gap + rest)]

    def _ask_again(self, reader: CallReader, fault: Fault) -> None:
        if reader.complaints:
            asks_for_words = _only_unbound(reader) and not (
                self._plan.must or self._calls or self._keeps_calls
            )  # small talk in the shape of a call
        else:
            asks_for_words = bool(reader.repeated) and not self._must and not self._asked_for_words
            self._asked_for_words |= asks_for_words
        if asks_for_words:
            self._turns_again.clear()
            self._enter("plain")
            return
        self._turns_again += turns_again(reader.quoted, fault.turn)


def _only_unbound(reader: CallReader) -> bool:
    """Return whether all calls that do not fit name no bound tool."""
    return all(complaint.unbound for complaint in reader.complaints)
