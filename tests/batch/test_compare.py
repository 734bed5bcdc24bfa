"""A comparison: the same questions to several models, judged, each asked once."""

import json
import subprocess
import sys

import pytest
from pydantic import BaseModel

from freeproviders import OpenAICompatible, Quota
from freeproviders.batch import Question, batch, compare, compare_sync, kept
from freeproviders.errors import AnswerStoreError, MissingKeyError, UnknownServiceError, UsageError
from freeproviders.testing import replica
from freeproviders.types import Finish, Text, ToolCall, Usage
from tests.batch.conftest import QUICK, questions


class Invoice(BaseModel):
    number: str
    total: float


def invoices(count):
    """Questions whose text is the invoice itself as JSON, with the fields that are to be found."""
    made = [{"number": f"A-{number}", "total": 2.5 * number} for number in range(count)]
    return [{"prompt": json.dumps(one), "expected": one} for one in made]


def careless(messages):
    """Wrong totals for every fourth invoice, and words in place of every fifth."""
    asked = json.loads(next(one["content"] for one in messages if one["content"].startswith("{")))
    number = int(asked["number"][2:])
    if number % 5 == 4:
        return "I would rather not."
    return json.dumps(asked | {"total": -1} if number % 4 == 3 else asked)


@pytest.fixture
def other():
    with replica(OpenAICompatible, answer=careless) as started:
        yield started


@pytest.fixture
def models(server, other):
    quota = Quota([{"metric": "requests", "per": "day", "cap": 100}], name="careful", ledger="memory")
    return {
        "careful": OpenAICompatible("m", base_url=server.base_url, retry=QUICK, quota=quota),
        "careless": OpenAICompatible("m", base_url=other.base_url, retry=QUICK),
    }


# --- the table ------------------------------------------------------------------------------------


async def test_the_table_tells_which_model_is_good_enough(other, models, store):
    found = await compare(invoices(40), models, store=store, response_format=Invoice, max_repairs=0)
    careful, careless = found.table()
    assert (careful["answered"], careful["valid"], careful["right"], careful["right_of"]) == (40, 40, 40, 40)
    assert (careless["answered"], careless["valid"], careless["right"], careless["right_of"]) == (
        32,
        32,
        24,
        40,
    )
    assert careless["valid_of"] == 40
    assert careless["errors"] == {"StructuredOutputError": 8}
    assert len(other.requests) == careless["requests"] == 40  # nobody was asked until it fitted by luck
    assert found.fields() == [
        {"field": "number", "careful": "40 of 40", "careless": "32 of 40"},
        {"field": "total", "careful": "40 of 40", "careless": "24 of 40"},
    ]
    first, second = found.verdict()
    assert first.startswith(
        "careful is right more often than careless: of 40 questions, 16 by careful alone, 0 by careless alone"
    )
    assert second.startswith("40 questions are few: 24 of 40 right may mean")
    assert (careful["requests"], careful["left"][0]["left"], careful["a_day"]) == (40, 60, 100)
    assert careful["input_tokens"] > 0 < careful["output_tokens"]
    assert 0 < careful["first_seconds"] <= careful["seconds"] <= careful["slowest_seconds"]
    text = str(found)
    assert "24 of 40 (45% to 74%)" in text
    assert "60 of 100 requests/day" in text
    wrong = found["careless"].answers[3]
    assert wrong.judgement.fields == {"number": True, "total": False}
    assert wrong.judgement.why == "Expected total 7.5, not -1.0."
    assert "I would rather not." in found["careless"].answers[4].judgement.why
    assert found.answers(4)["careless"].text == "I would rather not."
    assert found.answers(4)["careless"].judgement.valid is False
    assert found.answers(4)["careless"].usage.output_tokens > 0
    assert len(found.to_dicts()) == 80
    json.dumps([found.table(), found.to_dicts()])
    page = found._repr_html_()
    assert "Right, by field" in page
    assert "I would rather not." in page


async def test_what_cannot_be_told_is_not_ranked(models, store):
    found = await compare(invoices(4), models, store=store, response_format=Invoice)
    unclear, few = found.verdict()
    assert unclear == (
        "Whether careful or careless is right more often cannot be told from 4 questions: "
        "1 only by careful, 0 only by careless."
    )
    assert few == "4 questions are few: 3 of 4 right may mean a share anywhere between 30% and 95%."
    same = await compare(invoices(2), models, store=store, response_format=Invoice)
    assert same.verdict()[0] == "careful and careless are right on the same of 2 questions."
    plain = await compare(questions(2), {"careful": models["careful"]}, store=store)
    assert plain.verdict()[0].startswith("Nothing says what a right answer is")
    assert plain.table()[0]["right_of"] == 0


