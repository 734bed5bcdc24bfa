"""Whole examinations, over all protocols and models: `make exam`.

    python -m tests.real.examine                              all that is here; about an hour
    python -m tests.real.examine --model 0.5b --protocol flow-gpt --protocol embedded
    python -m tests.real.examine --protocol flow-gpt --dialect mistral    prints only

The scores are written to results.json beside this file, each with the hashes of what it depends on, and are
committed. A test that needs no model fails where they are older than the prompts, the questions, the
dialects or the weights. A model whose weights are not on this machine is left out with a word.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from freeproviders import AIChatFree, ChatgptFree, Embedded, FlowGpt, FreeNetfly, OpenAICompatible
from freeproviders.backend import Backend
from freeproviders.embedded.cache import is_cached
from freeproviders.embedded.weights import weights_named
from freeproviders.testing import replica
from freeproviders.tools import ToolPrompt
from tests.real import questions, schemas
from tests.real.exam import STEADY, Score, deterministic, sit, sit_objects

RESULTS = Path(__file__).with_name("results.json")
TOOLS = Path(questions.__file__).parents[2] / "freeproviders" / "tools"
MODELS = {"0.5b": "qwen2.5-coder-0.5b", "1.5b": "qwen2.5-coder-1.5b"}
SERVICES = {cls.slug: cls for cls in (FreeNetfly, ChatgptFree, FlowGpt, AIChatFree, OpenAICompatible)}
PROTOCOLS = ("embedded", *SERVICES)


def over(slug: str, base_url: str) -> Backend:
    """A provider over a replica. Tools go through the prompt, also where the protocol has them."""
    cls = SERVICES[slug]
    return cls("m", base_url=base_url) if cls is OpenAICompatible else cls(base_url=base_url)


def remembered(say: Callable[[Any], AsyncIterator[str]]) -> Callable[[Any], AsyncIterator[str]]:
    """Answer the same messages with the same words without asking twice: three protocols send the same."""
    known: dict[str, list[str]] = {}

    async def answer(messages: Sequence[Mapping[str, Any]]) -> AsyncIterator[str]:
        key = json.dumps([[message["role"], message["content"]] for message in messages])
        if key not in known:
            known[key] = [text async for text in say(messages)]
        for text in known[key]:
            yield text

    return answer


async def examine(models: list[str], protocols: list[str], prompt: ToolPrompt) -> dict[str, Any]:
    """Sit the examinations; the scores by model, protocol and examination."""
    found: dict[str, Any] = {}
    for short in models:
        if not is_cached(weights_named(MODELS[short])):
            print(f"{short} left out: its weights are not here (freeproviders models pull {MODELS[short]})")
            continue
        model = Embedded(MODELS[short], prompt_cache=False)
        say = remembered(deterministic(model))
        for slug in protocols:
            if slug == "embedded":
                found[f"{short} {slug}"] = await scores(f"{short} {slug}", model, prompt, STEADY)
            else:
                with replica(SERVICES[slug], answer=say) as server:
                    backend = over(slug, server.base_url)
                    found[f"{short} {slug}"] = await scores(f"{short} {slug}", backend, prompt, {})
    return found


async def scores(
    title: str, backend: Backend, prompt: ToolPrompt, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Both examinations of one backend, printed as they end."""
    begun, said = time.monotonic(), {}
    for name, score in (
        ("tools", await sit(backend, prompt, **settings)),
        ("objects", await sit_objects(backend, **settings)),
    ):
        said[name] = summary(score)
        print(f"{title:22} {name:8} {score}; wrong: {', '.join(score.wrong) or 'none'}", flush=True)
    print(f"{title:22} {time.monotonic() - begun:.0f} s", flush=True)
    return said


def summary(score: Score) -> dict[str, Any]:
    """A score as it is written to the file."""
    return {
        "right": len(score.right),
        "of": len(score.right) + len(score.wrong),
        "wrong": sorted(score.wrong),
        "misfits": score.misfits,
    }


async def hashes(short: str) -> dict[str, str]:
    """What a model's scores depend on, each as a hash. Comments and docstrings do not count."""
    asked = await asked_for()
    return {
        "prompts": _hash(json.dumps([asdict(ToolPrompt()), asked], sort_keys=True)),
        "questions": _hash(_code(questions.__file__) + _code(schemas.__file__)),
        "dialects": _hash(
            "".join(_code(path) for path in sorted(TOOLS.rglob("dialects/*.py")))
            + "".join(path.read_text(encoding="utf-8") for path in sorted(TOOLS.rglob("*.toml")))
        ),
        "weights": weights_named(MODELS[short]).sha256,
    }


async def asked_for() -> list[Any]:
    """The messages that a service without tools is first sent for each question and each object."""
    with replica(FlowGpt, answer="Nothing.") as server:
        backend = FlowGpt(base_url=server.base_url)
        return await first_messages(backend, server)


async def first_messages(backend: Backend, server: Any) -> list[Any]:
    """The first messages that a replica gets for each question and each object."""
    found = []
    for one in [*questions.QUESTIONS, *schemas.SCHEMAS]:
        before = len(server.requests)
        if isinstance(one, questions.Question):
            await sit(backend, questions=[one])
        else:
            await sit_objects(backend, [one])
        sent = next(request for request in server.requests[before:] if request.messages)
        found.append([[message["role"], message["content"]] for message in sent.messages])
    return found


def _code(path: str | Path) -> str:
    """A module's code without comments and docstrings, in one notation for all Pythons."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Sit what the arguments say, and keep the scores."""
    parser = argparse.ArgumentParser(description="Examine the embedded models over all protocols.")
    parser.add_argument("--model", action="append", choices=sorted(MODELS))
    parser.add_argument("--protocol", action="append", choices=PROTOCOLS)
    parser.add_argument("--dialect", default="", help="another dialect of calls; its scores are not kept")
    given = parser.parse_args()
    found = asyncio.run(
        examine(
            given.model or list(MODELS), given.protocol or list(PROTOCOLS), ToolPrompt(dialect=given.dialect)
        )
    )
    if given.dialect or not found:
        return
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for title, said in found.items():
        kept[title] = {**said, "hashes": asyncio.run(hashes(title.split()[0]))}
    RESULTS.write_text(
        json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    print(f"written: {RESULTS}")


if __name__ == "__main__":
    main()
