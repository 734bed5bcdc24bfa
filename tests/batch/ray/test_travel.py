"""A backend travels without its secrets, and is made again with those of the place where it arrives."""

import threading

import pytest

from freeproviders import FlowGpt, FreeProviders, OpenAICompatible, Quota
from freeproviders.batch import batch
from freeproviders.errors import MissingDependencyError, MissingKeyError, UsageError

pytest.importorskip("ray")

from freeproviders.batch.ray import Answerer, OnRay
from freeproviders.batch.ray.data import check_shared
from freeproviders.batch.ray.nodes import Node, _share
from freeproviders.batch.ray.shared import ledgers_of, place_name
from freeproviders.batch.ray.travel import packed, unpacked
from freeproviders.batch.terms import with_terms
from tests.cli.command import run

KEY, OTHER = "gsk_0123456789abcdefghij", "gsk_9876543210zyxwvutsrq"


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_KEY", KEY)


@pytest.mark.parametrize(
    "make",
    [
        lambda: OpenAICompatible(service="groq"),
        lambda: OpenAICompatible("m", base_url="http://localhost:8080/v1"),
        lambda: FreeProviders("groq", "embedded"),
        lambda: FreeProviders(OpenAICompatible(service="groq", quota=None), "embedded"),
    ],
)
def test_a_key_of_the_environment_stays_here(make, monkeypatch):
    """Nothing of the key is in what travels, and the one of the other place is taken there."""
    backend = make()
    data = packed(backend)
    assert KEY.encode() not in data
    for name in ("GROQ_API_KEY", "OPENAI_COMPATIBLE_API_KEY"):
        monkeypatch.setenv(name, OTHER)
    there = unpacked(data)
    assert there.asked_as() == backend.asked_as()
    first = there.members[0].backend if isinstance(there, FreeProviders) else there
    assert first.api_key == OTHER
    assert (backend.members[0].backend if isinstance(backend, FreeProviders) else backend).api_key == KEY


def test_a_place_without_the_key_says_so(monkeypatch):
    data = packed(OpenAICompatible(service="groq"))
    monkeypatch.delenv("GROQ_API_KEY")
    with pytest.raises(MissingKeyError, match="GROQ_API_KEY"):
        unpacked(data)


def test_the_address_of_the_environment_is_that_of_the_place(monkeypatch):
    """Each node may have its server elsewhere; the keys of answers stay the same."""
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_BASE", "http://localhost:1/v1")
    here = OpenAICompatible("m")
    data = packed(here)
    monkeypatch.setenv("OPENAI_COMPATIBLE_API_BASE", "http://localhost:2/v1")
    there = unpacked(data)
    assert there.base_url == "http://localhost:2/v1"
    assert there.asked_as() == here.asked_as()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"api_key": OTHER}, "api_key"),
        ({"headers": {"X-Api-Key": OTHER}}, "headers"),
        ({"cookies": {"a": "b"}}, "cookies"),
        ({"proxy": "http://me:secret@127.0.0.1:1"}, "proxy"),
        ({"base_url": "http://me:secret@localhost:8080/v1"}, "base_url"),
    ],
)
def test_a_secret_from_anywhere_else_is_refused(given, named):
    """What Ray is given lies in clear on every node."""
    with pytest.raises(UsageError, match=rf"secret in {named} would lie in clear.*before `ray start`"):
        OnRay(OpenAICompatible(**{"model": "m", "base_url": "http://localhost:8080/v1", **given}))


class Own:
    """A backend of somebody else's, which keeps the key in its own way."""

    name, model = "Own", "m"

    def __init__(self, key):
        self.key = key

    def batches(self, request):
        raise NotImplementedError


def test_other_places_for_secrets_are_looked_at_too():
    """The keys of the environment and logins of addresses are searched for in what would travel."""
    with pytest.raises(UsageError, match="holds the secret in GROQ_API_KEY"):
        OnRay(Own(KEY))
    quota = Quota([{"metric": "requests", "per": "day", "cap": 1}], ledger="redis://me:secret@host:6379/0")
    with pytest.raises(UsageError, match="FREEPROVIDERS_QUOTA"):
        OnRay(OpenAICompatible("m", base_url="http://localhost:8080/v1", quota=quota))
    with pytest.raises(UsageError, match="cannot be sent to another machine"):
        OnRay(Own(threading.Lock()))


def test_bad_addresses_are_refused_at_once():
    backend = FlowGpt(base_url="http://127.0.0.1:1")
    for address in ("ray://host:10001", "", None):
        with pytest.raises(UsageError, match="address must be"):
            OnRay(backend, address=address)


