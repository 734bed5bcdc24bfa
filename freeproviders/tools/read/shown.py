"""Calls that an answer only shows: in a sentence, or behind words that announce an example."""

from __future__ import annotations

import re
from typing import Final

CONTEXT_CHARS: Final = 240
"""How much of the text before a call is looked at."""

_MODELS: Final = r"(?:it|they|models?|agents?|assistants?)"
_SHOWS = re.compile(
    r"\bexamples?\b|\be\.\s?g\.|\bfor instance\b|\bsuch as\b|\blooks?(?: something)? like\b|\bsample\b"
    rf"|\b(?:you|one|people|users?|{_MODELS}) (?:writes?|sends?|emits?|outputs?|types?|invokes?)\b"
    r"|\blike (?:this|so|that)\b\W*\Z|\bas follows\b\W*\Z|\b(?:in|of) (?:this|the following) (?:form|way)\b"
    rf"|\b{_MODELS} (?:wrote|sent|said|made|called)\b"
    r"|\b(?:you|one) (?:can|could|may|must|would|might|have to|need to) (?:write|send|type|say)\b"
    r"|\bwould (?:be|look)\b.{0,20}\Z|\billustrat|\bdemonstrat|\bhypothetical|\bimagine\b|\btemplate\b"
    r"|\b(?:format|syntax|form|notation|markup) (?:is|was|of|for|looks)\b|\bwritten (?:as|like)\b"
    r"|\b(?:do not|don't|never|instead of) (?:\w+ )?(?:write|writing|send|sending|call|calling|use|using)\b"
    r"|\b(?:earlier|previously|last time|last answer)\b|\bshow(?:s|n|ing)? how\b"
    r"|\bhow (?:an?|the|one|such|you|it) (?:\w+ )?(?:calls?|functions?|tools?|is|looks?)\b"
    r"|\bbeispiel|\bsieht\b.*\baus\b|\bejemplo|\bexemple|\bexempel|\besempio|\bexemplo"
    r"|\u043f\u0440\u0438\u043c\u0435\u0440|\u4f8b\u5982|\u4f8b\u5b50|\u4f8b\u3048\u3070|\u4f8b[:\uff1a]",
    re.IGNORECASE,
)
_MEANS = re.compile(
    r"\b(?:let me|let us|let's|i'll|i will|i'm going|i am going|i need to|i should|i must|i have to"
    r"|i'm calling|i am calling|now i|i (?:call|look|search|check|use))\b",
    re.IGNORECASE,
)
"""Words with which a call is introduced that is meant."""
_SURELY = re.compile(
    r"\bexamples? (?:of|for) (?:an?|the|such|how)\b|\blooks? like\b|\bhow an?\b", re.IGNORECASE
)
_GOES_ON = re.compile(r"\s*(?:,|[a-z])")
_SENTENCE_END = re.compile(r"[.!?](?<!e\.g\.)(?<!i\.e\.)\s+(?=\S)")


def announces_example(text: str) -> bool:
    """Return whether the last sentence of a text announces that a call is shown, and not made."""
    line = text.rstrip().rpartition("\n")[2]
    sentence = _SENTENCE_END.split(line)[-1]
    pattern = _SURELY if _MEANS.search(sentence) else _SHOWS
    return pattern.search(sentence) is not None


def goes_on(text: str) -> bool:
    """Return whether a text behind a call that is shown goes on with the same sentence."""
    return _GOES_ON.match(text) is not None
