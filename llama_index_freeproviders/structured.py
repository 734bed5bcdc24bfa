"""Structured prediction."""

from __future__ import annotations

from llama_index.core.llms.function_calling import FunctionCallingLLM


class StructuredPrediction(FunctionCallingLLM):
    """To come."""
