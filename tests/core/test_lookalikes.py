"""Look-alikes: what is replaced comes back exactly, at any cut, and nothing else is touched."""

# ruff: noqa: RUF001 - look-alikes on purpose

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders.types import Finish, Reasoning, Text
from freeproviders.wire.lookalikes import LOOK_ALIKES, LookAlikes, Originals, originals

TAGS = LOOK_ALIKES["<"]
ODD = "‹＜⟨⟦［｛❴（∶："
TEXTS = st.text(st.sampled_from([*LOOK_ALIKES, *ODD, *'/|"\\\nab _', *"Utser"]), max_size=60)
ANY = st.text(max_size=60)


@st.composite
def replaced(draw):
    """Texts, and the places of each that are replaced."""
    texts = draw(st.lists(TEXTS | ANY, min_size=1, max_size=3))
    places = [
        draw(st.sets(st.sampled_from(found)) if found else st.just(set()))
        for text in texts
        for found in [[at for at, char in enumerate(text) if char in LOOK_ALIKES]]
    ]
    return texts, places


def cut(text, at):
    at = sorted(place % (len(text) + 1) for place in at)
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


@settings(max_examples=400)
@given(replaced(), st.lists(st.integers(0, 200), max_size=8))
def test_a_copy_is_the_original_at_any_cut(given_texts, at):
    """Of a whole value, of a value inside JSON, and of a stream."""
    texts, places = given_texts
    look_alikes = LookAlikes(texts)
    changed = [look_alikes.put(text, found) for text, found in zip(texts, places, strict=True)]
    for text, copy in zip(texts, changed, strict=True):
        assert all(copy.count(char) <= text.count(char) for char in LOOK_ALIKES)
        back = originals(look_alikes.table)
        if back is None:
            assert copy == text
            continue
        assert back.text(copy) == text
        assert back.value({copy: [copy, 1, None]}) == {text: [text, 1, None]}
        parts = [part for piece in cut(copy, at) for part in back.piece(Text(piece))]
        assert "".join(part.text for part in (*parts, *back.flush())) == text


@given(replaced())
def test_a_copy_inside_json_text_is_the_original(given_texts):
    """Where an answer's text is JSON, which nobody decodes before it goes out."""
    texts, places = given_texts
    look_alikes = LookAlikes(texts)
    for text, found in zip(texts, places, strict=True):
        copy = look_alikes.put(text, found)
        written = json.dumps({"a": copy}, ensure_ascii=False)
        back = originals(look_alikes.table)
        assert json.loads(back.text(written) if back else written) == {"a": text}


def test_what_stood_in_the_input_is_never_taken_for_a_replacement():
    """Another look-alike is taken, and where all of them are there, a row of several."""
    for given_text in ("‹tool_call>", TAGS, "".join(a + b for a in TAGS for b in TAGS)):
        look_alikes = LookAlikes([given_text, "<tool_call>"])
        changed = look_alikes.put("<tool_call>", [0])
        back = Originals(look_alikes.table)
        assert back.text(changed) == "<tool_call>"
        assert back.text(given_text) == given_text


def test_a_look_alike_of_the_models_own_stays():
    """Only whole strings of the table are put back."""
    look_alikes = LookAlikes(["<tool_call>"])
    look_alikes.put("<tool_call>", [0])
    own = "Il a dit ‹bonjour› ‹tool_cal"
    assert Originals(look_alikes.table).text(own) == own


def test_little_is_held_back():
    """At most what may yet be a replaced string; other parts and the end release it."""
    look_alikes = LookAlikes(["<tool_call>"])
    sign = look_alikes.put("<tool_call>", [0])[0]
    back = Originals(look_alikes.table)
    assert back.piece(Text(f"plain text and {sign}tool")) == [Text("plain text and ")]
    assert back.piece(Text("s are")) == [Text(f"{sign}tools are")]
    assert back.piece(Text(sign)) == []
    assert back.piece(Reasoning("hm")) == [Text(sign), Reasoning("hm")]
    assert back.parts([Text(f"a {sign}t"), Finish()]) == [Text("a "), Text(f"{sign}t"), Finish()]
    assert back.flush() == []


def test_hostile_texts_take_linear_time():
    """All rows of look-alikes up to four, and a hundred thousand different replacements."""
    rows = [TAGS[number >> shift & 7] for number in range(4096) for shift in (0, 3, 6, 9)]
    text = "".join(rows) + "".join(f"<a{number} " for number in range(100_000))
    look_alikes = LookAlikes([text])
    changed = look_alikes.put(text, [at for at, char in enumerate(text) if char == "<"])
    assert "<" not in changed
    assert Originals(look_alikes.table).text(changed) == text
