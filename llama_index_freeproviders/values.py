"""LlamaIndex's own objects as JSON and back, by a list of classes; nothing is imported to read one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from llama_index.core import schema
from llama_index.core.base.base_selector import MultiSelection, SingleSelection
from llama_index.core.base.response.schema import PydanticResponse, Response

from freeproviders.answers.values import Values, named

_CLASSES: Final[dict[str, type[Any]]] = {
    f"llama_index.{cls.__name__}": cls
    for cls in (
        MultiSelection,
        PydanticResponse,
        Response,
        SingleSelection,
        schema.Document,
        schema.ImageDocument,
        schema.ImageNode,
        schema.IndexNode,
        schema.MediaResource,
        schema.Node,
        schema.NodeRelationship,
        schema.NodeWithScore,
        schema.ObjectType,
        schema.QueryBundle,
        schema.RelatedNodeInfo,
        schema.TextNode,
    )
}


def values_of(types: Iterable[type[Any]] = ()) -> Values:
    """Return how values are kept: LlamaIndex's responses and nodes, and given classes."""
    return Values({**named(types), **_CLASSES})
