"""Reading requests: what is taken, and that nothing but a `FieldError` comes of any JSON."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeproviders.wire.openai.asked import FieldError, read_chat, read_object
from freeproviders.wire.openai.vectors import read_vectors

HI = [{"role": "user", "content": "Hi"}]
LETTERS = 'ab1{}[]"\\ \n\0é🙂'
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(LETTERS, max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "name", "id", "text"]) | st.text(LETTERS, max_size=4),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "model", "messages", "stream", "stream_options", "n", "temperature", "top_p", "stop", "tools",
        "tool_choice", "response_format", "max_tokens", "max_completion_tokens", "seed", "logprobs",
        "modalities", "functions", "audio", "user", "metadata", "input", "dimensions", "encoding_format",
        "input_type",
    ]
)  # fmt: skip
BODIES = st.dictionaries(NAMES | st.text(LETTERS, max_size=5), JSON, max_size=6)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES)
def test_any_body_is_read_or_refused(body: dict[str, Any]) -> None:
    with suppress(FieldError):
        asked = read_chat({"messages": HI, **body})
        assert asked.messages
        assert isinstance(asked.stream, bool)
        assert isinstance(asked.include_usage, bool)
    with suppress(FieldError):
        assert read_vectors({"input": "x", **body}).texts


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(FieldError):
        assert isinstance(read_object(body), dict)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b'{"a":NaN}', b'"\\ud800"', b'{"a":"\\ud800"}', b"[" * 5000, b"\xff{}"],
)
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(FieldError) as caught:
        read_object(body)
    assert caught.value.code == "invalid_json"


def test_limits_of_an_answer_have_two_names() -> None:
    asked = read_chat({"messages": HI, "max_tokens": 5, "max_completion_tokens": 7})
    assert asked.settings == {"max_tokens": 7}
    assert read_chat({"messages": HI, "max_tokens": 5}).settings == {"max_tokens": 5}


def test_null_is_as_nothing() -> None:
    names = ["stop", "tools", "seed", "stream", "stream_options", "n", "response_format", "user", "model"]
    asked = read_chat({"messages": HI, **dict.fromkeys(names)})
    assert (asked.settings, asked.options, asked.ignored) == ({}, {}, ())


def test_fields_by_what_becomes_of_them() -> None:
    asked = read_chat(
        {"messages": HI, "model": "m", "tools": [], "seed": 1, "top_k": 4, "store": True, "api_key": "k"}
    )
    assert asked.model == "m"
    assert asked.settings == {}
    assert asked.options == {"seed": 1, "top_k": 4}
    assert asked.ignored == ("api_key", "store")


def test_a_call_that_nobody_could_make_is_shown_as_it_was() -> None:
    """A framework sends it back with an error as its result."""
    calls = [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": text}}
        for text in ('{"a": 1}', '{"a": 1', "[1]", "", 'Not a JSON object: {"a": ')
    ]
    asked = read_chat({"messages": [*HI, {"role": "assistant", "content": None, "tool_calls": calls}]})
    read = [call["function"]["arguments"] for call in asked.messages[1]["tool_calls"]]
    assert read == ['{"a": 1}', {"input": '{"a": 1'}, {"input": "[1]"}, "", {"input": '{"a": '}]


def test_refusals_are_words() -> None:
    asked = read_chat(
        {
            "messages": [
                {"role": "assistant", "content": None, "refusal": "No."},
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "Never."}]},
            ]
        }
    )
    assert asked.messages[0]["content"] == "No."
    assert asked.messages[1]["content"] == [{"type": "text", "text": "Never."}]


def test_tokens_are_no_text() -> None:
    for tokens in ([1, 2], [[1, 2], [3]]):
        with pytest.raises(FieldError, match="check_embedding_ctx_length=False"):
            read_vectors({"input": tokens})
