"""An answer that breaks off goes on, over replicas: replay, prefill, trim, restart, or an error."""

import pickle
import re
from contextlib import ExitStack

import pytest

from freeproviders import OpenAICompatible
from freeproviders.deadlines import Timeout
from freeproviders.errors import ContentFilterError, FreeProvidersError, ProviderError, RateLimitError
from freeproviders.router.resume import Broken, Said, resumed, why_not
from freeproviders.router.resume.splice import tail_of
from freeproviders.types import (
    ChatRequest,
    Finish,
    LogProbs,
    Reasoning,
    Refusal,
    Seam,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from freeproviders.wire.openai.request import request_body
from freeproviders.wire.openai.style import Style
from tests.router.resuming import QUESTION, as_member, ask, asking, routed, served, whole
from tests.router.texts import CJK, CODE, ORDINARY, REPETITIVE

CUT = {"error": "The machine went away.", "error_at": 9}
"""A fault behind nine pieces of text."""


def pieces(text, size=12):
    return [text[at : at + size] for at in range(0, len(text), size)]


def goes_on(text, size=12, echo=False):
    """A model behind a replica: it answers with a text, and goes on behind its beginning."""

    def answer(messages):
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        assert text.startswith(begun)
        return pieces(text if echo else text[len(begun) :], size)

    return answer


def prefilled(server):
    """What the last request to a replica gave as the beginning of the answer."""
    last = server.requests[-1].json["messages"][-1]
    return last["content"] if last["role"] == "assistant" else None


@pytest.mark.parametrize("text", [ORDINARY, CODE, CJK, REPETITIVE], ids=["ordinary", "code", "CJK", "ha"])
@pytest.mark.parametrize("cut", [1, 4, 9])
async def test_replay(text, cut):
    """The same answer again: what was shown is held back, what follows goes out, and usage is the sum."""
    seams = []
    fault = {"error": "Gone.", "error_at": cut}
    with served(pieces(text, 9), faults=[fault]) as (member, server):
        answer = await whole([member], asking(listener=seams.append))
    assert answer.text == text
    assert answer.finish.reason == "stop"
    seams = [event for event in seams if isinstance(event, Seam)]
    offset = min(cut * 9, len(text))
    assert answer.finish.seams == (Seam(offset, member.name, member.name, "replay"),) == tuple(seams)
    assert len(server.requests) == 2
    assert answer.usage.input_tokens > 0
    assert answer.usage.estimated  # nobody counted the tokens of the first half


@pytest.mark.parametrize("early", [2, 4], ids=["inside what was said", "just at its end"])
async def test_who_breaks_off_before_the_rest_is_no_hop(early):
    """Nobody has seen anything of it: two hops are left, also for those who have failed once."""
    text = ORDINARY
    cut, before = {"error": "Gone.", "error_at": 4}, {"error": "Gone.", "error_at": early}
    with ExitStack() as stack:
        faults = [[cut, {"status": 503}], [before, before], [{"empty": True}, cut], [{"status": 500}]]
        served_by = [stack.enter_context(served(pieces(text, 9), "m", faults=one)) for one in faults]
        members = [member for member, _ in served_by]
        answer = await whole(members, asking(on_empty="error"))
        asked = [len(server.requests) for _, server in served_by]
    assert answer.text == text
    assert len(answer.finish.seams) == 1
    assert sum(asked) == 6
    assert asked[0] == 3  # broken, refused, and asked once more


async def test_bytes_cut_anywhere():
    """Wherever the connection breaks, inside an event or a character, the answer is whole."""
    text = ORDINARY[:60] + CJK[:20] + "\U0001f468\u200d\U0001f469 end."
    with served(pieces(text, 7)) as (member, server):
        alone = await whole([member], asking())
        for cut in range(300, 3500, 97):
            server.faults = [{"cut": cut, "chunk": 13}]
            answer = await whole([member], asking())
            assert answer.text == text == alone.text
            assert answer.finish.reason == "stop"


async def test_thinking_is_replayed_in_silence():
    """A cut inside the thinking, or behind it: it is shown once, and the answer is whole."""
    thought = [Reasoning("First this, "), Reasoning("then that.")]
    answer = [*thought, *pieces(ORDINARY)]
    for at in (1, 2, 5):
        with served(answer, faults=[{"error": "Gone.", "error_at": at}]) as (member, _):
            found = await whole([member], asking())
        assert found.text == ORDINARY
        assert found.reasoning in ("First this, ", "First this, then that.")


@pytest.mark.parametrize("at", [1, 2, 5])
async def test_a_cut_inside_thinking_in_the_text(at):
    """Thinking that a model writes into its text is told apart before the break and behind it."""
    text = f"<think>First this, then that, and so on.</think>\n\n{ORDINARY}"
    fault = {"error": "Gone.", "error_at": at}
    with served(pieces(text, 20), faults=[fault]) as (member, _):
        found = await whole([member], asking())
    assert found.text.strip() == ORDINARY
    assert "First this, then that, and so on.".startswith(found.reasoning)


async def test_a_silent_hop_and_a_refused_beginning():
    """A hop that says nothing is left at its deadline; what a service refuses is not asked for again."""
    refused = {"status": 400, "body": {"error": {"message": "prefill is not supported"}}}
    with ExitStack() as stack:
        broken, server = stack.enter_context(
            served(goes_on(ORDINARY), "m", "groq", [CUT, refused], models=["m"])
        )
        silent, _ = stack.enter_context(served(pieces(ORDINARY), "m", faults={"delay_first": 60}))
        same, _ = stack.enter_context(served(pieces(ORDINARY), "m"))
        silent = as_member(silent.backend.configured(timeout=Timeout(first_content=0.2)), "silent")
        answer = await whole([broken, silent, same], asking(temperature=1), hops=4)
        assert answer.text == ORDINARY
        assert answer.finish.seams[0].how == "trim"
        assert broken.backend.prefills() == ""
        server.faults = [CUT]
        answer = await whole([broken], asking(temperature=1))
        assert answer.finish.seams[0].how == "trim"
        assert prefilled(server) is None


async def test_another_answer_of_the_same_model_is_not_spliced():
    """A first difference ends the replay; nothing of it was shown, and the first error is raised."""
    answers = iter([pieces(ORDINARY), pieces(ORDINARY[:60] + "but something else follows here.")])
    with served(lambda messages: next(answers), faults=[CUT, {"stall": 7}]) as (member, server):
        shown = []
        with pytest.raises(ProviderError, match="went away") as caught:
            async for batch in routed([member], asking()):
                shown += batch
        await server.await_disconnect()
    text = "".join(part.text for part in shown)
    assert text == caught.value.partial == ORDINARY[: 9 * 12]
    assert "another answer" in caught.value.not_resumed
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.partial, copy.not_resumed) == (caught.value.partial, caught.value.not_resumed)


