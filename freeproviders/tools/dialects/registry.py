"""The dialects by name: how calls are written, and how a model is told to write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from freeproviders.errors import UsageError
from freeproviders.tools.dialects import bare, function, hermes, llama, mistral, pythonic
from freeproviders.tools.dialects.render import calls_json
from freeproviders.types import ToolCall


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to write calls.

    `render` writes calls as the model would; `format` tells the model how to. All dialects are always understood.
    """

    name: str
    render: Callable[[Sequence[ToolCall]], str]
    format: str


_OBJECT: Final = '{"name": <function-name>, "arguments": <args-json-object>}'

HERMES: Final = Dialect(
    "hermes",
    hermes.render,
    "For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n"
    f"<tool_call>\n{_OBJECT}\n</tool_call>",
)

DIALECTS: Final[Mapping[str, Dialect]] = {
    dialect.name: dialect
    for dialect in (
        HERMES,
        Dialect(
            "json",
            calls_json,
            f"To call a function, return only a json object with its name and arguments:\n{_OBJECT}\nSeveral calls are a json list of such objects.",
        ),
        Dialect(
            "fenced",
            bare.render_fenced,
            f"For each function call, return a block of code that holds a json object with its name and arguments:\n```json\n{_OBJECT}\n```",
        ),
        Dialect(
            "openai",
            bare.render_openai,
            f'To call functions, return only a json object of this form:\n{{"tool_calls": [{{"type": "function", "function": {_OBJECT}}}]}}',
        ),
        Dialect(
            "mistral",
            mistral.render,
            f"To call functions, return [TOOL_CALLS] and a json list:\n[TOOL_CALLS][{_OBJECT}]",
        ),
        Dialect(
            "llama",
            llama.render,
            'To call a function, return <|python_tag|> and a json object with its name and parameters:\n<|python_tag|>{"name": <function-name>, "parameters": <args-json-object>}',
        ),
        Dialect(
            "function",
            function.render,
            "For each function call, return its name and its arguments as json:\n<function=function_name>{<args-json-object>}</function>",
        ),
        Dialect(
            "xml",
            function.render_parameters,
            "For each function call, return:\n<tool_call>\n<function=function_name>\n<parameter=parameter_name>\nvalue\n</parameter>\n</function>\n</tool_call>",
        ),
        Dialect(
            "pythonic",
            pythonic.render,
            'To call functions, return only a list of calls as Python writes them:\n[function_name(parameter="value"), other_function()]',
        ),
    )
}


def dialect_of(name: str) -> Dialect:
    """A dialect by its name; raises `UsageError` for another."""
    if name not in DIALECTS:
        msg = f"Unknown tool dialect {name!r}: use one of {', '.join(DIALECTS)}."
        raise UsageError(msg)
    return DIALECTS[name]
