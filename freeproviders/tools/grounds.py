"""The grounds of a call: numbers and addresses in it that nobody has said are made up."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from freeproviders.types import Message

_MIN_DIGITS: Final = 6
_NUMBER: Final = re.compile(r"\+?[\d\s().\-/]+")
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d|\d\d?[./]\d\d?[./]\d{2,4}")
_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_NO_DIGIT: Final = re.compile(r"\D+")


class Grounds:
    """What a conversation says, to tell what a tiny model has made up in a call.

    Such a model writes to the telephone number 1234567890 where it should look the number up.
    """

    def __init__(self, messages: Iterable[Message]) -> None:
        self._text = "\n".join([message.text for message in messages]).casefold()
        self._digits = _NO_DIGIT.sub("", self._text)

    def fault(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Say what was made up in the arguments of a tool, and what to do; "" where nothing was."""
        for key, value in arguments.items():
            if isinstance(value, str) and self._is_made_up(value.strip()):
                return (
                    f"{key} of {name} is made up: {value!r:.80} stands nowhere in the conversation. "
                    "First call the function that finds it out, or use what the user has said."
                )
        return ""

    def _is_made_up(self, value: str) -> bool:
        if _ADDRESS.fullmatch(value):
            return value.casefold() not in self._text
        if _DATE.match(value) or not _NUMBER.fullmatch(value):
            return False
        digits = _NO_DIGIT.sub("", value)
        return len(digits) >= _MIN_DIGITS and digits not in self._digits
