"""Names of models, as services write them."""

from __future__ import annotations


def tail(model: str) -> str:
    """Return a model's name without what services put before and behind it."""
    name = model.rpartition("/")[2].lower()
    head, _, behind = name.partition(":")
    # Ollama writes sizes behind a colon (gpt-oss:120b), others how a model is served (:free).
    return f"{head}-{behind}" if behind[:1].isdigit() else head
