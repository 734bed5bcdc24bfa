"""The words in which a request for vectors is refused.

OpenAI's: an empty list, string or item, and more than 2048 of them, have one answer (openai-python
issue 576, mteb issue 1200); a text that is too long has another (vcmf/dim0 pull 143, of June 2026),
and so has a request (CrackSQL pull 27).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from freeproviders.testing.services.base import Refusal, Reply, dump

_INVALID: Final = (
    "'$.input' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
)


@dataclass(frozen=True, slots=True)
class Say:
    """One refusal; places as `{model}` are filled in."""

    text: str
    status: int = 400
    code: str | None = None


OPENAI_WORDS: Final[Mapping[str, Say]] = {
    "missing": Say("Missing key(s) in the body: {given}."),
    "unknown": Say("Unrecognized request argument(s) supplied: {given}."),
    "input": Say(_INVALID),
    "tokens": Say(_INVALID),
    "empty": Say(_INVALID),
    "batch": Say(_INVALID),
    "window": Say("Invalid 'input[{n}]': maximum input length is {window} tokens."),
    "total": Say("Requested {count} tokens, max {total} tokens per request", code="max_tokens_per_request"),
    "no sizes": Say("This model does not support specifying {key}."),
    "size": Say("Invalid value for '{key}' = {given}. Supported values are: {sizes}."),
    "value": Say("Invalid value for '{key}': {given}. Supported values are: {values}."),
    "no embeddings": Say("You are not allowed to generate embeddings from this model", 403),
    "no type": Say("Missing required parameter: 'input_type'."),
}


@dataclass(frozen=True, slots=True)
class Voice:
    """How a service refuses: its words, where they are not OpenAI's, and the body that has them.

    `body` makes it of a status and a sentence; None leaves that to the service.
    """

    words: Mapping[str, Say] = field(default_factory=dict)
    body: Callable[[int, str], object] | None = None

    def refuse(self, what: str, **places: object) -> NoReturn:
        """Refuse a request. Raises `Refusal`."""
        say = self.words.get(what) or OPENAI_WORDS[what]
        self.say(say.status, say.text.format(**places), say.code)

    def say(self, status: int, message: str, code: str | None = None) -> NoReturn:
        """Refuse a request in a sentence of one's own. Raises `Refusal`."""
        raise Refusal(status, message, code=code, reply=self.reply(status, message))

    def reply(self, status: int, message: str) -> Reply | None:
        """Write a refusal; None leaves that to the service."""
        return None if self.body is None else Reply(status, dump(self.body(status, message)))
