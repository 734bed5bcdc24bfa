"""The forms in which model families write calls, turns and channels, however they are cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders.tools.judge import Judge
from freeproviders.tools.read.cursor import MAX_HELD_CHARS, RawCall
from freeproviders.tools.read.dialects.families import BLOCKS, ENDS, INVOKES
from freeproviders.tools.read.parser import Parser
from freeproviders.tools.toolbox import Toolbox
from freeproviders.types import Tool, ToolCall
from tests.tools.reading import TOOLS, cuts, read, short

W = ("get_weather", {"city": "Paris"})
R = ("get_weather", {"city": "Rome"})
T = ("get_time", {})
CUT = ("fault", "the call was cut off before its end")
CALL = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
PARIS = '{"city": "Paris"}'
ROME = '{"city": "Rome"}'

SEP = "<｜tool▁sep｜>"  # noqa: RUF001 - the marks of the family
DEEPSEEK = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"  # noqa: RUF001
DEEPSEEK_CALL = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"  # noqa: RUF001
STEP = "<｜tool_calls_begin｜><｜tool_call_begin｜>", "<｜tool_call_end｜><｜tool_calls_end｜>"  # noqa: RUF001
STEP_SEP = "<｜tool_sep｜>"  # noqa: RUF001
DSML = "｜DSML｜"  # noqa: RUF001
PLAIN = ' string="true"'
MM = "]<]minimax[>["
SECTION = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"


def old_deepseek(name, arguments):
    return f"{DEEPSEEK_CALL[0]}function{SEP}{name}\n```json\n{arguments}\n```{DEEPSEEK_CALL[1]}"


def deepseek(name, arguments):
    return f"{DEEPSEEK_CALL[0]}{name}{SEP}{arguments}{DEEPSEEK_CALL[1]}"


def tags(name, prefix="", attributes="", **values):
    inner = "".join(
        f'<{prefix}parameter name="{key}"{attributes}>{value}</{prefix}parameter>\n'
        for key, value in values.items()
    )
    return f'<{prefix}invoke name="{name}">\n{inner}</{prefix}invoke>'


def kimi(name, arguments, number=0):
    head = f"<|tool_call_begin|>functions.{name}:{number}"
    return f"{head}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"


def plamo(*calls):
    """Names and arguments, one after the other."""
    tag, args = "<|plamo:{}_{}:plamo|>".format, "<|plamo:constrain|>json<|plamo:msg|>"
    inner = "".join(
        tag("begin", "tool_request")
        + f"{tag('begin', 'tool_name')}{name}{tag('end', 'tool_name')}"
        + f"{tag('begin', 'tool_arguments')}{args}{arguments}{tag('end', 'tool_arguments')}"
        + tag("end", "tool_request")
        for name, arguments in zip(calls[::2], calls[1::2], strict=True)
    )
    return f"{tag('begin', 'tool_requests')}{inner}{tag('end', 'tool_requests')}"


def glm(name, /, **values):
    inner = "".join(
        f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n" for key, value in values.items()
    )
    return f"<tool_call>{name}\n{inner}</tool_call>"


def harmony(name, arguments):
    return f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>{arguments}<|call|>"


def k3(name, /, **values):
    inner = "".join(
        f'<|open|>argument key="{key}" type="string"<|sep|>{value}<|close|>argument<|sep|>'
        for key, value in values.items()
    )
    return f'<|open|>call tool="{name}" index="1"<|sep|>{inner}<|close|>call<|sep|>'


def m3(name, /, **values):
    inner = "".join(f"{MM}<{key}>{value}{MM}</{key}>" for key, value in values.items())
    return f'{MM}<invoke name="{name}">{inner}{MM}</invoke>'


FAMILIES = {
    "deepseek-v3": [
        (DEEPSEEK[0] + old_deepseek("get_weather", PARIS) + DEEPSEEK[1], [W]),
        (
            (
                f"I look.{DEEPSEEK[0]}{old_deepseek('get_weather', PARIS)}\n{old_deepseek('get_time', '{}')}"
                f"{DEEPSEEK[1]} So."
            ),
            ["I look.", W, T, " So."],
        ),
        (old_deepseek("get_weather", PARIS), [W]),
    ],
    "deepseek-v3.1": [
        (
            DEEPSEEK[0] + deepseek("get_weather", PARIS) + deepseek("get_weather", ROME) + DEEPSEEK[1],
            [W, R],
        ),
        (f"{DEEPSEEK[0]}{DEEPSEEK_CALL[0]}get_weather{SEP}{PARIS}", [W]),
        (f"{DEEPSEEK[0]} now {deepseek('get_weather', PARIS)} so {DEEPSEEK[1]}", [W]),
        (f'{DEEPSEEK[0]}{DEEPSEEK_CALL[0]}get_weather{SEP}{{"city": "Pa', [CUT]),
    ],
    "deepseek-v3.2": [
        (f"<{DSML}function_calls>\n{tags('get_weather', DSML, city='Paris')}\n</{DSML}function_calls>", [W]),
        (
            (
                f"<{DSML}tool_calls>\n{tags('get_weather', DSML, PLAIN, city='Paris')}\n"
                f"{tags('get_time', DSML)}\n</{DSML}tool_calls>"
            ),
            [W, T],
        ),
        (f"Well.\n{tags('get_weather', DSML, city='Paris')}\n</{DSML}tool_calls>", ["Well.\n", W]),
        (
            tags("get_weather", DSML, ' string="false"', city='"Paris"', days="3", unknown="[1]"),
            [("get_weather", {"city": '"Paris"', "days": 3, "unknown": [1]})],
        ),
        (
            f"<{DSML} calls>{tags('get_weather', f'{DSML} ', PLAIN, city='Paris')}</{DSML} calls>",
            [W],
        ),
        (f'<{DSML}invoke name="get_weather">\n<{DSML}parameter name="city">Pa', [CUT]),
        *(
            (f"So.\n{opener}\n{tags('get_time', DSML)}\n{closer}", ["So.\n", T])
            for opener in (f"<{DSML}toolcalls>", f"<{DSML}tool>")
            for closer in (f"</{DSML}tool_calls>", f"</{DSML}toolcalls>")
        ),
    ],
    "plamo": [
        (f"Hm.{plamo('get_weather', PARIS, 'get_time', '{}')}<|plamo:tag|>", ["Hm.", W, T]),
        (
            f"<|plamo:begin_think:plamo|>hm<|plamo:end_think:plamo|>{plamo('get_time', '{}')}",
            [("thought", "hm"), T],
        ),
        (plamo("get_weather", '{"city": "Pa').partition("<|plamo:end_tool_arg")[0], [CUT]),
        ("So.<|plamo:tag|>", ["So."]),
    ],
    "kimi-k2": [
        (f"<|tool_calls_section_begin|>{kimi('get_weather', PARIS)}<|tool_calls_section_end|>", [W]),
        (
            (
                f"So: <|tool_calls_section_begin|>{kimi('get_weather', PARIS)}{kimi('get_time', '{}', 1)}"
                "<|tool_calls_section_end|>"
            ),
            ["So: ", W, T],
        ),
        (kimi("get_weather", PARIS), [W]),
        (f"<|tool_call_begin|>get_weather:12 <|tool_call_argument_begin|>{PARIS}", [W]),
        (kimi("get_weather", PARIS).replace(":0", ".0"), [W]),
        # words beside the calls of a section, and one that is not closed
        (
            (
                f"So: {SECTION[0]} now, {kimi('get_weather', PARIS)} then {kimi('get_time', '{}', 1)}"
                f" done {SECTION[1]} It rains."
            ),
            ["So: ", W, T, " It rains."],
        ),
        (f"{SECTION[0]}{kimi('get_weather', PARIS)} I wait <b>here</b>.", [W, " I wait <b>here</b>."]),
        (f"{SECTION[0]}{kimi('get_time', '{}')} {'la ' * 80}", [T, f" {'la ' * 80}"]),
        *(
            (text, [text])
            for text in (
                f"The token {SECTION[0]} opens them, <|tool_call_begin|> one of them. <b>So</b>",
                f"Behind {SECTION[0]} stands {'la ' * 80}",
            )
        ),
    ],
    "kimi-k3": [
        # quotes and ampersands are escaped in attributes, and nothing else
        (
            k3("get_weather", city="Paris").replace('key="city"', 'key="a<b>&amp;&quot;c"'),
            [("get_weather", {'a<b>&"c': "Paris"})],
        ),
        ('<|open|>tools<|sep|><|open|>call tool="get_time" index="1"', [CUT]),
        ("Then <|open|>call the shop<b>", ["Then <|open|>call the shop<b>"]),
        (f"<|open|>tools<|sep|>{k3('get_weather', city='Paris')}<|close|>tools<|sep|>", [W]),
        (
            (
                f"<|open|>response<|sep|>I look.<|close|>response<|sep|><|open|>tools<|sep|>{k3('get_time')}"
                f"{k3('get_weather', city='Rome')}<|close|>tools<|sep|><|close|>message<|sep|>"
            ),
            ["I look.", T, R],
        ),
        (
            (
                '<|open|>call tool="get_weather"<|sep|><|open|>argument key="days" type="number"<|sep|>3'
                '<|close|>argument<|sep|><|open|>argument key="city" type="string"<|sep|>Pa'
            ),
            [CUT],
        ),
        (
            (
                '<|open|>call tool="search" index="1"<|sep|><|open|>argument key="q" type="string"<|sep|>'
                'R&amp;D<|close|>argument<|sep|><|open|>argument key="&quot;a&amp;b&quot; (c)" type="number"'
                "<|sep|>1<|close|>argument<|sep|><|close|>call<|sep|>"
            ),
            [("search", {"q": "R&amp;D", '"a&b" (c)': 1})],
        ),
    ],
    "glm": [
        (glm("get_weather", city="Paris"), [W]),
        (glm("get_weather", city="Paris").replace("\n", ""), [W]),
        (f"Sure.\n{glm('get_time')}\n{glm('get_weather', city='Rome')}", ["Sure.\n", T, R]),
        (
            "<tool_call>search<arg_key>q</arg_key><arg_value>  a\n b\n</arg_value></tool_call>",
            [("search", {"q": "  a\n b\n"})],
        ),
        (
            "<tool_call>search<arg_key>q</arg_key><arg_value>\n</tool_call> <think>\n</arg_value>",
            [("search", {"q": "</tool_call> <think>"})],
        ),
        ("<tool_call>get_time</tool_call>", [T]),
        ("<tool_call>get_time", [CUT]),
        ("<tool_call>get_weather<arg_key>city</arg_key><arg_value>Pa", [CUT]),
        (
            "<tool_call>get_weather<arg_key>city</arg_key></tool_call>",
            [("fault", "the value of city is missing")],
        ),
    ],
    "hunyuan": [
        ("<tool_calls>\n<tool_call>get_time<tool_sep>\n</tool_call>\n</tool_calls>", [T]),
        (
            (
                "<tool_calls><tool_call>get_weather<tool_sep><arg_key>city</arg_key><arg_value>Paris</arg_value>"
                "</tool_call><tool_call>get_time<tool_sep></tool_call></tool_calls>"
            ),
            [W, T],
        ),
    ],
    "k2-horizon": [
        ("<ifm|tool_calls><ifm|tool_call>get_time</ifm|tool_call></ifm|tool_calls>", [T]),
        (
            (
                "<ifm|tool_call>get_weather<ifm|arg_key>city</ifm|arg_key><ifm|arg_type>string</ifm|arg_type>"
                "<ifm|arg_value>Paris</ifm|arg_value><ifm|arg_key>x</ifm|arg_key><ifm|arg_type>list</ifm|arg_type>"
                "<ifm|arg_value>[1]</ifm|arg_value></ifm|tool_call>"
            ),
            [("get_weather", {"city": "Paris", "x": [1]})],
        ),
    ],
    "muse": [
        (
            (
                "to=get_weather.get_weather<|message|><atem:function_calls>\n"
                f"{tags('get_weather.get_weather', 'atem:', city='Paris')}\n</atem:function_calls><|eot|>"
            ),
            [W],
        ),
    ],
    "minimax-m2": [
        (f"<minimax:tool_call>\n{tags('get_weather', city='Paris')}\n</minimax:tool_call>", [W]),
        (
            f"<minimax:tool_call>\n{tags('get_time')}\n{tags('get_weather', city='Rome')}",
            [T, R],
        ),
    ],
    "minimax-m3": [
        (f"{MM}<tool_call>\n{m3('get_weather', city='Paris')}\n{MM}</tool_call>", [W]),
        (f"Go.\n{MM}<tool_call>{m3('get_time')}{m3('get_weather', city='Rome')}", ["Go.\n", T, R]),
        (m3("get_weather", city="Paris"), [W]),
        (
            (
                f'{MM}<invoke name="search">{MM}<q>a{MM}</q>{MM}<list>{MM}<item>1{MM}</item>{MM}<item>'
                f"{MM}<x>y{MM}</x>{MM}</item>{MM}</list>{MM}<t>a{MM}</t>{MM}<t>b{MM}</t>{MM}</invoke>"
            ),
            [("search", {"q": "a", "list": ["1", {"x": "y"}], "t": ["a", "b"]})],
        ),
        (
            (
                f'{MM}<invoke name="get_time">\n{MM}<a>one {MM}<b>x{MM}</b>two{MM}</a>\n'
                f"{MM}<c>{MM}<$text>y{MM}</$text>z{MM}</c>\n{MM}</invoke>"
            ),
            [("get_time", {"a": {"b": "x", "$text": "one two"}, "c": {"$text": "y", "$$text": "z"}})],
        ),
        (
            f'{MM}<invoke name="search">{MM}<q>{MM}<b>x{MM}</b>{MM}</q>{MM}</invoke>',
            [("search", {"q": f"{MM}<b>x{MM}</b>"})],
        ),
        (
            f'{MM}<invoke name="search">{MM}<q>a{MM}</p>{MM}</invoke>',
            [("fault", "</p> closes nothing")],
        ),
        (f'{MM}<invoke name="search">{MM}<q>a', [CUT]),
        ("x]<]minimax", ["x]<]minimax"]),
    ],
    "gpt-oss": [
        (harmony("get_weather", PARIS), [W]),
        (
            "<|channel|>analysis<|message|>I must <|call|> look.<|end|><|start|>assistant"
            + harmony("get_weather", PARIS),
            [("thought", "I must <|call|> look."), ("functions.get_weather", {"city": "Paris"})],
        ),
        ("<|channel|>final<|message|>It is 3.<|return|>", ["It is 3."]),
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>It is 3.",
            [("thought", "hm"), "It is 3."],
        ),
        (
            f"<|channel|>commentary<|message|>I look.<|end|><|start|>assistant{harmony('get_time', '{}')}",
            ["I look.", ("functions.get_time", {})],
        ),
        (f"<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{PARIS}", [W]),
        (f" to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{PARIS}", [W]),
        ("<|channel|>commentary to=search<|message|>cats<|call|>", [("search", "cats")]),
        ("<|channel|>commentary to=functions.get_weather<|message|>{", [CUT]),
        ("<|channel|> is a mark.", ["<|channel|> is a mark."]),
        # as servers show it that leave the marks out
        (
            'analysisI must look.assistantcommentary to=functions.get_weather json{"city": "Paris"}',
            [("thought", "I must look."), W],
        ),
        ("analysisI know.assistantfinalIt is 3.", [("thought", "I know."), "It is 3."]),
        ("assistantfinalIt is 3.", ["It is 3."]),
        (f"commentary to=functions.get_weather json {PARIS}", [W]),
        ("analysis of it", ["analysis of it"]),
        ("commentary", ["commentary"]),
    ],
    "gemma": [
        ('<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}<tool_call|>', [W]),
        ("<start_function_call>call:get_weather{city:<escape>Paris<escape>}<end_function_call>", [W]),
        (
            'Hm.<|tool_call>call:get_time{}<tool_call|><|tool_call>:get_weather{"city":"Rome"}<tool_call|>',
            ["Hm.", T, R],
        ),
        (
            '<|tool_call>call:search{q:<|"|>a } ", b<|"|>,n:-2.5,l:[<|"|>x<|"|>,true,null],o:{k:two words}}',
            [("search", {"q": 'a } ", b', "n": -2.5, "l": ["x", True, None], "o": {"k": "two words"}})],
        ),
        ("<|channel>thought\nhm<channel|>Yes.", [("thought", "\nhm"), "Yes."]),
        ('<|tool_call>call:get_weather{city:<|"|>Pa', [CUT]),
        ("<|tool_call>call:get_weather now<tool_call|>", [("fault", "its arguments are missing")]),
    ],
    "anthropic": [
        (f"<function_calls>\n{tags('get_weather', city='Paris')}\n</function_calls>", [W]),
        (tags("get_weather", city="Paris"), [W]),
        (f'<invoke name="get_weather">{PARIS}</invoke>', [W]),
        (
            '<invoke name="get_weather"><parameter name="city">Paris</invoke> Done',
            [W, " Done"],
        ),
        ("An <invoke name= has parameters", ["An <invoke name= has parameters"]),
        ('<invoke name="get_time"/> Done', [("get_time", {}), " Done"]),
        ('<function_calls><invoke name="get_time" /></function_calls>', [("get_time", {})]),
    ],
    "step-3": [
        (
            f"{STEP[0]}function{STEP_SEP}{tags('get_weather', 'steptml:', city='Paris')}{STEP[1]}",
            [W],
        ),
    ],
    "minicpm": [
        ('<function name="get_weather"><param name="city">Paris</param></function>', [W]),
        ('<functionname="get_weather"><paramname="city">Paris</param></function>', [W]),
        (
            (
                '<function name="search"><param name="q"><![CDATA[</param> & <b>]]></param></function>\n'
                '<function name="get_time"></function>'
            ),
            [("search", {"q": "</param> & <b>"}), T],
        ),
        ('<function name="main"></function>', ['<function name="main"></function>']),
    ],
    "olmo": [
        ('<function_calls>get_weather(city="Paris")\nget_time()</function_calls>', [W, T]),
    ],
    "command": [
        (
            (
                '<|START_THINKING|>hm<|END_THINKING|><|START_ACTION|>[{"tool_call_id": "0", "tool_name": '
                f'"get_weather", "parameters": {PARIS}}}]<|END_ACTION|>'
            ),
            [("thought", "hm"), W],
        ),
        ("<|START_RESPONSE|>It is 3.<|END_RESPONSE|>", ["It is 3."]),
        (f'Action:\n```json\n[{{"tool_name": "get_weather", "parameters": {PARIS}}}]\n```', [W]),
    ],
    "inkling": [
        (
            (
                f"<|message_model|><|content_thinking|>hm<|end_message|><|message_model|><|content_text|>"
                f"I look.<|end_message|><|message_model|><|content_invoke_tool_json|>{CALL}<|end_message|>"
            ),
            [("thought", "hm"), "I look.", W],
        ),
    ],
    "solar": [
        (
            (
                "<|think|>hm<|end|><|begin|>assistant<|tool_calls|><|tool_call:begin|>a1<|tool_call:name|>"
                f"get_weather<|tool_call:args|>{PARIS}<|tool_call:end|><|tool_call:begin|>a2<|tool_call:name|>"
                "get_time<|tool_call:args|>{}<|tool_call:end|><|calls|>"
            ),
            [("thought", "hm"), W, T],
        ),
        ("<|think|>hm<|end|><|begin|>assistant<|content|>Hi<|end|>", [("thought", "hm"), "Hi"]),
    ],
    "react": [
        (f"Thought: I look.\nAction: get_weather\nAction Input: {PARIS}", ["Thought: I look.\n", W]),
        ("Action: search\nAction Input: cats and dogs\n", [("search", "cats and dogs")]),
        ("Action: get_time", [T]),
        ("Action: get_weather(city='Paris')", [W]),
        ("So.\nAction: search", ["So.\nAction: search"]),
        ("The plan.\nAction: get_wet is a word", ["The plan.\nAction: get_wet is a word"]),
        ("Legal Action: get_time", ["Legal Action: get_time"]),
    ],
    "blocks": [
        *((f"So. {opener}{CALL}{closer} Then.", ["So. ", W, " Then."]) for opener, closer in BLOCKS.items()),
        *((f"{opener}\n{CALL}", [W]) for opener in BLOCKS),
        (
            '<tools>[{"name": "saw", "arguments": {}}]</tools>',
            ['<tools>[{"name": "saw", "arguments": {}}]</tools>'],
        ),
        ("<|action_start|><|plugin|>" + CALL + "<|action_end|>", [W]),
        (f"functools[{CALL}]", [W]),
        ("functools.partial(f)", ["functools.partial(f)"]),
        (f"<|message_sep|>\n\nfunction call<|role_sep|>\n{CALL}", [W]),
        (f"<seed:tool_call><tool_call>{CALL}</tool_call></seed:tool_call>", [W]),
    ],
    "turns": [
        *((f"It is 3.{end}", ["It is 3."]) for end in ENDS),
        ("It is 3.<|eot_id|>\n<|im_end|>\n", ["It is 3."]),
        ("The mark <|im_end|> ends a turn.", ["The mark <|im_end|> ends a turn."]),
        (f"<tool_call>{CALL}</tool_call><|im_end|>", [W]),
    ],
    "python": [
        ("[search(q='a\nb')]", [("search", {"q": "a\nb"})]),
        ("[search(q='sed -n '1,2p' /x')]", [("search", {"q": "sed -n '1,2p' /x"})]),
        ("[get_weather(city='Paris', days=07)]", [("get_weather", {"city": "Paris", "days": 7})]),
        ("[search(q='a\x00b\\n')]", [("search", {"q": "a\x00b\n"})]),
    ],
}
ROWS = [
    pytest.param(text, expected, id=f"{name}-{number}")
    for name, table in FAMILIES.items()
    for number, (text, expected) in enumerate(table)
]


def names(parts):
    """Parts as plain values, with the tools' own names."""
    box = Toolbox(TOOLS)
    return [
        ((tool.name if (tool := box.match(part[0])) else part[0]), part[1])
        if isinstance(part, tuple) and part[0] not in {"thought", "fault"}
        else part
        for part in short(parts)
    ]


