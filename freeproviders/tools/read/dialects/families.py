# ruff: noqa: RUF001 - the marks are as models write them
"""The marks of model families, as data: what opens and closes calls, channels and turns.

Many families write calls in one of a few shapes and differ only in their marks. The shapes are read
by `block` (calls between two marks), `invoke` (tags with a name and parameters) and `pairs` (keys
and values); what a family adds to that is its rows here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BLOCKS: Final[Mapping[str, str]] = {
    # Hermes, Qwen, GLM-4.5 to 4.7, Ling, Spark, Hunyuan, poolside and many others
    "<tool_call>": "</tool_call>",
    "<tool_calls>": "</tool_calls>",
    "<toolcall>": "</toolcall>",
    "<function_call>": "</function_call>",
    "<|tool_call|>": "<|/tool_call|>",
    "<|tool_call_start|>": "<|tool_call_end|>",
    # DeepSeek V3, R1 and V3.1; Step-3, which writes it without the block character
    "<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>": "<｜tool▁call▁end｜>",
    "<｜tool_calls_begin｜>": "<｜tool_calls_end｜>",
    "<｜tool_call_begin｜>": "<｜tool_call_end｜>",
    # DeepSeek V3.2, V4 and V4.1
    "<｜DSML｜function_calls>": "</｜DSML｜function_calls>",
    "<｜DSML｜tool_calls>": "</｜DSML｜tool_calls>",
    "<｜DSML｜ calls>": "</｜DSML｜ calls>",
    # how V4 misspells it now and then
    "<｜DSML｜toolcalls>": "</｜DSML｜tool_calls>",
    "<｜DSML｜tool>": "</｜DSML｜tool_calls>",
    # Kimi K2, which also writes the singular
    "<|tool_calls_section_begin|>": "<|tool_calls_section_end|>",
    "<|tool_call_section_begin|>": "<|tool_call_section_end|>",
    "<|tool_call_begin|>": "<|tool_call_end|>",
    "<minimax:tool_call>": "</minimax:tool_call>",
    # Gemma 4, FunctionGemma
    "<|tool_call>": "<tool_call|>",
    "<start_function_call>": "<end_function_call>",
    # K2-Horizon
    "<ifm|tool_calls>": "</ifm|tool_calls>",
    "<ifm|tool_call>": "</ifm|tool_call>",
    # Command-R7B and A, Llama 4, Nemotron, Seed, LongCat, Apertus, InternLM, GigaChat, dots, Muse
    "<|START_ACTION|>": "<|END_ACTION|>",
    "<|python_start|>": "<|python_end|>",
    "<TOOLCALL>": "</TOOLCALL>",
    "<seed:tool_call>": "</seed:tool_call>",
    "<longcat_tool_call>": "</longcat_tool_call>",
    "<|tools_prefix|>": "<|tools_suffix|>",
    "<|action_start|>": "<|action_end|>",
    "<|function_call|>": "<|function_call_end|>",
    "<dots_function_call>": "</dots_function_call>",
    "<atem:function_calls>": "</atem:function_calls>",
    # Solar Open, Inkling
    "<|tool_calls|>": "<|calls|>",
    "<|tool_call:begin|>": "<|tool_call:end|>",
    "<|content_invoke_tool_json|>": "<|end_message|>",
    # PLaMo 3
    "<|plamo:begin_tool_requests:plamo|>": "<|plamo:end_tool_requests:plamo|>",
    "<|plamo:begin_tool_request:plamo|>": "<|plamo:end_tool_request:plamo|>",
    # OLMo 3, Anthropic's form and its imitators
    "<function_calls>": "</function_calls>",
    "<tools>": "</tools>",
    "<tool>": "</tool>",
}
"""What opens calls, and what closes them."""

SECTIONS: Final = frozenset(
    {
        "<｜tool▁calls▁begin｜>",
        "<｜tool_calls_begin｜>",
        "<|tool_calls_section_begin|>",
        "<|tool_call_section_begin|>",
    }
)
"""Blocks in which each call has marks of its own: words beside those calls are no part of the answer."""

ECHOED: Final = frozenset({"<|tool_call_start|>"})
"""Blocks that LFM2 often writes once more, behind the closing mark and without the opening one."""

WEAK: Final = frozenset({"<tools>", "<tool>", "<tool_calls>", "<function_calls>"})
"""Blocks whose marks are words of other documents too: in these only bound tools are called."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags of calls with parameters: what opens one, what closes it, what closes the call."""

    parameter: tuple[str, ...]
    parameter_closer: str
    closer: str


