"""The log of the core: what it tells, what it never tells, and that it is silent unless asked."""

import asyncio
import logging
import subprocess
import sys
from contextlib import suppress

import pytest

from freeproviders import ChatgptFree, FlowGpt, FreeProviders, OpenAICompatible, Quota, Retry, journal
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.errors import FreeProvidersError, ServerError
from freeproviders.testing import replica

PROMPT, ANSWER = "violet-PROMPT-words", "amber-ANSWER-words"
KEY, COOKIE, HEADER, OPTION = "sk-KEY1234567890", "COOKIE12345678", "HEADER12345678", "OPTION12345678"
SECRETS = (PROMPT, ANSWER, KEY, COOKIE, HEADER, OPTION)
ONCE_MORE = Retry(attempts=2, first=0, jitter=0)
CITY = {
    "type": "json_schema",
    "json_schema": {
        "name": "city",
        "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ONE_A_DAY = {"metric": "requests", "cap": 1, "per": "day"}
TOOL = {
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@pytest.fixture
def lines(caplog):
    """Listen to every level; return a function that gives the lines so far."""
    caplog.set_level(logging.DEBUG, logger="freeproviders")
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("freep")]


def provider(server, **more):
    more = {"retry": ONCE_MORE, "api_key": KEY} | more
    return OpenAICompatible("m", base_url=server.base_url, **more)


# --- what it tells --------------------------------------------------------------------------------


def test_the_life_of_a_request(lines):
    """A request is five lines: address, sizes and headers, status, first content, end."""
    with replica(OpenAICompatible, answer=["Hel", "lo"]) as server:
        provider(server).complete_sync(PROMPT)
    (sent, sent_details, status, received, content, end) = lines()
    number = sent.partition(" ")[0]
    assert sent == f"{number} POST {server.base_url}/chat/completions (OpenAICompatible model=m)"
    assert "Authorization" in sent_details
    assert status.startswith(f"{number} HTTP 200 after ")
    assert "Content-Type" in received
    assert content.startswith(f"{number} first content after ")
    assert end.startswith(f"{number} end (stop) after ")
    assert " bytes" in end
    assert "tokens" in end


def test_a_retry_says_why(lines):
    """A failure, the wait and its reason, and the second attempt."""
    with replica(OpenAICompatible, faults=[{"status": 503, "retry_after": 0}]) as server:
        provider(server).complete_sync(PROMPT)
    told = "\n".join(lines())
    assert "failed after" in told
    assert "m: attempt 1 failed, again in 0.00 s: ServerError (HTTP 503" in told
    assert "attempt=2" in told
    assert sum("end (stop)" in line for line in lines()) == 1


async def test_a_caller_who_leaves(lines):
    """A stream that is left early is no failure."""
    with replica(OpenAICompatible, answer="word " * 50, faults={"pace": 0.01}) as server:
        async with asyncio.timeout(10):
            stream = provider(server).stream(PROMPT)
            await anext(stream)
            await stream.aclose()
    assert "closed by the caller" in lines()[-1]
    assert not any("failed" in line or "end" in line for line in lines())


def test_hops_of_a_router(lines):
    """Who failed, why, and who answered."""
    with (
        replica(OpenAICompatible, faults={"status": 500}) as bad,
        replica(OpenAICompatible, answer="here") as good,
    ):
        FreeProviders(provider(bad), provider(good)).complete_sync(PROMPT)
    told = [line for line in lines() if line.startswith("FreeProviders")]
    assert len(told) == 2
    assert "failed after" in told[0]
    assert "HTTP 500" in told[0]
    assert "answered in" in told[1]


def test_the_ledger_refuses(lines, tmp_path):
    """What is not sent has a line, too."""
    quota = Quota([ONE_A_DAY], ledger=tmp_path / "ledger")
    with replica(OpenAICompatible) as server:
        one = provider(server, quota=quota)
        one.complete_sync(PROMPT)
        with pytest.raises(FreeProvidersError):
            one.complete_sync(PROMPT)
    assert "OpenAICompatible m: not sent: QuotaSpentError" in lines()[-1]


def test_output_that_is_asked_for_again(lines):
    """A repair is one line, in none of the model's words."""
    answers = iter([f"not an object, {ANSWER}", '{"city": "Paris"}'])
    with replica(OpenAICompatible, answer=lambda _: next(answers)) as server:
        provider(server, json_schema=False).complete_sync(PROMPT, response_format=CITY)
    (line,) = [line for line in lines() if "asked again" in line]
    assert "StructuredOutputError" in line


# --- what it never tells --------------------------------------------------------------------------


def scenarios(tmp_path):
    """Ask in many ways, each with secrets in all places, and answers that repeat all of them."""
    every = " ".join(SECRETS)
    kinds = [
        None,
        {"status": 400, "error": every},
        {"status": 401, "error": every, "headers": {"X-Echo": every, "Set-Cookie": f"a={COOKIE}"}},
        {"status": 429, "error": every, "retry_after": 0},
        {"html": True},
        {"error": every},
        {"error": every, "error_at": 1},
        {"cut": 60},
        {"drop": True},
        {"empty": True},
        {"redirect": f"http://user:{KEY}@127.0.0.1:9/{PROMPT}?q={KEY}"},
    ]
    options = {
        "headers": {"X-Api-Token": HEADER, "X-Other": HEADER},
        "cookies": {"session": COOKIE},
        "retry": ONCE_MORE,
    }
    for fault in kinds:
        with replica(OpenAICompatible, [ANSWER, every], faults=fault) as server:
            one = provider(server, **options)
            asks = [
                lambda one=one: one.complete_sync(PROMPT, stop=[ANSWER[3:]], secret_token=OPTION),
                lambda one=one: list(one.stream_sync([{"role": "system", "content": PROMPT}])),
                lambda one=one: one.complete_sync(PROMPT, tools=[TOOL], tool_choice="required"),
                lambda one=one: FreeProviders(one, max_requests=1).complete_sync(PROMPT, wait_up_to=0),
                lambda one=one: one.list_models_sync(),
            ]
            for ask in asks:
                with suppress(FreeProvidersError):
                    ask()
            with suppress(FreeProvidersError):
                OpenAICompatibleEmbedder(
                    "m", base_url=server.base_url, api_key=KEY, headers=options["headers"], retry=0
                ).embed_sync([PROMPT])
    for kind in (FlowGpt, ChatgptFree):
        with replica(kind, every) as server:
            kind(base_url=server.base_url, cookies={"session": COOKIE}).complete_sync(PROMPT)
    quota = Quota([ONE_A_DAY], ledger=tmp_path / "ledger")
    with replica(OpenAICompatible) as server, suppress(FreeProvidersError):
        for _ in range(2):
            provider(server, quota=quota).complete_sync(PROMPT)
    with suppress(FreeProvidersError):
        OpenAICompatible(
            "m", base_url="http://127.0.0.1:9/v1", proxy=f"http://me:{KEY}@127.0.0.1:9"
        ).complete_sync(PROMPT)


def test_no_secret_and_no_text_reaches_a_log(caplog, tmp_path):
    """Keys, cookies, headers, options, prompts, answers, and services that repeat them all."""
    caplog.set_level(1, logger="freeproviders")
    scenarios(tmp_path)
    assert len(caplog.records) > 100
    for record in caplog.records:
        if not record.name.startswith("freeproviders"):
            continue
        shown = repr(record.__dict__)  # arguments, exceptions and extras, not the message alone
        for secret in SECRETS:
            assert secret not in shown, (record.name, record.getMessage())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:pw@host:80/a?key=abc&alt=sse#x", "http://host:80/a?key=***&alt=***"),
        ("http://host/a", "http://host/a"),
        ("http://host/a?abc&alt=sse", "http://host/a?***&alt=***"),
        ("http://host/sk-KEY1234567890/x", "http://host/***/x"),
        ("http://[bad/", "(an address that cannot be read)"),
        ("http://host/a\nfake line", "http://host/afake line"),
    ],
)
def test_addresses(url, shown):
    """Logins, the values of queries and known secrets are not shown."""
    assert journal.address(url, [KEY]) == shown