async def test_the_engine_is_named():
    with pytest.raises(UsageError, match="engine must be"):
        await batch(["Hi"], FlowGpt(base_url="http://127.0.0.1:1"), engine="spark")


def test_the_command_has_the_engine(tmp_path):
    """A key that was typed does not travel, and the error names the option."""
    table = tmp_path / "questions.txt"
    table.write_text("Hi\n")
    who = ("--provider", "openai-compatible", "--base-url", "http://127.0.0.1:1/v1", "--model", "m")
    done = run(
        *("batch", str(table), "-o", str(tmp_path / "answers.csv"), "--engine", "ray", *who),
        *("--api-key", OTHER),
        env={"FREEPROVIDERS_STATE": str(tmp_path / "state")},
    )
    assert done.returncode != 0
    assert "A secret in --api-key would lie in clear" in " ".join(done.stderr.decode().split())
    assert OTHER not in done.stderr.decode()


def test_a_file_is_no_store_of_several_machines(monkeypatch, tmp_path):
    """Nor is a ledger of each machine's own, where limits are kept."""
    rows = [{"NodeManagerAddress": f"10.0.0.{n}"} for n in (1, 2)]
    monkeypatch.setattr("freeproviders.batch.ray.data.living", lambda ray: rows)
    groq = OpenAICompatible(service="groq")
    own = OpenAICompatible("m", base_url="http://localhost:8080/v1")
    with pytest.raises(UsageError, match=r"The store .* is another one on each of the 2 machines"):
        check_shared(own, str(tmp_path / "answers"))
    check_shared(own, "redis://answers.example:6379/0")
    with pytest.raises(UsageError, match=r"Each of the 2 machines .* FREEPROVIDERS_QUOTA"):
        check_shared(groq, "redis://answers.example:6379/0")
    rows.pop()
    check_shared(groq, str(tmp_path / "answers"))


def test_a_password_of_the_store_does_not_travel():
    with pytest.raises(UsageError, match="FREEPROVIDERS_ANSWERS"):
        Answerer.arguments(
            OpenAICompatible("m", base_url="http://localhost:8080/v1"), store="redis://me:secret@host:6379/0"
        )


def test_terms_count_wherever_a_service_is_asked(monkeypatch):
    monkeypatch.setenv("COHERE_API_KEY", OTHER)
    with pytest.raises(UsageError, match="The terms of Cohere"):
        with_terms(OnRay(OpenAICompatible(service="cohere")))
    allowed, (left_out,) = with_terms(OnRay(FreeProviders("groq", "cohere")))
    assert (type(allowed), left_out.service) == (OnRay, "cohere")
    assert "cohere" not in repr(allowed)
    assert with_terms(OnRay(FreeProviders("groq", "cohere")), ["cohere"])[1] == []


def test_without_ray(monkeypatch):
    """Who has not installed it is told how."""
    monkeypatch.setattr("freeproviders.batch.ray.loading.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r'pip install "\.\[ray\]"'):
        OnRay(FlowGpt(base_url="http://127.0.0.1:1"))


# --- ledgers --------------------------------------------------------------------------------------


def test_where_limits_are_kept(monkeypatch):
    """A file and a server behind a loopback address are others on each machine."""
    monkeypatch.setenv("FREEPROVIDERS_QUOTA", "redis://me:secret@ledger.example:6379/0")
    groq = OpenAICompatible(service="groq")
    shared = ledgers_of(groq)
    assert shared == {"redis://ledger.example:6379/0"}
    assert ledgers_of(FreeProviders("groq", "embedded")) == shared
    assert ledgers_of(groq.configured(quota=None)) == frozenset()
    assert ledgers_of(OpenAICompatible("m", base_url="http://localhost:8080/v1")) == frozenset()
    assert place_name("redis://localhost:6379/0") == "here:redis://localhost:6379/0"

    def node(address, ledgers):
        return Node("id", address, None, frozenset(ledgers))

    one = node("10.0.0.1", shared)
    assert _share(one, node("10.0.0.2", shared))
    assert not _share(one, node("10.0.0.2", {"here:/quota.db"}))
    own = node("10.0.0.1", {"here:/quota.db"})
    assert _share(own, node("10.0.0.1", {"here:/quota.db"}))
    assert not _share(own, node("10.0.0.2", {"here:/quota.db"}))
    assert not _share(node("10.0.0.1", {"here:memory"}), node("10.0.0.1", {"here:memory"}))
    assert _share(node("10.0.0.1", ()), node("10.0.0.2", ()))
