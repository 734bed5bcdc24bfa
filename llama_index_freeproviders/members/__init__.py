"""Any LlamaIndex LLM as a backend of the core, so that a router may have it as a member."""

from llama_index_freeproviders.members.backend import as_backend

__all__ = ["as_backend"]
