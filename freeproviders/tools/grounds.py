"""The grounds of a call in the conversation, for models that make things up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from freeproviders.tools.schema.coerce import required_keys
from freeproviders.types import Message

_MIN_DIGITS: Final = 6
_NUMBER: Final = re.compile(r"\+?[\d\s().\-/]+")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d|\d\d?[./]\d\d?[./]\d{2,4}")
_ADDRESS: Final = re.compile(r"(?:\S+ ){0,2}([^@\s]+@[^@\s]+\.[^@\s]+)")
"""An address, or one with a name in two words before its `@`: `Ada Low@example.com`."""
_CODE: Final = re.compile(r"#?(?:[A-Za-z]{1,4}[-#/]?\d{3,}|\d{5,})")
"""The number of an order, a shelf or a customer: `D-101`, `ORD12345`, `#20314`."""
_NO_DIGIT: Final = re.compile(r"\D+")
_WORDS: Final = re.compile(r"\w+")
_FIGURES: Final = re.compile(r"-?\d+(?:\.\d+)?")
_LONG_WORD: Final = 4
_SENTENCE: Final = 3
"""Words from which on a text tells something, and is no name of something."""


class Grounds:
    """What a conversation says, to tell what a model has made up in a call.

    Such a model writes to the telephone number 1234567890 where it should look the number up, and
    gives every argument that there is. `asks` says that the former is a fault.
    """

    def __init__(self, messages: Iterable[Message], *, asks: bool = True) -> None:
        self.asks = asks
        self._text = "\n".join([message.text for message in messages]).casefold()
        self._digits = _NO_DIGIT.sub("", self._text)
        self._figures = {float(figure) for figure in _FIGURES.findall(self._text)}

    def said(self, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out the optional arguments that nobody has asked for."""
        known, required = schema.get("properties") or {}, required_keys(schema)
        return {
            key: value
            for key, value in arguments.items()
            if key in required or key not in known or self._is_said(value, known[key])
        }

    def is_ahead(self, schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
        """Return whether a call tells what is not in the conversation, as what a tool is yet to find out."""
        return any(
            isinstance(value, str) and len(value.split()) >= _SENTENCE and not self._is_said(value, None)
            for value in (arguments.get(key) for key in required_keys(schema))
        )

    def _is_said(self, value: Any, part: Any) -> bool:
        """Return whether the conversation may have given rise to a value, of a part of a schema."""
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return float(value) in self._figures
        if not isinstance(value, str):
            return bool(value)
        text = value.strip().casefold()
        if not text or (isinstance(part, Mapping) and text == str(part.get("description")).casefold()):
            return False
        if _DATE.match(text):
            return bool(self._digits)  # without any figure, not even today's date is known
        words = _WORDS.findall(text)
        return all(word in self._text for word in words if len(word) >= _LONG_WORD) and any(
            word in self._text for word in words
        )

    def fault(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Say what was made up in the arguments of a tool, and what to do; "" where nothing was."""
        for key, value in arguments.items() if self.asks else ():
            if isinstance(value, str) and self._is_made_up(value.strip()):
                return (
                    f"{key} of {name} is made up: {value!r:.80} stands nowhere in the conversation. "
                    "First call the function that finds it out, or use what the user has said."
                )
        return ""

    def _is_made_up(self, value: str) -> bool:
        if address := _ADDRESS.fullmatch(value):
            return address[1].casefold() not in self._text
        if _DATE.match(value):
            return False
        digits = _NO_DIGIT.sub("", value)
        looked_up = _CODE.fullmatch(value) or (_NUMBER.fullmatch(value) and len(digits) >= _MIN_DIGITS)
        return bool(looked_up) and digits not in self._digits
