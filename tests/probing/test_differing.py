"""Services that are other than their rows say: a probe finds each difference, and how to correct it."""

from __future__ import annotations

import asyncio
import json
import tomllib
from dataclasses import replace

import pytest
from aiohttp import web

from freeproviders import OpenAICompatible, Quota
from freeproviders.catalogue import catalogue, facts_of, look_again
from freeproviders.catalogue.rows import Headers, Limit
from freeproviders.errors import (
    AuthenticationError,
    MissingKeyError,
    ProviderConnectionError,
    ProviderTimeoutError,
    QuotaSpentError,
    RateLimitError,
    UsageError,
)
from freeproviders.probing import Prober
from freeproviders.testing import replica
from freeproviders.wire.limits import AllowanceHeaders
from tests.core.servers import serve
from tests.probing.models import Obedient

GROQ = catalogue().service("groq")
MODEL = GROQ.default_model
KEY = "a-key-of-mine"


def probed(server, service="groq", model=None, **more):
    """The report of a probe of what runs at an address."""
    address = server if isinstance(server, str) else server.base_url
    return asyncio.run(Prober(service, model, base_url=address, **{"api_key": KEY, **more}).run())


def said(report, about):
    """The sentences of the findings about something."""
    return [finding.said for finding in report.findings if finding.about == about]


@pytest.fixture
def corrected(tmp_path, monkeypatch):
    """Puts the corrections of a report into a user's file, and returns the row that it makes."""

    def correct(report):
        (tmp_path / f"{report.service}.toml").write_text(report.toml)
        monkeypatch.setenv("FREEPROVIDERS_SERVICES", str(tmp_path))
        return look_again().service(report.service)

    yield correct
    monkeypatch.delenv("FREEPROVIDERS_SERVICES", raising=False)
    look_again()


# --- features -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("about", "options", "answer"),
    [
        ("tools", {"lacks": ("tools",)}, Obedient()),
        ("tools", {}, "Hello"),
        ("schema", {"lacks": ("schema",)}, Obedient()),
        ("schema", {}, "Hello"),
    ],
    ids=["tools refused", "tools ignored", "schema refused", "schema ignored"],
)
def test_a_feature_that_is_not_there(about, options, answer, corrected):
    """The row says that it is; the correction says that it is not, and then nothing differs."""
    assert getattr(facts_of(GROQ, MODEL), about) is True
    with replica(service="groq", answer=answer, **options) as server:
        report = probed(server)
        (finding,) = [one for one in report.findings if one.about == about]
        assert (finding.verdict, "says that" in finding.said) == ("differs", True)
        row = corrected(report)
        assert getattr(facts_of(row, MODEL), about) is False
        assert row.models[MODEL].cost == "allowance"  # what stood in the line is still there
        assert row.models[MODEL].source == "freeproviders probe"
        assert not probed(server).differences


def test_a_feature_that_the_row_denies(corrected):
    """A model that the row has without tools calls one."""
    compound = "groq/compound"
    able = replace(GROQ, models={**GROQ.models, compound: replace(GROQ.models[compound], tools=True)})
    with replica(service=able, answer=Obedient()) as server:
        report = probed(server, model=compound)
        assert [finding.about for finding in report.differences] == ["tools"]
        assert "denies" in said(report, "tools")[0]
        assert facts_of(corrected(report), compound).tools is True
        assert not probed(server, model=compound).differences


def test_the_first_line_of_a_row_without_lines(tmp_path, monkeypatch, corrected):
    """The row's default model needs a line then, too."""
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", str(tmp_path / "own"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "corner.toml").write_text(
        'name = "Corner"\nbase_url = "https://api.corner.example/v1"\ndefault_model = "corner-1"\n'
        'fallback_models = ["corner-2"]\nchecked = 2026-11-20\nsource = "nowhere"\n'
    )
    row = look_again().service("corner")
    with replica(service=row, answer=Obedient(), models=["corner-1", "corner-2", "corner-3"]) as server:
        report = probed(server, "corner", "corner-3")
    assert report.change["models"].keys() == {"corner-1", "corner-2", "corner-3"}
    file = tmp_path / "own" / "corner.toml"
    (tmp_path / "corner.toml").write_text(report.toml)
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", f"{file}:{tmp_path / 'corner.toml'}")
    assert facts_of(look_again().service("corner"), "corner-3").tools is True


