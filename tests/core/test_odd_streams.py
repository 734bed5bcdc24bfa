"""Answers as broken or odd services send them, in every protocol and at every cut: read where the meaning is
plain, else a typed error, never lost without a sign."""

import json

import pytest

from freeproviders import errors
from freeproviders.providers.ai_chat_free import _RawDecoder
from freeproviders.providers.chatgpt_free import NonceExpiredError, _AjaxDecoder
from freeproviders.providers.flow_gpt import _EventDecoder
from freeproviders.types import InvalidToolCall, Reasoning, Text, ToolCall, ToolCallDelta
from freeproviders.wire.openai.answer import ChatDecoder
from tests.core.chunks import call, delta, sse

BOM = b"\xef\xbb\xbf"
DONE = b"data: [DONE]\n\n"


def event(text):
    return sse(delta(content=text), done=False)


def raw(content):
    """A chunk whose content is JSON source as it is."""
    return b'{"model": "m1", "choices": [{"delta": {"content": %b}}]}' % content


def failed(message, finish=None, **fields):
    """A chunk whose choice reports an error."""
    chunk = delta(finish, **fields)
    chunk["choices"][0]["error"] = {"code": 429, "message": message}
    return chunk


def flow(*texts, raw_data=()):
    lines = [json.dumps({"event": "text", "data": text}).encode() for text in texts]
    lines += [b'{"event": "text", "data": %b}' % data for data in raw_data]
    return b"".join(line + b"\n" for line in lines)


def decode(decoder, chunks):
    parts = []
    for chunk in chunks:
        parts += decoder.feed(chunk)
        if decoder.done or decoder.failure is not None:
            break
    if not decoder.done and decoder.failure is None:
        parts += decoder.close()
    return parts


def told(parts, kind=Text):
    return "".join(part.text for part in parts if isinstance(part, kind))


def cuts(stream):
    """The stream in one piece, byte by byte, and in two at every place (of a long one: at many places)."""
    yield [stream]
    yield [stream[i : i + 1] for i in range(len(stream))]
    step = 1 + len(stream) // 500
    yield from ([stream[:cut], stream[cut:]] for cut in range(1, len(stream), step))


HALVES = raw(rb'"a\ud83d"'), raw(rb'"\ude00b"')
STREAMS = [ChatDecoder, _AjaxDecoder]
PAGE = b"<!DOCTYPE html>\n<html><head><title>Oops</title></head><body>no</body></html>"

