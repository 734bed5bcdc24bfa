"""The catalogue: every service by its id, read when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from freeproviders.catalogue import guard, places
from freeproviders.catalogue.places import Source
from freeproviders.catalogue.reading import ID, Row, built, parsed, whole
from freeproviders.catalogue.rows import Service
from freeproviders.errors import CatalogueError, UnknownServiceError

_ONE_FACT: Final = ("metric", "per", "scope", "models", "by", "keyless")
"""What makes two limits one fact, of which the later counts."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field in which a file differs from the row under it; `before` None is a new one."""

    field: str
    before: Any
    after: Any


class Catalogue:
    """Services by id.

    Args:
        own: files of the package, by id; None is those that are shipped.
        others: files that go on top, the last one wins; None finds those of other packages and of
            the user.

    A file is read when its service is asked for, and only once. Folders are listed only for a name
    that is no id, and for all of them.
    """

    def __init__(self, own: Mapping[str, Path] | None = None, others: Iterable[Source] | None = None) -> None:
        self._own_given = None if own is None else dict(own)
        self._given = None if others is None else list(others)
        self._services: dict[str, Service] = {}

    def service(self, name: str) -> Service:
        """Return a service by its id or name, in any case and with any hyphens.

        Raises:
            UnknownServiceError: there is none of that name.
            CatalogueError: its file cannot be read, or names what it must not.
        """
        found = self._services.get(name)
        if found is None:
            service_id = name if self.has(name) else self._id_of(name)
            found = self._services.get(service_id) or self._read(service_id)
            self._services[service_id] = self._services[name] = found
        return found

    @property
    def ids(self) -> list[str]:
        """The ids of all services, tombstones among them."""
        return sorted({*self._own, *(source.id for source in self._others)})

    @property
    def is_listed(self) -> bool:
        """Whether the folders with files of services have been listed, which takes time."""
        return self._given is not None or "_others" in self.__dict__

    @property
    def added(self) -> list[str]:
        """The ids of services of which other packages or the user have files."""
        return list(dict.fromkeys(source.id for source in self._others))

    def __iter__(self) -> Iterator[Service]:
        """Every service, tombstones among them, by id."""
        return (self.service(name) for name in self.ids)

    def __repr__(self) -> str:
        return f"Catalogue({len(self.ids)} services)"

    def _repr_html_(self) -> str:
        from freeproviders import display  # noqa: PLC0415 - only a display needs it

        return display.table([service.cells() for service in self])

    def files_of(self, service_id: str) -> list[Source]:
        """List the files that a service is made of, the later on top of the earlier."""
        own = [Source(service_id, self._own[service_id], "own")] if service_id in self._own else []
        return own + [source for source in self._others if source.id == service_id]

    def changes(self, source: Source) -> list[Change]:
        """List what a file changes of the package's own row; everything, where there is none."""
        row = self._row_of(source)
        below = self._row_of_own(source.id) if source.id in self._own else {}
        after = overlaid(below, row)
        return [
            Change(name, below.get(name), after[name]) for name in row if below.get(name) != after.get(name)
        ]

    def has(self, service_id: str) -> bool:
        """Return whether there is a file of this very id, of ours or of the user's."""
        if ID.fullmatch(service_id) is None:
            return False
        return self._own_path(service_id) is not None or bool(self._users_of(service_id))

    def _own_path(self, service_id: str) -> Path | None:
        if self._own_given is not None:
            return self._own_given.get(service_id)
        path = places.own_path(service_id)
        return path if places.is_there(path) else None

    def _users_of(self, service_id: str) -> list[Source]:
        if self._given is not None:
            return [source for source in self._given if (source.id, source.origin) == (service_id, "user")]
        paths = places.user_paths(service_id)
        return [Source(service_id, path, "user") for path in paths if places.is_there(path)]

    @cached_property
    def _own(self) -> dict[str, Path]:
        return places.own_files() if self._own_given is None else self._own_given

    @cached_property
    def _users(self) -> list[Source]:
        found = places.user_files() if self._given is None else self._given
        return [source for source in found if source.origin == "user"]

    @cached_property
    def _others(self) -> list[Source]:
        if self._given is not None:
            return self._given
        return [*places.package_files(), *self._users]

    def _id_of(self, name: str) -> str:
        """Find an id by what a caller wrote."""
        wanted = _squeezed(name)
        for one in self._ids_in_turn():
            if _squeezed(one) == wanted:
                return one
        near = get_close_matches(name.lower(), self.ids, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise UnknownServiceError(
            f"There is no service {name!r}. {hint}`freeproviders catalogue` lists them, and a file of your "
            "own adds one."
        )

    def _ids_in_turn(self) -> Iterator[str]:
        """Every id; other packages, which take long to find, are looked for last."""
        yield from self._own
        yield from (source.id for source in self._users)
        yield from self.ids

    def _read(self, service_id: str) -> Service:
        row: Row = {}
        original: Service | None = None
        path = self._own_path(service_id)
        if path is not None:
            original = whole(places.text_of(path), service_id, str(path))
            _refuse(guard.objections_to_own(original), str(path))
        files = self._users_of(service_id)
        if original is None and not any("base_url" in self._row_of(source) for source in files):
            files = [source for source in self._others if source.id == service_id]
        if path is not None and files:
            row = self._row_of(Source(service_id, path, "own"))
        service = original
        for source in files:
            file = str(source.path)
            row = overlaid(row, self._row_of(source))
            service = built(row, service_id, file)
            if source.origin == "package":
                _refuse(guard.objections_to_package(service, self._own), file)
            else:
                _refuse(guard.objections_to_user(service, original), file)
        assert service is not None  # noqa: S101 - `_id_of` has found a file
        return service

    def _row_of_own(self, service_id: str) -> Row:
        return self._row_of(Source(service_id, self._own[service_id], "own"))

    def _row_of(self, source: Source) -> Row:
        return parsed(places.text_of(source.path), str(source.path))


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> Row:
    """Put one row on top of another: single fields replace, tables and lists are put together.

    A limit replaces one of the same kind, a sign is looked at before those below.
    """
    row = dict(below)
    for name, value in above.items():
        under = row.get(name)
        if isinstance(value, dict) and isinstance(under, dict):
            row[name] = {**under, **value}
        elif name == "limit" and under:
            said = [[one.get(key) for key in _ONE_FACT] for one in value]
            row[name] = [
                *(one for one in under if [one.get(key) for key in _ONE_FACT] not in said),
                *value,
            ]
        elif name == "error" and under:
            row[name] = [*value, *under]
        else:
            row[name] = value
    return row


def _refuse(objections: Iterable[str], file: str) -> None:
    for objection in objections:
        raise CatalogueError(objection, file=file)


def _squeezed(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace(" ", "").replace(".", "")
