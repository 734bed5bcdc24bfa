"""Questions of a comparison, with what a right answer is, and answers judged by it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isclose
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

from freeproviders.batch.rows import Question, Row
from freeproviders.batch.typed import Form, form_of
from freeproviders.checks import SETTINGS, as_tools
from freeproviders.errors import FreeProvidersError, UsageError
from freeproviders.naming import joined
from freeproviders.types import ChatRequest, Completion, FromClass, Tool, as_messages
from freeproviders.wire.json import loads

_OWN: Final = frozenset({"prompt", "messages", "name", "expected", "contains", "check", "calls"})
_MISSING: Final = object()
_EDGES: Final = " .,;:!?\"'`*"
_MANY_WORDS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found of an answer; None stands for what was not checked.

    Attributes:
        valid: whether it fits the schema, and its calls fit their tools.
        calls: whether it made the calls that were expected, and no others.
        right: whether all of it is as it should be: valid, the calls, what is expected, the check.
        fields: of an object that is expected, whether each field is right.
        why: what is wrong, "" where nothing is.
    """

    valid: bool | None = None
    calls: bool | None = None
    right: bool | None = None
    fields: Mapping[str, bool] = field(default_factory=dict)
    why: str = ""


class Case:
    """A question with what a right answer is.

    Args:
        given: a text, messages, a `Question`, a `ChatRequest`, or a mapping as `compare` takes it.
        number: its place, from 0.
        settings: the settings of all questions.

    Raises:
        UsageError: a mapping that cannot be read, or a schema or a tool that is none.
    """

    def __init__(self, given: Any, number: int, settings: Mapping[str, Any]) -> None:
        self.number = number
        self.expected: Any = _MISSING
        self.contains: tuple[str, ...] = ()
        self.check: Callable[[Any], object] | None = None
        self.calls: list[tuple[str, Mapping[str, Any]]] | None = None
        self.name = ""
        self.asked: Any = given
        if isinstance(given, Mapping):
            self._read(given)
        self.asked = _read_once(self.asked, number)
        own = self.asked.settings if isinstance(self.asked, Question) else {}
        if isinstance(self.asked, ChatRequest):
            form = self.asked.response_format
            self._form = None if form is None else Form(form)
            tools = self.asked.tools
        else:
            together = {**settings, **own}
            self._form = form_of(together)[1]
            tools, _ = as_tools(together.get("tools"))
        self._tools = {tool.name: tool for tool in tools}
        self.typed = self._form is not None and self._form.form.get("type") != "text"
        self.name = self.name or _shown(self.asked)

    @property
    def judges(self) -> bool:
        """Whether anything says what a right answer is."""
        return (
            self.typed
            or bool(self._tools)
            or self.expected is not _MISSING
            or bool(self.contains)
            or self.check is not None
            or self.calls is not None
        )

    def judge(self, row: Row) -> Judgement:
        """Judge an answer. A question that was refused or given up has none, and is not right.

        Raises `UsageError` for a check that returns neither True nor False, and any error of this
        package that a check raises.
        """
        if not self.judges or row.state == "exhausted":
            return Judgement()
        shaped = self.typed or bool(self._tools)
        if row.completion is None:
            fields = (
                dict.fromkeys(map(str, self.expected), False) if isinstance(self.expected, Mapping) else {}
            )
            return Judgement(
                valid=False if shaped else None,
                calls=None if self.calls is None else False,
                right=False,
                fields=fields,
                why=_first(row.error),
            )
        why: list[str] = []
        data, misfit = self._data(row.completion)
        misfit = misfit or self._misfit_of_calls(row.completion)
        if misfit:
            why.append(misfit)
        called = None if self.calls is None else _are_the_calls(self.calls, row.completion)
        if called is False:
            made = ", ".join(call.name for call in row.completion.tool_calls) or "none"
            why.append(f"Not the calls that are expected: {made}.")
        fields = self._fields(data, row.completion, why)
        self._look(data, row.completion, why, misfit=bool(misfit))
        return Judgement(
            valid=not misfit if shaped else None,
            calls=called,
            right=not why,
            fields=fields,
            why=" ".join(why),
        )

    def _read(self, given: Mapping[str, Any]) -> None:
        where = f"Question {self.number + 1}"
        if ("prompt" in given) == ("messages" in given):
            raise UsageError(
                f"{where} needs either prompt, a text, or messages; it has {', '.join(map(str, given))}."
            )
        if unknown := given.keys() - _OWN - SETTINGS:
            raise UsageError(
                f"{where} has {', '.join(sorted(map(str, unknown)))}, which means nothing here. Beside "
                f"settings it may have {', '.join(sorted(_OWN))}."
            )
        settings = {name: value for name, value in given.items() if name not in _OWN}
        asked = given["prompt"] if "prompt" in given else given["messages"]
        if not isinstance(asked, str) and ("prompt" in given or not isinstance(asked, Iterable)):
            raise UsageError(f"{where} needs a text in prompt, or a list in messages, not {asked!r:.200}.")
        self.asked = Question(asked if isinstance(asked, str) else list(asked), **settings)
        self.name = str(given.get("name") or "")
        self.expected = given.get("expected", _MISSING)
        contains = given.get("contains") or ()
        self.contains = (contains,) if isinstance(contains, str) else tuple(map(str, contains))
        self.check = given.get("check")
        if self.check is not None and not callable(self.check):
            raise UsageError(f"{where}: check must be a function of the answer, not {self.check!r:.200}.")
        if (calls := given.get("calls")) is not None:
            self.calls = _calls(calls, where)
        if self.expected is not _MISSING:
            self.expected = _plain(self.expected, where)

    def _data(self, completion: Completion) -> tuple[Any, str]:
        """Return what is judged, an object or the text, and why the text holds no such object."""
        if not self.typed or self._form is None or (self._tools and completion.tool_calls):
            return completion.text, ""
        try:
            return self._form.loaded(completion), ""
        except ValueError as error:
            return completion.text, f"It does not fit the schema: {error}"

    def _misfit_of_calls(self, completion: Completion) -> str:
        if not self._tools:
            return ""
        for wrong in completion.invalid_tool_calls:
            return f"A call of {wrong.name} is none: {wrong.error}"
        for call in completion.tool_calls:
            tool = self._tools.get(call.name)
            if tool is None:
                return f"There is no tool {call.name!r:.100}."
            try:
                _target(tool).load(dict(call.arguments))
            except ValueError as error:
                return f"The arguments of {call.name} do not fit: {error}"
        return ""

    def _fields(self, data: Any, completion: Completion, why: list[str]) -> dict[str, bool]:
        """Compare an answer with what is expected, an object field by field."""
        if self.expected is _MISSING:
            return {}
        found = _found(data, completion, self.expected)
        if not isinstance(self.expected, Mapping):
            if not same(self.expected, found):
                why.append(f"Expected {_brief(self.expected)}, not {_brief(found)}.")
            return {}
        has = found if isinstance(found, Mapping) else {}
        fields = {str(name): name in has and same(value, has[name]) for name, value in self.expected.items()}
        wrong = [
            f"{name} {_brief(self.expected[name])}, not {_brief(has.get(name))}"
            for name, is_right in fields.items()
            if not is_right
        ]
        if wrong:
            why.append(f"Expected {'; '.join(wrong)}.")
        return fields

    def _look(self, data: Any, completion: Completion, why: list[str], *, misfit: bool) -> None:
        """See whether the text has what it must contain, and what the caller's own check says."""
        text = folded(completion.text)
        if missing := [one for one in self.contains if folded(one) not in text]:
            why.append(f"The answer lacks {', '.join(map(repr, missing))}.")
        if self.check is None or misfit:  # what does not fit is no object that a check could look at
            return
        try:
            said = self.check(data)
        except FreeProvidersError:
            raise
        except AssertionError as error:
            why.append(f"The check failed: {error}" if str(error) else "The check failed.")
            return
        except Exception as error:  # noqa: BLE001 - what a check stumbles over is the answer, most of the time
            why.append(f"The check raised {type(error).__name__}: {error}")
            return
        if isinstance(said, str) and said:
            why.append(said)
        elif type(said).__name__ in {"bool", "bool_"}:  # NumPy has one of its own
            if not said:
                why.append("The check says no.")
        else:
            raise UsageError(
                f"The check of question {self.number + 1} must return True, False or a text that says what "
                f"is wrong, not {said!r:.100}."
            )


