"""What a router does while it answers, as events of LlamaIndex's instrumentation.

They are dispatched in the span of the call, before what follows them is shown; none is made where
no handler listens. In sync code they come with the next piece of the answer, or with its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from llama_index_instrumentation.base import BaseEvent

from freeproviders.types import Asking, Attempt, Seam
from llama_index_freeproviders.question import Told


class RouterAskingEvent(BaseEvent):
    """A router is about to send the question to a member; `place` says where that is.

    It is "service", "local" for a server of this machine, "embedded" for the engine of
    freeproviders, and "given" for an object of the caller's.
    """

    provider: str
    model: str
    place: str

    @classmethod
    def class_name(cls) -> str:
        """The name of the event."""
        return "RouterAskingEvent"


class RouterAttemptEvent(BaseEvent):
    """An attempt has ended: with an answer, where `error` is "", or with the error in words.

    `requests` counts the HTTP requests that it took, `seconds` is how long.
    """

    provider: str
    model: str
    error: str
    requests: int
    seconds: float

    @classmethod
    def class_name(cls) -> str:
        """The name of the event."""
        return "RouterAttemptEvent"


class RouterFailoverEvent(BaseEvent):
    """Another member is asked, since one has failed: `source` in place of `broken`.

    Both are "provider/model"; `error` says in words why.
    """

    broken: str
    source: str
    error: str

    @classmethod
    def class_name(cls) -> str:
        """The name of the event."""
        return "RouterFailoverEvent"


class RouterSeamEvent(BaseEvent):
    """An answer that had begun goes on from another place; see `freeproviders.types.Seam`.

    `how` is "replay", "prefill", "trim" or "restart", which makes what came before `offset` void.
    """

    offset: int
    broken: str
    source: str
    how: str

    @classmethod
    def class_name(cls) -> str:
        """The name of the event."""
        return "RouterSeamEvent"


def teller(span_id: str | None, dispatch: Callable[[BaseEvent], object]) -> Callable[[Told], None]:
    """Return the function that makes events of what a router tells in one call."""
    failed: Attempt | None = None

    def events(told: Told) -> Iterator[BaseEvent]:
        nonlocal failed
        match told:
            case Asking():
                if failed is not None:
                    yield RouterFailoverEvent(
                        broken=_name(failed), source=_name(told), error=failed.error, span_id=span_id
                    )
                failed = None
                yield RouterAskingEvent(**told.plain(), span_id=span_id)
            case Attempt():
                failed = told if told.error else None
                yield RouterAttemptEvent(**told.plain(), span_id=span_id)
            case Seam():
                yield RouterSeamEvent(**told.plain(), span_id=span_id)

    def tell(told: Told) -> None:
        for event in events(told):
            dispatch(event)

    return tell


def _name(one: Asking | Attempt) -> str:
    return f"{one.provider}/{one.model}" if one.model else one.provider
