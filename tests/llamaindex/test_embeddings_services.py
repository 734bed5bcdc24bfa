"""Embedding models over services: each text its own vector, in every way that LlamaIndex asks."""

import asyncio
import copy
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding, SimilarityMode
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.embeddings.loading import load_embed_model
from llama_index.core.embeddings.utils import resolve_embed_model
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index.core.storage.kvstore import SimpleKVStore

from freeproviders import OpenAICompatible, Retry
from freeproviders.errors import (
    BadTextsError,
    FamilyMismatchError,
    ProviderError,
    QuotaSpentError,
    TruncatedTextsWarning,
    UsageError,
)
from freeproviders.testing import checksum_vector, replica
from llama_index.embeddings.freeproviders import OpenAICompatibleEmbedding
from llama_index_freeproviders import SharedQuota
from tests.llamaindex.services import listen

SECRET = "sk-very-secret"
SIZE = 256
TEXTS = [f"text number {place}" for place in range(50)]


@pytest.fixture(scope="module")
def service():
    with replica(OpenAICompatible) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_asked(service):
    service.requests.clear()


def model_of(server, model="m", **fields):
    return OpenAICompatibleEmbedding(model, base_url=server.base_url, **{"retry": 0, **fields})


def rows_of(texts, size=SIZE, model="m"):
    return [checksum_vector(text, size, model) for text in texts]


def close(vectors, rows):
    assert len(vectors) == len(rows)
    return all(vector == pytest.approx(row, abs=1e-6) for vector, row in zip(vectors, rows, strict=True))


def sizes(server):
    return sorted(len(request.texts) for request in server.requests)


# --- vectors --------------------------------------------------------------------------------------


async def test_every_way_gives_the_texts_own_vector(service):
    model = model_of(service, embed_batch_size=20)
    rows = rows_of(TEXTS)
    for vectors in (
        model.get_text_embedding_batch(TEXTS),
        await model.aget_text_embedding_batch(TEXTS),
        model._get_text_embeddings(TEXTS),
        await model._aget_text_embeddings(TEXTS),
    ):
        assert close(vectors, rows)
        assert all(type(number) is float for number in vectors[0])
    assert sizes(service) == [10] * 4 + [20] * 8
    for vector in (
        model.get_text_embedding("a"),
        model.get_query_embedding("a"),
        await model.aget_text_embedding("a"),
        await model.aget_query_embedding("a"),
        model.get_agg_embedding_from_queries(["a", "a"]),
        await model.aget_agg_embedding_from_queries(["a"]),
    ):
        assert close([vector], rows_of(["a"]))
    assert model.similarity(rows[0], rows[0]) == pytest.approx(1)
    assert model.similarity(rows[0], rows[0], SimilarityMode.EUCLIDEAN) == pytest.approx(0)


async def test_no_texts_are_no_request(service):
    model = model_of(service)
    recorder = listen()
    assert model.get_text_embedding_batch([]) == []
    assert await model.aget_text_embedding_batch([]) == []
    assert not service.requests
    assert not [name for name in recorder.names if name.startswith("Embedding")]


@pytest.mark.parametrize("texts", [[1], None, ["a", None]], ids=str)
async def test_what_is_no_text_is_refused_before_anything_is_sent(service, texts):
    model = OpenAICompatibleEmbedding("m", base_url=service.base_url)
    before = len(service.requests)
    with pytest.raises(UsageError, match=r"texts must be|is no text"):
        model.get_text_embedding_batch(texts)
    with pytest.raises(UsageError, match=r"texts must be|is no text"):
        await model.aget_text_embedding_batch(texts)
    with pytest.raises(UsageError, match="is no text"):
        model.get_query_embedding(7)
    assert len(service.requests) == before


def test_texts_may_come_from_anywhere(service):
    """A generator is read once; a bare text is one, not its letters."""
    model = OpenAICompatibleEmbedding("m", base_url=service.base_url)
    assert len(model.get_text_embedding_batch(text for text in "abc")) == 3
    assert len(model.get_text_embedding_batch("abc")) == 1