def same(expected: Any, found: Any) -> bool:
    """Return whether a value is the one that is expected.

    Of an object only the expected fields count. Texts are compared with single spaces, without case
    and without punctuation at their ends; a number equals its text.
    """
    if isinstance(expected, Mapping):
        return isinstance(found, Mapping) and all(
            name in found and same(value, found[name]) for name, value in expected.items()
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(map(same, expected, found))
        )
    if expected is None or isinstance(expected, bool) or found is None or isinstance(found, bool):
        return type(expected) is type(found) and expected == found
    if isinstance(expected, str) and isinstance(found, str):
        return (folded(expected) or expected) == (folded(found) or found)
    first, second = _number(expected), _number(found)
    return first is not None and second is not None and isclose(first, second, rel_tol=1e-9)


def folded(text: str) -> str:
    """Return a text as it is compared: without case, marks at its ends, and with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGES)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _found(data: Any, completion: Completion, expected: Any) -> Any:
    """Return the answer in the form of what is expected."""
    if data is not completion.text:
        return to_jsonable_python(data)
    if isinstance(expected, Mapping | list):
        try:
            return loads(completion.text)
        except ValueError:
            return completion.text
    return folded(completion.text) if isinstance(expected, int | float) else completion.text


def _plain(expected: Any, where: str) -> Any:
    try:
        return to_jsonable_python(expected)
    except PydanticSerializationError as error:
        raise UsageError(f"{where}: what is expected must be plain data: {error}.") from error


def _calls(given: Any, where: str) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise UsageError(f"{where}: calls must be a list of names, or of mappings with name and arguments.")
    calls = []
    for one in given:
        call = {"name": one} if isinstance(one, str) else one
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise UsageError(f"{where}: an expected call has a name and arguments, not {one!r:.200}.")
        arguments = call.get("arguments") or {}
        if not isinstance(arguments, Mapping):
            raise UsageError(f"{where}: the arguments of an expected call are a mapping.")
        calls.append((call["name"], _plain(arguments, where)))
    # Those that ask for more come first, so that they find their own among similar ones.
    return sorted(calls, key=lambda call: -len(call[1]))


def _are_the_calls(expected: Sequence[tuple[str, Mapping[str, Any]]], completion: Completion) -> bool:
    left = list(completion.tool_calls)
    for name, arguments in expected:
        found = next((call for call in left if call.name == name and same(arguments, call.arguments)), None)
        if found is None:
            return False
        left.remove(found)
    return not left and not completion.invalid_tool_calls


def _target(tool: Tool) -> Any:
    from freeproviders.tools.schema.target import Target  # noqa: PLC0415 - only schemas need it

    form = {"type": "json_schema", "json_schema": {"name": tool.name, "schema": tool.parameters}}
    return Target.of(FromClass(form, tool.source))


def _read_once(asked: Any, number: int) -> Any:
    """Return a question that each model can read anew. Raises `UsageError` for what is none."""
    if isinstance(asked, str | ChatRequest):
        return asked
    given = asked.messages if isinstance(asked, Question) else asked
    try:
        messages = given if isinstance(given, str) else list(as_messages(given))
    except UsageError as error:
        error.advice = joined(error.advice, f"It is question {number + 1}.")
        raise
    return Question(messages, **asked.settings) if isinstance(asked, Question) else messages


def _shown(asked: Any) -> str:
    """Return the last words that are said to the model, for people."""
    if isinstance(asked, Question):
        asked = asked.messages
    if isinstance(asked, ChatRequest):
        asked = asked.messages
    if isinstance(asked, Sequence) and asked and not isinstance(asked, str):
        last = asked[-1]
        asked = last.get("content") if isinstance(last, Mapping) else getattr(last, "content", last)
    return _brief(asked if isinstance(asked, str) else str(asked))


def _brief(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split())
    return text if len(text) <= _MANY_WORDS else f"{text[: _MANY_WORDS - 4].rstrip()} ..."


def _first(error: BaseException | None) -> str:
    return str(error or "It has no answer.").split("\n", 1)[0]