@pytest.mark.parametrize("about", ["tools", "schema"])
def test_a_failure_that_says_nothing_of_the_feature(about):
    """Another refusal, and another failure, leave the question open."""
    field = {"tools": "tools", "schema": "response_format"}[about]
    for status in (400, 500):

        async def handle(request, served, status=status):
            if request.method == "POST" and field in json.loads(await request.read()):
                return web.json_response({"error": {"message": "Something is wrong"}}, status=status)
            return await answering(text='{"word": "Hello", "letters": 5}')(request, served)

        with serve(handle) as served:
            report = probed(f"{served.url}/v1")
        (finding,) = [one for one in report.findings if one.about == about]
        assert (finding.verdict, finding.change) == ("open", {})


def test_an_answer_that_is_cut_off_shows_nothing():
    """A model that thinks until the limit has not shown that it calls no tools."""
    with serve(answering(finish_reason="length", text="")) as served:
        report = probed(f"{served.url}/v1")
    assert [finding.verdict for finding in report.findings if finding.about in {"tools", "schema"}] == [
        "open",
        "open",
    ]


def answering(*, finish_reason="stop", text="Hello", headers=None, usage=True, models=(MODEL,)):
    """Handle requests as a service that answers everything in the same way, and streams nothing."""

    async def handle(request, served):
        if request.method == "GET":
            return web.json_response({"data": [{"id": name} for name in models]})
        asked = json.loads(await request.read())
        if asked["model"] not in models:
            return web.json_response({"error": {"message": "No model of this name"}}, status=404)
        document = {
            "id": "chatcmpl-1",
            "model": asked["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": finish_reason,
                }
            ],
        }
        if usage:
            document["usage"] = {"prompt_tokens": 12, "completion_tokens": 3}
        return web.json_response(document, headers=headers)

    return handle


# --- streams --------------------------------------------------------------------------------------


def test_usage_that_is_missing():
    """Neither answer tells how many tokens it took."""
    with replica(service="groq", answer=Obedient(), lacks=("usage",)) as server:
        report = probed(server)
    assert len(said(report, "usage")) == 1
    assert "stream" in said(report, "usage")[0]
    with serve(answering(usage=False)) as served:
        report = probed(f"{served.url}/v1")
    assert said(report, "usage") == ["A whole answer does not tell how many tokens it took."]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"no_stream": True}, "a whole document came"),
        ({"no_done": True}, "does not end with [DONE]"),
        ({"no_finish": True}, "no finish_reason"),
    ],
)
def test_a_stream_that_is_none(fault, words):
    """Each way in which a stream is unlike the protocol's is a finding of its own."""
    with replica(service="groq", answer=Obedient(), faults=[None, fault]) as server:
        report = probed(server)
    assert any(words in sentence for sentence in said(report, "stream"))


# --- headers and limits ---------------------------------------------------------------------------


def test_headers_that_are_absent(corrected):
    """The row says that every answer has them, and none has."""
    with replica(service="groq", answer=Obedient(), headers=False) as server:
        report = probed(server)
        assert [finding.about for finding in report.differences] == ["headers"]
        assert corrected(report).headers.on == "none"
        assert not probed(server).differences


OTHERS = (
    AllowanceHeaders(
        "requests", "day", "x-limit-requests-day", "x-remaining-requests-day", "x-reset-requests-day",
        "epoch_s", scope="model",
    ),
    AllowanceHeaders(
        "tokens", "minute", "x-limit-tokens-minute", "x-remaining-tokens-minute", "x-reset-tokens-minute",
        "seconds", scope="model",
    ),
)  # fmt: skip


def test_headers_by_other_names(corrected):
    """They are shown with their values, and what they announce is guessed from their words."""
    with replica(service="groq", answer=Obedient(), headers=Headers("every", OTHERS)) as server:
        report = probed(server)
        sentences = " ".join(said(report, "headers"))
        for line in OTHERS:
            assert f"{line.limit}: " in sentences
        assert corrected(report).headers.allowance == OTHERS
        assert not [one for one in probed(server).findings if one.about == "headers"]


