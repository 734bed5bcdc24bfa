"""`freeproviders chat` without a question, at a terminal."""

from __future__ import annotations

import sys

import pytest

from freeproviders.testing import Replica, replica
from tests.cli.command import Terminal, plain

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")


def converse(server: Replica, *more: str) -> Terminal:
    terminal = Terminal(
        "chat", "--provider", "free-netfly", "--base-url", server.base_url, *more, env={"TERM": "dumb"}
    )
    terminal.wait_for("> ")
    return terminal


def roles_and_texts(server: Replica) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in server.requests[-1].messages]


def test_a_conversation_is_remembered_until_it_is_cleared() -> None:
    with (
        replica("free-netfly", answer=lambda messages: f"Answer {len(messages)}.") as server,
        converse(server, "--system", "Be brief.") as at,
    ):
        at.press("One?\n")
        at.wait_for("Answer 2.")
        at.wait_for("> ")
        at.press("Two?\n")
        at.wait_for("Answer 4.")
        at.wait_for("> ")
        assert roles_and_texts(server) == [
            ("system", "Be brief."),
            ("user", "One?"),
            ("assistant", "Answer 2."),
            ("user", "Two?"),
        ]
        at.press("\n")  # asks nothing
        at.wait_for("> ")
        at.press("/clear\n")
        at.wait_for("Forgotten.")
        at.wait_for("> ")
        at.press("Three?\n")
        at.wait_for("Answer 2.")
        at.wait_for("> ")
        assert roles_and_texts(server) == [("system", "Be brief."), ("user", "Three?")]
        at.press("/exit\n")
        assert at.wait() == 0
    assert len(server.requests) == 3
    assert server.connections == 1
    assert "Warning" not in at.shown


def test_several_lines_are_one_question() -> None:
    with replica("free-netfly", answer="Yes.") as server, converse(server) as at:
        at.press('"""What is wrong here?\n')
        at.wait_for("... ")
        at.press("    return 1 +\n")
        at.wait_for("... ")
        at.press('"""\n')
        at.wait_for("Yes.")
        at.wait_for("> ")
        at.press('"""In one line"""\n')
        at.wait_for("Yes.")
        at.wait_for("> ")
        at.press('"""Never\n')
        at.wait_for("... ")
        at.press("\x03")  # leaves the question, not the conversation
        at.wait_for("Ctrl-D or /exit leaves.")
        at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0
    texts = [request.messages[-1]["content"] for request in server.requests]
    assert texts == ["What is wrong here?\n    return 1 +", "In one line"]


def test_pasted_lines_are_one_question() -> None:
    """A terminal says where a paste begins and ends; this one does as xterm does."""
    pytest.importorskip("readline")
    with (
        replica("free-netfly", answer="Yes.") as server,
        Terminal("chat", "-p", "free-netfly", "--base-url", server.base_url) as at,
    ):
        at.wait_for("\x1b[?2004h")
        at.press("\x1b[200~def f():\n    return 1\n\x1b[201~")
        at.wait_for("return 1")
        at.press("\r")
        at.wait_for("Yes.")
        at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0
    assert [request.messages[-1]["content"].rstrip() for request in server.requests] == [
        "def f():\n    return 1"
    ]


def test_a_command_that_is_none_is_not_asked() -> None:
    with replica("free-netfly", answer="Yes.") as server, converse(server) as at:
        at.press("/forget\n")
        at.wait_for("There is no command /forget.")
        at.wait_for("> ")
        at.press("/etc/hosts: what is it?\n")
        at.wait_for("Yes.")
        at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0
    assert [request.messages[-1]["content"] for request in server.requests] == ["/etc/hosts: what is it?"]


def test_control_d_leaves() -> None:
    with replica("free-netfly") as server, converse(server) as at:
        at.press("\x04")
        assert at.wait() == 0
    assert server.requests == []
    assert "Traceback" not in at.shown


def test_control_c_stops_the_answer_and_not_the_program() -> None:
    """The server sees it at once; what was said stays in the conversation."""
    with (
        replica("free-netfly", answer=["Once upon ", "a time"], faults=[{"stall": 1}]) as server,
        converse(server) as at,
    ):
        at.press("A story?\n")
        at.wait_for("Once upon ")
        at.press("\x03")
        server.wait_disconnect()
        at.wait_for("(Stopped.)")
        at.wait_for("> ")
        at.press("Go on\n")
        at.wait_for("a time")
        at.wait_for("> ")
        assert roles_and_texts(server) == [
            ("user", "A story?"),
            ("assistant", "Once upon "),
            ("user", "Go on"),
        ]
        at.press("\x04")
        assert at.wait() == 0
    assert "Traceback" not in at.shown


def test_control_c_before_the_first_word() -> None:
    """Nothing was said, so the question is forgotten too."""
    with (
        replica("free-netfly", answer="Here.", faults=[{"delay_headers": 50}]) as server,
        converse(server) as at,
    ):
        at.press("Hello?\n")
        server.wait_requests()
        at.press("\x03")
        server.wait_disconnect()
        at.wait_for("(Stopped.)")
        at.wait_for("> ")
        at.press("Still there?\n")
        at.wait_for("Here.")
        assert roles_and_texts(server) == [("user", "Still there?")]
        at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0


def test_control_c_at_the_prompt_leaves_the_line_only() -> None:
    with replica("free-netfly") as server, converse(server) as at:
        at.press("half a ques")
        at.wait_for("half a ques")
        at.press("\x03")
        at.wait_for("Ctrl-D or /exit leaves.")
        at.wait_for("> ")
        at.press("A whole one\n")
        at.wait_for("> ")
        assert roles_and_texts(server) == [("user", "A whole one")]
        at.press("\x04")
        assert at.wait() == 0


def test_an_error_ends_the_turn_and_not_the_program() -> None:
    with (
        replica("free-netfly", answer="Fine.", faults=[{"status": 400, "error": "not like that"}]) as server,
        converse(server) as at,
    ):
        at.press("Bad?\n")
        at.wait_for("Error: [FreeNetfly gpt-3.5-turbo] HTTP 400: not like that")
        at.wait_for("> ")
        at.press("Good?\n")
        at.wait_for("Fine.")
        assert roles_and_texts(server) == [("user", "Good?")]
        at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0


def test_it_says_who_is_asked_and_where() -> None:
    with (
        replica("flow-gpt") as server,
        Terminal("chat", "-p", "flow-gpt", "--base-url", server.base_url) as at,
    ):
        assert f"FlowGpt gpt-3.5-turbo at {server.base_url}." in plain(at.wait_for("answer."))
        at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0