@pytest.mark.parametrize(("service", "mark"), [("mistral", "prefix"), ("vllm", "continue"), ("groq", "last")])
@pytest.mark.parametrize("echo", [False, True])
async def test_prefill_of_rows(service, mark, echo):
    """A service whose row says so goes on behind all but the tail, whether it repeats it or not."""
    with served(goes_on(ORDINARY, echo=echo), "m", service, [CUT], models=["m"]) as (member, server):
        answer = await whole([member], asking(temperature=0.7))
    assert answer.text == ORDINARY
    assert [seam.how for seam in answer.finish.seams] == ["prefill"]
    sent = server.requests[-1].json
    assert ORDINARY.startswith(prefilled(server))
    assert len(prefilled(server)) < 9 * 12
    assert ("prefix" in sent["messages"][-1]) == (mark == "prefix")
    assert (sent.get("continue_final_message"), sent.get("add_generation_prompt")) == (
        (True, False) if mark == "continue" else (None, None)
    )


async def test_a_service_that_passes_the_beginning_over():
    """It answers anew, in other words: nothing of it is shown."""
    answers = iter([pieces(ORDINARY), pieces("There are many fruits. " * 9)])
    with (
        served(lambda messages: next(answers), "m", "groq", [CUT], models=["m"]) as (member, _),
        pytest.raises(ProviderError, match="went away") as caught,
    ):
        await whole([member], asking(temperature=1), hops=1)
    assert "another answer" in caught.value.not_resumed


async def test_trim_and_its_order():
    """The same model elsewhere is asked before other models; an answer that begins with all is taken."""
    with ExitStack() as stack:
        broken, _ = stack.enter_context(served(pieces(ORDINARY), faults={**CUT}, name="a/small"))
        other, asked = stack.enter_context(served("No.", "large", name="b/large"))
        same, _ = stack.enter_context(served(pieces(ORDINARY, 5), "org/small:free", name="c/small"))
        answer = await whole([broken, other, same], asking())
        assert answer.text == ORDINARY
        assert answer.finish.seams == (Seam(108, "a/small", "c/small", "replay"),)
        assert not asked.requests
        answer = await whole([broken, same], asking(temperature=0.5))
        assert answer.finish.seams == (Seam(108, "a/small", "c/small", "trim"),)


