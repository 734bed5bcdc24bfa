"""Services and servers that speak the OpenAI dialect with words of their own."""

from __future__ import annotations

from typing import Any

from freeproviders.wire.embeddings.dialect import Dialect
from freeproviders.wire.embeddings.facts import Facts
from freeproviders.wire.embeddings.request import EmbeddingRequest


class Mistral(Dialect):
    """Mistral calls the size by another name.

    Source: docs.mistral.ai/api/endpoint/embeddings. A text that is too long is refused.
    """

    name = "mistral"
    truncation = "never"

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request; see `Dialect.written`."""
        path, body = super().written(request, facts)
        if request.size is not None and "dimensions" not in request.options:
            body.setdefault("output_dimension", body.pop("dimensions"))
        return path, body


class Nvidia(Dialect):
    """NVIDIA's NIM is told what to do with a text that is too long.

    Source: docs.nvidia.com/nim/nemo-retriever/text-embedding, its API reference.
    """

    name = "nvidia"
    truncation = "asked"

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request; see `Dialect.written`."""
        path, body = super().written(request, facts)
        return path, {"truncate": "END" if request.truncate else "NONE", **body}


class Vllm(Dialect):
    """vLLM cuts a text at the model's window where -1 is sent, and refuses it where nothing is.

    Source: vllm/entrypoints/pooling in vllm-project/vllm. Base64 is not asked for: versions before
    0.6 refuse it, or send 64 bits (issues 6174 and 6744).
    """

    name = "vllm"
    truncation = "asked"

    def written(self, request: EmbeddingRequest, facts: Facts | None = None) -> tuple[str, dict[str, Any]]:
        """Write a request; see `Dialect.written`."""
        path, body = super().written(request, facts)
        return path, {"truncate_prompt_tokens": -1, **body} if request.truncate else body


class LlamaCpp(Dialect):
    """llama.cpp's server refuses a text that is longer than its physical batch.

    Source: tools/server in ggml-org/llama.cpp; base64: its issue 10887.
    """

    name = "llamacpp"
    base64 = True
    truncation = "never"
