"""A model whose words are remembered on disk, so that an examination asks only what is new.

After a change of the readers, the same words are read again; after a change of the prompts, only the
changed questions are asked. The folder is `.exam/` at the root, which git ignores, or the one in
`FREEPROVIDERS_EXAM_WORDS`. What is remembered is known by the weights, the engine's version and all
of the request: its messages, settings and constraint.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from freeproviders import Embedded
from freeproviders.embedded.weights import weights_named
from freeproviders.types import Batch, ChatRequest, Finish, Text, Usage, collect

WORDS = Path(os.environ.get("FREEPROVIDERS_EXAM_WORDS") or Path(__file__).parents[2] / ".exam")


class Remembering(Embedded):
    """The embedded model, with one slot and without its own cache of prompts.

    An answer is always read to its end, however early its reader has enough: so the words are the
    same whoever asks.
    """

    asked = 0
    """How many requests the model itself has answered."""

    def __init__(self, model: str) -> None:
        super().__init__(model, slots=1, prompt_cache=True)

    async def _batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        path = WORDS / self.model / f"{self._key(request)}.json"
        if not path.exists():
            await self._remember(request, path)
        kept = json.loads(path.read_text(encoding="utf-8"))
        yield [
            Text(kept["text"]),
            Usage(**kept["usage"]),
            Finish(**{**kept["finish"], "provider": self.name, "model": self.model}),
        ]

    async def _remember(self, request: ChatRequest, path: Path) -> None:
        self.asked += 1
        async with aclosing(super()._batches(request)) as batches:
            said = collect([part async for batch in batches for part in batch])
        kept = {
            "asked": _plain(request)["messages"],
            "text": said.text,
            "usage": {"input_tokens": said.usage.input_tokens, "output_tokens": said.usage.output_tokens},
            "finish": {"reason": said.finish.reason, "confirmed": said.finish.confirmed},
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(kept, ensure_ascii=False, indent=1), encoding="utf-8")
        partial.replace(path)

    def _key(self, request: ChatRequest) -> str:
        known = [weights_named(self.model).sha256, version("xllamacpp"), _plain(request)]
        return hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _plain(request: ChatRequest) -> dict[str, Any]:
    """What of a request the engine is sent."""
    return {
        "messages": [[message.role, message.text] for message in request.messages],
        "settings": [request.temperature, request.top_p, request.max_tokens, request.stop],
        "constraint": request.response_format,
        "options": dict(request.options),
    }