def plain(expected):
    return [
        (part[0].removeprefix("functions."), part[1]) if isinstance(part, tuple) else part
        for part in expected
    ]


@pytest.mark.parametrize(("text", "expected"), ROWS)
def test_each_family(text, expected):
    """What is in a text, whole and at every cut."""
    assert names(read([text])) == plain(expected)
    for pieces in cuts(text):
        assert names(read(pieces)) == plain(expected), pieces


def test_the_source_of_a_call_in_words_has_its_mark():
    """By which a fence can change it."""
    (call,) = read(["So.\nAction: search\nAction Input: cats"])[1:]
    assert call.source == "Action: search\nAction Input: cats"


CALLS = [
    pytest.param(text, id=f"{name}-{number}")
    for name, table in FAMILIES.items()
    for number, (text, expected) in enumerate(table)
    if len(expected) == 1 and isinstance(expected[0], tuple) and expected[0][0] not in {"thought", "fault"}
]


@pytest.mark.parametrize("text", CALLS)
def test_a_call_that_is_shown_is_no_call(text):
    """In reasoning, in a block of code, in a line between backticks."""
    fence = "`" * 5
    shown = [
        (f"<think>I could write {text} now.</think>No.", [("thought", f"I could write {text} now."), "No."]),
        (f"It is written so:\n{fence}python\nx = 1\n{text}\n{fence}\nSo.", None),
    ]
    if "\n" not in text and "`" not in text and text[0] in "<[{]":
        shown.append((f"Write `{text}` for it.", None))
    for answer, expected in shown:
        for pieces in ([answer], list(answer), [answer[:40], answer[40:]]):
            assert short(read(pieces)) == (expected or [answer])


