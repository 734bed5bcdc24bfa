"""What a caller may say of a model that the catalogue does not know, or knows in another way."""

from __future__ import annotations

from pydantic import Field

from llama_index_freeproviders.fields import CoreFields


class ModelFields(CoreFields):
    """The family of a model's vectors, and what it wants before each text."""

    family: str | None = Field(
        default=None,
        description=(
            "The name under which vectors of this model may be compared with those of other sources; None "
            "is the catalogue's or the file's."
        ),
    )
    query_prefix: str | None = Field(
        default=None, description="Put before each query; None is what is known of the model."
    )
    document_prefix: str | None = Field(
        default=None, description="Put before each document; None is what is known of the model."
    )