def test_sync_calls_ask_side_by_side():
    """LlamaIndex's own method would wait for each batch before it asks for the next one."""
    with ThreadPoolExecutor(1) as pool:
        with replica(OpenAICompatible, faults={"delay_headers": 60, "on": "embeddings"}) as server:
            model = model_of(server, embed_batch_size=5, num_workers=3)
            asking = pool.submit(model.get_text_embedding_batch, TEXTS)
            server.wait_requests(3)  # before any of them is answered
            assert sizes(server) == [5] * 3
        with pytest.raises(ProviderError):
            asking.result()


def test_roles_have_their_prefixes(service):
    model = model_of(service, query_instruction="query: ", text_instruction="passage: ")
    model.get_text_embedding("a")
    model.get_query_embedding("a")
    model.get_text_embedding_batch(["b", "c"])
    assert [request.texts for request in service.requests] == [
        ["passage: a"],
        ["query: a"],
        ["passage: b", "passage: c"],
    ]
    assert model.fingerprint.endswith(";256;unit;document 'passage: ', query 'query: '")


def test_another_size_is_another_family(service):
    model = model_of(service, dimensions=32)
    assert close([model.get_text_embedding("a")], rows_of(["a"], 32))
    assert ";32;" in model.fingerprint
    assert model_of(service, size=32).dimensions == 32
    assert model_of(service, dimensions=64).fingerprint != model.fingerprint


def test_it_works_again_and_again_and_in_a_running_loop(service):
    model = model_of(service)
    for _ in range(3):
        assert close(asyncio.run(model.aget_text_embedding_batch(["a", "b"])), rows_of(["a", "b"]))

    async def nested():
        return model.get_text_embedding_batch(["a", "b"])  # as in a notebook

    assert close(asyncio.run(nested()), rows_of(["a", "b"]))


# --- bad texts and errors -------------------------------------------------------------------------


async def test_a_bad_text_is_named_and_the_others_are_kept(service):
    model = model_of(service, embeddings_cache=SimpleKVStore())
    texts = ["a", " ", "b", "", "c"]
    for _ in range(2):  # the second time, the others are known
        with pytest.raises(BadTextsError, match="2 of 5 texts got no vector: 1, 3") as caught:
            model.get_text_embedding_batch(texts)
        assert sorted(caught.value.errors) == [1, 3]
        assert close(
            [list(caught.value.embeddings.vectors[at]) for at in (0, 2, 4)], rows_of(["a", "b", "c"])
        )
    with pytest.raises(BadTextsError):
        await model.aget_text_embedding_batch(texts)
    assert [request.texts for request in service.requests] == [["a", "b", "c"]]


def test_errors_are_the_cores():
    with replica(OpenAICompatible, faults={"status": 401, "on": "embeddings"}) as server:
        with pytest.raises(ProviderError) as caught:
            model_of(server, api_key=SECRET).get_text_embedding("a")
        assert SECRET not in str(caught.value)


def test_what_was_made_before_an_error_stays_in_the_cache():
    store = SimpleKVStore()
    with replica(OpenAICompatible) as server:
        model = model_of(server, embed_batch_size=10, num_workers=1, embeddings_cache=store, wait_up_to=0)
        server.faults = [{"on": "embeddings"}] * 2 + [{"status": 401, "on": "embeddings"}]
        with pytest.raises(ProviderError):
            model.get_text_embedding_batch(TEXTS)
        server.faults = None
        kept = set(store.get_all(collection="embeddings"))
        assert len(kept) in {10, 20}
        server.requests.clear()
        assert close(model.get_text_embedding_batch(TEXTS), rows_of(TEXTS))
        assert kept.isdisjoint(text for request in server.requests for text in request.texts)


