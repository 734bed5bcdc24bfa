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
    questions.look(values, values)
    return questions.request(Record(0, "line 2", values))


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


@given(st.text(), st.text())
def test_what_a_row_holds_is_never_read_as_a_template(before: str, value: str) -> None:
    escaped = before.replace("{", "{{").replace("}", "}}")
    assert Template(f"{escaped}{{a}}").fill({"a": value}) == before + value


@pytest.mark.parametrize(
    ("values", "said"), [({}, "The column 'a' is missing."), ({"a": None}, "The column 'a' is empty.")]
)
def test_a_cell_that_is_not_there(values, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        Template("{a}").fill(values)


# --- columns ---


def test_where_the_question_is() -> None:
    assert said(Questions(BACKEND), prompt="Hi", other="x") == [("user", "Hi")]
    assert said(Questions(BACKEND), only="Hi") == [("user", "Hi")]
    assert said(Questions(BACKEND, field="b"), a="x", b="Hi") == [("user", "Hi")]
    assert said(Questions(BACKEND, template=Template("{a}-{b}")), a="x", b="y") == [("user", "x-y")]
    history = [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}]
    for value in (
        history,
        json.dumps(history),
        [{**one, "tool_calls": None, "name": None} for one in history],
    ):
        assert said(Questions(BACKEND), messages=value, prompt="x") == [("system", "S"), ("user", "Hi")]
    assert Questions(BACKEND, field="messages").source == "messages"


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
        Questions(BACKEND, **given).look(values, values)
    with pytest.raises(UsageError, match="choose one"):
        Questions(BACKEND, field="a", template=Template("{a}"))


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"prompt": 3}, "Line 2: The column 'prompt' holds no text, but int."),
        ({"prompt": None}, "Line 2: The column 'prompt' is empty."),
        ({"prompt": "  "}, "Line 2: The prompt is empty."),
        ({"messages": "["}, "Line 2: The column 'messages' is not JSON"),
        ({"messages": "{}"}, "Line 2: The column 'messages' holds no list of messages."),
        ({"messages": []}, "Line 2: There are no messages"),
        ({"messages": [{"role": "nobody"}]}, "Line 2: "),
        ({"messages": ["text"]}, "Line 2: "),
    ],
)
def test_a_row_that_is_no_question(values, wanted: str) -> None:
    with pytest.raises(UsageError, match=re.escape(wanted)):
        asked(Questions(BACKEND), **values)


def test_a_row_that_was_not_read() -> None:
    with pytest.raises(UsageError, match=r"^Line 7: It is not JSON\.$"):
        Questions(BACKEND, field="a").request(Record(3, "line 7", {}, "It is not JSON."))


def test_instructions_and_settings() -> None:
    questions = Questions(BACKEND, system="S", settings={"temperature": 0.5, "max_tokens": None})
    request = asked(questions, prompt="Hi")
    assert [one.role for one in request.messages] == ["system", "user"]
    assert (request.temperature, request.max_tokens, request.stream) == (0.5, None, False)
    own = [{"role": "developer", "content": "Own"}, {"role": "user", "content": "Hi"}]
    assert "S" not in [one.content for one in asked(Questions(BACKEND, system="S"), messages=own).messages]


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
    questions = Questions(BACKEND, settings={"temperature": 0.0})
    request = asked(questions, **row)
    assert (questions.source, questions.columns) == ("openai", ("body", "url"))
    assert (request.model, request.max_tokens, request.temperature) == ("m", 9, 0.0)
    assert (request.tools[0].name, request.stream, dict(request.options)) == ("f", False, {"seed": 3})
    in_csv = {**row, "body": json.dumps(row["body"])}
    assert asked(Questions(BACKEND), **in_csv).messages == request.messages


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        ({**line(), "url": "/v1/embeddings"}, "Line 2: It is for /v1/embeddings"),
        ({**line(), "body": None}, "Line 2: The column 'body' is empty."),
        (line(messages=None), "Line 2: There are no messages"),
        (line(base_url="http://127.0.0.1:1"), "Line 2: "),
        (line(api_key="k"), "Line 2: "),
    ],
)
def test_a_line_of_openai_that_cannot_be_asked(row, wanted: str) -> None:
    questions = Questions(BACKEND)
    questions.look(line(), line())
    with pytest.raises(UsageError, match=re.escape(wanted)):
        questions.request(Record(0, "line 2", row))
