"""Going on with an answer: hop after hop, until it is complete or no member is left."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from freeproviders.errors import (
    BadRequestError,
    FreeProvidersError,
    ProviderError,
    TruncatedResponseError,
)
from freeproviders.router.member import Member
from freeproviders.router.resume.broken import MAX_HOPS, Broken, Said
from freeproviders.router.resume.hop import Hop
from freeproviders.router.resume.rules import finished, tokens_left, why_no_restart, why_not
from freeproviders.router.resume.ways import Way, asked, next_way, ways_on
from freeproviders.types import Batch, ChatRequest, Finish, Seam, Usage
from freeproviders.usage import estimate_input_tokens, estimate_output_tokens, estimate_tokens

Ask = Callable[[Member, ChatRequest], AsyncGenerator[Batch, None]]
"""Asks a member, under its own deadline and quota; raises errors of the tree while it is iterated."""


async def resumed(broken: Broken, ask: Ask) -> AsyncGenerator[Batch, None]:
    """Stream the rest of an answer that broke off; see the package for what is promised.

    Raises the error with which the answer broke off, with `partial` and `not_resumed`, where no
    member goes on with it.
    """
    going = _Going(broken)
    if ending := going.already_finished():
        yield ending
        return
    while (way := going.next_way()) is not None:
        hop, error = Hop(going.request, going.said.text, way), None
        try:
            async with aclosing(ask(way.member, going.request_of(way))) as batches:
                async for batch in batches:
                    out = hop.take(batch)
                    if hop.joined and (out or hop.ended):
                        going.announce(way)
                    if hop.ended and not going.ended:
                        out += going.ending(way, hop)
                    if out:
                        yield out
                    if hop.refused or hop.cut:
                        break
        except FreeProvidersError as caught:
            error = caught
        if hop.ended:
            return
        going.after(way, hop, error)
    error = going.given_up()
    raise error from error.__cause__


class _Going:
    """The state of one answer over all its hops."""

    def __init__(self, broken: Broken) -> None:
        self.request = broken.request
        self.said = broken.said
        self.ended = False
        self._member, self._error, self._others = broken.member, broken.error, broken.others
        self._policy = broken.policy
        self._hops = broken.hops
        self._restarts = MAX_HOPS if broken.policy == "restart" else 0
        self._void = ""
        """What was shown and a restart has made void."""
        self._spent: Usage | None = None
        self._seams: list[Seam] = []
        self._announced: Way | None = None
        self._tried: list[Way] = []
        self._failed: dict[Member, FreeProvidersError] = {}
        self._again = False
        """Whether the members that failed were asked once more."""
        self._reasons: list[str] = []

    def already_finished(self) -> Batch:
        """Return the end of an answer that was complete when it broke off, [] where it was not."""
        end = finished(self.request, self.said)
        if end is None:
            return []
        member = self._member
        end = replace(end, provider=end.provider or member.backend.name, model=end.model or member.model)
        return [self._so_far(), end]

    def next_way(self) -> Way | None:
        """Choose the member to ask now, and how; None where none is left."""
        if self._policy == "raise":
            self._reasons.append('on_broken_stream is "raise"')
            return None
        way = self._way_on() or self._restart() or self._once_more()
        if way is not None:
            self._tried.append(way)
        return way

    def request_of(self, way: Way) -> ChatRequest:
        """Write the request of a way."""
        return asked(self.request, way, tokens_left(self.request, self.said, way.member.model))

    def announce(self, way: Way) -> None:
        """Note a seam, and tell the listener, before anything behind it is shown."""
        if self._announced is way:
            return
        self._announced = way
        offset = len(self._void) + len(self.said.text)
        seam = Seam(offset, self._member.name, way.member.name, way.how)
        self._seams.append(seam)
        if self.request.listener is not None:
            self.request.listener(seam)

    def ending(self, way: Way, hop: Hop) -> Batch:
        """Return usage and finish: of all hops together, and of the last."""
        self.ended = True
        finish = hop.finish or Finish("unknown", confirmed=False)
        backend = way.member.backend
        return [
            self._so_far() + self._cost(way, hop),
            replace(
                finish,
                provider=finish.provider or backend.name,
                model=finish.model or backend.model,
                seams=tuple(self._seams),
            ),
        ]

    def after(self, way: Way, hop: Hop, error: FreeProvidersError | None) -> None:
        """Take what became of a hop that is not the end of the answer."""
        if error is None and not hop.refused:
            error = TruncatedResponseError(
                "The answer has no end.", provider=way.member.backend.name, model=way.member.model
            )
        # A member that fails before a word of the rest is passed over, as before the first content:
        # nothing of it was shown, and the budget of requests bounds that.
        counts = bool(hop.refused) or bool(hop.shown)
        if way.how == "restart":
            self._restarts -= counts
        else:
            self._hops -= counts
        if hop.written:
            self._spent = self._so_far() + self._cost(way, hop)
        if hop.joined and hop.shown and error is not None:
            self._go_on_from(way, hop, error)
            return
        self._reasons.append(f"{way.member.name}: {hop.refused or error}")
        if error is not None and not isinstance(error, BadRequestError):
            self._failed[way.member] = error
        elif way.how == "prefill" and type(error) is BadRequestError:
            way.member.backend.learned.refuse("prefill", way.member.model, error.message)

    def given_up(self) -> FreeProvidersError:
        """Return the error for the caller, with what was shown."""
        self._error.partial = self.said.text
        self._error.not_resumed = "; ".join(dict.fromkeys(self._reasons))
        return self._error

    # --- its parts ---

    def _way_on(self) -> Way | None:
        if reason := why_not(self.request, self.said, self._error, self._member.model):
            self._reasons.append(reason)
            return None
        if self._hops <= 0:
            return None
        ways = ways_on(self.request, self.said.text, self._member, self._others)
        return next_way(ways, self._tried, self._failed, self._hops)

    def _once_more(self) -> Way | None:
        """Ask members again that failed before they said anything new: faults of a moment pass."""
        passing = [
            member
            for member, error in self._failed.items()
            if isinstance(error, ProviderError) and error.is_retryable
        ]
        if self._again or not passing:
            return None
        self._again = True
        self._tried = [way for way in self._tried if way.member not in passing]
        for member in passing:
            del self._failed[member]
        return self._way_on() or self._restart()

    def _restart(self) -> Way | None:
        if self._restarts <= 0 or why_no_restart(self.request, self.said, self._error):
            return None
        members = [member for member in (*self._others, self._member) if member not in self._failed]
        ways = [Way(member, "restart") for member in dict.fromkeys(members)]
        return next((way for way in ways if way not in self._tried), None)

    def _go_on_from(self, way: Way, hop: Hop, error: FreeProvidersError) -> None:
        """Take a hop that broke off behind its seam for the answer that broke off."""
        if way.how == "restart":
            self._void += self.said.text
            self.said = Said()
        self.said.note(hop.shown)
        self._others = tuple([member for member in (self._member, *self._others) if member is not way.member])
        self._member, self._error = way.member, error
        self._tried.clear()

    def _so_far(self) -> Usage:
        """The tokens of all that was asked before."""
        if self._spent is None:
            self._spent = self.said.usage or self._estimated(
                self._member, sum(map(len, (*self.said.reasoning, *self.said.texts)))
            )
        return self._spent

    def _cost(self, way: Way, hop: Hop) -> Usage:
        if hop.usage is not None:
            return hop.usage
        usage = self._estimated(way.member, hop.written)
        begun = estimate_tokens(way.begun, way.member.model)
        return replace(usage, input_tokens=usage.input_tokens + begun)

    def _estimated(self, member: Member, chars: int) -> Usage:
        messages = self.request.messages
        asked = estimate_input_tokens(messages, member.model)
        return Usage(asked, estimate_output_tokens(chars, messages), estimated=True)
