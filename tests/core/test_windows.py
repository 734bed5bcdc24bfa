"""Context windows that a service tells: in the list of its models, and where it refuses a long question."""

import copy
import json
import pickle
import re

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from freeproviders import Backend, FlowGpt, FreeProviders, OpenAICompatible, errors
from freeproviders.errors import ContextOverflowError
from freeproviders.testing import replica
from freeproviders.wire.failure import ReportedError, classify, read_failure
from freeproviders.wire.openai.listed import read_models
from tests.core.servers import serve
from tests.core.services import text_of

# As the services send them, shortened.
LLAMA_CPP = {"id": "m", "owned_by": "llamacpp", "meta": {"n_vocab": 49152, "n_ctx": 512, "n_ctx_train": 8192}}
LISTS = [
    ({"id": "m", "owned_by": "vllm", "root": "m", "parent": None, "max_model_len": 8096}, 8096),
    ({"id": "m", "owned_by": "Meta", "active": True, "context_window": 131072}, 131072),
    ({"id": "m", "context_length": 40960, "top_provider": {"context_length": 32768}}, 32768),
    ({"id": "m", "context_length": 40960, "top_provider": {"context_length": None}}, 40960),
    ({"id": "m", "capabilities": {"completion_chat": True}, "max_context_length": 32768}, 32768),
    ({"id": "m", "max_context_length": 131072, "loaded_context_length": 4096}, 4096),
    (LLAMA_CPP, 512),
    ({"id": "m", "owned_by": "llamacpp", "meta": {"n_ctx_train": 8192}}, 8192),
    ({"id": "m", "owned_by": "llamacpp", "meta": None}, None),
    ({"id": "m", "object": "model", "created": 1, "owned_by": "library"}, None),
    ({"id": "m", "context_length": "131072", "context_window": True, "max_model_len": 0}, None),
]


@pytest.mark.parametrize(("row", "window"), LISTS)
def test_a_window_in_a_list_of_models(row, window):
    """The least number that a row tells is what is served."""
    for document in ({"object": "list", "data": [row]}, [row], {"models": [row]}):
        assert [(one.name, one.window) for one in read_models(document)] == [("m", window)]


SAID = [
    ("This model's maximum context length is 8192 tokens. However, your messages resulted in 9001.", 8192),
    (("'max_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request"
     " has 19 input tokens (5000 > 4096 - 19)."), 4096),
    ("request (1831 tokens) exceeds the available context size (512 tokens), try increasing it", 512),
    ("Requested tokens (2285) exceed context window of 2048", 2048),
    (("Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with "
     "context length of only 4096 tokens, which is not enough."), 4096),
    ("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", 32768),
    ("prompt is too long: 210000 tokens > 200000 maximum", 200_000),
    ("The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).", 1_048_576),
    ("The prompt is too long: 150000, model maximum context length: 131071", 131_071),
    (("The estimated number of input and maximum output tokens (9000) exceeded this model context window "
     "limit (7968)."), 7968),
    ("The maximum context length is 131,072 tokens", 131_072),
    ("A context length of 5000 exceeds what this model has", None),
    ("Your context size (5000 tokens) is more than the context window", None),
    ("Please reduce the length of the messages or completion: context_length_exceeded", None),
    ("the maximum context length is 0 tokens", None),
]  # fmt: skip


@pytest.mark.parametrize(("said", "window"), SAID)
def test_a_window_in_the_words_of_a_refusal(said, window):
    """The number of the window is told from that of the question."""
    error = classify(400, ReportedError(said))
    assert isinstance(error, ContextOverflowError)
    assert error.window == window


def test_a_window_beside_the_words_of_a_refusal():
    """llama.cpp's server tells it in a field, whatever its words are."""
    body = {"error": {"code": 400, "message": "too long", "type": "exceed_context_size_error", "n_ctx": 512}}
    error = read_failure(400, {}, json.dumps(body).encode())
    assert (type(error), error.window) == (ContextOverflowError, 512)


@settings(max_examples=500)
@given(st.text(alphabet="0123456789,() contexlghwidsz:>maof", max_size=40))
def test_a_window_is_a_number_that_was_said(words):
    """No words give a number that does not stand in them as a whole."""
    error = classify(400, ReportedError(f"context window {words}"))
    window = getattr(error, "window", None)
    if window is not None:
        runs = re.findall(r"\d+", words) + re.findall(r"\d+", words.replace(",", ""))
        assert window in map(int, runs)


