"""Cohere's `POST /v2/embed`.

Sources: the fields are those of the reference of the API (docs.cohere.com/reference/embed) and of
its Python client; the words for too many texts of langchain4j issue 1442, for a missing input type
of cohere-python issue 614. `truncate` is END unless told otherwise. Quantised vectors are no part
of this replica.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from freeproviders.testing.services.base import Embedding
from freeproviders.testing.services.embedding import Entry, in_base64
from freeproviders.testing.services.embedding_body import Cut, size_of, value_of
from freeproviders.testing.services.embedding_rules import COHERE_WORDS
from freeproviders.testing.services.embedding_words import Voice
from freeproviders.testing.services.native.base import Call, Models, Native

KEYS: Final = (
    "model", "texts", "input_type", "embedding_types", "truncate", "output_dimension", "max_tokens",
    "priority",
)  # fmt: skip
PURPOSES: Final = ("search_document", "search_query", "classification", "clustering", "image")
FORMS: Final = ("float", "base64")
CUTS: Final[Mapping[str, Cut]] = {"": "end", "END": "end", "START": "start", "NONE": ""}


class CohereEmbed(Native):
    """Texts with an input type; vectors by their form."""

    path: ClassVar = re.compile(r"(/compatibility)?/v2/embed")
    voice: ClassVar = Voice(COHERE_WORDS, lambda status, message: {"message": message})  # noqa: ARG005
    batch: ClassVar = 96

    def judge(self, call: Call, models: Models) -> Embedding:
        """Judge a request. Raises `Refusal`."""
        body, voice = call.body, self.voice
        self.check_keys(body, KEYS)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            voice.refuse("missing", given="model")
        facts = models(model)
        if "texts" not in body:
            voice.refuse("missing", given="texts")
        if not isinstance(body["texts"], list):
            voice.refuse("input")
        purpose = body.get("input_type")
        if purpose not in PURPOSES or purpose == "image":
            voice.refuse("no type")
        forms = body.get("embedding_types") or ["float"]
        if not isinstance(forms, list) or not all(form in FORMS for form in forms):
            voice.refuse("value", key="embedding_types", given=forms, values=", ".join(FORMS))
        cut = CUTS[value_of(body, "truncate", [*filter(None, CUTS)], voice)]

        def write(entries: Sequence[Entry], tokens: int) -> object:
            vectors = [numbers for _, numbers in entries]
            written = {
                "float": vectors,
                "base64": [None if one is None else in_base64(one) for one in vectors],
            }
            return {
                "id": str(uuid.uuid4()),
                "texts": body["texts"],
                "embeddings": {form: written[form] for form in forms},
                "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": tokens}},
            }

        return self.embedding(
            self.texts(body["texts"]),
            facts,
            cut,
            write,
            model=model,
            size=size_of(body, facts, voice, "output_dimension"),
            input_type=purpose,
        )