ANSWERS = [
    # D5: byte order marks
    *[(cls, BOM + event("Hello") + DONE, "Hello") for cls in STREAMS],
    *[(cls, BOM + BOM + b"\n" + event("Hello") + DONE, "Hello") for cls in STREAMS],
    *[(cls, event("Hel") + BOM + event("lo") + DONE, "Hello") for cls in STREAMS],
    (ChatDecoder, BOM + b' \n{"choices": [{"message": {"content": "Hello"}}]}', "Hello"),
    (_AjaxDecoder, BOM + b'{"status": "success", "data": "Hello"}', "Hello"),
    (_AjaxDecoder, BOM + b'\n{\n "status": "success",\n "data": "Hello"\n}', "Hello"),
    (_EventDecoder, BOM + flow("Hello"), "Hello"),
    (_EventDecoder, flow("Hel") + BOM + b"\n" + BOM + BOM + flow("lo"), "Hello"),
    (_RawDecoder, BOM + b"Hello", "Hello"),
    (_RawDecoder, BOM + b"\xef\xbb\xbe", "\ufefe"),
    # D5: no JSON by the letter
    *[(cls, sse(raw(b'"Hello", "logprobs": NaN, "x": -Infinity')), "Hello") for cls in STREAMS],
    *[(cls, sse(raw(b'"H\xffllo"')), "H\ufffdllo") for cls in STREAMS],
    *[(cls, sse(raw(b'"a\tb\x01"')), "a\tb\x01") for cls in STREAMS],
    *[(cls, sse(raw(b'["Hel", {"type": "text", "text": "lo"}]')), "Hello") for cls in STREAMS],
    *[(cls, b'data: {"choices": [\ndata: {"delta":\ndata:  {"content": "Hello"}}]}\n\n' + DONE,
        "Hello") for cls in STREAMS],
    *[(cls, event("Hel")[:-1] + event("lo")[:-1] + DONE, "Hello") for cls in STREAMS],
    *[(cls, b'data: {"choices":\ndata: []}\n\n' + event("Hello") + DONE, "Hello") for cls in STREAMS],
    (_EventDecoder, flow(raw_data=[b'"H\xffllo"']), "H\ufffdllo"),
    (_EventDecoder, flow(raw_data=[b'"Hello", "n": NaN']), "Hello"),
    # D10: blanks at the end, heartbeats
    *[
        (cls, event("Hello") + end + event("no more"), "Hello")
        for cls in STREAMS
        for end in (b"data: [DONE] \n\n", b"data:\t[DONE]\n\n", b"data:[DONE]\t \r\n\r\n",
                    b"data:   [DONE]\n\n")
    ],
    *[
        (cls, beat + event("Hel") + beat + event("lo") + beat + DONE, "Hello")
        for cls in STREAMS
        for beat in (b"data:\n\n", b"data: \n\n", b"data\n\n", b"data: ping\n\n", b"event: ping\ndata: \n\n")
        if not (cls is _AjaxDecoder and beat == b"data\n\n")
    ],
    # D11: halves of surrogate pairs
    *[(cls, sse(*HALVES), "a\U0001f600b") for cls in STREAMS],
    *[(cls, sse(HALVES[0], raw(b'""'), delta(), HALVES[1]), "a\U0001f600b") for cls in STREAMS],
    *[(cls, sse(HALVES[0]), "a\ufffd") for cls in STREAMS],
    *[(cls, sse(HALVES[0], done=False), "a\ufffd") for cls in STREAMS],
    *[(cls, sse(HALVES[1]), "\ufffdb") for cls in STREAMS],
    *[(cls, sse(HALVES[0], delta(content="b"), raw(b'"c"')), "a\ufffdbc") for cls in STREAMS],
    *[(cls, sse(HALVES[0], HALVES[0], HALVES[1]), "a\ufffda\U0001f600b") for cls in STREAMS],
    *[(cls, sse(raw(rb'"\ud83d\ude00"')), "\U0001f600") for cls in STREAMS],
    (ChatDecoder, b'{"choices": [{"message": {"content": "a\\ud83d"}}]}', "a\ufffd"),
    (_AjaxDecoder, b'{"status": "success", "data": "a\\ud83d b"}', "a\ufffd b"),
    (_EventDecoder, flow(raw_data=[rb'"a\ud83d"', rb'"\ude00b"']), "a\U0001f600b"),
    (_EventDecoder, flow(raw_data=[rb'"a\ud83d"', b'"b"']), "a\ufffdb"),
    (_EventDecoder, flow(raw_data=[rb'"\ud83d"']), "\ufffd"),
    # ChatgptFree: lines that say nothing, and what sites print around an answer
    (_AjaxDecoder, b": ping\nid: 7\nretry: 5\nevent: message\n" + event("Hello") + DONE, "Hello"),
    (_AjaxDecoder, b"<br />\n<b>Warning</b>: x in y.php\n" + event("Hello") + DONE, "Hello"),
    # D9: what a model may say, however much it looks like an error
    *[
        (_RawDecoder, text, text.decode().removeprefix("\ufeff"))
        for text in (
            b"<html>as you asked",
            b"<!DOCTYPE html>\n<html><head><title>404 - Page Not Found</title>"
            b"<style>body{color:red}</style>" + b"<p>x</p>" * 150,
            b"<!DOCTYPE html><html><head><title>My cats</title></head><body>Meow</body></html>",
            b"<!DOCTYPE html>" + b"x" * 5000 + b"<hr><center>nginx</center>",
            b"<", b"<?xml version='1.0'?><note>hi</note>", b"<think>hm</think>yes", b"{", b'{"', b'{ "error',
            b'{"error": "',
            b'{"error": "the city is not known"}', b'{"error": "quota exceeded", "city": "Oslo"}',
            b'{"error": null, "message": "hi"}', b'{"name": "add", "arguments": {}}', b'{"message": "Hi"}',
            b"{}",
            b'{"error": {"message": "boom"}} is what the service says', b"{x", b"error code",
            b"error code: none", b"Error code: 7 is for ...",
            b"upstream of here the river", b"Service Unavailable", b"no healthy upstreams were found", b"   ",
            b"\n\n<p>",
            b'{"error": "quota exceeded", "detail": "' + b"x" * 5000 + b'"}',
        )
    ],
]  # fmt: skip


