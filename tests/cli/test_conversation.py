"""`freeproviders chat` without a question, at a terminal."""

from __future__ import annotations

import shlex
import stat
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.input.vt100_parser import Vt100Parser

from freeproviders.cli.history import CONVERSATION_BYTES, LastConversation
from freeproviders.cli.keyboard import Pastes
from freeproviders.testing import Replica, replica
from tests.cli.command import COMMAND, Terminal, plain, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")


def converse(server: Replica, *more: str) -> Terminal:
    terminal = Terminal(
        "chat", "--provider", "free-netfly", "--base-url", server.base_url, *more, env={"TERM": "dumb"}
    )
    terminal.wait_for("> ")
    return terminal


READY = "\x1b[?2004h"
"""What prompt_toolkit sends when it begins to wait for keys: that pastes are to be marked."""


def edit(server: Replica, *more: str, state: Path | None = None) -> Terminal:
    """A conversation at a terminal with everything that terminals have."""
    terminal = Terminal(
        "chat",
        "--provider",
        "free-netfly",
        "--base-url",
        server.base_url,
        *more,
        env={"FREEPROVIDERS_STATE": str(state)} if state else None,
    )
    terminal.wait_for(READY)
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
        at.wait_for("Ctrl-C again, Ctrl-D or /exit leaves.")
        at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0
    texts = [request.messages[-1]["content"] for request in server.requests]
    assert texts == ["What is wrong here?\n    return 1 +", "In one line"]


def test_pasted_lines_are_one_question() -> None:
    """A terminal says where a paste begins and ends; this one does as xterm does."""
    code = "".join(f"    x += {number}  # é 漢 🙂\n" for number in range(30))
    with replica("free-netfly", answer="Yes.") as server, edit(server) as at:
        at.press(f"\x1b[200~def f():\n{code}\x1b[201~")
        at.wait_for("x += 29")
        at.press("\x1b\rAnd here?")  # Alt-Enter
        at.wait_for("And here?")
        at.press("\r")
        at.wait_for("Yes.")
        at.wait_for(READY)
        long = "y = 1\n" * 200_000
        paste = threading.Thread(target=at.press, args=(f"What is \x1b[200~{long}\x1b[201~",))
        paste.start()  # more than the terminal takes at once
        at.wait_for("[pasted text 1, 200000 lines]")
        paste.join()
        at.press("?\r")
        at.wait_for("Yes.")
        at.wait_for(READY)
        at.press('"""One\rtwo"""\r')
        at.wait_for("Yes.")
        at.wait_for(READY)
        at.press("\x04")
        assert at.wait() == 0
    assert [request.messages[-1]["content"] for request in server.requests] == [
        f"def f():\n{code}\nAnd here?",
        f"What is {long}?",
        "One\ntwo",
    ]


@given(
    st.lists(st.one_of(st.text(max_size=20), st.sampled_from(["\x1b[200~", "\x1b[201~", "\x1b["]))), st.data()
)
def test_pastes_arrive_as_they_would_piece_by_piece(texts: list[str], data: st.DataObject) -> None:
    """However the terminal cuts what it sends."""
    text = "".join(texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[begin:end] for begin, end in pairwise([0, *cuts, len(text)])]
    expected: list[Any] = []
    seen: list[Any] = []
    stock = Vt100Parser(expected.append)
    ours = Pastes(Vt100Parser(seen.append), lambda: "")
    for piece in pieces:
        stock.feed(piece)
        ours.feed(piece)
    ours.feed("\x1b[201~")  # ends a paste that is open
    stock.feed("\x1b[201~")
    assert [(key.key, key.data) for key in seen] == [(key.key, key.data) for key in expected]


