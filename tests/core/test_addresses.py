"""Which addresses are on this machine, and what is said where nobody listens there."""

import socket

import pytest

from freeproviders import FlowGpt, OpenAICompatible
from freeproviders.addresses import is_every_host, is_loopback
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.errors import ProviderConnectionError
from freeproviders.listening import name_of, name_outside


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://localhost:1/v1", True),
        ("http://LOCALHOST", True),
        ("http://127.0.0.1:1", True),
        ("http://127.9.8.7", True),
        ("http://[::1]:1/v1", True),
        ("http://127.0.0.1.evil.example/v1", False),
        ("http://127.evil.example/v1", False),
        ("http://localhost.evil.example", False),
        ("http://0.0.0.0:1", False),
        ("http://192.168.1.2", False),
        ("http://[::2]", False),
        ("http://[", False),
        ("nothing", False),
    ],
)
def test_addresses_of_this_machine(url, here):
    """A name that only begins like a number of this machine leads elsewhere."""
    assert is_loopback(url) is here


@pytest.mark.parametrize(
    ("host", "every", "name"),
    [
        ("0.0.0.0", True, "127.0.0.1"),  # noqa: S104 - the point
        ("::", True, "[::1]"),
        ("", True, "127.0.0.1"),
        ("127.0.0.1", False, "127.0.0.1"),
        ("::1", False, "[::1]"),
        ("localhost", False, "localhost"),
        ("192.168.1.2", False, "192.168.1.2"),
    ],
)
def test_where_clients_reach_a_listener(host, every, name):
    """An address that stands for all of them is none that a client can open."""
    assert (is_every_host(host), name_of(host)) == (every, name)
    outside = name_outside(host)
    assert outside == name if not every else outside not in {host, "0.0.0.0"}  # noqa: S104


@pytest.fixture
def closed():
    """The address of a port of this machine that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda url: OpenAICompatible("m", base_url=url, retry=0), "start the server, or check base_url."),
        (lambda url: FlowGpt(base_url=url, retry=0), "start the server, or check base_url."),
        (
            lambda url: OpenAICompatible("m", service="vllm", base_url=url, retry=0),
            "start vLLM with `vllm serve MODEL`, or check base_url.",
        ),
        (
            lambda url: OpenAICompatible("m", service="jan", base_url=url, retry=0),
            "start Jan, or check base_url.",
        ),
        (lambda url: OpenAICompatible(service="groq", base_url=url, retry=0), "start the server, or"),
    ],
)
def test_nobody_listens_on_this_machine(make, advice, closed):
    """The network is not at fault where it is not used."""
    with pytest.raises(ProviderConnectionError) as caught:
        make(closed).complete_sync("Hi")
    assert f"No server listens there: {advice}" in str(caught.value)
    assert "network" not in str(caught.value)


def test_vectors_and_proxies(closed):
    """The same is said of vectors; what a proxy does not reach may be anything."""
    with pytest.raises(ProviderConnectionError, match="start Ollama with `ollama serve`"):
        OpenAICompatibleEmbedder("m", service="ollama", base_url=closed, retry=0).embed_sync(["a"])
    proxied = OpenAICompatible("m", base_url=closed, proxy=closed.removesuffix("/v1"), retry=0)
    with pytest.raises(ProviderConnectionError) as caught:
        proxied.complete_sync("Hi")
    assert "No server listens" not in str(caught.value)
