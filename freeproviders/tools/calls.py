"""Questions with tools: asked until a model calls them rightly, or means words."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, TypeGuard

from freeproviders.abilities import Answering
from freeproviders.errors import (
    BadRequestError,
    OutputError,
    ProviderError,
    StructuredOutputError,
    ToolCallError,
)
from freeproviders.tools.fence import Fence
from freeproviders.tools.fold import fence_of, fold, with_reminder
from freeproviders.tools.grounds import Grounds
from freeproviders.tools.judge import Complaint, Judge
from freeproviders.tools.modes import Mode, Modes, cannot_hold
from freeproviders.tools.native import names_of, native_form
from freeproviders.tools.plan import Plan
from freeproviders.tools.prompt import ToolPrompt, chosen_dialect, fill, instructions, shows_short
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.dialects.dialect import Dialect
from freeproviders.tools.read.dialects.registry import DIALECTS
from freeproviders.tools.read.doubt import is_bare
from freeproviders.tools.read.extract import extract
from freeproviders.tools.read.parser import Parser
from freeproviders.tools.read.shapes import ARGUMENT_KEYS, LIST_KEYS
from freeproviders.tools.readers import CallReader, call_key
from freeproviders.tools.rounds import Fault, Question
from freeproviders.tools.schema.sent import call_schema, response_format
from freeproviders.tools.schema.target import Misfit, any_object
from freeproviders.tools.structured import constraint, endless_fault, misfit_turn, schema_instructions
from freeproviders.tools.tally import turns_again
from freeproviders.tools.toolbox import Toolbox, properties
from freeproviders.types import (
    Batch,
    ChatRequest,
    InvalidToolCall,
    Message,
    Part,
    Text,
    ToolCall,
    new_call_id,
)
from freeproviders.wire.json import dumps

_HUMPS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORDS: Final = re.compile(r"[^\W_]+")
_LONG_WORD: Final = 4
_ARGUES = re.compile(
    rf"\b(?:(?:{'|'.join((*ARGUMENT_KEYS, *LIST_KEYS))})[\"']?\s*:|function[\"']?\s*:\s*\{{)", re.IGNORECASE
)
"""A key that stands in calls, and seldom in data with names."""


def failed_generation(text: str, tools: Toolbox) -> list[RawCall]:
    """Read the calls in what a service's own parser could not read (Groq's `failed_generation`)."""
    parser = Parser(tools)
    return [piece for piece in (*parser.feed(text), *parser.close()) if isinstance(piece, RawCall)]


class CallQuestion(Question[Part, CallReader]):
    """A question with tools."""

    def __init__(self, backend: Answering, request: ChatRequest, plan: Plan, prompt: ToolPrompt) -> None:
        super().__init__(backend, request, prompt)
        self._plan = plan
        self._fence: Fence = Fence()
        self._turns_again: list[Message] = []
        """The turns that ask again, behind the conversation."""
        self._calls: list[ToolCall] = []
        """All calls of the answer."""
        self._last_calls: list[ToolCall] = []
        """Those of them that go out last, since they are only then known to be calls."""
        self._given_text = ""
        """The text that has gone out."""
        self._faulty: list[str] = []
        """The tools of the calls that the model was last asked to correct, "" for one that is unknown."""
        self._doubted: set[str] = set()
        """The texts about which the model was asked whether they are calls."""
        self._last_invalid: list[InvalidToolCall] = []
        """Those that nobody can make, beside others."""
        self._asked_for_words = False
        """Whether the model was asked for words, having made a call that a tiny model does not mean."""
        self._asked_onward = False
        """Whether only the tools without a result are shown, since a tiny model called another again."""
        self._told_names = False
        """Whether the model was told the names of the tools, having called another one."""
        self._told_of_silence = False
        self._names = names_of(request)
        self._modes = Modes(backend, request, plan, self._quirks)
        self._enter(self._modes.best())

    def _enter(self, mode: Mode) -> None:
        """Put the question in one of the ways from now on."""
        plan = self._plan
        self._mode = mode
        self._box = plan.outstanding if mode == "schema" and self._watches_repeats else plan.box
        self._must = plan.must and mode != "plain" and (mode == "native" or bool(plan.outstanding))
        self._judge = Judge(self._box)
        self._dialect = (
            DIALECTS["json"] if mode == "schema" else chosen_dialect(self._prompt, self._quirks.dialect)
        )
        self._base = self._native() if mode == "native" else self._in_words(self._dialect)

    def _native(self) -> ChatRequest:
        """Write the request for a service with tools of its own."""
        abilities, target = self._backend.abilities(self._model), self._plan.target
        form = constraint(abilities, target) if target is not None and abilities.schema else None
        return self._changed(**native_form(self._request, self._plan, self._names), response_format=form)

    def _in_words(self, dialect: Dialect) -> ChatRequest:
        """Write the request for a service without tools: they are in the instructions."""
        request, plan = self._request, self._plan
        self._fence = fence_of(request.messages, self._prompt, plan.box)
        blocks, both = [], self._mode == "both"
        if self._mode != "plain":
            blocks.append(
                instructions(
                    self._prompt,
                    dialect,
                    plan.outstanding if self._asked_onward else self._box,
                    self._fence,
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
            self._fence,
            "\n\n".join(blocks),
            obeys_system=self._quirks.system,
        )
        reminds = self._prompt.reminder and self._mode != "plain" and not plan.single
        if reminds and request.messages[-1].role == "user":
            messages = with_reminder(messages, self._prompt.reminder)
        if request.messages[-1].role == "tool" and (self._mode == "plain" or self._asked_onward):
            words = self._prompt.wrap_up if self._mode == "plain" else self._prompt.onward
            messages = with_reminder(messages, words)
        form = None
        if self._mode == "schema":
            strict = self._backend.abilities(self._model).strict_schema
            form = response_format("tool_call", call_schema(self._box.tools), strict=strict)
        # Streamed even where the whole answer was asked for: a model that calls without end is
        # stopped, which in one piece would be seen minutes later.
        return self._changed(
            messages=messages,
            tools=self._names.tools(plan.box.tools) if both else (),
            tool_choice=None,
            parallel_tool_calls=request.parallel_tool_calls if both else None,
            response_format=form,
            stream=True,
        )

    # --- a round ---

    def _next_request(self) -> ChatRequest:
        if not self._turns_again:
            return self._base
        return replace(self._base, messages=(*self._base.messages, *self._turns_again))

    def _reader(self) -> CallReader:
        if self._quirks.invents:
            # Said once: who insists is believed.
            asks = self._tally.repairs == 0 and not self._tally.exhausted
            self._judge.grounds = Grounds(self._request.messages, asks=asks)
        again = self._tally.repairs > 0 and (self._mode != "plain" or bool(self._given_text))
        searched = self._plan.target is not None  # in the text, where no thinking may stay
        refutable = not self._request.stream and self._modes.is_doubtful(self._mode)
        settled = () if self._asked_for_words else self._plan.settled  # who insists is believed
        return CallReader(
            self._judge,
            holds=self._must or again or searched or refutable,
            introduces=self._tally.repairs == 0,
            single=self._plan.single,
            reads_on=not (self._request.stream or self._starts_thinking),
            handed_out=self._calls,
            faulty=self._faulty,
            taken=[call.id for message in self._request.messages for call in message.tool_calls],
            doubted=self._doubted,
            settled=settled if self._watches_repeats else None,
            rushes=self._quirks.rushes,
            asked_twice=self._mode == "both",
            own_names=self._names.own,
            starts_thinking=self._starts_thinking,
            reasoning=None if searched and self._request.reasoning == "keep" else self._request.reasoning,
            ends=self._must or searched,
            doubts=self._mode != "plain",  # in words, calls are told of
        )

    def _put_otherwise(self, error: ProviderError | OutputError) -> bool:
        if not self._modes.fail(self._mode, error, self._tally):
            return False
        self._tally.spent(error)
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
        if isinstance(error, ToolCallError):
            return reader.take(list(error.rest)) if error.rest else None
        if not error.failed_generation:
            return None
        raws = failed_generation(error.failed_generation, self._box)
        if not raws:
            fault = "the service could not read it"
            raws = [RawCall("", source=error.failed_generation, fault=fault)]
        return [part for raw in raws for part in reader.add(raw)]

    # --- the judgement ---

    @property
    def _watches_repeats(self) -> bool:
        """Whether a call that is made again at once may not be meant."""
        allowed = self._request.allow_repeats
        return self._quirks.repeats if allowed is None else not allowed

    @property
    def _passes_on(self) -> bool:
        """Whether a call that does not fit is handed on in the end."""
        asked = self._request.on_invalid
        return asked == "pass" or (asked is None and not self._plan.named)

    @property
    def _mends_silence(self) -> bool:
        if self._calls or self._given_text:
            return True  # there is an answer already
        return not (self._tally.exhausted or self._told_of_silence)

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
        if reader.complaints and self._is_data(reader):
            reader.held_text = [reader.data]
            reader.complaints.clear()
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
        if reader.silent and not self._given_text:
            self._told_of_silence = True
            return Fault("The answer is empty.", self._prompt.silence, ToolCallError)
        if self._plan.target is not None:
            try:
                _, data = extract("".join(reader.held_text), self._plan.target, truncated=reader.truncated)
            except Misfit as misfit:
                if self._takes_as_it_came(reader):
                    return None
                return Fault(
                    f"The answer does not fit the schema: {misfit}.",
                    misfit_turn(self._prompt, self._plan.target, misfit),
                    StructuredOutputError,
                )
            reader.held_text = [dumps(data).decode()]
        return None

    def _is_data(self, reader: CallReader) -> bool:
        """Return whether what seem to be calls are the object or the list that was asked for.

        It fits the response format; or there are no arguments, and it came again.
        """
        text, target = reader.data, self._plan.target
        if not text or self._must or self._calls or self._given_text.strip() or is_bare(text):
            return False
        argues = _ARGUES.search(text) is not None
        if target is None:
            insists = self._tally.exhausted or text.strip() in self._doubted
            return insists and not argues and not self._quirks.tiny
        try:
            _, data = extract(text, target, truncated=reader.truncated, confirmed=reader.confirmed)
        except Misfit:
            return False
        known = target.root.get("properties") or {}
        return not argues or (isinstance(data, dict) and data.keys() <= known.keys())

    def _takes_as_it_came(self, reader: CallReader) -> bool:
        """Take an object that does not fit, where the caller wants it and nothing is asked again."""
        if not self._tally.exhausted or self._request.on_invalid != "pass":
            return False
        try:
            _, data = extract("".join(reader.held_text), any_object(), truncated=reader.truncated)
        except Misfit:
            return False
        reader.held_text = [dumps(data).decode()]
        return True

    def _misfits(self, reader: CallReader) -> Fault | None:
        """Judge calls that do not fit; in the end they are handed on as they are.

        That a name is not bound is said once; who uses it again means it.
        """
        complaints = reader.complaints
        unbound = all(complaint.unbound for complaint in complaints)
        if self._passes_on and (self._tally.exhausted or (unbound and self._told_names)):
            calls = [complaint.call for complaint in complaints if self._is_offered(complaint.call)]
            if calls or self._calls:
                self._add_last(calls)
                self._last_invalid += [_invalid(c) for c in complaints if not self._is_offered(c.call)]
                return None
        what = "\n".join(dict.fromkeys(complaint.text for complaint in complaints))
        if self._is_small_talk(reader):
            return Fault(what, fill(self._prompt.in_words, complaint=self._fence(what)), ToolCallError)
        self._faulty = [self._tool_of(complaint) for complaint in complaints]
        self._doubted.update((*reader.doubts, reader.data.strip()))
        optional = unbound or len(reader.doubts) == len(complaints)  # it may be meant as words
        self._told_names |= any(complaint.unbound for complaint in complaints)
        template = self._prompt.unbound if optional and not self._must else self._prompt.complaint
        turn = fill(template, complaint=self._fence(what), format=self._dialect.format)
        return Fault(what, turn, ToolCallError)

    def _is_offered(self, call: ToolCall | None) -> TypeGuard[ToolCall]:
        """Return whether a call may be handed on: not to a tool that the caller's choice leaves out."""
        return call is not None and call.name not in self._plan.excluded

    def _tool_of(self, complaint: Complaint) -> str:
        """Return the name of the tool that a call with a fault was made to, "" where it names none."""
        known = complaint.call or complaint.invalid
        tool = None if known is None else self._box.match(known.name)
        return "" if tool is None else tool.name

    def _is_small_talk(self, reader: CallReader) -> bool:
        """Return whether a tiny model means words, although it wrote calls.

        It makes up a tool, and says nothing else. The tool resembles none (`{"name": "bye"}`), or
        the model was to go on with others than it had called.
        """
        if self._must or self._calls or self._asked_for_words or self._request.on_invalid is not None:
            return False
        said = self._given_text or "".join(reader.held_text)
        return (
            self._quirks.tiny
            and not said.strip()
            and all(c.unbound for c in reader.complaints)
            and (self._asked_onward or not any(map(self._resembles_a_tool, reader.complaints)))
        )

    def _resembles_a_tool(self, complaint: Complaint) -> bool:
        """Return whether a name that is not bound has a word in common with one that is."""
        known = complaint.call or complaint.invalid
        words = _words(known.name) if known is not None else set()
        return any(words & _words(name) for name in self._box.names)

    def _repeats(self, reader: CallReader) -> Fault | None:
        """Judge calls whose results are there; they pass where nothing can be asked again."""
        repeated = {call_key(call): call for call in reader.repeated}
        if self._tally.exhausted:
            self._add_last(list(repeated.values()))
            return None
        names = dict.fromkeys(call.name for call in repeated.values())
        what = f"{', '.join(names)} has been called with these arguments already, and its result is above."
        if self._must:
            left = ", ".join(name for name in self._plan.outstanding.names if name not in names)
            self._asked_for_words = True
            complaint = self._fence(f"{what} Call another function: {left}.")
            turn = fill(self._prompt.complaint, complaint=complaint, format=self._dialect.format)
            return Fault(what, turn, ToolCallError)
        return Fault(what, fill(self._prompt.in_words, complaint=self._fence(what)), ToolCallError)

    def _no_call(self, reader: CallReader) -> Fault | None:
        """Judge words where a call is required; bare arguments of the only tool are a call."""
        names = ", ".join(self._box.names)
        fault = Fault(
            f"A call is required (tools: {names}), but none came.",
            fill(self._prompt.no_call, names=self._fence(names), format=self._dialect.format),
            ToolCallError,
        )
        if len(self._box) != 1:
            return fault
        tool = self._box.tools[0]
        try:
            text = "".join(reader.held_text)
            _, value = extract(text, any_object(), truncated=reader.truncated, confirmed=reader.confirmed)
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

    def _add_last(self, calls: list[ToolCall]) -> None:
        """Let calls go out at the end of the answer."""
        self._last_calls += calls[:1] if self._plan.single else calls
        self._calls += self._last_calls

    # --- the end, or another round ---

    def _ending(self, reader: CallReader) -> Batch:
        if self._calls:  # words beside calls that were asked for again are dropped
            finish = self._finish(reader, reason="tool_calls")
            said = "" if self._tally.repairs else "".join(reader.held_text).rstrip()
            return [
                *([Text(said)] if said else []),
                *self._last_calls,
                *self._last_invalid,
                self._tally.usage,
                finish,
            ]
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
        if self._asked_for_words or self._must or not (reader.repeated or self._is_small_talk(reader)):
            if self._mode == "plain":
                self._enter(self._modes.best())
            self._turns_again += turns_again(reader.quoted, fault.turn)
            return
        self._turns_again.clear()
        goes_on = 0 < len(self._plan.outstanding) < len(self._box) and not self._tally.exhausted
        if reader.repeated and goes_on and self._mode == "prompt" and not self._asked_onward:
            self._asked_onward = True
            self._enter(self._mode)
            return
        # The tools are not shown to a tiny model that is asked for words: it would call them again.
        self._asked_for_words = True
        self._enter("plain")


def _invalid(complaint: Complaint) -> InvalidToolCall:
    """Return a call that is not made, for whoever answers it."""
    call = complaint.call
    if call is None:
        return complaint.invalid or InvalidToolCall(new_call_id(), "", "", complaint.text)
    return InvalidToolCall(call.id, call.name, dumps(call.arguments).decode(), complaint.text)


def _words(name: str) -> set[str]:
    """The words of a tool's name that say what it is about."""
    return {word for word in _WORDS.findall(_HUMPS.sub(" ", name).lower()) if len(word) >= _LONG_WORD}
