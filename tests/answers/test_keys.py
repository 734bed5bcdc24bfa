"""Keys of questions: equal where all that decides the answer is equal, and only there."""

import base64
import os
import subprocess
import sys
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from freeproviders import Embedded, FlowGpt, FreeProviders, OpenAICompatible
from freeproviders.answers.keys import DECIDING, request_key
from freeproviders.backend import Backend
from freeproviders.errors import UsageError
from freeproviders.types import ChatRequest, FileBlock, FromClass, ImageBlock, Message, Tool
from tests.answers.made import requests

WITH_A_FORM = {"messages", "tools", "service_tools", "response_format", "options"}
OF_THE_WAY = {
    "model": "other",  # a part of what is asked for
    "stream": False,
    "wait_up_to": 3.0,
    "stream_tool_arguments": True,
    "stream_usage": False,
    "include_response_headers": True,
    "patience": object(),
    "listener": print,
    "keep": 0.5,
}
OF_THE_WAY = {name: value for name, value in OF_THE_WAY.items() if name in ChatRequest.__dataclass_fields__}
HI = ChatRequest(messages=(Message("user", "Hi."),))


def key(request=HI, asked="Groq/m", occurrence=0):
    return request_key(request, asked, occurrence)


def test_every_field_of_a_request_decides_or_does_not():
    """Whoever adds a field says here whether it decides the answer."""
    assert {one.name for one in fields(ChatRequest)} == {*DECIDING, *WITH_A_FORM, *OF_THE_WAY}


def canonical(value):
    """What is equal, as an independent eye sees it: numbers by value but apart from booleans."""
    match value:
        case bool():
            return ("bool", value)
        case dict():
            return frozenset((name, canonical(one)) for name, one in value.items())
        case list() | tuple():
            return tuple(canonical(one) for one in value)
        case _:
            return value


def ordered(value):
    match value:
        case dict():
            return tuple((name, ordered(one)) for name, one in value.items())
        case list() | tuple():
            return tuple(ordered(one) for one in value)
        case _:
            return canonical(value)


def said_call(call):
    extra = call.extra and (call.extra.origin, canonical(call.extra.fields), canonical(call.extra.beside))
    return call.id, call.name, canonical(call.arguments), extra


def deciding(request):
    return (
        [canonical(getattr(request, name)) for name in DECIDING],
        [
            (
                (
                    (one.role, one.content, one.name, one.tool_call_id),
                    (one.is_error, one.reasoning, one.developer),
                ),
                [said_call(call) for call in one.tool_calls],
            )
            for one in request.messages
        ],
        [(tool.name, tool.description, ordered(tool.parameters), tool.strict) for tool in request.tools],
        canonical(request.service_tools),
        None if request.response_format is None else ordered(request.response_format),
        canonical(request.options),
    )


@given(requests, requests, st.data())
@settings(max_examples=50, deadline=None)
def test_keys_are_equal_iff_what_decides_is(one, other, data):
    """Of two requests that differ anywhere, also in one field only."""
    for name in data.draw(st.sets(st.sampled_from([field.name for field in fields(ChatRequest)]))):
        other = replace(other, **{name: getattr(one, name)})
    assert (key(one) == key(other)) == (deciding(one) == deciding(other))
    assert key(replace(one, **OF_THE_WAY)) == key(one)
    alone = data.draw(st.sampled_from(sorted({*DECIDING, *WITH_A_FORM})))
    mixed = replace(one, **{alone: getattr(other, alone)})
    assert (key(one) == key(mixed)) == (deciding(one) == deciding(mixed))


def test_who_is_asked_and_which_of_equal_questions():
    assert len({key(), key(asked="Groq/n"), key(occurrence=1), key(occurrence=2)}) == 4
    assert len(key()) == 32


def test_pictures_and_files_count_by_their_bytes():
    data = bytes(range(256))
    lines = base64.encodebytes(data).decode()
    one_line = base64.b64encode(data).decode()

    def shown(*blocks):
        return key(ChatRequest(messages=(Message("user", blocks),)))

    assert shown(ImageBlock(f"data:image/png;base64,{lines}")) == shown(
        ImageBlock(f"data:image/png;base64,{one_line}")
    )
    assert shown(ImageBlock("data:image/png;base64,AAAA")) != shown(ImageBlock("data:image/png;base64,AAAB"))
    assert shown(ImageBlock("data:image/png;base64,AAAA")) != shown(ImageBlock("data:image/gif;base64,AAAA"))
    assert shown(ImageBlock("http://127.0.0.1/1")) != shown(ImageBlock("http://127.0.0.1/2"))
    assert shown(FileBlock("data:text/plain;base64,AAAA", "a")) != shown(
        FileBlock("data:text/plain;base64,AAAB", "a")
    )
    assert shown(ImageBlock("data:image/png;base64,no base64!")) == shown(
        ImageBlock("data:image/png;base64,no base64!")
    )


