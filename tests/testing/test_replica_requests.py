"""Each replica answers a right request and refuses every kind of wrong one, saying what is wrong."""

import json
import time

import pytest
import right_requests as right
from right_requests import SLUGS, ask, right_request

from freeproviders.testing import replica
from freeproviders.types import ToolCall


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_right_request_is_answered_and_recorded(slug):
    with replica(slug, answer=["Hello", " there", " 🎉\u2028\r\n"]) as r:
        request = await right_request(r, slug, "What's up? 🤔")
        status, body = await ask(r, request)

        assert (status, right.said(slug, body)) == (200, "Hello there 🎉\u2028\r\n")
        seen = r.requests[-1]
        assert (seen.method, seen.path, seen.refusal) == ("POST", request.path, None)
        assert seen.body == request.bytes()
        assert seen.headers["content-TYPE"] == request.headers["Content-Type"]
        assert seen.messages == [{"role": "user", "content": "What's up? 🤔"}]
        assert (seen.form if slug == "chatgpt-free" else seen.json) == request.body


HEADERS = {
    "free-netfly": ("Accept", "Accept-Language", "Content-Type", "Origin", "Referer", "User-Agent"),
    "chatgpt-free": ("Accept", "Accept-Language", "Content-Type", "Origin", "Referer", "User-Agent"),
    "flow-gpt": (
        *("Accept", "Accept-Language", "Content-Type", "Origin", "Referer", "User-Agent", "Authorization"),
        *("x-flow-device-id", "x-nonce", "x-timestamp", "x-signature"),
    ),
    "ai-chat-free": ("Accept", "Accept-Language", "Content-Type", "Origin", "Referer", "User-Agent"),
}
ANY_VALUE = {("chatgpt-free", "Accept-Language"), *((slug, "User-Agent") for slug in SLUGS)}
ALL_HEADERS = [(slug, name) for slug, names in HEADERS.items() for name in names]


@pytest.mark.parametrize(("slug", "name"), ALL_HEADERS)
async def test_a_missing_header_is_refused(slug, name):
    with replica(slug) as r:
        request = (await right_request(r, slug)).changed(headers={name: None})
        status, body = await ask(r, request)

        assert status == 403
        assert name in body.decode()
        assert name in r.requests[-1].refusal


@pytest.mark.parametrize(("slug", "name"), [pair for pair in ALL_HEADERS if pair not in ANY_VALUE])
async def test_a_header_with_another_value_is_refused(slug, name):
    with replica(slug) as r:
        request = (await right_request(r, slug)).changed(headers={name: "something/else"})
        status, body = await ask(r, request)

        assert status in {401, 403}
        assert name in body.decode()


KEYS = {
    "free-netfly": (
        "messages",
        "stream",
        "model",
        "temperature",
        "presence_penalty",
        "frequency_penalty",
        "top_p",
    ),
    "chatgpt-free": ("_wpnonce", "post_id", "url", "action", "message", "bot_id"),
    "flow-gpt": (
        *("model", "nsfw", "question", "history", "system", "temperature", "promptId"),
        *("documentIds", "chatFileDocumentIds", "generateImage", "generateAudio"),
    ),
    "ai-chat-free": ("messages", "time", "pass", "sign"),
    "openai-compatible": ("messages", "model"),
}


@pytest.mark.parametrize(("slug", "key"), [(slug, key) for slug, keys in KEYS.items() for key in keys])
async def test_a_missing_key_is_refused(slug, key):
    with replica(slug) as r:
        request = await right_request(r, slug)
        status, body = await ask(r, request.changed(**{key: ...}))

        assert status == 400
        assert key in body.decode()


@pytest.mark.parametrize("slug", SLUGS)
async def test_an_unknown_key_is_refused(slug):
    with replica(slug) as r:
        status, body = await ask(r, (await right_request(r, slug)).changed(surprise="x"))

        assert status == 400
        assert "surprise" in body.decode()


