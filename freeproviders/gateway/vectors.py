"""`/v1/embeddings`: the vectors of a client's texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from freeproviders.errors import BadTextsError, FreeProvidersError
from freeproviders.gateway.refusals import Refusal
from freeproviders.gateway.served import vectors_id
from freeproviders.wire.openai.asked import FieldError
from freeproviders.wire.openai.vectors import VectorsAsked, vectors_document

if TYPE_CHECKING:
    from freeproviders.embeddings.embedder import Embedder

WAIT_SECONDS = 60.0
"""How long a request waits for room in a limit, before the client is told when to come back."""


async def vectors(embedder: Embedder, asked: VectorsAsked) -> tuple[bytes, int]:
    """Make the vectors; return the answer's document, and how many tokens it took.

    Raises `Refusal` and errors of the core.
    """
    _check_size(embedder, asked)
    try:
        made = await embedder.embed(asked.texts, role=asked.role, wait_up_to=WAIT_SECONDS)
    except BadTextsError as error:
        raise _of_a_text(error) from error
    _check_size(embedder, asked)  # of an unknown model the first vectors tell it
    more = {
        "family": made.family.fingerprint,
        "truncated": list(made.truncated),
        "usage_estimated": made.usage.estimated,
    }
    if asked.ignored:
        more["ignored"] = list(asked.ignored)
    tokens = made.usage.input_tokens
    document = vectors_document(
        made.vectors, vectors_id(embedder), tokens, base64=asked.base64, freeproviders=more
    )
    return document, tokens


def _check_size(embedder: Embedder, asked: VectorsAsked) -> None:
    size = embedder.family.size
    if asked.size is not None and size is not None and asked.size != size:
        raise FieldError(
            f"dimensions={asked.size} is not what is made here: vectors of {vectors_id(embedder)} have "
            f"{size}. Leave dimensions out, or start the gateway with --dimensions.",
            param="dimensions",
        )


def _of_a_text(error: BadTextsError) -> FreeProvidersError | Refusal:
    """Write an error about single texts as one about the first of them."""
    for place, why in sorted(error.errors.items()):
        return Refusal(400, f"input[{place}]: {why}", code="invalid_request", param="input")
    return error
