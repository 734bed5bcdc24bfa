"""What a question needs, held against what a member can, before anything is sent."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from freeproviders.checks import check_media
from freeproviders.errors import ContextOverflowError, UnsupportedInputError, UsageError
from freeproviders.naming import argument
from freeproviders.router.member import Member
from freeproviders.types import ChatRequest, Message
from freeproviders.usage import (
    counted_text,
    estimate_input_tokens,
    estimate_tokens,
    upper_input_estimate,
)
from freeproviders.wire.json import dumps

_MOST_TOKENS_PER_CHAR = 4
_SHORT_CHARS = 500
"""A question without tools that is no longer fits every window without an estimate."""
_SHORTEST_ANSWER = 16
"""Tokens that an answer needs at least, where the caller does not limit it."""


async def prepared(request: ChatRequest) -> None:
    """Read on a thread, once in a process, what the estimate of a question needs that is not short."""
    if not (request.tools or _chars(request.messages) > _SHORT_CHARS):
        return
    upper = sys.modules.get("freeproviders.tokens.upper")
    if upper is None or not upper.upper_rows.cache_info().currsize:
        await asyncio.to_thread(_prepare)


def _prepare() -> None:
    from freeproviders.tokens.upper import prepare  # noqa: PLC0415 - importing it blocks as well

    prepare()


def objection(
    member: Member, request: ChatRequest, *, likely: bool = False
) -> UsageError | ContextOverflowError | None:
    """Return the error that says why a member cannot answer a request, None where it can.

    The conversation must fit by an upper estimate; with `likely` by the likely one, which may be too
    low. Tools, typed answers and several answers are added to every member by its `answer`; what no
    prompt can replace is media, tools that run at the service, room for the conversation and the
    length of the answer.
    """
    able = member.backend.abilities(member.model or None)
    try:
        check_media(request, lambda _: able)
    except UnsupportedInputError as error:
        return error
    if request.service_tools and not (able.tools or member.backend.finds_out("tools")):
        return UsageError("It has no tools that run at the service.")
    wanted = request.max_tokens
    if wanted is not None and able.output is not None and wanted > able.output:
        return UsageError(
            f"It writes at most {able.output} tokens at once, fewer than "
            f"{argument('max_tokens', f'max_tokens={wanted}')}."
        )
    window = member.backend.window_of(member.model or None)
    if window is None:
        return None
    room = window - (wanted or _SHORTEST_ANSWER)
    if _chars(request.messages) * _MOST_TOKENS_PER_CHAR <= room and not request.tools:
        return None  # no estimate is so high
    if likely:
        tokens = estimate_input_tokens(request.messages, member.model)
        tokens += sum([estimate_tokens(dumps(tool.to_openai()).decode()) for tool in request.tools])
    else:
        tokens = upper_input_estimate(request.messages, member.model, request.tools).tokens
    if tokens <= room:
        return None
    overflow = ContextOverflowError(
        f"The conversation may have {tokens} tokens, which with {window - room} for the answer are more than "
        f"its window of {window}.",
        window=window,
    )
    overflow.attempts = 0
    return overflow


def of_that_name(members: Sequence[Member], model: str, provider: str) -> list[Member]:
    """Return the members that a call names, all where it names none.

    Raises `UsageError` where there are none.
    """
    if not model:
        return list(members)
    found = [member for member in members if model == member.model or member.answers_to(model)]
    if not found:
        names = ", ".join(member.name for member in members) or "none"
        raise UsageError(f"No member is {model!r}. The members: {names}.", provider=provider)
    return found


def _chars(messages: Sequence[Message]) -> int:
    # Eight for the marks of a turn, and a picture counts for what an estimate has.
    return sum([len(counted_text(turn)) + 8 + 85 * len(turn.images) for turn in messages])