@pytest.mark.parametrize("text", CALLS)
def test_without_tools_no_family_calls(text):
    """Nothing is a call where no tools are bound, and reasoning is still told from text."""
    for pieces in ([text], list(text)):
        assert not any(isinstance(part, RawCall) for part in read(pieces, ()))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
            [("thought", "hm"), "Hi"],
        ),
        ("<|message|>Hi<|eot|>", ["Hi"]),
        ("So <|message|> stands here.", ["So <|message|> stands here."]),
        (
            "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Hi<|END_RESPONSE|>",
            [("thought", "hm"), "Hi"],
        ),
        (
            (
                "<|open|>think<|sep|>hm<|close|>think<|sep|><|open|>response<|sep|>Hi<|close|>response<|sep|>"
                "<|close|>message<|sep|>"
            ),
            [("thought", "hm"), "Hi"],
        ),
        ("<|channel>thought\nhm<channel|>Hi", [("thought", "\nhm"), "Hi"]),
        ("Hi<|im_end|>", ["Hi"]),
        (" to=user<|message|>Hi<|eot|>", ["Hi"]),
    ],
)
def test_turns_and_channels_without_tools(text, expected):
    """The marks around a text are no part of it, whether tools are bound or not."""
    for tools in ((), TOOLS):
        for pieces in cuts(text):
            assert short(read(pieces, tools)) == expected