async def test_two_hops_and_no_more():
    """A hop that breaks off behind its seam is gone on with, and two hops are the end."""
    later = {"error": "Gone too.", "error_at": 14}
    with served(pieces(ORDINARY), faults=[CUT, later, {"error": "And again.", "error_at": 16}]) as (
        member,
        server,
    ):
        with pytest.raises(ProviderError, match="And again") as caught:
            await whole([member], asking())
        assert caught.value.partial == ORDINARY[: 16 * 12]
        assert len(server.requests) == 3
        server.faults = [CUT, later]
        answer = await whole([member], asking())
    assert answer.text == ORDINARY
    assert [seam.offset for seam in answer.finish.seams] == [9 * 12, 14 * 12]


async def test_a_member_that_refuses_is_no_hop():
    """What was never sent is not counted, and a member that failed is not asked in another way."""

    def nobody(*_):
        error = RateLimitError("Spent.")
        error.attempts = 0
        raise error

    with ExitStack() as stack:
        broken, server = stack.enter_context(served(goes_on(ORDINARY), "m", "groq", [CUT], models=["m"]))
        same, _ = stack.enter_context(served(pieces(ORDINARY), "m"))

        async def asks(member, request):
            if member is broken and len(server.requests) == 1:
                nobody()
            async for batch in ask(member, request):
                yield batch

        answer = await whole([broken, same], asking(), asks=asks, hops=1)
    assert answer.text == ORDINARY
    assert len(server.requests) == 1


async def test_restart():
    """Where nobody goes on, a new answer begins; what was shown is void, and the whole answer lacks it."""
    events = []
    with ExitStack() as stack:
        broken, _ = stack.enter_context(served(pieces(ORDINARY), faults={**CUT}, name="a"))
        other, _ = stack.enter_context(served([Reasoning("Hm."), *pieces(CJK)], "large", name="b"))
        request = asking(listener=events.append)
        async for batch in routed([broken, other], request, "restart"):
            events += batch
        at = events.index(Seam(108, "a", "b", "restart"))
        assert "".join(part.text for part in events[:at] if isinstance(part, Text)) == ORDINARY[:108]
        assert "".join(part.text for part in events[at:] if isinstance(part, Text)) == CJK
        assert Reasoning("Hm.") in events[at:]
        answer = await whole([broken, other], request, "restart")
    assert answer.text == CJK
    assert answer.finish.seams == (Seam(108, "a", "b", "restart"),)


async def test_raise_is_the_default_and_asks_nobody():
    with served(pieces(ORDINARY), faults=[CUT]) as (member, server):
        with pytest.raises(ProviderError, match="went away") as caught:
            await whole([member], asking(), "raise")
        assert caught.value.partial == ORDINARY[:108]
        assert len(server.requests) == 1


async def test_stop_sequences_and_limits_span_the_seam():
    """The rest of a prefilled answer stops where the whole would; it may have the tokens that are left."""
    stop = ORDINARY[9 * 12 - 2 : 9 * 12 + 4]  # it lies across the seam
    with served(goes_on(ORDINARY), "m", "groq", [CUT], models=["m"]) as (member, server):
        request = asking(temperature=1, stop=(stop, "Store"), max_tokens=300)
        answer = await whole([member], request)
        left = server.requests[-1].json["max_tokens"]
    assert answer.text in (ORDINARY[: 9 * 12 - 2], ORDINARY[: 9 * 12])
    assert answer.finish.reason == "stop"
    assert 230 < left < 290


async def test_an_answer_that_was_complete():
    """A stop sequence that was reached, or a reason that was seen, is the end: nobody is asked."""

    member = as_member(OpenAICompatible("m", base_url="http://127.0.0.1:9/v1"), "a")
    said = Said()
    said.note([Text("All of it."), Finish("length")])
    broken = Broken(request=asking(), member=member, error=ProviderError("Late."), said=said)
    (batch,) = [batch async for batch in resumed(broken, ask)]
    assert [type(part) for part in batch] == [Usage, Finish]
    assert batch[1].reason == "length"