_PREFIXES: Final = ("", "｜DSML｜", "｜DSML｜ ", "steptml:", "atem:", "antml:")

_MINICPM: Final = ("<function name=", "<functionname=", "<functionĠname=")
_MINICPM_PARAMETER: Final = ("<param name=", "<paramname=", "<paramĠname=")
"""Also as servers show the tokens of MiniCPM 5: with the mark of a space, or none."""

INVOKES: Final[Mapping[str, Tags]] = {
    **{
        f"<{prefix}invoke name=": Tags(
            (f"<{prefix}parameter name=",), f"</{prefix}parameter>", f"</{prefix}invoke>"
        )
        for prefix in _PREFIXES
    },
    **dict.fromkeys(_MINICPM, Tags(_MINICPM_PARAMETER, "</param>", "</function>")),
}
"""What opens a call with named parameters. Anthropic's form, DeepSeek V3.2, MiniMax M2, Step-3."""


WEAK_INVOKES: Final = frozenset(_MINICPM)
"""Tags of other documents too: without parameters these only call bound tools."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The tags of arguments that are written as keys and values; `kind` may say a value's type."""

    key_closer: str
    value: str
    value_closer: str
    kind: str = ""
    kind_closer: str = ""


PAIRS: Final[Mapping[str, Pairs]] = {
    "<arg_key>": Pairs("</arg_key>", "<arg_value>", "</arg_value>"),
    "<ifm|arg_key>": Pairs(
        "</ifm|arg_key>", "<ifm|arg_value>", "</ifm|arg_value>", "<ifm|arg_type>", "</ifm|arg_type>"
    ),
}
"""What opens a key: GLM-4.5 to 4.7, Ling, Spark, Hunyuan, poolside; K2-Horizon."""

SEPARATORS: Final = (
    "<｜tool▁sep｜>",
    "<｜tool_sep｜>",
    "<|tool_call_argument_begin|>",
    "<tool_sep>",
    "<|tool_call:args|>",
    "<|plamo:end_tool_name:plamo|><|plamo:begin_tool_arguments:plamo|><|plamo:constrain|>json<|plamo:msg|>",
)
"""What stands between a call's name and its arguments."""

BEFORE_NAME: Final = ("<|tool_call:name|>",)
"""What stands between a call's number and its name."""

NOISE: Final = (
    "<|plugin|>",
    "<|interpreter|>",
    "<|constrain|>",
    "<|plamo:begin_tool_name:plamo|>",
    "<|plamo:end_tool_arguments:plamo|>",
)
"""What may stand in a block and says nothing."""

LEADING: Final = (
    "<|START_RESPONSE|>",
    "<|START_TEXT|>",
    "<|CHATBOT_TOKEN|>",
    "<|assistant|>",
    "<|content|>",
    "<|content_text|>",
    "<|message|>",
)
"""What opens the text of an answer; dropped where nothing was said before."""

ENDS: Final = (
    "<|END_RESPONSE|>",
    "<|END_TEXT|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|role_end|>",
    "<|end|>",
    "<|end_message|>",
    "<|content_model_end_sampling|>",
    "<|return|>",
    "<|call|>",
    "<|eom|>",
    "<|eot|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<｜end▁of▁sentence｜>",
    "<end_of_turn>",
    "<channel|>",
    "<|plamo:tag|>",
)
"""What closes a turn; dropped at the end of an answer too."""
