"""Ollama's `POST /api/embed`.

Sources: docs.ollama.com/api/embed (a text that is too long is cut unless `truncate` is false; a
shorter vector is the beginning of the whole one, brought to length 1); the words for a text that is
too long of open-notebook issue 350 and nano-brain issue 208, for a wrong input of ollama issue
12441. Keys that it does not know are ignored, since Go's reader of JSON does so. An empty list or
text is answered with no vector.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from freeproviders.testing.services.base import Embedding
from freeproviders.testing.services.embedding import Entry
from freeproviders.testing.services.embedding_words import Say, Voice
from freeproviders.testing.services.native.base import Call, Models, Native

_WORDS: Final[Mapping[str, Say]] = {
    "input": Say("invalid input type"),
    "window": Say("the input length exceeds the context length"),
}


class OllamaEmbed(Native):
    """A text or texts; vectors in their order."""

    path: ClassVar = re.compile(r"/api/embed")
    voice: ClassVar = Voice(_WORDS, lambda status, message: {"error": message})  # noqa: ARG005
    window: ClassVar = 2048

    def judge(self, call: Call, models: Models) -> Embedding:
        """Judge a request. Raises `Refusal`."""
        body, voice = call.body, self.voice
        model = body.get("model")
        if not isinstance(model, str) or not model:
            voice.say(404, "model '' not found")
        facts = models(model)
        given = body.get("input") or []
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            voice.refuse("input")
        cut = body.get("truncate")
        size = body.get("dimensions")
        for name, value, kind in (("truncate", cut, bool), ("dimensions", size, int)):
            if value is not None and type(value) is not kind:
                voice.say(400, f"json: cannot unmarshal into Go struct field EmbedRequest.{name}")

        def write(entries: Sequence[Entry], tokens: int) -> object:
            return {
                "model": model,
                "embeddings": [numbers for _, numbers in entries],
                "total_duration": 14_143_917,
                "load_duration": 1_019_500,
                "prompt_eval_count": tokens,
            }

        return self.embedding(
            texts,
            facts,
            "" if cut is False else "end",
            write,
            model=model,
            size=size if size and 0 < size < facts.size else facts.size,
        )
