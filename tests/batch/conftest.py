"""What the tests of batches share."""

import pytest

from freeproviders import OpenAICompatible, Retry
from freeproviders.testing import replica

QUICK = Retry(attempts=3, first=0.01, budget=0.3)


@pytest.fixture
def server():
    with replica(OpenAICompatible) as started:
        yield started


@pytest.fixture
def store(tmp_path):
    return tmp_path / "answers.sqlite3"


@pytest.fixture
def backend(server):
    return OpenAICompatible("m", base_url=server.base_url, retry=QUICK)


def questions(count, begin=0):
    return [f"Question {number}" for number in range(begin, begin + count)]
