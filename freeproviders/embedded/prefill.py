r"""The beginning of an answer, as the engine is given it: exactly, whatever it ends with.

The prompt is the model's own template, with the beginning behind it as tokens, so that nothing in it
can be taken for the end of a turn. A text may break off inside what the model would have written as
one token ("app" of " apple"), and a model goes on badly behind half a token. So the last word's
tokens are taken off again, and a grammar makes the model write their text first: it then chooses,
among all tokens that agree with what was said, those that it would have chosen in one go. The
decoder leaves that text out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from freeproviders.errors import MalformedResponseError
from freeproviders.types import ChatRequest
from freeproviders.wire.json import dumps, loads
from freeproviders.wire.openai.counting import question_asked, read_prompt

MOST_TOKENS_AGAIN: Final = 24
"""Tokens that are written once more, at most."""
TOKENS_AGAIN: Final = 4
"""Tokens that are written once more where no word begins among the last ones, as in Chinese."""
_CHAT_ONLY: Final = ("chat_template_kwargs",)
_THINKING: Final = "<think>"
_NO_THINKING: Final = "<think>\n\n</think>\n\n"
_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})

Post = Callable[[str, bytes], Awaitable[bytes]]
"""Sends a body to a path of the engine's server, and returns that of the answer."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """The beginning of an answer, ready to be gone on with.

    `prompt` are the template's text and the tokens behind it, `again` is the text that is written once
    more, and `tokens_again` how many tokens that is at most.
    """

    prompt: tuple[str | int, ...]
    again: str
    tokens_again: int

    def body(self, request: ChatRequest) -> bytes:
        """Write the request for `/completion`."""
        body: dict[str, Any] = {"prompt": self.prompt, "stream": True}
        for name in ("temperature", "top_p"):
            if (value := getattr(request, name)) is not None:
                body[name] = value
        if request.max_tokens is not None:
            body["n_predict"] = request.max_tokens + self.tokens_again
        if self.again:
            body["grammar"] = grammar_of(self.again)
        body.update({name: value for name, value in request.options.items() if name not in _CHAT_ONLY})
        return dumps(body)


async def beginning_of(question: Mapping[str, Any], begun: str, post: Post) -> Beginning:
    """Write the beginning of the answer to a question (the body of a chat request) as the engine wants it."""
    thinks = begun.lstrip().startswith(_THINKING)
    given = question.get("chat_template_kwargs") or {}
    kwargs = given if thinks else {"enable_thinking": False, **given}  # it has thought before it began
    template = question_asked({**question, "chat_template_kwargs": kwargs}, "")
    prompt = read_prompt(await post("/apply-template", template))
    prompt = without_thinking(prompt, then="" if thinks else _NO_THINKING)
    asked = {"content": begun, "add_special": False, "parse_special": False, "with_pieces": True}
    tokens, pieces = read_pieces(await post("/tokenize", dumps(asked)))
    count = tokens_again(pieces)
    kept = len(tokens) - count
    return Beginning((prompt, *tokens[:kept]), b"".join(pieces[kept:]).decode(), count)


def read_pieces(body: bytes) -> tuple[list[int], list[bytes]]:
    """Read tokens and the bytes of each. Raises `MalformedResponseError`."""
    try:
        tokens = loads(body)["tokens"]
        pieces = [token["piece"] for token in tokens]
        # A piece that is no whole character comes as a list of bytes.
        raw = [piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces]
        return [int(token["id"]) for token in tokens], raw
    except (ValueError, TypeError, KeyError) as error:
        raise MalformedResponseError("The engine's tokens cannot be read.") from error


def tokens_again(pieces: Sequence[bytes]) -> int:
    """Count the tokens at the end of a text that are written once more: its last word, at least."""
    text, few = b"", 0
    for count, piece in enumerate(reversed(pieces[-MOST_TOKENS_AGAIN:]), 1):
        text = piece + text
        whole = (text[0] & 0xC0) != 0x80 if text else False  # it does not begin inside a character
        if whole and text[:1].isspace() and text.strip():
            return count
        if (whole and count <= TOKENS_AGAIN) or (whole and not few):
            few = count
    return len(pieces) if len(pieces) <= MOST_TOKENS_AGAIN else few


def without_thinking(prompt: str, *, then: str = _NO_THINKING) -> str:
    """Write something in place of the thinking that a template has opened at the end of a prompt."""
    text = prompt.rstrip()
    return text.removesuffix(_THINKING) + then if text.endswith(_THINKING) else prompt


def grammar_of(text: str) -> str:
    """Write a grammar of all texts that begin with a text."""
    literal = text.translate(_ESCAPES)
    literal = "".join([char if char >= " " else f"\\x{ord(char):02x}" for char in literal])
    return f'root ::= "{literal}" rest\nrest ::= [^\\x00]*\n'