@pytest.mark.parametrize(
    "closer", ["</think>", "<|END_THINKING|>", "</mm:think>", "<|close|>think<|sep|>", "<channel|>"]
)
def test_reasoning_that_a_template_opened(closer):
    """Any family's mark ends it, since the answer does not say how it began."""
    answer = f"hm {CALL}{closer}{CALL}"
    for pieces in cuts(answer):
        assert short(read(pieces, thinking=True)) == [("thought", f"hm {CALL}"), W]


@pytest.mark.parametrize(
    "text",
    [
        DEEPSEEK[0] + deepseek("fly", "{}") + DEEPSEEK[1],
        tags("fly", DSML, to="x"),
        kimi("fly", "{}"),
        glm("fly", to="x"),
        f"<|open|>tools<|sep|>{k3('fly', to='x')}",
        m3("fly", to="x"),
        harmony("fly", "{}"),
        "<|tool_call>call:fly{}<tool_call|>",
        '<function name="fly"><param name="to">x</param></function>',
        *(f'{opener}{{"name": "fly", "arguments": {{}}}}' for opener in ("<|START_ACTION|>", "<TOOLCALL>")),
    ],
)
def test_a_call_to_no_tool_is_a_complaint(text):
    """The complaint names the tools; it is not the user's text."""
    for pieces in cuts(text):
        (call,) = read(pieces)
        assert isinstance(call, RawCall)
        assert call.name.removeprefix("functions.") == "fly"


