"""Questions with tools, to any provider: ask, read, judge, and ask again where that is needed - within one stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, Literal

from freeproviders.errors import BadRequestError, ContextOverflowError, OutputError, StructuredOutputError, ToolCallError, ToolsNotSupportedError
from freeproviders.tools.attempt import Attempt
from freeproviders.tools.backend import Backend, has_json_schema, has_native_tools, model_of, remember_refusal
from freeproviders.tools.cursor import RawCall
from freeproviders.tools.dialects.registry import DIALECTS, Dialect
from freeproviders.tools.extract import extract
from freeproviders.tools.fold import fold, has_tool_turns
from freeproviders.tools.judge import Judge
from freeproviders.tools.parser import Parser
from freeproviders.tools.plan import Plan, plan_of
from freeproviders.tools.prompt import DEFAULT_PROMPT, ToolPrompt, chosen_dialect, fill, instructions
from freeproviders.tools.quirks import quirks_of
from freeproviders.tools.schema import call_schema, pruned, response_format
from freeproviders.tools.sketch import sketch
from freeproviders.tools.structured import ask_for_json, schema_instructions
from freeproviders.tools.target import Misfit, any_object
from freeproviders.tools.toolbox import Toolbox, properties
from freeproviders.types import Batch, ChatRequest, Finish, Message, Text, ToolCall, Usage
from freeproviders.usage import estimate_input_tokens, estimate_tokens
from freeproviders.wire.json import dumps

MAX_REPAIRS: Final = 2
MAX_QUOTED_CHARS: Final = 4000
"""How much of a failed answer the model is shown when it is asked again."""

Mode = Literal["native", "schema", "prompt", "plain"]
"""How a question is put: with the service's own tools, under a schema, by instructions, or without tools."""


