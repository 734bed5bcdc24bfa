"""`freeproviders chat` with a question, over sockets, as a process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from base64 import b64encode
from pathlib import Path

import pytest

from freeproviders.testing import replica
from freeproviders.types import Reasoning, Text
from tests.cli.command import COMMAND, Terminal, plain, run, start
from tests.devmode import complaints

SERVICES = ("free-netfly", "chatgpt-free", "flow-gpt", "ai-chat-free", "openai-compatible")
needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")


def arguments(slug: str, base_url: str) -> list[str]:
    return [
        "chat",
        "--provider",
        slug,
        "--base-url",
        base_url,
        *(["--model", "any"] if slug == "openai-compatible" else []),
    ]


@pytest.mark.parametrize("slug", SERVICES)
def test_each_service_answers(slug: str) -> None:
    """The answer and nothing else goes to standard output, under -X dev without any warning."""
    with replica(slug, answer="Grüße aus Zürich 🙂") as server:
        done = run(*arguments(slug, server.base_url), "Hi, who is there?")
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (0, "Grüße aus Zürich 🙂\n", "")
    assert "Hi, who is there?" in server.requests[-1].messages[-1]["content"]


def test_the_console_script_is_the_same_command() -> None:
    script = Path(sysconfig.get_path("scripts")) / "freeproviders"
    with replica("flow-gpt", answer="Hello") as server:
        done = run(*arguments("FlowGpt", server.base_url), "Hi", command=[str(script)])
    assert (done.returncode, done.stdout) == (0, b"Hello\n")


def test_text_is_shown_as_it_comes_and_an_interrupt_ends_the_request() -> None:
    with (
        replica("flow-gpt", answer=["first ", "second"], faults={"stall": 1}) as server,
        start(*arguments("flow-gpt", server.base_url), "Hi") as process,
    ):
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"first "
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert server.wait_disconnect() == 1
    assert (process.returncode, out, complaints(err.decode())) == (130, b"\n", [])


def test_json_is_one_object() -> None:
    answer = [Reasoning("Hm. "), Reasoning("Yes."), Text("It "), Text("is.")]
    with replica("openai-compatible", answer=answer) as server:
        done = run(*arguments("openai-compatible", server.base_url), "--json", "Is it?")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert set(document) == {"text", "reasoning", "usage", "finish", "provider", "model"}
    assert (document["text"], document["reasoning"]) == ("It is.", "Hm. Yes.")
    assert (document["provider"], document["model"]) == ("OpenAICompatible", "any")
    assert document["finish"]["reason"] == "stop"
    assert (
        document["usage"]["total_tokens"]
        == document["usage"]["input_tokens"] + document["usage"]["output_tokens"]
        > 0
    )
    assert document["usage"]["estimated"] is False


def test_a_cut_in_what_is_not_shown_is_asked_for_again() -> None:
    """Nothing of a JSON object is shown before its end, so that it may break off and come whole."""
    faults = [{"cut": 600}, {}]
    with replica("openai-compatible", answer=["some ", "words " * 200], faults=faults) as server:
        done = run(*arguments("openai-compatible", server.base_url), "--json", "Hi")
        assert len(server.requests) == 2
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["finish"]["attempts"] == 2


def test_thinking_stays_out_of_a_pipe() -> None:
    with replica("openai-compatible", answer=[Reasoning("Hm."), Text("Yes.")]) as server:
        done = run(*arguments("openai-compatible", server.base_url), "Is it?")
    assert done.stdout == b"Yes.\n"


@needs_terminal
def test_thinking_is_dimmed_at_a_terminal() -> None:
    with (
        replica("openai-compatible", answer=[Reasoning("Hm."), Text("Yes.")]) as server,
        Terminal(*arguments("openai-compatible", server.base_url), "?") as at,
    ):
        assert at.wait() == 0
    assert at.shown == "\x1b[2mHm.\x1b[0m\r\n\r\nYes.\r\n"


@needs_terminal
def test_no_colours_where_none_are_wanted() -> None:
    with (
        replica("openai-compatible", answer=[Reasoning("Hm."), Text("Yes.")]) as server,
        Terminal(*arguments("openai-compatible", server.base_url), "?", env={"NO_COLOR": "1"}) as at,
    ):
        assert at.wait() == 0
    assert at.shown == "Hm.\r\n\r\nYes.\r\n"


@needs_terminal
def test_an_answer_cannot_play_with_the_terminal() -> None:
    """Escape sequences that would write to the clipboard or clear the screen arrive as plain text."""
    answer = "a\x1b]52;c;ZXZpbA==\x07b\x1b[2Jc\x9b31md\te\nf\rg"
    with (
        replica("flow-gpt", answer=[answer]) as server,
        Terminal(*arguments("flow-gpt", server.base_url), "?") as at,
    ):
        assert at.wait() == 0
        assert at.shown == "a]52;c;ZXZpbA==b[2Jc31md\te\r\nfg\r\n"
        piped = run(*arguments("flow-gpt", server.base_url), "?")
    assert piped.stdout.decode() == answer + "\n"  # a file gets what was sent


def test_a_cached_question_is_asked_once(tmp_path: Path) -> None:
    env = {"FREEPROVIDERS_ANSWERS": str(tmp_path / "answers.sqlite3")}
    with replica("openai-compatible", answer="It is.") as server:
        words = (*arguments("openai-compatible", server.base_url), "Is it?")
        first, again = run(*words, "--cache", env=env), run(*words, "--cache", "--json", env=env)
        assert (first.stdout, first.stderr, len(server.requests)) == (b"It is.\n", b"", 1)
        document = json.loads(again.stdout)
        assert (document["text"], document["finish"]["cached"]) == ("It is.", True)
        assert run(*words, env=env).stdout == b"It is.\n"
        assert len(server.requests) == 2  # where nobody wants a cache


def test_json_cannot_play_with_the_terminal(tmp_path: Path) -> None:
    """JSON escapes most control characters, but not those from 7F to 9F."""
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"type": "object", "properties": {"a": {"type": "string"}}}))
    answer = '{"a": "\x9b2J\\u001b]0;e\\u0007ü"}'
    with replica("openai-compatible", answer=answer) as server:
        words = (*arguments("openai-compatible", server.base_url), "?")
        typed, whole = run(*words, "--schema", str(schema)), run(*words, "--json")
    for done in (typed, whole):
        assert done.returncode == 0
        assert not [letter for letter in done.stdout.decode().rstrip("\n") if not letter.isprintable()]
    assert json.loads(typed.stdout) == json.loads(json.loads(whole.stdout)["text"])
    assert "ü" in typed.stdout.decode()


@pytest.mark.parametrize("given", [[], ["-"]])
def test_the_question_comes_from_standard_input(given: list[str]) -> None:
    with replica("flow-gpt") as server:
        done = run(*arguments("flow-gpt", server.base_url), *given, stdin="Grüße\nüber zwei Zeilen".encode())
    assert done.stdout.decode() == "Grüße\nüber zwei Zeilen\n"


def test_words_need_no_quotes() -> None:
    with replica("flow-gpt") as server:
        done = run(*arguments("flow-gpt", server.base_url), "What", "is", "5", "-", "3?")
    assert (done.returncode, done.stdout) == (0, b"What is 5 - 3?\n")


def test_a_question_about_what_is_piped_in() -> None:
    with replica("flow-gpt") as server:
        done = run(*arguments("flow-gpt", server.base_url), "Say it in a line:", "-", stdin=b"A long text.")
    assert (done.returncode, done.stdout) == (0, b"Say it in a line:\n\nA long text.\n")


@pytest.mark.parametrize("given", [b"", b" \n\t"])
def test_nothing_that_is_piped_in_is_not_sent(given: bytes) -> None:
    """Whoever wrote a - has a text in mind: an empty one is a mistake, as of a file that is not there."""
    with replica("flow-gpt") as server:
        done = run(*arguments("flow-gpt", server.base_url), "Say it in a line:", "-", stdin=given)
    assert done.returncode == 2
    assert "- stands for standard input, and that is empty." in done.stderr.decode()
    assert server.requests == []


def test_a_server_that_does_not_run() -> None:
    """It is said how it is started, not that the network may be at fault."""
    done = run("chat", "--service", "ollama", "-m", "m", "--base-url", "http://127.0.0.1:9/v1", "Hi")
    assert done.returncode == 1
    said = " ".join(done.stderr.decode().split())
    assert "start Ollama with `ollama serve`, or check --base-url." in said
    assert "network" not in said


def test_a_key_that_is_not_sent_is_not_asked_for() -> None:
    """A replica never gets the environment's key, so that to set it would be no help."""
    with replica(service="groq") as server:
        given = ["chat", "--service", "groq", "--base-url", server.base_url, "Hi"]
        done = run(*given, env={"GROQ_API_KEY": "gsk-nobody"})
        assert "Authorization" not in server.requests[-1].headers
        said = " ".join(done.stderr.decode().split())
        assert "Pass a valid --api-key." in said
        assert "GROQ_API_KEY" not in said
        assert run(*given, "--api-key", "replica").returncode == 0


