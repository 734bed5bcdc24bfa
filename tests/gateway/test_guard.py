"""Who may ask: programs of this machine; no page of a browser, no strange name, nobody without the key."""

from __future__ import annotations

import pytest

from freeproviders.addresses import is_loopback_host
from freeproviders.errors import UsageError
from freeproviders.gateway.guard import Guard
from freeproviders.gateway.limits import Limits, Rate
from freeproviders.gateway.refusals import Refusal

KEY = "0123456789abcdef"


def refused(guard: Guard, **headers: str) -> int:
    """The status with which headers are refused, 200 where they are not."""
    try:
        guard.check({name.replace("_", "-"): value for name, value in headers.items()})
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8800", 200),
        ("127.0.0.1:8800", 200),
        ("127.0.0.2", 200),
        ("[::1]:8800", 200),
        ("LOCALHOST", 200),
        ("evil.example:8800", 403),
        ("localhost.evil.example", 403),
        ("0.0.0.0:8800", 403),
        ("192.168.1.2", 403),
        ("[::2]", 403),
        ("my-laptop:8800", 403),
        (":8800", 403),
        ("[]:8800", 403),
        ("", 200),
    ],
)
def test_names_that_lead_to_this_machine(host: str, status: int) -> None:
    """A page whose own name was made to lead here sends that name."""
    assert refused(Guard("127.0.0.1"), Host=host) == status


def test_further_names() -> None:
    assert refused(Guard("127.0.0.1", hosts=["My-Laptop"]), Host="my-laptop:8800") == 200
    assert refused(Guard("0.0.0.0", KEY), Host="anything") == 200  # noqa: S104 - the key protects


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec_Fetch_Site": "none"}, 200),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "https://chat.example"}, 200),
        ({"Origin": "https://chat.example", "Sec_Fetch_Site": "cross-site"}, 200),
        ({"Origin": "https://chat.example.evil.example"}, 403),
    ],
)
def test_pages_of_a_browser(headers: dict[str, str], status: int) -> None:
    guard = Guard("127.0.0.1", origins=["https://chat.example/"])
    assert refused(guard, Host="localhost", **headers) == status


@pytest.mark.parametrize("origin", ["*", "null", "https://*.example", "chat.example", "https://a.example/b"])
def test_origins_that_are_of_no_page_or_of_many(origin: str) -> None:
    with pytest.raises(UsageError, match="must look like https://host"):
        Guard("127.0.0.1", origins=[origin])
    assert Guard("127.0.0.1", origins=["chrome-extension://abc", "http://[::1]:3000"])


def test_a_page_that_may_is_told_so() -> None:
    guard = Guard("127.0.0.1", origins=["https://chat.example"])
    headers = {"Host": "localhost", "Origin": "https://chat.example"}
    assert guard.check(headers)["Access-Control-Allow-Origin"] == "https://chat.example"
    answer = guard.preflight({**headers, "Access-Control-Request-Private-Network": "true"})
    assert "authorization" in answer["Access-Control-Allow-Headers"]
    assert answer["Access-Control-Allow-Private-Network"] == "true"
    with pytest.raises(Refusal):
        guard.preflight({"Host": "localhost"})


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", "Bearer \xff"])
def test_wrong_keys(given: str) -> None:
    with pytest.raises(Refusal) as caught:
        Guard("127.0.0.1", KEY).check_key(given)
    assert caught.value.status == 401
    assert KEY not in caught.value.message


def test_right_keys() -> None:
    Guard("127.0.0.1", KEY).check_key(f"bearer {KEY}")
    Guard("127.0.0.1").check_key("Bearer whatever")


@pytest.mark.parametrize("key", ["", f"{KEY}\n", f" {KEY}", " " * 20, "schlüssel-mit-umlaut"])
def test_keys_that_no_client_can_send(key: str) -> None:
    with pytest.raises(UsageError, match="without blanks"):
        Guard("127.0.0.1", key)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "my-laptop"])  # noqa: S104 - the point
def test_elsewhere_a_key_is_needed(host: str) -> None:
    with pytest.raises(UsageError, match="a key is needed"):
        Guard(host)
    with pytest.raises(UsageError, match="too short"):
        Guard(host, "short")
    assert not Guard(host, KEY).is_local


def test_addresses_of_this_machine() -> None:
    assert all(map(is_loopback_host, ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"]))
    assert not any(map(is_loopback_host, ["0.0.0.0", "::", "10.0.0.1", "example.org", ""]))  # noqa: S104


def test_a_rate() -> None:
    now = 100.0
    rate = Rate(60, clock=lambda: now)
    assert [rate.take() for _ in range(60)] == [0.0] * 60
    assert rate.take() == pytest.approx(1.0)
    now += 0.5
    assert rate.take() == pytest.approx(0.5)
    now += 0.5
    assert rate.take() == 0.0
    now += 3600
    assert [rate.take() for _ in range(61)].count(0.0) == 60
    assert [Rate(0).take() for _ in range(9)] == [0.0] * 9


@pytest.mark.parametrize(
    "wrong", [{"at_once": 0}, {"body_bytes": -1}, {"per_minute": True}, {"grace_seconds": "1"}]
)
def test_limits_that_are_none(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Limits(**wrong)  # type: ignore[arg-type]
    assert Limits(per_minute=0, grace_seconds=0)
