"""The arguments of OpenAILike, under the names that they have here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from freeproviders.configuration import PROTOCOL_OPTIONS
from freeproviders.errors import UsageError

_SECOND_NAMES: Final[Mapping[str, str]] = {
    "max_completion_tokens": "max_tokens",
    "max_new_tokens": "max_tokens",
    "model_name": "model",
    "should_use_structured_outputs": "json_schema",
}
_OPTIONS: Final[Mapping[str, str]] = {
    **{name: name for name in PROTOCOL_OPTIONS},
    "audio_config": "audio",
    "modalities": "modalities",
}
"""Arguments that are options of the service, with its own names of them."""
_SAYS_NOTHING: Final[Mapping[str, tuple[Any, ...]]] = {
    "is_chat_model": (True,),
    "is_function_calling_model": (True,),
    "reuse_client": (True, False),
    "should_use_structured_outputs": (False,),
    "strict": (False,),
}
"""Values that say what is so anyway; None is one of each argument in `OTHER_WAYS`."""
OTHER_WAYS: Final[Mapping[str, str]] = {
    "api_version": "It is a service's own: put it into base_url or headers.",
    "async_http_client": "Use proxy, connector, timeout and headers.",
    "async_openai_client": "Use base_url and api_key.",
    "http_client": "Use proxy, connector, timeout and headers.",
    "is_chat_model": "Every model here is a chat model: leave it out.",
    "is_function_calling_model": "Use function_calling: 'auto', 'native', 'emulate' or 'off'.",
    "native_tools": "Use function_calling='native'.",
    "openai_client": "Use base_url and api_key.",
    "reuse_client": "Connections are safe to keep here: leave it out.",
    "should_use_structured_outputs": "Only a service of the OpenAI protocol has schemas of its own.",
    "strict": "Schemas are strict wherever they can be: leave it out.",
    "tokenizer": "LlamaIndex counts with Settings.tokenizer.",
}
"""Arguments of OpenAILike, and of the core's providers, that have another form here."""


def own_names(
    fields: Mapping[str, Any], known: Collection[str], accepted: Collection[str] | None, who: str
) -> dict[str, Any]:
    """Write arguments under the names of fields.

    Args:
        fields: the arguments as the caller gave them.
        known: the names of the fields.
        accepted: the options that the service takes, None for any.
        who: the name for errors.

    Raises `UsageError` where two arguments say the same, or one has another form here.
    """
    out: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in fields.items():
        if name in known:
            first = name
        elif name in _OPTIONS and (accepted is None or _OPTIONS[name] in accepted):
            if value is not None:
                options[_OPTIONS[name]] = value
            continue
        elif name in OTHER_WAYS and (value is None or value in _SAYS_NOTHING.get(name, ())):
            continue
        elif name == "is_function_calling_model" and value is False:
            out.setdefault("function_calling", "off")
            continue
        else:
            first = _SECOND_NAMES.get(name, name)
            if name in OTHER_WAYS and first not in known:
                raise UsageError(f"Unknown argument {name!r}. {OTHER_WAYS[name]}", provider=who)
        if first != name and fields.get(first) is not None:
            raise UsageError(f"{name} and {first} are two names of one thing: pass one.", provider=who)
        out[first] = value
    own = dict(fields.get("additional_kwargs") or {})
    inside = own.pop("extra_body", None)  # where OpenAILike has it
    if isinstance(inside, Mapping):
        out["extra_body"] = {**inside, **(out.get("extra_body") or {})}
    if options or isinstance(inside, Mapping):
        out["additional_kwargs"] = {**options, **own}
    return out
