"""Embeddings for LangChain over services, asked at replicas: arguments, errors, loops, copies, saving."""

import asyncio
import copy
import json
import pickle
import subprocess
import sys
import threading

import pytest
from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelConnectionError,
    ModelInvalidRequestError,
    ModelRateLimitError,
)
from langchain_core.load import dumpd, dumps, load
from langchain_core.runnables import RunnableLambda
from pydantic import SecretStr, ValidationError

from freeproviders import OpenAICompatible, Quota, Retry, Timeout, errors
from freeproviders.embeddings import VectorCache
from freeproviders.errors import TruncatedTextsWarning
from freeproviders.testing import checksum_vector, replica
from langchain_freeproviders import OpenAICompatibleEmbeddings, SharedQuota

SIZE = 256
TEXTS = [f"text number {place}" for place in range(45)]


@pytest.fixture(scope="module")
def shared():
    with replica(OpenAICompatible) as server:
        yield server


@pytest.fixture
def service(shared):
    shared.requests.clear()
    shared.faults = None
    return shared


def made(server, **more):
    return OpenAICompatibleEmbeddings(**{"model": "m", "base_url": server.base_url, "max_retries": 0, **more})


def right(vectors, texts, size=SIZE):
    """Whether the vectors are the texts', but for the last bits of bringing them to length 1."""
    rows = zip(vectors, texts, strict=True)
    return all(vector == pytest.approx(checksum_vector(text, size, "m"), abs=1e-6) for vector, text in rows)


# --- the four methods ---


async def test_each_text_has_its_own_vector(service):
    """Sync and async, in order, as lists of Python's numbers."""
    embeddings = made(service, batch_size=10)
    for vectors in (embeddings.embed_documents(TEXTS), await embeddings.aembed_documents(TEXTS)):
        assert right(vectors, TEXTS)
        assert {type(vector) for vector in vectors} == {list}
        assert {type(number) for vector in vectors for number in vector} == {float}
    assert sorted(len(request.texts) for request in service.requests) == [5, 5] + [10] * 8
    for vector in (embeddings.embed_query("a"), await embeddings.aembed_query("a")):
        assert right([vector], ["a"])
    assert embeddings.embed_documents([]) == await embeddings.aembed_documents([]) == []


def test_roles_have_their_prefixes(service):
    embeddings = made(service, query_prefix="query: ", document_prefix="passage: ")
    embeddings.embed_documents(["a"])
    embeddings.embed_query("a")
    assert [request.texts for request in service.requests] == [["passage: a"], ["query: a"]]


def test_many_at_once_by_runnables(service):
    """An event loop of its own for each of LangChain's threads, and one for all."""
    embeddings = made(service)
    runnable = RunnableLambda(embeddings.embed_query, afunc=embeddings.aembed_query)
    assert right(runnable.batch(TEXTS), TEXTS)
    assert right(asyncio.run(runnable.abatch(TEXTS)), TEXTS)


