"""Each row of the tables of names means what it says: both columns are tried, against a replica."""

import asyncio
import inspect
import json
import re
import urllib.request
from types import SimpleNamespace

import pytest

import freeproviders
from benchmarks.measured import FOLDER
from benchmarks.peers.names import rows
from freeproviders import FreeProviders, OpenAICompatible, Quota, Timeout, errors
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.testing import replica
from freeproviders.types import ToolCall
from langchain_freeproviders import ChatOpenAICompatible
from llama_index_freeproviders import OpenAICompatible as LlamaIndexOpenAICompatible
from tests.docs.answers import answer

TRIED = json.loads((FOLDER / "names.json").read_text(encoding="utf-8"))["found"]
ADAPTERS = {"ChatOpenAICompatible": ChatOpenAICompatible, "OpenAICompatible": LlamaIndexOpenAICompatible}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def code(cell):
    """The code in a cell that is code; None where it is words."""
    return cell[1:-1] if re.fullmatch(r"`[^`]+`", cell) else None


def keywords(cell, url):
    """The keywords that a cell writes."""
    return eval(f"dict({code(cell) or ''})", {"URL": url, "Timeout": Timeout})  # noqa: S307 - our own page


def params(*tables):
    return [pytest.param(table, row, id=f"{table}-{row[0]}") for table in tables for row in rows(table)]


@pytest.mark.parametrize("table", [*ADAPTERS, "answers", "errors", "LiteLLM", "gpt4free"])
def test_the_other_column_was_tried(table):
    """In the packages themselves: `make bench-peers`. A new row is tried before it can stand here."""
    assert list(TRIED[table]) == [row[0] for row in rows(table)]


def test_what_differs_was_seen():
    """What the page says of other packages beside the tables."""
    assert '"temperature": 0.1' in TRIED["told nothing"]["openai_like"]
    assert "temperature" not in TRIED["told nothing"]["ours_in_llamaindex"]
    assert TRIED["OpenAICompatible"]['`reasoning_effort="low"`'].startswith("is taken, ours sends")
    assert "ours sends" in TRIED["ChatOpenAICompatible"]["`streaming=True`"]
    assert TRIED["errors"]["404"].endswith("LiteLLM BadRequestError")
    differs = [cell for table in ADAPTERS for cell, said in TRIED[table].items() if "ours" in said]
    assert differs == ["`streaming=True`", '`reasoning_effort="low"`']


def sent(cls, given):
    """The request that a model sends, and how it is configured to do so."""
    with replica(freeproviders.OpenAICompatible, extra_keys=["top_k", "user"]) as server:
        own = {name: server.base_url if value == "URL" else value for name, value in given.items()}
        if not {"base_url", "api_base", "openai_api_base"} & own.keys():
            own["base_url"] = server.base_url
        model = cls(**{"model": "some-model", **own} if "model_name" not in own else own)
        if cls is ChatOpenAICompatible:
            model.invoke("Hello")
            core = [model.timeout, model.max_retries, model.streaming, model.stream_usage, model.n]
        else:
            model.complete("Hello")
            core = [model.timeout, model.retry, model.metadata.context_window, model.function_calling]
            core.append(model.json_schema)
        request = server.requests[-1]
    headers = {name: value for name, value in request.headers.items() if name.lower() != "host"}
    return request.json, headers, core


@pytest.mark.parametrize(("table", "row"), params(*ADAPTERS))
def test_a_keyword_means_the_same(table, row):
    """Both columns send one request; or the name is refused, with the words for what there is instead."""
    cls, (theirs, ours, as_it_stands) = ADAPTERS[table], row
    if as_it_stands == "yes":
        assert sent(cls, keywords(theirs, "URL")) == sent(cls, keywords(ours, "URL"))
        return
    assert as_it_stands == "no"
    with pytest.raises((errors.UsageError, ValueError)) as refused:
        cls(model="m", base_url="http://127.0.0.1:1/v1", **keywords(theirs, "URL"))
    for word in re.findall(r"`(\w+)", ours) or ours.split()[-2:]:
        assert word in str(refused.value), str(refused.value)


def test_what_an_answer_has():
    """The same values, in the protocol's own JSON and in our answer to the same question."""
    call = ToolCall("call_1", "get_weather", {"city": "Paris"})
    for said, tools in (("Falling water.", None), ([call], [TOOL])):
        with replica(freeproviders.OpenAICompatible, answer=said) as server:
            body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
            body |= {"tools": tools} if tools else {}
            request = urllib.request.Request(  # noqa: S310 - our own replica
                f"{server.base_url}/chat/completions",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as reply:  # noqa: S310 - the same
                response = json.load(reply, object_hook=lambda one: SimpleNamespace(**one))
            backend = freeproviders.OpenAICompatible("m", base_url=server.base_url, native_tools=True)
            names = {"response": response, "json": json}
            names["answer"] = backend.complete_sync("Hi", tools=tools or ())
        for theirs, ours in rows("answers"):
            if ("tool_calls" in theirs) is bool(tools):
                assert eval(code(theirs), names) == eval(code(ours), names), theirs  # noqa: S307


@pytest.mark.parametrize("row", list(rows("errors")), ids=lambda row: row[0])
def test_an_error_is_of_the_class(row):
    what, theirs, ours = row
    expected = getattr(errors, code(ours))
    fault = (
        {"status": int(what)} if what.isdigit() else {"drop": True} if "connection" in what else {"stall": 0}
    )
    with replica(freeproviders.OpenAICompatible, faults=fault) as server:
        limit = Timeout(total=0.5) if "time" in what else None
        backend = freeproviders.OpenAICompatible("m", base_url=server.base_url, retry=0, timeout=limit)
        with pytest.raises(expected) as raised:
            backend.complete_sync("Hi")
    assert type(raised.value) is expected
    openai = pytest.importorskip("openai")
    theirs = getattr(openai, code(theirs))
    assert issubclass(theirs, openai.APIError)
    assert str(getattr(theirs, "status_code", what)) == what


@pytest.fixture
def names(monkeypatch):
    """What the rows of whole calls use: two services, which the environment leads to replicas."""
    with replica(service="groq", answer=answer) as groq, replica(service="mistral", answer=answer) as mistral:
        for name, server in (("GROQ", groq), ("MISTRAL", mistral)):
            monkeypatch.setenv(f"{name}_API_KEY", "key-of-the-page")
            monkeypatch.setenv(f"{name}_API_BASE", server.base_url)
        yield {
            "FreeProviders": FreeProviders,
            "OpenAICompatible": OpenAICompatible,
            "OpenAICompatibleEmbedder": OpenAICompatibleEmbedder,
            "Quota": Quota,
            "URL": groq.base_url,
            "errors": errors,
            "freeproviders": freeproviders,
            "groq": OpenAICompatible(service="groq"),
            "messages": [{"role": "user", "content": "What is thunder?"}],
            "texts": ["a cat", "a dog"],
            "tools": [TOOL],
        }


@pytest.mark.parametrize(("table", "row"), params("LiteLLM", "gpt4free"))
def test_what_is_written_here_works(table, row, names):
    """Each cell of ours is run; what has an answer has the answer of the service."""
    written = code(row[1])
    value = eval(written.removeprefix("await "), names)  # noqa: S307 - our own page
    if inspect.iscoroutine(value):
        value = asyncio.run(value)
    if "complete" in written:
        assert value.text == "Thunder is the sound of lightning."
    assert value is not None
    if "stream_sync" in written:
        assert "".join(getattr(part, "text", "") for part in value).startswith("Thunder")
