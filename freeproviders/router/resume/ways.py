"""Which members to ask to go on with an answer, how, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from freeproviders.backend import needs_engine
from freeproviders.catalogue.facts import row_of
from freeproviders.model_names import tail
from freeproviders.router.member import Member
from freeproviders.router.resume.rules import LIMIT_OPTIONS
from freeproviders.router.resume.splice import tail_of
from freeproviders.types import ChatRequest, SeamKind


class Way(NamedTuple):
    """A member that may go on, and how it is asked to.

    `begun` is the beginning of the answer that it is given, and `tail` what it must write first then;
    both are "" where it is asked the question alone. `sure` says that it goes on exactly there.
    """

    member: Member
    how: SeamKind
    begun: str = ""
    tail: str = ""
    sure: bool = False


def ways_on(request: ChatRequest, text: str, broken: Member, others: Iterable[Member]) -> Iterator[Way]:
    """List the ways to go on after a text, the best first.

    Answers without chance are asked for again, where the model is the same; then models go on that
    can be given the beginning of an answer; then any model may happen to give the same answer.
    """
    others = [member for member in others if member is not broken]
    same = [member for member in others if is_same_model(member, broken)]
    rest = [member for member in others if member not in same]
    # Tools and their histories are written anew in front of a model, its thinking only behind it.
    prefilled = bool(text) and not needs_engine(replace(request, reasoning=None))
    begun = _begun(text) if prefilled else ("", "")
    certain = is_certain(request)

    def prefills(members: Iterable[Member], *, exactly: bool | None = None) -> Iterator[Way]:
        for member in members if prefilled else ():
            kind = member.backend.prefills()
            if kind == "exact" and exactly is not False:
                yield Way(member, "prefill", text, sure=True)
            elif kind == "asked" and begun[1] and exactly is not True:
                yield Way(member, "prefill", *begun)

    alike = [broken, *same]
    yield from prefills(alike, exactly=True)
    if certain:
        yield from (Way(member, "replay") for member in alike)
    yield from prefills(alike, exactly=False)
    yield from prefills(rest)
    if not certain:
        yield from (Way(member, "trim") for member in alike)
    yield from (Way(member, "trim") for member in rest)


def next_way(
    ways: Iterable[Way], tried: Collection[Way], failed: Collection[Member], hops: int
) -> Way | None:
    """Choose the way to try now, None where none is left; the last hop is for one that is sure."""
    left = [way for way in ways if way not in tried and way.member not in failed]
    if not left:
        return None
    if hops == 1 and left[0].how != "replay":
        return next((way for way in left if way.sure), left[0])
    return left[0]


def asked(request: ChatRequest, way: Way, left: int | None) -> ChatRequest:
    """Write the request of a way; `left` are the tokens that the answer may still have, None for any."""
    if not way.begun:
        return request
    options: Mapping[str, Any] = request.options
    if left is not None:
        options = {key: left if key in LIMIT_OPTIONS else value for key, value in options.items()}
    limit = None if request.max_tokens is None else left
    # What the model writes is not looked through for thinking: its first words are compared.
    return replace(request, prefill=way.begun, max_tokens=limit, options=options, reasoning="keep")


def is_certain(request: ChatRequest) -> bool:
    """Return whether the same question should have the same answer again."""
    return request.temperature == 0 or request.options.get("seed") is not None


def is_same_model(one: Member, other: Member) -> bool:
    """Return whether two members serve the same model, by what their services call it."""
    name = _plain_name(one)
    return bool(name) and name == _plain_name(other)


def _plain_name(member: Member) -> str:
    row = None if member.row is None else row_of(member.row, member.model)
    return tail(row.facts if row is not None and row.facts else member.model)


def _begun(text: str) -> tuple[str, str]:
    end = tail_of(text)
    return (text[: len(text) - len(end)], end) if end else ("", "")
