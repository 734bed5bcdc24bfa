"""A server that the tests of this folder share."""

import pytest

from tests.quota.servers import redis_server


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory):
    """The address of a server of the tests' own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server.url
