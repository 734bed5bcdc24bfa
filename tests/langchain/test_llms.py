"""The string models."""

import asyncio
import pickle

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, load
from langchain_core.prompts import PromptTemplate

from freeproviders.types import Finish, Text, Usage
from langchain_freeproviders import errors
from langchain_freeproviders.llms import FlowGptLLM, FreeProvidersStringModel
from tests.langchain.services import FLOW, OPENAI

PIECES = ["Hello", " there,", "\u2028", " friend"]
WHOLE = "".join(PIECES)


async def test_all_four_ways(service):
    with service.replica(PIECES) as r:
        model = service.string_model(r)
        assert await asyncio.to_thread(model.invoke, "Hi") == WHOLE
        assert await model.ainvoke("Hi") == WHOLE
        assert "".join(await asyncio.to_thread(lambda: list(model.stream("Hi")))) == WHOLE
        assert "".join([piece async for piece in model.astream("Hi")]) == WHOLE


def test_tools_belong_to_chat_models():
    """What would come of a call is no text."""
    tool = {"name": "add", "description": "Add."}
    with OPENAI.replica("ok") as r:
        model = OPENAI.string_model(r)
        for ask in (
            lambda: model.invoke("Hi", tools=[tool]),
            lambda: list(model.stream("Hi", tools=[tool])),
            lambda: model.bind(tools=[tool]).invoke("Hi"),
        ):
            with pytest.raises(errors.UsageError, match="pass tools to a chat model"):
                ask()
        assert not r.requests
        assert model.invoke("Hi", tools=[]) == "ok"


def test_a_field_without_effect_is_refused():
    with pytest.raises(ValueError, match="Unknown argument 'streaming'"):
        FlowGptLLM(streaming=True)


def test_streaming_is_native():
    for name in ("_stream", "_astream", "_call", "_acall", "_generate", "_agenerate"):
        assert name in vars(FreeProvidersStringModel)


async def test_pieces_come_one_by_one():
    with FLOW.replica(PIECES) as r:
        assert [piece async for piece in FLOW.string_model(r).astream("Hi") if piece] == PIECES


async def test_many_prompts_are_asked_at_once():
    """The base class asks one after the other."""
    count = 0

    async def answer(messages):
        nonlocal count
        count += 1
        while count < 5:
            await asyncio.sleep(0.005)
        return f"answer to {messages[-1]['content']}"

    prompts = [f"question {i}" for i in range(5)]
    expected = [f"answer to {prompt}" for prompt in prompts]
    with OPENAI.replica(answer) as r:
        assert await OPENAI.string_model(r).abatch(prompts) == expected
        count = 0
        assert await asyncio.to_thread(OPENAI.string_model(r).batch, prompts) == expected


class Heard(BaseCallbackHandler):
    def __init__(self):
        self.tokens, self.ends, self.failures = [], [], []

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)

    def on_llm_end(self, response, **kwargs):
        self.ends.append(response)

    def on_llm_error(self, error, **kwargs):
        self.failures.append(error)


async def test_callbacks_and_what_is_known_at_the_end():
    answer = [Text("Hello"), Text(" there"), Usage(11, 7), Finish(reason="length")]
    with OPENAI.replica(answer) as r:
        heard = Heard()
        model = OPENAI.string_model(r)
        _ = [piece async for piece in model.astream("Hi", {"callbacks": [heard]})]
        await model.ainvoke("Hi", {"callbacks": [heard]})
        _ = await asyncio.to_thread(lambda: list(model.stream("Hi", {"callbacks": [heard]})))
    assert heard.tokens == ["Hello", " there", ""] * 2
    assert len(heard.ends) == 3
    for end in heard.ends:
        info = end.generations[0][0].generation_info
        assert info["usage_metadata"]["total_tokens"] == 18
        assert (info["finish_reason"], info["model_name"]) == ("length", "some-model")


async def test_errors():
    with FLOW.replica("never", faults={"status": 429}) as r:
        model, heard = FLOW.string_model(r), Heard()
        for attempt in (model.ainvoke, lambda *a: asyncio.to_thread(model.invoke, *a)):
            with pytest.raises(errors.RateLimitError):
                await attempt("Hi", {"callbacks": [heard]})
        with pytest.raises(errors.RateLimitError):
            await model.abatch(["Hi", "Ho"])
        with pytest.raises(errors.RateLimitError):
            _ = [piece async for piece in model.astream("Hi")]
        assert len(heard.failures) == 2


