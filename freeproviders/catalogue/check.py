"""Checks of files of services, for their authors: mistakes, effects, and ages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from freeproviders.catalogue import guard, places
from freeproviders.catalogue.places import Source
from freeproviders.catalogue.reading import Row, assembled, built, examined, parsed
from freeproviders.catalogue.rows import Known, Service
from freeproviders.catalogue.shelf import Catalogue, Change, overlaid
from freeproviders.catalogue.words import dated, shown
from freeproviders.errors import CatalogueError


def sources_in(paths: Iterable[Path]) -> list[Source]:
    """List the files of services at some paths, which are files or folders, as a user's own."""
    found = []
    for path in paths:
        files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
        found += [Source(file.stem, file, "user") for file in files]
    return found


def mistakes(source: Source, below: Sequence[Source] = ()) -> list[CatalogueError]:
    """Find every mistake in a file, and in the row that it makes of those `below` it.

    The files below are without mistakes; one with another id does not count.
    """
    file = str(source.path)
    try:
        said, found = examined(places.text_of(source.path), file)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        return [CatalogueError(f"The file cannot be read: {reason}.", file=file)]
    if found:
        return sorted(found, key=lambda mistake: mistake.line or 0)
    own = _own_row(source.id)
    row = own
    for one in below:
        if one.id == source.id:
            row = overlaid(row, parsed(places.text_of(one.path), str(one.path)))
    service, found = assembled(overlaid(row, said), source.id, file)
    if service is None:
        return found
    if source.origin == "package":
        objections = guard.objections_to_package(service, places.own_files())
    else:
        objections = guard.objections_to_user(service, built(own, source.id, "") if own else None)
    return [*found, *(CatalogueError(objection, file=file) for objection in objections)]


def effects(source: Source) -> list[Change]:
    """List what a file changes of the package's own row, one fact each; `before` None is a new one."""
    changes = Catalogue(others=()).changes(source)
    return [fact for one in changes for fact in _differences(one.before, one.after, one.field)]


def readdressed(source: Source) -> Change | None:
    """Return the change of address that a file makes to a service of the package's, None for none."""
    return next((one for one in effects(source) if one.field == "base_url" and one.before), None)


@dataclass(frozen=True, slots=True)
class DatedFact:
    """One dated fact of a service: its name in the file, and where it is from."""

    service: str
    fact: str
    known: Known


def dated_facts(service: Service) -> Iterator[DatedFact]:
    """List the facts of a service that have a date, a fact without one under its service's."""
    yield DatedFact(service.id, "the service", service)
    if service.gone is not None:
        yield DatedFact(service.id, "gone", dated(service, service.gone))
        return
    for limit in service.limit:
        models = f" ({', '.join(limit.models)})" if limit.models else ""
        yield DatedFact(service.id, f"limit: {shown(limit)}{models}", dated(service, limit))
    tables: Mapping[str, Mapping[str, Known]] = {
        "models": service.models,
        "retired": service.retired,
        "embeddings": service.embeddings,
    }
    for name, table in tables.items():
        for key, fact in table.items():
            if fact.checked is not None:
                yield DatedFact(service.id, f"{name}: {key}", dated(service, fact))
    if service.terms.checked is not None:
        yield DatedFact(service.id, "terms", dated(service, service.terms))


def age(fact: Known, today: date) -> int | None:
    """Return the days since a fact was checked, None where no date was recorded."""
    return None if fact.checked is None else (today - fact.checked).days


def _own_row(service_id: str) -> Row:
    path = places.own_files().get(service_id)
    return {} if path is None else parsed(places.text_of(path), str(path))


def _differences(before: Any, after: Any, name: str) -> Iterator[Change]:
    if isinstance(before, dict | None) and isinstance(after, dict):
        below = before or {}
        for key, value in after.items():
            if below.get(key) != value:
                yield from _differences(below.get(key), value, f"{name}.{key}")
    elif _is_list_of_tables(before) and _is_list_of_tables(after):
        gone = [one for one in before or () if one not in after]
        for one in after:
            if one not in (before or ()):
                same = next((old for old in gone if _alike(old, one)), None)
                where = f"{name} {_title(one)}"
                yield from [Change(where, None, one)] if same is None else _differences(same, one, where)
    else:
        yield Change(name, before, after)


def _is_list_of_tables(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(one, dict) for one in value))


def _alike(one: Row, other: Row) -> bool:
    """Whether two limits are one fact; overlaid the same way as `shelf.overlaid` does."""
    return "metric" in one and overlaid({"limit": [one]}, {"limit": [other]})["limit"] == [other]


def _title(row: Row) -> str:
    """Name a limit or a sign."""
    words = (row.get("metric") or row.get("kind"), row.get("per"), *row.get("models", ()))
    return f"({' '.join(str(word) for word in words if word)})"
