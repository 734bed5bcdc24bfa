"""Each fault does what its table says, seen by a plain client."""

import asyncio
import gzip
import json
import re
import time
import zlib

import aiohttp
import pytest
import right_requests as right
from right_requests import SLUGS, ask, client, right_request, said, send

from freeproviders import OpenAICompatible
from freeproviders.testing import faults as reference
from freeproviders.testing import replica
from freeproviders.testing.faults import FAULT_NAMES, Fault, described, read_words
from freeproviders.testing.services import service_class

ANSWER = ["Hello", " there", " 🎉"]
SSE = ("free-netfly", "chatgpt-free", "openai-compatible")
LINES = (*SSE, "flow-gpt")

every_service = pytest.mark.parametrize("slug", SLUGS)
every_sse = pytest.mark.parametrize("slug", SSE)


async def fetch(slug, fault, answer=ANSWER, **options):
    """Status, headers and body of one answer with a fault."""
    with replica(slug, answer=answer, faults=fault, **options) as r:
        request = await right_request(r, slug)
        async with client() as session, send(session, r, request) as response:
            return response.status, response.headers, await response.read()


async def raw(slug, fault, answer=ANSWER):
    """The body as it comes over the wire, and whether its end was a clean one."""
    with replica(slug, answer=answer, faults=fault) as r:
        request = await right_request(r, slug)
        async with aiohttp.ClientSession(
            skip_auto_headers=["User-Agent", "Accept"], auto_decompress=False
        ) as session:
            got = b""
            try:
                async with send(session, r, request) as response:
                    async for chunk in response.content.iter_any():
                        got += chunk
            except aiohttp.ClientPayloadError:
                return got, False
            else:
                return got, True


# --- statuses -------------------------------------------------------------------------------------


@every_service
async def test_status(slug):
    status, headers, body = await fetch(
        slug,
        {
            "status": 503,
            "retry_after": 7,
            "retry_after_ms": 1500,
            "error": "Overloaded",
            "headers": {"x-left": "0"},
        },
    )

    assert (status, headers["Retry-After"], headers["Retry-After-Ms"], headers["x-left"]) == (
        503,
        "7",
        "1500",
        "0",
    )
    assert "Overloaded" in body.decode()


@pytest.mark.parametrize(
    ("given", "sent"), [("text", b"text"), (b"\xff", b"\xff"), ({"a": [1]}, b'{"a": [1]}')]
)
async def test_status_with_a_body(given, sent):
    status, headers, body = await fetch(
        "flow-gpt", {"status": 418, "body": given, "content_type": "text/x-own"}
    )

    assert (status, headers["Content-Type"], body) == (418, "text/x-own", sent)


@every_service
async def test_quota(slug):
    status, _, body = await fetch(slug, {"quota": True})

    assert (status, "Quota exceeded" in body.decode()) == (
        (500, True) if slug == "ai-chat-free" else (429, False)
    )
    assert slug == "ai-chat-free" or "daily" in body.decode()


@every_service
async def test_challenge_and_html(slug):
    status, headers, body = await fetch(slug, {"challenge": True})
    assert (status, headers["Server"]) == (403, "cloudflare")
    assert body.startswith(b"<!DOCTYPE html>")

    status, headers, body = await fetch(slug, {"html": True})
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!DOCTYPE html>")


@every_service
async def test_redirect(slug):
    status, headers, _ = await fetch(slug, {"redirect": "http://127.0.0.1:9/there"})

    assert (status, headers["Location"]) == (307, "http://127.0.0.1:9/there")


@every_service
async def test_drop(slug):
    with replica(slug, faults={"drop": True}) as r:
        request = await right_request(r, slug)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await ask(r, request)
        assert r.disconnects == 0


# --- errors and silence inside a 200 --------------------------------------------------------------


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if slug != "ai-chat-free"])
@pytest.mark.parametrize("at", [0, 2])
async def test_error_inside_a_200(slug, at):
    status, _, body = await fetch(slug, {"error": "Model crashed", "error_at": at})

    assert status == 200
    assert b"Model crashed" in body
    assert (b"there" in body) == bool(at)
    assert b"[DONE]" not in body
    assert "🎉".encode() not in body