@pytest.mark.parametrize("kind", ["llm", "chat"])
def test_the_cause_of_an_error_is_kept(kind):
    with FLOW.replica("never") as r:
        url = r.base_url
    model = getattr(FLOW, kind)(base_url=url, max_retries=0)
    for way in (
        lambda: model.invoke("Hi"),
        lambda: list(model.stream("Hi")),
        lambda: asyncio.run(model.ainvoke("Hi")),
    ):
        with pytest.raises(errors.ProviderConnectionError) as info:
            way()
        assert isinstance(info.value.__cause__, OSError)


def test_caches_tell_models_apart():
    cache = InMemoryCache()
    with FLOW.replica("flow") as flow, OPENAI.replica("openai") as openai:
        models = [
            FLOW.string_model(flow, cache=cache),
            FLOW.string_model(flow, cache=cache, model="gpt-4-turbo"),
            OPENAI.string_model(openai, cache=cache),
        ]
        for _ in range(2):
            assert [model.invoke("Hi") for model in models] == ["flow", "flow", "openai"]
        assert (len(flow.requests), len(openai.requests)) == (2, 1)


async def test_caches_know_the_settings_of_a_call():
    """LangChain's own key leaves them out."""
    cache = InMemoryCache()
    with OPENAI.replica("ok") as r:
        model = OPENAI.string_model(r, cache=cache)
        for _ in range(2):
            for settings in ({}, {"model": "a"}, {"model": "b"}, {"temperature": 0.5}, {"seed": 1}):
                await asyncio.to_thread(model.invoke, "Hi", **settings)
                await model.ainvoke("Hi", **settings)
        sent = [
            (each.json["model"], each.json.get("temperature"), each.json.get("seed")) for each in r.requests
        ]
    assert sent == [
        ("some-model", None, None),
        ("a", None, None),
        ("b", None, None),
        ("some-model", 0.5, None),
        ("some-model", None, 1),
    ]


async def test_leaving_ends_the_request():
    with FLOW.replica(["word "] * 500, faults={"pace": 0.02}) as r:
        async for _ in FLOW.string_model(r).astream("Hi"):
            break
        await r.await_disconnect(1)
        await asyncio.to_thread(lambda: next(FLOW.string_model(r).stream("Hi")))
        await r.await_disconnect(2)


async def test_settings_and_chains():
    with OPENAI.replica("ok") as r:
        model = OPENAI.string_model(r, temperature=0.5, stop=["END"])
        chain = PromptTemplate.from_template("About {topic}") | model
        assert await chain.ainvoke({"topic": "Rome"}) == "ok"
        assert await model.ainvoke("Hi", stop=["X"], max_tokens=3) == "ok"
    first, second = (request.json for request in r.requests)
    assert (first["temperature"], first["stop"], first["messages"][0]["content"]) == (
        0.5,
        ["END"],
        "About Rome",
    )
    assert (second["stop"], second["max_tokens"]) == (["X"], 3)


def test_saved_pickled_and_traced():
    model = FlowGptLLM(temperature=None, max_retries=1)
    assert pickle.loads(pickle.dumps(model)) == model
    assert (
        load(dumpd(model), allowed_objects=[FlowGptLLM], valid_namespaces=["langchain_freeproviders"])
        == model
    )
    assert model._get_ls_params()["ls_provider"] == "flow_gpt"
    assert model._get_ls_params()["ls_model_name"] == "gpt-3.5-turbo"
    assert model._get_ls_params()["ls_model_type"] == "llm"
    assert model.metadata["lc_versions"]["langchain-freeproviders"]
    assert 75 < model.get_num_tokens("some words " * 40) < 120
    with pytest.raises(NotImplementedError, match="custom_get_token_ids"):
        model.get_token_ids("Hi")
    assert FlowGptLLM(custom_get_token_ids=lambda text: [1] * len(text)).get_token_ids("abc") == [1, 1, 1]


def test_one_model_in_many_event_loops():
    with FLOW.replica("Hello") as r:
        model = FLOW.string_model(r)
        assert [asyncio.run(model.ainvoke("Hi")) for _ in range(4)] == ["Hello"] * 4
