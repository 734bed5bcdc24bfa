"""Lines and raw text, at every cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.errors import ResponseTooLargeError
from freeproviders.wire.lines import LineDecoder
from freeproviders.wire.text import TextDecoder


def decode(chunks):
    decoder = LineDecoder()
    return [line for chunk in chunks for line in decoder.feed(chunk)] + decoder.close()


def cut(stream, cuts):
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(st.lists(st.binary(max_size=8), max_size=12), st.data())
def test_lines(pieces, data):
    """Lines come without their ends and blank ones not at all, however the stream is cut.

    CR inside a line and U+2028 are content.
    """
    stream = b"\n".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))

    expected = [stripped for line in stream.split(b"\n") if (stripped := line.strip(b" \t\r"))]

    assert decode(cut(stream, cuts)) == expected


def test_unicode_line_ends_are_content():
    """Only LF ends a line."""
    line = '{"data": "a\u2028b\u2029c\x85d"}'.encode()
    assert decode([line + b"\r\n", line]) == [line, line]


@pytest.mark.parametrize("size", [1, 1000])
def test_long_line_and_cap(size):
    """600 KB in small reads is one line; beyond the cap it is refused."""
    line = b"x" * 600_000
    assert decode([line[i : i + size] for i in range(0, len(line), size)]) == [line]

    decoder = LineDecoder(max_line_bytes=1000)
    with pytest.raises(ResponseTooLargeError):
        for _ in range(101):
            decoder.feed(b"x" * 10)


@given(st.text(), st.data())
def test_text(text, data):
    """Text comes out as it went in, however its characters are cut."""
    stream = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = TextDecoder()

    assert "".join(map(decoder.feed, cut(stream, cuts))) + decoder.close() == text


@given(st.binary(), st.data())
def test_broken_text(stream, data):
    """Bytes that are no UTF-8 become U+FFFD, the same however they are cut."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    decoder = TextDecoder()

    assert "".join(map(decoder.feed, cut(stream, cuts))) + decoder.close() == stream.decode(
        "utf-8", "replace"
    )
