"""Events that are alike are read as any decoder of JSON reads them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeproviders.types import Text
from freeproviders.wire.openai import answer
from freeproviders.wire.openai.alike import CHANCES, LEARN_AFTER
from freeproviders.wire.openai.answer import ChatDecoder

MANY = 3 * LEARN_AFTER


def frame(text: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "1",
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        **more,
    }


def event(document: object, *, is_ascii: bool = False, blank: bool = False) -> bytes:
    separators = None if blank else (",", ":")
    return b"data: %b\n\n" % json.dumps(document, ensure_ascii=is_ascii, separators=separators).encode()


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes into pieces of these sizes, over and over; no sizes leave them whole."""
    if not sizes:
        return [data]
    ends = list(
        itertools.takewhile(lambda end: end < len(data), itertools.accumulate(itertools.cycle(sizes)))
    )
    return [data[begin:end] for begin, end in itertools.pairwise([0, *ends, len(data)])]


def decoded(*reads: bytes) -> list[str]:
    decoder = ChatDecoder()
    batch = [part for read in reads for part in decoder.feed(read)]
    batch += decoder.feed(b"data: [DONE]\n\n")
    assert decoder.failure is None
    assert decoder.output_chars == sum(len(part.text) for part in batch if isinstance(part, Text))
    return [part.text for part in batch if isinstance(part, Text)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(st.characters(codec="utf-8"), min_size=40, max_size=60),
    st.lists(st.integers(1, 300), max_size=9),
    st.data(),
)
def test_any_text_with_any_padding_and_any_cut(text: str, cuts: list[int], data: st.DataObject) -> None:
    """What comes out is the text of each event, whichever way it was read."""
    texts = list(text)
    padding = data.draw(st.sampled_from(["", "x", 'a"b', "a\\b"]))
    padded = data.draw(st.booleans())
    blank, is_ascii = data.draw(st.booleans()), data.draw(st.booleans())
    events = [
        event(frame(text, **({"pad": padding * (n % 3)} if padded else {})), blank=blank, is_ascii=is_ascii)
        for n, text in enumerate(texts)
    ]
    assert decoded(*cut(b"".join(events), cuts)) == texts


def test_a_few_events_of_one_large_read_tell_how_to_read_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, documents = answer.from_json, []
    monkeypatch.setattr(answer, "from_json", lambda data: documents.append(data) or decoder(data))
    texts = [f"{number}, " for number in range(20 * MANY)]
    assert decoded(b"".join([event(frame(text)) for text in texts])) == texts
    assert len(documents) <= LEARN_AFTER + 1  # and the end, which is none


@pytest.mark.parametrize(
    "odd",
    [
        frame("odd", usage={"prompt_tokens": 1, "completion_tokens": 2}),
        frame("odd", content="odd"),
        {**frame("odd"), "id": 'odd"},"content":"odd'},
        {"choices": [{"delta": {"content": "odd", "role": "assistant"}}]},
    ],
)
def test_an_event_between_that_is_like_the_others_in_part(odd: dict[str, Any]) -> None:
    """An event that differs goes to the decoder, and those behind it are read."""
    alike = [event(frame(f"{n} ")) for n in range(MANY)]
    reads = [*alike, event(odd), *alike]
    words = [f"{n} " for n in range(MANY)]
    assert decoded(*reads) == [*words, "odd", *words]
    assert decoded(b"".join(reads[:MANY]), b"".join(reads[MANY:])) == [*words, "odd", *words]


def test_the_same_words_elsewhere_in_the_frame() -> None:
    """A text that the frame has in other places too is not taken for the answer's."""
    said = [f"w{n % 3}" for n in range(MANY)]
    reads = [event({"content": "w0", **frame(text), "content_of": {"content": "w1"}}) for text in said]
    assert decoded(*reads) == said


def test_a_key_twice_counts_by_its_last_value() -> None:
    """As in every decoder; the first value is not the text."""
    one = b'data: {"model":"m","choices":[{"delta":{"content":"no","content":"%d"}}]}\n\n'
    assert decoded(*[one % n for n in range(MANY)]) == [str(n) for n in range(MANY)]


def test_frames_that_differ_each_time_are_left_to_the_decoder() -> None:
    """A stream is looked at a bounded number of times."""
    decoder = ChatDecoder()
    many = (CHANCES + 2) * LEARN_AFTER
    for n in range(many):
        (part,) = decoder.feed(event({"n": n, **frame("word")}))
        assert part == Text("word")
    assert decoder.progress == many


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\\ud83d\\ude00", "\U0001f600"),
        (b'\\n\\\\\\"', '\n\\"'),
        (b"tab\there", "tab\there"),
        (b"\xff", "\ufffd"),
    ],
)
def test_escapes_and_bytes_that_are_no_text(raw: bytes, text: str) -> None:
    """Escapes are decoded; what strict JSON does not allow is read leniently, as in any event."""
    alike = [event(frame("word"))] * MANY
    odd = event(frame("@")).replace(b"@", raw)
    assert decoded(*alike, odd, event(frame("end"))) == ["word"] * MANY + [text, "end"]


def test_an_emoji_cut_in_two_halves_is_joined() -> None:
    """The half that is held back keeps the next event from being read without the decoder."""
    alike = [event(frame("word"))] * MANY
    halves = [event(frame("@")).replace(b"@", half) for half in (b"\\ud83d", b"\\ude00")]
    assert "".join(decoded(*alike, *halves)) == "word" * MANY + "\U0001f600"


def test_an_error_ends_a_stream_of_events_that_were_alike() -> None:
    """What came before an error in the same read is shown."""
    decoder = ChatDecoder()
    for _ in range(MANY):
        decoder.feed(event(frame("word")))
    batch = decoder.feed(event(frame("last")) + event({"error": {"message": "broken"}}))
    assert batch == [Text("last")]
    assert decoder.failure is not None
