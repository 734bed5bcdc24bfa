"""Reading of a service's file: TOML in, a validated row out, or an error with file and line."""

from __future__ import annotations

import re
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, timedelta
from functools import cache
from math import inf
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from pydantic_core import SchemaValidator, ValidationError

from freeproviders.catalogue.families import of_family
from freeproviders.catalogue.rows import Service, seconds_of
from freeproviders.catalogue.words import shown
from freeproviders.errors import CatalogueError

_GIVEN: Final = frozenset({"id", "file"})
"""Fields of a service that its file does not hold."""
ID: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_CLOCKS_DIFFER: Final = timedelta(days=1)

Row = dict[str, Any]
Loc = tuple[int | str, ...]


def parsed(text: str, file: str) -> Row:
    """Read a file's text as plain data, its fields checked one by one.

    Raises `CatalogueError` with the line for what is no TOML, for an unknown field, and for a value
    that does not fit; `examined` finds all of them.
    """
    row, mistakes = examined(text, file)
    for mistake in mistakes:
        raise mistake
    return row


def examined(text: str, file: str) -> tuple[Row, list[CatalogueError]]:
    """Read a file's text as plain data; return it with every mistake in its fields."""
    try:
        row = _loaded(text, file)
    except CatalogueError as error:
        return {}, [error]
    mistakes: list[CatalogueError] = []
    sound = row
    try:
        _fields_of_a_file().validate_python(_with_families(row))
    except ValidationError as error:
        mistakes = _explained(error, text, file)
        unsound = {finding["loc"][0] for finding in error.errors()}
        sound = {name: value for name, value in row.items() if name not in unsound}
    mistakes += [CatalogueError(wrong, file=file, line=line_of(text, loc)) for loc, wrong in _faults(sound)]
    return row, mistakes


def whole(text: str, service_id: str, path: str) -> Service:
    """Read the file of a whole service of this package, whose fields are checked once."""
    row = _loaded(text, path)
    service, mistakes = assembled(row, service_id, "", text)
    for mistake in mistakes:
        raise mistake
    for loc, wrong in _faults(row):
        raise CatalogueError(wrong, file=path, line=line_of(text, loc))
    assert service is not None  # noqa: S101 - there would be a mistake
    return service


def built(row: Row, service_id: str, file: str) -> Service:
    """Make a service of the data of its file. Raises `CatalogueError` for what the whole lacks."""
    service, mistakes = assembled(row, service_id, file)
    for mistake in mistakes:
        raise mistake
    assert service is not None  # noqa: S101 - there would be a mistake
    return service


def assembled(
    row: Row, service_id: str, file: str, text: str = ""
) -> tuple[Service | None, list[CatalogueError]]:
    """Make a service of the data of its file; return it, where it can be made, with every mistake.

    `text` is the file's, where it is of one, so that mistakes have their lines.
    """
    if ID.fullmatch(service_id) is None:
        wrong = "A service's id is its file's name, of small letters, digits and hyphens; this is"
        return None, [CatalogueError(f"{wrong} {service_id!r}.", file=file)]
    try:
        whole = {**_with_families(row), "id": service_id, "file": file}
        service: Service = _whole_service().validate_python(whole)
    except ValidationError as error:
        return None, _explained(error, text, file)
    return service, [CatalogueError(wrong, file=file) for wrong in _contradictions(service)]


def _with_families(row: Row) -> Row:
    """Fill in what lines of embedding models leave to their families and to the service."""
    lines = row.get("embeddings")
    if not isinstance(lines, Mapping):
        return row
    of_all = {"dialect": row["embedding_dialect"]} if "embedding_dialect" in row else {}
    filled = {
        name: {**of_family(str(line.get("family"))), **of_all, **line} if isinstance(line, Mapping) else line
        for name, line in lines.items()
    }
    return {**row, "embeddings": filled}


def _loaded(text: str, file: str) -> Row:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise CatalogueError(
            f"This is no TOML: {error}.", file=file, line=int(line[1]) if line else None
        ) from None


def line_of(text: str, loc: Iterable[int | str]) -> int:
    """Return the line, counted from 1, of a place in a TOML text, as near as it can be found."""
    lines, at, found = text.splitlines(), 0, 0
    for part in loc:
        if isinstance(part, int):
            items = [n for n in range(at, len(lines)) if lines[n].lstrip().startswith(("{", "[["))]
            if part >= len(items):
                break
            at = found = items[part]
            continue
        key = re.compile(rf"""(?:^|[\s{{,.\[])["']?{re.escape(part)}["']?\s*(?:=|\]|\.)""")
        hits = [n for n in range(at, len(lines)) if key.search(lines[n])]
        if not hits:
            break
        at = found = hits[0]
    return found + 1


# --- what a field may hold ------------------------------------------------------------------------


@cache
def _fields_of_a_file() -> SchemaValidator:
    """Check the fields of one file, which may be a part of a row: nothing is required."""
    return SchemaValidator(_table(Service, leave_out=_GIVEN, partial=True))


@cache
def _whole_service() -> SchemaValidator:
    return SchemaValidator(_made(Service))


