"""Keys: which row may name one, and where it goes. Nothing here leaves the machine."""

import pytest

from freeproviders import OpenAICompatible
from freeproviders.catalogue import Catalogue, catalogue, look_again
from freeproviders.catalogue.pins import PINS
from freeproviders.errors import CatalogueError, MissingKeyError, RedirectError, UsageError
from freeproviders.testing import replica
from tests.catalogue.test_rows import HOUSE, shelf

KEY = "gsk_a1b2c3d4e5f6g7h8"
GROQ = catalogue().service("groq").base_url


class Folder:
    """A folder of the user's own files."""

    def __init__(self, path):
        self.path = path

    def write(self, name, text):
        """Write the file of a service, and have the catalogue look at it."""
        (self.path / f"{name}.toml").write_text(text, encoding="utf-8")
        look_again()


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder of the user's own files, which `catalogue()` looks at anew."""
    with monkeypatch.context() as patch:
        patch.setenv("FREEPROVIDERS_SERVICES", str(tmp_path))
        yield Folder(tmp_path)
    look_again()


def asked(provider):
    """Ask a provider, and return the Authorization header that it would send."""
    return provider.encode(provider.checked(provider.request("Hi"))).headers.get("Authorization")


def test_the_rows_agree_with_the_pins():
    """Each pinned service has a row with one of its hosts and only its variables, and the reverse."""
    ours = Catalogue(others=())
    for service in ours:
        if service.keys and not service.local:
            assert service.id in PINS, f"{service.id} names {service.keys}: pin them"
            assert set(service.keys) <= set(PINS[service.id].variables)
    assert set(PINS) <= set(ours.ids)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('base_url = "https://evil.example/v1"', "GROQ_API_KEY holds the key of groq"),
        ('base_url = "https://api.groq.com.evil.example/v1"', "GROQ_API_KEY holds the key of groq"),
        ('base_url = "https://api.groq.com@evil.example/v1"', "GROQ_API_KEY holds the key of groq"),
        ('base_url = "http://api.groq.com/openai/v1"', "GROQ_API_KEY holds the key of groq"),
        ('base_url = "https://evil.example/v1"\nkeys = ["MISTRAL_API_KEY"]', "the key of mistral"),
        ('base_url = "https://evil.example/v1"\nkeys = ["OPENAI_API_KEY"]', "another service's key"),
        ('keys = ["OPENROUTER_API_KEY"]', "the key of openrouter"),
        ('base_url = "https://evil.example/{GROQ_API_KEY}"\nkeys = ["MY_KEY"]', "must not be a part"),
        ('base_url = "https://{HOST}.example/v1"\nkeys = ["MY_KEY"]', "not of its host"),
    ],
)
def test_a_users_file_cannot_lead_a_key_elsewhere(mine, monkeypatch, text, said):
    """A file that readdresses a service, by mistake or because somebody put it there, is refused."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    mine.write("groq", text)
    with pytest.raises(CatalogueError) as caught:
        OpenAICompatible(service="groq")
    assert said in str(caught.value)


def test_a_users_file_may_readdress_with_a_key_of_its_own(mine, monkeypatch):
    """Then the service's own key is not looked at."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("MY_GATEWAY_KEY", "mine-123456789")
    mine.write("groq", 'base_url = "https://gw.example/v1"\nkeys = ["MY_GATEWAY_KEY"]')
    provider = OpenAICompatible(service="groq")
    assert provider.base_url == "https://gw.example/v1"
    assert asked(provider) == "Bearer mine-123456789"