def test_resets_in_another_form(corrected):
    """Durations where the row says seconds since 1970 cannot be read."""
    lines = tuple(replace(line, reset_form="epoch_ms") for line in GROQ.headers.allowance)
    with replica(service="groq", answer=Obedient(), headers=Headers("every", lines)) as server:
        report = probed(server)
        assert all('of "epoch_ms"' in sentence for sentence in said(report, "headers"))
        assert corrected(report).headers.allowance == lines
        assert not probed(server).differences


def test_another_cap(corrected):
    """What the service announces takes the place of what was recorded, of this limit only."""
    with replica(service="groq", answer=Obedient(), limits={"requests/day": 14_400}) as server:
        report = probed(server)
        (finding,) = report.differences
        assert (finding.about, "14 400" in finding.said, "1 000" in finding.said) == ("limit", True, True)
        row = corrected(report)
        assert len(row.limit) == len(GROQ.limit)
        (limit,) = [one for one in row.limit if one.cap == 14_400]
        (before,) = [one for one in GROQ.limit if (one.per, one.cap) == ("day", 1000)]
        assert (limit.models, limit.scope, limit.reset) == (before.models, before.scope, before.reset)
        assert not probed(server).differences


def test_a_limit_that_nobody_has_recorded():
    """It is no difference, and there is a line for it."""
    with replica(
        service="mistral",
        answer=Obedient(),
        limits=[Limit(metric="requests", cap=60, per="minute", scope="model")],
    ) as server:
        report = probed(server, "mistral")
    finding = next(one for one in report.findings if one.about == "limit")
    assert (finding.verdict, finding.change["limit"][0]["cap"]) == ("unsaid", 60)


def test_a_limit_of_requests_at_the_same_time(corrected):
    """It has no period, and its line neither."""
    with serve(answering(headers={"x-limit-concurrent": "3", "x-remaining-concurrent": "2"})) as served:
        report = probed(f"{served.url}/v1")
        (limit,) = [one for one in corrected(report).limit if one.metric == "concurrency"]
        assert (limit.cap, limit.per) == (3, "")
        assert not [one for one in probed(f"{served.url}/v1").findings if one.about in {"limit", "headers"}]