def listing(*rows):
    async def answer(request, served):
        return web.json_response({"object": "list", "data": rows})

    return serve(answer)


def test_a_list_teaches_all_copies():
    """What a list tells is used before the name's window; making a provider asks nobody."""
    with listing({"id": "gpt-4", "max_model_len": 4096}, {"id": "other"}) as served:
        provider = OpenAICompatible("gpt-4", base_url=f"{served.url}/v1")
        other = provider.configured(timeout=3)
        assert provider.window_of() == 8192  # by its name
        assert served.requests == []
        assert other.list_models_sync() == ["gpt-4", "other"]
        for one in (provider, other, copy.copy(provider)):
            assert one.window_of() == one.abilities().window == 4096
        assert provider.window_of("other") is None
        assert len(served.requests) == 1


def test_the_callers_word_wins():
    """Who says which window a model has is believed, whatever the service tells."""
    with listing({"id": "m", "max_model_len": 4096}) as served:
        provider = OpenAICompatible("m", base_url=f"{served.url}/v1").with_abilities(window=9000)
        provider.list_models_sync()
        assert provider.learned.window_of("m") == 4096
        assert provider.window_of() == provider.abilities().window == 9000


def test_one_model_for_any_name():
    """llama.cpp's server answers by its one model whatever name a request has; others do not."""
    with listing(LLAMA_CPP) as served:
        provider = OpenAICompatible("qwen", base_url=f"{served.url}/v1")
        provider.list_models_sync()
        assert provider.window_of() == provider.window_of("anything") == 512
    with listing({"id": "m", "owned_by": "vllm", "max_model_len": 512}) as served:
        provider = OpenAICompatible("qwen", base_url=f"{served.url}/v1")
        provider.list_models_sync()
        assert provider.window_of() != 512
        assert provider.window_of("m") == 512


LONG = {"error": {"message": "This model's maximum context length is 64 tokens.", "code": 400}}


async def test_a_refusal_teaches():
    """The number that a refusal names is the window from then on, of that model alone."""
    with replica("openai-compatible", "fine", faults=[{"status": 400, "body": LONG}]) as r:
        provider = OpenAICompatible("gpt-4", base_url=r.base_url)
        with pytest.raises(ContextOverflowError) as caught:
            await text_of(provider)
        assert caught.value.window == 64
        assert provider.window_of() == provider.configured(timeout=3).window_of() == 64
        assert provider.window_of("gpt-4-turbo") == 128_000


async def test_a_protocol_of_its_own_learns_as_well():
    """A refusal counts before the windows that a class knows of its models."""
    with replica(FlowGpt, "fine", faults=[{"status": 400, "body": LONG}]) as r:
        provider = FlowGpt(base_url=r.base_url)
        before = provider.window_of()
        with pytest.raises(ContextOverflowError):
            await text_of(provider)
        assert (before, provider.window_of()) == (16_385, 64)


class Theirs:
    """A client of somebody else's, whose service refuses a long question."""

    name, model = "Theirs", "gpt-4"

    async def batches(self, request):
        raise ContextOverflowError("too long", window=64)
        yield []


async def test_a_backend_of_others_learns_as_well():
    """What its error names counts from then on."""
    backend = Backend.of(Theirs())
    assert backend.window_of() == 8192
    with pytest.raises(ContextOverflowError):
        await text_of(backend)
    assert backend.window_of() == 64


async def test_a_router_asks_where_a_question_fits():
    """A member whose window is too small for a question is not asked again for such a one."""
    with (
        replica("openai-compatible", "small", faults=[{"status": 400, "body": LONG}]) as small,
        replica("openai-compatible", "large") as large,
    ):
        members = [OpenAICompatible("m", base_url=one.base_url) for one in (small, large)]
        router = FreeProviders(*members)
        asked = [{"role": "user", "content": "word " * 200}]
        assert [await text_of(router, asked) for _ in range(2)] == ["large", "large"]
        assert len(small.requests) == 1
        assert await text_of(router) == "small"
        assert router.window_of() == 64


def test_the_window_of_an_error_survives_pickling():
    """And is None where nobody told it."""
    error = ContextOverflowError("too long", window=5, provider="P")
    again = pickle.loads(pickle.dumps(error))
    assert (again.window, str(again)) == (5, str(error))
    assert errors.ContextOverflowError("too long").window is None