@pytest.mark.parametrize(("cls", "stream", "text"), ANSWERS)
def test_answers(cls, stream, text):
    """What is plainly meant is read, with its end confirmed, and a cut changes nothing."""
    for chunks in cuts(stream):
        decoder = cls()
        parts = decode(decoder, chunks)
        assert decoder.failure is None
        assert told(parts) == text
        assert decoder.confirmed is (b"data: {" not in stream or b"[DONE]" in stream)
        assert decoder.output_chars == len(text)


ERRORS = [
    # D5
    *[(cls, sse(b"{oops"), errors.MalformedResponseError) for cls in STREAMS],
    *[(cls, b'data: {"choices":\ndata: {oops\n\n' + DONE, errors.MalformedResponseError) for cls in STREAMS],
    *[(cls, b"data: {oops\n\ndata: {}\n\n" + DONE, errors.MalformedResponseError) for cls in STREAMS],
    *[(cls, b"event: error\ndata: Rate limit reached\n\n" + DONE, errors.RateLimitError) for cls in STREAMS],
    *[(cls, b"data: it broke\nevent: error\n\n" + DONE, errors.ServerError) for cls in STREAMS],
    *[(cls, b'event: error\ndata: {"code": 5}\n\n' + DONE, errors.ServerError) for cls in STREAMS],
    *[(cls, b'event: error\ndata: {"message": "too many requests"}\n\n' + DONE,
        errors.RateLimitError) for cls in STREAMS],
    *[(cls, sse(delta("error")), errors.ServerError) for cls in STREAMS],
    # D6: lines that belong to no event, with no end after them
    *[(cls, b'error: {"code": 500, "message": "slot unavailable", "type": "server_error"}\n\n',
        errors.ServerError) for cls in STREAMS],
    *[(cls, b"error: rate limit\n\n" + DONE, errors.RateLimitError) for cls in STREAMS],
    *[(cls, b'{"error": {"message": "Rate limit reached"}}\n', errors.RateLimitError) for cls in STREAMS],
    *[(cls, b'\n{"error": "Rate limit reached"}', errors.RateLimitError) for cls in STREAMS],
    (ChatDecoder, b'{\n "error": {\n  "message": "Rate limit reached"\n }\n}\n', errors.RateLimitError),
    *[(cls, PAGE, errors.BlockedError) for cls in STREAMS],
    (ChatDecoder, b"Too many requests\n", errors.RateLimitError),
    (ChatDecoder, b"Goodbye\n", errors.MalformedResponseError),
    # D7
    *[(cls, sse(delta(content=" ") | {"error": {"message": "boom"}}), errors.ServerError) for cls in STREAMS],
    *[(cls, sse(delta(content="x", role="assistant") | {"error": "Rate limit"}),
        errors.RateLimitError) for cls in STREAMS],
    *[(cls, sse(failed("Rate limit", finish, content="x")), errors.RateLimitError)
        for cls in STREAMS for finish in (None, "stop", "error")],
    # nothing but half an event
    (ChatDecoder, b'data: {"choices": [{"del', errors.TruncatedResponseError),
    (_AjaxDecoder, b'data: {"choices": [{"del', errors.TruncatedResponseError),
    (_AjaxDecoder, sse(delta(tool_calls=[call(0, "a", "f", '{"x"')]), done=False),
        errors.TruncatedResponseError),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "stream", "error"), ERRORS)
def test_errors_after_text(cls, stream, error):
    """What is no answer is a typed error at any cut, and the text before it is not lost."""
    stream = event("Hello") + stream
    for chunks in cuts(stream):
        decoder = cls()
        parts = decode(decoder, chunks)
        assert type(decoder.failure) is error
        assert told(parts) == "Hello"