async def test_a_text_that_is_too_long_is_refused_or_cut_and_told():
    texts = ["a", "word " * 9000]
    with replica(service="gemini", api_key="gm-1") as server:
        model = OpenAICompatibleEmbedding(service="gemini", api_key="gm-1", base_url=server.base_url)
        with pytest.raises(BadTextsError, match="1 of 2 texts got no vector: 1"):
            model.get_text_embedding_batch(texts)
        model.truncate = True
        with pytest.warns(TruncatedTextsWarning, match="1 of 2 texts were cut") as told:
            model.get_text_embedding_batch(texts)
        with pytest.warns(TruncatedTextsWarning, match="1 of 2 texts were cut") as told_later:
            await model.aget_text_embedding_batch(texts)
        assert [warning.filename for warning in (*told, *told_later)] == [__file__] * 2


async def test_a_task_that_is_cancelled_ends_its_requests():
    with replica(OpenAICompatible, faults={"delay_headers": 60, "on": "embeddings"}) as server:
        asking = asyncio.create_task(model_of(server).aget_text_embedding_batch(TEXTS))
        await server.await_requests()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await server.await_disconnect()


def test_threads_share_one_object(service):
    model = model_of(service, embed_batch_size=7)

    def ask(thread):
        texts = [f"{thread} {text}" for text in TEXTS]
        return close(model.get_text_embedding_batch(texts), rows_of(texts))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))


# --- LlamaIndex's cache, limiter, reports -----------------------------------------------------------


async def test_a_cache_of_llamaindex_is_asked_first_and_filled(service):
    store = SimpleKVStore()
    model = model_of(service, embeddings_cache=store)
    assert close(model.get_text_embedding_batch(["a", "b"]), rows_of(["a", "b"]))
    assert close(await model.aget_text_embedding_batch(["b", "c", "a"]), rows_of(["b", "c", "a"]))
    assert close([model.get_text_embedding("c")], rows_of(["c"]))
    assert [request.texts for request in service.requests] == [["a", "b"], ["c"]]
    assert set(store.get_all(collection="embeddings")) == {"a", "b", "c"}


class Counting(BaseRateLimiter):
    """Counts its turns."""

    def __init__(self):
        self.sync = self.native = 0

    def acquire(self, num_tokens=0):
        self.sync += 1

    async def async_acquire(self, num_tokens=0):
        self.native += 1


async def test_a_rate_limiter_is_asked_once_for_each_request(service):
    limiter = Counting()
    model = model_of(service, embed_batch_size=20, rate_limiter=limiter)
    model.get_text_embedding_batch(TEXTS)
    assert (limiter.sync, limiter.native) == (3, 0)
    await model.aget_text_embedding_batch(TEXTS)
    assert (limiter.sync, limiter.native) == (3, 3)
    model.get_text_embedding("a")
    await model.aget_query_embedding("a")
    assert (limiter.sync, limiter.native) == (4, 4)
    assert len(service.requests) == 8


def test_a_shared_quota_becomes_the_models_own(service):
    limits = [{"metric": "requests", "per": "minute", "cap": 3}]
    quota = SharedQuota("llamaindex-embeddings", limits, ledger="memory", wait_up_to=0)
    model = model_of(service, rate_limiter=quota, embed_batch_size=20)
    assert model.quota is quota.quota
    assert model.rate_limiter is None
    assert model.wait_up_to == 0
    model.get_text_embedding_batch(TEXTS)
    with pytest.raises(QuotaSpentError):
        model.get_text_embedding("a")
    assert len(service.requests) == 3


