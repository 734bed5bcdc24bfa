"""What a terminal is given: colours as the environment says, lines as wide as it is."""

from __future__ import annotations

import io

import pytest

from freeproviders.cli import terminal


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("env", "at_a_terminal", "in_a_pipe"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),  # as no-color.org has it: an empty one is none
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_colours(
    env: dict[str, str], at_a_terminal: bool, in_a_pipe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **env}.items():
        monkeypatch.setenv(name, value)
    assert terminal.colours(Screen()) == at_a_terminal
    assert terminal.colours(io.StringIO()) == in_a_pipe
    assert terminal.colours(None) == in_a_pipe


def test_an_error_is_wrapped_between_words_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is one line elsewhere."""
    text = (
        "Nothing listens at https://service.example/a/very/long/path/that/cannot/be/broken. " + "word " * 30
    )
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "41")
    monkeypatch.setattr("sys.stderr", screen := Screen())
    terminal.complain(OSError(text))
    lines = screen.getvalue().splitlines()
    assert " ".join(line.strip() for line in lines) == f"Error: {text.strip()}"
    assert all(len(line) <= 40 or "https://" in line for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])
    monkeypatch.setattr("sys.stderr", pipe := io.StringIO())
    terminal.complain(OSError(text))
    assert pipe.getvalue() == f"Error: {text.strip()}\n"


def test_a_sign_is_erased_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setattr("sys.stderr", screen := Screen())
    sign = terminal.Sign()
    sign.draw("Waiting for long")
    terminal.say("Said.")
    sign.draw("Again")
    sign.end()
    sign.draw("Never")
    assert screen.getvalue() == "\rWaiting f\x1b[K\r\x1b[KSaid.\n\rAgain\x1b[K\r\x1b[K"


def test_advice_about_what_the_command_cannot_do_is_left_out() -> None:
    """Names that it has are its options; a second name is that of its option."""
    from freeproviders.errors import QuotaSpentError, UsageError
    from freeproviders.naming import argument

    terminal.speak_of({"model": "--model", "base_url": "--base-url"})
    spent = QuotaSpentError("The minute is spent.", provider="Groq")
    assert terminal.in_options(spent) == "[Groq] The minute is spent."
    assert "wait_up_to=" in str(spent)
    own = UsageError(f"{argument('model_path')} is empty, base_url is not.")
    assert terminal.in_options(own) == "--model is empty, base_url is not."
    other = UsageError(f"{argument('stop')} must be a text.")
    assert terminal.in_options(other) == "stop must be a text."