def test_a_header_of_which_nothing_can_be_guessed():
    """It is shown as it is, beside those that are known."""

    async def handle(request, served):
        known = {line.limit: "1000" for line in GROQ.headers.allowance}
        return await answering(headers={**known, "x-ratelimit-policy": "fair"})(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1")
    assert "The row does not have these headers: x-ratelimit-policy: fair." in said(report, "headers")


# --- models ---------------------------------------------------------------------------------------


def test_a_default_model_that_is_gone(corrected):
    """The first fallback that is there takes its place; what needs the model is not asked."""
    (other,) = GROQ.fallback_models
    with replica(service="groq", answer=Obedient(), models=[other]) as server:
        report = probed(server)
        assert len(server.requests) == 3  # the list, the answer, the mistake
        assert "not in the list" in said(report, "models")[0]
        skipped = [outcome.question for outcome in report.outcomes if outcome.skipped]
        assert skipped == ["stream", "tools", "schema"]
        assert corrected(report).default_model == other
        assert not probed(server).differences


def test_a_successor_is_one_that_is_listed(corrected):
    """A fallback that is gone too does not become the default."""
    row = catalogue().service("cloudflare")
    first, *others = row.fallback_models
    assert others, "this needs a row with two fallbacks"
    with replica(service=row, answer=Obedient(), models=others) as server:
        report = probed(server, "cloudflare")
        assert any(first in sentence for sentence in said(report, "models"))
        mended = corrected(report)
        assert (mended.default_model, mended.fallback_models) == (others[0], tuple(others[1:]))
        assert not [one for one in probed(server, "cloudflare").differences if one.about == "models"]


def test_the_first_listed_model_of_a_server_without_a_default():
    """A local server is asked for whatever it has."""
    assert not catalogue().service("ollama").default_model
    with replica(service="ollama", answer=Obedient(), models=["qwen3:4b", "llama3.2"]) as server:
        prober = Prober("ollama", base_url=server.base_url)
        report = asyncio.run(prober.run())
        asked = [request.json["model"] for request in server.requests if request.method == "POST"]
    assert (report.model, asked[:4]) == ("qwen3:4b", ["qwen3:4b"] * 4)
    assert "the first model that it lists" in " ".join(prober.plan.sentences())
    assert not report.differences


def test_a_server_without_models():
    """What needs a model is not asked."""
    with replica(service="ollama", models=[]) as server:
        report = probed(server, "ollama")
        assert len(server.requests) == 2
    assert {outcome.skipped for outcome in report.outcomes if outcome.skipped} == {
        "no model is known: name one"
    }


def test_retired_models_in_the_list():
    """No line of a file can say so: the list of models has to be kept."""
    back = "llama-3.3-70b-versatile"
    models = [MODEL, *GROQ.fallback_models, back]
    with replica(service="groq", answer=Obedient(), models=models) as server:
        report = probed(server)
        (finding,) = report.differences
        assert (back in finding.said, finding.change) == (True, {})
        assert "--refresh" in finding.advice
        assert "answers, though" in said(probed(server, model=back), "models")[1]


# --- requests and refusals ------------------------------------------------------------------------


def test_the_name_of_the_limit_of_an_answer(corrected):
    """A refused name is changed once, and each question is still asked."""
    style = replace(GROQ.request, max_tokens="max_completion_tokens", leave_out=("max_tokens",))

    async def handle(request, served):
        if request.method == "POST" and "max_tokens" in json.loads(await request.read()):
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return web.json_response({"error": {"message": message}}, status=400)
        return await answering()(request, served)

    assert style.max_tokens != GROQ.request.max_tokens
    with serve(handle) as served:
        report = probed(f"{served.url}/v1")
        assert report.requests == 7
        assert "max_tokens is refused" in said(report, "request")[0]
        assert corrected(report).request.max_tokens == "max_completion_tokens"
        again = probed(f"{served.url}/v1")
        assert (again.requests, said(again, "request")) == (6, [])


def test_usage_of_streams_that_must_not_be_asked_for(corrected):
    """A service that refuses `stream_options` is asked without."""

    async def handle(request, served):
        if request.method == "POST" and "stream_options" in json.loads(await request.read()):
            return web.json_response({"error": {"message": "Unknown field stream_options"}}, status=400)
        return await answering()(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1")
        assert corrected(report).request.leave_out == ("stream_options",)
        assert said(probed(f"{served.url}/v1"), "request") == []


def test_a_refusal_in_words_of_its_own(corrected):
    """What nobody could tell from any other refusal gets a sign."""

    async def handle(request, served):
        body = json.loads(await request.read() or b"{}")
        if body.get("model", MODEL) != MODEL:
            return web.json_response(
                {"error": {"message": f"Bad thing: {body['model']} cannot be had"}}, status=400
            )
        return await answering()(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1")
        assert "BadRequestError" in said(report, "error")[0]
        sign = corrected(report).error[0]
        assert (sign.kind, sign.match, sign.status) == ("retired", ("cannot be had",), 400)
        assert said(probed(f"{served.url}/v1"), "error") == []


@pytest.mark.parametrize(("status", "read"), [(401, "AuthenticationError"), (500, "ServerError")])
def test_a_refusal_that_means_something_else(status, read, corrected):
    """The key is right and the service works: only the model does not exist."""

    async def handle(request, served):
        body = json.loads(await request.read() or b"{}")
        if body.get("model", MODEL) != MODEL:
            return web.json_response(
                {"error": {"message": f"You must not use {body['model']}"}}, status=status
            )
        return await answering()(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1")
        assert report.ended is None
        assert f"is read as {read}" in said(report, "error")[0]
        assert corrected(report).error[0].match == ("You must not use",)
        assert said(probed(f"{served.url}/v1"), "error") == []


def test_no_secret_gets_into_a_line():
    """A service that names the account in its refusals is told apart by other words, or by none."""

    async def handle(request, served):
        body = json.loads(await request.read() or b"{}")
        if body.get("model", MODEL) != MODEL:
            message = f"{body['model']}: the one with {KEY} in org_01hzqj3k4m5n6p7q8r9s cannot have it at all"
            return web.json_response({"error": {"message": message}}, status=400)
        return await answering()(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1")
    assert said(report, "error")
    assert KEY not in json.dumps(report.plain())
    assert "org_01" not in report.toml


def test_a_refusal_in_an_unknown_form():
    """It is shown, without a line that would correct it."""

    async def handle(request, served):
        body = json.loads(await request.read() or b"{}")
        if body.get("model", MODEL) != MODEL:
            return web.Response(text='{"nope": [1, 2]}', status=400)
        return await answering()(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1")
    (finding,) = [one for one in report.findings if one.about == "error"]
    assert ("no known form" in finding.said, finding.change) == (True, {})


def test_a_service_that_takes_every_name():
    """A local server answers for its one model whatever it is called."""
    with replica(OpenAICompatible, Obedient()) as server:
        report = probed(server, "llamacpp", "some-model")
    assert said(report, "error") == ["The service answers for a model that does not exist."]
    assert not report.differences


# --- endings --------------------------------------------------------------------------------------


def test_a_service_that_is_not_there():
    """Nothing further is sent, and the error says why."""
    with replica(service="groq") as server:
        address = server.base_url
    report = probed(address)
    assert isinstance(report.ended, ProviderConnectionError)
    assert (report.requests, report.plain()["agrees"]) == (1, False)
    assert all(outcome.skipped for outcome in report.outcomes[1:])
    assert report.toml == ""


def test_a_service_that_is_silent():
    """The time for an answer is limited, and the probe ends."""
    with replica(service="groq", answer=Obedient(), faults={"delay_headers": 30}) as server:
        report = probed(server, timeout=0.3)
        assert len(server.requests) == 2
    assert isinstance(report.ended, ProviderTimeoutError)


def test_an_answer_that_breaks_off():
    """The other questions are still asked."""
    with replica(service="groq", answer=Obedient(), faults=[None, {"cut": 60}]) as server:
        report = probed(server)
        assert len(server.requests) == 6
    (finding,) = [one for one in report.findings if one.about == "stream"]
    assert (finding.verdict, report.ended) == ("open", None)


def test_a_key_that_is_refused():
    """It is sent once, and is not in the report."""
    with replica(service="groq", api_key="another-key-altogether") as server:
        report = probed(server)
        assert len(server.requests) == 1
    assert isinstance(report.ended, AuthenticationError)
    assert KEY not in json.dumps(report.plain())
    assert not report.differences


def test_no_key_at_all(monkeypatch):
    """It is missed before anything is sent."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(MissingKeyError, match="GROQ_API_KEY"):
        Prober("groq")


@pytest.mark.parametrize("fault", [{"kind": "minute"}, {"kind": "day"}])
def test_a_limit_in_the_middle(fault):
    """It is reported and not tried again; what came before stays."""
    with replica(service="groq", answer=Obedient(), faults=[None, fault]) as server:
        report = probed(server)
        assert len(server.requests) == 3
    assert isinstance(report.ended, RateLimitError)
    assert report.outcome("answer").completion is not None
    assert [outcome.question for outcome in report.outcomes if outcome.skipped] == [
        "tools",
        "schema",
        "error",
    ]
    assert report.ended.kind == fault["kind"]


def test_the_users_own_count_of_limits(tmp_path):
    """A probe is counted beside all that the user asks, and ends where there is no room."""
    own = Quota([{"metric": "requests", "per": "day", "cap": 3}], name="probed", ledger=tmp_path / "ledger")
    with replica(service="groq", answer=Obedient(), headers=False) as server:
        report = probed(server, quota=own)
        assert len(server.requests) == 1 + 3
        assert isinstance(report.ended, QuotaSpentError)
        assert report.requests == 4
        again = probed(server, quota=own)
        assert (again.requests, len(server.requests)) == (1, 5)
        other = OpenAICompatible(
            MODEL, service="groq", base_url=server.base_url, api_key=KEY, quota=own, retry=0
        )
        with pytest.raises(QuotaSpentError):
            other.complete_sync("Hi")
    assert report.outcome("tools").completion is not None


def test_what_a_service_announces_is_counted(tmp_path):
    """Of a limit that others have used, too."""
    own = Quota(name="announced", ledger=tmp_path / "ledger")
    with replica(service="groq", answer=Obedient(), limits={"requests/day": 2}) as server:
        report = probed(server, quota=own)
        assert len(server.requests) == 1 + 2
    assert isinstance(report.ended, QuotaSpentError)


def test_a_service_that_is_gone_is_not_asked():
    """A tombstone says why."""
    with pytest.raises(UsageError, match="gone since"):
        Prober("github-models", api_key=KEY)


# --- vectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "length", "words"), [(1024, 1.0, ""), (8, 1.0, "8 numbers"), (1024, 3.0, "length")]
)
def test_vectors(size, length, words, corrected):
    """Their size and length are compared with the row, which is corrected."""

    async def handle(request, served):
        if request.path.endswith("/embeddings"):
            vector = [length / size**0.5] * size
            return web.json_response({"data": [{"index": 0, "embedding": vector}]})
        return await answering(models=("mistral-small-latest",))(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1", "mistral", embeddings=True)
        (asked,) = [body for _, url, _, body in served.requests if url.endswith("/embeddings")]
        assert json.loads(asked) == {"model": "mistral-embed", "input": ["Hello"]}
        assert words in "".join(said(report, "embeddings"))
        assert bool(words) == bool(said(report, "embeddings"))
        if words:
            row = corrected(report).embeddings["mistral-embed"]
            assert (row.size, row.normalised, row.family) == (size, length == 1.0, "mistral-embed")


@pytest.mark.parametrize(("status", "verdict"), [(404, "differs"), (503, "open"), (200, "open")])
def test_a_vector_that_does_not_come(status, verdict):
    """A refusal is a difference, a failure is none."""

    async def handle(request, served):
        if request.path.endswith("/embeddings"):
            return web.json_response({"error": {"message": "No"}} if status != 200 else {}, status=status)
        return await answering(models=("mistral-small-latest",))(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1", "mistral", embeddings=True)
    (finding,) = [one for one in report.findings if one.about == "embeddings"]
    assert finding.verdict == verdict


def test_vectors_are_asked_for_in_the_dialect_of_the_service():
    """At its own address, with the key where it looks for it, and read as it answers."""

    async def handle(request, served):
        if request.path.endswith(":batchEmbedContents"):
            return web.json_response({"embeddings": [{"values": [1.0] + [0.0] * 9}]})
        return await answering(models=("gemini-3.5-flash-lite",))(request, served)

    with serve(handle) as served:
        report = probed(f"{served.url}/v1beta/openai", "gemini", embeddings=True)
        (asked,) = [one for one in served.requests if ":batchEmbedContents" in one[1]]
    _, address, headers, body = asked
    assert address.endswith("/v1beta/models/gemini-embedding-001:batchEmbedContents")
    assert headers["x-goog-api-key"] == KEY
    assert "Authorization" not in headers
    assert json.loads(body)["requests"][0]["taskType"] == "RETRIEVAL_DOCUMENT"
    assert "10 numbers" in "".join(said(report, "embeddings"))


def test_vectors_of_a_service_without():
    """It is said before anything is sent."""
    with pytest.raises(UsageError, match="no embedding model"):
        Prober("groq", api_key=KEY, embeddings=True)


def test_the_corrections_are_one_file():
    """Findings about one model are one line, and the file is read as TOML."""
    with replica(service="groq", answer="Hello", headers=False) as server:
        report = probed(server)
    document = tomllib.loads(report.toml)
    line = document["models"][MODEL]
    assert (line["tools"], line["schema"], line["cost"]) == (False, False, "allowance")
    assert document["headers"] == {"on": "none"}