@pytest.mark.parametrize("native", [False, True])
async def test_each_batch_is_reported_once(service, native):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    model = model_of(service, embed_batch_size=20, callback_manager=CallbackManager([debug]))
    recorder = listen()
    if native:
        await model.aget_text_embedding_batch(TEXTS)
        await model.aget_query_embedding("a")
    else:
        model.get_text_embedding_batch(TEXTS)
        model.get_query_embedding("a")
    assert recorder.names == ["EmbeddingStartEvent", "EmbeddingEndEvent"] * 4
    assert [len(event.chunks) for event in recorder.seen[1::2]] == [20, 20, 10, 1]
    assert close(recorder.seen[5].embeddings, rows_of(TEXTS[40:]))
    about = recorder.seen[0].model_dict
    assert (about["class_name"], about["model_name"]) == ("freeproviders_openai_compatible_embedding", "m")
    pairs = debug.get_event_pairs(CBEventType.EMBEDDING)
    assert [len(end.payload[EventPayload.CHUNKS]) for _, end in pairs] == [20, 20, 10, 1]


async def test_each_call_has_one_span(service):
    spans = SimpleSpanHandler()
    get_dispatcher().add_span_handler(spans)
    try:
        model = model_of(service, embed_batch_size=20)
        model.get_text_embedding_batch(TEXTS)
        model.get_query_embedding("a")
        await model.aget_text_embedding("a")
    finally:
        get_dispatcher().span_handlers.remove(spans)
    names = [span.id_.split("-")[0].rpartition(".")[2] for span in spans.completed_spans]
    assert names == ["get_text_embedding_batch", "get_query_embedding", "aget_text_embedding"]


class Plain(BaseEmbedding):
    """LlamaIndex's base class, with its own way of asking."""

    def _get_query_embedding(self, query):
        return [1.0]

    async def _aget_query_embedding(self, query):
        return [1.0]

    def _get_text_embedding(self, text):
        return [1.0]


def test_the_reports_are_those_of_llamaindexs_own_class(service):
    """The same events with the same payloads, and the same order."""
    seen = []
    for model in (Plain(model_name="m"), model_of(service)):
        debug = LlamaDebugHandler(print_trace_on_end=False)
        model.callback_manager, model.embed_batch_size = CallbackManager([debug]), 20
        recorder = listen()
        model.get_text_embedding_batch(TEXTS)
        model.get_query_embedding("a")
        model.get_text_embedding("b")
        reports = [
            [sorted(payload, key=str) for payload in (start.payload, end.payload)]
            for start, end in debug.get_event_pairs(CBEventType.EMBEDDING)
        ]
        chunks = [getattr(event, "chunks", None) for event in recorder.seen]
        seen.append((recorder.names, chunks, reports))
    assert seen[0] == seen[1]


def test_a_model_that_lost_its_callback_manager_still_works(service):
    model = model_of(service)
    model.callback_manager = None
    assert close([model.get_text_embedding("a")], rows_of(["a"]))


def test_a_batch_that_fails_is_reported(service):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    model = model_of(service, embed_batch_size=2, callback_manager=CallbackManager([debug]))
    with pytest.raises(BadTextsError):
        model.get_text_embedding_batch(["a", "b", "c", " ", "d"])
    ends = [end.payload for _, end in debug.get_event_pairs(CBEventType.EMBEDDING)]
    assert [EventPayload.EXCEPTION in payload for payload in ends] == [False, True, False]


def test_progress_is_shown(service, capsys):
    model = model_of(service, embed_batch_size=20)
    model.get_text_embedding_batch(TEXTS, show_progress=True)
    asyncio.run(model.aget_text_embedding_batch(TEXTS, show_progress=True))
    shown = capsys.readouterr().err
    assert shown.count("Generating embeddings") >= 2
    assert "50/50" in shown


# --- configuration --------------------------------------------------------------------------------


