"""Each dialect: texts and what is in them, however they are cut."""

import pytest

from freeproviders.tools.fence import fence
from freeproviders.tools.read.cursor import RawCall
from freeproviders.tools.read.dialects.opening import OPENER
from freeproviders.tools.read.dialects.registry import READERS
from tests.tools.reading import cuts, read, short

W = ("get_weather", {"city": "Paris"})
R = ("get_weather", {"city": "Rome"})
T = ("get_time", {})
CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
ROME = CALL.replace("Paris", "Rome")
TIME = '{"name": "get_time", "arguments": {}}'
CUT = ("fault", "the call was cut off before its end")
OPEN = ("fault", "a string in it is never closed")

HERMES = [
    (f"<tool_call>{CALL}</tool_call>", [W]),
    (f"<tool_call>\n{CALL}\n</tool_call>\n", [W]),
    (f"Let me look.\n\n<tool_call>\n{CALL}\n</tool_call>", ["Let me look.\n\n", W]),
    (f"<tool_call>{CALL}</tool_call>\nDone.", [W, "\nDone."]),
    (f"<tool_call>{CALL}</tool_call>\n<tool_call>{ROME}</tool_call>", [W, R]),
    (f"<tool_call>{CALL}", [W]),
    (f"<tool_call>{CALL}\n<tool_call>{TIME}", [W, T]),
    (f"<tool_call>{CALL[:-1]}</tool_call> done", [W, " done"]),
    (f"<tool_call>{CALL[:-2]}</tool_call> done", [W, " done"]),
    (f"<tool_call>{CALL}}}</tool_call>", [W]),
    ('<tool_call>{"name": "get_weather", "arguments": {"city": "Paris}}</tool_call> done', [OPEN, " done"]),
    (
        '<tool_call>{"name": "search", "arguments": {"q": "a </tool_call> b"}}</tool_call>',
        [("search", {"q": "a </tool_call> b"})],
    ),
    (f"<tool_call>[{CALL}, {ROME}]</tool_call>", [W, R]),
    (f"<tool_call>{CALL}\n{ROME}</tool_call>", [W, R]),
    (f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>", [W]),
    ("<tool_call>{'name': 'get_weather', 'arguments': {'city': 'Paris',},}</tool_call>", [W]),
    (
        '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}</tool_call>',
        [("get_weather", '{"city": "Paris"}')],
    ),
    ('<tool_call>{"get_weather": {"city": "Paris"}}</tool_call>', [W]),
    ('<tool_call>{"name": "fly", "arguments": {}}</tool_call>', [("fly", {})]),
    ('<tool_call>get_weather(city="Paris")</tool_call>', [W]),
    ('<tool_call>get_weather\n{"city": "Paris"}\n</tool_call>', [W]),
    (
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
        [W],
    ),
    ('<|tool_call_start|>[get_weather(city="Paris"), get_time()]<|tool_call_end|>', [W, T]),
    ('<tool_call>{"name": "get_weather", "arguments": {"city": "Pa', [CUT]),
    ('<tool_call>{"name": "get_weather", "arguments": {"city"', [CUT]),
    ('<tool_call>{"name": "get_weather", "arguments": {"city":</tool_call>', [CUT]),
    ('<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", ', [CUT]),
    (
        "<tool_call>{nothing of the kind}</tool_call>",
        [("fault", 'it is no call: it must be an object with "name" and "arguments"')],
    ),
    ("The <tool_call> tag and the </tool_call> tag.", ["The <tool_call> tag and the </tool_call> tag."]),
    (f"Write `<tool_call>{CALL}</tool_call>` for it.", [f"Write `<tool_call>{CALL}</tool_call>` for it."]),
    ("<tool_call></tool_call>", ["<tool_call></tool_call>"]),
    (f"<<tool_call>{CALL}</tool_call>", ["<", W]),
]

FENCED = [
    (f"```json\n{CALL}\n```", [W]),
    (f"```tool_call\n{CALL}\n```\n", [W]),
    (f"```\n{CALL}\n```", [W]),
    (f"Sure:\n\n```json\n{CALL}\n```\nDone", ["Sure:\n\n", W, "\nDone"]),
    (f"Sure: ```json\n{CALL}\n``` ok", ["Sure: ", W, " ok"]),
    (f"```json\n{CALL}\n```\n```json\n{TIME}\n```", [W, T]),
    (f"```json\n{CALL}\n{TIME}\n```", [W, T]),
    (f"```json\n[{CALL}, {TIME}]\n```", [W, T]),
    (f"```json\n{CALL}", [W]),
    (f"```xml\n<tool_call>{CALL}</tool_call>\n```", [W]),
    (f"```\n[TOOL_CALLS][{CALL}]\n```", [W]),
    ('```tool_code\nget_weather(city="Paris")\n```', [W]),
    ('```json\n{"city": "Paris"}\n```\n', ['```json\n{"city": "Paris"}\n```\n']),
    (f"```python\ncall = {CALL}\n```", [f"```python\ncall = {CALL}\n```"]),
    (f"```python\n{CALL}\n```\n<tool_call>{TIME}</tool_call>", [f"```python\n{CALL}\n```\n", T]),
    (f"````md\n```json\n{CALL}\n```\n````\n{TIME}", [f"````md\n```json\n{CALL}\n```\n````\n", T]),
    (f"Use ``` to open and then {CALL}\n{TIME}", [f"Use ``` to open and then {CALL}\n", T]),
    ("```json\n```", ["```json\n```"]),
    ("``` ``` ```", ["``` ``` ```"]),
    ('```json\n{"name": "get_weather", "arguments": {"city": "Pa', [CUT]),
]

BARE = [
    (CALL, [W]),
    (f"\n  {CALL}\n", [W]),
    (f"I call {CALL} now", ["I call ", W, " now"]),
    (f"{CALL}\n{TIME}", [W, T]),
    (f"{CALL}, {TIME}", [W, T]),
    (f"[{CALL}, {TIME}]", [W, T]),
    (f'{{"tool_calls": [{{"id": "1", "type": "function", "function": {CALL}}}]}}', [W]),
    (f'{{"type": "function", "function": {CALL}}}', [W]),
    (f'{{"role": "assistant", "content": null, "tool_calls": [{TIME}]}}', [T]),
    ('{"name": "get_weather", "parameters": {"city": "Paris"}}', [W]),
    ('{"arguments": {"city": "Paris"}, "name": "get_weather"}', [W]),
    ('{"tool": "get_weather", "tool_input": {"city": "Paris"}}', [W]),
    ('{"function": "get_weather", "args": {"city": "Paris"}}', [W]),
    ('{"name": "get_weather", "city": "Paris"}', [W]),
    ('{"name": "get_weather", "arguments": {"city": "Paris"}', [W]),
    ("{name: get_weather, arguments: {city: 'Paris'}}", [W]),
    ("{'name': 'search', 'arguments': {'q': 'it\\'s'}}", [("search", {"q": "it's"})]),
    (
        (
            '{ // a comment with a { and a "\n'
            '"name": "get_weather", /* } */ "arguments": {"city": "Paris"} # }\n}'
        ),
        [W],
    ),
    ('{"name": "search", "arguments": {"q": "say "hi" to me"}}', [("search", {"q": 'say "hi" to me'})]),
    ('{"name": "search", "arguments": {"q": "a\nb"}}', [("search", {"q": "a\nb"})]),
    (
        '{"name": "get_weather", "arguments": {"city": "Paris", "days": None}}',
        [("get_weather", {"city": "Paris", "days": None})],
    ),
    ('{"name": "get\\u005ftime", "arguments": {}}', [T]),
    ('{"name": "get_time"}', [T]),
    ('{"name": "bye"}', [("bye", {})]),
    ('{"name": "bye", "arguments": {}}', [("bye", {})]),
    ('{"name": "Goodbye!", "arguments": {}}', [("Goodbye!", {})]),
    ('{"name": "Ann Lee", "age": 3}', ['{"name": "Ann Lee", "age": 3}']),
    ('Well: {"name": "bye", "arguments": {}}', ['Well: {"name": "bye", "arguments": {}}']),
    ('{"name": "Alice Smith"}', ['{"name": "Alice Smith"}']),
    ('{"name": "bye", "age": 3}', ['{"name": "bye", "age": 3}']),
    ('{"name": "search", "version": "1.0"}', ['{"name": "search", "version": "1.0"}']),
    ('Here: {"name": "search"}.', ['Here: {"name": "search"}.']),
    (f'{{"users": [{CALL}]}}', [f'{{"users": [{CALL}]}}']),
    (f'{{"data": {CALL}}}', [f'{{"data": {CALL}}}']),
    ("if (x) { return {}; } [1, 2] {x} {{y}} {", ["if (x) { return {}; } [1, 2] {x} {{y}} {"]),
    ('{"tool_calls": []}', ['{"tool_calls": []}']),
    ('{"name": "get_weather", "arguments": {"city": "Pa', [CUT]),
    ('{"city": "Pa', ['{"city": "Pa']),
    (f'{{"arguments": {{"a": <tool_call>{TIME}</tool_call>', ['{"arguments": {"a": ', T]),
]

MISTRAL = [
    (f"[TOOL_CALLS][{CALL}]", [W]),
    (f"[TOOL_CALLS] [{CALL}, {TIME}]", [W, T]),
    (f"[TOOL_CALLS]{CALL}", [W]),
    ('[TOOL_CALLS]get_weather{"city": "Paris"}', [W]),
    ('[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}', [W]),
    ('[TOOL_CALLS]get_weather[CALL_ID]abc123[ARGS]{"city": "Paris"}</s>', [W]),
    ('[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}[TOOL_CALLS]get_time[ARGS]{}', [W, T]),
    (f"Sure.[TOOL_CALLS][{CALL}] bye", ["Sure.", W, "bye"]),
    (f"[TOOL_CALLS][{CALL}", [W]),
    (f"[TOOL_CALLS] [TOOL_CALLS][{CALL}]", [W]),
    ("[TOOL_CALLS][TOOL_CALLS]get_time[ARGS]{}", [T]),
    ("[TOOL_CALLS] is a token.", ["[TOOL_CALLS] is a token."]),
    # the name before the mark
    ('get_weather[TOOL_CALLS]{"city": "Paris"}', [W]),
    ('get_weather[TOOL_CALLS] {"city": "Paris"}[TOOL_CALLS]get_time[ARGS]{}', [W, T]),
    (f"get_weather[TOOL_CALLS]{CALL}", [W]),
    (f"get_weather[TOOL_CALLS][{CALL}]", ["get_weather", W]),
    ("get_weather[TOOL_CALLS] is", ["get_weather[TOOL_CALLS] is"]),
    ("get_weather[0] is the first.", ["get_weather[0] is the first."]),
    # no arguments
    ("[TOOL_CALLS]get_time", [T]),
    ("[TOOL_CALLS]get_time[ARGS]", [T]),
    ("[TOOL_CALLS]get_time</s>", [T]),
    ('[TOOL_CALLS]get_time[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}', [T, W]),
    ("[TOOL_CALLS]get_time is a name.", ["[TOOL_CALLS]get_time is a name."]),
    ("[TOOL_CALLS]get_time [1]", ["[TOOL_CALLS]get_time [1]"]),
    ("[TOOL_CA", ["[TOOL_CA"]),
]

LLAMA = [
    ('<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}', [W]),
    (f"<|python_tag|>{CALL}; {TIME}<|eom_id|>", [W, T]),
    ('<|python_tag|>get_weather.call(city="Paris")<|eom_id|>', [W]),
    ('<|python_tag|>[get_weather(city="Paris"), get_time()]', [W, T]),
    ("<|python_tag|>print(1)", ["<|python_tag|>print(1)"]),
    ("<|python", ["<|python"]),
]

FUNCTION = [
    ('<function=get_weather>{"city": "Paris"}</function>', [W]),
    ('<function=get_weather{"city": "Paris"}</function>', [W]),
    ('<function=get_weather>{"city": "Paris"}</function><function=get_time>{}</function>', [W, T]),
    ('<function=get_weather>({"city": "Paris"})</function> ok', [W, " ok"]),
    ("<function=get_time></function>", [T]),
    ("<function=get_weather><parameter=city>Paris</parameter></function>", [W]),
    (
        "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>",
        [("get_weather", {"city": "Paris", "days": "3"})],
    ),
    (
        "<function=get_weather><parameter=city>Paris<parameter=days>3</function>",
        [("get_weather", {"city": "Paris", "days": "3"})],
    ),
    (
        "<function=search><parameter=q>a < b </b> \n c</parameter></function>",
        [("search", {"q": "a < b </b> \n c"})],
    ),
    ("<function=search><parameter=q>a", [CUT]),
    ("a <function> and <function=", ["a <function> and <function="]),
]

PYTHONIC = [
    ('[get_weather(city="Paris")]', [W]),
    ('[get_weather(city="Paris"), get_time()]', [W, T]),
    (
        "Sure: [get_weather(city='Paris', days=-3)] ok",
        ["Sure: ", ("get_weather", {"city": "Paris", "days": -3}), " ok"],
    ),
    ('[get_weather("Paris", 3)]', [("get_weather", {"city": "Paris", "days": 3})]),
    ('[search(q="a ) ] \\" b")]', [("search", {"q": 'a ) ] " b'})]),
    (
        '[get_weather(city="Paris", x=[1, {"a": true}, None])]',
        [("get_weather", {"city": "Paris", "x": [1, {"a": True}, None]})],
    ),
    ('[functions.get_weather(city="Paris")', [("functions.get_weather", {"city": "Paris"})]),
    (
        "see [search](http://x), [1], [x for x in y], [get_weather]",
        ["see [search](http://x), [1], [x for x in y], [get_weather]"],
    ),
    ("[get_weather(city)] and [fly(to='x')]", ["[get_weather(city)] and [fly(to='x')]"]),
]

THINKING = [
    (
        f"<think>\nI could {CALL} or <tool_call>{CALL}</tool_call>.</think>\n\nHello",
        [("thought", f"\nI could {CALL} or <tool_call>{CALL}</tool_call>."), "Hello"],
    ),
    (f"<think>a</think>{CALL}", [("thought", "a"), W]),
    (f"\n<think>a</think>\n<tool_call>{CALL}</tool_call>", [("thought", "a"), W]),
    ("Well <think>hm</think> yes", ["Well ", ("thought", "hm"), "yes"]),
    ("<think>never ends </thi", [("thought", "never ends </thi")]),
    ("<thinking>a</thinking>b", [("thought", "a"), "b"]),
    ("a </think> b <thin", ["a </think> b <thin"]),
    (f"the ``{CALL}`` call and `{CALL}\n{TIME}", [f"the ``{CALL}`` call and `{CALL}\n", T]),
    ("the `<think>` tag", ["the `<think>` tag"]),
]

WRONG = CALL.replace("arguments", "parameters")
RESULTS = [
    (f"<tool_response>{WRONG}</tool_response> {TIME}", [W, T]),
    (f"<tool_response>\n{WRONG}", [W]),
    (f"Sure.\n<tool_response>\n{WRONG[:-1]}\n", ["Sure.\n", W]),
    (f"<tool_response>\n{WRONG}\n{TIME}\n</tool_response>\nDone", [W, T, "\nDone"]),
    (f"<tool_response>[{WRONG}, {TIME}]</tool_response>", [W, T]),
    (
        f'<tool_response>{{"temp": 3, "then": {CALL}}}</tool_response> {TIME}',
        [f'<tool_response>{{"temp": 3, "then": {CALL}}}</tool_response> ', T],
    ),
    (
        f"<tool_response>It rains. {CALL}</tool_response> {TIME}",
        [f"<tool_response>It rains. {CALL}</tool_response> ", T],
    ),
    (
        '<tool_response>{"name": "fly", "parameters": {}}</tool_response>',
        ['<tool_response>{"name": "fly", "parameters": {}}</tool_response>'],
    ),
    (f'<tool_response>{{"name": "</tool_response> {TIME}', ['<tool_response>{"name": "</tool_response> ', T]),
    ("<tool_response>[1, 2]</tool_response>", ["<tool_response>[1, 2]</tool_response>"]),
    ("<tool_response>", ["<tool_response>"]),
]

PLAIN = [
    ("", []),
    ("Hello", ["Hello"]),
    ("   ", ["   "]),
    ("  Hello\n", ["  Hello\n"]),
    ("a < b <= c << d, x[i], f{}", ["a < b <= c << d, x[i], f{}"]),
    ("`code` ``more`` {` <` [", ["`code` ``more`` {` <` ["]),
]

TABLES = {
    "hermes": HERMES, "fenced": FENCED, "bare": BARE, "mistral": MISTRAL, "llama": LLAMA,
    "function": FUNCTION, "pythonic": PYTHONIC, "thinking": THINKING,
    "results": RESULTS, "plain": PLAIN,
}  # fmt: skip
ROWS = [
    pytest.param(text, expected, id=f"{name}-{number}")
    for name, table in TABLES.items()
    for number, (text, expected) in enumerate(table)
]


@pytest.mark.parametrize(("text", "expected"), ROWS)
def test_whole(text, expected):
    """What is in a text."""
    assert short(read([text])) == expected


@pytest.mark.parametrize(("text", "expected"), ROWS)
def test_every_cut(text, expected):
    """The same at every cut, and character by character."""
    for pieces in cuts(text):
        assert short(read(pieces)) == expected, pieces


def test_begins_inside_the_reasoning():
    """A template that opens the reasoning itself: everything up to the closing tag is reasoning."""
    for pieces in cuts(f"hm {CALL}</think>\n{TIME}"):
        assert short(read(pieces, thinking=True)) == [("thought", f"hm {CALL}"), T]


def test_a_limit_is_no_forgotten_bracket():
    """Where a limit ended the answer, an open call was cut off, even between two tokens."""
    for text in (f"<tool_call>{CALL[:-1]}", CALL[:-1], f"[TOOL_CALLS][{CALL}"):
        assert short(read([text], truncated=True)) == [CUT]
        assert short(read([text])) == [W]
    for text in ("[TOOL_CALLS]get_time", '<|open|>call tool="get_time"'):
        assert short(read([text], truncated=True)) == [CUT]


def test_without_tools_everything_is_text():
    """Only reasoning is told from text where no tools are bound."""
    text = f"<tool_call>{CALL}</tool_call> {CALL}"
    assert short(read([f"<think>x</think>{text}"], ())) == [("thought", "x"), text]


def test_source_is_the_text_itself():
    """A call remembers how it was written."""
    (call,) = read([f"<tool_call>\n{CALL}\n</tool_call>"])
    assert call.source == CALL


@pytest.mark.parametrize("opener", READERS)
def test_a_dialect_is_one_row(opener):
    """What opens a call in some dialect is found in answers, and neutralised in outside texts."""
    assert OPENER.match(opener)
    assert not OPENER.search(f"{fence(opener)}.")
    assert fence(f"a {opener} b") != f"a {opener} b"


SAME = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'


@pytest.mark.parametrize(
    ("written", "calls"),
    [
        (f"[TOOL_CALLS][{SAME}, {SAME}, {SAME}, {SAME[:20]}", [("get_weather", {"city": "Oslo"})]),
        (f"[TOOL_CALLS][{SAME}, {SAME}, {SAME},", [("get_weather", {"city": "Oslo"})]),
        (f"[TOOL_CALLS][{SAME}, {SAME[:20]}", []),
        (f"[TOOL_CALLS][{SAME}, {SAME}, {SAME}, {SAME.replace('Oslo', 'Rome')[:48]}", []),
    ],
)
def test_a_list_that_repeats_one_call_until_it_is_cut_is_that_call(written, calls):
    """Tiny models do so; any other list that was cut is a fault."""
    for pieces in cuts(written):
        found = [part for part in read(pieces, truncated=True) if isinstance(part, RawCall)]
        assert [(part.name, part.arguments) for part in found if not part.fault] == calls
        assert any(part.fault for part in found) is not bool(calls)
