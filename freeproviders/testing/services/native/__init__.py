"""The protocols of their own in which services take requests for vectors.

They are at other paths of the same server than the OpenAI protocol. A key that no protocol knows is
refused, but where the service is known to ignore it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from freeproviders.testing.services.native.base import Native
from freeproviders.testing.services.native.cloudflare import CloudflareRun
from freeproviders.testing.services.native.cohere import CohereEmbed
from freeproviders.testing.services.native.gemini import GeminiEmbed
from freeproviders.testing.services.native.huggingface import FeatureExtraction
from freeproviders.testing.services.native.llamacpp import LlamaCppEmbedding
from freeproviders.testing.services.native.ollama import OllamaEmbed

NATIVES: Final[Mapping[str, Native]] = {
    "cloudflare": CloudflareRun(),
    "cohere": CohereEmbed(),
    "gemini": GeminiEmbed(),
    "huggingface": FeatureExtraction(),
    "llamacpp": LlamaCppEmbedding(),
    "llamafile": LlamaCppEmbedding(),
    "ollama": OllamaEmbed(),
    "ollama-cloud": OllamaEmbed(),
}
"""By the name of a row."""