def test_names_of_other_classes_are_understood(service):
    model = OpenAICompatibleEmbedding(
        model_name="m",
        api_base=service.base_url,
        api_key=SECRET,
        max_retries=3,
        timeout=7,
        dimensions=32,
        default_headers={"X-A": "b"},
        additional_kwargs={"user": "me"},
        reuse_client=True,
        http_client=None,
        embed_batch_size=12,
        num_workers=2,
    )
    core = model.core
    assert (core.model, core.size, core.retry.attempts, core.timeout.total) == ("m", 32, 4, 7)
    assert (core.caps.texts, core.caps.concurrency, core.options) == (12, 2, {"user": "me"})
    assert core.headers == {"X-A": "b"}
    assert OpenAICompatibleEmbedding(model="m", base_url=service.base_url).model_name == "m"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"temperature": 1}, "temperature"),
        ({"embed_batchsize": 1}, "Did you mean embed_batch_size"),
        ({"http_client": object()}, "Use proxy, connector"),
        ({"model": "a", "model_name": "b"}, "two names of one thing"),
        ({"size": 3, "dimensions": 4}, "two names of one thing"),
        ({"additional_kwargs": {"dimensions": 4}}, "no option of the service"),
        ({"additional_kwargs": {"timeout": 4}}, "no option of the service"),
        ({"additional_kwargs": {"api_token": SECRET}}, "credential"),
    ],
)
def test_what_cannot_work_is_said_at_once(service, fields, match):
    with pytest.raises(UsageError, match=match) as caught:
        OpenAICompatibleEmbedding(base_url=service.base_url, **fields)
    assert SECRET not in str(caught.value)


def test_it_is_saved_without_secrets_and_loaded(service):
    model = model_of(
        service,
        api_key=SECRET,
        headers={"X-Secret": SECRET},
        proxy=f"http://a:{SECRET}@127.0.0.1:9",
        dimensions=32,
        query_prefix="q: ",
        retry=Retry(attempts=2),
        embed_batch_size=7,
    )
    saved = model.to_dict()
    for shown in (
        json.dumps(saved),
        model.to_json(),
        repr(model),
        str(model),
        json.dumps(model.to_payload()),
    ):
        assert SECRET not in shown
    loaded = load_embed_model(saved)
    assert type(loaded) is OpenAICompatibleEmbedding
    assert loaded.fingerprint == model.fingerprint
    assert loaded.to_dict() == saved
    assert (loaded.core.caps, loaded.core.retry) == (model.core.caps, model.core.retry)


def test_copies_and_changes(service):
    model = model_of(service, api_key=SECRET)
    for other in (
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        copy.copy(model),
        model.model_copy(update={"dimensions": 32}),
    ):
        size = other.dimensions or SIZE
        assert close([other.get_text_embedding("a")], rows_of(["a"], size))
        assert other.core.api_key == SECRET
    model.dimensions = 64
    assert len(model.get_text_embedding("a")) == 64
    model.embed_batch_size = 10
    service.requests.clear()
    model.get_text_embedding_batch(TEXTS)
    assert sizes(service) == [10] * 5


def test_a_catalogues_service_is_known_by_its_row():
    with replica(service="gemini", api_key="gm-1") as server:
        model = OpenAICompatibleEmbedding(service="gemini", api_key="gm-1", base_url=server.base_url)
        assert model.model_name
        assert model.embed_batch_size == model.core.caps.texts
        assert len(model.get_text_embedding("a")) == model.core.family.size
        other = load_embed_model({**model.to_dict(), "api_key": "gm-1"})
        assert other.fingerprint == model.fingerprint


def test_settings_take_it(service):
    model = model_of(service)
    Settings.embed_model = model
    assert Settings.embed_model is model
    assert resolve_embed_model(model) is model
    assert isinstance(model, BaseEmbedding)
    index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS])
    assert index.as_retriever(similarity_top_k=1).retrieve(TEXTS[7])[0].text == TEXTS[7]


def test_vectors_of_another_size_than_the_rows_are_refused():
    with replica(service="gemini", api_key="gm-1") as server:
        model = OpenAICompatibleEmbedding(service="gemini", api_key="gm-1", base_url=server.base_url, retry=0)
        server.faults = {"vectors": "sizes"}
        with pytest.raises(FamilyMismatchError, match=re.escape(model.fingerprint)):
            model.get_text_embedding_batch(["a", "b"])