def _schema(hint: Any) -> Any:
    """Return pydantic-core's schema for the type of a field."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        inner = [argument for argument in arguments if argument is not type(None)]
        choice = _schema(inner[0]) if len(inner) == 1 else _union(inner)
        return {"type": "nullable", "schema": choice} if len(inner) < len(arguments) else choice
    if origin is Literal:
        return {"type": "literal", "expected": list(arguments)}
    if origin is tuple:
        return {"type": "tuple", "items_schema": [_schema(arguments[0])], "variadic_item_index": 0}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "dict", "keys_schema": {"type": "str"}, "values_schema": _schema(arguments[1])}
    if is_dataclass(hint):
        return _made(hint)  # type: ignore[arg-type]  # a class, not an instance
    names = {str: "str", int: "int", float: "float", bool: "bool", date: "date"}
    return {"type": names[hint], "strict": True} if hint in names else {"type": "any"}


def _union(hints: Iterable[Any]) -> Any:
    return {"type": "union", "choices": [_schema(hint) for hint in hints]}


@cache
def _made(cls: type[Any]) -> Any:
    """Return a schema that checks a table and makes a dataclass of it."""
    make: Callable[[Row], Any] = lambda row: cls(**row)  # noqa: E731 - one expression
    return {
        "type": "function-after",
        "function": {"type": "no-info", "function": make},
        "schema": _table(cls),
    }


def _table(cls: type[Any], leave_out: frozenset[str] = frozenset(), *, partial: bool = False) -> Any:
    hints = get_type_hints(cls)
    return {
        "type": "typed-dict",
        "extra_behavior": "forbid",
        "fields": {
            one.name: {
                "type": "typed-dict-field",
                "schema": _schema(hints[one.name]),
                "required": not partial and one.default is MISSING and one.default_factory is MISSING,
            }
            for one in fields(cls)
            if one.name not in leave_out
        },
    }


def _explained(error: ValidationError, text: str, file: str) -> list[CatalogueError]:
    """Say what each finding is, and where."""
    return [_of_finding(dict(finding), text, file) for finding in error.errors(include_url=False)]


def _of_finding(finding: Mapping[str, Any], text: str, file: str) -> CatalogueError:
    loc = tuple(part for part in finding["loc"] if not str(part).startswith("function-"))
    where, name = ".".join(str(part) for part in loc), loc[-1] if loc else ""
    if finding["type"] == "extra_forbidden":
        what = f"There is no field {name!r}{_meant(loc)}"
    elif finding["type"] == "missing":
        what = f"The field {where} is missing"
    else:
        what = f"{where}: {finding['msg'].replace('tuple', 'list')}, not {finding['input']!r}"
    return CatalogueError(f"{what}.", file=file, line=line_of(text, loc) if text else None)


def _meant(loc: Loc) -> str:
    """Suggest the field that an unknown one may be meant to be."""
    from difflib import get_close_matches  # noqa: PLC0415 - for mistakes only

    cls: Any = Service
    for part in loc[:-1]:
        if not is_dataclass(cls):
            break
        if isinstance(part, str) and part in get_type_hints(cls):
            hint = get_type_hints(cls)[part]
            inner = [argument for argument in get_args(hint) if is_dataclass(argument)]
            cls = inner[0] if inner else hint
    known = [one.name for one in fields(cls)] if is_dataclass(cls) else []
    near = get_close_matches(str(loc[-1]), known, 1)
    return f": is {near[0]!r} meant" if near else f" among {', '.join(known)}" if known else ""


# --- what belongs together ------------------------------------------------------------------------


def _faults(row: Row) -> Iterator[tuple[Loc, str]]:
    """Find what single fields cannot show; the first part of each pair is the place."""
    dated: list[tuple[Loc, Row]] = [((), row)]
    for name in ("models", "retired", "embeddings"):
        dated += [((name, key), value) for key, value in row.get(name, {}).items()]
    dated += [(("limit", n), value) for n, value in enumerate(row.get("limit", ()))]
    dated += [((name,), row[name]) for name in ("terms", "gone") if name in row]
    tomorrow = date.today() + _CLOCKS_DIFFER  # noqa: DTZ011 - a day is a day, in any zone
    for loc, table in dated:
        if "checked" in table and table["checked"] > tomorrow:
            yield (*loc, "checked"), f"checked is in the future: {table['checked']}."
    if not 0 < row.get("transit", 1) < inf:
        yield ("transit",), "transit must be a number of seconds above 0."
    for n, limit in enumerate(row.get("limit", ())):
        if limit["metric"] == "concurrency":
            continue
        try:
            seconds_of(limit.get("per", ""))
        except ValueError as error:
            yield ("limit", n, "per"), f"per: {error}"


def _contradictions(service: Service) -> Iterator[str]:
    """Find what the parts of a whole row say against each other."""
    if service.gone is not None:
        return
    known = service.models
    for name in (service.default_model, *service.fallback_models):
        if name and known and name not in known and "*" not in known:
            yield f"{name!r} is a default or fallback model, and no line of [models] names it."
        if name in service.retired:
            yield f"{name!r} is a default or fallback model, and [retired] too."
    if not service.checked or not service.source:
        yield "A service must say when it was checked, and its source."
    for limit in service.limit:
        if (limit.checked or service.checked) is None or not (limit.source or service.source):
            yield f"The limit of {shown(limit)} has no date or no source."
