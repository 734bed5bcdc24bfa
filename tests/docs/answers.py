"""What the replicas behind the pages' code answer, and the files of the user that pages speak of."""

import re

from tests.brain import native_brain

WORDS = {
    "programming": "J'adore la programmation.",
    "waterfall": "A waterfall is a place where a river falls over an edge.",
    "thunder": "Thunder is the sound of lightning.",
    "rivers": "The Nile, the Amazon and the Yangtze.",
    "E42": "Error E42 means that the pump is blocked.",
    "21 degrees": "It is 21 degrees in Paris.",
}
"""By a word of the last message."""
FILES = {
    "questions.csv": "prompt,thing\nWhat is a waterfall?,a waterfall\nWhat is thunder?,thunder\n",
    "prompt.txt": "What is {thing}?",
}
"""The user's files that pages speak of."""


def answer(messages, request):
    """Answer by a word of the last message, else as a model would that calls tools and fills in forms."""
    last = messages[-1]["content"]
    text = last if isinstance(last, str) else " ".join(part.get("text", "") for part in last)
    if not request.json.get("response_format"):
        for word, said in WORDS.items():
            if re.search(rf"\b{re.escape(word)}\b", text):
                return said
    return native_brain(messages, request)