def test_questions_are_found_again_in_another_session(tmp_path: Path) -> None:
    """In a file of the user's alone, and not where they are not wanted."""
    with replica("free-netfly", answer="Yes.") as server:
        for more, keys in [
            ([], "Zebras?\r"),
            (["--no-history"], "Secret?\r"),
            ([], "\x1b[A\r"),
            ([], "\x12ebr\r\r"),
        ]:
            with edit(server, *more, state=tmp_path) as at:
                at.press(keys)
                at.wait_for("Yes.")
                at.wait_for(READY)
                at.press("\x04")
                assert at.wait() == 0
    texts = [request.messages[-1]["content"] for request in server.requests]
    assert texts == ["Zebras?", "Secret?", "Zebras?", "Zebras?"]
    kept = [tmp_path / "chat", *(tmp_path / "chat").iterdir()]
    assert len(kept) == 3
    assert not [path for path in kept if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert not [path for path in kept[1:] if "Secret" in path.read_text()]


def test_a_conversation_is_gone_on_with(tmp_path: Path) -> None:
    with replica("free-netfly", answer=lambda messages: f"Answer {len(messages)}.") as server:
        with edit(server, state=tmp_path) as at:
            at.press("One?\r")
            at.wait_for("Answer 1.")
            at.wait_for(READY)
            at.press("\x04")
            assert at.wait() == 0
        words = ("chat", "-p", "free-netfly", "--base-url", server.base_url, "-c", "Two?")
        done = run(*words, env={"FREEPROVIDERS_STATE": str(tmp_path)})
        assert (done.returncode, done.stdout, done.stderr) == (0, b"Answer 3.\n", b"")
        assert run(*words, env={"FREEPROVIDERS_STATE": str(tmp_path)}).stdout == b"Answer 5.\n"
        done = run(*words, env={"FREEPROVIDERS_STATE": str(tmp_path / "another")})
        assert (done.stdout, b"no conversation to go on with" in done.stderr) == (b"Answer 1.\n", True)
        with edit(server, "--continue", state=tmp_path) as at:
            at.press("/clear\r")
            at.wait_for("Forgotten.")
            at.wait_for(READY)
            at.press("\x04")
            assert at.wait() == 0
        done = run(*words, env={"FREEPROVIDERS_STATE": str(tmp_path)})
        assert (done.stdout, b"no conversation to go on with" in done.stderr) == (b"Answer 1.\n", True)


def test_a_conversation_too_long_to_keep_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    last = LastConversation(tmp_path)
    for size, kept in ((1, 1), (CONVERSATION_BYTES, 0)):
        last.keep([{"role": "user", "content": "x" * size}])
        assert len(last.messages()) == kept


def test_files_go_with_the_next_question(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Buy ```milk```.\n")
    (tmp_path / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n and more")
    with replica("free-netfly", answer="Yes.") as server, converse(server) as at:
        for name, said in [
            ("nothing.txt", "cannot be read"),
            ("cat.png", "takes no pictures"),
            ("", "name of a file"),
        ]:
            at.press(f"/attach {name and tmp_path / name}\n")
            at.wait_for(said)
            at.wait_for("> ")
        at.press(f"/attach {tmp_path / 'notes.txt'}\n")
        at.wait_for("goes with the next question.")
        at.wait_for("> ")
        for question in ("What is to do?", "And then?"):
            at.press(f"{question}\n")
            at.wait_for("Yes.")
            at.wait_for("> ")
        at.press("\x04")
        assert at.wait() == 0
    assert [request.messages[-1]["content"] for request in server.requests] == [
        "What is to do?\n\nnotes.txt:\n````\nBuy ```milk```.\n````",
        "And then?",
    ]


def test_commands_and_files_are_completed(tmp_path: Path) -> None:
    (tmp_path / "zebra.txt").write_text("Stripes.")
    with replica("free-netfly", answer="Yes.") as server, edit(server) as at:
        at.press(f"/at\t {tmp_path}/zeb\t\r")
        at.wait_for("zebra.txt goes with the next question.")
        at.wait_for(READY)
        at.press("\x04")
        assert at.wait() == 0


@pytest.mark.parametrize("away", [">", "2>"])
def test_a_conversation_whose_output_goes_elsewhere(tmp_path: Path, away: str) -> None:
    """The questions are asked on the stream that is still a terminal; answers alone go to the file."""
    file = tmp_path / "file"
    with replica("free-netfly", answer="Yes.") as server:
        typed = shlex.join([*COMMAND, "chat", "-p", "free-netfly", "--base-url", server.base_url])
        with Terminal(command=("/bin/sh", "-c", f"{typed} {away} {shlex.quote(str(file))}")) as at:
            at.wait_for(READY)
            at.press("Hi\r")
            at.wait_for(READY)
            at.press("\x04")
            assert at.wait() == 0
    assert (file.read_text() == "Yes.\n") == (away == ">")
    assert ("Yes." in at.shown) == (away == "2>")


def test_control_c_twice_leaves() -> None:
    """On an empty line; a line that was left does not count."""
    with replica("free-netfly") as server, edit(server) as at:
        for keys in ("half a ques", "another"):
            at.press(keys)
            at.wait_for(keys[-3:])
            at.press("\x03")
            at.wait_for("Ctrl-C again")
            at.wait_for(READY)
        at.press("\x03")
        assert at.wait() == 130
    assert server.requests == []
    assert "Traceback" not in at.shown


def test_a_sign_while_an_answer_is_waited_for() -> None:
    """Erased before anything else is shown; not where nobody could erase it."""
    faults = [{"delay_headers": 1.5}, {"delay_headers": 1.5}]
    with replica("free-netfly", answer="Yes.", faults=faults) as server:
        with edit(server) as at:
            at.press("Hi\r")
            at.wait_for("Waiting...")
            assert "\r\x1b[K" in at.wait_for("Yes.")
            at.wait_for(READY)
            at.press("\x04")
            assert at.wait() == 0
        with converse(server) as at:
            at.press("Hi\n")
            at.wait_for("Yes.")
            at.wait_for("> ")
            at.press("\x04")
            assert at.wait() == 0
    assert "Waiting" not in at.shown


def test_a_command_that_is_none_is_not_asked() -> None:
    with replica("free-netfly", answer="Yes.") as server, converse(server) as at:
        at.press("/forget all of it\n")
        at.wait_for("There is no command /forget:")
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
        at.wait_for("Ctrl-C again, Ctrl-D or /exit leaves.")
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
        assert f"FlowGpt gpt-3.5-turbo at {server.base_url}." in plain(at.wait_for("typed."))
        at.wait_for(READY)
        at.press("\x04")
        assert at.wait() == 0
