"""Answers and errors as JSON text: what is read is what was written."""

import json
import pickle
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings

from freeproviders import errors
from freeproviders.answers.plain import error_from_plain, error_to_plain, from_plain, to_plain
from freeproviders.errors import (
    AnswerStoreError,
    FreeProvidersError,
    NoProviderError,
    RateLimitError,
    RetiredModelError,
    ToolCallError,
)
from freeproviders.naming import argument
from freeproviders.types import Attempt, Completion, Finish, ToolCall, Usage
from freeproviders.wire.limits import Allowance
from tests.answers.made import completions

USAGE = Usage(3, 4)


@given(completions)
@settings(max_examples=150, deadline=None)
def test_any_answer_comes_back(answer):
    again = from_plain(to_plain(answer))
    assert again == answer
    for one, other in zip(again.finish.allowances, answer.finish.allowances, strict=True):
        assert one.resolution == other.resolution  # which takes no part in a comparison


def test_headers_are_not_kept():
    """They may hold what is the connection's own."""
    answer = Completion("Yes.", "", (), USAGE, Finish(headers={"x-request": "1"}))
    assert b"x-request" not in to_plain(answer)
    assert from_plain(to_plain(answer)).finish.headers is None


def test_it_is_json_that_others_read():
    """A usual answer is a small object with the names of the fields; nothing usual is written."""
    answer = Completion("Paris, 巴黎", "", (), USAGE, Finish(provider="Groq", model="m"))
    assert json.loads(to_plain(answer)) == {
        "$": "Completion",
        "text": "Paris, 巴黎",
        "reasoning": "",
        "tool_calls": [],
        "usage": {"$": "Usage", "input_tokens": 3, "output_tokens": 4},
        "finish": {"$": "Finish", "provider": "Groq", "model": "m"},
    }


def test_what_a_later_version_adds_is_passed_over():
    written = json.loads(to_plain(Completion("Yes.", "", (), USAGE, Finish())))
    written["colour"] = "green"
    assert from_plain(json.dumps(written).encode()).text == "Yes."


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"$":"Completion"}',
        b'{"$":"Usage","input_tokens":1,"output_tokens":1}',
        b'{"$":"x"}',
        b'{"$":["a"]}',
        b'{"$":"datetime","of":"soon"}',
    ],
)
def test_anything_else_is_an_error_that_says_so(data):
    with pytest.raises(AnswerStoreError, match="no answer of freeproviders"):
        from_plain(data)
    with pytest.raises(AnswerStoreError, match="no error of freeproviders"):
        error_from_plain(data)


def test_arguments_that_json_cannot_hold():
    answer = Completion("", "", (ToolCall("1", "f", {"a": object()}),), USAGE, Finish())
    with pytest.raises(TypeError, match="JSON cannot hold object"):
        to_plain(answer)


# --- errors ---------------------------------------------------------------------------------------

CLASSES = sorted(
    (one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, FreeProvidersError)),
    key=lambda cls: cls.__name__,
)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_comes_back(cls):
    """The class, the words with the marks of arguments, who and all that pickling keeps."""
    error = cls(f"Pass {argument('api_key')} \ud800.", provider="Groq", model="m", advice="Wait.")
    again = error_from_plain(error_to_plain(error))
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.wording.arguments == error.wording.arguments
    assert vars(again) == vars(pickle.loads(pickle.dumps(error)))


def test_what_an_error_carries():
    error = NoProviderError("Nobody.", trail=[Attempt("Groq", "m", "Busy.", 2, 0.5)])
    error.soonest = datetime(2026, 12, 1, tzinfo=UTC)
    error.allowances = (Allowance("requests", "day", 10.0, 0.0),)
    error.retry_after = 2.5
    again = error_from_plain(error_to_plain(error))
    assert vars(again) == vars(error)
    assert again.trail == (Attempt("Groq", "m", "Busy.", 2, 0.5),)

    gone = RetiredModelError("Gone.", successor="n", retired_on=date(2026, 1, 2))
    assert error_from_plain(error_to_plain(gone)).retired_on == date(2026, 1, 2)

    wrong = ToolCallError("No.", said="{")
    wrong.usage, wrong.finish = USAGE, Finish()
    assert vars(error_from_plain(error_to_plain(wrong))) == vars(wrong)


def test_an_error_of_another_class():
    """A class of the user's own is read as the nearest of ours, and what JSON cannot hold is left out."""

    class MineError(RateLimitError):
        pass

    mine = MineError("Slowly.", provider="Groq")
    mine.handle = object()
    again = error_from_plain(error_to_plain(mine))
    assert type(again) is RateLimitError
    assert (str(again), hasattr(again, "handle")) == ("[Groq] Slowly.", False)
    assert str(error_from_plain(error_to_plain(ValueError("bad")))) == "ValueError: bad"
