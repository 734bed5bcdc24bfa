"""Who is asked: what a caller names, what is found, who is left out and why."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from freeproviders import Embedded, FlowGpt, FreeProviders, OpenAICompatible, consent
from freeproviders.catalogue import catalogue, look_again
from freeproviders.catalogue.pins import PINS, VARIABLES
from freeproviders.errors import MissingKeyError, NotAskedWarning, UnknownServiceError, UsageError
from freeproviders.router.found import find
from freeproviders.router.member import Found, Later
from tests.catalogued import HOUSE

KEY = "key-of-nobody-12345"


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    """A machine with no key, no file of the user's and no Ollama."""
    for name in VARIABLES | {"FREEPROVIDERS_CONFIRMED", "FREEPROVIDERS_MODEL"}:
        monkeypatch.delenv(name, raising=False)
    for name in catalogue().ids:
        monkeypatch.delenv(f"{name.upper().replace('-', '_')}_API_BASE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("OLLAMA_API_BASE", "http://127.0.0.1:9/v1")  # where nobody listens


def names(found):
    return [member.name for member in found.members]


def why(found):
    return {one.name: one.reason for one in found.skipped}


# --- found ----------------------------------------------------------------------------------------


def test_a_machine_with_nothing_has_the_embedded_model():
    found = find()
    assert names(found) == ["embedded"]
    assert found.members[0].place == "embedded"
    assert not found.members[0].named
    asyncio.run(found.complete())
    assert names(found) == ["embedded"]
    assert "No server answers" in why(found)["ollama"]


def test_what_never_costs_is_asked_with_a_key(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    found = find(privacy="any")
    assert names(found)[0] == "openrouter/openrouter/free"
    assert names(found)[-1] == "embedded"
    assert {member.cost for member in found.members[:-1]} == {"never"}
    assert [member.rank for member in found.members] == [0, 1, 2, 3, 0]


def test_an_allowance_is_asked_after_a_confirmation(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    found = find(privacy="any")
    assert names(found) == ["embedded"]
    assert "freeproviders services confirm groq" in why(found)["groq"]
    for confirmed in (["groq"], ["Groq"]):
        found = find(privacy="any", confirmed=confirmed)
        assert names(found) == ["groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-20b", "embedded"]
    monkeypatch.setenv("FREEPROVIDERS_CONFIRMED", " mistral, groq ")
    assert names(find(privacy="any"))[0] == "groq/openai/gpt-oss-120b"


def test_an_unknown_confirmation_is_refused(monkeypatch):
    with pytest.raises(UnknownServiceError, match=r"Did you mean 'groq'\?.*in confirmed"):
        find(confirmed=["grok"])
    monkeypatch.setenv("FREEPROVIDERS_CONFIRMED", "grok")
    with pytest.raises(UnknownServiceError, match=r"Did you mean 'groq'\?.*in FREEPROVIDERS_CONFIRMED"):
        find()


def test_a_limit_that_nobody_recorded_is_no_allowance(monkeypatch):
    monkeypatch.setenv("PUBLICAI_API_KEY", KEY)
    found = find(privacy="any", confirmed=["publicai"])
    assert names(found) == ["embedded"]
    assert "limits are not recorded" in why(found)["publicai"]


def test_who_trains_is_left_out_unless_all_may_see(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    found = find(confirmed=["gemini"])
    assert names(found) == ["embedded"]
    assert why(found)["gemini"].startswith("It trains on prompts. ")
    assert why(found)["openrouter"].startswith("It trains on prompts unless the account says no. ")
    assert why(find(privacy="local", confirmed=["gemini"]))["gemini"] == "It is not on this machine."


def test_terms_for_evaluation_want_a_confirmation_of_the_use(monkeypatch):
    monkeypatch.setenv("NVIDIA_API_KEY", KEY)
    assert "for evaluation only" in why(find(privacy="any"))["nvidia"]
    assert names(find(privacy="any", confirmed=["nvidia"]))[0].startswith("nvidia/")


def test_keyless_services_are_found_where_allowed(monkeypatch):
    assert names(find(privacy="any")) == ["embedded"]
    found = find(privacy="any", allow=["llm7", "flow-gpt", "ovhcloud"])
    assert {name.partition("/")[0] for name in names(found)} == {"llm7", "flow-gpt", "ovhcloud", "embedded"}
    # With a key there is an account, which may be billed.
    monkeypatch.setenv("LLM7_API_KEY", KEY)
    monkeypatch.setenv("OVHCLOUD_API_KEY", KEY)
    found = find(privacy="any", allow=["llm7", "ovhcloud"], confirmed=["ovhcloud"])
    assert names(found) == ["embedded"]
    assert "services confirm llm7" in why(found)["llm7"]
    assert "with one is billed" in why(found)["ovhcloud"]


def test_a_service_that_is_not_for_the_router_is_asked_where_allowed(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", KEY)
    assert "allow=['huggingface']" in why(find(privacy="any"))["huggingface"]
    found = find(privacy="any", allow=["huggingface"], confirmed=["huggingface"])
    assert names(found)[0] == "huggingface/openai/gpt-oss-120b"


def test_what_is_gone_is_said(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    assert (
        "Nothing is free there since 2026-08-17"
        in why(find(privacy="any", confirmed=["cerebras"]))["cerebras"]
    )


def test_the_best_model_of_each_service_comes_before_any_second(monkeypatch):
    for name in ("GROQ_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    found = find(privacy="any", confirmed=["groq", "gemini"])
    ranks = [member.rank for member in found.members[:-1]]
    assert ranks == sorted(ranks)
    assert ranks[:3] == [0, 0, 0]
    preferred = find(privacy="any", confirmed=["groq", "gemini"], prefer=["gemini", "groq/qwen/qwen3.8-27b"])
    assert [name.partition("/")[0] for name in names(preferred)][:4] == ["gemini"] * 4
    assert names(preferred)[4] == "groq/qwen/qwen3.8-27b"
    only = find(
        privacy="any", confirmed=["groq", "gemini"], exclude=["openrouter", "groq/openai/gpt-oss-20b"]
    )
    assert "groq/openai/gpt-oss-120b" in names(only)
    assert not [name for name in names(only) if name.startswith("openrouter") or name.endswith("oss-20b")]


@pytest.mark.parametrize("argument", ["prefer", "exclude", "allow"])
def test_a_misspelt_name_is_refused(argument):
    with pytest.raises(UnknownServiceError, match=rf"Did you mean 'groq'\?.*The name is in {argument}\."):
        find(**{argument: ["grok"]})
    with pytest.raises(UsageError, match=f"{argument} must be a list"):
        find(**{argument: "groq"})


def test_a_variable_that_is_missing_in_an_address_is_said(monkeypatch):
    monkeypatch.setenv("CLOUDFLARE_API_TOKEN", KEY)
    monkeypatch.delenv("CLOUDFLARE_ACCOUNT_ID", raising=False)
    assert "CLOUDFLARE_ACCOUNT_ID" in why(find(privacy="any", confirmed=["cloudflare"]))["cloudflare"]


def test_a_file_of_the_user_adds_a_member(monkeypatch, tmp_path):
    (tmp_path / "corner.toml").write_text(
        'name = "Corner"\nbase_url = "https://corner.example/v1"\nkeys = ["CORNER_KEY"]\nauto = true\n'
        'default_model = "one"\nchecked = 2026-11-01\nsource = "mine"\nprivacy = { trains = "no" }\n'
        '[models]\n"one" = { cost = "never" }\n'
    )
    (tmp_path / "torn.toml").write_text('name = "Torn"\nbase')
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", str(tmp_path))
    monkeypatch.setenv("CORNER_KEY", KEY)
    look_again()
    try:
        found = find()
        assert names(found) == ["corner/one", "embedded"]
        assert "torn.toml" in why(found)["torn"]
    finally:
        monkeypatch.delenv("FREEPROVIDERS_SERVICES")
        look_again()


def test_nothing_of_a_key_is_shown(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    found = find(privacy="any")
    assert found.members[0].key.account == KEY
    assert KEY not in repr(found)
    assert KEY not in repr(found.members[0].key)


def test_each_service_of_ours_is_looked_at_when_its_key_is_there():
    """The variables that decide which rows are read are those of the rows."""
    for row in catalogue():
        for variable in () if row.local else row.keys:
            assert variable in PINS[row.id].variables


# --- named ----------------------------------------------------------------------------------------


def test_a_service_stands_for_its_models(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    found = find(["groq"])
    assert names(found) == ["groq/openai/gpt-oss-120b", "groq/openai/gpt-oss-20b"]
    assert [member.rank for member in found.members] == [0, 1]
    assert all(member.named and member.place == "service" for member in found.members)
    assert names(find(["groq/qwen/qwen3.8-27b"])) == ["groq/qwen/qwen3.8-27b"]


def test_members_keep_their_order(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    given = ["embedded", "groq/openai/gpt-oss-20b", FlowGpt(), "ollama/llama3.2", "embedded/smollm2-135m"]
    found = find(given)
    assert names(found) == [
        "embedded",
        "groq/openai/gpt-oss-20b",
        "flow-gpt/gpt-3.5-turbo",
        "ollama/llama3.2",
        "embedded",
    ]
    assert [member.place for member in found.members] == [
        "embedded",
        "service",
        "service",
        "local",
        "embedded",
    ]
    assert found.members[-1].answers_to("embedded/smollm2-135m")
    assert names(find(given, prefer=["ollama"]))[:2] == ["ollama/llama3.2", "embedded"]


@pytest.mark.parametrize(
    ("member", "error", "words"),
    [
        ("groq", MissingKeyError, r"Set GROQ_API_KEY.*It is the member 'groq'\."),
        ("grok", UnknownServiceError, r"Did you mean 'groq'\?.*It is the member 'grok'\."),
        ("github-models", UsageError, "It is gone since"),
        ("embedded/none", UsageError, "There is no embedded model named"),
        ("openai-compatible", UsageError, "base_url is required"),
        ("", UsageError, "name is empty"),
        (7, UsageError, "A member is a backend"),
        (Embedded, UsageError, "not a class"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(member, error, words):
    with pytest.raises(error, match=words):
        find([member])


def test_what_costs_money_is_asked_where_it_is_named_with_paid(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    backend = OpenAICompatible("openai/gpt-6", service="openrouter")
    for member in ("openrouter/openai/gpt-6", "groq/unheard-of", backend):
        with pytest.raises(UsageError, match=r"money\. Pass paid=True"):
            find([member])
        found = find([member], paid=True)
        assert found.members[0].paid
    # Also where only the address tells which service it is.
    hidden = OpenAICompatible("openai/gpt-6", base_url="https://openrouter.ai/api/v1", api_key=KEY)
    with pytest.raises(UsageError, match="money"):
        find([hidden])


def test_paid_is_no_word_about_what_is_found(monkeypatch):
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    monkeypatch.setenv("OVHCLOUD_API_KEY", KEY)
    found = find(privacy="any", paid=True, confirmed=["cerebras", "ovhcloud"])
    assert names(found) == ["embedded"]


def test_privacy_holds_for_named_members_where_it_is_said(monkeypatch):
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    for privacy in ("local", "no-training"):
        for member in ("gemini", FlowGpt()):
            with pytest.raises(UsageError):
                find([member], privacy=privacy)
        here = OpenAICompatible("any", base_url="http://127.0.0.1:9/v1")
        assert len(find(["embedded", here], privacy=privacy).members) == 2


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "qwen3:cloud"])
def test_ollamas_cloud_is_neither_local_nor_free(model):
    with pytest.raises(UsageError, match="costs money"):
        find([f"ollama/{model}"])
    assert find([f"ollama/{model}"], paid=True).members[0].place == "service"
    with pytest.raises(UsageError, match="sends prompts on"):
        find([f"ollama/{model}"], paid=True, privacy="no-training")


def test_a_frameworks_model_is_led_to_its_adapter():
    from langchain_core.language_models.fake_chat_models import FakeListChatModel
    from llama_index.core.llms import MockLLM

    with pytest.raises(UsageError, match=r"langchain_freeproviders\.\w+"):
        find([FakeListChatModel(responses=["a"])])
    with pytest.raises(UsageError, match=r"llama_index_freeproviders\.\w+"):
        find([MockLLM()])


def test_an_address_is_led_to_the_class_that_takes_one():
    with pytest.raises(UsageError, match=r"pass OpenAICompatible\(model, base_url=\.\.\.\)"):
        find(["http://127.0.0.1:9/v1"])


def test_nobody_to_ask_is_said_with_reasons(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with pytest.raises(UsageError, match=r"There is no backend to ask\..*openrouter: It trains"):
        find(exclude=["embedded", "ollama"])


# --- where it is called ---------------------------------------------------------------------------


async def test_members_are_found_inside_a_coroutine_without_blocking(monkeypatch, tmp_path):
    """Files are read there as an import reads them, which guards against blocking calls allow."""
    await asyncio.to_thread(consent.confirm, "groq")
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    await asyncio.to_thread((tmp_path / "house.toml").write_text, HOUSE)
    monkeypatch.setenv("FREEPROVIDERS_SERVICES", str(tmp_path))
    look_again()
    try:
        monkeypatch.setenv("HOUSE_KEY", KEY)
        found = find(privacy="any", allow=["flow-gpt", "house"], exclude=["house/house-small"])
        assert names(found)[0] == "groq/openai/gpt-oss-120b"
        await found.complete()
        assert "house/house-blend" in names(found)
        other = find(privacy="any", exclude=["openrouter"])
        assert names(other)[0] == "groq/openai/gpt-oss-120b"
        assert names(find(["groq", "embedded"]))
    finally:
        monkeypatch.delenv("FREEPROVIDERS_SERVICES")
        look_again()


def test_who_is_left_out_for_a_reason_of_the_users_is_warned_of(monkeypatch, recwarn):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", KEY)  # which many have for other things
    router = FreeProviders()
    assert {"groq", "huggingface"} <= {one.name for one in router.skipped}
    warned = [str(one.message) for one in recwarn if one.category is NotAskedWarning]
    assert len(warned) == 1
    assert "freeproviders services confirm groq" in warned[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # the threads are what is tried here
def test_a_forked_child_does_not_wait_for_a_look_of_its_parent():
    parent, begun, over = os.getpid(), threading.Event(), threading.Event()

    async def look():
        if os.getpid() == parent:
            begun.set()
            await asyncio.to_thread(over.wait)
        return Found()

    found = Found(later=[Later("somewhere", look)])
    thread = threading.Thread(target=lambda: asyncio.run(found.complete()))
    thread.start()
    begun.wait()
    child = os.fork()
    if not child:  # pragma: no cover - not counted in children
        signal.alarm(30)
        try:
            asyncio.run(found.complete())
            os._exit(bool(found.later))
        except BaseException:
            os._exit(1)
    over.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert not found.later