NGINX = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad "
    b"Gateway</h1></center>\r\n"
    b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
FIRST = [
    (_RawDecoder, BOM + b"<html><head><title>Just a moment...</title>", errors.BlockedError),
    (_RawDecoder, b'<?xml version="1.0"?>\n<!DOCTYPE html><html><script src="/_next/static/x.js">',
        errors.BlockedError),
    (_RawDecoder, NGINX, errors.BlockedError),
    (_RawDecoder, b"\n<!doctype html><title>503 Backend fetch failed</title>", errors.BlockedError),
    (_RawDecoder, b"<!DOCTYPE html><link href=/wp-content/x.css>" + b"x" * 9000, errors.BlockedError),
    (_RawDecoder, b'{"error":"Quota exceeded"}', errors.RateLimitError),
    (_RawDecoder, b' {\n "error": {"message": "it broke", "code": 503}}\n', errors.ServerError),
    (_RawDecoder, b'{"success": false, "code": 401, "message": "no"}', errors.AuthenticationError),
    (_RawDecoder, b"upstream connect error or disconnect/reset before headers. reset reason: overflow",
        errors.ServerError),
    (_RawDecoder, b"no healthy upstream", errors.ServerError),
    (_RawDecoder, b"error code: 1015", errors.ServerError),
    (_RawDecoder, BOM, errors.EmptyResponseError),
    (_RawDecoder, b"", errors.EmptyResponseError),
    (_EventDecoder, BOM, errors.EmptyResponseError),
    (_EventDecoder, flow(raw_data=[b'"H']), errors.MalformedResponseError),
    (_EventDecoder, b'{"event": "text", "data": "x", "error": {"message": "Rate limit"}}\n',
        errors.RateLimitError),
    (_AjaxDecoder, b'{"status": "success", "data": "x", "error": {"message": "Rate limit"}}',
        errors.RateLimitError),
    (_AjaxDecoder, BOM + b"-1", NonceExpiredError),
    (_AjaxDecoder, b'{"status": "error", "msg": "Nonce verification failed \\ud83d"}', NonceExpiredError),
    (_AjaxDecoder, b'{"error": "Rate limit"}\n' + DONE, errors.RateLimitError),
    (_AjaxDecoder, b'{"status": "succ', errors.TruncatedResponseError),
    (ChatDecoder, BOM + b'{"error": {"message": "Rate limit \\ud83d"}}', errors.RateLimitError),
    *[(ChatDecoder, json.dumps(failed("Rate limit", finish, content="x")).encode(), errors.RateLimitError)
        for finish in (None, "stop", "error")],
    (ChatDecoder, b"Rate limit exceeded\n\n" + DONE, errors.RateLimitError),
    (ChatDecoder, BOM + PAGE, errors.BlockedError),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "stream", "error"), FIRST)
def test_errors_in_the_place_of_an_answer(cls, stream, error):
    """They are found whatever the cut, and no text is given out."""
    for chunks in cuts(stream) if stream else [[]]:
        decoder = cls()
        parts = decode(decoder, chunks)
        assert type(decoder.failure) is error
        str(decoder.failure).encode()
        assert told(parts) == ""


def test_an_error_in_a_choice_is_told_whole():
    """Its message and code are those of the error, and a null in its place is none."""
    decoder = ChatDecoder()
    decode(decoder, [event("Hello") + sse(failed("it broke", "error", content=""))])
    assert (decoder.failure.status, decoder.failure.code) == (429, "429")
    assert "it broke" in str(decoder.failure)
    fine = failed("", content="x")
    fine["choices"][0]["error"] = None
    decoder = ChatDecoder()
    assert told(decode(decoder, [event("Hello") + sse(fine)])) == "Hellox"
    assert decoder.failure is None