def test_a_name_cannot_forge_a_line(lines):
    """A model's name with a line break stays on its line."""
    with replica(OpenAICompatible) as server, suppress(FreeProvidersError):
        OpenAICompatible("m\n#9 HTTP 200 after 0.10 s", base_url=server.base_url).complete_sync("x")
    assert lines()
    assert all("\n" not in line for line in lines())


# --- silent unless asked --------------------------------------------------------------------------


def test_nothing_is_printed_unasked():
    """A program without any logging of its own sees nothing, not even of failures."""
    program = (
        "from freeproviders import OpenAICompatible\n"
        "try: OpenAICompatible('m', base_url='http://127.0.0.1:9/v1', retry=0).complete_sync('x')\n"
        "except Exception as e: print(type(e).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("ProviderConnectionError\n", "")


@pytest.mark.parametrize("listens", [False, True])
async def test_parts_cost_nothing(listens, monkeypatch, caplog):
    """The log is looked at as often for a long answer as for a short one."""
    caplog.set_level(logging.INFO if listens else logging.WARNING, logger="freeproviders")
    looks = []
    for name in ("http", "router", "tools", "quota"):
        logger = getattr(journal, name)
        looked = logger.isEnabledFor
        monkeypatch.setattr(logger, "isEnabledFor", lambda level, f=looked: looks.append(level) or f(level))
    counts = []
    for pieces in (1, 300):
        with replica(OpenAICompatible, ["word "] * pieces, faults={"chunk": 50}) as server:
            looks.clear()
            async for _ in FreeProviders(provider(server)).stream("x"):
                pass
            counts.append(len(looks))
    assert counts[0] == counts[1] <= (12 if listens else 5)


async def test_an_error_is_raised_as_before(lines):
    """The log changes nothing of what is raised."""
    with replica(OpenAICompatible, faults={"status": 500}) as server:
        with pytest.raises(ServerError) as caught:
            await provider(server).complete("x")
    assert caught.value.attempts == 2
    assert sum("attempt 1 failed" in line for line in lines()) == 1
