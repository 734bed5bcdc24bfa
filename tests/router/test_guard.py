"""What answers show of an account: charges, other models, limits that no free account has."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freeproviders import FreeProviders, OpenAICompatible
from freeproviders.catalogue.places import OWN
from freeproviders.errors import NotAskedWarning, PermissionDeniedError, RateLimitError
from freeproviders.router.found import find
from freeproviders.router.guard import is_same
from freeproviders.testing import Billed, replica
from freeproviders.types import Finish, Usage
from freeproviders.wire.limits import Allowance
from freeproviders.wire.openai.answer import ChatDecoder

KEY = "key-of-nobody-12345"


def looked(member, finish, usage):
    """What the guard of a member finds in an answer, in words."""
    return member.guarded.answered(finish, usage) if member.guarded else ""


def refused(member, error):
    """What it finds in a refusal."""
    return member.guarded.refused(error) if member.guarded else ""


def member(name, monkeypatch, **options):
    """A member as a router has it that was given a name."""
    for variable in ("GROQ_API_KEY", "OPENROUTER_API_KEY", "KILO_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(variable, KEY)
    return find([name], **options).members[0]


SAME = [
    ("mistral-small-latest", "mistral-small-2603"),
    ("gpt-oss-120b", "openai/gpt-oss-120b"),
    ("openai/gpt-oss-120b", "OpenAI/GPT-OSS-120B"),
    ("gemini-3.5-flash", "models/gemini-3.5-flash"),
    ("gemini-3.5-flash", "gemini-3.5-flash-001"),
    ("llama3.2", "llama3.2:latest"),
    ("openai/gpt-oss-20b:free", "openai/gpt-oss-20b"),
    ("gpt-oss:120b", "gpt-oss-120b"),
    ("@cf/openai/gpt-oss-120b", "gpt-oss-120b"),
    ("deepseek-v4-flash", "deepseek-v4-flash-0731"),
    ("gpt-4o", "gpt-4o-2024-08-06"),
    ("claude-3-haiku", "claude-3-haiku-20240307"),
    ("Qwen/Qwen3-8B", "qwen3-8b-fp8"),
    ("qwen3-8b", "qwen3-8b-q4_k_m"),
    ("command-a-03-2025", "command-a"),
    ("gemini-3-flash", "gemini-3-flash-preview-09-2025"),
    ("gemini_3_flash", "gemini-3-flash"),
    ("b-c", "accounts/fireworks/models/b-c"),
]
OTHER = [
    ("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    ("gpt-oss:120b", "gpt-oss:20b"),
    ("gemini-3.5-flash", "gemini-3.5-flash-lite"),
    ("gemini-3.5-flash", "gemini-3.1-flash"),
    ("glm-4.5-flash", "glm-4.5"),
    ("mistral-small-latest", "mistral-large-latest"),
    ("gpt-4o", "gpt-4o-mini"),
    ("gpt-5", "gpt-5.1"),
    ("llama-3.1-8b", "llama-3.1-70b"),
    ("openrouter/free", "openai/gpt-6"),
    ("o1", "o3"),
    ("grok-4", "grok-4-fast"),
    ("qwen3.6-27b", "qwen3.8-27b"),
    ("phi-4", "phi-3"),
]


@pytest.mark.parametrize(("asked", "said"), SAME)
def test_spellings_of_one_model(asked, said):
    assert is_same(asked, said)
    assert is_same(said, asked)


@pytest.mark.parametrize(("asked", "said"), OTHER)
def test_names_of_two_models(asked, said):
    assert not is_same(asked, said)
    assert not is_same(said, asked)


def recorded():
    """Each model that a recorded answer names, with the one that was asked."""
    for path in sorted(OWN.glob("*.json")):
        for one in json.loads(path.read_text(encoding="utf-8"))["exchanges"]:
            if one["status"] == 200 and one.get("model"):
                body = one["body"] if isinstance(one["body"], str) else json.dumps(one["body"])
                for said in set(re.findall(r'"model": ?"([^"]+)"', body)):
                    yield path.stem, one["model"], said


def test_recorded_answers_name_the_model_that_was_asked():
    """No service whose answers stand beside its row would be taken out for the name in them."""
    found = list(recorded())
    assert len(found) > 10
    for service, asked, said in found:
        assert is_same(asked, said), (service, asked, said)


@given(st.text(max_size=400), st.text(max_size=400))
def test_any_two_names_can_be_compared(asked, said):
    assert is_same(asked, asked)
    assert is_same(asked, said) == is_same(said, asked)


def test_another_model_is_all_right_where_it_is_free_too(monkeypatch):
    one = member("openrouter/openrouter/free", monkeypatch)
    for said in ("nvidia/nemotron-3-super-120b-a12b:free", "nvidia/nemotron-3-super-120b-a12b", "a/new:free"):
        assert looked(one, Finish(model=said), Usage(1, 1)) == ""
    wrong = looked(one, Finish(model="openai/gpt-6"), Usage(1, 1))
    assert "openai/gpt-6 answered in place of openrouter/free" in wrong
    # The service itself says that it was free.
    assert looked(one, Finish(model="new/name"), Usage(1, 1, cost=0.0)) == ""


def test_an_allowance_in_place_of_what_never_costs_is_no_consent(monkeypatch):
    one = member("groq/openai/gpt-oss-120b", monkeypatch)
    assert looked(one, Finish(model="openai/gpt-oss-20b"), Usage(1, 1)) == ""
    assert looked(one, Finish(model="openai/gpt-6"), Usage(1, 1))
    never = dataclasses.replace(one, guarded=dataclasses.replace(one.guarded, cost="never"))
    assert looked(never, Finish(model="openai/gpt-oss-20b"), Usage(1, 1))


def test_a_charge_takes_a_member_out(monkeypatch):
    one = member("openrouter/openai/gpt-oss-20b:free", monkeypatch)
    right = Finish(model="openai/gpt-oss-20b:free")
    assert looked(one, right, Usage(1, 1)) == ""
    assert looked(one, right, None) == ""
    assert looked(one, right, Usage(1, 1, cost=0.0)) == ""
    assert "has cost 0.0004" in looked(one, right, Usage(1, 1, cost=0.0004))
    # Hugging Face's allowance is an amount of money.
    in_money = member("huggingface/openai/gpt-oss-120b", monkeypatch)
    assert looked(in_money, Finish(model="openai/gpt-oss-120b"), Usage(1, 1, cost=0.0004)) == ""


@pytest.mark.parametrize("paid", [True, False])
def test_who_may_cost_is_not_looked_at(monkeypatch, paid):
    name = "openrouter/openai/gpt-oss-20b:free" if paid else "embedded"
    one = member(name, monkeypatch, paid=paid)
    assert looked(one, Finish(model="openai/gpt-6"), Usage(1, 1, cost=1.0)) == ""


def test_a_limit_above_the_free_one_looks_paid(monkeypatch):
    one = member("groq/openai/gpt-oss-120b", monkeypatch)

    def said(*allowances):
        return looked(one, Finish(model="openai/gpt-oss-120b", allowances=allowances), Usage(1, 1))

    assert said(Allowance("requests", "day", 1000, scope="model")) == ""
    assert said(Allowance("requests", "day", 1200, scope="model")) == ""
    assert said(Allowance("requests", "day", 250, scope="model")) == ""
    assert said(Allowance("tokens", "minute", None, 5, scope="model")) == ""
    assert (
        said(Allowance("requests", "week", 10**6, scope="model")) == ""
    )  # of which nobody knows the free one
    assert "looks paid" in said(Allowance("requests", "day", 500_000, scope="model"))
    assert "looks paid" in said(
        Allowance("requests", "day", 1000, scope="model"),
        Allowance("tokens", "minute", 250_000, scope="model"),
    )
    error = RateLimitError("Too many.")
    error.allowances = (Allowance("requests", "", 500_000, scope="model"),)
    assert refused(one, error) == ""  # of which period it is, nobody says
    error.kind = "day"
    assert "looks paid" in refused(one, error)


def test_a_higher_limit_of_what_never_costs_is_no_sign(monkeypatch):
    """OpenRouter has 1000 free requests a day for whoever once bought credits."""
    one = member("openrouter/openrouter/free", monkeypatch)
    allowance = Allowance("requests", "day", 1000, scope="free-models")
    assert looked(one, Finish(model="openrouter/free", allowances=(allowance,)), Usage(1, 1)) == ""


# --- over the wire --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({}, None),
        ({"cost": 0}, 0.0),
        ({"cost": 0.0012}, 0.0012),
        ({"cost": "0.5"}, 0.5),
        ({"cost_usd_total": 0.25}, 0.25),
        ({"estimated_cost": 0.125}, 0.125),
        ({"cost": {"total_cost": 0.006}}, 0.006),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 2}}, 2.0),
        ({"cost": 0, "is_byok": False, "cost_details": {"upstream_inference_cost": 2}}, 0.0),
        ({"cost": float("nan")}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "much"}, None),
        ({"cost": []}, None),
    ],
)
def test_what_an_answer_has_cost_is_read(usage, cost):
    body = {
        "model": "m",
        "choices": [{"message": {"content": "Yes"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, **usage},
    }
    decoder = ChatDecoder()
    decoder.feed(json.dumps(body).encode())
    decoder.close()
    assert decoder.failure is None
    assert decoder.usage.cost == cost


@pytest.mark.parametrize("stream", [True, False])
def test_paid_fallbacks_are_switched_off_in_the_request(monkeypatch, stream):
    """A billed account at OpenRouter: without the highest price of zero another model would answer."""
    with replica(
        service="openrouter", answer="Yes", billed=Billed(model="openai/gpt-6", cost=0.01)
    ) as server:
        monkeypatch.setenv("OPENROUTER_API_BASE", server.base_url)
        one = member("openrouter/openai/gpt-oss-20b:free", monkeypatch)
        options = {"provider": {"sort": "throughput", "max_price": {"prompt": 9}}}
        done = one.backend.complete_sync("Hi", stream=stream, extra_body=options)
        assert done.finish.model == "openai/gpt-oss-20b:free"
        assert looked(one, done.finish, done.usage) == ""
        sent = server.requests[-1].json["provider"]
        assert sent["sort"] == "throughput"
        assert set(sent["max_price"].values()) == {0}
        # Who asks without a router, or has said that it may cost, asks as before.
        plain = OpenAICompatible("openai/gpt-oss-20b:free", service="openrouter")
        assert plain.complete_sync("Hi").finish.model == "openai/gpt-6"
        assert "provider" not in server.requests[-1].json
        may_cost = member("openrouter/openai/gpt-oss-20b:free", monkeypatch, paid=True)
        assert may_cost.backend.complete_sync("Hi").usage.cost == 0.01


@pytest.mark.parametrize("stream", [True, False])
def test_a_billed_account_shows_itself(monkeypatch, stream):
    billed = Billed(cost=0.002, anyway=True)
    with replica(service="openrouter", answer="Yes", billed=billed) as server:
        monkeypatch.setenv("OPENROUTER_API_BASE", server.base_url)
        one = member("openrouter/openai/gpt-oss-20b:free", monkeypatch)
        done = one.backend.complete_sync("Hi", stream=stream)
        assert done.usage.cost == 0.002
        assert "has cost 0.002" in looked(one, done.finish, done.usage)
    with replica(service="groq", answer="Yes", limits={"requests/day": 500_000}) as server:
        monkeypatch.setenv("GROQ_API_BASE", server.base_url)
        one = member("groq/openai/gpt-oss-120b", monkeypatch)
        done = one.backend.complete_sync("Hi", stream=stream)
        assert "looks paid" in looked(one, done.finish, done.usage)
    with replica(service="groq", answer="Yes") as server:
        monkeypatch.setenv("GROQ_API_BASE", server.base_url)
        one = member("groq/openai/gpt-oss-120b", monkeypatch)
        done = one.backend.complete_sync("Hi", stream=stream)
        assert done.finish.allowances
        assert looked(one, done.finish, done.usage) == ""


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_more_is_sent_after_an_account_has_shown_itself(monkeypatch, stream):
    """Neither in another question nor where the first answer is asked for again."""
    with replica(service="openrouter", answer="no call", billed=Billed(cost=0.01, anyway=True)) as server:
        monkeypatch.setenv("OPENROUTER_API_BASE", server.base_url)
        one = member("openrouter/openai/gpt-oss-20b:free", monkeypatch)
        tool = {"name": "go", "parameters": {"type": "object", "properties": {}}}
        with pytest.raises(PermissionDeniedError, match=r"has cost 0\.01"):
            one.backend.complete_sync("Hi", tools=[tool], tool_choice="go", stream=stream)
        with pytest.raises(PermissionDeniedError, match=r"has cost 0\.01"):
            one.backend.with_model("google/gemma-4-31b-it:free").complete_sync("Hi")
        assert len(server.requests) == 1
    faults = {"status": 429, "kind": "minute"}
    with replica(service="groq", limits={"requests/day": 500_000}, faults=faults) as server:
        monkeypatch.setenv("GROQ_API_BASE", server.base_url)
        one = member("groq/openai/gpt-oss-120b", monkeypatch)
        with pytest.raises(PermissionDeniedError, match="looks paid"):
            one.backend.complete_sync("Hi", stream=stream, wait_up_to=60)
        assert len(server.requests) == 1


def test_all_members_of_an_account_are_shut_at_once(monkeypatch):
    with replica(service="groq", answer="Yes", billed=Billed(model="openai/gpt-6")) as server:
        monkeypatch.setenv("GROQ_API_BASE", server.base_url)
        monkeypatch.setenv("GROQ_API_KEY", KEY)
        best, second = find(["groq"]).members
        assert best.backend.complete_sync("Hi").text == "Yes"
        with pytest.raises(PermissionDeniedError, match="openai/gpt-6 answered"):
            second.backend.complete_sync("Hi")
        assert len(server.requests) == 1


def test_headers_of_an_answer_that_broke_off_count(monkeypatch):
    """Before its first content it would be asked for again."""
    faults = [{"cut": 0}, {"cut": 0}]
    with replica(service="groq", answer="Yes", limits={"requests/day": 500_000}, faults=faults) as server:
        monkeypatch.setenv("GROQ_API_BASE", server.base_url)
        one = member("groq/openai/gpt-oss-120b", monkeypatch)
        with pytest.raises(PermissionDeniedError, match="looks paid"):
            one.backend.complete_sync("Hi", stream=True)
        assert len(server.requests) == 1


async def test_a_router_asks_no_billed_account_again_and_says_why(monkeypatch, tmp_path):
    """Another process, which has only the ledger, does not ask it either; who may cost money does."""
    monkeypatch.setenv("FREEPROVIDERS_QUOTA", str(tmp_path / "ledger.sqlite"))
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with (
        replica(service="groq", answer="Yes", limits={"requests/day": 500_000}) as server,
        replica(OpenAICompatible, answer="mine") as own,
    ):
        monkeypatch.setenv("GROQ_API_BASE", server.base_url)
        mine = OpenAICompatible("mine", base_url=own.base_url)
        router = FreeProviders("groq", mine)
        with pytest.warns(
            NotAskedWarning, match=r"groq/openai/gpt-oss-120b is not asked any more\. .*looks paid"
        ):
            assert (await router.complete("Hi")).text == "Yes"
        answer = await router.complete("Hi")
        assert answer.text == "mine"
        assert "looks paid" in answer.finish.trail[0].error
        assert len(server.requests) == 1
        assert (await FreeProviders("groq", mine).complete("Hi")).text == "mine"
        assert len(server.requests) == 1
        assert (await FreeProviders("groq", mine, paid=True).complete("Hi")).text == "Yes"