# --- the store ------------------------------------------------------------------------------------


async def test_a_model_or_a_question_that_comes_later_is_the_only_one_that_is_asked(
    server, other, models, store
):
    keywords = {"store": store, "response_format": Invoice, "max_repairs": 0}
    alone = await compare(invoices(10), [models["careful"]], **keywords)
    assert (len(server.requests), len(other.requests)) == (10, 0)
    both = await compare(invoices(10), models, **keywords)
    assert (len(server.requests), len(other.requests)) == (10, 10)
    assert both["careful"].kept == 10
    before, after = alone.table()[0], both.table()[0]
    assert after["seconds"] == before["seconds"] > 0  # as they were measured
    assert after["first_seconds"] == before["first_seconds"] > 0
    assert after["a_day"] == 100
    assert after["left"] == []  # of that time, not of now
    await compare(list(reversed(invoices(11))), models, **keywords)
    assert (len(server.requests), len(other.requests)) == (11, 11)


async def test_messages_that_can_be_read_once_are_read_by_all(server, backend, store):
    one = {"role": "user", "content": "one"}
    asked = [iter([one]), Question(iter([one])), {"messages": iter([one]), "contains": "one"}]
    models = {"first": backend, "second": backend.with_model("n")}
    found = await compare(asked, models, store=store)
    assert [model.states for model in found.models.values()] == [{"done": 3}] * 2
    assert found.questions == ("one", "one", "one")


async def test_what_a_batch_has_asked_is_not_asked_again(server, backend, store):
    await batch(questions(5), backend, store=store)
    found = await compare(questions(6), [backend], store=store, on_invalid=None)
    assert len(server.requests) == 6
    assert found["openai-compatible/m"].kept == 5
    assert found["openai-compatible/m"].seconds > 0
    rows = [row async for row in kept(questions(6), backend, store=store)]
    assert [row.completion.first_seconds is None for row in rows] == [True] * 5 + [False]


# --- what is right --------------------------------------------------------------------------------


async def judged(backend, *given, **keywords):
    found = await compare(given, {"m": backend}, store="memory", **keywords)
    return [answer.judgement for answer in found["m"]]


async def test_expected_answers_of_all_kinds(server, backend):
    server.answer = lambda messages: messages[-1]["content"].partition(":")[2]
    cases = [
        ("a: The Answer. ", "the answer", True),
        ("b:42", 42, True),
        ("c:42.5.", 42, False),
        ("d:forty", 42, False),
        ('e:{"a": 1, "b": [1, "X"]}', {"b": [1, "x"]}, True),
        ('f:{"a": 1}', {"b": None}, False),
        ("g:no", {"b": 1}, False),
        ("h:[1, 2]", [1], False),
    ]
    found = await judged(backend, *[{"prompt": said, "expected": what} for said, what, _ in cases])
    assert [one.right for one in found] == [is_right for *_, is_right in cases]
    assert found[2].why == "Expected 42, not 42.5."


async def test_contains_and_checks(backend):
    def stumbles(answer):
        return answer.missing

    def asserts(answer):
        raise AssertionError(f"Not {answer}.")

    found = await judged(
        backend,
        {"prompt": "It is Paris, I think", "contains": "paris"},
        {"prompt": "It is Rome", "contains": ["rome", "paris"]},
        {"prompt": "four", "check": lambda answer: answer == "four"},
        {"prompt": "four", "check": lambda answer: len(answer) > 9},
        {"prompt": "four", "check": lambda answer: f"It is {answer}."},
        {"prompt": "four", "check": stumbles},
        {"prompt": "four", "check": asserts},
        "four",
        Question("four", temperature=0),
    )
    assert [one.right for one in found] == [True, False, True, False, False, False, False, None, None]
    assert [one.why for one in found[3:7]] == [
        "The check says no.",
        "It is four.",
        "The check raised AttributeError: 'str' object has no attribute 'missing'",
        "The check failed: Not four.",
    ]
    assert found[1].why == "The answer lacks 'paris'."


