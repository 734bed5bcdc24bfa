"""What proves that a stream goes on: every cut, ten behaviours of models, texts that trip splices up.

A wrong splice shows a text that no model wrote in one run. There must be none.
"""

import re
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from freeproviders.router.resume.hop import Hop, SpanningStops
from freeproviders.router.resume.splice import MOST_TAIL_CHARS, Match, tail_of
from freeproviders.router.resume.ways import Way
from freeproviders.types import ChatRequest, Finish, Message, Reasoning, Text, Usage
from tests.router.texts import CJK, CODE, JSONLIKE, ORDINARY, REPETITIVE, SIGNS, TEXTS

ASK = ChatRequest(messages=(Message("user", "Tell me."),), temperature=0)
OTHER = "Das Wetter ist heute gut, und morgen wird es regnen, sagt man im Norden."
BEHAVIOURS = {
    "continues": lambda rest, whole, tail: rest,
    "preamble": lambda rest, whole, tail: f"Sure, here is the rest: {rest}",
    "fence": lambda rest, whole, tail: f"```\n{rest}\n```",
    "re-spaced": lambda rest, whole, tail: " ".join(rest.split()),
    "restarts": lambda rest, whole, tail: whole,
    "ignores": lambda rest, whole, tail: "I am here to help. What would you like to know?",
    "paraphrases": lambda rest, whole, tail: " ".join(reversed(re.split(r"[\s。]", whole))),
    "repeats twice": lambda rest, whole, tail: tail + (tail or rest) + rest[len(tail) :],
    "stops": lambda rest, whole, tail: rest[: len(tail) // 2],
    "other language": lambda rest, whole, tail: OTHER,
}


def shown(hop, text, size):
    """What a hop shows of a text that comes in pieces; None where it refuses it."""
    out = []
    for at in range(0, len(text), size):
        out += hop.take([Text(text[at : at + size])])
        if hop.refused:
            break
    if not hop.refused:
        out += hop.take([Usage(1, 1), Finish()])
    if hop.refused:
        assert out == []
        return None
    return "".join(part.text for part in out)


def test_no_wrong_splice_of_an_answer_to_the_same_question():
    """Replay and trim: what is shown is the whole of one answer, or nothing, whatever the model does."""
    judged, joined = 0, Counter()
    for name, truth in TEXTS.items():
        for cut in range(1, len(truth) + 1):
            said, size = truth[:cut], (1, 3, 7, 1000)[cut % 4]
            for behaviour, write in BEHAVIOURS.items():
                # Both as an answer of its own, and as if it had been told to go on.
                for answer in (write(truth, truth, ""), write(truth[cut:], truth, "")):
                    goes_on = shown(Hop(ASK, said, Way(None, "trim")), answer, size)
                    judged += 1
                    assert goes_on is None or said + goes_on == answer, (name, cut, behaviour)
                    joined[name, behaviour] += goes_on is not None
                    assert (goes_on is not None) == answer.startswith(said)
    assert judged > 10_000
    for name, truth in TEXTS.items():
        assert joined[name, "restarts"] == 2 * len(truth)


def test_no_wrong_splice_behind_a_beginning_that_was_given():
    """Prefill at a service: only who writes the tail by himself is believed, and nobody who repeats it."""
    judged, ways, joined = 0, Counter(), Counter()
    for name, truth in TEXTS.items():
        for cut in range(1, len(truth) + 1):
            said, size = truth[:cut], (1, 3, 7, 1000)[cut % 4]
            tail = tail_of(said)
            if not tail:
                judged += len(BEHAVIOURS)  # nobody is asked
                continue
            begun = said[: -len(tail)]
            assert begun + tail == said
            assert begun.strip()
            assert len(tail) <= MOST_TAIL_CHARS
            ways[name] += 1
            way = Way(None, "prefill", begun, tail)
            for behaviour, write in BEHAVIOURS.items():
                written = write(truth[len(begun) :], truth, tail)
                goes_on = shown(Hop(ASK, said, way), written, size)
                judged += 1
                if goes_on is None:
                    continue
                joined[name, behaviour] += 1
                assert behaviour in {"continues", "restarts", "re-spaced"}, (name, cut, behaviour)
                if behaviour == "re-spaced":
                    assert (said + goes_on).split() == truth.split(), (name, cut)
                else:
                    assert said + goes_on == truth, (name, cut, behaviour)
    assert judged > 10_000
    for name in TEXTS:
        assert joined[name, "restarts"] == ways[name]
        if name != "periodic":  # where the model may really say the tail again
            assert joined[name, "continues"] == ways[name]
    assert ways["repetitive"] < 20  # near its end, where it is not repetitive any more
    assert ways["blank"] == ways["letters"] == 0
    for name in ("ordinary", "code", "signs", "CJK"):
        assert ways[name] > 0.6 * len(TEXTS[name]), name
    assert ways["jsonlike"] > 0.3 * len(JSONLIKE)


SALAD = (
    "the", "a", "of", "apple", "pear", "12", "3.5", "ha", "ha", "yes", "no", "naïve", "苹果", "梨",
    "\U0001f600", "\r\n", "\n\n", "-", "*", "def", "x(y):", "return",
)  # fmt: skip


@given(st.randoms(use_true_random=False), st.sampled_from((3, 8, len(SALAD))), st.integers(2, 60))
def test_words_at_random(random, size, length):
    """Texts of few words in any order begin like their own ends by chance: that is no proof either."""
    vocabulary = random.sample(SALAD, size)
    truth = " ".join(random.choice(vocabulary) for _ in range(length))
    said = truth[: random.randint(1, len(truth))]
    tail = tail_of(said)
    begun = said[: len(said) - len(tail)]
    for behaviour, write in BEHAVIOURS.items() if tail else ():
        way = Way(None, "prefill", begun, tail)
        goes_on = shown(Hop(ASK, said, way), write(truth[len(begun) :], truth, tail), 3)
        if goes_on is not None:
            assert (said + goes_on).split() == truth.split(), behaviour


@given(st.text(max_size=80), st.text(max_size=40), st.lists(st.integers(1, 9), max_size=30))
def test_pieces_do_not_matter(said, rest, sizes):
    """However a stream is cut, the same goes out of it, and all of it."""
    match, text, out = Match({said: ""}), said + rest, ""
    for size in [*sizes, len(text)]:
        out += match.feed(text[:size])
        text = text[size:]
    out += match.close()
    assert out == rest
    assert match.joined
    assert not match.refused


@given(st.text(min_size=1, max_size=60), st.text(max_size=60))
def test_another_text_is_refused(said, other):
    """A stream that does not begin with all that was said is refused, and nothing of it goes out."""
    match = Match({said: ""})
    out = "".join(map(match.feed, other)) + match.close()
    assert match.joined == other.startswith(said)
    assert match.refused != match.joined
    assert out == (other[len(said) :] if match.joined else "")


WORD = re.compile(r"[^\W_]+|[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
"""Words, and CJK signs, also those that Python does not know as letters."""


@example("00000000000\u1f58\U00020000\U0002000000\xb9\U00010000\U0003134b")
@given(st.text(max_size=200))
def test_a_tail_is_a_proof(said):
    """A tail stands nowhere else, has enough letters, and is not all that was said."""
    tail = tail_of(said)
    if tail:
        assert said.endswith(tail)
        assert said[: -len(tail)].strip()
        assert said.count(tail.strip()) == 1
        assert sum(len(word.encode()) for word in WORD.findall(tail)) >= 16
        assert not said[-len(tail) - 1].isspace()


@pytest.mark.parametrize(
    ("said", "tail"),
    [
        ("Put it on a shelf: apples stay fresh for 6 weeks in a ce", " fresh for 6 weeks in a ce"),
        (ORDINARY[:55], " keep well:\n\n1. Apples stay f"),
        ("A lighthouse keeper", ""),
        ("unbroken" * 40, ""),
        (REPETITIVE[:60], ""),
        (" \n\n \n", ""),
        ("a return of the words and a return of the words and so on: a return of retur", ""),
        (CJK[:24], "。梨每天需要"),
        (CODE[:54], "\r\ndef add(first, second):\r\n    '"),
    ],
)
def test_tails(said, tail):
    """The tail is as short as it may be, and begins before a word."""
    assert tail_of(said) == tail


@pytest.mark.parametrize("text", [SIGNS, CJK, JSONLIKE])
def test_no_tail_begins_inside_a_sign(text):
    """Signs of several code points stay whole, on either side of the seam."""
    for cut in range(1, len(text) + 1):
        tail = tail_of(text[:cut])
        assert tail[:1] not in ("\u200d", "\ufe0f", "\u0301", "\u0308", "\U0001f3fd")


def test_thinking_is_dropped_and_calls_are_refused():
    """What is thought again is not shown; a call is no text that goes on."""
    hop = Hop(ASK, "Hello", Way(None, "replay"))
    assert hop.take([Reasoning("Hm."), Text("Hel")]) == []
    assert hop.take([Text("lo wor"), Reasoning("x"), Text("ld")]) == [Text(" wor"), Text("ld")]
    assert hop.take([Usage(3, 4), Finish("stop")]) == []
    assert (hop.ended, hop.usage, hop.finish) == (True, Usage(3, 4), Finish("stop"))


STOPS = ("END", "\n\nQ:", "<<>>")


@given(
    st.lists(st.sampled_from(["E", "N", "D", "\n", "Q:", "<", ">", "<<", "word "]), max_size=14),
    st.integers(0, 20),
    st.integers(1, 4),
)
def test_stop_sequences_span_the_seam(words, cut, size):
    """Text behind a seam is cut where the whole text would be; what was shown before stays shown."""
    text = "".join(words)
    cut = min(cut, len(text))
    said, rest = text[:cut], text[cut:]
    if any(stop in said for stop in STOPS):
        return
    ends = [(at + len(stop), at) for stop in STOPS if (at := text.find(stop)) >= 0]
    expected = text[: min(ends)[1]] if ends else text
    stops, out = SpanningStops(STOPS, said), ""
    for at in range(0, len(rest), size):
        if not stops.hit:
            out += stops.cut(rest[at : at + size])
    out += "" if stops.hit else stops.flush()
    assert stops.hit == bool(ends)
    assert said + out == (expected if len(expected) >= len(said) else said)


def test_a_stop_sequence_that_was_begun_before_the_break():
    """The replayed answer ends before a stop sequence of which a piece had been shown: that is its end."""
    stopping = ChatRequest(messages=ASK.messages, stop=("END",))
    hop = Hop(stopping, "One two EN", Way(None, "replay"))
    assert hop.take([Text("One two "), Usage(1, 1), Finish("stop")]) == []
    assert hop.ended
    assert hop.joined
    assert not hop.refused
    hop = Hop(stopping, "One two EN", Way(None, "replay"))
    hop.take([Text("One two "), Usage(1, 1), Finish("length")])
    assert hop.refused
    hop = Hop(stopping, "One two three", Way(None, "replay"))
    hop.take([Text("One two "), Usage(1, 1), Finish("stop")])
    assert hop.refused
