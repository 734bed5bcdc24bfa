"""Questions with tools, to any provider: ask, read, judge, and ask again where that is needed - within one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Literal

from freeproviders.abilities import Answering
from freeproviders.errors import (
    BadRequestError,
    ContextOverflowError,
    OutputError,
    StructuredOutputError,
    ToolCallError,
    ToolsNotSupportedError,
)
from freeproviders.tools.attempt import Attempt
from freeproviders.tools.cursor import RawCall
from freeproviders.tools.dialects.registry import DIALECTS, Dialect
from freeproviders.tools.extract import extract
from freeproviders.tools.fence import fence
from freeproviders.tools.fold import fold, has_tool_turns
from freeproviders.tools.judge import Judge
from freeproviders.tools.parser import Parser
from freeproviders.tools.plan import Plan, plan_of
from freeproviders.tools.prompt import DEFAULT_PROMPT, ToolPrompt, chosen_dialect, fill, instructions
from freeproviders.tools.quirks import quirks_of
from freeproviders.tools.schema import call_schema, response_format
from freeproviders.tools.structured import ask_for_json, misfit_turn, schema_instructions
from freeproviders.tools.tally import Tally, turns_again
from freeproviders.tools.target import Misfit, any_object
from freeproviders.tools.toolbox import Toolbox, properties
from freeproviders.types import Batch, ChatRequest, Finish, Message, Text, ToolCall
from freeproviders.wire.json import dumps

Mode = Literal["native", "schema", "prompt", "plain"]
"""How a question is put: with the service's own tools, under a schema, by instructions, or without tools."""


def answer(
    backend: Answering, request: ChatRequest, *, prompt: ToolPrompt = DEFAULT_PROMPT
) -> AsyncGenerator[Batch, None]:
    """Stream the answer to a request that may have tools and a response format, whatever the service knows of them.

    Calls come whole, with the tools' own names and with arguments that fit; what was given out is not given
    out again. The model is asked again at most `request.max_repairs` times; `Usage` is the sum. A call whose
    result is there is not made again, unless `request.allow_repeats` (as for a tool that is polled): small
    models go round in circles. A request that has none of this goes to the backend as it is.

    Raises:
        UsageError: at the call itself: a choice that names no tool of the request.
        ToolCallError: while iterating: no valid call came, although one was attempted or required.
        StructuredOutputError: while iterating: no object came that fits the response format.
    """
    provider = backend
    plan = plan_of(request)
    native = provider.abilities(request.model).tools
    if not plan.box:
        if request.tools and not (
            native and has_tool_turns(request.messages)
        ):  # else they are needed to read the conversation
            request = replace(request, tools=(), tool_choice=None, parallel_tool_calls=None)
        if not native and has_tool_turns(request.messages):
            dialect = chosen_dialect(prompt, quirks_of(request.model or provider.model).dialect)
            request = replace(request, messages=fold(request.messages, prompt, dialect))
        if plan.target is not None:
            return ask_for_json(provider, request, plan.target, prompt=prompt)
        return provider.batches(request)
    return _Conversation(provider, request, plan, prompt).run()