@pytest.mark.skipif(sys.platform == "win32", reason="no such shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_an_output_that_is_closed(closed: str) -> None:
    with replica("flow-gpt", answer="Hello") as server:
        done = run(
            "-c",
            f'exec "$@" {closed}',
            "sh",
            *COMMAND,
            *arguments("flow-gpt", server.base_url),
            "Hi",
            command=["sh"],
        )
        assert len(server.requests) == 1
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello\n" if closed == "2>&-" else b"", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["chat", "providers", "models"])
def test_an_output_that_takes_nothing_is_one_line(command: str) -> None:
    with replica("flow-gpt", answer="Hello there") as server, Path("/dev/full").open("wb") as full:
        words = [*arguments("flow-gpt", server.base_url), "Hi"] if command == "chat" else [command]
        done = subprocess.run(
            [*COMMAND, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in only_error(done)


def test_standard_input_is_left_alone_when_there_is_a_question() -> None:
    """In a shell's loop it belongs to the loop."""
    with replica("flow-gpt") as server:
        done = run(*arguments("flow-gpt", server.base_url), "Mine", stdin=b"not mine")
    assert done.stdout == b"Mine\n"


def test_bytes_that_are_no_text_do_not_end_it() -> None:
    with replica("flow-gpt") as server:
        done = run(*arguments("flow-gpt", server.base_url), stdin=b"caf\xe9", env={"PYTHONUTF8": "1"})
    assert (done.returncode, done.stdout.decode()) == (0, "caf\ufffd\n")


def test_an_output_that_knows_no_emoji() -> None:
    with replica("flow-gpt", answer="Hi 🙂") as server:
        done = run(*arguments("flow-gpt", server.base_url), "?", env={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"Hi ?\n", b"")


def test_a_reader_that_leaves_early() -> None:
    """As `head -1` does: no traceback, and the request ends."""
    lines = [f"line {number}\n" for number in range(200_000)]
    with (
        replica("flow-gpt", answer=lines) as server,
        start(*arguments("flow-gpt", server.base_url), "?") as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(7) == b"line 0\n"
        process.stdout.close()
        err = process.stderr.read()
        process.wait(30)
        assert server.wait_disconnect() == 1
    assert complaints(err.decode()) == []


def test_what_is_asked_for_is_sent() -> None:
    with replica("openai-compatible", api_key="sk-not-a-real-key") as server:
        done = run(
            *arguments("openai-compatible", server.base_url),
            *("--system", "Be brief.", "--temperature", "0.25", "--max-tokens", "7", "Hi"),
            env={"OPENAI_COMPATIBLE_API_KEY": "sk-not-a-real-key"},
        )
    assert (done.returncode, done.stderr) == (0, b"")
    body = server.requests[-1].json
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (body["temperature"], body["max_tokens"], body["model"], body["stream"]) == (0.25, 7, "any", True)


def test_the_environment_is_the_cores() -> None:
    """The variables of the core and both adapters count here too; there is no other one for the key."""
    with replica("openai-compatible", api_key="sk-not-a-real-key", answer="Hello") as server:
        env = {
            "OPENAI_COMPATIBLE_API_BASE": server.base_url,
            "OPENAI_COMPATIBLE_API_KEY": "sk-not-a-real-key",
        }
        done = run("chat", "-p", "openai-compatible", "-m", "any", "Hi", env=env)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello\n", b"")
        env = {**env, "OPENAI_COMPATIBLE_API_KEY": "", "FREEPROVIDERS_API_KEY": "sk-not-a-real-key"}
        done = run("chat", "-p", "openai-compatible", "-m", "any", "Hi", env=env)
    assert done.returncode == 1
    assert only_error(done).endswith("Set OPENAI_COMPATIBLE_API_KEY or pass --api-key.")


PERSON = {
    "title": "person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def schema_file(folder: Path) -> str:
    (folder / "person.json").write_text(json.dumps(PERSON), encoding="utf-8")
    return str(folder / "person.json")


@pytest.mark.parametrize("slug", SERVICES)
def test_a_typed_answer(tmp_path: Path, slug: str) -> None:
    """The object alone goes to standard output, whatever the model says around it."""
    answer = 'Here it is:\n```json\n{"name": "Zoë", "age": "31"}\n```\nAnything else?'
    with replica(slug, answer=answer) as server:
        done = run(*arguments(slug, server.base_url), "--schema", schema_file(tmp_path), "Who?")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == {"name": "Zoë", "age": 31}


def test_a_typed_answer_with_what_is_known_of_it(tmp_path: Path) -> None:
    with replica("flow-gpt", answer='{"name": "Zoë", "age": 31}') as server:
        done = run(
            *arguments("flow-gpt", server.base_url), "--json", "--schema", schema_file(tmp_path), "Who?"
        )
    document = json.loads(done.stdout)
    assert document["object"] == json.loads(document["text"]) == {"name": "Zoë", "age": 31}
    assert document["provider"] == "FlowGpt"


def test_an_answer_that_does_not_fit_its_schema(tmp_path: Path) -> None:
    """The model is asked again twice; then nothing goes to standard output and the exit code is 1."""
    with replica("flow-gpt", answer='{"name": "Zoë"}') as server:
        done = run(*arguments("flow-gpt", server.base_url), "--schema", schema_file(tmp_path), "Who?")
    assert (done.returncode, done.stdout) == (1, b"")
    line = only_error(done)
    assert "[FlowGpt gpt-3.5-turbo]" in line
    assert "age" in line
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        ("[1]", "holds no JSON schema"),
        (None, "does not exist"),
        ('{"type": "objekt"}', "unknown type 'objekt'"),
        ('{"required": "name"}', "required must be a list of names"),
    ],
)
def test_a_schema_that_cannot_be_used(tmp_path: Path, text: str | None, complaint: str) -> None:
    file = tmp_path / "s.json"
    if text is not None:
        file.write_text(text)
    done = run("chat", "--provider", "flow-gpt", "--schema", str(file), "Hi", env={"COLUMNS": "400"})
    assert (done.returncode, done.stdout) == (2, b"")
    assert complaint in done.stderr.decode()


def test_what_a_service_cannot_take_is_said_in_one_line() -> None:
    with replica("ai-chat-free", answer="Hi") as server:
        done = run(*arguments("ai-chat-free", server.base_url), "--temperature", "1", "Hi")
    assert (done.returncode, done.stdout) == (0, b"Hi\n")
    assert done.stderr.decode() == "Note: AIChatFree cannot take temperature: left out of the request.\n"


def test_an_answer_that_is_not_all() -> None:
    with replica("openai-compatible", answer="Hi", faults={"no_finish": True, "no_done": True}) as server:
        done = run(*arguments("openai-compatible", server.base_url), "Hi")
    assert (done.returncode, done.stdout) == (0, b"Hi\n")
    assert done.stderr.decode() == (
        "(The connection closed before the service confirmed the end of the answer.)\n"
    )


def test_the_proxy_is_used() -> None:
    """The request goes to the proxy, whole address and all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen: list[bytes] = []

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(
                    b'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{"event": "text","data": "Hi"}'
                )

        thread = threading.Thread(target=answer)
        thread.start()
        proxy = f"http://127.0.0.1:{listener.getsockname()[1]}"
        done = run("chat", "-p", "flow-gpt", "--base-url", "http://service.invalid", "--proxy", proxy, "Hi")
        thread.join(30)
    assert (done.returncode, done.stdout) == (0, b"Hi\n")
    assert seen[0].startswith(b"POST http://service.invalid/v3/chat-anonymous HTTP/1.1\r\n")


# --- errors ---------------------------------------------------------------------------------------


def only_error(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one line on standard error."""
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("Error: ")
    return line


def test_an_error_of_the_service_is_one_line_and_exit_code_1() -> None:
    with replica("flow-gpt", faults={"status": 403, "error": "go\x1b[2J\naway"}) as server:
        done = run(*arguments("flow-gpt", server.base_url), "Hi")
    assert (done.returncode, done.stdout) == (1, b"")
    line = only_error(done)
    assert "[FlowGpt gpt-3.5-turbo] HTTP 403" in line
    assert "\x1b" not in line


def test_an_error_in_the_middle_comes_after_the_text() -> None:
    with replica(
        "free-netfly", answer=["So far ", "so good"], faults={"error": "out of order", "error_at": 1}
    ) as server:
        done = run(*arguments("free-netfly", server.base_url), "Hi")
    assert (done.returncode, done.stdout) == (1, b"So far \n")
    assert "out of order" in only_error(done)
    assert len(server.requests) == 1


def test_json_is_silent_when_there_is_no_answer() -> None:
    with replica("flow-gpt", faults={"challenge": True}) as server:
        done = run(*arguments("flow-gpt", server.base_url), "--json", "Hi")
    assert (done.returncode, done.stdout) == (1, b"")
    assert "[FlowGpt gpt-3.5-turbo]" in only_error(done)


def test_the_time_limit() -> None:
    with replica("flow-gpt", faults=[{"delay_first": 50}] * 3) as server:
        done = run(*arguments("flow-gpt", server.base_url), "--timeout", "0.3", "Hi")
    assert done.returncode == 1
    line = only_error(done)
    assert "[FlowGpt gpt-3.5-turbo] The answer was not complete within 0.3 s." in line
    assert line.endswith("Allow more with --timeout.")
    assert len(server.requests) <= 1  # the limit is the whole answer's: there is no time for a retry


def test_the_time_limit_is_above_those_of_attempts() -> None:
    """A refused attempt is tried again as long as there is time."""
    with replica("flow-gpt", answer="Hi", faults=[{"status": 503}]) as server:
        done = run(*arguments("flow-gpt", server.base_url), "--timeout", "50", "Hi")
    assert (done.returncode, done.stdout) == (0, b"Hi\n")
    assert len(server.requests) == 2


def test_errors_speak_of_options() -> None:
    """Where our advice names an argument, it is the option's name; a service's own words stay."""
    with replica(
        "openai-compatible", faults={"status": 404, "error": "Set base_url to max_tokens."}
    ) as server:
        done = run(*arguments("openai-compatible", server.base_url), "Hi")
    line = only_error(done)
    assert "HTTP 404: Set base_url to max_tokens." in line
    assert line.endswith("Check --base-url and --model.")
    assert line.count("Set base_url") == 1  # once, not in an excerpt of the body again


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["chat", "--provider", "nobody", "Hi"], "There is no provider 'nobody'"),
        (["chat", "--provider", "FlowGTP", "Hi"], "Did you mean 'flow-gpt'?"),
        (["chat", "--provider", "flow-gpt", "--model", "gpt-9", "Hi"], "gpt-9"),
        (
            ["chat", "--provider", "flow-gpt", "--base-url", "localhost:80", "Hi"],
            "--base-url must look like https://host:port",
        ),
        (["chat", "--provider", "openai-compatible", "Hi"], "--base-url is required"),
        (["chat", "--base-url", "http://127.0.0.1:1", "Hi"], "name a --service or a --provider"),
        (["chat", "--api-key", "sk-not-a-real-key", "Hi"], "name a --service or a --provider"),
        (
            ["chat", "--provider", "flow-gpt", "--max-tokens", "0", "Hi"],
            "--max-tokens must be a whole number of at least 1",
        ),
        (["chat", "--provider", "flow-gpt", "--timeout", "-1", "Hi"], "number of seconds above 0"),
        (["chat", "--temperature", "warm", "Hi"], "--temperature"),
        (["chat", "--provider", "flow-gpt", "  "], "The question is empty"),
        (["chat", "--provider", "flow-gpt"], "The question is empty"),
        (["chat", "--model", "no-such-model", "Hi"], "'no-such-model' alone is no embedded model"),
        (["chat", "--provider", "flow-gpt", "--proxy", "x", "Hi"], "--proxy must look like http://user"),
        (["models", "pull", "no-such-model"], "'no-such-model': `freeproviders models` lists them"),
        (["replica", "nobody"], "There is no replica of 'nobody'"),
        (["replica", "groq"], "'groq' is a service: write --service groq"),
        (["sing"], "sing"),
    ],
)
def test_a_wrong_command_is_exit_code_2(arguments: list[str], complaint: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    said = " ".join(done.stderr.decode().split())
    assert complaint in said
    assert "Traceback" not in said


LIMITS = (3, 12, 45)
"""Seconds that a command gets. One that gets no further than its first request tells nothing about what
comes behind: only a machine that stands still gets to the next."""


def test_a_limit_of_time_is_over_all_hops(tmp_path: Path) -> None:
    """A service that is busy and another that says nothing share it; the log says who was asked."""
    with (
        replica(service="groq", faults={"status": 503}) as groq,
        replica(service="cloudflare", faults={"delay_headers": 500}) as other,
    ):
        env = {
            "OLLAMA_API_BASE": "http://127.0.0.1:9/v1",
            "GROQ_API_KEY": "gsk_any",
            "GROQ_API_BASE": groq.base_url,
            "CLOUDFLARE_API_TOKEN": "any",
            "CLOUDFLARE_ACCOUNT_ID": "1",
            "CLOUDFLARE_API_BASE": other.base_url,
            "FREEPROVIDERS_CONFIRMED": "groq,cloudflare",
        }
        for limit in LIMITS:
            ledger = str(tmp_path / f"{limit}.sqlite")
            done = run("chat", "--timeout", str(limit), "Hi", env={**env, "FREEPROVIDERS_QUOTA": ledger})
            assert (done.returncode, done.stdout) == (1, b"")
            assert f"was not complete within {limit} s. Allow more with --timeout." in done.stderr.decode()
            if other.requests:
                break
        assert len(other.requests) == 1


def test_repairs_share_the_limit_of_time(tmp_path: Path) -> None:
    """A model that is asked again has what is left of it, and no time of its own."""
    schema = ("--schema", schema_file(tmp_path))
    for limit in LIMITS:
        faults = [{}, {"delay_headers": 500}]
        with replica("flow-gpt", answer="No object.", faults=faults) as server:
            done = run(*arguments("flow-gpt", server.base_url), *schema, "--timeout", str(limit), "Who?")
        assert (done.returncode, done.stdout) == (1, b"")
        assert f"was not complete within {limit} s." in only_error(done)
        if len(server.requests) > 1:
            break
    assert len(server.requests) == 2


def test_an_address_where_nobody_listens_is_said_plainly() -> None:
    done = run(*arguments("openai-compatible", "http://127.0.0.1:9"), "Hi")
    assert done.returncode == 1
    line = only_error(done)
    assert "Connection failed: 127.0.0.1:9: Connection refused. It was tried" in line
    assert "ssl:" not in line
    assert line.endswith("No server listens there: start the server, or check --base-url.")


def test_a_wrong_variable_is_named() -> None:
    """What came from the environment is not put down to an option that was not given."""
    done = run("chat", "-p", "flow-gpt", "Hi", env={"FLOW_GPT_API_BASE": "localhost:80"})
    assert done.returncode == 2
    assert "FLOW_GPT_API_BASE must look like https://host:port" in only_error(done)
    assert "--base-url" not in done.stderr.decode()


@needs_terminal
@pytest.mark.parametrize("option", [["--json"], ["--schema", __file__]])
def test_an_option_that_needs_a_question(option: list[str]) -> None:
    with Terminal("chat", "--provider", "flow-gpt", *option) as at:
        assert at.wait() == 2
    assert "It needs a question" in plain(at.shown)


# --- files, the environment, the log --------------------------------------------------------------

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def test_files_go_with_a_question(tmp_path: Path) -> None:
    """Text in the words, a picture as its bytes."""
    (tmp_path / "notes.md").write_bytes("\ufeffGrüße\r\n".encode())
    (tmp_path / "cat.jpg").write_bytes(PICTURE)  # what is in it counts, not its name
    with replica("openai-compatible", answer="A cat.") as server:
        files = ("-a", str(tmp_path / "notes.md"), "--attach", str(tmp_path / "cat.jpg"))
        done = run(*arguments("openai-compatible", server.base_url), *files, "What is it?")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"A cat.\n", b"")
    assert server.requests[-1].json["messages"][-1]["content"] == [
        {"type": "text", "text": "What is it?\n\nnotes.md:\n```\nGrüße\n```"},
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{b64encode(PICTURE).decode()}"},
        },
    ]


