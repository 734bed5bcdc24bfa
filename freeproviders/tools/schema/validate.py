"""The verdict on a value: `jsonschema`, without the network, with findings a model can act on."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

from freeproviders.tools.schema.coerce import Coercer
from freeproviders.tools.schema.modern import modern
from freeproviders.tools.schema.unions import adapted, remembering
from freeproviders.wire.json import dumps, loads

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

MAX_FINDINGS: Final = 5

_loaded: Final = threading.Event()


class SchemaCheck:
    """Coerces and judges values by one JSON schema.

    `jsonschema` is imported at the first use, for it takes a while.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = modern(schema)

    @cached_property
    def _validator(self) -> Validator:
        from jsonschema import Draft202012Validator  # noqa: PLC0415 - takes a while
        from jsonschema.validators import validator_for  # noqa: PLC0415 - as above
        from referencing import Registry  # noqa: PLC0415 - as above

        cls = adapted(validator_for(self.schema, default=Draft202012Validator))
        # The empty registry: a reference to elsewhere is an error, not a download.
        return cls(self.schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)

    def fits(self, value: object, schema: Mapping[str, Any] | None = None) -> bool:
        """Return whether a value is valid under the schema, or under a part of it."""
        return not self._errors(value, schema, most=1)

    def coerced(self, value: Any) -> Any:
        """The value itself if it is valid, else bent towards the schema."""
        with remembering(self.schema):
            return value if self.fits(value) else Coercer(self.schema, self.fits).coerce(value, self.schema)

    def judged(self, value: Any) -> tuple[Any, list[str]]:
        """Return the value, bent towards the schema if not valid, and its remaining faults."""
        with remembering(self.schema):
            if self.fits(value):
                return value, []
            bent = Coercer(self.schema, self.fits).coerce(value, self.schema)
            return bent, self.findings(bent)

    def findings(self, value: object) -> list[str]:
        """List the faults of a value, in words; empty if there is none."""
        found: list[str] = []
        for error in self._errors(value, most=MAX_FINDINGS):
            found.extend(text for text in _describe(error) if text not in found)
        return found[:MAX_FINDINGS]

    def _errors(
        self, value: object, schema: Mapping[str, Any] | None = None, *, most: int
    ) -> list[ValidationError]:
        from jsonschema.exceptions import SchemaError, UnknownType  # noqa: PLC0415 - loaded by now
        from referencing.exceptions import Unresolvable  # noqa: PLC0415 - loaded by now

        validator = self._validator if schema is None else self._validator.evolve(schema=schema)
        found: list[ValidationError] = []
        try:
            with remembering(self.schema):
                found.extend(islice(validator.iter_errors(cast("Any", value)), most))
        except (
            SchemaError,
            UnknownType,
            Unresolvable,
            re.error,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ):
            pass  # the schema itself is broken: what it guards has to judge
        return found


async def loaded() -> None:
    """Import the validator once, off the event loop, since the import reads many files."""
    if not _loaded.is_set():
        await asyncio.to_thread(load)


def load() -> None:
    """Import the validator and use it once."""
    SchemaCheck({"type": "object"}).fits({})
    _loaded.set()


def check_of(schema: Mapping[str, Any]) -> SchemaCheck:
    """Make the check of a schema, or reuse that of an equal one: each question brings its tools."""
    return _check_of(dumps(schema))


@lru_cache(maxsize=256)
def _check_of(schema: bytes) -> SchemaCheck:
    return SchemaCheck(loads(schema))  # a copy of its own, which no caller changes


def _describe(error: ValidationError) -> Iterable[str]:
    if error.validator in {"anyOf", "oneOf"} and error.context:
        from jsonschema.exceptions import best_match  # noqa: PLC0415 - loaded by now

        best = best_match(error.context)
        if best is not None and len(best.absolute_path) > len(error.absolute_path):
            yield from _describe(best)
            return
    path = "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path
    ).lstrip(".")
    where = f"{path}: " if path else ""
    value: Any = error.validator_value
    match error.validator:
        case "required" if isinstance(error.instance, Mapping) and isinstance(value, list):
            for name in value:
                if name not in error.instance:
                    yield f"{where}{name!r} is required but missing"
        case "type":
            wanted = value if isinstance(value, str) else " or ".join(map(str, value))
            yield f"{where}{error.instance!r:.80} is not of type {wanted}"
        case "enum":
            yield f"{where}{error.instance!r:.80} is not one of {', '.join(map(repr, value))}"
        case "additionalProperties" if isinstance(error.instance, Mapping) and isinstance(
            error.schema, Mapping
        ):
            known = error.schema.get("properties") or {}
            yield from (
                f"{where}{name!r} is not known (known: {', '.join(known)})"
                for name in error.instance
                if name not in known
            )
        case _:
            yield f"{where}{error.message:.200}"
