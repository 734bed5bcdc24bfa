"""`init_chat_model("freeproviders:groq/openai/gpt-oss-120b")`: models by name, as LangChain has them.

`freeproviders:` stands before a service of the catalogue and its model, `free_providers` is the
router; each class has a name of its own beside, as in `flow_gpt:gpt-3.5-turbo`. `init_embeddings`
does the same for embeddings.

LangChain keeps its providers in two private dictionaries, of chat models and of embeddings, and
offers packages outside no way in, although its documentation speaks of any provider; asked for one,
its maintainers declined. So there are two ways here. `init_chat_model` and `init_embeddings`,
functions of this package, know our providers, hand everything else on to LangChain's own, and touch
nothing. `register` adds to those private dictionaries, so that LangChain's own functions, and what
calls them with a string, as `create_agent("freeproviders:groq")`, find our classes; what is there
stays. Should a dictionary change its form, `register` raises and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel

from freeproviders.installing import with_extra
from langchain_freeproviders import chat_models, embeddings
from langchain_freeproviders.base import ProviderChatModel
from langchain_freeproviders.errors import MissingDependencyError, UsageError

Made = TypeVar("Made", BaseChatModel, Embeddings)
PROVIDERS: Final[Mapping[str, type[ProviderChatModel]]] = MappingProxyType(
    {
        cls.provider_class.slug.replace("-", "_"): cls
        for cls in (getattr(chat_models, name) for name in chat_models.__all__)
        if issubclass(cls, ProviderChatModel)
    }
)
"""Our providers by the names that `init_chat_model` knows them by."""


def init_chat_model(
    model: str | None = None, *, model_provider: str | None = None, **kwargs: Any
) -> BaseChatModel:
    """Make a chat model by name, as `"freeproviders:groq"`, `"embedded"`, or with `model_provider`.

    `"freeproviders:groq/openai/gpt-oss-120b"` is a service of the catalogue and a model there;
    without a model it is the service's default. Providers that are not ours go to
    `langchain.chat_models.init_chat_model`, where langchain is installed. `kwargs` are the model's
    own.

    Raises:
        MissingDependencyError: the provider is not ours, and langchain is not installed.
        UnknownServiceError: the catalogue has no such service.
        UsageError: `configurable_fields` or `config_prefix` with a provider of ours: only
            LangChain's own function makes such models, after `register()`.
    """
    provider, name = _split(model, model_provider)
    if provider in _MAKERS:
        if kwargs.pop("configurable_fields", None) or kwargs.pop("config_prefix", None):
            raise UsageError(
                "A configurable model is made by langchain.chat_models.init_chat_model after register(), or "
                "by the model's own configurable_fields()."
            )
        cls, make = _MAKERS[provider]
        return make(cls, model=name, **kwargs)
    try:
        from langchain.chat_models import init_chat_model as langchains  # noqa: PLC0415 - optional
    except ImportError as error:
        raise _not_ours(model_provider or model, _MAKERS) from error
    # A configurable model only looks like a BaseChatModel.
    return langchains(model, model_provider=model_provider, **kwargs)  # type: ignore[return-value]


def init_embeddings(model: str, *, provider: str | None = None, **kwargs: Any) -> Embeddings:
    """Make embeddings by name, as `"freeproviders:gemini"`, `"offline"`, or with `provider`.

    `"freeproviders:nvidia/baai/bge-m3"` is a service of the catalogue and a model there; without a
    model it is the service's first. Behind `embedded:` stands a GGUF file, behind
    `free_providers:` a family of the catalogue. Providers that are not ours go to
    `langchain.embeddings.init_embeddings`, where langchain is installed. `kwargs` are the
    embeddings' own.

    Raises:
        MissingDependencyError: the provider is not ours, and langchain is not installed.
        UnknownServiceError: the catalogue has no such service.
    """
    known, name = _split(model, provider)
    if known in _EMBEDDINGS_MAKERS:
        cls, make = _EMBEDDINGS_MAKERS[known]
        return make(cls, model=name, **kwargs)
    try:
        from langchain.embeddings import init_embeddings as langchains  # noqa: PLC0415 - optional
    except ImportError as error:
        raise _not_ours(provider or model, _EMBEDDINGS_MAKERS) from error
    return langchains(model, provider=provider, **kwargs)


def register() -> None:
    """Make our providers known to LangChain's `init_chat_model` and `init_embeddings`, for this process.

    No name that LangChain has is changed, and calling it again changes nothing.

    Raises:
        MissingDependencyError: langchain is not installed.
        UsageError: this version of langchain keeps its providers in another way.
    """
    try:
        from langchain.chat_models import base as chats  # noqa: PLC0415 - optional
        from langchain.embeddings import base as vectors  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("langchain is not installed.", advice=with_extra("agents")) from error
    both: list[tuple[Any, Mapping[str, tuple[Any, Any]], str]] = [
        (getattr(chats, "_BUILTIN_PROVIDERS", None), _MAKERS, "init_chat_model"),
        (getattr(vectors, "_BUILTIN_PROVIDERS", None), _EMBEDDINGS_MAKERS, "init_embeddings"),
    ]
    for known, _, ours in both:
        if not isinstance(known, dict) or not all(
            isinstance(row, tuple) and len(row) == 3 for row in known.values()
        ):
            raise UsageError(
                "This version of langchain keeps its providers in another way: use "
                f"langchain_freeproviders.{ours}."
            )
    for known, makers, _ in both:
        for name, (cls, make) in makers.items():
            known.setdefault(name, (cls.__module__, cls.__name__, make))


def _not_ours(name: str | None, makers: Mapping[str, object]) -> MissingDependencyError:
    return MissingDependencyError(
        f"{name!r} is none of {', '.join(makers)}. For others, langchain is needed.",
        advice=with_extra("agents"),
    )


def _make(cls: Callable[..., Made], **kwargs: Any) -> Made:
    if not kwargs.get("model"):
        kwargs.pop("model", None)
    return cls(**kwargs)


def _make_of_service(
    cls: Callable[..., Made], *, model: str | None = None, service: str | None = None, **kwargs: Any
) -> Made:
    """Make what asks a service: `service`, or what stands before the first slash of `model`."""
    if service is None:
        service, _, model = (model or "").partition("/")
    if not service:
        raise UsageError(
            "Name a service of the catalogue, and a model of it if you like: freeproviders:gemini, "
            "freeproviders:groq/openai/gpt-oss-120b."
        )
    return _make(cls, model=model, service=service, **kwargs)


def _make_router(cls: Callable[..., BaseChatModel], *, model: str = "", **kwargs: Any) -> BaseChatModel:
    """Make a router; a member is named as the model."""
    return cls(**{**({"models": [model]} if model else {}), **kwargs})


_MAKERS: Final[Mapping[str, tuple[type[BaseChatModel], Callable[..., BaseChatModel]]]] = MappingProxyType(
    {
        **{name: (cls, _make) for name, cls in PROVIDERS.items()},
        "free_providers": (chat_models.ChatFreeProviders, _make_router),
        "freeproviders": (chat_models.ChatOpenAICompatible, _make_of_service),
    }
)
"""What makes the models of each name: `freeproviders`, the router, and the names of `PROVIDERS`."""


def _make_of_file(cls: Callable[..., Embeddings], *, model: str = "", **kwargs: Any) -> Embeddings:
    """Make embeddings of a model's file, which is named as the model."""
    return cls(**{**({"model_path": model} if model else {}), **kwargs})


def _make_of_family(cls: Callable[..., Embeddings], *, model: str = "", **kwargs: Any) -> Embeddings:
    """Make embeddings of a family, which is named as the model."""
    return cls(**{**({"family": model} if model else {}), **kwargs})


_EMBEDDINGS_MAKERS: Final[Mapping[str, tuple[type[Embeddings], Callable[..., Embeddings]]]] = (
    MappingProxyType(
        {
            "embedded": (embeddings.EmbeddedEmbeddings, _make_of_file),
            "free_providers": (embeddings.FreeProvidersEmbeddings, _make_of_family),
            "freeproviders": (embeddings.OpenAICompatibleEmbeddings, _make_of_service),
            "offline": (embeddings.OfflineEmbeddings, _make),
            "openai_compatible": (embeddings.OpenAICompatibleEmbeddings, _make),
        }
    )
)
"""What makes the embeddings of each name."""


def _split(model: str | None, provider: str | None) -> tuple[str, str]:
    """Split a name into the provider's and the model's."""
    if provider is not None:
        return provider.replace("-", "_").lower(), model or ""
    head, _, tail = (model or "").partition(":")
    return head.replace("-", "_").lower(), tail
