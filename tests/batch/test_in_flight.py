"""How many questions are asked at the same time, where the caller names no number."""

import pytest

from freeproviders import Embedded, FreeProviders, OpenAICompatible
from freeproviders.backend import Backend


class Bare:
    name, model = "Bare", ""

    def batches(self, request):
        raise NotImplementedError


def at(url):
    return OpenAICompatible("m", base_url=url)


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda: at("https://api.example/v1"), 16),
        (lambda: at("http://127.0.0.9:8080/v1"), 8),
        (lambda: at("http://[::1]:8080/v1"), 8),
        (lambda: at("http://LOCALHOST:8080/v1"), 8),
        (lambda: Embedded(slots=3), 3),
        (lambda: Backend.of(Bare()), 4),
        (lambda: FreeProviders(at("http://localhost:1/v1"), Embedded(slots=2), Bare()), 14),
        (lambda: FreeProviders(*[at(f"https://api{n}.example/v1") for n in range(9)]), 64),
    ],
)  # fmt: skip
async def test_the_backend_says_how_many(make, number):
    assert await make().usual_in_flight() == number