def failed_generation(text: str, tools: Toolbox) -> list[RawCall]:
    """The calls in what a service's own parser could not read and sent along with its refusal (Groq's `failed_generation`)."""
    parser = Parser(tools)
    return [piece for piece in (*parser.feed(text), *parser.close()) if isinstance(piece, RawCall)]


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with an answer: in words, as the turn that asks again, and as the error when there is no asking again."""

    what: str
    turn: str
    error: type[OutputError]


class _Conversation:
    """One question with tools: the attempts, and what they add up to."""

    def __init__(
        self,
        provider: Answering,
        request: ChatRequest,
        plan: Plan,
        prompt: ToolPrompt,
    ) -> None:
        self._provider = provider
        self._request = request
        self._plan = plan
        self._allow_repeats = request.allow_repeats
        self._prompt = prompt
        self._model = request.model or provider.model
        self._quirks = quirks_of(self._model)
        self._tally = Tally(provider, self._model, request.max_repairs)
        self._extra: list[Message] = []
        self._made: list[ToolCall] = []
        self._late: Batch = []
        self._shown: list[str] = []
        self._circling = False  # the model makes a call again whose result it has
        self._enter(self._first_mode())

    def _first_mode(self) -> Mode:
        if self._provider.abilities(self._model).tools:
            return "native"
        if self._plan.must and self._plan.outstanding and self._provider.abilities(self._model).schema:
            return "schema"
        return "prompt"

    def _enter(self, mode: Mode) -> None:
        """Put the question in one of the four ways from now on."""
        plan = self._plan
        self._mode = mode
        if mode == "plain" and not self._circling:
            self._box = Toolbox(())  # whatever looks like a call is text
        else:
            self._box = plan.outstanding if mode == "schema" else plan.box
        self._must = plan.must and mode != "plain" and (mode == "native" or bool(plan.outstanding))
        self._judge = Judge(self._box)
        self._dialect = (
            DIALECTS["json"] if mode == "schema" else chosen_dialect(self._prompt, self._quirks.dialect)
        )
        self._base = self._written(self._dialect)

    def _written(self, dialect: Dialect) -> ChatRequest:
        """The request without the turns that ask again."""
        request, plan = self._request, self._plan
        if self._mode == "native":
            named = isinstance(request.tool_choice, str) and request.tool_choice in plan.box.names
            choice = request.tool_choice if named or not plan.must else "required"
            keep = plan.target is not None and self._provider.abilities(self._model).schema
            return replace(
                request,
                tools=plan.box.tools,
                tool_choice=choice,
                response_format=request.response_format if keep else None,
            )
        blocks = []
        if self._mode != "plain":
            blocks.append(
                instructions(self._prompt, dialect, self._box.tools, must=self._must, single=plan.single)
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
        form = response_format("tool_call", call_schema(self._box.tools)) if self._mode == "schema" else None
        # Streamed even where the whole answer was asked for: a model that calls without end is stopped, which in one piece would be seen minutes later.
        return replace(
            request,
            messages=messages,
            tools=(),
            tool_choice=None,
            parallel_tool_calls=None,
            response_format=form,
            stream=True,
        )

    # --- the attempts ---

    async def run(self) -> AsyncGenerator[Batch, None]:
        """Ask until the answer is good, or there is no asking again."""
        while True:
            attempt = self._attempt()
            request = replace(self._base, messages=(*self._base.messages, *self._extra))
            try:
                async with aclosing(self._provider.batches(request)) as batches:
                    async for batch in batches:
                        if out := self._seen(attempt.take(batch)):
                            yield out
                        if attempt.stopped:
                            break
            except BadRequestError as error:
                if self._without_what_was_refused(error, attempt):
                    continue
                if not self._read_failed(error.failed_generation or "", attempt):
                    raise
                if attempt.calls:
                    yield [*attempt.calls]
            except ToolCallError as error:  # a native call whose arguments are no JSON
                if not self._read_failed(error.said, attempt, error.message):
                    raise
            if out := self._seen(attempt.end()):
                yield out
            self._made += attempt.calls
            self._tally.answered(request, attempt.said, attempt.usage, attempt.finish)
            fault = self._fault_of(attempt)
            if fault is None:
                if out := self._seen(self._rest(attempt)):
                    yield out
                yield self._ending(attempt)
                return
            self._ask_again(attempt, fault)

    def _attempt(self) -> Attempt:
        again = self._tally.repairs > 0 and (self._mode != "plain" or bool(self._shown))
        return Attempt(
            self._judge,
            hold=self._must or again or self._plan.target is not None,
            preface=self._tally.repairs == 0,
            single=self._plan.single,
            made=self._made,
            settled=None if self._allow_repeats or self._mode == "native" else self._plan.settled,
            thinking=self._quirks.thinking,
        )

    def _without_what_was_refused(self, error: BadRequestError, attempt: Attempt) -> bool:
        """Put the question in another way, if that is what the service wants."""
        if isinstance(error, ContextOverflowError) or attempt.said:
            return False
        if self._mode == "native" and isinstance(error, ToolsNotSupportedError):
            self._tally.refused("tools", error.attempts, certain=True)
            self._enter(self._first_mode())
            return True
        if self._mode == "schema":
            self._tally.refused("schema", error.attempts)
            self._enter("prompt")
            return True
        return False

    def _read_failed(self, text: str, attempt: Attempt, fault: str = "the service could not read it") -> bool:
        """Read what the service could not, if it has sent that along: what is no call either is a complaint."""
        if not text:
            return False
        for raw in failed_generation(text, self._box) or [RawCall("", source=text, fault=fault.rstrip("."))]:
            attempt.add(raw)
        return True

    def _seen(self, out: Batch) -> Batch:
        self._shown += [part.text for part in out if isinstance(part, Text)]
        return out

    # --- the verdict ---

    def _fault_of(self, attempt: Attempt) -> _Fault | None:
        """What is wrong with an answer, None if it is good."""
        if self._plan.single and self._made:
            return None  # one is enough, whatever stands beside it
        if attempt.complaints:
            what = "\n".join(dict.fromkeys(complaint.text for complaint in attempt.complaints))
            return _Fault(
                what,
                fill(self._prompt.complaint, complaint=fence(what), format=self._dialect.format),
                ToolCallError,
            )
        if self._made:
            return None
        if attempt.repeated:
            return self._circle(attempt)
        if self._must:
            return self._rescue(attempt)
        if self._plan.target is not None:
            try:
                _, data = extract("".join(attempt.held), self._plan.target, truncated=attempt.truncated)
            except Misfit as misfit:
                return _Fault(
                    f"The answer does not fit the schema: {misfit}.",
                    misfit_turn(self._prompt, self._plan.target, misfit),
                    StructuredOutputError,
                )
            attempt.held = [dumps(data).decode()]
        return None

    def _circle(self, attempt: Attempt) -> _Fault | None:
        """The model makes a call again whose result it has; where it cannot be asked to go on at all, that is the answer."""
        names = dict.fromkeys(call.name for call in attempt.repeated)
        what = f"{', '.join(names)} has been called with these arguments already, and its result is above."
        if self._must:
            left = ", ".join(name for name in self._plan.outstanding.names if name not in names)
            turn = fill(
                self._prompt.complaint,
                complaint=fence(f"{what} Call another function: {left}."),
                format=self._dialect.format,
            )
            return _Fault(what, turn, ToolCallError)
        if self._tally.exhausted and not self._tally.repairs:
            self._made += attempt.repeated[:1]
            self._late = [*self._made]
            return None
        return _Fault(what, f"{fence(what)} Answer in words, without a function call.", ToolCallError)

    def _rescue(self, attempt: Attempt) -> _Fault | None:
        """No call came where one is required: take bare arguments of the only tool there is for a call to it."""
        names = ", ".join(self._box.names)
        fault = _Fault(
            f"A call is required (tools: {names}), but none came.",
            fill(self._prompt.no_call, names=fence(names), format=self._dialect.format),
            ToolCallError,
        )
        if len(self._box) != 1:
            return fault
        tool = self._box.tools[0]
        try:
            _, value = extract("".join(attempt.held), any_object())
        except Misfit:
            return fault
        if not value or not all(key in properties(tool) for key in value):
            return fault
        attempt.held.clear()
        self._late = attempt.add(RawCall(tool.name, value))
        self._made += attempt.calls
        return self._fault_of(attempt)

    def _rest(self, attempt: Attempt) -> Batch:
        """What was held of a good answer: a call found late, or its words; those beside calls that were asked for again are dropped."""
        if self._made:
            return self._late
        text, shown = "".join(attempt.held), "".join(self._shown)
        if shown.startswith(text):
            return []
        rest = text.removeprefix(shown)
        gap = "\n\n" if rest == text and shown and not shown[-1].isspace() else ""
        return [Text(gap + rest)]

    def _ending(self, attempt: Attempt) -> Batch:
        finish = attempt.finish or Finish(provider=self._provider.name, model=self._model)
        reason = "tool_calls" if self._made else finish.reason
        return [self._tally.usage, replace(finish, reason=reason, attempts=self._tally.requests)]

    def _ask_again(self, attempt: Attempt, fault: _Fault) -> None:
        if self._tally.exhausted:
            attempts = self._tally.repairs + 1
            raise fault.error(
                fault.what,
                said=attempt.said,
                attempts=attempts,
                provider=self._provider.name,
                model=self._model,
            )
        self._tally.repairs += 1
        if (
            not self._plan.must
            and not self._made
            and attempt.complaints
            and all(complaint.unbound for complaint in attempt.complaints)
        ):
            self._talk()  # small talk in the shape of a call
            return
        if attempt.repeated and not attempt.complaints and not self._must and not self._circling:
            self._circling = True
            self._talk()
            return
        self._extra += turns_again(attempt.said, fault.turn)

    def _talk(self) -> None:
        """Ask again without tools."""
        self._extra.clear()
        self._enter("plain")
