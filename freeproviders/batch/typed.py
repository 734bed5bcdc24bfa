"""Typed answers of a run: the form that is asked for, and the object in an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from freeproviders.types import Completion, FromClass
from freeproviders.wire.json import loads


class Form:
    """What is asked for, and how its object is read; a JSON schema, or one with its class."""

    __slots__ = ("_target", "form")

    def __init__(self, form: Mapping[str, Any]) -> None:
        # Only schemas need it.
        from freeproviders.tools.schema.target import Target, any_object  # noqa: PLC0415 - see above

        self.form = form
        plain = form.get("type") == "json_object" and not isinstance(form, FromClass)
        self._target = None if form.get("type") == "text" else any_object() if plain else Target.of(form)

    def read(self, completion: Completion) -> Any:
        """Return the object of an answer, None where its text holds none that fits."""
        try:
            return self.loaded(completion)
        except ValueError:
            return None

    def loaded(self, completion: Completion) -> Any:
        """Return the object of an answer; raises `ValueError`, which says what does not fit."""
        return None if self._target is None else self._target.load(loads(completion.text))


def form_of(settings: Mapping[str, Any]) -> tuple[dict[str, Any], Form | None]:
    """Write a class that is given as `response_format` as a setting; return the settings and the form.

    Raises `UsageError` for what is no schema.
    """
    given = settings.get("response_format")
    if given is None:
        return dict(settings), None
    if not isinstance(given, Mapping):
        from freeproviders.tools.schema.target import Target  # noqa: PLC0415 - as above

        given = Target.of(given).form(given)
    return {**settings, "response_format": given}, Form(given)
