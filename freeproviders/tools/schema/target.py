"""The target of a typed answer: a pydantic class, TypedDict, dataclass or JSON schema."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from freeproviders.errors import UsageError
from freeproviders.tools.schema.coerce import resolved
from freeproviders.tools.schema.faults import check_schema
from freeproviders.tools.schema.validate import MAX_FINDINGS, SchemaCheck
from freeproviders.types import FromClass
from freeproviders.wire.json import dumps


class Misfit(ValueError):  # noqa: N818 - what is wrong with an object, in words for the model
    """A value does not fit; the text says exactly where."""


@dataclass(frozen=True, slots=True)
class Target:
    """A schema and the way from a JSON value to an object of it.

    `load` takes a JSON value and returns a pydantic instance, a dataclass instance or plain data;
    it raises `Misfit`. `check` coerces and judges by the schema alone. `told` says that model and
    service are told the schema; JSON mode tells them nothing. `strict` False forbids the strict
    form of it.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    load: Callable[[Any], Any]
    check: SchemaCheck
    told: bool = True
    strict: bool | None = None

    @property
    def root(self) -> Mapping[str, Any]:
        """The schema without a reference at its beginning."""
        return resolved(self.schema, self.schema)

    @classmethod
    def of(cls, source: object) -> Target:
        """Read what a caller passed; a JSON schema may be in OpenAI's wrapping.

        Raises `UsageError` for what is no schema.
        """
        if isinstance(source, Target):
            return source
        if isinstance(source, FromClass):
            return _of_form(source)
        if isinstance(source, Mapping):
            return _of_schema(source)
        if isinstance(source, type) and _is_pydantic_v1(source):
            return _of_pydantic_v1(source)
        if isinstance(source, type) and (
            issubclass(source, BaseModel) or dataclasses.is_dataclass(source) or typing.is_typeddict(source)
        ):
            return _of_type(source)
        if isinstance(source, type) or typing.get_origin(source) is not None:
            return _of_type(source)
        raise UsageError(
            "A schema must be a pydantic class, a TypedDict, a dataclass or a JSON schema, "
            f"not {type(source).__name__}."
        )

    def form(self, source: object) -> Mapping[str, Any]:
        """Write what this target was made of as a request has it, in `ChatRequest.response_format`.

        A class goes along, since its own judgement counts too. The keys of stored answers depend on it.
        """
        if isinstance(source, Mapping) and source.get("type") == "json_schema":
            return source
        form = {"type": "json_schema", "json_schema": {"name": self.name, "schema": self.schema}}
        return form if isinstance(source, Mapping | Target) else FromClass(form, cast("type", source))


def any_object() -> Target:
    """The target of OpenAI's `json_object`: some object."""
    return _of_schema({"title": "answer", "type": "object"})


def _of_form(form: FromClass) -> Target:
    """Read a form that was written from a class: its schema, and the class's own judgement."""
    if form.source is None:
        return any_object() if form.get("type") == "json_object" else _of_schema(form)
    judged = Target.of(form.source)
    if form.get("type") == "json_object":
        return dataclasses.replace(judged, told=False)
    return dataclasses.replace(_of_schema(form), load=judged.load)


def _of_schema(source: Mapping[str, Any]) -> Target:
    inner = source.get("json_schema") if source.get("type") == "json_schema" else source
    strict = None
    if isinstance(inner, Mapping) and isinstance(inner.get("schema"), Mapping):
        name, schema = str(inner.get("name") or ""), inner["schema"]
        strict = inner.get("strict")
    elif isinstance(inner, Mapping) and isinstance(inner.get("parameters"), Mapping):  # as of a function
        name, schema = str(inner.get("name") or ""), inner["parameters"]
    else:
        name, schema = "", inner
    if not isinstance(schema, Mapping) or (
        schema is not source and source.get("type") == "json_schema" and "schema" in schema
    ):
        raise UsageError(f"The response format holds no schema: {source!r:.200}.")
    check_schema(schema, "The schema")
    check = SchemaCheck(schema)
    return Target(
        name or str(schema.get("title") or "answer"),
        str(schema.get("description") or ""),
        schema,
        _loader(check),
        check,
        strict=strict if isinstance(strict, bool) else None,
    )


def _loader(check: SchemaCheck) -> Callable[[Any], Any]:
    def load(value: Any) -> Any:
        coerced = check.coerced(value)
        findings = check.findings(coerced)
        if findings:
            raise Misfit("; ".join(findings))
        return coerced

    return load


def _of_type(source: Any) -> Target:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_typed_dict(source))
        schema = adapter.json_schema()
    except Exception as error:
        raise UsageError(f"{source!r} cannot be written as a JSON schema: {error}.") from error
    check = SchemaCheck(schema)

    def load(value: Any) -> Any:
        try:
            # As JSON: a strict model takes a date from JSON text, not from a Python one.
            return adapter.validate_json(dumps(value))
        except ValidationError:
            pass
        try:
            return adapter.validate_json(dumps(check.coerced(value)))
        except ValidationError as error:
            raise Misfit(_findings(error)) from None

    name = getattr(source, "__name__", "") or str(schema.get("title") or "answer")
    return Target(name, str(schema.get("description") or ""), schema, load, check)


def _findings(error: ValidationError) -> str:
    found: list[str] = []
    for item in error.errors(include_url=False, include_context=False)[:MAX_FINDINGS]:
        path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in item["loc"]).lstrip(
            "."
        )
        given = "" if item["type"] == "missing" else f" (got {item['input']!r:.80})"
        found.append(f"{path + ': ' if path else ''}{item['msg']}{given}")
    return "; ".join(found)


def _typed_dict(source: Any) -> Any:
    """Convert a TypedDict: before Python 3.12 pydantic takes that of typing_extensions only."""
    if sys.version_info >= (3, 12) or not typing.is_typeddict(source):
        return source
    import typing_extensions  # noqa: PLC0415 - comes with pydantic, for older Pythons only

    if type(source).__module__ == "typing_extensions":
        return source
    hints = typing.get_type_hints(source, include_extras=True)
    fields = {
        key: (
            typing_extensions.Required if key in source.__required_keys__ else typing_extensions.NotRequired
        )[_typed_dict(hint)]
        for key, hint in hints.items()
    }
    # The type checker wants it written out.
    converted: Any = typing_extensions.TypedDict(source.__name__, fields)  # type: ignore[misc]
    converted.__doc__ = source.__doc__
    return converted


def _is_pydantic_v1(source: type) -> bool:
    return (
        not issubclass(source, BaseModel) and hasattr(source, "__fields__") and hasattr(source, "parse_obj")
    )


def _of_pydantic_v1(source: Any) -> Target:
    schema = source.schema()
    check = SchemaCheck(schema)

    def load(value: Any) -> Any:
        try:
            return source.parse_obj(check.coerced(value))
        except ValueError as error:
            raise Misfit(str(error)) from None

    return Target(source.__name__, str(schema.get("description") or ""), schema, load, check)