async def test_error_inside_raw_text():
    assert (await fetch("ai-chat-free", {"error": "Crashed", "error_at": 1}))[
        2
    ] == b'Hello{"error":{"message":"Crashed"}}'


SHAPES = {
    "object": lambda d: d["error"]["message"],
    "string": lambda d: d["error"],
    "object-error": lambda d: (d["object"] == "error") and d["message"],
    "array": lambda d: d[0]["error"]["message"],
    "errors": lambda d: d["success"] is False and d["errors"][0]["message"],
    "rfc7807": lambda d: d["title"] and d["detail"],
    "message": lambda d: d["message"],
    "detail": lambda d: d["detail"],
    "choices-null": lambda d: d["choices"] is None and d["error"]["message"],
    "finish-reason": lambda d: d["choices"][0]["finish_reason"] == "error" and d["error"]["message"],
}


def test_every_error_shape_is_tested():
    assert {*SHAPES, "text"} == set(reference.ERROR_SHAPES)


@pytest.mark.parametrize("shape", SHAPES)
async def test_error_shapes(shape):
    body = (await fetch("openai-compatible", {"error": "Crashed", "error_shape": shape}))[2]
    assert SHAPES[shape](right.events(body)[0]) == "Crashed"

    if shape not in {"choices-null", "finish-reason"}:
        status, _, body = await fetch(
            "free-netfly", {"status": 500, "error": "Crashed", "error_shape": shape}
        )
        assert (status, SHAPES[shape](json.loads(body))) == (500, "Crashed")


async def test_error_as_bare_text():
    assert (await fetch("openai-compatible", {"error": "Ratelimit Exceeded!", "error_shape": "text"}))[
        2
    ] == b"Ratelimit Exceeded!"


@every_service
async def test_empty(slug):
    status, _, body = await fetch(slug, {"empty": True})

    assert (status, said(slug, body)) == (200, "")
    assert slug not in SSE or body.endswith(b"data: [DONE]\n\n")


# --- time -----------------------------------------------------------------------------------------


@every_service
async def test_delays_and_pace(slug):
    with replica(slug, answer=ANSWER, faults={"delay_headers": 0.1, "delay_first": 0.1, "pace": 0.05}) as r:
        request = await right_request(r, slug)
        async with client() as session:
            began = time.monotonic()
            async with send(session, r, request) as response:
                headers = time.monotonic() - began
                got, first = b"", None
                async for chunk in response.content.iter_any():
                    got += chunk
                    if b"Hello" in got and first is None:
                        first = time.monotonic() - began
            total = time.monotonic() - began

        assert said(slug, got) == "".join(ANSWER)
        # From the beginning: a busy machine may bring the headers and the first text at once.
        assert headers >= 0.09
        assert first >= 0.18
        assert total >= 0.26


@every_service
async def test_stall(slug):
    with replica(slug, answer=ANSWER, faults={"stall": 2}) as r:
        request = await right_request(r, slug)
        async with client() as session, send(session, r, request) as response:
            got = b""
            while b"there" not in got:
                got += await response.content.readany()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(response.content.readany(), 0.05)
            assert r.disconnects == 0
            response.close()
            assert await r.await_disconnect(timeout=60) == 1
        assert "🎉".encode() not in got


@every_service
async def test_a_client_that_leaves_before_the_headers_is_seen(slug):
    with replica(slug, faults={"delay_headers": 30}) as r:
        request = await right_request(r, slug)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(r, request), 0.1)
        assert await r.await_disconnect() == 1


async def test_a_client_that_reads_to_the_end_has_not_left():
    with replica("flow-gpt") as r:
        await ask(r, right.flow_gpt())
        await asyncio.sleep(0.05)
        assert r.disconnects == 0
        with pytest.raises(TimeoutError, match="No 1 client"):
            r.wait_disconnect(timeout=0.01)


async def test_hang_after_done_counts_as_complete():
    with replica("openai-compatible", answer=ANSWER, faults={"hang_after_done": 30}) as r:
        async with client() as session, send(session, r, right.openai()) as response:
            got = b""
            while b"[DONE]" not in got:
                got += await response.content.readany()
            response.close()
        await asyncio.sleep(0.05)
        assert r.disconnects == 0


