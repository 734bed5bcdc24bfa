"""The backend that answers, as the options of a command name it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import typer

from freeproviders.cli.lookup import provider_class

if TYPE_CHECKING:
    from freeproviders.backend import Backend
    from freeproviders.provider import Provider

EMBEDDED: Final = "embedded"
COMPATIBLE: Final = "openai-compatible"
VARIABLES: Final = (
    "FREEPROVIDERS_PROVIDER",
    "FREEPROVIDERS_SERVICE",
    "FREEPROVIDERS_BASE_URL",
    "FREEPROVIDERS_CHAT_MODEL",
    "FREEPROVIDERS_SYSTEM",
)
"""The usual values of --provider, --service, --base-url, --model and --system."""


class Usual(NamedTuple):
    """What is asked, and with which instructions: as the options say, else the environment.

    The variables that name a backend are one choice: an option that names one leaves all of
    them out.
    """

    provider: str | None
    service: str | None
    base_url: str | None
    model: str | None
    system: str | None

    @classmethod
    def of(cls, *given: str | None) -> Usual:
        """Add what the environment says to the options."""
        outside = [os.environ.get(variable) or None for variable in VARIABLES]
        *who, system = given
        named = who if any(one is not None for one in who) else outside[:-1]
        return cls._make([*named, outside[-1] if system is None else system])


def named(provider: str | None, service: str | None, model: str | None) -> str | None:
    """Return the name of the provider, None for what is free for the user.

    A service has the provider of its protocol; a model of our own engine has that.
    """
    if service is None:
        return EMBEDDED if provider is None and model and _is_embedded(model) else provider
    if provider is not None and provider_class(provider).slug != COMPATIBLE:
        raise typer.BadParameter(
            f"It speaks the protocol of --provider {COMPATIBLE}: leave --provider out.",
            param_hint="--service",
        )
    return COMPATIBLE


def _is_embedded(model: str) -> bool:
    """Return whether a name alone means a model of our own engine: one that is known, or a file."""
    from freeproviders.embedded.weights import WEIGHTS

    beginning = ("/", "./", "../", "~", ".\\", "..\\")
    is_file = model.lower().endswith(".gguf") or model.startswith(beginning)
    return is_file or model.lower() in {row.name.lower() for row in WEIGHTS}


def backend(
    name: str | None, model: str | None, timeout: float | None, configuration: dict[str, str | None]
) -> Backend:
    """Make the backend that answers: a provider, or a router over all that is free here."""
    if name is not None:
        return _provider(name, model, timeout, configuration)
    for key, value in configuration.items():
        if value is not None:
            raise typer.BadParameter(
                "It belongs to one service: name a --service or a --provider.",
                param_hint=f"--{key.replace('_', '-')}",
            )
    return _routed(model, timeout)


def make_ready(backend: Backend) -> None:
    """Fetch the weights of the embedded model, with a progress bar, where no service may be asked instead.

    A command does so when all that it was told has been checked: nothing is fetched for one that
    cannot work, and its limit of time does not count what is fetched.
    """
    asked = backend.asked_backends()
    if any(one.slug != EMBEDDED for one in asked):
        return
    from freeproviders.cli.weights import fetch_weights
    from freeproviders.providers.embedded import Embedded

    for one in asked:
        if isinstance(one, Embedded):
            fetch_weights(one)


def _routed(model: str | None, timeout: float | None) -> Backend:
    from freeproviders.cli.routed import router
    from freeproviders.errors import UnknownServiceError

    try:
        return router(model, timeout)
    except UnknownServiceError:
        if model is None:
            raise
        raise typer.BadParameter(
            f"{model!r} alone is no embedded model (`freeproviders models`), no GGUF file, and no service's, "
            "as groq/openai/gpt-oss-120b. Name what has it with --provider or --service.",
            param_hint="--model",
        ) from None


def _provider(
    name: str, model: str | None, timeout: float | None, configuration: dict[str, str | None]
) -> Provider:
    """Make the provider."""
    cls = provider_class(name)
    given: dict[str, Any] = {key: value for key, value in configuration.items() if value is not None}
    if timeout is not None:  # the whole command's, so that the attempts need no limit of their own
        from freeproviders.deadlines import Timeout

        given["timeout"] = Timeout(first_content=None, stall=None, total=None)
    if cls.slug != EMBEDDED:
        return cls(model, **given)
    from freeproviders.cli.weights import embedded

    for key in configuration:
        if key in given:
            raise typer.BadParameter(
                "The embedded model is on this machine: name another --provider.",
                param_hint=f"--{key.replace('_', '-')}",
            )
    return embedded(model, given)
