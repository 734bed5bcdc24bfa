"""The arguments of OpenAILike and OpenAILikeEmbedding, under the names that they have here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from freeproviders.configuration import PROTOCOL_OPTIONS
from freeproviders.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names of arguments beside those of the fields.

    Attributes:
        second: further names of fields.
        options: arguments that are options of the service, with its own names of them.
        says_nothing: values that say what is so anyway; None is one of each in `other_ways`.
        other_ways: arguments that have another form here, each with what to do instead.
    """

    second: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    says_nothing: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    other_ways: Mapping[str, str] = field(default_factory=dict)


_CLIENTS: Final[Mapping[str, str]] = {
    "api_version": "It is a service's own: put it into base_url or headers.",
    "async_http_client": "Use proxy, connector, timeout and headers.",
    "async_openai_client": "Use base_url and api_key.",
    "http_client": "Use proxy, connector, timeout and headers.",
    "openai_client": "Use base_url and api_key.",
    "reuse_client": "Connections are safe to keep here: leave it out.",
}
LLM_NAMES: Final = Names(
    second={
        "max_completion_tokens": "max_tokens",
        "max_new_tokens": "max_tokens",
        "model_name": "model",
        "should_use_structured_outputs": "json_schema",
    },
    options={
        **{name: name for name in PROTOCOL_OPTIONS},
        "audio_config": "audio",
        "modalities": "modalities",
    },
    says_nothing={
        "is_chat_model": (True,),
        "is_function_calling_model": (True,),
        "reuse_client": (True, False),
        "should_use_structured_outputs": (False,),
        "strict": (False,),
    },
    other_ways={
        **_CLIENTS,
        "is_chat_model": "Every model here is a chat model: leave it out.",
        "is_function_calling_model": "Use function_calling: 'auto', 'native', 'emulate' or 'off'.",
        "native_tools": "Use function_calling='native'.",
        "should_use_structured_outputs": "Only a service of the OpenAI protocol has schemas of its own.",
        "strict": "Schemas are strict wherever they can be: leave it out.",
        "tokenizer": "LlamaIndex counts with Settings.tokenizer.",
    },
)
EMBEDDING_NAMES: Final = Names(
    second={
        "batch_size": "embed_batch_size",
        "concurrency": "num_workers",
        "model": "model_name",
        "options": "additional_kwargs",
        "query_instruction": "query_prefix",
        "size": "dimensions",
        "text_instruction": "document_prefix",
    },
    says_nothing={"reuse_client": (True, False), "mode": ("text_search", "similarity")},
    other_ways={
        **_CLIENTS,
        "mode": "A model is named by model_name alone.",
        "query_engine": "A model is named by model_name alone.",
        "text_engine": "A model is named by model_name alone.",
    },
)


def own_names(
    fields: Mapping[str, Any],
    known: Collection[str],
    accepted: Collection[str] | None,
    who: str,
    names: Names,
) -> dict[str, Any]:
    """Write arguments under the names of fields.

    Args:
        fields: the arguments as the caller gave them.
        known: the names of the fields.
        accepted: the options that the service takes, None for any.
        who: the name for errors.
        names: further names of the arguments.

    Raises `UsageError` where two arguments say the same, or one has another form here.
    """
    out: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name, value in fields.items():
        if name in known:
            first = name
        elif name in names.options and (accepted is None or names.options[name] in accepted):
            if value is not None:
                options[names.options[name]] = value
            continue
        elif name in names.other_ways and (value is None or value in names.says_nothing.get(name, ())):
            continue
        elif name == "is_function_calling_model" and value is False:
            out.setdefault("function_calling", "off")
            continue
        else:
            first = names.second.get(name, name)
            if name in names.other_ways and first not in known:
                raise UsageError(f"Unknown argument {name!r}. {names.other_ways[name]}", provider=who)
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