def served_nowhere():
    from freeproviders import OpenAICompatible

    return OpenAICompatible("m", base_url="http://127.0.0.1:9/v1")


def saying(*parts):
    said = Said()
    said.note([Text("Hello."), *parts])
    return said


TOOL = Tool("f", "does")
ALLOWED = [
    {},
    {"tools": (TOOL,), "tool_choice": "none"},
    {"response_format": {"type": "text"}},
    {"max_tokens": 60},
]
FORBIDDEN = [
    ({"tools": (TOOL,)}, (), "tools are bound"),
    ({"tools": (TOOL,), "tool_choice": "auto"}, (), "tools are bound"),
    ({"service_tools": ({"type": "web_search"},)}, (), "tools are bound"),
    ({"response_format": {"type": "json_object"}}, (), "structured"),
    ({"options": {"grammar": "root ::= 'a'"}}, (), "structured"),
    ({"n": 2}, (), "several answers"),
    ({"options": {"logprobs": True}}, (), "log probabilities"),
    ({}, (LogProbs({"content": []}),), "log probabilities"),
    ({}, (ToolCall("1", "f", {}),), "tool call"),
    ({}, (Refusal("I will not."),), "refuse"),
    ({}, (Finish("content_filter"),), "filter"),
    ({"max_tokens": 17}, (), "max_tokens"),
    ({"options": {"max_completion_tokens": 10}}, (), "max_tokens"),
]


@pytest.mark.parametrize("fields", ALLOWED)
def test_allowed(fields):
    assert why_not(ChatRequest(messages=QUESTION, **fields), saying()) == ""


@pytest.mark.parametrize(("fields", "parts", "why"), FORBIDDEN)
def test_not_allowed(fields, parts, why):
    """Each reason is said in words."""
    assert why in why_not(ChatRequest(messages=QUESTION, **fields), saying(*parts))


def test_a_filter_is_not_walked_around():
    assert "filter" in why_not(asking(), saying(), ContentFilterError("No."))


@pytest.mark.parametrize("policy", ["continue", "restart"])
async def test_not_allowed_is_raised(policy):
    """What is not allowed asks nobody, and the error says why; a restart may do without room."""
    with served(pieces(ORDINARY), faults=[CUT]) as (member, server):
        with pytest.raises(FreeProvidersError) as caught:
            await whole([member], asking(options={"logprobs": True}), policy)
        assert re.search("log probabilities", caught.value.not_resumed)
        assert len(server.requests) == 1


BEGUN = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hel"}]


@pytest.mark.parametrize(
    ("service", "messages", "options", "words"),
    [
        ("mistral", BEGUN, {}, "Assistant with prefix True"),
        ("vllm", BEGUN, {"continue_final_message": True}, "Cannot set both"),
        ("vllm", BEGUN[:1], {"continue_final_message": True, "add_generation_prompt": False}, "assistant's"),
        ("groq", BEGUN, {"continue_final_message": True, "add_generation_prompt": False}, "Unrecognized"),
    ],
)
async def test_replicas_hold_requests_to_the_row(service, messages, options, words):
    """A replica refuses the beginning of an answer that is not given as the service wants it."""
    with served("Hello.", "m", service, models=["m"]) as (member, server):
        with pytest.raises(ProviderError):
            await member.backend.complete(messages, **options)
        assert words in server.requests[-1].refusal
        rest = await whole([member], asking(prefill="Hel"))
        assert rest.text == "Hello."  # this script passes the beginning over


@pytest.mark.parametrize(
    ("prefill", "last", "beside"),
    [
        ("last", {}, {}),
        ("prefix", {"prefix": True}, {}),
        ("continue", {}, {"continue_final_message": True, "add_generation_prompt": False}),
    ],
)
def test_how_a_beginning_is_written(prefill, last, beside):
    """It is the last message; what says so is as the style has it."""
    plain = request_body(asking(), Style(prefill=prefill))
    body = request_body(asking(prefill="Hel"), Style(prefill=prefill))
    assert body == plain | beside | {
        "messages": [*plain["messages"], {"role": "assistant", "content": "Hel", **last}]
    }


def test_a_long_answer_is_looked_at_once():
    """The proof in a text of many words is found without looking at every pair of them."""
    text = " ".join(f"word{n}" for n in range(60_000))
    assert tail_of(text) == " word59998 word59999"
