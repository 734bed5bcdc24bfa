"""The dialects by name, and the reader of a call behind each opener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from freeproviders.errors import UsageError
from freeproviders.tools.read.cursor import Cursor, Recogniser
from freeproviders.tools.read.dialects import bare, function, hermes, llama, mistral, pythonic
from freeproviders.tools.read.dialects.block import block
from freeproviders.tools.read.dialects.dialect import OBJECT, Dialect
from freeproviders.tools.read.dialects.families import BLOCKS, INVOKES
from freeproviders.tools.read.dialects.invoke import invoke
from freeproviders.tools.read.dialects.render import calls_json
from freeproviders.tools.toolbox import Toolbox

HERMES: Final = Dialect(
    "hermes",
    hermes.render,
    "For each function call, return a json object with function name and arguments within "
    f"<tool_call></tool_call> XML tags:\n<tool_call>\n{OBJECT}\n</tool_call>",
    tuple(BLOCKS),
    block,
)

DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.name: dialect
    for dialect in (
        HERMES,
        Dialect(
            "json",
            calls_json,
            f"To call a function, return only a json object with its name and arguments:\n{OBJECT}\n"
            "Several calls are a json list of such objects.",
        ),
        Dialect(
            "fenced",
            bare.render_fenced,
            "For each function call, return a block of code that holds a json object with its name and "
            f"arguments:\n```json\n{OBJECT}\n```",
        ),
        Dialect(
            "openai",
            bare.render_openai,
            "To call functions, return only a json object of this form:\n"
            f'{{"tool_calls": [{{"type": "function", "function": {OBJECT}}}]}}',
        ),
        Dialect(
            "mistral",
            mistral.render,
            "To call functions, return [TOOL_CALLS] and a json list with one object for each call:\n"
            f"[TOOL_CALLS][{OBJECT}, ...]",
            (mistral.OPENER,),
            mistral.mistral,
        ),
        Dialect(
            "llama",
            llama.render,
            "To call a function, return <|python_tag|> and a json object with its name and parameters:\n"
            '<|python_tag|>{"name": <function-name>, "parameters": <args-json-object>}',
            (llama.OPENER,),
            llama.llama,
        ),
        Dialect(
            "function",
            function.render,
            "For each function call, return its name and its arguments as json:\n"
            "<function=function_name>{<args-json-object>}</function>",
            (function.OPENER,),
            function.function,
        ),
        Dialect(
            "xml",
            function.render_parameters,
            "For each function call, return:\n<tool_call>\n<function=function_name>\n"
            "<parameter=parameter_name>\nvalue\n</parameter>\n</function>\n</tool_call>",
        ),
        Dialect(
            "pythonic",
            pythonic.render,
            "To call functions, return only a list of calls as Python writes them:\n"
            '[function_name(parameter="value"), other_function()]',
        ),
    )
}

READERS: Final[Mapping[str, Callable[[Cursor, Toolbox, str], Recogniser]]] = {
    **{opener: dialect.read for dialect in DIALECTS.values() if dialect.read for opener in dialect.opens},
    **dict.fromkeys(INVOKES, invoke),
}
"""Who reads on behind each text that opens a call."""


def dialect_of(name: str) -> Dialect:
    """A dialect by its name; raises `UsageError` for another."""
    if name not in DIALECTS:
        raise UsageError(f"Unknown tool dialect {name!r}: use one of {', '.join(DIALECTS)}.")
    return DIALECTS[name]