@pytest.mark.parametrize(
    ("name", "data", "complaint"),
    [
        ("cat.png", PICTURE, "takes no pictures, as cat.png is one: name another --model"),
        ("a.wav", b"RIFF\0\0\0\0WAVE", "takes no recordings"),
        ("a.pdf", b"%PDF-1.7", "takes no documents"),
        ("a.bin", b"\0\1\2", "is no text, and no picture"),
        ("a.txt", b"", "is empty"),
        ("none.txt", None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_go_is_refused_before_anything_is_sent(
    tmp_path: Path, name: str, data: bytes | None, complaint: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with replica("flow-gpt") as server:
        done = run(*arguments("flow-gpt", server.base_url), "-a", str(tmp_path / name), "What is it?")
        assert not server.requests
    assert (done.returncode, done.stdout) == (2, b"")
    said = " ".join(done.stderr.decode().split())
    assert "--attach" in said
    assert complaint in said


def test_the_environment_says_who_answers_usually() -> None:
    """An option that names somebody leaves out all of the variables that do."""
    with (
        replica("openai-compatible", answer="Usual.") as usual,
        replica("flow-gpt", answer="Other.") as other,
    ):
        env = {
            "FREEPROVIDERS_PROVIDER": "openai-compatible",
            "FREEPROVIDERS_BASE_URL": usual.base_url,
            "FREEPROVIDERS_CHAT_MODEL": "m",
            "FREEPROVIDERS_SYSTEM": "Be brief.",
            "FLOW_GPT_API_BASE": other.base_url,
        }
        assert run("chat", "Hi", env=env).stdout == b"Usual.\n"
        assert run("chat", "--system", "", "Hi", env=env).stdout == b"Usual.\n"
        assert run("chat", "-p", "flow-gpt", "Hi", env=env).stdout == b"Other.\n"
    first, second = [request.json["messages"] for request in usual.requests]
    assert [message["role"] for message in first] == ["system", "user"]
    assert [message["role"] for message in second] == ["user"]
    assert usual.requests[0].json["model"] == "m"


def test_requests_are_logged_without_keys_and_texts() -> None:
    with replica("openai-compatible", api_key="sk-not-a-real-key", answer="My answer.") as server:
        words = (*arguments("openai-compatible", server.base_url), "My question")
        env = {"OPENAI_COMPATIBLE_API_KEY": "sk-not-a-real-key"}
        once, twice = [run(*words, option, env=env) for option in ("--verbose", "-vv")]
    assert once.stdout == twice.stdout == b"My answer.\n"
    said = once.stderr.decode()
    assert f"POST {server.base_url}/chat/completions" in said
    assert "HTTP 200" in said
    assert len(twice.stderr) > len(once.stderr)
    for hidden in ("sk-not-a-real-key", "My answer", "My question"):
        assert hidden not in said + twice.stderr.decode()
