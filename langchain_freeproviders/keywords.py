"""The names of keywords, of constructors and of calls, and which of their values are secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from pydantic import Secret, SecretStr

from freeproviders import configuration
from freeproviders.checks import SETTINGS
from freeproviders.configuration import CONFIGURATION, credential_error, credential_in, without_login
from freeproviders.wire.json import dumps

SECOND_NAMES: Final[Mapping[str, str]] = {
    **configuration.SECOND_NAMES,
    "max_completion_tokens": "max_tokens",
    "model_name": "model",
    "stop_sequences": "stop",
}
"""Second names, `ChatOpenAI`'s among them, with the core's: of fields and of a call's keywords."""
FIELD_OF: Final[Mapping[str, str]] = {"model": "model_name", "retry": "max_retries"}
"""The fields that are not called as in the core."""
_SECRET: Final = frozenset({"api_key", "headers", "cookies", "proxy", "connector", "quota", "extra_body"})
"""Fields and keywords whose values are in no trace and no cache's key."""
_KNOWN: Final = frozenset({*SETTINGS, *CONFIGURATION, "model_kwargs"})
ORGANIZATION: Final = frozenset({"organization", "openai_organization"})
OTHER_WAYS: Final[Mapping[str, str]] = {
    "default_query": "An address here has no query: put what belongs to it into headers or model_kwargs.",
    "disabled_params": "Leave the settings out instead.",
    "http_async_client": "Use proxy, connector, timeout and headers.",
    "http_client": "Use proxy, connector, timeout and headers.",
    "http_socket_options": "Use a connector.",
    "stream_chunk_timeout": "Use timeout=freeproviders.Timeout(stall=...).",
    "tiktoken_model_name": "Tokens are estimated: pass custom_get_token_ids to count them.",
    "use_responses_api": "Only chat completions are spoken here.",
}
"""Arguments of `ChatOpenAI` that have another form here; None and False say nothing and are taken."""

NAMES_OF_EMBEDDINGS: Final[Mapping[str, str]] = {
    **SECOND_NAMES,
    "chunk_size": "batch_size",
    "dimensions": "size",
    "options": "model_kwargs",
    "rate_limiter": "quota",
    "show_progress_bar": "show_progress",
}
"""Second names of embeddings, `OpenAIEmbeddings`' among them."""
OTHER_WAYS_OF_EMBEDDINGS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (
            "allowed_special",
            "check_embedding_ctx_length",
            "disallowed_special",
            "embedding_ctx_length",
            "tiktoken_enabled",
            "tiktoken_model_name",
        ),
        "Texts are sent as they are; truncate=True cuts those that are longer than the model's window.",
    ),
    "default_query": OTHER_WAYS["default_query"],
    "deployment": "Pass model.",
    "http_async_client": OTHER_WAYS["http_async_client"],
    "http_client": OTHER_WAYS["http_client"],
    "http_socket_options": OTHER_WAYS["http_socket_options"],
    "retry_max_seconds": "Use max_retries=freeproviders.Retry(...).",
    "retry_min_seconds": "Use max_retries=freeproviders.Retry(...).",
    "skip_empty": "A blank text has no vector: leave it out of the list.",
}
"""Arguments of `OpenAIEmbeddings` that have another form here; None and False say nothing and are taken."""


def keywords_of_a_call(options: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call by the core's names, with those of `model_kwargs` among them."""
    out: dict[str, Any] = {}
    own = options.get("model_kwargs")
    for name, value in ({**given(own), **given(options)} if own else given(options)).items():
        if name == "model_kwargs":
            continue
        first = SECOND_NAMES.get(name, name)
        out[first] = _opened(value) if first in _SECRET or first == "base_url" else value
    return out


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a call that say something: None leaves things as they are, but for quota."""
    return {name: value for name, value in options.items() if value is not None or name == "quota"}


def as_secret(value: Any) -> Any:
    """Hide a text in a `SecretStr`, a function in a `Secret`; anything else stays as it is."""
    if isinstance(value, str):
        return SecretStr(value)
    return Secret(value) if callable(value) else value


def _opened(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr | Secret) else value


def hidden(options: Mapping[str, Any], who: str = "") -> dict[str, Any]:
    """Wrap the secrets among a call's keywords.

    LangChain shows and saves what is bound to a model, and hands a string model's keywords to
    callbacks, as it was given. Raises `UsageError`, which names `who`, for a credential in an option.
    """
    out: dict[str, Any] = {}
    for name, value in options.items():
        first = SECOND_NAMES.get(name, name)
        if first == "model_kwargs" and isinstance(value, Mapping):
            out[name] = hidden(value, who)
        elif (first in _SECRET and value is not None and value is _opened(value)) or (
            first == "base_url" and isinstance(value, str) and without_login(value) != value
        ):
            out[name] = Secret(value)
        elif first not in _KNOWN and (found := credential_in(name, value)):
            raise credential_error(found, who)
        else:
            out[name] = value
    return out


def hidden_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Wrap the secrets among the `configurable` values of a config, which LangChain shows and saves."""
    values = config.get("configurable")
    if not isinstance(values, Mapping):
        return {**config}
    secret = {
        name
        for name, value in values.items()
        if SECOND_NAMES.get(name, name) in _SECRET or credential_in(name, value)
    }
    wrapped = {
        name: Secret(value) if name in secret and value is not None and value is _opened(value) else value
        for name, value in values.items()
    }
    return {**config, "configurable": wrapped}


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as traces and caches may see them."""
    out: dict[str, Any] = {}
    for name, passed in options.items():
        first, value = SECOND_NAMES.get(name, name), _opened(passed)
        if first == "extra_body" and value:
            out[name] = hashlib.sha256(dumps(value)).hexdigest()  # tells answers apart, and nothing more
        elif first == "base_url" and isinstance(value, str):
            out[name] = without_login(value)
        elif first == "model_kwargs" and isinstance(value, Mapping):
            out[name] = shown(value)
        elif first not in _SECRET and (first in _KNOWN or not credential_in(name, passed)):
            out[name] = passed
    return out
