"""The passages and questions, all made up, and the check of what the questions claim to be.

`questions.jsonl` has a passage a line: a town, a device, a country, recipes, a program, and
catalogues of streets, parts, messages, villages, fees and people. A passage may be asked for in up to
three ways, by how many of a question's content words it has: "most" (60 % or more), "some" (at most
half) and "none" of them. Words are compared by their stems.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import Stemmer

from freeproviders.embeddings.lexical import FUNCTION_WORDS

FILE = Path(__file__).parent / "questions.jsonl"
KINDS = ("most", "some", "none")
_stem = Stemmer.Stemmer("english").stemWord


@dataclass(frozen=True)
class Question:
    """A question, the number of the passage that answers it, and whether its half is for tuning."""

    text: str
    passage: int
    kind: str
    tune: bool


def _rows() -> list[dict]:
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def passages(*, titled: bool = True) -> list[str]:
    """Return the passages, each behind its title or without."""
    return [f"{row['title']}\n{row['text']}" if titled else row["text"] for row in _rows()]


def questions() -> list[Question]:
    """Return the questions; those about one passage are in one half."""
    return [
        Question(text, at, kind, tune=zlib.crc32(row["id"].encode()) % 2 == 0)
        for at, row in enumerate(_rows())
        for kind, text in row.get("questions", {}).items()
    ]


def identifiers() -> list[Question]:
    """Return each part number, message, telephone number and name of the catalogues as a question.

    Users paste such things as they are.
    """
    found = []
    for at, row in enumerate(_rows()):
        catalogue = row["id"].partition("-")[0]
        pattern = {"parts": r"BR-\d+", "codes": r"\bE\d+", "people": r"\d+ \d+(?=\.)"}.get(catalogue)
        texts = [re.search(pattern, row["text"])[0]] if pattern else []
        texts += [row["title"]] if catalogue in {"villages", "people"} else []
        found += [Question(text, at, "identifier", tune=False) for text in texts]
    return found


def content(text: str) -> set[str]:
    """Return the stems of a text's content words."""
    words = re.findall(r"[^\W_]+", text.lower())
    return {_stem(word) for word in words if word not in FUNCTION_WORDS and len(word) > 1}


def faults() -> list[str]:
    """Return what is not as it claims to be: nothing, or the file has been spoilt."""
    texts, asked = passages(), questions()
    found = []
    for question in asked:
        words, there = content(question.text), content(texts[question.passage])
        shared = words & there
        share = len(shared) / max(1, len(words))
        alike = {(a, b) for a in words for b in there if min(len(a), len(b)) >= 4 and (a in b or b in a)}
        alike |= {(a, b) for a in words for b in there if len(a) >= 5 and a[:5] == b[:5]}
        right = {"most": share >= 0.6, "some": 0 < share <= 0.5, "none": not shared and not alike}
        if not right[question.kind]:
            found.append(f"{question.kind}: {question.text!r} shares {sorted(shared or alike)} ({share:.0%})")
    if len(set(texts)) < len(texts) or len({question.text for question in asked}) < len(asked):
        found.append("Something is there twice.")
    if sum(question.kind == "none" for question in asked) * 3 < len(asked):
        found.append("Less than a third of the questions share no word with their passage.")
    return found
