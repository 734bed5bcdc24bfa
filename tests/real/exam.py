"""Examinations of a model: calling tools, and answering with objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from freeproviders import Embedded
from freeproviders.backend import Backend
from freeproviders.errors import OutputError, StructuredOutputError
from freeproviders.tools import ToolPrompt, answer, complete_structured
from freeproviders.types import Text, ToolCall, collect
from tests.real.questions import QUESTIONS, Question
from tests.real.schemas import SCHEMAS, name_of

STEADY: dict[str, Any] = {"temperature": 0, "seed": 1, "max_tokens": 300}
"""The same words each time."""


@dataclass
class Score:
    """The number of right answers, the wrong ones, and whether every call fitted its schema."""

    right: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.right} of {self.right + len(self.wrong)}"


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
    """The calls and the text with which a backend answers a question."""
    request = backend.request(question.ask, tools=question.tools, **{**settings, **question.options})
    parts = [part async for batch in answer(backend, request, prompt=prompt) for part in batch]
    completion = collect(parts)
    return list(completion.tool_calls), completion.text


async def sit(
    backend: Backend,
    prompt: ToolPrompt | None = None,
    questions: list[Question] = QUESTIONS,
    **settings: Any,
) -> Score:
    """Ask every question, one after the other."""
    score = Score()
    for question in questions:
        try:
            calls, text = await ask(backend, question, prompt or ToolPrompt(), **settings)
        except OutputError as error:
            score.wrong[question.name] = f"{type(error).__name__}: {error}"
            continue
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in question.tools}
        score.misfits += [
            f"{question.name}: {call}"
            for call in calls
            if not Draft202012Validator(schemas[call.name]).is_valid(call.arguments)
        ]
        if question.right([(call.name, dict(call.arguments)) for call in calls], text):
            score.right += 1
        else:
            score.wrong[question.name] = f"{[(call.name, call.arguments) for call in calls]} {text!r:.200}"
    return score


async def sit_objects(backend: Backend, schemas: list[tuple[Any, str]] = SCHEMAS, **settings: Any) -> Score:
    """Ask for every object. What comes must be valid; an answer that is none is a typed error, never None."""
    score = Score()
    for schema, text in schemas:
        request = backend.request(f"Extract the information from this text: {text}", **settings)
        try:
            value = (await complete_structured(backend, request, schema)).value
        except StructuredOutputError as error:
            score.wrong[name_of(schema)] = f"{type(error).__name__}: {error}"
            continue
        if fits(schema, value):
            score.right += 1
        else:
            score.misfits.append(f"{name_of(schema)}: {value!r}")
    return score


def fits(schema: Any, value: Any) -> bool:
    """Whether a value is what was asked for: an instance of the class, or data that the schema allows."""
    if value is None:
        return False
    if isinstance(schema, dict):
        return Draft202012Validator(schema).is_valid(value)
    return TypeAdapter(schema).validate_python(value) is not None