async def test_a_check_that_says_nothing_is_told_and_no_answer_is_lost(server, backend, store):
    with pytest.raises(UsageError, match="The check of question 1 must return True, False or a text"):
        await compare([{"prompt": "x", "check": print}], [backend], store=store)
    await compare([{"prompt": "x", "check": bool}], [backend], store=store)
    assert len(server.requests) == 1


def test_a_check_may_ask_a_model_itself(server, backend, store):
    found = compare_sync(
        [{"prompt": "x", "check": lambda text: backend.complete_sync(f"Judge {text}").text == "Judge x"}],
        [backend],
        store=store,
    )
    assert found.table()[0]["right"] == 1


async def test_a_check_gets_the_object_of_a_typed_answer(backend):
    asked = '{"number": "A", "total": 3}'
    found = await judged(
        backend,
        {"prompt": asked, "check": lambda invoice: isinstance(invoice, Invoice) and invoice.total == 3},
        {"prompt": asked, "expected": Invoice(number="A", total=3)},
        {"prompt": "words", "check": lambda _: True},
        response_format=Invoice,
        max_repairs=0,
    )
    assert [(one.valid, one.right) for one in found] == [(True, True), (True, True), (False, False)]


TOOL = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}


@pytest.mark.parametrize(
    ("made", "expected", "judgement"),
    [
        ([("get_weather", {"city": "Rome", "days": 2})], ["get_weather"], (True, True, True)),
        (
            [("get_weather", {"city": "Rome", "days": 2})],
            [{"name": "get_weather", "arguments": {"city": "rome"}}],
            (True, True, True),
        ),
        (
            [("get_weather", {"city": "Rome"})],
            [{"name": "get_weather", "arguments": {"city": "Oslo"}}],
            (True, False, False),
        ),
        (
            [("get_weather", {"city": "Rome"}), ("get_weather", {"city": "Oslo"})],
            ["get_weather", {"name": "get_weather", "arguments": {"city": "Rome"}}],
            (True, True, True),
        ),
        ([], [], (True, True, True)),
        ([], ["get_weather"], (True, False, False)),
        ([("get_weather", {"city": "Rome"})], [], (True, False, False)),
        ([("get_weather", {"town": "Rome"})], ["get_weather"], (False, True, False)),
        ([("get_snow", {})], None, (False, None, False)),
    ],
)
def test_calls(made, expected, judgement):
    from freeproviders.answers.plain import to_plain
    from freeproviders.batch.cases import Case
    from freeproviders.batch.rows import Row
    from freeproviders.types import collect

    parts = [ToolCall(str(at), *call) for at, call in enumerate(made)] or [Text("Fine weather.")]
    completion = collect([*parts, Usage(3, 4), Finish()])
    assert to_plain(completion)
    case = Case({"prompt": "x", "calls": expected, "tools": [TOOL]}, 0, {})
    found = case.judge(Row(index=0, state="done", completion=completion))
    assert (found.valid, found.calls, found.right) == judgement


async def test_calls_that_are_made_are_counted(server, backend):
    server.answer = [ToolCall("1", "get_weather", {"city": "Rome"})]
    found = await compare(
        [{"prompt": "x", "calls": ["get_weather"]}, {"prompt": "y", "calls": []}],
        {"m": backend},
        store="memory",
        tools=[TOOL],
    )
    assert str(found["m"].calls).startswith("1 of 2")
    assert found["m"].answers[0].cells()["answer"] == "get_weather({'city': 'Rome'})"


# --- what fails -----------------------------------------------------------------------------------


async def test_one_that_fails_does_not_end_the_others(server, other, models, store):
    server.faults = {"status": 401}
    found = await compare(invoices(4), models, store=store, response_format=Invoice, max_repairs=0)
    careful, careless = found.table()
    assert (careful["answered"], careful["exhausted"], careful["right_of"]) == (0, 4, 0)
    assert set(careful["errors"]) == {"AuthenticationError"}  # of those that were asked before it ended
    assert careful["why"]
    assert str(found).splitlines()[-1].startswith("careful stopped: ")
    assert (careless["answered"], careless["right"]) == (4, 3)
    assert found.verdict()[-1].startswith("Without an answer yet: careful 4.")
    server.faults = None
    again = await compare(invoices(4), models, store=store, response_format=Invoice, max_repairs=0)
    assert again.table()[0]["right"] == 4
    assert len(other.requests) == 4


