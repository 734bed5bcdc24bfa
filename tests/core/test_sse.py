"""Server-sent events: the WHATWG's rules, and every cut of the stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders.errors import ResponseTooLargeError
from freeproviders.wire.sse import UNFRAMED, SSEDecoder

M = "message"

TABLE = [
    pytest.param(b"data: a\n\ndata: b\n\n", [(M, b"a"), (M, b"b")], id="plain"),
    pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [(M, b"a"), (M, b"b")], id="CRLF"),
    pytest.param(b"data: a\r\rdata: b\r\r", [(M, b"a"), (M, b"b")], id="CR"),
    pytest.param(b"data: a\n\r\ndata: b\r\n\n", [(M, b"a"), (M, b"b")], id="mixed ends"),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n", [(M, b"a")], id="byte order mark"),
    pytest.param(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", [], id="only the first mark is one"),
    pytest.param(b"data: YHOO\ndata: +2\ndata: 10\n\n", [(M, b"YHOO\n+2\n10")], id="several data lines"),
    pytest.param(
        b": comment\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
        [(M, b"first"), (M, b"second"), (M, b" third")],
        id="comments and ids",
    ),
    pytest.param(b"data\n\ndata\ndata\n\ndata:", [(M, b""), (M, b"\n"), (M, b"")], id="empty data"),
    pytest.param(
        b"data:test\n\ndata: test\n\n", [(M, b"test"), (M, b"test")], id="one space belongs to the colon"
    ),
    pytest.param(
        b"event: error\ndata: x\n\ndata: y\n\n", [("error", b"x"), (M, b"y")], id="a name holds for one event"
    ),
    pytest.param(b"event: error\n\ndata: y\n\n", [(M, b"y")], id="a name without data is forgotten"),
    pytest.param(b"id: 7\n\n\n\n", [], id="an id is no event"),
    pytest.param(b"retry: 100\n\n", [], id="a retry is no event"),
    pytest.param(b"data: a\n\ndata: last", [(M, b"a"), (M, b"last")], id="last event without its blank line"),
    pytest.param(
        b"data: a\n\ndata: last\n", [(M, b"a"), (M, b"last")], id="last event with half a blank line"
    ),
    pytest.param(
        b"data: a\n\n: late comment\n\nnonsense\n\ndata: b\n\n",
        [(M, b"a"), (M, b"b")],
        id="unknown lines between events",
    ),
    pytest.param(
        b"data: a\n\n: c\n\ndata: partial",
        [(M, b"a"), (M, b"partial")],
        id="a comment before a partial event",
    ),
    pytest.param(
        "data: \u2028\u2029\x85 🙂\n\n".encode(),
        [(M, "\u2028\u2029\x85 🙂".encode())],
        id="Unicode's line ends are content",
    ),
    pytest.param(b"\n\n\ndata: a\n\n\n\n", [(M, b"a")], id="stray blank lines"),
    pytest.param(b"", [], id="nothing"),
    pytest.param(
        b"data:\x00\ndata:  two\rData:no\ndata\x00:no\n data:no\rda-ta:no\ndata_no\r\ndata\n\n",
        [(M, b"\x00\n two\n")],
        id="names of fields are exact, values are not",
    ),
    pytest.param(
        b"data:\ttab\rdata: \ndata:none\n\n", [(M, b"\ttab\n\nnone")], id="a tab belongs to the data"
    ),
    pytest.param(b"data:a\r\ndata\ndata:b\r\n\r", [(M, b"a\n\nb")], id="three kinds of ends in one event"),
    pytest.param(b"data:a\r:\x00\n:\r\n:data:no\rdata:b\n\n", [(M, b"a\nb")], id="comments inside an event"),
    pytest.param(
        b"event: \ndata:a\n\nevent:\ndata:b\n\nevent\ndata:c\n\n",
        [(M, b"a"), (M, b"b"), (M, b"c")],
        id="empty names",
    ),
    pytest.param(b"event: a\nevent: b\ndata: x\n\n", [("b", b"x")], id="the last name counts"),
    pytest.param(b"event:  a \ndata: x\n\n", [(" a ", b"x")], id="blanks belong to a name"),
    pytest.param(b"data: x\nid: 1\nretry: no\nid: 1\x00\n\n", [(M, b"x")], id="ids and times of any kind"),
    pytest.param(
        b"data: a\n\n\xef\xbb\xbfdata: b\n\ndata: c\n\n", [(M, b"a"), (M, b"c")], id="a mark in the middle"
    ),
    pytest.param(b"data: a:b: c\n\n", [(M, b"a:b: c")], id="colons after the first"),
    pytest.param(b"data: \xff\xfe\n\n", [(M, b"\xff\xfe")], id="bytes that are not UTF-8"),
    pytest.param(b"data: a\n\n\r\n\r\rdata: b\n\n", [(M, b"a"), (M, b"b")], id="blank lines of all kinds"),
]


def decode(chunks):
    decoder = SSEDecoder()
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.close()


@pytest.mark.parametrize(("stream", "events"), TABLE)
def test_table(stream, events):
    """Each stream gives its events in one piece, byte by byte and cut in two at every place."""
    assert decode([stream]) == events
    assert decode([stream[i : i + 1] for i in range(len(stream))]) == events
    for cut in range(len(stream)):
        assert decode([stream[:cut], stream[cut:]]) == events


def test_lines_that_belong_to_no_event():
    """Unknown fields are given out where they are asked for, whole and at their place.

    Comments and known fields are not.
    """
    stream = b"<p>\n: c\ndata: a\nx: y\n\nid\nretry: 1\n{}\r\ndata: b\n\nlast"
    expected = [
        (UNFRAMED, b"<p>"),
        (UNFRAMED, b"x: y"),
        (M, b"a"),
        (UNFRAMED, b"{}"),
        (M, b"b"),
        (UNFRAMED, b"last"),
    ]
    for cut in range(len(stream)):
        decoder = SSEDecoder(keep_unframed=True)
        assert decoder.feed(stream[:cut]) + decoder.feed(stream[cut:]) + decoder.close() == expected


line = st.one_of(
    st.binary(max_size=12).map(lambda b: b"data: " + b.replace(b"\r", b"").replace(b"\n", b"")),
    st.sampled_from(
        [
            b"",
            b"",
            b"data",
            b"data:",
            b": c",
            b"event: e",
            b"event:",
            b"id: 1",
            b"retry: 1",
            b"x: y",
            b"\xef\xbb\xbfdata: a",
        ]
    ),
)


@given(st.lists(st.tuples(line, st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])), max_size=20), st.data())
def test_cuts_do_not_matter(lines, data):
    """Any stream decodes to the same events however it is cut."""
    stream = b"".join(a + b for a, b in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    assert decode(chunks) == decode([stream])
    assert decode([stream]) == slow_reference(stream)


def slow_reference(stream):
    """The WHATWG's algorithm, a line at a time, with nothing held in mind but its text."""
    text = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events, data, name = [], [], ""
    for line in [*text.split(b"\n"), b""]:
        if line == b"":
            if data:
                events.append((name or M, b"\n".join(data)))
            data, name = [], ""
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value.decode("utf-8", "replace")
    return events


@pytest.mark.parametrize("size", [1, 100, 65536])
def test_long_line(size):
    """An event of 600 KB arrives whole, whatever the size of the reads."""
    payload = b"x" * 600_000
    stream = b"data: " + payload + b"\n\n"

    assert decode([stream[i : i + size] for i in range(0, len(stream), size)]) == [(M, payload)]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 2000, b"data: x\n" * 2000, b"x" * 2000])
def test_cap(stream):
    """An event that never ends is refused at the cap, in one read or in many."""
    decoder = SSEDecoder(max_event_bytes=1000)
    with pytest.raises(ResponseTooLargeError, match="1000 bytes"):
        for i in range(0, len(stream), 10):
            decoder.feed(stream[i : i + 10])