@pytest.mark.parametrize("slug", LINES)
async def test_keepalive(slug):
    body = (await fetch(slug, {"keepalive": 3}))[2]

    assert body.count(b": keep-alive\n\n") == (3 if slug in SSE else 0)
    assert slug in SSE or b"}\n\n\n\n{" in body
    assert said(slug, body) == "".join(ANSWER)


# --- bytes ----------------------------------------------------------------------------------------


@every_service
@pytest.mark.parametrize("n", [0, 1, 9])
async def test_cut_and_end(slug, n):
    assert await raw(slug, {"cut": n}) == ((await raw(slug, {"end": n}))[0], False)
    body, clean = await raw(slug, {"end": n})
    assert (len(body), clean) == (n, True)


@every_service
async def test_a_cut_behind_the_end_still_breaks_the_transfer(slug):
    body, clean = await raw(slug, {"cut": 10**6})

    assert (said(slug, body), clean) == ("".join(ANSWER), False)


@every_service
@pytest.mark.parametrize("chunk", [1, 3, [1, 5, 2]])
async def test_chunk(slug, chunk):
    with replica(slug, answer=ANSWER, faults={"chunk": chunk}) as r:
        request = await right_request(r, slug)
        async with client() as session, send(session, r, request) as response:
            sizes, got, part = [], b"", 0
            async for data, end in response.content.iter_chunks():
                got, part = got + data, part + len(data)
                if end:
                    sizes.append(part)
                    part = 0
        assert said(slug, got) == "".join(ANSWER)
        assert max(sizes) <= (chunk if isinstance(chunk, int) else 5)
        assert len(sizes) > 5


@every_service
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_encoding(slug, encoding):
    body, clean = await raw(slug, {"encoding": encoding})

    assert clean
    assert said(slug, gzip.decompress(body) if encoding == "gzip" else zlib.decompress(body)) == "".join(
        ANSWER
    )
    assert said(slug, (await fetch(slug, {"encoding": encoding, "chunk": 1}))[2]) == "".join(ANSWER)


async def test_compressed_pieces_can_be_read_when_they_come():
    with replica("ai-chat-free", answer=ANSWER, faults={"encoding": "gzip", "stall": 1}) as r:
        async with client() as session, send(session, r, right.ai_chat_free()) as response:
            assert await response.content.readany() == b"Hello"


async def test_a_fault_status_is_cut_and_compressed_too():
    body, clean = await raw("flow-gpt", {"status": 500, "body": "x" * 50, "encoding": "gzip"})
    assert (gzip.decompress(body), clean) == (b"x" * 50, True)
    assert await raw("flow-gpt", {"status": 500, "body": "x" * 50, "cut": 7}) == (b"x" * 7, False)


# --- event streams --------------------------------------------------------------------------------


@every_sse
async def test_no_done_and_no_finish(slug):
    body = (await fetch(slug, {"no_done": True}))[2]
    assert b"[DONE]" not in body
    assert b'"finish_reason":"stop"' in body

    body = (await fetch(slug, {"no_finish": True}))[2]
    assert b"[DONE]" in body
    assert b'"finish_reason":"stop"' not in body


@pytest.mark.parametrize(
    ("slug", "line_end"),
    [*((slug, "\r\n") for slug in SSE), ("free-netfly", "\r"), ("openai-compatible", "\r")],
)
async def test_line_ends(slug, line_end):
    plain, other = (await fetch(slug, {}))[2], (await fetch(slug, {"line_end": line_end}))[2]

    assert other.count(line_end.encode()) == plain.count(b"\n")
    assert said(slug, other.replace(line_end.encode(), b"\n")) == "".join(ANSWER)


@every_sse
async def test_last_blank_and_bom(slug):
    body = (await fetch(slug, {"last_blank": False}))[2]
    assert body.endswith(b"\n\ndata: [DONE]\n")
    assert said(slug, body + b"\n") == "".join(ANSWER)

    body = (await fetch(slug, {"bom": True}))[2]
    assert body.startswith(b"\xef\xbb\xbfdata: ")
    assert said(slug, body[3:]) == "".join(ANSWER)