PUT = Tool(
    "put",
    "Put it.",
    {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)
TAGGED = Tool(
    "get_weather",
    "The weather.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "array", "items": {"type": "integer"}}},
    },
)
TWICE = {
    "invoke": tags("get_weather", city="Paris").replace(
        "</invoke>", '<parameter name="{}">{}</parameter></invoke>'
    ),
    "pairs": glm("get_weather", city="Paris").replace(
        "</tool_call>", "<arg_key>{}</arg_key><arg_value>{}</arg_value></tool_call>"
    ),
    "xml": "<function=get_weather><parameter=city>Paris</parameter><parameter={}>{}</parameter></function>",
    "kimi": k3("get_weather", city="Paris").replace(
        "<|close|>call",
        '<|open|>argument key="{}" type="string"<|sep|>{}<|close|>argument<|sep|><|close|>call',
    ),
}


@pytest.mark.parametrize("form", TWICE)
def test_a_parameter_that_is_written_twice(form):
    """Of two values none is lost in silence; the same one twice is one."""
    for pieces in cuts(TWICE[form].format("city", "Rome")):
        assert short(read(pieces)) == [("fault", "city has two values: make one call for each")]
    assert short(read([TWICE[form].format("city", "Paris")])) == [W]


@pytest.mark.parametrize("form", ["invoke", "pairs", "xml"])
def test_a_list_that_is_written_item_by_item(form):
    text = TWICE[form].replace("city", "days").replace("Paris", "1").format("days", "2")
    for pieces in cuts(text):
        (raw,) = read(pieces, [TAGGED])
        assert Judge(Toolbox([TAGGED])).judge(raw).arguments == {"days": [1, 2]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # a parameter's end, and a call's
        (
            tags("put", DSML, PLAIN, a="x<y>", b="z").replace(f"x<y></{DSML}parameter>\n", "x<y>"),
            {"a": "x<y>", "b": "z"},
        ),
        (
            f"<{DSML}tool_calls>\n"
            + tags("put", DSML, PLAIN, a="x", b="y").replace(f"</{DSML}invoke>", "")
            + f"</{DSML}tool_calls>",
            {"a": "x", "b": "y"},
        ),
        (
            "<minimax:tool_call>"
            + tags("put", a="x", b="y").replace("</invoke>", "")
            + "</minimax:tool_call>",
            {"a": "x", "b": "y"},
        ),
        # texts that are said to be as they are, and texts on lines of their own
        (tags("put", DSML, PLAIN, a="\nx\n", b="y\n"), {"a": "\nx\n", "b": "y\n"}),
        (m3("put", a="\nx\n", b="y"), {"a": "\nx\n", "b": "y"}),
        (k3("put", a="\nx\n", b="y"), {"a": "\nx\n", "b": "y"}),
        (tags("put", a="\nx\n", b="y"), {"a": "x", "b": "y"}),
    ],
)
def test_where_a_value_ends(text, expected):
    for pieces in cuts(text):
        assert short(read(pieces, [PUT])) == [("put", expected)], pieces


