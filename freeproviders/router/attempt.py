"""One attempt at a member: its first parts, what it raises, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from freeproviders.errors import EmptyResponseError, FreeProvidersError, ProviderTimeoutError
from freeproviders.foreign import translated
from freeproviders.router.health import Admission
from freeproviders.router.member import Member
from freeproviders.types import Admitted, Asking, Batch, Event, Finish, Listener


@dataclass(slots=True, eq=False)
class Running:
    """An attempt that has begun to answer: its stream, and its first parts."""

    member: Member
    admission: Admission
    stream: AsyncGenerator[Batch, None]
    first: Batch
    started: float
    first_seconds: float
    said: list[Batch] = field(default_factory=list)


def error_of(member: Member, raised: BaseException, *, begun: bool = False) -> FreeProvidersError | None:
    """Read what a member raised as an error of the tree; None where it is none of the member's.

    A backend of the caller's own may raise the exceptions of any library. In one of ours they are
    mistakes, which must not be overlooked.
    """
    if isinstance(raised, FreeProvidersError):
        return raised
    if not isinstance(raised, Exception) or member.place != "given":
        return None
    error = translated(raised, begun=begun)
    error.__cause__ = raised
    return error


async def first_of(stream: AsyncGenerator[Batch, None], limit: float | None) -> Batch:
    """Read the first parts of an answer; `limit` is for backends that know no deadlines themselves."""
    try:
        async with asyncio.timeout(limit) as deadline:
            return await stream.__anext__()
    except StopAsyncIteration:
        raise EmptyResponseError("The answer is empty: it has not even an end.") from None
    except TimeoutError as error:
        if not deadline.expired():
            raise  # the member's own
        raise ProviderTimeoutError(f"No content came within {limit:g} s.", phase="first content") from error


def is_kept(batch: Batch) -> bool:
    """Return whether an answer was kept, which says nothing of the member's health."""
    end = batch[-1] if batch else None
    return end.__class__ is Finish and end.cached


def announce(member: Member, listener: Listener | None) -> None:
    """Tell the listener that a member is asked."""
    if listener is not None:
        listener(Asking(member.backend.name, member.model, member.place))
        if not member.backend.announces_admission:
            listener(Admitted(member.backend.name, member.model))


def of_admissions(listener: Listener) -> Listener:
    """Let a member tell of admissions alone: of all else the question tells itself."""

    def heard(event: Event) -> None:
        if isinstance(event, Admitted):
            listener(event)

    return heard