def test_an_unfinished_answer_is_not_called_stopped():
    """Neither a reason nor [DONE]: the reason is open and the end unconfirmed; a reason alone confirms it."""
    decoder = ChatDecoder()
    assert told(decode(decoder, [event("Hello")])) == "Hello"
    assert (decoder.done, decoder.reason, decoder.confirmed) == (False, None, False)
    decoder = ChatDecoder()
    decode(decoder, [event("Hello") + sse(delta("stop"), done=False) + b"Goodbye\n"])
    assert (decoder.failure, decoder.reason, decoder.confirmed) == (None, "stop", True)


def test_halves_in_thinking_and_calls():
    """Thinking and text each have their own pairs; those of calls are joined over their deltas."""
    opening = (
        b'{"delta": {"tool_calls": [{"index": 0, "id": "\\ud83d", "function": '
        b'{"name": "f\\ud83d", "arguments": "{\\"x\\": \\"\\ud83d"}}]}}'
    )
    rest = (
        b'{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "\\ude00\\\\ud83d\\"}"}}]},'
        b' "finish_reason": "\\ud83d"}'
    )
    frames = [
        b'{"choices": [{"delta": {"reasoning": "a\\ud83d"}}]}',
        b'{"choices": [{"delta": {"reasoning": "\\ude00b"}}]}',
        b'{"choices": [{"delta": {"reasoning": "c\\ud83d"}}]}',
        b'{"choices": [{"delta": {"content": "\\ude00d"}}]}',
        b'{"model": "m\\ud83d", "id": "\\ud83d", "choices": [%b]}' % opening,
        b'{"choices": [%b]}' % rest,
    ]
    for chunks in cuts(sse(*frames)):
        decoder = ChatDecoder()
        parts = decode(decoder, chunks)
        assert decoder.failure is None
        assert told(parts, Reasoning) == "a\U0001f600bc\ufffd"
        assert told(parts) == "\ufffdd"
        assert parts[-1] == ToolCall("\ufffd", "f\ufffd", {"x": "\U0001f600\ufffd"})
        assert (decoder.model, decoder.response_id, decoder.raw_reason) == ("m\ufffd", "\ufffd", "\ufffd")


HALVES = [
    # pieces of arguments as JSON source, and what is shown of them
    ([r"{\"p\": \"x\ud83d", r"\ude00y\"}"], '{"p": "x\U0001f600y"}'),
    ([r"{\"p\": \"", r"\ud83d", r"\ude00", r"\"}"], '{"p": "\U0001f600"}'),
    ([r"{\"p\": \"\ud83d", r"y\ude00\"}"], '{"p": "\ufffdy\ufffd"}'),
    ([r"{\"p\": \"\ud83d", r"\ud83d", r"\ude00\"}"], '{"p": "\ufffd\U0001f600"}'),
    ([r"{\"p\": \"\ud83d"], '{"p": "\ufffd'),
]


@pytest.mark.parametrize(("pieces", "shown"), HALVES)
def test_halves_in_pieces_of_calls_that_are_shown(pieces, shown):
    """Each call has its own pairs, whatever comes between their halves."""
    piece_of = '{"index": %d, "function": {"name": "f", "arguments": "%s"}}'
    frame = f'{{"choices": [{{"delta": {{"tool_calls": [{piece_of}]}}}}]}}'
    frames = [(frame % (index, piece)).encode() for piece in pieces for index in (0, 1)]
    for chunks in cuts(sse(*frames, delta("tool_calls"))):
        decoder = ChatDecoder(deltas=True)
        parts = decode(decoder, chunks)
        assert decoder.failure is None
        merged = ["", ""]
        for part in parts:
            if isinstance(part, ToolCallDelta):
                merged[part.index] += part.arguments
        assert merged == [shown, shown]
        for made in parts[-2:]:
            assert (
                json.dumps(made.arguments, ensure_ascii=False) if isinstance(made, ToolCall) else made.text
            ) == shown


def test_arguments_are_no_place_for_constants():
    """NaN is no argument that a tool could be called with."""
    decoder = ChatDecoder()
    parts = decoder.feed(sse(delta(tool_calls=[call(0, "a", "f", '{"x": NaN}')])))
    assert [type(part) for part in parts] == [InvalidToolCall]