@pytest.mark.parametrize(
    ("slug", "key", "value"),
    [
        ("free-netfly", "stream", False),
        ("free-netfly", "temperature", "0.5"),
        ("free-netfly", "messages", []),
        ("free-netfly", "messages", ["Hi"]),
        ("free-netfly", "messages", [{"role": "tool", "content": "Hi"}]),
        ("free-netfly", "messages", [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]),
        ("free-netfly", "tools", [{"type": "function", "function": {"name": "f"}}]),
        ("chatgpt-free", "post_id", "0"),
        ("chatgpt-free", "url", "http://127.0.0.1"),
        ("chatgpt-free", "action", "other"),
        ("chatgpt-free", "bot_id", "1"),
        ("chatgpt-free", "message", ""),
        ("flow-gpt", "nsfw", 0),
        ("flow-gpt", "question", None),
        ("flow-gpt", "system", ""),
        ("flow-gpt", "temperature", True),
        ("flow-gpt", "promptId", "model-gpt-4"),
        ("flow-gpt", "model", "gpt-5"),
        ("flow-gpt", "documentIds", None),
        ("flow-gpt", "history", []),
        ("flow-gpt", "history", [{"role": "user", "content": "Hi"}]),
        (
            "flow-gpt",
            "history",
            [
                {"role": "assistant", "content": "Hello, how can I help you today?"},
                {"role": "system", "content": "Hi"},
            ],
        ),
        ("ai-chat-free", "messages", []),
        ("ai-chat-free", "messages", [{"role": "assistant", "parts": [{"text": "Hi"}]}]),
        ("ai-chat-free", "messages", [{"role": "user", "content": "Hi"}]),
        ("ai-chat-free", "messages", [{"role": "user", "parts": ["Hi"]}]),
        ("ai-chat-free", "pass", ""),
        ("ai-chat-free", "time", 1.5),
        ("openai-compatible", "messages", []),
        ("openai-compatible", "messages", [{"role": "user", "content": None}]),
        ("openai-compatible", "messages", [{"role": "model", "content": "Hi"}]),
        ("openai-compatible", "temperature", 3),
        ("openai-compatible", "max_tokens", 0),
        ("openai-compatible", "stop", ["a", "b", "c", "d", "e"]),
        ("openai-compatible", "stream_options", {"usage": True}),
        (
            "openai-compatible",
            "response_format",
            {"type": "json_schema", "json_schema": {"name": "x y", "schema": {}}},
        ),
        ("openai-compatible", "tool_choice", "auto"),
        ("openai-compatible", "parallel_tool_calls", True),
        ("openai-compatible", "tools", [{"type": "function", "function": {"name": "not a name"}}]),
        ("openai-compatible", "tools", [{"name": "f"}]),
    ],
)
async def test_a_wrong_value_is_refused(slug, key, value):
    with replica(slug) as r:
        status, body = await ask(r, (await right_request(r, slug)).changed(**{key: value}))

        assert status == 400
        assert key in body.decode()


