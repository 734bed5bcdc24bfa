"""Sits the examination in tool calling with a model behind a replica; run as a script it prints the score of each dialect it is given, `--all` through each of the four services."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from jsonschema import Draft202012Validator

from freeproviders import AIChatFree, AsyncGeneratorProvider, ChatgptFree, Embedded, FlowGpt, FreeNetfly
from freeproviders.errors import OutputError
from freeproviders.testing import replica
from freeproviders.tools import ToolPrompt, answer
from freeproviders.types import Text, ToolCall, collect
from tests.real.questions import QUESTIONS, Question


@dataclass
class Score:
    """How many questions were answered rightly, which were not, and whether every call that came fitted its schema."""

    right: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    misfits: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.right} of {self.right + len(self.wrong)}"


def deterministic(model: Embedded) -> Callable[[list[dict[str, str]]], AsyncIterator[str]]:
    """A replica's answer: the model's words at temperature 0, so that a score is the same each time."""

    async def answer(messages: list[dict[str, str]]) -> AsyncIterator[str]:
        async for part in model.stream(messages, temperature=0, seed=1, max_tokens=300):
            if isinstance(part, Text):
                yield part.text

    return answer


async def ask(provider, question: Question, prompt: ToolPrompt) -> tuple[list[ToolCall], str]:
    request = provider.request(question.ask, tools=question.tools, **question.options)
    parts = [part async for batch in answer(provider, request, prompt=prompt) for part in batch]
    completion = collect(parts)
    return list(completion.tool_calls), completion.text


async def sit(provider, prompt: ToolPrompt | None = None, questions: list[Question] = QUESTIONS) -> Score:
    """Ask every question, one after the other."""
    score = Score()
    for question in questions:
        try:
            calls, text = await ask(provider, question, prompt or ToolPrompt())
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


async def main(dialects: list[str], services: list[type[AsyncGeneratorProvider]]) -> None:
    model = Embedded("qwen2.5-coder-0.5b", prompt_cache=False)
    for dialect in dialects:
        for cls in services:
            with replica(cls, answer=deterministic(model)) as r:
                score = await sit(cls(base_url=r.base_url), ToolPrompt(dialect=dialect))
                print(
                    f"{dialect or 'default':10} {cls.name:12} {score} in {len(r.requests)} requests; {len(score.misfits)} misfits",
                    flush=True,
                )
                for name, said in score.wrong.items():
                    print(f"    {name}: {said}", flush=True)


if __name__ == "__main__":
    everywhere = "--all" in sys.argv
    named = [argument for argument in sys.argv[1:] if argument != "--all"]
    asyncio.run(
        main(named or [""], [FreeNetfly, ChatgptFree, FlowGpt, AIChatFree] if everywhere else [FlowGpt])
    )