@pytest.mark.parametrize("form", ["invoke", "xml", "m3"])
def test_a_list_without_items(form):
    text = m3("get_weather", days="") if form == "m3" else TWICE[form].format("days", "\n")
    (raw,) = read([text], [TAGGED])
    assert raw.arguments["days"] == []


def test_a_mark_that_words_go_on_behind():
    """The model thinks aloud about the mark, and then calls."""
    text = f"I write <tool_call>:\n<tool_call>{CALL}</tool_call>"
    for pieces in cuts(text):
        assert short(read(pieces)) == ["I write <tool_call>:\n", W]


LFM = "<|tool_call_start|>", "<|tool_call_end|>"
PYTHON = '[get_weather(city="Paris")]'


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (f"{PYTHON}{LFM[1]}", [W]),
        (f"{PYTHON}{LFM[1]}I wait.", [W, "I wait."]),
        (f"{LFM[0]}{PYTHON}{LFM[1]}", [W, W]),
        (f"{PYTHON}", [W, W]),
        (f'[get_weather(city="Rome")]{LFM[1]}', [W, R]),
    ],
)
def test_a_block_that_its_model_writes_once_more(behind, expected):
    """LFM2 closes a block twice: what stands between is no second call, and any other call is one."""
    for pieces in cuts(f"{LFM[0]}{PYTHON}{LFM[1]}{behind}"):
        assert short(read(pieces)) == expected, pieces