@pytest.mark.parametrize("slug", ["free-netfly", "flow-gpt", "ai-chat-free", "openai-compatible"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a": NaN}', b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(slug, body):
    with replica(slug) as r:
        request = await right_request(r, slug)
        request.body = body

        assert (await ask(r, request))[0] == 400


@pytest.mark.parametrize("slug", SLUGS)
async def test_wrong_paths_and_methods_are_refused(slug):
    with replica(slug) as r:
        request = await right_request(r, slug)
        request.path += "/more"
        assert (await ask(r, request))[0] == 404

        request = await right_request(r, slug)
        request.method = "PUT"
        assert (await ask(r, request))[0] == 405


# --- signatures, nonces, keys ---------------------------------------------------------------------


async def test_flow_gpt_judges_the_signature():
    with replica("flow-gpt") as r:
        for request, word in (
            (right.flow_gpt().changed(headers={"x-signature": "0" * 32}), "x-signature"),
            (right.flow_gpt().changed(headers={"x-nonce": "0" * 32}), "x-signature"),
            (right.flow_gpt(nonce="0" * 31), "x-nonce"),
            (right.flow_gpt(timestamp=int(time.time()) - 3600), "x-timestamp"),
            (right.flow_gpt(timestamp=int(time.time() * 1000)), "x-timestamp"),
        ):
            status, body = await ask(r, request)
            assert status == 401
            assert word in body.decode()


async def test_flow_gpt_takes_a_nonce_once():
    with replica("flow-gpt") as r:
        request = right.flow_gpt()

        assert (await ask(r, request))[0] == 200
        assert (await ask(r, request))[0] == 401


async def test_flow_gpt_decodes_the_conversation_as_its_caller_had_it():
    history = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    request = right.flow_gpt("c")
    request.body["history"] += history
    with replica("flow-gpt") as r:
        await ask(r, request.changed(system="Be brief."))

        assert r.requests[-1].messages == [
            {"role": "system", "content": "Be brief."},
            *history,
            {"role": "user", "content": "c"},
        ]


async def test_ai_chat_free_judges_the_signature():
    with replica("ai-chat-free", secret="s") as r:
        assert (await ask(r, right.ai_chat_free(secret="s")))[0] == 200
        assert (await ask(r, right.ai_chat_free(secret="t")))[0] == 401
        assert (await ask(r, right.ai_chat_free(secret="s").changed(time=int(time.time() * 1000) + 1)))[
            0
        ] == 401
        assert (await ask(r, right.ai_chat_free(secret="s", at=int(time.time() * 1000) - 3_600_000)))[
            0
        ] == 401


async def test_ai_chat_free_signs_the_last_message():
    first = right.ai_chat_free("second")
    first.body["messages"].insert(0, {"role": "model", "parts": [{"text": "first"}]})
    with replica("ai-chat-free") as r:
        assert (await ask(r, first))[0] == 200
        assert r.requests[-1].messages == [
            {"role": "assistant", "content": "first"},
            {"role": "user", "content": "second"},
        ]


async def test_chatgpt_free_wants_the_nonce_and_the_cookie_of_its_page():
    with replica("chatgpt-free") as r:
        request = await right.chatgpt_free(r)
        assert (await ask(r, request))[0] == 200
        assert (await ask(r, request))[0] == 200  # a nonce lives on

        status, body = await ask(r, request.changed(_wpnonce="0123456789"))
        assert status == 403
        assert "_wpnonce" in body.decode()

        request.cookies = {}
        status, body = await ask(r, request)
        assert status == 403
        assert "cookie" in body.decode()


async def test_chatgpt_free_binds_a_nonce_to_its_visitor():
    with replica("chatgpt-free") as r:
        one, two = await right.chatgpt_free(r), await right.chatgpt_free(r)
        assert one.cookies != two.cookies
        assert (await ask(r, one.changed(_wpnonce=two.body["_wpnonce"])))[0] == 403

        again = await right.chatgpt_free(r, cookies=one.cookies)
        assert again.cookies == one.cookies
        assert again.body["_wpnonce"] != one.body["_wpnonce"]
        assert (await ask(r, again))[0] == 200


async def test_chatgpt_free_takes_no_nonce_of_another_replica():
    with replica("chatgpt-free") as r, replica("chatgpt-free") as other:
        assert (await ask(r, await right.chatgpt_free(other)))[0] == 403


async def test_chatgpt_free_wants_a_form():
    with replica("chatgpt-free") as r:
        request = await right.chatgpt_free(r)
        request.encoding = "json"
        assert (await ask(r, request.changed(headers={"Content-Type": "application/json"})))[0] == 403
        assert (await ask(r, request))[0] == 400


@pytest.mark.parametrize(("style", "lines"), [("json", 1), ("json-pretty", 4)])
async def test_chatgpt_free_answers_in_one_document(style, lines):
    with replica("chatgpt-free", answer="Hello 🎉", style=style) as r:
        status, body = await ask(r, await right.chatgpt_free(r))

        assert (status, json.loads(body)) == (200, {"status": "success", "data": "Hello 🎉"})
        assert len(body.splitlines()) == lines


async def test_free_netfly_knows_its_models():
    with replica("free-netfly") as r:
        assert (await ask(r, right.free_netfly().changed(model="gpt-4")))[0] == 200
        assert (await ask(r, right.free_netfly().changed(model="gpt-5")))[0] == 404


# --- OpenAI ---------------------------------------------------------------------------------------

TOOL = {
    "type": "function",
    "function": {"name": "add", "description": "Add.", "parameters": {"type": "object", "properties": {}}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
USER = {"role": "user", "content": "Hi"}
ASKED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "2"}


async def test_openai_wants_its_key():
    with replica("openai-compatible", api_key="sk-1") as r:
        for value, status in ((None, 401), ("Bearer sk-2", 401), ("Bearer sk-1", 200)):
            request = right.openai().changed(headers={"Authorization": value})
            assert (await ask(r, request))[0] == status
            request.method, request.path, request.body = "GET", "/v1/models", b""
            assert (await ask(r, request))[0] == status


async def test_openai_lists_its_models_and_takes_no_other():
    with replica("openai-compatible", models=["a", "b"]) as r:
        listed = await ask(r, right.Request("/v1/models", {}, b"", method="GET"))

        assert [model["id"] for model in json.loads(listed[1])["data"]] == ["a", "b"]
        assert (await ask(r, right.openai(model="a")))[0] == 200
        assert (await ask(r, right.openai(model="c")))[0] == 404


async def test_openai_without_native_tools_refuses_them():
    with replica("openai-compatible", native_tools=False) as r:
        status, body = await ask(r, right.openai(tools=[TOOL]))
        assert status == 400
        assert "does not support tools" in body.decode()
        assert (await ask(r, right.openai(messages=[USER, ASKED, RESULT])))[0] == 400
        assert (await ask(r, right.openai()))[0] == 200


async def test_openai_without_json_schema_refuses_it():
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    with replica("openai-compatible", json_schema=False) as r:
        assert (await ask(r, right.openai(response_format=shape)))[0] == 400
    with replica("openai-compatible") as r:
        assert (await ask(r, right.openai(response_format=shape)))[0] == 200


async def test_openai_takes_extra_keys_when_told():
    with replica("openai-compatible", extra_keys=["top_k"]) as r:
        assert (await ask(r, right.openai(top_k=40)))[0] == 200
        assert (await ask(r, right.openai(min_p=0.1)))[0] == 400


@pytest.mark.parametrize(
    "messages",
    [
        [USER, ASKED],
        [USER, ASKED, USER],
        [USER, RESULT],
        [USER, ASKED, RESULT, RESULT],
        [USER, {**ASKED, "tool_calls": [CALL, CALL]}, RESULT],
        [USER, {**ASKED, "tool_calls": [{**CALL, "function": {"name": "add", "arguments": {}}}]}, RESULT],
        [
            USER,
            {**ASKED, "tool_calls": [{**CALL, "function": {"name": "add", "arguments": '{"a":'}}]},
            RESULT,
        ],
        [USER, {**ASKED, "tool_calls": [{**CALL, "id": ""}]}, RESULT],
        [{**USER, "surprise": 1}],
        [{"role": "user", "content": [{"type": "image"}]}],
    ],
)
async def test_openai_refuses_histories_that_do_not_fit(messages):
    with replica("openai-compatible") as r:
        assert (await ask(r, right.openai(messages=messages, tools=[TOOL])))[0] == 400


async def test_openai_takes_histories_that_fit():
    blocks = {
        "role": "user",
        "content": [
            {"type": "text", "text": "Hi"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
        ],
    }
    with replica("openai-compatible", answer="ok") as r:
        for messages in (
            [USER, ASKED, RESULT],
            [{"role": "developer", "content": "x"}, blocks],
            [USER, ASKED, RESULT, USER],
        ):
            assert (await ask(r, right.openai(messages=messages, tools=[TOOL])))[0] == 200
            assert r.requests[-1].messages == messages


@pytest.mark.parametrize(
    ("choice", "status"),
    [
        ("auto", 200),
        ("required", 200),
        ("none", 200),
        ("any", 400),
        ({"type": "function", "function": {"name": "add"}}, 200),
        ({"type": "function", "function": {"name": "subtract"}}, 400),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "add"}}],
                },
            },
            200,
        ),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "some", "tools": []}}, 400),
    ],
)
async def test_openai_judges_the_tool_choice(choice, status):
    with replica("openai-compatible", answer="ok") as r:
        assert (await ask(r, right.openai(tools=[TOOL], tool_choice=choice)))[0] == status


