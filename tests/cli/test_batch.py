"""`freeproviders batch`: a table in, a table out, and the same command goes on."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from freeproviders.testing import replica
from tests.cli.command import SECONDS, Terminal, plain, run, start

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


class Shell:
    """A folder with tables, an environment of its own, and a service that answers."""

    def __init__(self, folder: Path, service) -> None:
        self.folder = folder
        self.use(service)
        self.env = {
            "FREEPROVIDERS_STATE": str(folder / "state"),
            "FREEPROVIDERS_CACHE": str(folder / "cache"),
            "FREEPROVIDERS_CONFIG": str(folder / "config"),
            "OLLAMA_API_BASE": "http://127.0.0.1:9/v1",
        }

    def use(self, service) -> None:
        """Let another service answer."""
        self.service = service
        self.who = ("--provider", "openai-compatible", "--base-url", service.base_url, "--model", "any")

    def write(self, name: str, content: str | bytes) -> str:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def batch(self, *arguments: str, stdin: bytes = b"", who: bool = True, env=None):
        """Run the command; returns its exit code, output and the lines of standard error."""
        done = run(
            "batch", *arguments, *(self.who if who else ()), stdin=stdin, env={**self.env, **(env or {})}
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    @property
    def asked(self) -> list[str]:
        """What was asked, by the last message of each request."""
        return [json.loads(one.body)["messages"][-1]["content"] for one in self.service.requests]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with replica("openai-compatible") as service:
        yield Shell(tmp_path, service)


def objects(messages) -> str:
    """Answer with an object, whose age is the number in the question; never where that is told."""
    said = messages[1 if messages[0]["role"] == "system" else 0]["content"]
    if "Never" in said:
        return "No object at all."
    return json.dumps({"name": "Ada", "age": int("".join(filter(str.isdigit, said)) or 0)})


def test_a_table_is_asked_and_the_same_command_asks_nothing_twice(shell: Shell) -> None:
    table = shell.write("in.csv", 'id,text,language\n1,"Hello,\nyou",German\n2,Water,French\n')
    template = shell.write("p.txt", "\ufeffTranslate into {language}: {text}\n")
    line = (table, "-o", shell.path("out.csv"), "--template", template, "-s", "Be brief.")
    code, said, remarks = shell.batch(*line)
    assert (code, said) == (0, "")
    assert shell.rows("out.csv") == [
        {
            "id": number,
            "text": text,
            "language": language,
            "answer": f"Translate into {language}: {text}",
            "state": "done",
            "error": "",
            "service": "OpenAICompatible",
            "model": "any",
            "input_tokens": row["input_tokens"],
            "output_tokens": row["output_tokens"],
            "finish": "stop",
            "seams": "0",
            "attempts": "1",
        }
        for (number, text, language), row in zip(
            [("1", "Hello,\nyou", "German"), ("2", "Water", "French")], shell.rows("out.csv"), strict=True
        )
    ]
    assert "in.csv: 2 rows." in remarks
    assert "Asked: OpenAICompatible any." in remarks
    assert "2 of 2 rows have answers." in remarks
    assert len(shell.asked) == 2
    before = (shell.folder / "out.csv").read_bytes()
    code, _, remarks = shell.batch(*line)
    assert code == 0
    assert "Going on: 2 rows were done, 0 left" in remarks
    assert len(shell.asked) == 2
    assert (shell.folder / "out.csv").read_bytes() == before
    for path in [shell.folder / "state", *(shell.folder / "state").rglob("*")]:
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_rows_that_cannot_be_asked_are_named_and_the_rest_is_done(shell: Shell) -> None:
    lines = [b'{"prompt": "One?"}', b"{broken", b'{"prompt": 2}', b'{"other": "x"}', b'{"prompt": "Five?"}']
    table = shell.write("in.jsonl", b"\n".join(lines))
    code, _, remarks = shell.batch(table, "-o", shell.path("out.csv"))
    assert code == 1
    found = shell.rows("out.csv")
    assert [row["state"] for row in found] == ["done", "refused", "refused", "refused", "done"]
    assert [row["error"][:40] for row in found] == [
        "",
        "Line 2: It is not JSON: Expecting proper",
        "Line 3: The column 'prompt' holds no tex",
        "Line 4: The column 'prompt' is missing.",
        "",
    ]
    assert "3 of them cannot be asked: Line 2: It is not JSON" in remarks
    assert "2 of 5 rows have answers. 3 were refused." in remarks
    assert sorted(shell.asked) == ["Five?", "One?"]


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("a,b\n1,2\n", ("--prompt-field", "c"), "The table has no column 'c'. It has: a, b."),
        ("a,b\n1,2\n", (), "Which column is the question? Name it with --prompt-field"),
        ("a,a\n1,2\n", (), "has the column 'a' twice"),
        ("", (), "is empty: it has not even a header"),
        ("a\n1\n", ("--template", "{b}"), "The template names {b}, and the table has no such column."),
        ("a\n1\n", ("--template", "{a"), "The template has '{' on line 1"),
        ("a\n1\n", ("--template", "{a}", "--prompt-field", "a"), "choose one"),
        ("a\n1\n", ("-o", "/nowhere/out.csv"), "there is no folder /nowhere"),
        ("a\n1\n", ("-o", "out.xlsx"), "does not tell how to write it"),
        ("a\n1\n", ("-o", "in.csv", "--overwrite"), "is the table of the questions"),
        ("a\n1\n", ("--retry", "done"), "'done' is none of refused and poisoned"),
        ("a\n1\n", ("--until", "soon"), "'soon' is no time"),
        ("a\n1\n", ("--until", "2020-01-01"), "is over"),
        ("a\n1\n", ("--reserve", "1"), "--reserve"),
        ("a\n1\n", ("--models", "groq"), "choose one"),
        ("a\n1\n", ("--encoding", "klingon"), "There is no encoding 'klingon'"),
        ("a\n1\n", ("--accept-terms", "nobody"), "nobody"),
        ("a\n1\n", ("--store", "ftp://x"), "A store must be"),
    ],
)
def test_a_wrong_command_is_found_before_anything_is_sent(shell: Shell, content, options, said) -> None:
    table = shell.write("in.csv", content)
    given = list(options)
    if "--template" in given:
        given[given.index("--template") + 1] = shell.write("p.txt", given[given.index("--template") + 1])
    if "-o" in given:
        name = given[given.index("-o") + 1]
        given[given.index("-o") + 1] = name if name.startswith("/") else shell.path(name)
    else:
        given += ["-o", shell.path("out.csv")]
    code, _, remarks = shell.batch(table, *given)
    assert code == 2
    assert said in " ".join(remarks.split())
    assert not shell.service.requests
    assert not (shell.folder / "out.csv").exists()


def test_a_file_of_others_is_not_written_over(shell: Shell) -> None:
    table = shell.write("in.csv", "prompt\nHi\n")
    mine = shell.write("out.csv", "precious")
    code, _, remarks = shell.batch(table, "-o", mine)
    assert (code, Path(mine).read_text()) == (2, "precious")
    assert "--overwrite" in remarks
    assert shell.batch(table, "-o", mine, "--overwrite")[0] == 0
    assert shell.batch(table, "-o", mine)[0] == 0
    assert shell.rows("out.csv")[0]["answer"] == "Hi"


@pytest.fixture
def with_objects(shell: Shell) -> Iterator[Shell]:
    with replica("openai-compatible", answer=objects) as service:
        shell.use(service)
        yield shell


def test_fields_of_a_schema_become_columns(with_objects: Shell) -> None:
    shell = with_objects
    table = shell.write("in.csv", "text,name\nAda is 36,x\nBo is 7,y\n")
    schema = shell.write("s.json", json.dumps(SCHEMA))
    line = (table, "--prompt-field", "text", "--schema", schema)
    assert shell.batch(*line, "-o", shell.path("out.parquet"))[0] == 0
    found = pq.read_table(shell.folder / "out.parquet")
    assert found.column_names[:5] == ["text", "name", "name_2", "age", "state"]
    assert found["age"].to_pylist() == [36, 7]
    assert str(found.schema.field("age").type) == "int64"
    code, said, _ = shell.batch(*line, "-o", "-")
    assert code == 0
    assert [json.loads(one)["age"] for one in said.splitlines()] == [36, 7]
    assert len(shell.asked) == 2


def test_a_schema_that_never_fits_is_named_and_the_rest_is_done(with_objects: Shell) -> None:
    shell = with_objects
    table = shell.write("in.txt", "Ada 36\nNever\nBo 7\nCy 8\n")
    schema = shell.write("s.json", json.dumps(SCHEMA))
    code, _, remarks = shell.batch(table, "--schema", schema, "-o", shell.path("out.csv"))
    assert code == 1
    assert [(row["state"], row["age"]) for row in shell.rows("out.csv")] == [
        ("done", "36"),
        ("poisoned", ""),
        ("done", "7"),
        ("done", "8"),
    ]
    assert "1 was given up after several failures." in remarks
    assert shell.rows("out.csv")[1]["error"].count("does not fit the schema") == 1  # not once for each try


def test_a_wrong_key_ends_it_at_once_and_costs_no_row(shell: Shell) -> None:
    table = shell.write("in.txt", "a\nb\n")
    shell.service.faults = {"status": 401}
    code, _, remarks = shell.batch(table, "-o", shell.path("out.csv"))
    assert code == 1  # a shell that goes on while it is 3 would ask for ever
    assert "2 are left. Questions are not accepted, and waiting would not help." in remarks
    assert "or pass --api-key" in remarks
    assert "The same command goes on once that is mended." in remarks
    shell.service.faults = None
    assert shell.batch(table, "-o", shell.path("out.csv"))[0] == 0


def test_a_table_that_cannot_be_written_at_the_end_is_no_end(shell: Shell) -> None:
    """Its folder goes while the last row is asked; what was answered is stored."""
    folder = shell.folder / "out"
    folder.mkdir()
    shell.service.answer = lambda messages: folder.rmdir() or "Yes."
    table = shell.write("in.txt", "a\n")
    code, _, remarks = shell.batch(table, "-o", str(folder / "out.csv"))
    assert code == 1
    assert "out.csv" in remarks.splitlines()[-1]
    said = run("batch", "status", str(folder / "out.csv"), env=shell.env).stdout.decode()
    assert "1 of 1 row done" in said
    assert "It stopped, as of" in said
    assert "was killed" not in said
    folder.mkdir()
    assert shell.batch(table, "-o", str(folder / "out.csv"))[0] == 0
    assert len(shell.asked) == 1
    assert "It ended" in run("batch", "status", str(folder / "out.csv"), env=shell.env).stdout.decode()


def test_a_state_that_cannot_be_noted_costs_no_table(shell: Shell) -> None:
    notes = shell.folder / "state" / "batches"

    def answer(messages):
        shutil.rmtree(notes)
        notes.write_text("no folder")
        return "Yes."

    shell.service.answer = answer
    code, _, remarks = shell.batch(shell.write("in.txt", "a\n"), "-o", shell.path("out.csv"))
    assert code == 0
    assert remarks.count("The state of a batch cannot be noted") == 1
    assert [row["state"] for row in shell.rows("out.csv")] == ["done"]


def test_answers_in_memory_are_said_to_be_gone(shell: Shell) -> None:
    table = shell.write("in.txt", "a\n")
    for _ in range(2):
        _, _, remarks = shell.batch(table, "-o", shell.path("out.csv"), "--store", "memory")
        assert "They are gone at the end: the same command asks all rows again." in remarks
        assert "Going on" not in remarks
    assert len(shell.asked) == 2


def test_a_table_of_prompts_and_conversations(shell: Shell) -> None:
    lines = [{"prompt": "a"}, {"messages": [{"role": "user", "content": "b"}]}, {"other": 1}]
    table = shell.write("in.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    code, _, _ = shell.batch(table, "-o", shell.path("out.csv"))
    assert code == 1
    assert sorted(shell.asked) == ["a", "b"]
    assert [row["state"] for row in shell.rows("out.csv")] == ["done", "done", "refused"]


def test_errors_in_a_table_name_what_a_user_of_the_command_can_change(shell: Shell) -> None:
    shell.service.faults = {"status": 400, "body": b'{"error": {"message": "It does not support tools."}}'}
    table = shell.write("in.txt", "a\n")
    assert shell.batch(table, "-o", shell.path("out.csv"))[0] == 1
    (row,) = shell.rows("out.csv")
    assert row["error"] == "[OpenAICompatible any] HTTP 400: It does not support tools."


@pytest.mark.parametrize("given", [(), ("in.csv",)])
def test_the_usage_line_of_a_wrong_command_is_what_can_be_typed(given: tuple[str, ...]) -> None:
    done = run("batch", *given)
    assert done.returncode == 2
    usage, _, _ = done.stderr.decode().partition("\n")
    assert "freeproviders batch [OPTIONS] " in usage
    assert "TABLE" in usage  # in braces by later versions of Typer
    assert "Missing command" not in done.stderr.decode()


def test_standard_input_and_output(shell: Shell) -> None:
    for content, kind in (
        (b"prompt\nHi\n", ()),
        (b'{"prompt": "Hi"}\n', ()),
        (b"Hi\n", ("--from", "text")),
    ):
        code, said, _ = shell.batch("-", "-o", "-", *kind, "--quiet", stdin=content)
        assert code == 0
        assert json.loads(said)["answer"] == "Hi"
    assert len(shell.asked) == 1
    code, said, _ = shell.batch("-", "-o", "-", "--to", "csv", stdin=b"prompt\nHi\n")
    assert next(csv.DictReader(said.splitlines()))["answer"] == "Hi"


def test_a_batch_file_of_openai_as_it_is(shell: Shell) -> None:
    rows = [
        {
            "custom_id": f"row-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": "gpt-4o-mini",
                "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": f"Q{number}"}],
                "max_tokens": 7,
            },
        }
        for number in range(3)
    ]
    table = shell.write("in.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    assert shell.batch(table, "-o", shell.path("out.jsonl"))[0] == 0
    found = [json.loads(line) for line in (shell.folder / "out.jsonl").read_text().splitlines()]
    assert [(row["custom_id"], row["answer"], row["tool_calls"]) for row in found] == [
        (f"row-{number}", f"Q{number}", None) for number in range(3)
    ]
    sent = json.loads(shell.service.requests[0].body)
    assert (sent["model"], sent["max_tokens"], sent["messages"][0]["content"]) == ("any", 7, "S")


def test_refused_rows_are_asked_again_when_told_to(shell: Shell) -> None:
    table = shell.write("in.csv", "prompt\nOne?\nTwo?\n")
    line = (table, "-o", shell.path("out.csv"), "--in-flight", "1")
    shell.service.faults = [{"status": 400}]
    assert shell.batch(*line)[0] == 1
    assert [row["state"] for row in shell.rows("out.csv")] == ["refused", "done"]
    assert shell.batch(*line)[0] == 1
    assert len(shell.asked) == 2
    code, _, remarks = shell.batch(*line, "--retry", "refused")
    assert code == 0
    assert "1 row is asked again." in remarks
    assert shell.asked == ["One?", "Two?", "One?"]
    assert [row["state"] for row in shell.rows("out.csv")] == ["done", "done"]


def test_equal_rows_and_a_limit(shell: Shell) -> None:
    table = shell.write("in.txt", "Same?\n" * 3 + "Other?\n")
    assert shell.batch(table, "-o", shell.path("a.csv"), "--dedupe", "--limit", "3")[0] == 0
    assert (shell.asked, len(shell.rows("a.csv"))) == (["Same?"], 3)
    assert shell.batch(table, "-o", shell.path("b.csv"), "--no-dedupe")[0] == 0
    assert (len(shell.asked), len(shell.rows("b.csv"))) == (4, 4)


# --- limits ---


def test_a_limit_of_a_day_ends_a_batch_and_says_when_it_goes_on(shell: Shell) -> None:
    table = shell.write("in.txt", "".join(f"Q{number}?\n" for number in range(9)))
    line = (table, "-o", shell.path("out.csv"), "--service", "groq")
    with replica(service="groq", limits={"requests/day": 5}) as groq:
        env = {"GROQ_API_KEY": "gsk_any", "GROQ_API_BASE": groq.base_url}
        code, _, remarks = shell.batch(*line, who=False, env=env)
        assert code == 3, remarks
    assert "4 are left. No question may be asked now." in remarks
    assert "The same command goes on with them from" in remarks
    assert sorted(row["state"] for row in shell.rows("out.csv")) == ["done"] * 5 + ["exhausted"] * 4
    done = run("batch", "status", shell.path("out.csv"), "--json", env={**shell.env, **env})
    note = json.loads(done.stdout)
    assert (note["states"]["done"], note["left"], note["running"], note["ended"]) == (5, 4, False, True)
    assert note["soonest"]
    said = run("batch", "status", shell.path("out.csv"), env={**shell.env, **env}).stdout.decode()
    assert "5 of 9 rows done, 4 left" in said
    assert "The same command as before goes on with it." in said


def test_services_with_restricting_terms_are_asked_when_named(shell: Shell) -> None:
    table = shell.write("in.txt", "Hi\n")
    with replica(service="cohere", answer="Here.") as cohere:
        env = {"COHERE_API_KEY": "any", "COHERE_API_BASE": cohere.base_url}
        line = (table, "-o", shell.path("out.csv"), "--service", "cohere")
        code, _, remarks = shell.batch(*line, who=False, env=env)
        assert code == 2
        assert (
            "allow non-commercial use only. Where that is your use, name cohere in --accept-terms." in remarks
        )
        assert not cohere.requests
        assert shell.batch(*line, "--accept-terms", "cohere", who=False, env=env)[0] == 0
    assert shell.rows("out.csv")[0]["answer"] == "Here."


def test_a_router_leaves_them_out_with_a_word(shell: Shell) -> None:
    table = shell.write("in.txt", "Hi\n")
    with (
        replica(service="cohere", answer="Cohere.") as cohere,
        replica(service="groq", answer="Groq.") as groq,
    ):
        env = {
            "COHERE_API_KEY": "any",
            "COHERE_API_BASE": cohere.base_url,
            "GROQ_API_KEY": "gsk_any",
            "GROQ_API_BASE": groq.base_url,
        }
        line = (table, "-o", shell.path("out.csv"), "--models", "cohere,groq")
        code, _, remarks = shell.batch(*line, who=False, env=env)
        assert code == 0
        assert "cohere is not asked. The terms of Cohere" in remarks
        assert "Asked: groq/openai/gpt-oss-120b" in remarks
        assert not cohere.requests
    assert (shell.rows("out.csv")[0]["answer"], shell.rows("out.csv")[0]["service"]) == ("Groq.", "Groq")


# --- ends ---


def wait_for(condition, what: str) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_ctrl_c_writes_what_there_is_and_the_same_command_goes_on(shell: Shell) -> None:
    table = shell.write("in.txt", "".join(f"Q{number}?\n" for number in range(40)))
    shell.service.faults = {"delay_headers": 0.1}
    line = (table, "-o", shell.path("out.csv"), *shell.who, "--in-flight", "2")
    process = start("batch", *line, env=shell.env)
    wait_for(lambda: len(shell.service.requests) >= 6, "no rows were asked")
    process.send_signal(signal.SIGINT)
    _, remarks = process.communicate(timeout=SECONDS)
    assert process.returncode == 130, remarks.decode()
    assert b"Traceback" not in remarks
    found = shell.rows("out.csv")
    done = [row for row in found if row["state"] == "done"]
    assert len(found) == 40
    assert 1 <= len(done) < 40
    assert {row["error"] for row in found if row["state"] == "exhausted"} <= {"There is no answer yet."}
    assert b"The same command goes on with them" in remarks
    shell.service.faults = None
    before = len(shell.service.requests)
    code, _, remarks = shell.batch(*line[:3], "--in-flight", "2")
    assert code == 0
    assert len(shell.service.requests) - before == 40 - len(done)
    assert {row["state"] for row in shell.rows("out.csv")} == {"done"}
    assert [row["answer"] for row in shell.rows("out.csv")] == [row["prompt"] for row in found]


def test_one_process_at_a_time_writes_an_output(shell: Shell) -> None:
    table = shell.write("in.txt", "Q?\n")
    shell.service.faults = {"delay_headers": 30}
    line = (table, "-o", shell.path("out.csv"))
    process = start("batch", *line, *shell.who, env=shell.env)
    try:
        wait_for(lambda: shell.service.requests, "nothing was asked")
        code, _, remarks = shell.batch(*line)
        assert code == 2
        assert "Another process is writing answers for" in remarks
        note = json.loads(run("batch", "status", shell.path("out.csv"), "--json", env=shell.env).stdout)
        assert note["running"]
    finally:
        process.kill()
        process.communicate()
    said = run("batch", "status", shell.path("out.csv"), env=shell.env).stdout.decode()
    assert "It stopped" in said
    shell.service.faults = None
    assert shell.batch(*line)[0] == 0


def test_the_status_of_what_was_never_begun(shell: Shell) -> None:
    done = run("batch", "status", shell.path("out.csv"), env=shell.env)
    assert done.returncode == 2
    assert b"No batch with the output" in done.stderr


# --- what is shown ---


def test_a_terminal_shows_the_state_while_it_goes_on(shell: Shell) -> None:
    table = shell.write("in.txt", "".join(f"Q{number}?\n" for number in range(30)))
    shell.service.faults = {"delay_headers": 0.1}
    line = ("batch", table, "-o", shell.path("out.csv"), *shell.who, "--in-flight", "2")
    with Terminal(*line, env=shell.env) as terminal:
        terminal.wait_for("Asked: OpenAICompatible")
        terminal.wait_for("of 30 done, ")
        terminal.wait_for("OpenAICompatible/any ")
        terminal.press("\x03")
        terminal.wait_for("Ending: the rows in flight have a moment.")
        assert terminal.wait() == 130
    assert "\x1b[" in terminal.shown
    assert "━" in plain(terminal.shown)


@pytest.mark.parametrize("variable", ["NO_COLOR", "TERM"])
def test_a_terminal_that_cannot_be_drawn_on_gets_lines(shell: Shell, variable: str) -> None:
    table = shell.write("in.txt", "Q?\n")
    value = "dumb" if variable == "TERM" else "1"
    with Terminal(
        "batch", table, "-o", shell.path("out.csv"), *shell.who, env={**shell.env, variable: value}
    ) as terminal:
        terminal.wait_for("1 of 1 row has an answer.")
        assert terminal.wait() == 0
    assert not [code for code in ("\x1b[2m", "\x1b[31m", "\x1b[38") if code in terminal.shown]
    if variable == "TERM":
        assert "\x1b" not in terminal.shown