def stream(
    provider: Backend, request: ChatRequest, *, prompt: ToolPrompt = DEFAULT_PROMPT, max_repairs: int = MAX_REPAIRS, allow_repeats: bool = False
) -> AsyncGenerator[Batch, None]:
    """Stream the parts of an answer to a request that may have tools and a response format, whatever the service knows of them.

    Calls come whole, with the tools' own names and with arguments that fit; what was given out is not given out again. The model is asked again at most
    `max_repairs` times; `Usage` is the sum. A request that has none of this goes to the provider as it is.

    Raises:
        UsageError: at the call itself: a choice that names no tool of the request.
        ToolCallError: while iterating: no valid call came, although one was attempted or required.
        StructuredOutputError: while iterating: no object came that fits the response format.
    """
    plan = plan_of(request)
    native = has_native_tools(provider, model_of(provider, request))
    if not plan.box:
        if request.tools and not native:
            request = replace(request, tools=(), tool_choice=None, parallel_tool_calls=None)
        if not native and has_tool_turns(request.messages):
            dialect = chosen_dialect(prompt, quirks_of(model_of(provider, request)).dialect)
            request = replace(request, messages=fold(request.messages, prompt, dialect))
        if plan.target is not None:
            return ask_for_json(provider, request, plan.target, prompt=prompt, max_repairs=max_repairs)
        return provider.batches(request)
    return _Conversation(provider, request, plan, prompt, max_repairs, allow_repeats=allow_repeats).run()


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

    def __init__(self, provider: Backend, request: ChatRequest, plan: Plan, prompt: ToolPrompt, max_repairs: int, *, allow_repeats: bool) -> None:
        self._provider = provider
        self._request = request
        self._plan = plan
        self._allow_repeats = allow_repeats
        self._prompt = prompt
        self._max_repairs = max_repairs
        self._model = model_of(provider, request)
        self._quirks = quirks_of(self._model)
        self._extra: list[Message] = []
        self._made: list[ToolCall] = []
        self._late: Batch = []
        self._shown = ""
        self._usage: Usage | None = None
        self._requests = 0
        self._repairs = 0
        self._enter(self._first_mode())

    def _first_mode(self) -> Mode:
        if has_native_tools(self._provider, self._model):
            return "native"
        if self._plan.must and self._plan.outstanding and has_json_schema(self._provider, self._model):
            return "schema"
        return "prompt"

    def _enter(self, mode: Mode) -> None:
        """Put the question in one of the four ways from now on."""
        plan = self._plan
        self._mode = mode
        self._box = {"plain": Toolbox(()), "schema": plan.outstanding}.get(mode, plan.box)
        self._must = plan.must and mode != "plain" and (mode == "native" or bool(plan.outstanding))
        self._judge = Judge(self._box)
        self._dialect = DIALECTS["json"] if mode == "schema" else chosen_dialect(self._prompt, self._quirks.dialect)
        self._base = self._written(self._dialect)

    def _written(self, dialect: Dialect) -> ChatRequest:
        """The request without the turns that ask again."""
        request, plan = self._request, self._plan
        if self._mode == "native":
            choice: str | None = request.tool_choice if isinstance(request.tool_choice, str) else "required" if plan.must else None
            keep = plan.target is not None and has_json_schema(self._provider, self._model)
            return replace(request, tools=plan.box.tools, tool_choice=choice, response_format=request.response_format if keep else None)
        blocks = []
        if self._mode != "plain":
            blocks.append(instructions(self._prompt, dialect, self._box.tools, must=self._must, single=plan.single))
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
        return replace(request, messages=messages, tools=(), tool_choice=None, parallel_tool_calls=None, response_format=form, stream=True)

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
                if not self._recover(error, attempt):
                    raise
                if not attempt.calls and not attempt.complaints:
                    continue
                for call in attempt.calls:
                    yield [call]
            if out := self._seen(attempt.end()):
                yield out
            self._add_up(attempt, request)
            if attempt.repeated and not self._made and not attempt.complaints and self._repairs < self._max_repairs:
                self._repairs += 1
                self._talk()
                continue
            fault = self._fault_of(attempt)
            if fault is None:
                if out := self._seen(self._rest(attempt)):
                    yield out
                yield self._ending(attempt)
                return
            self._ask_again(attempt, fault)

    def _attempt(self) -> Attempt:
        again = self._repairs > 0 and (self._mode != "plain" or bool(self._shown))
        return Attempt(
            self._judge,
            hold=self._must or again or self._plan.target is not None,
            preface=self._repairs == 0,
            single=self._plan.single,
            made=self._made,
            settled=None if self._allow_repeats or self._mode == "native" else self._plan.settled,
            thinking=self._quirks.thinking,
        )

    def _recover(self, error: BadRequestError, attempt: Attempt) -> bool:
        """Go on after a refusal: without what the service refused, or with what the model had written."""
        if isinstance(error, ContextOverflowError) or attempt.said:
            return False
        if self._mode == "native" and isinstance(error, ToolsNotSupportedError):
            remember_refusal(self._provider, "tools", self._model)
            self._enter(self._first_mode())
            return True
        if self._mode == "schema":
            remember_refusal(self._provider, "schema", self._model)
            self._enter("prompt")
            return True
        text = error.failed_generation
        if not text:
            return False
        for raw in failed_generation(text, self._box) or [RawCall("", source=text, fault="the service could not read it")]:
            attempt.add(raw)
        return True

    def _seen(self, out: Batch) -> Batch:
        for part in out:
            if isinstance(part, Text):
                self._shown += part.text
        return out

    def _add_up(self, attempt: Attempt, request: ChatRequest) -> None:
        self._made += attempt.calls
        usage = attempt.usage or Usage(estimate_input_tokens(request.messages), estimate_tokens(len(attempt.said)), estimated=True)
        self._usage = usage if self._usage is None else self._usage + usage
        self._requests += attempt.finish.attempts if attempt.finish else 1

    # --- the verdict ---

    def _fault_of(self, attempt: Attempt) -> _Fault | None:
        """What is wrong with an answer, None if it is good."""
        if attempt.complaints:
            what = "\n".join(dict.fromkeys(complaint.text for complaint in attempt.complaints))
            return _Fault(what, fill(self._prompt.complaint, complaint=what, format=self._dialect.format), ToolCallError)
        if self._made:
            return None
        if self._must:
            return self._rescue(attempt)
        if self._plan.target is not None:
            try:
                _, data = extract("".join(attempt.held), self._plan.target, truncated=attempt.truncated)
            except Misfit as misfit:
                return _Fault(
                    f"The answer does not fit the schema: {misfit}.",
                    fill(self._prompt.misfit, complaint=str(misfit), form=sketch(pruned(self._plan.target.schema))),
                    StructuredOutputError,
                )
            attempt.held = [dumps(data).decode()]
        return None

    def _rescue(self, attempt: Attempt) -> _Fault | None:
        """No call came where one is required: take bare arguments of the only tool there is for a call to it."""
        names = ", ".join(self._box.names)
        fault = _Fault(
            f"A call is required (tools: {names}), but none came.",
            fill(self._prompt.no_call, names=names, format=self._dialect.format),
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
        text = "".join(attempt.held).removeprefix(self._shown)
        return [Text(text)] if text else []

    def _ending(self, attempt: Attempt) -> Batch:
        finish = attempt.finish or Finish(provider=self._provider.name, model=self._model)
        reason = "tool_calls" if self._made else finish.reason
        return [self._usage or Usage(0, 0, estimated=True), replace(finish, reason=reason, attempts=self._requests)]

    def _ask_again(self, attempt: Attempt, fault: _Fault) -> None:
        if self._repairs >= self._max_repairs:
            raise fault.error(fault.what, said=attempt.said, attempts=self._repairs + 1, provider=self._provider.name, model=self._model)
        self._repairs += 1
        if not self._plan.must and not self._made and attempt.complaints and all(complaint.unbound for complaint in attempt.complaints):
            self._talk()  # small talk in the shape of a call
            return
        self._extra += [Message("assistant", attempt.said[:MAX_QUOTED_CHARS] or "(nothing)"), Message("user", fault.turn)]

    def _talk(self) -> None:
        """Ask again without tools."""
        self._extra.clear()
        self._enter("plain")
