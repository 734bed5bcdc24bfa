"""Gemini's `models/{model}:embedContent` and `:batchEmbedContents`.

Sources: the fields are those of the reference of the API (ai.google.dev/api/embeddings) and of the
client google-genai; the words for too many texts of gel issue 9032, for an empty one of
lingfengQAQ/webnovel-writer pull 51. The key is in `x-goog-api-key` or `?key=`; a bearer token would
be another account's. A text that is too long is cut without a word, as the same model does by
default at Vertex. A vector that is shorter than the whole one has not the length 1. Each text counts
as a request in the limits (garrytan/gbrain pull 1922).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, Final

from freeproviders.testing.record import RecordedRequest
from freeproviders.testing.services.base import Embedding
from freeproviders.testing.services.embedding import Entry
from freeproviders.testing.services.embedding_body import size_of
from freeproviders.testing.services.embedding_rules import GEMINI_WORDS
from freeproviders.testing.services.embedding_words import Voice
from freeproviders.testing.services.native.base import Call, Models, Native

KEYS: Final = frozenset({"model", "content", "taskType", "title", "outputDimensionality"})
PURPOSES: Final = (
    "TASK_TYPE_UNSPECIFIED", "RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT", "SEMANTIC_SIMILARITY",
    "CLASSIFICATION", "CLUSTERING", "QUESTION_ANSWERING", "FACT_VERIFICATION", "CODE_RETRIEVAL_QUERY",
)  # fmt: skip
_STATUS: Final = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}


def _error(status: int, message: str) -> object:
    word = _STATUS.get(status) or HTTPStatus(status).name
    return {"error": {"code": status, "message": message, "status": word}}


class GeminiEmbed(Native):
    """One content, or a list of requests."""

    path: ClassVar = re.compile(
        r"/v1(beta)?/models/(?P<model>[^/:]+):(?P<verb>embedContent|batchEmbedContents)"
    )
    voice: ClassVar = Voice(GEMINI_WORDS, _error)
    unwraps: ClassVar = True
    batch: ClassVar = 100
    window: ClassVar = 2048

    def key(self, request: RecordedRequest) -> str:
        """Return the key of a request, "" for none."""
        return request.headers.get("x-goog-api-key") or request.query.get("key", "")

    def judge(self, call: Call, models: Models) -> Embedding:
        """Judge a request. Raises `Refusal`."""
        model, voice = call.named["model"], self.voice
        facts = models(model)
        one = call.named["verb"] == "embedContent"
        if not one:
            self.check_keys({_camel(key): 0 for key in call.body}, {"requests"})
        requests = [call.body] if one else call.body.get("requests")
        if not isinstance(requests, list) or not requests:
            voice.refuse("missing")
        contents = [self._content(request, model, n, one=one) for n, request in enumerate(requests)]
        purposes = {content[1] for content in contents}
        sizes = {size_of({"size": content[2]}, facts, voice, "size") for content in contents}
        if len(purposes) > 1 or len(sizes) > 1:
            voice.say(400, "This replica takes one taskType and one outputDimensionality in a request.")
        (purpose,), (size,) = purposes, sizes

        def write(entries: Sequence[Entry], tokens: int) -> object:  # noqa: ARG001 - not told here
            vectors = [{"values": numbers} for _, numbers in entries]
            return {"embedding": vectors[0] if vectors else None} if one else {"embeddings": vectors}

        return self.embedding(
            [content[0] for content in contents],
            facts,
            "end",
            write,
            model=model,
            size=size,
            input_type="" if purpose == PURPOSES[0] else purpose,
            normalised=facts.normalised and size == facts.size,
            requests=len(contents),
        )

    def _content(self, request: Any, model: str, n: int, *, one: bool) -> tuple[str, str, Any]:
        """Read the text, the task and the size of one request."""
        voice = self.voice
        if not isinstance(request, Mapping):
            voice.say(400, f"Invalid value at 'requests[{n}]'.")
        request = {_camel(key): value for key, value in request.items()}
        self.check_keys(request, KEYS, where="" if one else f"requests[{n}].")
        named = request.get("model", None if not one else f"models/{model}")
        if named != f"models/{model}":
            voice.say(
                400,
                f"* BatchEmbedContentsRequest.requests[{n}].model: model is not specified or differs from "
                f"models/{model}\n",
            )
        purpose = request.get("taskType") or PURPOSES[0]
        if purpose not in PURPOSES:
            voice.refuse("value", key="task_type", given=purpose)
        if request.get("title") is not None and purpose != "RETRIEVAL_DOCUMENT":
            voice.say(400, "Title is only applicable when TaskType is RETRIEVAL_DOCUMENT.")
        content = request.get("content")
        parts = content.get("parts") if isinstance(content, Mapping) else None
        parts = [parts] if isinstance(parts, Mapping) else parts  # a list of one may be written as that one
        if not isinstance(parts, list) or not parts:
            voice.say(400, "* EmbedContentRequest.content: contents is not specified\n")
        texts = [part.get("text") if isinstance(part, Mapping) else None for part in parts]
        if not all(isinstance(text, str) and text for text in texts):
            voice.refuse("empty")
        return "\n".join(map(str, texts)), str(purpose), request.get("outputDimensionality")


def _camel(key: str) -> str:
    """Write a key as Google does, which takes it with underscores too."""
    first, *others = key.split("_")
    return first + "".join(map(str.capitalize, others))