async def test_a_refused_question_is_not_right(server, models, store):
    server.faults = [{}, {"status": 400}]
    asked = [{"prompt": word, "expected": word} for word in ("one", "two", "three")]
    found = await compare(asked, {"m": models["careful"]}, store=store, in_flight=1)
    (row,) = found.table()
    assert (row["answered"], row["refused"], row["right"], row["right_of"]) == (2, 1, 2, 3)
    assert row["errors"] == {"BadRequestError": 1}
    assert "HTTP 400" in found["m"].answers[1].judgement.why


async def test_a_store_that_cannot_be_used_ends_all(models, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(AnswerStoreError):
        await compare(questions(2), models, store=tmp_path / "file" / "answers.sqlite3")


@pytest.mark.parametrize(
    "wrong",
    [
        ("one", None, UsageError, "questions must be a list"),
        ([], None, UsageError, "questions is empty"),
        ([{"prompt": "x", "expeted": 1}], None, UsageError, "Question 1 has expeted"),
        (["x", 5], None, UsageError, "It is question 2"),
        ([{"messages": [{"role": "nobody"}]}], None, UsageError, "It is question 1"),
        ([{"expected": 1}], None, UsageError, "needs either prompt, a text, or messages"),
        ([{"prompt": 3}], None, UsageError, "needs a text in prompt"),
        ([{"prompt": "x", "check": 3}], None, UsageError, "check must be a function"),
        ([{"prompt": "x", "calls": "get"}], None, UsageError, "calls must be a list"),
        ([{"prompt": "x", "expected": object()}], None, UsageError, "must be plain data"),
        (["x"], [], UsageError, "models is empty"),
        (["x"], "groq", UsageError, "models must be a list"),
        (["x"], ["grok-and-roll"], UnknownServiceError, "grok-and-roll"),
        (["x"], ["groq"], MissingKeyError, "GROQ_API_KEY"),
        (["x"], ["embedded", "embedded"], UsageError, "Two models are called embedded"),
    ],
)
async def test_bad_input_is_found_before_anybody_is_asked(server, backend, monkeypatch, wrong):
    given, models, error, words = wrong
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(error, match=words):
        await compare(given, [backend] if models is None else models, store="memory")
    assert not server.requests


def test_a_name_is_one_model_of_a_service(monkeypatch):
    from freeproviders.batch.compare import backends

    monkeypatch.setenv("GROQ_API_KEY", "not-a-real-key")
    found = backends(["groq", "groq/openai/gpt-oss-20b", "embedded"])
    assert len(found) == 3
    assert all(len(router.members) == 1 for router in found.values())
    assert [router.members[0].name for router in found.values()] == list(found)


# --- the picture ----------------------------------------------------------------------------------


def test_the_picture_has_labels_and_the_numbers_of_the_table(models, store):
    found = compare_sync(invoices(8), models, store=store, response_format=Invoice, max_repairs=0)
    shares, times = found.plot().axes
    for axes in (shares, times):
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_title()
    assert [label.get_text() for label in shares.get_yticklabels()] == ["careful", "careless"]
    points = [line.get_xdata()[0] for line in shares.lines if line.get_marker() == "o"]
    assert points == [100, 62.5]
    assert [len(dots.get_offsets()) for dots in times.collections] == [8, 7]  # one is no object


def test_a_picture_without_matplotlib_says_how_to_install_it():
    code = """
import sys
sys.modules["matplotlib"] = None
from freeproviders.batch import Comparison
assert "freeproviders.batch.drawing" not in sys.modules
try:
    Comparison(questions=(), models={}).plot()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'pip install ".[plot]"' in done.stdout


@pytest.mark.real
async def test_the_embedded_model_beside_a_replica(server, weights_135m, monkeypatch, store):
    monkeypatch.setenv("FREEPROVIDERS_MODEL", "smollm2-135m")
    replica_of = OpenAICompatible("m", base_url=server.base_url)
    asked = [{"prompt": f"Say the word {word}.", "contains": word} for word in ("sun", "moon")]
    found = await compare(asked, ["embedded", replica_of], store=store, max_tokens=24, temperature=0)
    assert [row["answered"] for row in found.table()] == [2, 2]
    assert found["embedded"].first_seconds > 0
    assert found["embedded"].right.of == 2
