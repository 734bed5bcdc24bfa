"""What a service has answered, compared with its row."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

from freeproviders.abilities import Abilities
from freeproviders.catalogue import Service, catalogue, facts_of
from freeproviders.catalogue.places import text_of
from freeproviders.catalogue.reading import parsed
from freeproviders.catalogue.rows import Limit
from freeproviders.catalogue.shelf import overlaid
from freeproviders.catalogue.words import amount
from freeproviders.errors import (
    BadRequestError,
    NotFoundError,
    NotInPlanError,
    ProviderError,
    RateLimitError,
    ToolsNotSupportedError,
)
from freeproviders.probing.announced import AnyCase, guessed, is_about, like_limits, misread, names_of
from freeproviders.probing.plan import OF_THE_MODEL
from freeproviders.probing.report import Finding, Outcome, Verdict
from freeproviders.probing.scrubbing import Scrubber
from freeproviders.services import Served
from freeproviders.wire.failure import read_failure, read_reported_error
from freeproviders.wire.json import loads
from freeproviders.wire.limits import Allowance, AllowanceHeaders, read_allowances
from freeproviders.wire.signs import Sign

SOURCE: Final = "freeproviders probe"
_LENGTH_TOLERANCE: Final = 1e-2
_ABOUT_SCHEMAS: Final = ("response_format", "json_schema", "response format", "structured output", "schema")


def compared(
    row: Service, model: str, outcomes: Sequence[Outcome], *, keyless: bool = False
) -> Iterator[Finding]:
    """Go through the differences between a row and what its service has answered."""
    asked = {outcome.question: outcome for outcome in outcomes}  # of two the one with changed fields counts
    comparison = _Comparison(row, model, keyless=keyless)
    answered = [one for one in outcomes if one.question in OF_THE_MODEL and one.completion is not None]
    if (models := asked.get("models")) is not None:
        yield from comparison.models(models, works=bool(answered))
    if (answer := asked.get("answer")) is not None:
        yield from comparison.answer(answer)
    if (stream := asked.get("stream")) is not None:
        yield from comparison.stream(stream)
    if (tools := asked.get("tools")) is not None:
        yield from comparison.tools(tools)
    if (schema := asked.get("schema")) is not None:
        yield from comparison.schema(schema)
    if answered:
        yield from comparison.headers(answered)
        yield from comparison.caps(answered)
    if (error := asked.get("error")) is not None:
        yield from comparison.error(error)
    if (vector := asked.get("embeddings")) is not None:
        yield from comparison.embeddings(vector)


def data_of(row: Service) -> dict[str, Any]:
    """Return a row as its files have it, put on top of each other."""
    data: dict[str, Any] = {}
    sources = catalogue().files_of(row.id)
    ours = any(source.origin == "own" for source in sources)
    for source in sources:
        if not (ours and source.origin == "package"):  # which the catalogue does not take either
            data = overlaid(data, parsed(text_of(source.path), str(source.path)))
    return data


class _Comparison:
    def __init__(self, row: Service, model: str, *, keyless: bool) -> None:
        self._row = row
        self._model = model
        self._keyless = keyless
        self._data = data_of(row)
        self._found: dict[str, Any] = {}
        self._missing: set[str] = set()
        served = Served(row)
        self._calls_tools = (
            served.abilities(model, Abilities()).tools if served.knows("tools", model) else None
        )
        self._has_schemas = facts_of(row, model).schema

    # --- models ---

    def models(self, outcome: Outcome, *, works: bool) -> Iterator[Finding]:
        """Compare the list of models with the models that the row chooses, and with those it buried."""
        if outcome.skipped:
            return
        if outcome.error is not None:
            yield Finding("models", "open", f"There is no list of models: {outcome.error}")
            return
        row = self._row
        listed = {name.removeprefix("models/") for name in outcome.models}
        if not listed:
            yield Finding("models", "open", "The list of models is empty.")
            return
        present = [name for name in row.fallback_models if name in listed]
        default = row.default_model
        self._missing = {name for name in (default, *row.fallback_models) if name not in listed}
        if default and default not in listed:
            if works and default == self._model:
                yield Finding("models", "open", f"{default} answers, and is not in the list of models.")
            else:
                change = _defaults(present)
                present = present[1:]
                advice = "" if change else "Choose a default_model of those that it lists."
                said = f"The default model {default} is not in the list of models."
                yield Finding("models", "differs", said, change, advice)
        lost = ", ".join(name for name in row.fallback_models if name not in listed)
        if lost:
            yield Finding(
                "models",
                "differs",
                f"Fallback models are not in the list of models: {lost}.",
                {"fallback_models": present},
            )
        back = [name for name in row.retired if name in listed]
        if back:
            yield Finding(
                "models",
                "differs",
                f"Models that the row has as retired are in the list of models: {', '.join(back)}.",
                advice=f"`freeproviders models --service {row.id} --refresh` keeps the list: what it has is "
                "asked again.",
            )

    # --- answers ---

    def answer(self, outcome: Outcome) -> Iterator[Finding]:
        """Compare a whole answer with what the protocol promises."""
        yield from self._refused_model(outcome)
        completion = outcome.completion
        if completion is None:
            return
        if completion.usage.estimated:
            yield Finding("usage", "differs", "A whole answer does not tell how many tokens it took.")
        if completion.finish.raw_reason is None:
            yield Finding("answer", "differs", "A whole answer has no finish_reason.")

    def stream(self, outcome: Outcome) -> Iterator[Finding]:
        """Compare a streamed answer with what the protocol promises."""
        completion = outcome.completion
        if outcome.error is not None:
            yield from self._refused_model(outcome)
            return
        if completion is None:
            return
        if outcome.body.lstrip()[:1] in {b"{", b"["}:
            yield Finding("stream", "differs", "A stream was asked for, and a whole document came.")
            return
        if completion.usage.estimated and "stream_options" in outcome.asked:
            yield Finding(
                "usage", "differs", "A stream does not tell how many tokens it took, though it was asked to."
            )
        if completion.finish.raw_reason is None:
            yield Finding("stream", "differs", "A stream has no finish_reason.")
        if not outcome.complete:
            yield Finding("stream", "differs", "A stream does not end with [DONE].")

    def _refused_model(self, outcome: Outcome) -> Iterator[Finding]:
        """Report a model that the service does not give, and any other failure of a plain question."""
        error = outcome.error
        if error is None:
            gone = self._row.retired.get(self._model)
            if gone is not None and outcome.completion is not None and outcome.question == "answer":
                yield Finding(
                    "models",
                    "differs",
                    f"{self._model} answers, though the row has it as retired since {gone.on}.",
                )
            return
        if isinstance(error, NotFoundError | NotInPlanError):
            row = self._row
            others = [name for name in row.fallback_models if name not in {self._model, *self._missing}]
            change = _defaults(others) if self._model == row.default_model else {}
            yield Finding("models", "differs", f"{self._model} is not given: {error}", change)
        elif isinstance(error, BadRequestError):
            yield Finding(outcome.question, "open", f"{self._name(outcome)} is refused: {error}")
        else:
            yield Finding(outcome.question, "open", f"{self._name(outcome)} failed: {error}")

    @staticmethod
    def _name(outcome: Outcome) -> str:
        return "A streamed answer" if outcome.question == "stream" else "A whole answer"

    # --- features ---

    def tools(self, outcome: Outcome) -> Iterator[Finding]:
        """Compare a call that was required with what the row says of the model's tools."""
        error, completion = outcome.error, outcome.completion
        if outcome.skipped:
            return
        if error is not None:
            if isinstance(error, ToolsNotSupportedError):
                yield from self._ability("tools", f"Tools are refused: {error}", found=False)
            elif not isinstance(error, NotFoundError | NotInPlanError):
                yield Finding("tools", "open", f"A request with a tool failed: {error}")
        elif completion is None:
            return
        elif completion.tool_calls or completion.invalid_tool_calls:
            yield from self._ability("tools", f"{self._model} has called a tool.", found=True)
            if completion.invalid_tool_calls:
                yield Finding("tools", "open", "The arguments of a tool call could not be read.")
        elif completion.finish.reason == "length":
            yield Finding("tools", "open", "The answer was cut off before any tool call: nothing is shown.")
        elif "tool_choice" not in outcome.asked:
            yield Finding("tools", "open", "The model called no tool, and none could be required of it.")
        else:
            said = "A tool call was required, and text came: the tools are ignored."
            yield from self._ability("tools", said, found=False)

    def schema(self, outcome: Outcome) -> Iterator[Finding]:
        """Compare an answer in the form of a schema with what the row says of the model."""
        error, completion = outcome.error, outcome.completion
        if outcome.skipped:
            return
        if error is not None:
            text = f"{error} {error.body}".lower() if isinstance(error, BadRequestError) else ""
            if any(word in text for word in _ABOUT_SCHEMAS):
                yield from self._ability("schema", f"A schema is refused: {error}", found=False)
            elif not isinstance(error, NotFoundError | NotInPlanError):
                yield Finding("schema", "open", f"A request with a schema failed: {error}")
        elif completion is None:
            return
        elif fits(completion.text):
            yield from self._ability("schema", "An answer had the form of its schema.", found=True)
        elif completion.finish.reason == "length":
            yield Finding("schema", "open", "The answer was cut off before its object was whole.")
        else:
            said = "An answer did not have the form of its schema: the schema is ignored."
            yield from self._ability("schema", said, found=False)

    def _ability(self, name: str, said: str, *, found: bool) -> Iterator[Finding]:
        """Report an ability that is other than the row says, or that it says nothing of."""
        told = self._calls_tools if name == "tools" else self._has_schemas
        if told is found:
            return
        verdict: Verdict = "unsaid" if told is None else "differs"
        row_says = "does not say whether" if told is None else "says that" if told else "denies that"
        what = "calls tools" if name == "tools" else "constrains answers to a schema"
        yield Finding(
            name,
            verdict,
            f"{said} The row {row_says} {self._model} {what}.",
            self._model_line({name: found}),
        )

    def _model_line(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write the line of the model with what stands there, since a file's line takes its place.

        What was found before is in it too.
        """
        self._found.update(facts)
        table: Mapping[str, Mapping[str, Any]] = self._data.get("models", {})
        own = table.get(self._model)
        # The first line of a row is not the only one: its default models need lines then.
        others = (self._row.default_model, *self._row.fallback_models) if not table else ()
        plain: dict[str, Any] = {name: {} for name in others if name}
        if own is None:
            own = next((line for name, line in table.items() if fnmatchcase(self._model, name)), {})
        return {"models": {**plain, self._model: {**own, **self._found, **_seen()}}}

    # --- limits ---

    def headers(self, answered: Sequence[Outcome]) -> Iterator[Finding]:
        """Compare the headers that announce limits with the row's dialect of them."""
        row = self._row.headers
        now = answered[0].at
        headers = AnyCase(one.headers for one in answered)
        dialect = list(row.allowance)
        there = [line for line in dialect if any(name in headers for name in names_of(line))]
        extra = guessed(headers, dialect, self._row.limit, now)
        known = {name for line in dialect for name in names_of(line)}
        odd = {name: value for name, value in like_limits(headers).items() if name not in known}
        mended = {line: (better, value) for line, better, value in misread(headers, there, now)}
        lines = [mended[line][0] if line in mended else line for line in there] + extra
        change = (
            {"headers": {"on": "every", "allowance": [_written(line) for line in lines]}} if lines else {}
        )
        for line, (better, value) in mended.items():
            form = f'is not of the form "{line.reset_form}"'
            form += (
                f', but of "{better.reset_form}"' if better.reset_form else " nor of any other that is known"
            )
            yield Finding("headers", "differs", f"{line.reset}: {value} {form}.", change)
        if row.on == "every" and dialect and not there:
            instead = f", but {', '.join(odd)}" if odd else ""
            said = f"The row says that every answer announces limits; none of its headers came{instead}."
            yield Finding("headers", "differs", said, change or {"headers": {"on": "none"}})
        elif row.on == "every" and len(there) < len(dialect):
            absent = [name for line in dialect if line not in there for name in names_of(line)]
            yield Finding(
                "headers", "differs", f"Headers of the row did not come: {', '.join(absent)}.", change
            )
        elif row.on != "every" and lines:
            verdict: Verdict = "unsaid" if row.on == "unknown" else "differs"
            names = ", ".join([*(name for line in there for name in names_of(line)), *odd])
            said = f'Answers announce limits, where the row says on = "{row.on}": {names}.'
            yield Finding("headers", verdict, said, change)
        if odd and (row.on == "every" or not lines):
            shown = ", ".join(f"{name}: {value}" for name, value in odd.items())
            guess = change if extra else {}
            advice = "What they count is a guess: look at the service's documentation." if extra else ""
            yield Finding(
                "headers", "unsaid", f"The row does not have these headers: {shown}.", guess, advice
            )

    def caps(self, answered: Sequence[Outcome]) -> Iterator[Finding]:
        """Compare the limits that were announced with those that are recorded."""
        one = answered[0]
        headers = AnyCase(one.headers for one in answered)
        dialect = self._row.headers.allowance
        extra = guessed(headers, dialect, self._row.limit, one.at)
        told = {
            (allowance.metric, allowance.per): allowance
            for allowance in [*read_allowances(headers, extra, one.at), *self._announced(answered)]
        }
        for allowance in told.values():
            yield from self._cap(allowance)

    @staticmethod
    def _announced(answered: Sequence[Outcome]) -> list[Allowance]:
        return [allowance for one in answered for allowance in one.allowances]

    def _cap(self, allowance: Allowance) -> Iterator[Finding]:
        cap = allowance.cap
        if cap is None or (not allowance.per and allowance.metric != "concurrency"):
            return
        recorded = [
            limit
            for limit in self._row.limit
            if is_about(allowance.metric, allowance.per, limit)
            and limit.counts(self._model)
            and limit.keyless in {None, self._keyless}
        ]
        if any(limit.cap == cap for limit in recorded):
            return
        told = (
            f"{amount(cap)} {allowance.metric} a {allowance.per}"
            if allowance.per
            else f"{amount(cap)} at a time"
        )
        if recorded:
            limit = next((one for one in recorded if one.scope == allowance.scope), recorded[0])
            yield Finding(
                "limit",
                "differs",
                f"The service announces {told}; the row has {amount(limit.cap)}.",
                {"limit": [{**self._limit_line(limit), "cap": cap, **_seen()}]},
            )
            return
        line: dict[str, Any] = {"metric": allowance.metric, "per": allowance.per, "cap": cap}
        if not allowance.per:
            del line["per"]
        if allowance.scope:
            line["scope"] = allowance.scope
        said = f"The service announces {told}, which the row does not have."
        yield Finding("limit", "unsaid", said, {"limit": [{**line, **_seen()}]})

    def _limit_line(self, limit: Limit) -> dict[str, Any]:
        """Return the line of a limit as its file has it: a line replaces one with the same words only."""
        lines: list[dict[str, Any]] = self._data.get("limit", [])
        return dict(lines[self._row.limit.index(limit)])

    # --- refusals ---

    def error(self, outcome: Outcome) -> Iterator[Finding]:
        """Look whether the refusal of a model that does not exist is understood."""
        error = outcome.error
        if outcome.skipped:
            return
        if error is None:
            yield Finding("error", "open", "The service answers for a model that does not exist.")
            return
        if isinstance(error, NotFoundError | NotInPlanError | RateLimitError):
            return
        if outcome.status is None or not isinstance(error, ProviderError):
            return
        reported = read_reported_error(_json(outcome.body))
        if error.sign is not None:
            said = f"A model that does not exist is read as {error.kind!r}: {error}"
            yield Finding("error", "differs", said)
            return
        shape = "is in no known form" if reported is None else f"is read as {type(error).__name__}"
        sign = _sign(outcome)
        change = {"error": [sign]} if sign else {}
        yield Finding(
            "error", "differs", f"The refusal of a model that does not exist {shape}: {error}", change
        )

    def embeddings(self, outcome: Outcome) -> Iterator[Finding]:
        """Compare a vector with what the row says of the model's vectors."""
        if outcome.error is not None:
            refused = isinstance(outcome.error, NotFoundError | NotInPlanError | BadRequestError)
            said = f"{outcome.model} gives no vector: {outcome.error}"
            yield Finding("embeddings", "differs" if refused else "open", said)
            return
        if outcome.skipped:
            return
        row = self._row.embeddings[outcome.model]
        size, length = len(outcome.vector), math.sqrt(sum(number * number for number in outcome.vector))
        normalised = abs(length - 1) < _LENGTH_TOLERANCE
        facts: dict[str, Any] = {}
        words = []
        if size != row.size:
            facts["size"] = size
            words.append(f"vectors of {outcome.model} have {size} numbers, in the row {row.size}")
        if row.normalised is not None and normalised != row.normalised:
            facts["normalised"] = normalised
            words.append(f"their length is {length:.3g}")
        if facts:
            line = {**self._data["embeddings"][outcome.model], **facts, **_seen()}
            change = {"embeddings": {outcome.model: line}}
            told = "; ".join(words)
            yield Finding("embeddings", "differs", f"{told[0].upper()}{told[1:]}.", change)


def fits(text: str) -> bool:
    """Return whether a text is the object that was asked for, and nothing else."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return (
        isinstance(found, dict)
        and found.keys() == {"word", "letters"}
        and isinstance(found["word"], str)
        and isinstance(found["letters"], int)
        and not isinstance(found["letters"], bool)
    )


def _defaults(models: Sequence[str]) -> dict[str, Any]:
    """Write which model is asked first, and which after it; {} where there is none."""
    return {"default_model": models[0], "fallback_models": [*models[1:]]} if models else {}


def _seen() -> dict[str, Any]:
    """Write where a fact is from: it was tried, today."""
    return {"confidence": "B", "checked": datetime.now(UTC).date(), "source": SOURCE}


def _written(line: AllowanceHeaders) -> dict[str, Any]:
    """Write a line of the header dialect with what it names."""
    return {name: value for name, value in asdict(line).items() if value or name == "per"}


def _json(body: bytes) -> Any:
    try:
        return loads(body)
    except ValueError:
        return None


def _sign(outcome: Outcome) -> dict[str, Any]:
    """Write a sign for the refusal of an unknown model, {} where none of its words tells it apart."""
    message = getattr(outcome.error, "message", "")  # in which no secret is any more
    if read_reported_error(_json(outcome.body)) is None or outcome.status is None:
        return {}
    pieces = [piece.strip(" `'\".:,") for piece in message.split(outcome.model)]
    scrubber = Scrubber()  # an account's id tells nothing apart for others
    words = max((piece for piece in pieces if scrubber.text(piece) == piece), key=len, default="")
    if len(words) < len("no model"):
        return {}
    sign = Sign("retired", outcome.status, (words,), scope="model")
    error = read_failure(outcome.status, outcome.headers, outcome.body, signs=[sign])
    if error.sign != sign:
        return {}
    return {"kind": "retired", "status": outcome.status, "match": [words], "scope": "model"}
