"""llama.cpp's `POST /embedding`.

Sources: the documentation of its server (`content` is a text, or a list of texts; the answer has a
list of vectors for each, one where the model pools), and its own words for what is wrong. Keys that
it does not know are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from freeproviders.testing.services.base import Embedding
from freeproviders.testing.services.embedding import Entry
from freeproviders.testing.services.embedding_rules import LLAMA_CPP
from freeproviders.testing.services.embedding_words import Voice
from freeproviders.testing.services.native.base import Call, Models, Native


class LlamaCppEmbedding(Native):
    """A text or texts; numbered vectors, each in a list of one."""

    path: ClassVar = re.compile(r"/embeddings?")
    voice: ClassVar = Voice(
        LLAMA_CPP.voice.words,
        lambda status, message: {
            "error": {
                "code": status,
                "message": message,
                "type": "invalid_request_error" if status < 500 else "server_error",
            }
        },
    )
    window: ClassVar = LLAMA_CPP.window

    def judge(self, call: Call, models: Models) -> Embedding:
        """Judge a request. Raises `Refusal`."""
        body = call.body
        given = body.get("input", body.get("content"))
        if given is None:
            self.voice.refuse("missing")
        model = str(body.get("model") or "")
        facts = models(model)

        def write(entries: Sequence[Entry], tokens: int) -> object:  # noqa: ARG001 - not told here
            return [{"index": n, "embedding": [numbers]} for n, numbers in entries]

        return self.embedding(
            self.texts(given), facts, "", write, model=model, size=facts.size, numbered=True
        )