async def test_flow_gpt_lines():
    body = (await fetch("flow-gpt", {"last_blank": False}))[2]
    assert not body.endswith(b"\n")
    assert said("flow-gpt", body) == "".join(ANSWER)
    assert b"}\r\n" in (await fetch("flow-gpt", {"line_end": "\r\n"}))[2]


async def test_no_stream():
    for slug in ("free-netfly", "openai-compatible"):
        _, headers, body = await fetch(slug, {"no_stream": True})
        assert headers["Content-Type"] == "application/json"
        assert json.loads(body)["choices"][0]["message"]["content"] == "".join(ANSWER)


# --- ChatgptFree's two steps ----------------------------------------------------------------------


@pytest.mark.parametrize(("way", "answer"), [("403", (403, b"-1")), ("-1", (200, b"-1"))])
async def test_an_expired_nonce_stays_expired(way, answer):
    with replica("chatgpt-free", faults=[{"nonce_expired": way}]) as r:
        request = await right.chatgpt_free(r)

        assert await ask(r, request) == answer
        assert (await ask(r, request))[0] == 403
        assert (await ask(r, await right.chatgpt_free(r, cookies=request.cookies)))[0] == 200


async def test_an_expired_nonce_in_json():
    status, _, body = await fetch("chatgpt-free", {"nonce_expired": "json"})

    assert (status, json.loads(body)["status"]) == (200, "error")
    assert "nonce" in body.decode().lower()


@pytest.mark.parametrize(
    ("page", "lacks", "has"),
    [("no-nonce", b"data-nonce", b"data-post-id"), ("no-post-id", b"data-post-id", b"data-nonce")],
)
async def test_a_page_that_lacks_something(page, lacks, has):
    with replica("chatgpt-free", faults={"page": page}) as r:
        status, body = await ask(r, right.Request("/", {"User-Agent": right.UA}, b"", method="GET"))

        assert (status, lacks in body, has in body) == (200, False, True)


async def test_faults_on_the_page_count_for_themselves():
    page = right.Request("/", {"User-Agent": right.UA}, b"", method="GET")
    with replica(
        "chatgpt-free", faults=[{"status": 500}, {"on": "page", "status": 503}, {"page": "<p>own</p>"}]
    ) as r:
        assert (await ask(r, page))[0] == 503
        assert (await ask(r, page))[1] == b"<p>own</p>"
        request = await right.chatgpt_free(r)
        assert (await ask(r, request))[0] == 500
        assert (await ask(r, request))[0] == 200


async def test_faults_on_the_models():
    listing = right.Request("/v1/models", {}, b"", method="GET")
    with replica("openai-compatible", faults={"on": "models", "status": 404}) as r:
        assert (await ask(r, listing))[0] == 404
        assert (await ask(r, right.openai()))[0] == 200


# --- which request gets which ---------------------------------------------------------------------


@every_service
async def test_the_nth_request_gets_the_nth_fault(slug):
    with replica(slug, faults=[{"status": 500}, None, {"status": 502}, {}]) as r:
        assert [(await ask(r, await right_request(r, slug)))[0] for _ in range(5)] == [
            500,
            200,
            502,
            200,
            200,
        ]


async def test_a_refused_request_uses_no_fault_up():
    with replica("flow-gpt", faults=[{"status": 500}]) as r:
        assert [
            (await ask(r, request))[0] for request in (right.flow_gpt().changed(model=1), right.flow_gpt())
        ] == [400, 500]


async def test_faults_and_answer_can_be_set_later():
    with replica("flow-gpt", answer="one", faults={"status": 500}) as r:
        assert (await ask(r, right.flow_gpt()))[0] == 500
        r.faults, r.answer = None, "two"
        assert said("flow-gpt", (await ask(r, right.flow_gpt()))[1]) == "two"


# --- what cannot be asked for ---------------------------------------------------------------------


@every_service
def test_unknown_names_are_refused_with_the_known_ones(slug):
    with pytest.raises(ValueError, match=r"Unknown fault 'stal': use .*\bstall\b"):
        replica(slug, faults={"stal": 1})


