"""A credential among the options: it is refused, before anything is sent, and told by its name only."""

import base64
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freeproviders import OpenAICompatible
from freeproviders.configuration import credential_in, split
from freeproviders.embeddings import OpenAICompatibleEmbedder
from freeproviders.errors import UsageError
from freeproviders.redaction import is_known_key
from freeproviders.testing import replica
from tests.credentials import CREDENTIALS, HONEST, NAMES_OF_KEYS, PUBLISHED

NOWHERE = "http://127.0.0.1:9"


@given(CREDENTIALS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_credential_is_in_no_body_and_no_error(option):
    name, value = option
    said = []
    with replica(OpenAICompatible, answer="ok") as r:
        for options in ({name: value}, {"metadata": {"ours": [{name: value}]}}):
            try:
                OpenAICompatible("m", base_url=r.base_url).complete_sync("Hi", **options)
            except UsageError as error:
                said.append(f"{error}{error!r}")
        said += [json.dumps(request.json) for request in r.requests]
    assert value not in str(said)


@pytest.mark.parametrize("name", NAMES_OF_KEYS)
@pytest.mark.parametrize("value", ["hunter2", "correct horse battery", "7"])
def test_a_name_that_says_it(name, value):
    if name == "api_key":
        assert split({name: value}) == ({name: value}, {})
        return
    with pytest.raises(
        UsageError, match=rf"\[M\] {name} looks like a credential: pass it as api_key"
    ) as caught:
        split({name: value}, "M")
    assert value == "7" or value not in str(caught.value)


@given(PUBLISHED, st.sampled_from(["{}", " {}\n", "of the team: {}", '{{"x": "{}"}}']))
def test_a_key_of_a_known_form_is_seen_in_any_option(key, text):
    if key.startswith("Bearer ") and text.strip() != "{}":
        text = "{}"  # in a sentence it is a word
    assert credential_in("x", text.format(key)) == "x"
    assert credential_in("x", {"a": [0, {"b": text.format(key)}]}) == "x.a.b"
    assert credential_in("extra_body", {"x": key}) is None


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_option(name):
    assert split({name: HONEST[name]}) == ({}, {name: HONEST[name]})


def test_honest_options_reach_the_service():
    with replica(OpenAICompatible, answer="ok", extra_keys=list(HONEST)) as r:
        OpenAICompatible("m", base_url=r.base_url).complete_sync("Hi", **HONEST)
        assert HONEST.items() <= r.requests[-1].json.items()


def test_extra_body_is_the_place_for_a_credential():
    with replica(OpenAICompatible, answer="ok", extra_keys=["groq_key"]) as r:
        OpenAICompatible("m", base_url=r.base_url).complete_sync("Hi", extra_body={"groq_key": "hunter2"})
        assert r.requests[-1].json["groq_key"] == "hunter2"


@given(st.binary(max_size=600))
def test_bytes_in_base64_are_no_key(data):
    assert not is_known_key(base64.b64encode(data).decode())


def test_a_value_that_holds_itself_ends():
    value = {"a": []}
    value["a"] += [value, value["a"]]
    assert credential_in("x", value) is None


@pytest.mark.parametrize("options", [{"groq_key": "hunter2"}, {"user": "gsk_Ab3dEf6hIj9kLmNoPqRsTuVw"}])
def test_options_of_an_embedder(options):
    """They would stand beside the vectors that are kept, too."""
    with pytest.raises(UsageError, match=f"{next(iter(options))} looks like a credential") as caught:
        OpenAICompatibleEmbedder("m", base_url=NOWHERE, options=options)
    assert next(iter(options.values())) not in str(caught.value)
