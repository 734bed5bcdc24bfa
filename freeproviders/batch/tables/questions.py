"""Rows made into questions: by a template, from a column, or as OpenAI's batch files have them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from freeproviders.batch.rows import Question
from freeproviders.batch.tables.lines import PROMPT
from freeproviders.batch.tables.record import Record
from freeproviders.batch.tables.template import Template
from freeproviders.errors import UsageError

Source = Literal["template", "prompt", "messages", "openai"]
MESSAGES: Final = "messages"
BODY: Final = "body"
_ENDPOINT: Final = "/chat/completions"
_NOT_ASKED: Final = frozenset(
    {"model", "stream", "stream_options", "store", "metadata", "service_tier", "user"}
)
"""Fields of a body for OpenAI's service that mean nothing to other services."""


class Questions:
    """Makes the question of a row.

    Args:
        template: the prompt, with the names of columns in braces.
        field: the column that holds the prompt.
        system: instructions for every row that has none itself.
        settings: settings that take the place of a row's own.

    Without a template and a field, `look` finds where the questions are.
    """

    def __init__(
        self,
        *,
        template: Template | None = None,
        field: str | None = None,
        system: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._template = template
        self._field = field
        self._found = False
        self._system = system
        self._settings = dict(settings or {})
        self.source: Source | None = None if template is None and field is None else _source(template, field)

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns that questions are made of, None where that is not known yet."""
        match self.source:
            case "template" if self._template is not None:
                return self._template.names
            case "prompt" | "messages":
                return None if self._field is None else (self._field,)
            case "openai":
                return (BODY, "url")
            case _:
                return None

    def look(self, columns: Iterable[str], first: Mapping[str, Any]) -> None:
        """Find out where the questions are: in which of the columns of the table.

        Args:
            columns: the names of all columns.
            first: a row.

        Raises:
            UsageError: a named column is not there, or none is named and none is plain.
        """
        names = list(columns)
        if self._template is not None:
            self._template.check(names)
        elif self._field is not None:
            if self._field not in names:
                raise UsageError(
                    f"The table has no column {self._field!r}. It has: {', '.join(names) or 'none'}."
                )
        elif BODY in names and isinstance(_mapping(first.get(BODY)), Mapping):
            self.source = "openai"
        elif MESSAGES in names:
            self.source, self._field, self._found = "messages", MESSAGES, True
        elif PROMPT in names or len(names) == 1:
            self.source, self._field = "prompt", PROMPT if PROMPT in names else names[0]
        else:
            raise UsageError(
                "Which column is the question? Name it with --prompt-field, or write a --template with "
                f"the names of columns in braces. The table has: {', '.join(names) or 'no column'}."
            )

    def question(self, record: Record) -> Question | UsageError:
        """Make the question of a row, or the error that says why it is none."""
        if record.wrong:
            return UsageError(record.wrong)
        try:
            return self._question(record.values)
        except UsageError as error:
            return error

    def _question(self, values: Mapping[str, Any]) -> Question:
        settings: dict[str, Any] = {}
        if self._template is not None:
            said: Any = self._template.fill(values)
        elif self.source == "openai":
            settings = _body(values)
            said = settings.pop(MESSAGES, None)
            settings = {name: one for name, one in settings.items() if name not in self._settings}
        else:
            field = self._field or PROMPT
            source = self.source
            if self._found and source == "messages" and values.get(field) is None and PROMPT in values:
                source, field = "prompt", PROMPT  # a table of both: each row has one of them
            said = _said(values, field, source)
        if isinstance(said, str):
            if not said.strip():
                raise UsageError("The prompt is empty.")
            said = [{"role": "user", "content": said}]
        if not isinstance(said, list) or not said:
            raise UsageError('There are no messages: [{"role": "user", "content": "..."}] is expected.')
        if self._system and not any(_role(one) in {"system", "developer"} for one in said):
            said = [{"role": "system", "content": self._system}, *said]
        return Question(said, **settings)


def _source(template: Template | None, field: str | None) -> Source:
    if template is not None and field is not None:
        raise UsageError("A template and the column of the prompt are two ways to say the same: choose one.")
    return "template" if template is not None else "messages" if field == MESSAGES else "prompt"


def _said(values: Mapping[str, Any], field: str, source: Source | None) -> Any:
    value = values.get(field)
    if value is None:
        raise UsageError(f"The column {field!r} is {'empty' if field in values else 'missing'}.")
    if source == "messages":
        return _messages(value, field)
    if not isinstance(value, str):
        raise UsageError(f"The column {field!r} holds no text, but {type(value).__name__}.")
    return value


def _messages(value: Any, field: str) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise UsageError(f"The column {field!r} is not JSON: {error}.") from None
    if not isinstance(value, list):
        raise UsageError(f"The column {field!r} holds no list of messages.")
    return [_bare(one) for one in value]


def _bare(value: Any) -> Any:
    """Leave out the fields without a value that Parquet gives every message."""
    if isinstance(value, Mapping):
        return {name: _bare(one) for name, one in value.items() if one is not None}
    return [_bare(one) for one in value] if isinstance(value, list) else value


def _body(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a line of OpenAI's batch files, with its messages."""
    url = values.get("url")
    if isinstance(url, str) and not url.endswith(_ENDPOINT):
        raise UsageError(f"It is for {url}: only questions to /v1{_ENDPOINT} can be asked.")
    found = _mapping(values.get(BODY))
    if not isinstance(found, Mapping):
        raise UsageError(f"The column {BODY!r} is {'empty' if BODY in values else 'missing'}.")
    body = {name: _bare(one) for name, one in found.items() if name not in _NOT_ASKED and one is not None}
    if "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")
    return body


def _mapping(value: Any) -> Any:
    """Read JSON in a cell of text; anything else is returned as it is."""
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return None
    return value


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, Mapping) else None
