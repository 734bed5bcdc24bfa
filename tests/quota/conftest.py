"""Stores of both kinds, on a clock that the test sets."""

import itertools

import pytest

from tests.quota.servers import redis_server
from tests.quota.stores import Asked, Clock, sqlite_store

_numbers = itertools.count()


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory):
    """The address of a server that all tests share."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture(params=["sqlite", "redis"])
def make_store(request):
    """Makes a new store of either kind on a clock."""
    made = []

    def make(clock):
        if request.param == "sqlite":
            store = sqlite_store(clock)
        else:
            from freeproviders.quota.redis import RedisStore

            address = request.getfixturevalue("redis_address")
            store = RedisStore(address, prefix=f"test{next(_numbers)}:", clock=clock.wall)
        made.append(store)
        return store

    yield make
    for store in made:
        store.close()


@pytest.fixture
def book(make_store):
    """A new store of either kind, asked step by step."""
    clock = Clock()
    return Asked(make_store(clock), clock)
