"""The LlamaIndex embedding model over several sources of one family."""

from __future__ import annotations

from typing import Any

from llama_index.core.embeddings.loading import load_embed_model
from pydantic import Field, field_serializer, field_validator

from freeproviders.consent import Privacy
from freeproviders.embeddings.chosen import FreeProvidersEmbedder
from freeproviders.errors import UsageError
from llama_index_freeproviders.embeddings.base import CoreEmbedding


class FreeProvidersEmbedding(CoreEmbedding):
    """Vectors of one family from several sources: the next one is asked where one fails.

    Members are embedding models of this package, or services by name: "gemini",
    "nvidia/baai/bge-m3", "offline". `family` names a family of the catalogue in place of members,
    as "bge-m3". Without either it is the offline floor, since an index must not change its family
    with the environment.

    Examples:
        ```python
        from freeproviders import OpenAICompatible
        from freeproviders.testing import replica
        from llama_index.embeddings.freeproviders import FreeProvidersEmbedding, OpenAICompatibleEmbedding

        faults = {"status": 503, "on": "embeddings"}
        with replica(OpenAICompatible, faults=faults) as busy, replica(OpenAICompatible) as other:
            members = [
                OpenAICompatibleEmbedding("m", base_url=server.base_url, family="our-model")
                for server in (busy, other)
            ]
            embed_model = FreeProvidersEmbedding(*members)
            print(len(embed_model.get_text_embedding("A cat.")), embed_model.fingerprint)
        ```
    """

    members: list[Any] = Field(
        default_factory=list, description="Embedding models of this package, or services by name, in order."
    )
    family: str | None = Field(
        default=None, description="A family of the catalogue by name, in place of members."
    )
    confirmed: list[str] = Field(
        default_factory=list,
        description="Services whose accounts you have confirmed to be free ones, for `family`.",
    )
    privacy: Privacy = Field(
        default="no-training",
        description=(
            "For services found by `family`: 'no-training' leaves out those that train on texts, 'local' all "
            "that are not on this machine."
        ),
    )

    def __init__(self, *members: CoreEmbedding | str, **fields: Any) -> None:
        if members and fields.get("members"):
            raise UsageError("Pass members by place or by name, not both.", provider=type(self).__name__)
        super().__init__(**({**fields, "members": list(members)} if members else fields))

    @classmethod
    def class_name(cls) -> str:
        """The name under which the class is saved and found again."""
        return "freeproviders_embedding"

    @field_validator("members")
    @classmethod
    def _loaded_members(cls, members: list[Any]) -> list[Any]:
        return [load_embed_model(member) if isinstance(member, dict) else member for member in members]

    @field_serializer("members")
    def _saved_members(self, members: list[CoreEmbedding | str]) -> list[Any]:
        return [member if isinstance(member, str) else member.to_dict() for member in members]

    def _made_embedder(self) -> FreeProvidersEmbedder:
        for member in self.members:
            if not isinstance(member, CoreEmbedding | str):
                raise UsageError(
                    "A member is an embedding model of this package or the name of a service, not "
                    f"{member!r:.200}.",
                    provider=type(self).__name__,
                )
        return FreeProvidersEmbedder(
            *[member if isinstance(member, str) else member.core for member in self.members],
            family=self.family,
            confirmed=self.confirmed,
            privacy=self.privacy,
        )