def test_marks_are_of_one_table():
    """No mark begins another, so that the first that fits is the one."""
    marks = [*BLOCKS, *BLOCKS.values(), *INVOKES]
    for mark in marks:
        assert not any(other != mark and other.startswith(mark) for other in marks)


BIG = "x" * (MAX_HELD_CHARS + 10)


@pytest.mark.parametrize(
    "beginning",
    [
        f'{DEEPSEEK[0]}{DEEPSEEK_CALL[0]}get_weather{SEP}{{"city": "',
        f'<{DSML}invoke name="get_weather"><{DSML}parameter name="city">',
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>",
        f'{MM}<invoke name="get_weather">{MM}<city>',
        '<|channel|>commentary to=functions.get_weather<|message|>{"city": "',
        '<|open|>call tool="get_weather"<|sep|><|open|>argument key="city"<|sep|>',
        '<|tool_call>call:get_weather{city:<|"|>',
    ],
)
def test_no_call_is_held_without_end(beginning):
    """A call that is longer than the limit is ended as one that was cut off."""
    parser = Parser(TOOLS)
    parts = parser.feed(beginning)
    for at in range(0, len(BIG), 2**16):
        parts += parser.feed(BIG[at : at + 2**16])
    (call,) = (part for part in parts if isinstance(part, RawCall))
    assert call.fault


