"""Tokens counted by servers that tokenise: what they are asked, and what is made of their answers."""

import asyncio
import json

import pytest
from aiohttp import web

from freeproviders import OpenAICompatible, Quota
from freeproviders.errors import QuotaSpentError, QuotaTooSmallError
from freeproviders.types import Tool
from freeproviders.usage import estimate_tokens
from langchain_freeproviders import ChatBackend
from tests.core.servers import serve

TEXT = "Guten Morgen, liebe Sorgen"
TOOL = Tool("look", "Look it up.", {"type": "object", "properties": {"word": {"type": "string"}}})


def words(text):
    """The tokens of the model of these tests: the words of a text."""
    return [hash(word) % 1000 for word in text.split()]


def written(document):
    """A question as the model reads it: a word for each role, and one for the answer's beginning."""
    turns = [f"<{turn['role']}> {turn['content']}" for turn in document["messages"]]
    return " ".join([*turns, *(tool["function"]["name"] for tool in document.get("tools", ())), "<answer>"])


async def answered(request, served):
    """A server of both kinds, as strict as they are about what they need."""
    if request.headers.get("Authorization") != "Bearer secret":
        return web.json_response({"error": {"message": "Invalid API Key"}}, status=401)
    document = json.loads(await request.read())
    match request.path:
        case "/apply-template":
            return web.json_response({"prompt": written(document)})
        case "/tokenize" if "content" in document:
            found = words(document["content"]) + [0] * document["add_special"]
            return web.json_response({"tokens": found})
        case "/tokenize":
            text = document["prompt"] if "prompt" in document else written(document)
            found = words(text) + [0] * document.get("add_special_tokens", True)
            return web.json_response({"count": len(found), "max_model_len": 4096, "tokens": found})
        case "/v1/chat/completions":
            asked = len(words(written(document))) + 1
            body = {
                "choices": [{"message": {"content": "Fine."}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": asked, "completion_tokens": 1},
            }
            return web.json_response(body)
    return web.json_response({"detail": "Not Found"}, status=404)


async def broken(request, served):
    """A server that knows nothing of it, answers nonsense, or nothing at all."""
    if "Sorgen" in (await request.read()).decode():
        await asyncio.sleep(30)
    return web.json_response({"tokens": 7})


@pytest.fixture(params=["llamacpp", "vllm"])
def asker(request):
    """A provider over a server that tokenises, of either kind."""

    def made(server, **configuration):
        return OpenAICompatible(
            "m", service=request.param, base_url=f"{server.url}/v1", api_key="secret", **configuration
        )

    return made


async def test_a_text_is_counted_as_the_server_does(asker):
    with serve(answered) as server:
        assert await asker(server).count_tokens(TEXT) == 4
        assert await asker(server).count_tokens("") == 0


def test_models_of_langchain_count_with_it(asker):
    with serve(answered) as server:
        model = ChatBackend(backend=asker(server))
        assert model.get_num_tokens(TEXT) == 4
        assert asker(server).count_tokens_sync(TEXT) == 4
    assert ChatBackend(backend=asker(server)).get_num_tokens(TEXT) == estimate_tokens(TEXT, "m")  # it is gone


async def test_what_is_no_count_is_estimated(asker, monkeypatch):
    monkeypatch.setattr("freeproviders.openai_service._COUNTING_SECONDS", 0.2)
    with serve(broken) as server:
        provider = asker(server)
        for text in ("some words", TEXT):
            assert await provider.count_tokens(text) == estimate_tokens(text, "m")
        assert await provider.exact_input_tokens(provider.request("Hi")) is None
    plain = OpenAICompatible("m", base_url=f"{server.url}/v1")
    assert not plain.has_tokenizer
    assert await plain.count_tokens(TEXT) == estimate_tokens(TEXT, "m")


async def test_a_question_is_counted_whole(asker):
    """Roles, tools and the beginning of the answer too."""
    with serve(answered) as server:
        provider = asker(server)
        asked = provider.checked(
            provider.request(
                [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}],
                tools=[TOOL],
            )
        )
        exact = await provider.exact_input_tokens(asked)
    assert exact == len(words(f"<system> Be brief. <user> {TEXT} look <answer> BOS"))


async def test_reservations_are_exact_where_the_server_tokenises(asker, tmp_path):
    """An estimate is higher, and would not have let the question in."""
    limit = {"metric": "input tokens", "per": "minute", "cap": 7}
    with serve(answered) as server:
        quota = Quota([limit], name="counted", ledger=tmp_path / "quota.db")
        provider = asker(server, quota=quota)
        answer = await provider.complete(TEXT, wait_up_to=0)
        assert answer.text == "Fine."
        [left] = answer.finish.quota
        assert (left.cap, left.left, answer.usage.input_tokens) == (7, 0, 7)
        with pytest.raises((QuotaSpentError, QuotaTooSmallError)):
            await provider.complete("Two words", wait_up_to=0)
    with serve(broken) as server, pytest.raises(QuotaTooSmallError):
        await asker(server, quota=quota).complete("Two words", wait_up_to=0)
