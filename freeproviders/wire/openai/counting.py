"""How a server that tokenises is asked for the tokens of a text or a question, and what it answers.

"llamacpp" is llama.cpp's server: `/apply-template` writes a question as the model reads it,
`/tokenize` cuts a text. "vllm" counts both at `/tokenize`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from freeproviders.errors import MalformedResponseError
from freeproviders.wire.json import dumps, loads

Tokenizer = Literal["", "llamacpp", "vllm"]
"""The server whose endpoints for counting are used, "" for a service that has none."""

_OF_A_TEMPLATE = ("messages", "tools", "chat_template_kwargs", "add_generation_prompt")


def text_asked(tokenizer: Tokenizer, text: str, model: str, *, is_prompt: bool = False) -> bytes:
    """Write the body of a request to `/tokenize` about a text.

    `is_prompt`: the text is a whole question as the model reads it, with its special tokens.
    """
    if tokenizer == "vllm":
        return dumps(_named(model) | {"prompt": text, "add_special_tokens": is_prompt})
    # Special tokens in a text are such in a question too: the server writes both into one prompt.
    return dumps({"content": text, "add_special": is_prompt, "parse_special": True})


def question_asked(question: Mapping[str, Any], model: str) -> bytes:
    """Write the body of a request about a question: to `/apply-template`, or to vLLM's `/tokenize`.

    `question` is the body of a request to `/chat/completions`.
    """
    asked = {name: question[name] for name in _OF_A_TEMPLATE if name in question}
    return dumps(_named(model) | {"add_generation_prompt": True} | asked)


def read_count(body: bytes) -> int:
    """Read the number of tokens. Raises `MalformedResponseError`."""
    try:
        document = loads(body)
        count = document["count"] if "count" in document else len(document["tokens"])
        return int(count)
    except (ValueError, TypeError, KeyError) as error:
        raise MalformedResponseError("The count of tokens cannot be read.") from error


def read_prompt(body: bytes) -> str:
    """Read a question as the model reads it. Raises `MalformedResponseError`."""
    try:
        return str(loads(body)["prompt"])
    except (ValueError, TypeError, KeyError) as error:
        raise MalformedResponseError("The prompt that the server wrote cannot be read.") from error


def _named(model: str) -> dict[str, Any]:
    return {"model": model} if model else {}
