"""A question to what is free for this user, with a line that names what gets it before it is sent."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

from freeproviders import FreeProviders
from freeproviders.cli.terminal import renamed, say, told
from freeproviders.consent import Privacy
from freeproviders.errors import NotAskedWarning
from freeproviders.types import Asking, Attempt, ChatRequest, Event, OnBrokenStream


def router(
    model: str | None,
    timeout: float | None,
    *,
    members: Sequence[str] = (),
    privacy: Privacy | None = None,
    on_broken_stream: OnBrokenStream = "raise",
) -> FreeProviders:
    """Make the router: over a member of that name, over several, else over all that are free here."""
    named = [model] if model else members
    with warnings.catch_warnings(record=True) as skipped:
        warnings.simplefilter("always", NotAskedWarning)
        made = FreeProviders(*named, privacy=privacy, on_broken_stream=on_broken_stream)
    for warning in skipped:
        message = warning.message
        say(f"Note: {told(message.args[0] if isinstance(message, Warning) else message)}")
    return made if timeout is None else made.configured(timeout=timeout)


def announced(request: ChatRequest) -> ChatRequest:
    """Let a request to a router say which members get it, and which gave no answer."""
    return replace(request, listener=_say)


def introduction(router: FreeProviders) -> str:
    """Say which members may get the questions of a conversation, in the order in which they are asked."""
    return f"Free for you: {', '.join(member.name for member in router.members)}."


def _say(what: Event) -> None:
    match what:
        case Asking(provider, model, place):
            where = {"embedded": ", on this machine", "local": ", on this machine"}.get(place, "")
            say(f"Asking {' '.join(filter(None, (provider, model)))}{where}.")
        case Attempt(error=error) if error:
            say(f"No answer: {renamed(error)}")
