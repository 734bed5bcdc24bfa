"""The models that services listed when they were asked, kept with the date.

`services/<id>.json` in the cache folder is what `/models` of a service told. It is written by
`freeproviders models --service <id> --refresh`, and by nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkstemp
from typing import NamedTuple

from freeproviders.catalogue.places import text_of
from freeproviders.catalogue.rows import Retired, Service
from freeproviders.folders import cache_dir


class Listed(NamedTuple):
    """The models that a service listed: when, at which address, and which."""

    at: datetime
    base_url: str
    models: tuple[str, ...]


def path_of(service_id: str) -> Path:
    """Return the path that the list of a service has, or will have."""
    return cache_dir() / "services" / f"{service_id}.json"


def listed_at(row: Service, base_url: str = "") -> Listed | None:
    """Return the last list of a service at an address, the row's own if left out; None for none.

    A file is read once in a process.
    """
    found = _read(path_of(row.id))
    return found if found is not None and found.base_url == (base_url or row.base_url) else None


def is_listed_since(row: Service, model: str, gone: Retired) -> bool:
    """Return whether the service has listed a model since its row was told that it is gone."""
    found = listed_at(row)
    if found is None or model not in found.models:
        return False
    day = found.at.date()
    told = max(gone.checked or gone.on, min(gone.on, datetime.now(UTC).date()))
    return day >= told


def keep(row: Service, base_url: str, models: Iterable[object]) -> Listed:
    """Keep the list that a service has just told, readable for its user alone. Raises `OSError`.

    The file is whole or not there: it takes its name when it is written.
    """
    names = tuple(dict.fromkeys(_plain(name) for name in models if isinstance(name, str) and name))
    found = Listed(datetime.now(UTC).replace(microsecond=0), base_url, names)
    path = path_of(row.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"at": found.at.isoformat(), "base_url": base_url, "models": list(names)}
    descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{row.id}-")  # of mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file, ensure_ascii=False, indent=1)
        Path(temporary).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise
    _read.cache_clear()
    return found


@cache
def _read(path: Path) -> Listed | None:
    """Read a list; one that is missing, damaged or written by another program counts as none."""
    try:
        document = json.loads(text_of(path))
        at = datetime.fromisoformat(document["at"])
        names = tuple(name for name in document["models"] if isinstance(name, str))
        return Listed(at.astimezone(UTC), str(document["base_url"]), names)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _plain(name: str) -> str:
    """Return a model's name without Gemini's folder, which its requests do without."""
    return name.removeprefix("models/")
