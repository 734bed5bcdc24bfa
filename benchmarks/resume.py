"""Answers of the real 0.5B that break off, gone on with by our own engine: how many end right?

`python -m benchmarks.resume [--cuts 16] [--model NAME]`. Each answer is cut at many places, by
characters and so inside words, numbers and signs; the engine is given what came before and goes on. An
ending is right where the word at the cut is the one of the uncut answer, nothing is said twice or lost
at the seam, and the whole passes the question's checker. It takes some minutes on two cores.

`--service [--temperature 0.8]` asks the same engine as a service of the catalogue is asked, which is
given all but the last words and must write those first: how many endings are taken, and how many of
them are right?
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import itertools
import json
import re
from collections.abc import Callable
from contextlib import aclosing
from random import Random
from time import perf_counter
from typing import NamedTuple

from freeproviders import Embedded, OpenAICompatible
from freeproviders.router.resume.hop import Hop
from freeproviders.router.resume.splice import tail_of
from freeproviders.router.resume.ways import Way
from freeproviders.router.resume.ways import asked as asked_as
from freeproviders.types import ChatRequest, Completion, Message, collect

MAX_TOKENS = 110


class Asked(NamedTuple):
    """A question, and what its answer must hold."""

    name: str
    text: str
    passes: Callable[[str], bool]


def counts(names: str) -> Callable[[str], bool]:
    """A checker of texts that hold these words in order, each once and nothing between but signs."""
    wanted = names.split()

    def check(text: str) -> bool:
        words = re.findall(r"[a-z]+", text.lower())
        return words[: len(wanted)] == wanted

    return check


def numbers(last: int) -> Callable[[str], bool]:
    """A checker of texts that hold the numbers from 1 in order."""
    return lambda text: [int(one) for one in re.findall(r"\d+", text)][:last] == list(range(1, last + 1))


def items(least: int) -> Callable[[str], bool]:
    """A checker of numbered lists without a number twice or missing."""

    def check(text: str) -> bool:
        found = [int(one) for one in re.findall(r"(?m)^\s*(\d+)\.", text)]
        return len(found) >= least and found == list(range(1, len(found) + 1))

    return check


def code(text: str) -> bool:
    """Return whether the first block of code of a text can be parsed, if it is closed."""
    block = re.search(r"```(?:python)?\n(.*?)```", text, re.DOTALL)
    if block is None:
        return text.count("```") == 1
    try:
        ast.parse(block[1])
    except SyntaxError:
        return False
    return True


def listed(text: str) -> bool:
    """Return whether the list of objects in a text is JSON, if it is closed."""
    begin, end = text.find("["), text.rfind("]")
    if begin < 0 or end < 0:
        return begin >= 0
    try:
        return isinstance(json.loads(text[begin : end + 1]), list)
    except ValueError:
        return False


def prose(text: str) -> bool:
    """Return whether no word stands twice in a row, but for what people double."""
    words = re.findall(r"\w+", text.lower())
    return all(one != other or one in {"that", "had"} for one, other in itertools.pairwise(words))


QUESTIONS = (
    Asked("words", "Count from one to ten in English words, separated by commas, without numbers.",
          counts("one two three four five six seven eight nine ten")),
    Asked("numbers", "Write the numbers from 1 to 30, separated by commas.", numbers(30)),
    Asked("months", "List the twelve months in order, separated by commas, and nothing else.",
          counts("january february march april may june july august september october november december")),
    Asked("list", "Name five fruits in a numbered list with one short sentence about each.", items(4)),
    Asked("tools", "Give six garden tools as a numbered list.", items(5)),
    Asked("objects", 'Write a JSON list of three cities as objects with "name" and "country". Only the JSON.',
          listed),
    Asked("code", "Write a Python function that returns the largest number of a list. Only code.", code),
    Asked("class", "Write a short Python class Counter with the methods add and reset. Only code.", code),
    Asked("story", "Write the first four sentences of a story about a lighthouse keeper.", prose),
    Asked("letter", "Write a short letter that thanks a neighbour for a cake.", prose),
    Asked("chinese", "用两句话介绍北京。", lambda text: len(text) > 10),
    Asked("emoji", "Write one line with ten different emojis about food, each followed by its name.",
          lambda text: "\ufffd" not in text),
)  # fmt: skip


async def answered(model: Embedded, question: Asked, begun: str = "") -> Completion:
    """The answer to a question, or what follows its beginning."""
    limit = MAX_TOKENS
    if begun:
        limit = max(8, limit - await model.count_tokens(begun))
    request = ChatRequest(
        messages=(Message("user", question.text),), temperature=0, max_tokens=limit, prefill=begun
    )
    return collect([part async for batch in model.answer(request) for part in batch])


def word_at(text: str, at: int) -> int:
    """Where the word ends that stands at a place: behind it, the place itself between two words."""
    end = re.compile(r"\w*").match(text, at)
    return at if end is None or not re.match(r"\w", text[at - 1 : at]) else end.end()


def is_right(
    question: Asked, whole: Completion, cut: int, rest: Completion, *, exactly: bool = True
) -> tuple[bool, str]:
    """Judge an ending; the second item says what is wrong. Another word may be right by chance only."""
    joined = whole.text[:cut] + rest.text
    end = min(word_at(whole.text, cut), cut + 12)
    if exactly and not joined.startswith(whole.text[:end]):
        return False, "another word at the cut"
    before = " ".join(whole.text[:cut].split()[-3:])
    after = " ".join(rest.text.split())
    if len(before) > 8 and after.startswith(before) and not whole.text[cut:].lstrip().startswith(before):
        return False, "said twice"
    if question.passes(whole.text) and not question.passes(joined):
        return False, "the checker"
    return True, ""


async def run(name: str, cuts: int) -> None:
    """Ask, cut and go on; print a line for each question."""
    model = Embedded(name)
    random = Random(5)
    right = equal = total = 0
    started = perf_counter()
    print("| question | cuts | right | equal to the uncut answer |\n|---|---|---|---|", flush=True)
    for question in QUESTIONS:
        whole = await answered(model, question)
        places = range(1, len(whole.text))
        chosen = sorted(random.sample(places, min(cuts, len(places))))
        fine = same = 0
        for cut in chosen:
            rest = await answered(model, question, whole.text[:cut])
            judged, why = is_right(question, whole, cut, rest)
            fine += judged
            joined = whole.text[:cut] + rest.text
            # The limit in tokens is estimated from the cut on, so that one may be longer.
            short = min(len(joined), len(whole.text)) if whole.finish.reason == "length" else None
            same += joined[:short] == whole.text[:short]
            if not judged:
                print(f"  {question.name}, {cut}: {why}: {whole.text[max(0, cut - 20) : cut]!r} | "
                      f"{rest.text[:40]!r}, uncut {whole.text[cut : cut + 40]!r}", flush=True)  # fmt: skip
        passed = "" if question.passes(whole.text) else " (the uncut answer fails its checker)"
        print(f"| {question.name}{passed} | {len(chosen)} | {fine} | {same} |", flush=True)
        right, equal, total = right + fine, equal + same, total + len(chosen)
    share = 100 * right / max(1, total)
    print(f"\n{right} of {total} right ({share:.1f} %), {equal} equal, {perf_counter() - started:.0f} s")


async def run_as_service(name: str, cuts: int, temperature: float) -> None:
    """Cut answers, and let the engine go on as a service that is only asked to."""
    model = Embedded(name)
    engine = await model.prepare()
    service = OpenAICompatible(
        model.model, service="llamacpp", base_url=f"{engine.address}/v1", api_key=engine.api_key
    )
    random = Random(6)
    asked = taken = right = 0
    print("| question | cuts | with a tail | taken | right |\n|---|---|---|---|---|", flush=True)
    for question in QUESTIONS:
        whole = await answered(model, question)
        places = range(1, len(whole.text))
        chosen = sorted(random.sample(places, min(cuts, len(places))))
        tails = joined = fine = 0
        for cut in chosen:
            said = whole.text[:cut]
            tail = tail_of(said)
            if not tail:
                continue
            tails += 1
            way = Way(None, "prefill", said[: len(said) - len(tail)], tail)  # type: ignore[arg-type]
            request = ChatRequest(
                messages=(Message("user", question.text),), temperature=temperature, max_tokens=MAX_TOKENS
            )
            hop, out = Hop(request, said, way), []
            async with aclosing(service.answer(asked_as(request, way, MAX_TOKENS))) as batches:
                async for batch in batches:
                    out += hop.take(batch)
                    if hop.refused:
                        break
            if hop.refused:
                continue
            joined += 1
            judged, why = is_right(question, whole, cut, collect(out), exactly=temperature == 0)
            fine += judged
            if not judged:
                print(f"  {question.name}, {cut}: {why}: {said[-20:]!r} | {collect(out).text[:40]!r}, "
                      f"uncut {whole.text[cut : cut + 40]!r}", flush=True)  # fmt: skip
        print(f"| {question.name} | {len(chosen)} | {tails} | {joined} | {fine} |", flush=True)
        asked, taken, right = asked + tails, taken + joined, right + fine
    print(f"\n{taken} of {asked} taken ({100 * taken / max(1, asked):.0f} %), {right} of them right")


def main() -> None:
    """Run with the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=16)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--service", action="store_true")
    parser.add_argument("--temperature", type=float, default=0.0)
    given = parser.parse_args()
    if given.service:
        asyncio.run(run_as_service(given.model, given.cuts, given.temperature))
    else:
        asyncio.run(run(given.model, given.cuts))


if __name__ == "__main__":
    main()
