"""What each row of a hosted service must hold together, whatever its facts are."""

import json

import pytest

from freeproviders.catalogue import Catalogue
from freeproviders.catalogue.pins import PINS
from freeproviders.catalogue.rows import Service
from freeproviders.wire.signs import Sign

SHELF = Catalogue(others=())
HOSTED = [service for service in SHELF if not service.local]
ALIVE = [service for service in HOSTED if service.gone is None]
SIGNS = [(service, n) for service in HOSTED for n, sign in enumerate(service.error) if sign.body]
FREE = {"never", "allowance"}
each = pytest.mark.parametrize("service", HOSTED, ids=lambda service: service.id)


def fits(sign: Sign, other: Sign) -> bool:
    """Whether the example of one sign, as far as it tells, is one of another's refusals too."""
    body = other.body.lower()
    return (
        sign.status in {None, other.status}
        and all(text.lower() in body for text in sign.match)
        and f'"{sign.code.lower()}"' in (body if sign.code else '""')
        and sign.header == sign.text == ""
    )


@pytest.mark.parametrize(("service", "n"), SIGNS, ids=[f"{service.id}-{n}" for service, n in SIGNS])
def test_an_example_has_its_sign(service: Service, n: int) -> None:
    """An example is JSON, fits its own sign, and none before it; otherwise the sign is never seen."""
    sign = service.error[n]
    json.loads(sign.body)
    assert sign.header or sign.text in json.dumps(json.loads(sign.body))
    assert sign.header or sign.text or fits(sign, sign)
    assert not [before for before in service.error[:n] if fits(before, sign)]


@each
def test_a_pool_has_a_limit(service: Service) -> None:
    """A refusal and a header count for one model, for the account, or for a pool that has a limit."""
    pools = {"", "model", "account"} | {limit.scope for limit in service.limit}
    assert {sign.scope for sign in service.error} <= pools
    assert {names.scope for names in service.headers.allowance} <= pools


@each
def test_a_limit_is_about_models_that_are_there(service: Service) -> None:
    for limit in service.limit:
        assert not limit.models or any(limit.counts(model) for model in service.models)


@each
def test_what_takes_the_place_of_a_model_is_there(service: Service) -> None:
    assert not set(service.models) & set(service.retired)
    for gone in service.retired.values():
        assert not gone.successor or gone.successor in service.models


@each
def test_a_key_goes_to_a_pinned_host(service: Service) -> None:
    """Each variable is pinned, and to this service alone."""
    for variable in service.keys:
        assert [name for name, pin in PINS.items() if variable in pin.variables] == [service.id]


@pytest.mark.parametrize(
    "service", [service for service in HOSTED if service.auto], ids=lambda service: service.id
)
def test_what_may_be_chosen_is_free(service: Service) -> None:
    """A service that is chosen without being named has free models for that, and is not gone."""
    assert service.gone is None
    assert service.default_model
    for model in (service.default_model, *service.fallback_models):
        assert service.models[model].cost in FREE


def test_no_service_is_forgotten() -> None:
    """The hosted services that the catalogue began with; one that dies stays as a tombstone."""
    begun = {
        "aihorde", "aionlabs", "api-airforce", "ark", "cloudflare", "cohere", "dashscope-intl", "fireworks",
        "gemini", "gonka", "groq", "huggingface", "kilo", "llm7", "llmgateway", "longcat", "mistral",
        "modelscope", "nvidia", "ollama-cloud", "opencode-zen", "openrouter", "ovhcloud", "pollinations",
        "publicai", "qianfan", "requesty", "sealion", "siliconflow", "spark", "vercel-ai-gateway", "zai",
        "zai-cn",
    }  # fmt: skip
    assert begun <= {service.id for service in HOSTED}
    assert len([service for service in ALIVE if service.auto]) >= 10