def test_any_loop_and_thread(service):
    """Each `asyncio.run` has another loop; sync code runs inside a loop too, and beside it."""
    embeddings = made(service)
    for _ in range(3):
        assert right([asyncio.run(embeddings.aembed_query("a"))], ["a"])

    async def inside():
        return embeddings.embed_query("b"), await embeddings.aembed_query("b")

    assert right(asyncio.run(inside()), ["b", "b"])
    found = []
    threads = [threading.Thread(target=lambda: found.append(embeddings.embed_query("c"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right(found, ["c"] * 4)


async def test_a_cancelled_call_ends_its_requests():
    with replica(OpenAICompatible, faults={"on": "embeddings", "delay_headers": 30}) as server:
        task = asyncio.create_task(made(server).aembed_query("a"))
        await server.await_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.await_disconnect(1)


# --- arguments ---


def test_arguments_are_seen_before_the_first_use():
    """In a process of its own, since pydantic reads the fields late; those of chat models too."""
    code = """
from inspect import signature
from langchain_freeproviders import ChatOpenAICompatible, OpenAICompatibleEmbeddings
for cls, own in ((ChatOpenAICompatible, "temperature"), (OpenAICompatibleEmbeddings, "batch_size")):
    parameters = signature(cls).parameters
    assert {own, "model", "service", "base_url", "api_key", "quota"} <= set(parameters), parameters
    assert parameters[own].default is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_names_that_users_of_openai_embeddings_know(service):
    embeddings = OpenAICompatibleEmbeddings(
        model="m",
        openai_api_base=service.base_url,
        openai_api_key="sk-1",
        dimensions=32,
        chunk_size=20,
        max_retries=1,
        request_timeout=5,
        show_progress_bar=False,
        default_headers={"X-Name": "value"},
        organization="org-1",
        check_embedding_ctx_length=False,
        skip_empty=False,
        deployment=None,
    )
    assert right(embeddings.embed_documents(TEXTS), TEXTS, 32)
    assert sorted(len(request.texts) for request in service.requests) == [5, 20, 20]
    headers = service.requests[0].headers
    assert (headers["Authorization"], headers["X-Name"]) == ("Bearer sk-1", "value")
    assert headers["OpenAI-Organization"] == "org-1"
    assert (embeddings.size, embeddings.batch_size, embeddings.timeout) == (32, 20, 5)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"dimension": 3}, "Did you mean dimensions"),
        ({"batchsize": 3}, "Did you mean batch_size"),
        ({"size": 3, "dimensions": 4}, "size and dimensions are two names of one thing"),
        ({"check_embedding_ctx_length": True}, "truncate=True"),
        ({"embedding_ctx_length": 8191}, "truncate=True"),
        ({"skip_empty": True}, "leave it out"),
        ({"retry_min_seconds": 4}, "freeproviders.Retry"),
        ({"http_client": "a client"}, "Use proxy"),
        ({"model_kwargs": {"dimensions": 3}}, "as an argument of its own"),
        ({"model_kwargs": {"secret_token": "sk-12345678901234567890"}}, "secret_token"),
        ({"base_url": "localhost"}, "base_url"),
        ({"service": "no-such-service", "base_url": None}, "no-such-service"),
        ({"rate_limiter": "a limiter"}, "Quota"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_at_construction(wrong, words):
    values = {"model": "m", "base_url": "http://127.0.0.1:1/v1", **wrong}
    with pytest.raises(ModelInvalidRequestError, match=words):
        OpenAICompatibleEmbeddings(**values)


@pytest.mark.parametrize("wrong", [{"size": 0}, {"batch_size": 0}, {"wait_up_to": -1}, {"model_kwargs": 1}])
def test_values_of_a_wrong_kind_are_pydantics_matter(wrong):
    with pytest.raises(ValidationError):
        OpenAICompatibleEmbeddings(model="m", base_url="http://127.0.0.1:1/v1", **wrong)


def test_options_go_with_each_request(service):
    made(service, model_kwargs={"user": "u-1"}).embed_query("a")
    assert service.requests[0].json["user"] == "u-1"


def test_the_environment(monkeypatch, service):
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_BASE", service.base_url)
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-1")
    embeddings = OpenAICompatibleEmbeddings(model="m")
    assert right([embeddings.embed_query("a")], ["a"])
    assert service.requests[0].headers["Authorization"] == "Bearer sk-1"
    assert embeddings.api_key == SecretStr("sk-1")
    assert dumpd(embeddings)["kwargs"].get("base_url") is None  # the machine's, not the object's


# --- the family ---


def test_the_family_says_what_may_be_compared(service):
    host = service.base_url.split("/")[2]
    embeddings = made(service)
    assert embeddings.family.size is None
    embeddings.embed_query("a")
    assert embeddings.fingerprint == embeddings.family.fingerprint == f"{host}/m;{SIZE};unit;"
    named = made(service, family="bge-m3", size=32, normalised=False, query_prefix="query: ")
    assert named.fingerprint == "bge-m3;32;as is;query 'query: '"
    with pytest.raises(errors.FamilyMismatchError, match="bge-m3;32") as caught:
        embeddings.family.check(named.fingerprint, where="The index")
    assert caught.value.own == embeddings.fingerprint


# --- errors ---


def test_errors_are_langchains_too(service):
    for fault, theirs, ours in (
        ({"status": 401}, ModelAuthenticationError, errors.AuthenticationError),
        ({"status": 429}, ModelRateLimitError, errors.RateLimitError),
        ({"drop": True}, ModelConnectionError, errors.ProviderConnectionError),
    ):
        service.faults = {"on": "embeddings", **fault}
        for call in (
            lambda: made(service).embed_query("a"),
            lambda: asyncio.run(made(service).aembed_documents(["a"])),
        ):
            with pytest.raises(theirs) as caught:
                call()
            assert isinstance(caught.value, ours)


def test_one_bad_text_is_named_and_the_others_have_their_vectors(service):
    for call in (
        made(service).embed_documents,
        lambda some: asyncio.run(made(service).aembed_documents(some)),
    ):
        with pytest.raises(errors.BadTextsError, match=r"1 of 3 texts got no vector: 1") as caught:
            call(["a", " ", "b"])
        assert isinstance(caught.value, ModelInvalidRequestError)
        vectors = caught.value.embeddings.vectors.lists()
        assert right([vectors[0], vectors[2]], ["a", "b"])
        assert vectors[1] == [0.0] * SIZE
    with pytest.raises(ModelInvalidRequestError, match="Text 0 is no text but list"):
        made(service).embed_query(["a"])
    with pytest.raises(errors.BadRequestError, match=r"The text is blank\.") as caught:
        made(service).embed_query(" ")
    assert isinstance(caught.value, ModelInvalidRequestError)


def test_an_answer_of_another_size_is_of_another_family():
    with replica(
        OpenAICompatible, vectors=lambda texts: [[1.0, 0.0, 0.0][: len(text)] for text in texts]
    ) as r:
        embeddings = made(r)
        assert embeddings.embed_query("ab") == [1.0, 0.0]
        with pytest.raises(errors.FamilyMismatchError, match="vectors of 3 numbers") as caught:
            embeddings.embed_query("abc")
    assert isinstance(caught.value, ModelInvalidRequestError)


def test_what_was_done_before_a_failure_is_said():
    faults = [{"on": "embeddings"}, {"on": "embeddings", "status": 401}]
    with (
        replica(OpenAICompatible, faults=faults) as server,
        pytest.raises(errors.AuthenticationError, match="10 of 45 texts had their vectors"),
    ):
        made(server, batch_size=10, concurrency=1).embed_documents(TEXTS)


# --- what is kept, and what is cut ---


def test_a_cache_keeps_vectors_on_disk(tmp_path):
    """By role; what came before a failure is kept, and progress is told as without one."""
    path = tmp_path / "vectors.db"
    faults = [{"on": "embeddings"}, {"on": "embeddings", "status": 401}]
    with replica(OpenAICompatible, faults=faults) as server:
        seen = []
        more = {
            "batch_size": 10,
            "concurrency": 1,
            "progress": lambda done, count: seen.append((done, count)),
        }
        embeddings = made(server, cache=path, **more)
        with pytest.raises(errors.AuthenticationError, match="10 of 45 texts have their vectors in"):
            embeddings.embed_documents(TEXTS)
        server.faults = None
        assert right(embeddings.embed_documents(TEXTS), TEXTS)
        assert seen == [(10, 45), (10, 45), (20, 45), (30, 45), (40, 45), (45, 45)]
        count = len(server.requests)
        for other in (embeddings, pickle.loads(pickle.dumps(made(server, cache=str(path))))):
            assert right(other.embed_documents(TEXTS), TEXTS)
        assert len(server.requests) == count
        embeddings.embed_query(TEXTS[0])
        assert len(server.requests) == count + 1
        assert dumpd(made(server, cache=VectorCache(path)))["kwargs"]["cache"] == str(path)


@pytest.fixture
def gemini(monkeypatch):
    with replica(service="gemini", api_key="key-1") as server:
        monkeypatch.setenv("GEMINI_API_KEY", "key-1")
        monkeypatch.setenv("GEMINI_API_BASE", server.base_url)
        yield server


@pytest.mark.usefixtures("gemini")
def test_a_service_of_the_catalogue():
    """Its row says which model is asked, how and with which family; its variable has the key."""
    embeddings = OpenAICompatibleEmbeddings(service="gemini", dimensions=768)
    assert embeddings.model == "gemini-embedding-001"
    assert len(embeddings.embed_query("a")) == 768
    assert embeddings.fingerprint.startswith("gemini-embedding-001;768;unit;")
    assert dumpd(OpenAICompatibleEmbeddings(service="gemini"))["kwargs"]["service"] == "gemini"
    keyed = OpenAICompatibleEmbeddings(service="gemini", api_key="key-1")
    assert dumpd(keyed)["kwargs"]["api_key"]["id"] == ["GEMINI_API_KEY"]
    with pytest.raises(ModelInvalidRequestError, match="none of the model's: 768, 1536, 3072"):
        OpenAICompatibleEmbeddings(service="gemini", size=100)


def test_without_a_key_of_the_catalogues_service(monkeypatch):
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    with pytest.raises(ModelAuthenticationError, match="GEMINI_API_KEY"):
        OpenAICompatibleEmbeddings(service="gemini")


@pytest.mark.usefixtures("gemini")
async def test_texts_that_were_cut_are_named():
    embeddings = OpenAICompatibleEmbeddings(service="gemini", truncate=True)
    words = r"1 of 2 texts were cut to the model's window: 1\."
    texts = ["short", "long " * 20_000]
    with pytest.warns(TruncatedTextsWarning, match=words) as told:
        embeddings.embed_documents(texts)
    assert told[0].filename == __file__
    with pytest.warns(TruncatedTextsWarning, match=words):
        await embeddings.aembed_documents(texts)


# --- limits ---


def test_a_shared_quota_is_taken_as_own_limits(service, tmp_path):
    limits = [{"metric": "requests", "per": "day", "cap": 2}]
    quota = SharedQuota("some-service", limits, ledger=tmp_path / "ledger.db", wait_up_to=0.5)
    for name in ("quota", "rate_limiter"):
        embeddings = made(service, **{name: quota})
        assert isinstance(embeddings.quota, Quota)
        assert embeddings.wait_up_to == 0.5
        embeddings.embed_query("a")
    with pytest.raises(errors.QuotaSpentError):
        embeddings.embed_query("a")
    assert len(service.requests) == 2
    assert made(service, quota=quota, wait_up_to=1).wait_up_to == 1


def test_a_shared_quota_makes_ours_count_for_themselves(service, tmp_path):
    """Each request once, where a wrapper around them would count it a second time."""
    limits = [{"metric": "requests", "per": "day", "cap": 3}]
    quota = SharedQuota("some-service", limits, ledger=tmp_path / "ledger.db", wait_up_to=0.5)
    embeddings = quota.embeddings(made(service, batch_size=20))
    assert type(embeddings) is OpenAICompatibleEmbeddings
    assert right(embeddings.embed_documents(TEXTS), TEXTS)
    with pytest.raises(errors.QuotaSpentError):
        embeddings.embed_query("a")
    assert len(service.requests) == 3


# --- progress ---


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_progress(service, capsys, monkeypatch, with_tqdm):
    """To a function, and to a person; queries show nothing."""
    if not with_tqdm:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    seen = []
    embeddings = made(
        service, batch_size=10, show_progress=True, progress=lambda done, count: seen.append((done, count))
    )
    assert right(embeddings.embed_documents(TEXTS), TEXTS)
    assert seen == [(10, 45), (20, 45), (30, 45), (40, 45), (45, 45)]
    shown = capsys.readouterr().err
    assert ("45/45" if with_tqdm else "45 of 45 texts") in shown
    embeddings.embed_query("a")
    assert capsys.readouterr().err == ""


# --- a state that is its fields ---

SECRETS = {
    "api_key": "sk-secret-1",
    "proxy": "http://user:sk-secret-2@127.0.0.1:1",
    "headers": {"X-Key": "sk-secret-3"},
    "cookies": {"session": "sk-secret-4"},
}


def full(**fields):
    values = {
        "model": "m",
        "base_url": "http://127.0.0.1:1/v1",
        "size": 32,
        "family": "one",
        "query_prefix": "query: ",
        "timeout": Timeout(total=9.0, stall=None),
        "max_retries": Retry(attempts=2, first=0.1),
        "model_kwargs": {"user": "u-1"},
        "truncate": True,
        **SECRETS,
    }
    return OpenAICompatibleEmbeddings(**{**values, **fields})


def test_secrets_are_neither_shown_nor_saved():
    embeddings = full()
    for text in (repr(embeddings), str(embeddings), dumps(embeddings), embeddings.model_dump_json()):
        assert "secret" not in text.replace('"type": "secret"', "")
    with_login = full(base_url="http://user:sk-secret-5@127.0.0.1:1/v1", api_key=None)
    assert "sk-secret" not in repr(with_login) + dumps(with_login) + with_login.model_dump_json()


def test_saved_and_loaded(monkeypatch):
    embeddings = full(proxy=None, headers=None, cookies=None)
    saved = json.loads(json.dumps(dumpd(embeddings)))
    assert saved["id"] == ["langchain_freeproviders", "embeddings", "OpenAICompatibleEmbeddings"]
    assert saved["kwargs"]["api_key"] == {"lc": 1, "type": "secret", "id": ["OPENAI_COMPATIBLE_API_KEY"]}
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", "sk-secret-1")
    loaded = load(
        saved,
        allowed_objects=[OpenAICompatibleEmbeddings],
        valid_namespaces=["langchain_freeproviders"],
        secrets_from_env=True,
    )
    assert loaded == embeddings
    assert (loaded.timeout, loaded.max_retries) == (embeddings.timeout, embeddings.max_retries)
    assert loaded.fingerprint == embeddings.fingerprint == "one;32;unit;query 'query: '"


@pytest.mark.parametrize("use_before", [False, True])
def test_pickled_and_copied(service, use_before):
    embeddings = made(service, api_key="sk-1", size=32)
    if use_before:
        embeddings.embed_query("a")
    for other in (
        pickle.loads(pickle.dumps(embeddings)),
        copy.copy(embeddings),
        copy.deepcopy(embeddings),
        embeddings.model_copy(),
        embeddings.model_copy(deep=True),
        embeddings.model_copy(update={"api_key": "sk-1"}),
    ):
        assert other == embeddings
        assert other.api_key == SecretStr("sk-1")
        assert right([other.embed_query("a")], ["a"], 32)


def test_a_change_counts(service):
    embeddings = made(service)
    embeddings.embed_query("a")
    embeddings.size = 32
    embeddings.api_key = "sk-2"
    assert right([embeddings.embed_query("a")], ["a"], 32)
    assert service.requests[-1].headers["Authorization"] == "Bearer sk-2"
    assert "sk-2" not in repr(embeddings)
