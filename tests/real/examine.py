"""Whole examinations, over all protocols and models: `make exam`.

    python -m tests.real.examine                              all that is here
    python -m tests.real.examine --model 0.5b --protocol flow-gpt --protocol embedded
    python -m tests.real.examine --tuning --show              what prompts may be tuned on: prints only
    python -m tests.real.examine --protocol flow-gpt --dialect mistral    prints only
    python -m tests.real.examine --protocol flow-gpt --unknown            prints only

A service does not tell which model it has; the examination does, as a user would who knows it
(`with_abilities(family=...)`), but for `--unknown`.

The models' words are remembered (`memory.py`): only what is new is asked, and where nothing changed an
examination takes seconds. The scores are written to results.json beside this file, each with the hashes
of what it depends on, and are committed. A test that needs no model fails where they are older than the
prompts, the questions, the dialects or the weights. A model whose weights are not on this machine is
left out with a word.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from freeproviders import AIChatFree, ChatgptFree, FlowGpt, FreeNetfly, OpenAICompatible
from freeproviders.backend import Backend
from freeproviders.embedded.cache import is_cached
from freeproviders.embedded.weights import weights_named
from freeproviders.testing import replica
from freeproviders.tools import ToolPrompt
from freeproviders.tools.quirks import quirks_of
from tests.real import questions, schemas
from tests.real.exam import STEADY, Score, deterministic, sit, sit_objects
from tests.real.memory import Remembering

RESULTS = Path(__file__).with_name("results.json")
TOOLS = Path(questions.__file__).parents[2] / "freeproviders" / "tools"
MODELS = {"0.5b": "qwen2.5-coder-0.5b", "1.5b": "qwen2.5-coder-1.5b"}
SERVICES = {cls.slug: cls for cls in (FreeNetfly, ChatgptFree, FlowGpt, AIChatFree, OpenAICompatible)}
PROTOCOLS = ("embedded", *SERVICES)
ONLY_TINY = ("onward", "wrap_up")
"""Texts of `ToolPrompt` that only tiny models are sent here: others may make a call again."""


def over(slug: str, base_url: str) -> Backend:
    """A provider over a replica. Tools go through the prompt, also where the protocol has them."""
    cls = SERVICES[slug]
    return (
        cls("m", base_url=base_url, native_tools=False, json_schema=False)
        if cls is OpenAICompatible
        else cls(base_url=base_url)
    )


async def examine(
    models: Sequence[str],
    protocols: Sequence[str],
    prompt: ToolPrompt,
    *,
    family: bool,
    tuning: bool,
    show: bool,
) -> dict[str, Any]:
    """Sit the examinations; the scores by model, protocol and examination.

    `family` tells which model it is that a service asks, `tuning` leaves out the questions that are
    held out, `show` prints the wrong answers.
    """
    found: dict[str, Any] = {}
    for short in models:
        if not is_cached(weights_named(MODELS[short])):
            print(f"{short} left out: its weights are not here (freeproviders models pull {MODELS[short]})")
            continue
        model = Remembering(MODELS[short])
        for slug in protocols:
            title = f"{short} {slug}"
            if slug == "embedded":
                found[title] = await scores(title, model, prompt, STEADY, tuning=tuning, show=show)
            else:
                with replica(SERVICES[slug], answer=deterministic(model)) as server:
                    backend = over(slug, server.base_url)
                    told = backend.with_abilities(family=MODELS[short]) if family else backend
                    found[title] = await scores(title, told, prompt, {}, tuning=tuning, show=show)
        print(f"{short}: {model.asked} new requests", flush=True)
    return found


async def scores(
    title: str, backend: Backend, prompt: ToolPrompt, settings: Mapping[str, Any], *, tuning: bool, show: bool
) -> dict[str, Any]:
    """Both examinations of one backend, printed as they end."""
    begun = time.monotonic()
    asked = [question for question in questions.QUESTIONS if not (tuning and question.held_out)]
    tools = await sit(backend, prompt, asked, **settings)
    objects = await sit_objects(backend, prompt=prompt, **settings)
    said = {"tools": of_tools(tools, asked), "objects": of_objects(objects)}
    held = said["tools"]["held out"]
    print(f"{title:22} tools   {tools}, held out {held['right']} of {held['of']}", flush=True)
    print(f"{'':22} kinds   {said['tools']['kinds']}", flush=True)
    print(f"{'':22} objects {objects}, valid {said['objects']['valid']}", flush=True)
    print(f"{'':22} wrong   {', '.join([*tools.wrong, *objects.wrong]) or 'none'}", flush=True)
    print(f"{'':22} {time.monotonic() - begun:.0f} s", flush=True)
    if show:
        for name, wrong in {**tools.wrong, **objects.wrong}.items():
            print(f"    {name}: {wrong}", flush=True)
    return said


def of_tools(score: Score, asked: Sequence[questions.Question]) -> dict[str, Any]:
    """The scores of an examination in tools as they are written to the file."""
    right = set(score.right)
    of, kinds = Counter(each.kind for each in asked), Counter(e.kind for e in asked if e.name in right)
    held = [each.name in right for each in asked if each.held_out]
    return {
        **_common(score),
        "held out": {"right": sum(held), "of": len(held)},
        "kinds": {kind: f"{kinds[kind]} of {of[kind]}" for kind in of},
    }


def of_objects(score: Score) -> dict[str, Any]:
    """The scores of an examination in objects as they are written to the file."""
    valid = len(score.right) + len(score.wrong) - len(score.typed) - len(score.misfits)
    return {**_common(score), "valid": valid}


def _common(score: Score) -> dict[str, Any]:
    return {
        "right": len(score.right),
        "of": len(score.right) + len(score.wrong),
        "wrong": sorted(score.wrong),
        "misfits": score.misfits,
        "typed": sorted(score.typed),
    }


async def hashes(short: str) -> dict[str, str]:
    """What a model's scores depend on, each as a hash. Comments and docstrings do not count."""
    asked, texts = await asked_for(MODELS[short]), asdict(ToolPrompt())
    if not quirks_of(MODELS[short]).repeats:
        texts = {name: text for name, text in texts.items() if name not in ONLY_TINY}
    return {
        "prompts": _hash(json.dumps([texts, asked], sort_keys=True)),
        "questions": _hash(_code(questions.__file__) + _code(schemas.__file__)),
        "dialects": _hash(
            "".join(_code(path) for path in sorted(TOOLS.rglob("dialects/*.py")))
            + "".join(path.read_text(encoding="utf-8") for path in sorted(TOOLS.rglob("*.toml")))
        ),
        "weights": weights_named(MODELS[short]).sha256,
    }


async def asked_for(family: str = "") -> list[Any]:
    """The messages that a service without tools is first sent for each question and each object.

    `family` tells which model it has.
    """
    with replica(FlowGpt, answer="Nothing.") as server:
        backend = FlowGpt(base_url=server.base_url).with_abilities(family=family)
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
    parser.add_argument(
        "--tuning", action="store_true", help="not the questions held out; the scores are not kept"
    )
    parser.add_argument(
        "--unknown",
        action="store_true",
        help="services do not tell which model they have; the scores are not kept",
    )
    parser.add_argument("--show", action="store_true", help="print what was wrong")
    given = parser.parse_args()
    found = asyncio.run(
        examine(
            given.model or list(MODELS),
            given.protocol or PROTOCOLS,
            ToolPrompt(dialect=given.dialect),
            family=not given.unknown,
            tuning=given.tuning,
            show=given.show,
        )
    )
    if given.dialect or given.tuning or given.unknown or not found:
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
