"""Embeddings by name: by this package's function, and by LangChain's own once they are registered."""

import re

import pytest
from langchain.embeddings import base, init_embeddings
from langchain_core.exceptions import ModelInvalidRequestError

from freeproviders.errors import MissingKeyError, UnknownServiceError, UsageError
from freeproviders.testing import replica
from langchain_freeproviders import (
    EmbeddedEmbeddings,
    FreeProvidersEmbeddings,
    OfflineEmbeddings,
    OpenAICompatibleEmbeddings,
    embeddings,
    registration,
)
from tests.embedded.tiny_bert import written

FLOOR = OfflineEmbeddings().model


def test_every_class_has_a_name():
    classes = {cls for cls, _ in registration._EMBEDDINGS_MAKERS.values()}
    assert classes == {getattr(embeddings, name) for name in embeddings.__all__}


@pytest.fixture
def gemini(monkeypatch):
    with replica(service="gemini", api_key="key-1") as server:
        monkeypatch.setenv("GEMINI_API_BASE", server.base_url)
        monkeypatch.setenv("GEMINI_API_KEY", "key-1")
        yield server


@pytest.mark.usefixtures("langchains_list")
def test_a_service_of_the_catalogue(gemini):
    registration.register()
    given = (
        {"model": "freeproviders:gemini/gemini-embedding-001"},
        {"model": "freeproviders:gemini"},
        {"model": "gemini", "provider": "freeproviders"},
    )
    for make in (registration.init_embeddings, init_embeddings):
        for arguments in given:
            made = make(**arguments, dimensions=768)
            assert type(made) is OpenAICompatibleEmbeddings
            assert (made.model, made.size) == ("gemini-embedding-001", 768)
    assert len(made.embed_query("a")) == 768
    assert len(gemini.requests) == 1


@pytest.mark.usefixtures("langchains_list")
def test_the_other_classes(tmp_path):
    path = written(tmp_path)
    registration.register()
    for make in (registration.init_embeddings, init_embeddings):
        assert type(make(f"offline:{FLOOR}")) is OfflineEmbeddings
        assert type(make(f"embedded:{path}")) is EmbeddedEmbeddings
        family = make("free_providers:bge-m3", privacy="local")
        assert type(family) is FreeProvidersEmbeddings
        assert family.fingerprint.startswith("bge-m3;")
        service = make("openai_compatible:my/model:8b", base_url="http://127.0.0.1:1/v1")
        assert (type(service), service.model) == (OpenAICompatibleEmbeddings, "my/model:8b")
    assert type(registration.init_embeddings("offline")) is OfflineEmbeddings
    assert type(registration.init_embeddings("free-providers")) is FreeProvidersEmbeddings


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("freeproviders:gemin", UnknownServiceError, "Did you mean 'gemini'"),
        ("freeproviders:/x", UsageError, "freeproviders:gemini"),
        ("freeproviders:groq", UsageError, "knows no embedding model"),
        ("freeproviders:mistral", MissingKeyError, "MISTRAL_API_KEY"),
        ("offline:another", UsageError, "leave model out"),
    ],
)
@pytest.mark.usefixtures("langchains_list")
def test_a_name_that_cannot_be_asked(monkeypatch, name, error, said):
    """The error says what would do; it is LangChain's own as well."""
    monkeypatch.delenv("MISTRAL_API_KEY", raising=False)
    monkeypatch.setenv("GROQ_API_KEY", "gsk-1")
    registration.register()
    for make in (registration.init_embeddings, init_embeddings):
        with pytest.raises(error, match=re.escape(said)) as caught:
            make(name)
        assert isinstance(caught.value, ModelInvalidRequestError)


def test_others_are_langchains():
    with pytest.raises(ValueError, match="no-such-provider"):
        registration.init_embeddings("x", provider="no-such-provider")


@pytest.mark.usefixtures("langchains_list")
def test_no_name_of_langchains_is_replaced(monkeypatch):
    """Nor is anything registered where the list of embeddings has another form."""
    theirs = ("langchain_offline", "OfflineEmbeddings", base._call)
    base._BUILTIN_PROVIDERS["offline"] = theirs
    registration.register()
    assert base._BUILTIN_PROVIDERS["offline"] == theirs
    monkeypatch.setattr(base, "_BUILTIN_PROVIDERS", {"openai": "langchain_openai.OpenAIEmbeddings"})
    with pytest.raises(UsageError, match=r"langchain_freeproviders\.init_embeddings"):
        registration.register()
