"""Rows made into questions: templates, columns, messages, OpenAI's own batch files."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import OpenAICompatible
from freeproviders.batch.tables.questions import Questions
from freeproviders.batch.tables.record import Record
from freeproviders.batch.tables.template import Template
from freeproviders.errors import UsageError

BACKEND = OpenAICompatible("m", base_url="http://127.0.0.1:9/v1")


def asked(questions: Questions, **values):
    """Make the question of a row, and the request of that as the engine does."""
    questions.look(values, values)
    return request_of(questions, values)


def request_of(questions: Questions, values):
    made = questions.question(Record(0, "line 2", values))
    if isinstance(made, UsageError):
        raise made
    return BACKEND.request(made.messages, **made.settings)


def said(questions: Questions, **values):
    return [(one.role, one.content) for one in asked(questions, **values).messages]


# --- templates ---


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{a} and {b}", "x and 1"),
        ("{ a }{a}", "xx"),
        ('{{"json": {a}}}', '{"json": x}'),
        ("{{{a}}}", "{x}"),
        ("no place", "no place"),
        ("{c} {d} {e}", 'true ["y", null] 0.5'),
        ("{f.g} {f}", 'dotted {"g": "ü"}'),
        ("{two words}", "z"),
    ],
)
def test_a_template(text: str, wanted: str) -> None:
    values = {
        "a": "x",
        "b": 1,
        "c": True,
        "d": ["y", None],
        "e": 0.5,
        "f": {"g": "ü"},
        "f.g": "dotted",
        "two words": "z",
    }
    assert Template(text).fill(values) == wanted


@pytest.mark.parametrize("text", ["{", "a }", "{}", "{ }", "{{{", "{a{b}}", "line\n{"])
def test_a_brace_that_stands_alone(text: str) -> None:
    with pytest.raises(UsageError, match=r"on line [12], which names no column: write \{\{ and \}\}"):
        Template(text)


@pytest.mark.parametrize("text", ["{a.__class__}", "{a[0]}", "{a!r}", "{a:>10}", "{0}"])
def test_a_name_is_a_column_and_nothing_else(text: str) -> None:
    with pytest.raises(UsageError, match=r"no such column\. It has: a, b\."):
        Template(text).check(["a", "b"])


@given(st.text(), st.text().filter(str.strip))
def test_what_a_row_holds_is_never_read_as_a_template(before: str, value: str) -> None:
    escaped = before.replace("{", "{{").replace("}", "}}")
    assert Template(f"{escaped}{{a}}").fill({"a": value}) == before + value


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "The column 'a' is missing."),
        ({"a": None}, "The column 'a' is empty."),
        ({"a": ""}, "The column 'a' is empty."),
        ({"a": " \n"}, "The column 'a' is empty."),
    ],
)
def test_a_cell_that_is_not_there(values, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        Template("{a}").fill(values)


# --- columns ---


def test_where_the_question_is() -> None:
    assert said(Questions(), prompt="Hi", other="x") == [("user", "Hi")]
    assert said(Questions(), only="Hi") == [("user", "Hi")]
    assert said(Questions(field="b"), a="x", b="Hi") == [("user", "Hi")]
    assert said(Questions(template=Template("{a}-{b}")), a="x", b="y") == [("user", "x-y")]
    history = [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]
    for value in (
        history,
        json.dumps(history),
        [{**one, "tool_calls": None, "name": None} for one in history],
    ):
        assert said(Questions(), messages=value, prompt="x") == [("system", "S"), ("user", "Hi")]
    assert Questions(field="messages").source == "messages"


@pytest.mark.parametrize(
    ("given", "values", "wanted"),
    [
        ({}, {"a": "x", "b": "y"}, "Which column is the question? Name it with --prompt-field"),
        ({"field": "c"}, {"a": "x", "b": "y"}, "The table has no column 'c'. It has: a, b."),
        ({"template": Template("{c}")}, {"a": "x"}, "The template names {c}"),
    ],
)
def test_what_is_not_there_is_named(given, values, wanted: str) -> None:
    with pytest.raises(UsageError, match=re.escape(wanted)):
        Questions(**given).look(values, values)
    with pytest.raises(UsageError, match="choose one"):
        Questions(field="a", template=Template("{a}"))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"prompt": 3}, "The column 'prompt' holds no text, but int."),
        ({"prompt": None}, "The column 'prompt' is empty."),
        ({"prompt": "  "}, "The prompt is empty."),
        ({"messages": "["}, "The column 'messages' is not JSON"),
        ({"messages": "{}"}, "The column 'messages' holds no list of messages."),
        ({"messages": []}, "There are no messages"),
        ({"messages": [{"role": "nobody"}]}, "nobody"),
        ({"messages": ["text"]}, "essage"),
    ],
)
def test_a_row_that_is_no_question(values, wanted: str) -> None:
    with pytest.raises(UsageError, match=re.escape(wanted)):
        asked(Questions(), **values)


def test_a_row_that_was_not_read() -> None:
    made = Questions(field="a").question(Record(3, "line 7", {}, "It is not JSON."))
    assert isinstance(made, UsageError)
    assert str(made) == "It is not JSON."


def test_instructions_and_settings() -> None:
    questions = Questions(system="S", settings={"temperature": 0.5})
    request = asked(questions, prompt="Hi")
    assert [one.role for one in request.messages] == ["system", "user"]
    assert request.temperature is None  # those of all rows are the run's
    own = [{"role": "developer", "content": "Own"}, {"role": "user", "content": "Hi"}]
    assert "S" not in [one.content for one in asked(Questions(system="S"), messages=own).messages]


# --- OpenAI's batch files ---


def line(**body):
    return {
        "custom_id": "row-1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], **body},
    }


def test_a_batch_file_of_openai() -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    row = line(max_completion_tokens=9, temperature=1, tools=[tool], stream=True, user="u", seed=3)
    questions = Questions(settings={"temperature": 0.0})
    request = asked(questions, **row)
    assert (questions.source, questions.columns) == ("openai", ("body", "url"))
    assert (request.model, request.max_tokens, request.temperature) == ("m", 9, None)
    assert (request.tools[0].name, request.stream, dict(request.options)) == ("f", True, {"seed": 3})
    in_csv = {**row, "body": json.dumps(row["body"])}
    assert asked(Questions(), **in_csv).messages == request.messages


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({**line(), "url": "/v1/embeddings"}, "It is for /v1/embeddings"),
        ({**line(), "body": None}, "The column 'body' is empty."),
        (line(messages=None), "There are no messages"),
        (line(base_url="http://127.0.0.1:1"), "base_url says how the backend is reached"),
        (line(api_key="k"), "api_key says how"),
    ],
)
def test_a_line_of_openai_that_cannot_be_asked(row, wanted: str) -> None:
    questions = Questions()
    questions.look(line(), line())
    with pytest.raises(UsageError, match=re.escape(wanted)):
        request_of(questions, row)
