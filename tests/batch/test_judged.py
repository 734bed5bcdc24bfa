"""A server that is not ours judges a batch: it counts the answers that it gave."""

import http.client
import json
import subprocess
import sys
from pathlib import Path

import pytest

from freeproviders import OpenAICompatible, Retry
from freeproviders.batch import batch
from freeproviders.types import as_messages
from freeproviders.usage import estimate_input_tokens

ROWS = 150


@pytest.fixture
def address():
    program = [sys.executable, "-I", str(Path(__file__).with_name("another_server.py"))]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    process.kill()
    process.wait()
    process.stdout.close()


def counted(address):
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    connection.request("GET", "/seen")
    told = json.loads(connection.getresponse().read())
    connection.close()
    return told


async def test_each_question_is_answered_exactly_once(address, tmp_path):
    questions = [f"question {number}" for number in range(ROWS)]
    questions[20:20] = ["never", "forbidden"]
    backend = OpenAICompatible(
        "m", base_url=f"{address}/v1", retry=Retry(attempts=3, first=0.01, longest=0.2, budget=30)
    )
    rows = []
    report = await batch(questions, backend, store=tmp_path / "answers.db", on_row=rows.append, in_flight=8)
    rows.sort(key=lambda row: row.index)
    states = {questions[row.index]: row.state for row in rows if row.state != "done"}
    assert states == {"never": "poisoned", "forbidden": "refused"}
    assert [row.completion.text for row in rows if row.completion] == [
        question.upper() for question in questions if question not in states
    ]
    told = counted(address)
    assert told["seen"] == dict.fromkeys([q for q in questions if q not in states], 1)
    assert (told["asked"]["forbidden"], told["asked"]["never"]) == (1, 9)
    # What broke off has cost its question, if a byte of it arrived: that is estimated.
    halves = sum(estimate_input_tokens(as_messages(q), "m") * times for q, times in told["broken"].items())
    assert 5 * ROWS <= report.input_tokens <= 5 * ROWS + halves
    assert halves
    await batch(questions, backend, store=tmp_path / "answers.db")
    assert counted(address) == told
