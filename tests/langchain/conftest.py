import pytest

from tests.langchain.services import SERVICES, Service


@pytest.fixture(params=SERVICES, ids=str)
def service(request) -> Service:
    """Each service, with a replica to be had from it."""
    return request.param