async def test_openai_streams_and_does_not():
    with replica("openai-compatible", answer=["one", " two"]) as r:
        frames = right.events((await ask(r, right.openai(stream_options={"include_usage": True})))[1])
        assert frames[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert frames[-3]["choices"][0]["finish_reason"] == "stop"
        assert (frames[-2]["choices"], frames[-2]["usage"]["completion_tokens"]) == ([], 2)
        assert frames[-1] == "[DONE]"
        assert all(frame["usage"] is None for frame in frames[:-2])

        frames = right.events((await ask(r, right.openai()))[1])
        assert not any("usage" in frame for frame in frames[:-1])

        document = json.loads((await ask(r, right.openai(stream=False)))[1])
        assert document["choices"][0]["message"]["content"] == "one two"
        assert document["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def calls_of(frames):
    """Put the tool calls of a stream together the way the protocol says."""
    calls = {}
    for frame in frames[:-1]:
        for delta in frame["choices"][0]["delta"].get("tool_calls", ()):
            call = calls.setdefault(delta["index"], {"id": None, "name": "", "arguments": ""})
            call["id"] = delta.get("id") or call["id"]
            call["name"] += delta["function"].get("name") or ""
            call["arguments"] += delta["function"]["arguments"]
    return [(calls[n]["id"], calls[n]["name"], json.loads(calls[n]["arguments"])) for n in sorted(calls)]


@pytest.mark.parametrize("deltas", ["split", "whole", "merged", "interleaved"])
async def test_openai_streams_tool_calls(deltas):
    calls = [
        ToolCall("c1", "add", {"a": 1, "text": 'é"\n🎉'}),
        ToolCall("c2", "add", {"long": "x" * 50}),
        ToolCall("c3", "none", {}),
    ]
    with replica("openai-compatible", answer=["Well.", *calls], tool_deltas=deltas) as r:
        frames = right.events((await ask(r, right.openai(tools=[TOOL])))[1])
        assert calls_of(frames) == [(call.id, call.name, call.arguments) for call in calls]
        assert frames[-2]["choices"][0]["finish_reason"] == "tool_calls"
        with_calls = sum(1 for frame in frames[:-1] if "tool_calls" in frame["choices"][0]["delta"])
        assert {"whole": with_calls == 3, "merged": with_calls == 1}.get(deltas, with_calls > 6)

        message = json.loads((await ask(r, right.openai(tools=[TOOL], stream=False)))[1])["choices"][0][
            "message"
        ]
        assert message["content"] == "Well."
        assert [(c["id"], json.loads(c["function"]["arguments"])) for c in message["tool_calls"]] == [
            (c.id, c.arguments) for c in calls
        ]


async def test_openai_can_leave_the_index_out():
    with replica("openai-compatible", answer=[ToolCall("c1", "add", {})], tool_index=False) as r:
        body = (await ask(r, right.openai(tools=[TOOL])))[1]

        assert b"tool_calls" in body
        assert all(
            "index" not in call
            for frame in right.events(body)[:-1]
            for call in frame["choices"][0]["delta"].get("tool_calls", ())
        )
