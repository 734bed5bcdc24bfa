"""What follows a call: forgotten closing tags, and results and turns that the model makes up."""

import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.testing import replica
from freeproviders.tools.read.parser import Parser
from freeproviders.types import Finish, Text, ToolCall, Usage, collect
from tests.tools.reading import TOOLS, cuts, joined, read, short

CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
MARKUP = f"<tool_call>\n{CALL}\n</tool_call>"
TIME = '{"name": "get_time", "arguments": {}}'
W = ("get_weather", {"city": "Paris"})
T = ("get_time", {})

CALLS = [
    MARKUP,
    CALL,
    f"[TOOL_CALLS][{CALL}]",
    f"```json\n{CALL}\n```",
    '[get_weather(city="Paris")]',
    '<function=get_weather>{"city": "Paris"}</function>',
]
INVENTED = [
    "<tool_response>18 C</tool_response>\nIt is 18 degrees.",
    '<tool_response name="get_weather">\n18 C\n</tool_response>\nIt is 18 degrees.',
    '<tool_response name="get_weather" status="error">no</tool_response>',
    "<tool_responses>18 C",
    "<tool_result>18 C</tool_result>",
    "<function_results>\n18 C",
    '<tool_response>{"temp": 18}</tool_response> It is 18.',
    "<result>18 C</result>",
    "<observation>18 C</observation>",
    "<|observation|>18 C",
    "<|tool_response>18 C",
    "<|im_start|>user\n18 C",
    "<|im_end|>\n<|im_start|>user\n<tool_response>",
    "<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n18",
    "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>18",  # noqa: RUF001 - the token's own characters
    "<start_of_turn>user\n18 C",
    "[TOOL_RESULTS]18 C",
    "[/TOOL_CALLS][TOOL_RESULTS]18 C",
    "[INST] and then? [/INST]",
    "\nuser\n<tool_response>18 C</tool_response>\nassistant\nIt is 18.",
    "\nuser\n18 C",
    "\nassistant",
    "\nUser: <tool_response>18 C</tool_response>",
    "\n\nUser: thanks\nAssistant: You are welcome.",
    "\n**User:** thanks",
    "\n### Assistant: It is 18.",
    "\nObservation: 18 C",
    "\nTool result: 18 C",
    "\nTool: 18 C",
    "\nResult: 18 C\nSo it is warm.",
]


@pytest.mark.parametrize("rest", INVENTED)
@pytest.mark.parametrize("call", [MARKUP, CALL])
def test_the_answer_ends(call, rest):
    """At every cut; nothing of what follows goes out."""
    for pieces in cuts(f"{call}{rest}"):
        assert short(read(pieces)) == [W], pieces


@pytest.mark.parametrize("rest", INVENTED)
@pytest.mark.parametrize("call", CALLS)
def test_behind_every_dialect(call, rest):
    """Also with prose before the call."""
    assert short(read([f"I will look.\n{call}{rest}"])) == ["I will look.\n", W]


@pytest.mark.parametrize(
    "rest",
    [
        "<tool_response>18 C</tool_response>\nIt is 18.",
        "\nUser: and then?",
        "\nuser\nand then?",
        "<|im_start|>user\n",
        "[TOOL_RESULTS] 18",
    ],
)
def test_after_words_behind_the_call(rest):
    """Words may stand between the call and what is made up."""
    for pieces in cuts(f"{MARKUP}\nNow I wait.{rest}"):
        assert short(read(pieces)) == [W, "\nNow I wait."], pieces


def test_the_parser_reads_no_further():
    parser = Parser(TOOLS)
    assert short(parser.feed(f"{MARKUP}\n")) == [W]
    assert not parser.stopped
    assert parser.feed("<tool_response>") == parser.feed("It is 18.") == parser.close() == []
    assert parser.stopped


@pytest.mark.parametrize(
    ("rest", "kept"),
    [
        ("", []),
        ("</tool_call>", []),
        ("</function></tool_call>", []),
        ("\n</tool_call>\n</tools>\n", []),
        ("<|im_end|>", []),
        ("<|eot_id|>\n", []),
        ("</s>", []),
        ("[/TOOL_CALLS]", []),
        ("<|tool_call_end|><|tool_calls_section_end|>", []),
        (f"</tool_call>\n<tool_call>{TIME}</tool_call>", [T]),
        ("</tool_call> Done.", [" Done."]),
        ("\nDone.", ["\nDone."]),
        ("\nUsers like it: yes.", ["\nUsers like it: yes."]),
        ("\nThe user: nobody", ["\nThe user: nobody"]),
        ("\nModel T is a car.", ["\nModel T is a car."]),
        ("\nassistants\n", ["\nassistants\n"]),
        ("\nA </b> and <i>b</i> <userland> [NOTE]", ["\nA </b> and <i>b</i> <userland> [NOTE]"]),
        ("\nSee `x`\nuse it", ["\nSee `x`\nuse it"]),
    ],
)
@pytest.mark.parametrize("call", [MARKUP, CALL, '<function=get_weather>{"city": "Paris"}</function>'])
def test_what_does_not_end_it(call, rest, kept):
    """Closing tags that nothing opened are dropped right behind a call, and words stay."""
    for pieces in cuts(f"{call}{rest}"):
        assert short(read(pieces)) == [W, *kept], pieces


@pytest.mark.parametrize("rest", INVENTED)
def test_without_a_call_it_is_text(rest):
    """What is quoted in prose stays as it is."""
    text = f"They wrote{rest}"
    assert short(read([text])) == [text]
    assert joined(read(list(text))) == [Text(text)]


def test_calls_in_the_wrong_tags_are_calls():
    """Small models wrap each call as a result."""
    for pieces in cuts(f"<tool_response>{CALL}</tool_response>\n<tool_response>{TIME}</tool_response>"):
        assert short(read(pieces)) == [W, T]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("cls", [FlowGpt, OpenAICompatible])
async def test_the_request_is_closed(cls, stream):
    """What is made up is not waited for, and what a whole answer says of itself is kept."""
    said = [MARKUP, "\n", "<tool_response>", "18 C", *[" It is 18."] * 200]
    arguments = ("m",) if cls is OpenAICompatible else ()
    with replica(cls, answer=said) as r:
        provider = cls(*arguments, base_url=r.base_url, retry=0)
        request = provider.request("Weather?", tools=TOOLS, stream=stream)
        parts = [part async for batch in provider.answer(request) for part in batch]
        assert len(r.requests) == 1
    assert [type(part) for part in parts] == [ToolCall, Usage, Finish]
    assert collect(parts).text == ""
    assert parts[-1].reason == "tool_calls"
