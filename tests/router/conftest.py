"""What the tests of the router share: a ledger for each test, so that no health outlives one."""

import pytest


@pytest.fixture(autouse=True)
def own_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("FREEPROVIDERS_QUOTA", str(tmp_path / "ledger.sqlite"))
