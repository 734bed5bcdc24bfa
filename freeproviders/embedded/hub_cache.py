"""Files that the package huggingface_hub has fetched before, found in its cache by their SHA-256."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from freeproviders.embedded.weights import HubFile, Weights


def places(weights: Weights, environment: Mapping[str, str] = os.environ) -> Iterator[Path]:
    """List where that package would have put a model's file; whether it is there is not looked at.

    Its cache holds `models--<owner>--<name>/blobs/<sha256>`, and names for it under `snapshots/`.
    """
    root = _root(environment)
    for source in weights.sources:
        if isinstance(source, HubFile):
            folder = root / f"models--{source.repo.replace('/', '--')}"
            yield folder / "blobs" / weights.sha256
            yield folder / "snapshots" / source.revision / source.file


def found(weights: Weights) -> Path | None:
    """Return a file of the model's size in that cache, whose bytes are still to be checked."""
    for path in places(weights):
        try:
            if path.is_file() and path.stat().st_size == weights.size:
                return path
        except OSError:
            continue
    return None


def _root(environment: Mapping[str, str]) -> Path:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if value := environment.get(name, "").strip():
            return Path(value).expanduser()
    if home := environment.get("HF_HOME", "").strip():
        return Path(home).expanduser() / "hub"
    cache = environment.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"