WRITERS = {
    "deepseek": lambda values: DEEPSEEK[0] + deepseek("put", json.dumps(values)) + DEEPSEEK[1],
    "old-deepseek": lambda values: DEEPSEEK[0] + old_deepseek("put", json.dumps(values)) + DEEPSEEK[1],
    "dsml": lambda values: tags("put", DSML, PLAIN, **values),
    "kimi": lambda values: kimi("put", json.dumps(values)),
    "glm": lambda values: glm("put", **values),
    "harmony": lambda values: harmony("put", json.dumps(values)),
    "k3": lambda values: k3("put", **values),
    "m3": lambda values: m3("put", **values),
    "gemma": lambda values: (
        "<|tool_call>call:put{"
        + ",".join(f'{key}:<|"|>{value}<|"|>' for key, value in values.items())
        + "}<tool_call|>"
    ),
    "command": lambda values: (
        f'<|START_ACTION|>[{{"tool_name": "put", "parameters": {json.dumps(values)}}}]<|END_ACTION|>'
    ),
    "react": lambda values: f"Action: put\nAction Input: {json.dumps(values)}",
}
VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="<|]"), max_size=30).filter(
    lambda text: not text.startswith("\n")
)


@pytest.mark.parametrize("family", WRITERS)
@settings(max_examples=60, deadline=None)
@given(a=VALUES, b=VALUES, data=st.data())
def test_values_come_back(family, a, b, data):
    """What a family writes between its marks comes back as it is, at any cut."""
    text = WRITERS[family]({"a": a, "b": b})
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4)))
    pieces = [text[begin:end] for begin, end in zip([0, *at], [*at, len(text)], strict=True)]
    (raw,) = read(pieces, [PUT])
    call = Judge(Toolbox([PUT])).judge(raw)
    assert isinstance(call, ToolCall)
    assert call.arguments == {"a": a, "b": b}