@pytest.mark.parametrize(
    ("slug", "fault"),
    [
        ("ai-chat-free", {"keepalive": 1}),
        ("ai-chat-free", {"no_done": True}),
        ("flow-gpt", {"no_finish": True}),
        ("flow-gpt", {"bom": True}),
        ("flow-gpt", {"nonce_expired": "403"}),
        ("flow-gpt", {"line_end": "\r"}),
        ("chatgpt-free", {"line_end": "\r"}),
        ("flow-gpt", {"on": "page", "status": 500}),
        ("chatgpt-free", {"error_shape": "array"}),
        ("chatgpt-free", {"nonce_expired": "404"}),
        ("openai-compatible", {"error_shape": "xml"}),
        ("openai-compatible", {"encoding": "br"}),
        ("openai-compatible", {"cut": -1}),
        ("openai-compatible", {"on": "models", "empty": True}),
        ("chatgpt-free", {"page": "no-nonce", "no_done": True}),
        ("openai-compatible", {"chunk": 0}),
        ("openai-compatible", {"chunk": []}),
        ("openai-compatible", {"pace": "fast"}),
    ],
)
def test_a_fault_that_would_do_nothing_is_refused(slug, fault):
    with pytest.raises(ValueError, match="ault"):
        replica(slug, faults=fault)


def test_event_faults_are_refused_where_the_answer_is_one_document():
    with pytest.raises(ValueError, match="no place"):
        replica("chatgpt-free", style="json", faults={"no_done": True})


def test_the_table_names_every_fault():
    table = re.split(r"\nname +value ", reference.__doc__)[1].split("=\n\n")[0]
    named = {line.split(" ", 1)[0] for line in table.splitlines()[1:] if line[:1] not in {" ", "=", ""}}

    assert named == set(reference.FAULT_NAMES)
    for slug in SLUGS:
        assert service_class(slug)().fault_names <= named


# --- faults in words ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "spec"),
    [
        ("503", {"status": 503}),
        ("status=429,retry_after=60", {"status": 429, "retry_after": 60}),
        ("drop", {"drop": True}),
        ("ok", {}),
        (" 500 , error=no luck ", {"status": 500, "error": "no luck"}),
        ("last_blank=false", {"last_blank": False}),
        ("chunk=[1,2],pace=0.1", {"chunk": [1, 2], "pace": 0.1}),
        ('headers={"a":"b","c":"d"},empty', {"headers": {"a": "b", "c": "d"}, "empty": True}),
        ('error="a, b",status=500', {"error": "a, b", "status": 500}),
        ('error=He said "a, b" , drop', {"error": 'He said "a, b"', "drop": True}),
        ("error=503 or so,drop", {"error": "503 or so", "drop": True}),
        ("error=", {"error": ""}),
        (
            'status=400,body={"error": {"code": 1, "of": {"a": [1, 2], "b": [3]}}}, empty',
            {"status": 400, "body": {"error": {"code": 1, "of": {"a": [1, 2], "b": [3]}}}, "empty": True},
        ),
        ('{"status": 503}', {"status": 503}),
        ("redirect=http://127.0.0.1:9/?a=b", {"redirect": "http://127.0.0.1:9/?a=b"}),
    ],
)
def test_words_are_read(words: str, spec: dict[str, object]) -> None:
    assert read_words(words) == spec


def test_words_are_written_as_they_are_read() -> None:
    """The access log names a fault in the words with which one asks for it."""
    for words in ("status=503", "status=429,retry_after=60", "drop", "delay_first=0.5,stall=2", ""):
        assert Fault(**read_words(words)).words == words
    assert len(Fault(body="x" * 1000).words) < 60


def test_each_fault_is_described() -> None:
    assert set(described()) == set(FAULT_NAMES)
    assert all(what and value for value, what in described().values())


def test_the_log_has_one_line_for_each_answer() -> None:
    """Written at the end of the answer: status, seconds, refusal, fault, and a client that left."""
    lines: list[str] = []
    faults = [{"status": 503}]
    with replica(OpenAICompatible, faults=faults, log=lambda one: lines.append(one.line)) as server:
        OpenAICompatible("m", base_url=server.base_url, retry=1).complete_sync("Hi")
    assert [re.sub(r" \d+\.\d\d s", "", line) for line in lines] == [
        "POST /v1/chat/completions 503: fault status=503",
        "POST /v1/chat/completions 200",
    ]
