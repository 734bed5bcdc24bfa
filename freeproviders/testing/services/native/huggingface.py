"""Hugging Face's `POST /hf-inference/models/{model}/pipeline/feature-extraction`.

Sources: the fields and the answer, a list of vectors, are those of the reference of the task
(huggingface.co/docs/inference-providers/tasks/feature-extraction); the words and the shape of
errors are those of text-embeddings-inference, which serves it: issue 27 (a text that is too long),
32 texts in a request unless the server was told otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from freeproviders.testing.services.base import Embedding
from freeproviders.testing.services.embedding import Entry
from freeproviders.testing.services.embedding_body import Cut
from freeproviders.testing.services.embedding_words import Say, Voice
from freeproviders.testing.services.native.base import Call, Models, Native

KEYS: Final = ("inputs", "normalize", "prompt_name", "truncate", "truncation_direction")
_WORDS: Final[Mapping[str, Say]] = {
    "missing": Say("Failed to deserialize the JSON body into the target type: missing field `{given}`", 422),
    "unknown": Say("Failed to deserialize the JSON body into the target type: unknown field `{given}`", 422),
    "input": Say("Failed to deserialize the JSON body into the target type: inputs", 422),
    "empty": Say("`inputs` cannot be empty", 422),
    "batch": Say("batch size {count} > maximum allowed batch size {batch}", 422),
    "window": Say(
        "Input validation error: `inputs` must have less than {window} tokens. Given: {count}", 413
    ),
}


class FeatureExtraction(Native):
    """A text or texts; a list of vectors and nothing else."""

    path: ClassVar = re.compile(
        r"/hf-inference/models/(?P<model>[^/]+(/[^/]+)?)(/pipeline/feature-extraction)?"
    )
    voice: ClassVar = Voice(
        _WORDS,
        lambda status, message: {"error": message, "error_type": "Validation"},  # noqa: ARG005
    )
    any_model: ClassVar = True
    batch: ClassVar = 32
    window: ClassVar = 512

    def judge(self, call: Call, models: Models) -> Embedding:
        """Judge a request. Raises `Refusal`."""
        body, model, voice = call.body, call.named["model"], self.voice
        self.check_keys(body, KEYS)
        facts = models(model)
        if "inputs" not in body:
            voice.refuse("missing", given="inputs")
        direction = body.get("truncation_direction") or "Right"
        if str(direction).lower() not in {"left", "right"}:
            voice.refuse("unknown", given=f"truncation_direction: {direction}")
        cut: Cut = "" if not body.get("truncate") else "start" if str(direction).lower() == "left" else "end"

        def write(entries: Sequence[Entry], tokens: int) -> object:  # noqa: ARG001 - not told here
            return [numbers for _, numbers in entries]

        return self.embedding(
            self.texts(body["inputs"]),
            facts,
            cut,
            write,
            model=model,
            size=facts.size,
            input_type=body.get("prompt_name") or "",
            normalised=body.get("normalize") is True,
        )