def test_a_filter_after_text_ends_it_at_any_cut():
    """In one read with the text or in the next: the reason is the filter, and the text is kept."""
    for chunks in cuts(event("Hello") + sse(delta("content_filter"))):
        decoder = ChatDecoder()
        assert told(decode(decoder, chunks)) == "Hello"
        assert (decoder.failure, decoder.reason) == (None, "content_filter")


@pytest.mark.parametrize(
    ("deltas", "message"),
    [
        ([call(n, f"c{n}", "f", "{}") for n in range(1025)], "more than 1024 tool calls"),
        ([call(None, f"c{n}", "f", "{}") for n in range(1025)], "more than 1024 tool calls"),
        ([call(0, "a", f"f{n:07}") for n in range(200)], "name of a tool call"),
        ([call(0, "a", "f", "x" * 2**20)] * 17, "arguments of tool calls"),
    ],
)
def test_calls_without_end(deltas, message):
    """More calls, names or arguments than anybody asks for are a typed error."""
    decoder = ChatDecoder()
    for one in deltas:
        decoder.feed(sse(delta(tool_calls=[one]), done=False))
        if decoder.failure:
            break
    assert isinstance(decoder.failure, errors.ResponseTooLargeError)
    assert message in str(decoder.failure)


def test_the_slot_of_a_delta():
    """An id wins over an index; of two slots that fit, the later one is meant.

    An index without an id goes on where it was last.
    """
    deltas = [
        call(0, "a", "f", "["), call(1, None, "g", "("), call(1, "a", None, "1"), call(0, None, None, "2"),
        call(5, "a", None, "3"), call(0, "b", "h", "4"), call(0, None, None, "5"),
        call(None, None, None, "6"),
        call(None, None, "k", "7"), call(None, None, "k", "8"),
    ]  # fmt: skip
    decoder = ChatDecoder()
    for one in deltas:
        decoder.feed(sse(delta(tool_calls=[one]), done=False))
    assert [(slot.id, slot.name, "".join(slot.arguments)) for slot in decoder._calls._slots] == [
        ("a", "f", "[2"), ("a", "g", "(13"), ("b", "h", "456"), (None, "k", "7"), (None, "k", "8"),
    ]  # fmt: skip


@pytest.mark.parametrize("line", [b": ping\n", b"\n", b"id: 1\n", b"event: x\n", b"retry: 1\r\n"])
def test_lines_that_say_nothing_are_not_kept(line):
    """Any number of them before and in an answer leaves nothing behind."""
    decoder = _AjaxDecoder()
    for _ in range(50):
        decoder.feed(line * 1000)
    assert told(decoder.feed(event("Hello"))) == "Hello"
    for _ in range(50):
        decoder.feed(line * 1000)
    assert (decoder._strays, decoder._data, decoder._size) == ([], [], 0)


def test_other_lines_have_their_cap():
    """Before the text they may be the answer and end in an error at the cap; after it a few are enough."""
    decoder = _AjaxDecoder()
    while decoder.failure is None:
        decoder.feed(b"x\n" * 10_000)
    assert type(decoder.failure) is errors.ResponseTooLargeError
    decoder = _AjaxDecoder()
    decoder.feed(event("Hello"))
    for _ in range(100):
        decoder.feed(b"x\n" * 10_000)
    assert decoder.failure is None
    assert len(decoder._strays) < 100


@pytest.mark.parametrize("payload", [b"{}\n" * 20_000, raw(b'"\xff' + b"x" * 2**20 + b'"')])
def test_leniency_has_its_bounds(payload):
    """What takes long to read leniently is refused instead, so that others get their turn."""
    decoder = ChatDecoder()
    decoder.feed(b"".join(b"data: " + line + b"\n" for line in payload.split(b"\n")) + b"\n")
    assert type(decoder.failure) is errors.MalformedResponseError


def test_stray_lines_are_not_kept_for_ever():
    """A stream of lines that belong to no event costs no more than what names the error."""
    decoder = ChatDecoder()
    decoder.feed(event("Hello"))
    for _ in range(100):
        decoder.feed(b"x\n" * 10_000)
    assert sum(map(len, decoder._stray)) <= 4096
    decoder.close()
    assert type(decoder.failure) is errors.MalformedResponseError
