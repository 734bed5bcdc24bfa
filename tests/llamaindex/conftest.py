"""LlamaIndex's global state, fresh for each test, and no network but this machine's own."""

import socket

import pytest
from llama_index.core import Settings
from llama_index.core.instrumentation import get_dispatcher


@pytest.fixture(autouse=True)
def fresh_settings():
    """`Settings` as after import, and no handler left behind."""
    handlers = list(get_dispatcher().event_handlers)
    yield
    get_dispatcher().event_handlers[:] = handlers
    Settings._llm = Settings._embed_model = Settings._callback_manager = Settings._prompt_helper = None


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch):
    """A test that would download something fails."""
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple) and not str(address[0]).startswith("127.") and address[0] != "::1":
            raise AssertionError(f"a connection to {address} was tried")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
