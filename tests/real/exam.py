"""Examinations of a model: calling tools, and answering with objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from freeproviders import Embedded
from freeproviders.backend import Backend
from freeproviders.errors import FreeProvidersError, OutputError, StructuredOutputError
from freeproviders.tools import ToolPrompt, answer, complete_structured
from freeproviders.types import Text, ToolCall, collect
from tests.real.questions import QUESTIONS, Calls, Question
from tests.real.schemas import SCHEMAS, Sample, is_right, name_of

STEADY: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 300}
"""The same words each time."""
MAX_TURNS = 6
"""How often a model is asked on in a question of several steps."""


@dataclass
class Score:
    """The names of what was answered rightly and wrongly, and what came that no schema allows.

    A wrong answer is kept with what was said.
    """

    right: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)
    """Calls and objects that do not fit; they are wrong as well."""
    typed: list[str] = field(default_factory=list)
    """What ended in a typed error, which is wrong as well."""

    def __str__(self) -> str:
        return f"{len(self.right)} of {len(self.right) + len(self.wrong)}"


def deterministic(model: Embedded) -> Callable[[list[dict[str, str]]], AsyncIterator[str]]:
    """A replica's answer: the model's words at temperature 0, so that a score is the same each time."""

    async def say(messages: list[dict[str, str]]) -> AsyncIterator[str]:
        async for part in model.stream(messages, **STEADY):
            if isinstance(part, Text):
                yield part.text

    return say


async def ask(
    backend: Backend, question: Question, prompt: ToolPrompt, **settings: Any
) -> tuple[list[ToolCall], str]:
    """All calls and the last text with which a backend answers a question."""
    messages: list[Any] = (
        [{"role": "user", "content": question.ask}] if isinstance(question.ask, str) else [*question.ask]
    )
    made: list[ToolCall] = []
    for _ in range(MAX_TURNS):
        request = backend.request(messages, tools=question.tools, **{**settings, **question.options})
        parts = [part async for batch in answer(backend, request, prompt=prompt) for part in batch]
        completion = collect(parts)
        made += completion.tool_calls
        if question.results is None or not completion.tool_calls:
            break
        messages.append(
            {
                "role": "assistant",
                "content": completion.text,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": dict(call.arguments)},
                    }
                    for call in completion.tool_calls
                ],
            }
        )
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": result_of(question, call)}
            for call in completion.tool_calls
        ]
    return made, completion.text


def result_of(question: Question, call: ToolCall) -> str:
    """What a question's own tool returns."""
    tool = (question.results or {}).get(call.name)
    return tool(dict(call.arguments)) if tool else f"Error: there is no tool {call.name}."


async def sit(
    backend: Backend,
    prompt: ToolPrompt | None = None,
    questions: Sequence[Question] = QUESTIONS,
    **settings: Any,
) -> Score:
    """Ask every question, one after the other."""
    score = Score()
    for question in questions:
        try:
            calls, text = await ask(backend, question, prompt or ToolPrompt(), **settings)
        except FreeProvidersError as error:
            if not isinstance(error, OutputError) and "empty" not in type(error).__name__.lower():
                raise
            score.typed.append(question.name)
            score.wrong[question.name] = f"{type(error).__name__}: {error}"
            continue
        made: Calls = [(call.name, dict(call.arguments)) for call in calls]
        score.misfits += [f"{question.name}: {call}" for call in made if not allowed(question, *call)]
        if question.right(made, text):
            score.right.append(question.name)
        else:
            score.wrong[question.name] = f"{made} {text!r:.200}"
    return score


def allowed(question: Question, name: str, arguments: dict[str, Any]) -> bool:
    """Whether a call is to a tool of the question and fits its schema."""
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in question.tools}
    return name in schemas and Draft202012Validator(schemas[name]).is_valid(arguments)


async def sit_objects(
    backend: Backend,
    samples: Sequence[Sample] = SCHEMAS,
    prompt: ToolPrompt | None = None,
    **settings: Any,
) -> Score:
    """Ask for every object. What comes must be valid; an answer that is none is a typed error, never None."""
    score = Score()
    for sample in samples:
        request = backend.request(f"Extract the information from this text: {sample.text}", **settings)
        name = name_of(sample.schema)
        try:
            found = await complete_structured(backend, request, sample.schema, prompt=prompt or ToolPrompt())
            value = found.value
        except StructuredOutputError as error:
            score.typed.append(name)
            score.wrong[name] = f"{type(error).__name__}: {error}"
            continue
        if not fits(sample.schema, value):
            score.misfits.append(f"{name}: {value!r}")
            score.wrong[name] = repr(value)
        elif is_right(sample, value):
            score.right.append(name)
        else:
            score.wrong[name] = repr(value)
    return score


def fits(schema: Any, value: Any) -> bool:
    """Whether a value is what was asked for: an instance of the class, or data that the schema allows."""
    if value is None:
        return False
    if isinstance(schema, dict):
        return Draft202012Validator(schema).is_valid(value)
    return TypeAdapter(schema).validate_python(value) is not None
