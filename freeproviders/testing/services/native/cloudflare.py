"""Cloudflare's `POST /client/v4/accounts/{account}/ai/run/{model}`.

Sources: the schema of the models at developers.cloudflare.com/workers-ai/models/bge-base-en-v1.5;
at most 100 texts (cloudflare-docs issue 11316). `pooling` is "mean" unless told otherwise; another
is another vector, here by the input type. What becomes of a text that is too long no source says,
here it is refused; the words are made up in the likeness of the service's other errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from freeproviders.testing.services.base import Embedding
from freeproviders.testing.services.embedding import Entry
from freeproviders.testing.services.embedding_body import value_of
from freeproviders.testing.services.embedding_words import Say, Voice
from freeproviders.testing.services.native.base import Call, Models, Native

POOLINGS: Final = ("mean", "cls")
_BAD: Final = "AiError: AiError: Bad input: "
_WORDS: Final[Mapping[str, Say]] = {
    "missing": Say(_BAD + "Error: required properties at '/' are '{given}'"),
    "unknown": Say(_BAD + "Error: unknown property '{given}' at '/'"),
    "input": Say(_BAD + "Error: Type mismatch of '/text', 'string' or 'array' expected"),
    "empty": Say(_BAD + "Error: Length of '/text' must be >= 1"),
    "batch": Say(_BAD + "Error: Length of '/text' must be <= {batch}, not {count}"),
    "window": Say(_BAD + "Error: '/text/{n}' has {count} tokens, at most {window} are allowed"),
    "value": Say(_BAD + "Error: '/{key}' is {given}, not one of {values}"),
}


class CloudflareRun(Native):
    """A text or texts; vectors with their shape."""

    path: ClassVar = re.compile(r"/client/v4/accounts/[^/]+/ai/run/(?P<model>@.+)")
    voice: ClassVar = Voice(
        _WORDS,
        lambda status, message: {  # noqa: ARG005
            "errors": [{"message": message, "code": 5006}],
            "success": False,
            "result": {},
            "messages": [],
        },
    )
    batch: ClassVar = 100

    def judge(self, call: Call, models: Models) -> Embedding:
        """Judge a request. Raises `Refusal`."""
        body, model, voice = call.body, call.named["model"], self.voice
        self.check_keys(body, ("text", "pooling"))
        facts = models(model)
        if "text" not in body:
            voice.refuse("missing", given="text")
        pooling = value_of(body, "pooling", POOLINGS, voice) or POOLINGS[0]

        def write(entries: Sequence[Entry], tokens: int) -> object:  # noqa: ARG001 - not told here
            vectors = [numbers for _, numbers in entries]
            result = {"shape": [len(vectors), facts.size], "data": vectors, "pooling": pooling}
            return {"result": result, "success": True, "errors": [], "messages": []}

        return self.embedding(
            self.texts(body["text"]),
            facts,
            "",
            write,
            model=model,
            size=facts.size,
            input_type="" if pooling == POOLINGS[0] else pooling,
        )