def test_a_service_of_the_users_own_cannot_have_a_known_key(mine, monkeypatch):
    """Neither by name nor by an id that would make its variable another's."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    mine.write("openai", HOUSE.replace('keys = ["HOUSE_KEY"]\n', ""))
    mine.write("house", HOUSE.replace("HOUSE_KEY", "GROQ_API_KEY"))
    for name in ("openai", "house"):
        with pytest.raises(CatalogueError, match="goes to no other address"):
            OpenAICompatible(service=name)


def test_another_package_cannot_name_a_service_or_a_key_of_ours(tmp_path):
    """Its file of a known id is not read, and one with a known variable is refused."""
    stolen = HOUSE.replace("HOUSE_KEY", "GROQ_API_KEY")
    found = shelf(tmp_path, [("mine", HOUSE)], [("house", stolen, "package"), ("mine", stolen, "package")])
    with pytest.raises(CatalogueError, match="GROQ_API_KEY holds the key of groq"):
        found.service("house")
    assert found.service("mine").keys == ("HOUSE_KEY",)
    pinned = shelf(tmp_path / "more", others=[("groq", HOUSE, "package")])
    with pytest.raises(CatalogueError, match="another package may not change it"):
        pinned.service("groq")


def test_a_changed_row_of_ours_is_refused(tmp_path):
    """What is pinned in code wins over the package's own data."""
    text = HOUSE.replace('["HOUSE_KEY"]', '["GROQ_API_KEY"]')
    with pytest.raises(CatalogueError, match="pinned to"):
        shelf(tmp_path, [("groq", text)]).service("groq")


def test_the_environments_key_stays_with_the_service(monkeypatch):
    """A base_url of the caller's elsewhere gets no key of the environment; this machine needs none."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    assert asked(OpenAICompatible(service="groq")) == f"Bearer {KEY}"
    assert asked(OpenAICompatible(service="groq", base_url=GROQ + "/")) == f"Bearer {KEY}"
    assert asked(OpenAICompatible(service="groq", base_url="http://127.0.0.1:9/v1")) is None
    assert asked(OpenAICompatible(service="groq").configured(base_url="http://localhost:9/v1")) is None
    for elsewhere in (
        "https://evil.example/v1",
        "https://api.groq.com:444/v1",
        "http://api.groq.com/openai/v1",
    ):
        with pytest.raises(MissingKeyError, match="pass api_key"):
            OpenAICompatible(service="groq", base_url=elsewhere)
        with pytest.raises(MissingKeyError, match="pass api_key"):
            OpenAICompatible(service="groq").configured(base_url=elsewhere)
        assert asked(OpenAICompatible(service="groq", base_url=elsewhere, api_key="own")) == "Bearer own"


def test_the_environments_address_is_the_callers_word(monkeypatch):
    """`<ID>_API_BASE` names a gateway, which gets the key."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    monkeypatch.setenv("GROQ_API_BASE", "https://gw.example/v1")
    assert asked(OpenAICompatible(service="groq")) == f"Bearer {KEY}"


def test_a_missing_key_is_said_before_anything_is_sent(monkeypatch):
    """The error names the variables and the page where keys are issued."""
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(MissingKeyError, match=r"\[Groq\].*GROQ_API_KEY.*console\.groq\.com/keys"):
        OpenAICompatible(service="groq")
    assert asked(OpenAICompatible(service="groq", headers={"authorization": "Bearer x"})) is None


async def test_a_redirect_does_not_carry_the_key(monkeypatch):
    """A service that sends the client elsewhere is not followed, and elsewhere sees no request."""
    monkeypatch.setenv("GROQ_API_KEY", KEY)
    with replica("openai-compatible") as thief, replica("openai-compatible", api_key=KEY) as server:
        monkeypatch.setenv("GROQ_API_BASE", server.base_url)
        server.faults = {"redirect": thief.base_url.replace("127.0.0.1", "localhost") + "/chat/completions"}
        provider = OpenAICompatible(service="groq", retry=0)
        with pytest.raises(RedirectError):
            await provider.complete("Hi")
        assert thief.requests == []


def test_an_address_is_filled_from_the_environment(tmp_path, monkeypatch, mine):
    """A part of the path may be; what is missing or is no word is said."""
    mine.write("house", HOUSE.replace("/v1", "/accounts/{HOUSE_ACCOUNT}/v1"))
    monkeypatch.setenv("HOUSE_KEY", KEY)
    with pytest.raises(UsageError, match="Set HOUSE_ACCOUNT"):
        OpenAICompatible(service="house")
    monkeypatch.setenv("HOUSE_ACCOUNT", "../../evil")
    with pytest.raises(UsageError, match="letters, digits"):
        OpenAICompatible(service="house")
    monkeypatch.setenv("HOUSE_ACCOUNT", "abc-123")
    assert OpenAICompatible(service="house").base_url == "https://house.example/accounts/abc-123/v1"