def test_the_order_of_properties_counts_in_schemas_alone():
    def of(**settings):
        return key(replace(HI, **settings))

    assert of(options={"seed": 1, "top_k": 2}) == of(options={"top_k": 2.0, "seed": 1})
    reasoned = {"properties": {"why": {}, "answer": {}}}
    hasty = {"properties": {"answer": {}, "why": {}}}
    assert of(response_format=reasoned) != of(response_format=hasty)
    assert of(tools=(Tool("f", "", reasoned),)) != of(tools=(Tool("f", "", hasty),))
    assert of(temperature=1) == of(temperature=1.0)
    assert of(options={"a": True}) != of(options={"a": 1})


def test_a_class_that_judges_counts_by_its_name():
    class One(BaseModel):
        a: int

    class Other(BaseModel):
        a: int

    forms = [FromClass({"type": "object"}, cls) for cls in (One, Other, None)]
    assert len({key(replace(HI, response_format=form)) for form in forms}) == 3
    assert len({key(replace(HI, tools=(Tool("f", source=cls),))) for cls in (One, Other, None)}) == 3


def test_options_of_other_kinds():
    assert key(replace(HI, options={"a": {"x", "y"}})) == key(replace(HI, options={"a": {"y", "x"}}))
    with pytest.raises(UsageError, match="no key, since it holds what JSON has no form for"):
        key(replace(HI, options={"a": object()}))


def test_a_key_is_the_same_in_every_process():
    code = (
        "from tests.answers.test_keys import *\n"
        "print(key(replace(HI, options={'b': {'y', 'x'}, 'a': 1})).hex())\n"
        "print(FreeProviders('groq', privacy='any').asked_as())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "GROQ_API_KEY": "gsk_1", **_environment()},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def _environment():
    return {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}


# --- what is asked for ----------------------------------------------------------------------------


def test_a_provider_is_asked_as_itself_and_its_model():
    flow = FlowGpt()
    assert flow.asked_as() == f"flow-gpt/{flow.model}" == flow.asked_as(flow.model)
    assert (
        flow.configured(base_url="http://127.0.0.1:1").asked_as()
        == f"{flow.asked_as()} at http://127.0.0.1:1"
    )


def test_a_service_is_asked_at_its_own_address_or_another():
    groq = OpenAICompatible("m", service="groq", api_key="gsk_secret")
    assert groq.asked_as() == "groq/m"
    assert groq.asked_as("n") == groq.with_model("n").asked_as() == "groq/n"
    explicit = OpenAICompatible("m", service="groq", api_key="gsk_other", base_url=groq.base_url)
    assert explicit.asked_as() == "groq/m"
    local = OpenAICompatible("m", base_url="http://user:password@127.0.0.1:1/v1")
    assert local.asked_as() == "openai-compatible/m at http://127.0.0.1:1/v1"
    claimed = OpenAICompatible("m", base_url="http://127.0.0.1:1/v1", native_tools=False)
    assert claimed.asked_as() == "openai-compatible/m at http://127.0.0.1:1/v1 with tools=False"


def test_a_file_of_the_users_own_is_asked_by_what_it_is(tmp_path):
    path = tmp_path / "own.gguf"
    path.write_bytes(b"GGUF one")
    own = Embedded(model_path=path)
    first = own.asked_as()
    assert first.startswith(f"embedded/own at {path}")
    assert own.asked_as("own") == first
    path.write_bytes(b"GGUF another")
    assert own.asked_as() != first
    path.unlink()
    assert own.asked_as() == f"embedded/own at {path}"
    assert Embedded(context_window=64).asked_as() != Embedded().asked_as()


def test_a_router_is_asked_by_its_policy(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_1")
    asked = FreeProviders("groq", "embedded").asked_as()
    assert asked == (
        'free-providers/ {"members":["groq","embedded"],"prefer":[],"exclude":[],"privacy":"any"}'
    )
    assert FreeProviders("groq", "embedded", max_requests=2, on_broken_stream="continue").asked_as() == asked
    assert FreeProviders("embedded", "groq").asked_as() != asked
    backend = OpenAICompatible("m", base_url="http://127.0.0.1:1/v1")
    assert backend.asked_as() in FreeProviders(backend).asked_as()


def test_a_backend_of_others_is_asked_by_its_name_or_its_own_words():
    class Given:
        name, model = "Mine", "m"

        def batches(self, request):
            raise NotImplementedError

    assert Backend.of(Given()).asked_as() == "Mine/m"
    Given.asked_as = lambda self, model=None: f"mine, {model}"
    assert Backend.of(Given()).asked_as("n") == "mine, n"
