"""The router: a backend over many, which goes on to the next one where one fails."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Never, Self, Unpack

from freeproviders import bridge
from freeproviders.abilities import Abilities
from freeproviders.backend import Backend
from freeproviders.checks import caution, check_request, one_of, whole_number
from freeproviders.configuration import CONFIGURATION, Configuration, unknown_names
from freeproviders.consent import PRIVACY, Privacy
from freeproviders.deadlines import Timeout
from freeproviders.display import Rows
from freeproviders.errors import NotAskedWarning, UsageError
from freeproviders.naming import joined
from freeproviders.quota.opening import open_ledger
from freeproviders.retry import Retry
from freeproviders.router.found import Found, find
from freeproviders.router.health import Health
from freeproviders.router.match import of_that_name
from freeproviders.router.member import Member, Skipped
from freeproviders.router.names import checked, listed
from freeproviders.router.order import Order, Strategy
from freeproviders.router.question import Question, Rules
from freeproviders.router.standing import Standing
from freeproviders.types import Batch, ChatRequest, OnBrokenStream

if TYPE_CHECKING:
    from freeproviders.answers.cache import Cache
    from freeproviders.catalogue.rows import Service

_OWN_CONFIGURATION: Final = frozenset({"timeout", "retry"})
_MEMBERS: Final = frozenset({"members", "models", "providers"})
"""What the members are called elsewhere, as in the adapters."""
_MOST_IN_FLIGHT: Final = 64


class FreeProviders(Backend):
    """One model over everything that is free for this user, asking the next one where one fails.

    Without `members` the router finds them: services with a key in the environment, then Ollama if
    it runs, then the embedded model. Of a service, the router asks models that never cost anything,
    and models with a free allowance once the user has confirmed that the account is not billed.

    Args:
        members: what is asked, in this order: backends, or names: "groq" for a service's best model
            and those after it, "groq/openai/gpt-oss-120b", "ollama/llama3.2", "embedded". Naming a
            service is the consent to use its free allowance.
        prefer: names of members that are asked first, if they were found.
        exclude: names of members that are not asked.
        allow: names of services that are asked only if allowed, such as those without a key.
        confirmed: services whose accounts the user confirms to be free ones, in addition to those
            of `freeproviders services confirm` and of `FREEPROVIDERS_CONFIRMED`.
        paid: whether models that cost money may be asked if they are named.
        privacy: "local" asks this machine only, "no-training" leaves out services that train on
            prompts or do not say, "any" leaves out none. None is "any" for members that the caller
            names, else "no-training".
        strategy: see `Strategy`. None is "ordered" for named members, else "auto".
        on_broken_stream: what happens where an answer breaks off after its first words: "raise",
            "continue" where that can be done without a wrong word, "restart" where it cannot.
        max_requests: the most HTTP requests for one question, repairs and further members included.
        context_window: the window to announce, in tokens. None is the smallest of the preferred
            members.
        ledger: where limits and health are kept; see `Quota`.
        cache: where answers are kept, so that each question is asked once; see `Backend.cached`.

    A `NotAskedWarning` names the services with a key that are left out, and says why.

    Raises:
        UsageError: an unknown name, a member that would cost money, or no member to ask.
    """

    name = "FreeProviders"
    slug = "free-providers"
    announces_admission = True
    keeps_limits = True
    """Also where no member keeps any: those that rest after a failure are waited for too."""
    default_abilities: ClassVar[Abilities] = Abilities()
    options: ClassVar[tuple[str, ...]] = ()
    """The keywords of the constructor but for `cache`: the router's fields in each adapter."""
    _unwanted: tuple[Callable[[Service], bool], ...] = ()
    """What tells services that are not asked, beside those that the caller excludes."""

    def __init__(
        self,
        *members: Any,
        prefer: Iterable[str] = (),
        exclude: Iterable[str] = (),
        allow: Iterable[str] = (),
        confirmed: Iterable[str] = (),
        paid: bool = False,
        privacy: Privacy | None = None,
        strategy: Strategy | None = None,
        on_broken_stream: OnBrokenStream = "raise",
        max_requests: int = 6,
        context_window: int | None = None,
        ledger: str | Path = "",
        cache: Cache = None,
        **unknown: Never,
    ) -> None:
        if unknown:
            raise self._no_argument(unknown)
        prefer, exclude = checked(prefer, "prefer"), checked(exclude, "exclude")
        allow, confirmed = checked(allow, "allow"), listed(confirmed, "confirmed")
        if not isinstance(paid, bool):
            raise UsageError(f"paid must be True or False, not {paid!r:.200}.", provider=self.name)
        self._made_of = {
            name: value
            for name, value in locals().items()
            if name not in {"self", "cache", "unknown", "__class__"}
        }
        if privacy is not None:
            one_of("privacy", privacy, PRIVACY, or_none=True)
        if strategy is not None:
            one_of("strategy", strategy, ("ordered", "spread", "auto"), or_none=True)
        one_of("on_broken_stream", on_broken_stream, ("raise", "continue", "restart"))
        whole_number("max_requests", max_requests, 1, provider=self.name)
        if context_window is not None:
            whole_number("context_window", context_window, 1, provider=self.name)
        self._found = self._search()
        for one in self._found.skipped:
            if not one.expected:
                caution(joined(f"{one.name} is not asked.", one.reason), NotAskedWarning)
        self._context_window = context_window
        health = Health(open_ledger(ledger))
        strategy = strategy or ("ordered" if members else "auto")
        self._rules = Rules(
            health=health,
            order=Order(strategy, health.speed, prefer),
            max_requests=max_requests,
            on_broken_stream=on_broken_stream,
        )
        if cache is not None:
            self._keep_answers(cache)

    def __getstate__(self) -> dict[str, Any]:
        # What it was made of: elsewhere, its members are found with the keys and the ledger of there.
        return {
            "made_of": self._made_of,
            "unwanted": self._unwanted,
            "timeout": self._rules.timeout,
            "retry": self._rules.retry,
            "cache": self._cache,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        made_of = dict(state["made_of"])
        self._unwanted = state["unwanted"]
        FreeProviders.__init__(self, *made_of.pop("members"), **made_of)
        self._rules = replace(self._rules, timeout=state["timeout"], retry=state["retry"])
        self._cache = state["cache"]

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return copy.copy(self)  # nothing of it is changed but what all copies are to know

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(member.name) for member in self.members)})"

    # --- the members ---

    @property
    def members(self) -> list[Member]:
        """The members, the preferred ones first; Ollama's are known after the first question."""
        return Rows(self._found.members)

    async def all_members(self) -> list[Member]:
        """Return the members after looking for those of Ollama and of files, a second at most."""
        await self._found.complete()
        return self.members

    async def usual_in_flight(self) -> int:
        """Say how many questions to ask at the same time: what suits all members known by now."""
        each = [await member.backend.usual_in_flight() for member in self.members]
        return max(1, min(_MOST_IN_FLIGHT, sum(each)))

    @property
    def skipped(self) -> list[Skipped]:
        """The services and models that are not asked, and why."""
        return Rows(self._found.skipped)

    def abilities(self, model: str | None = None) -> Abilities:
        """Return what at least one member can do, with the announced window."""
        able = [member.backend.abilities(member.model or None) for member in self._of(model)]
        return Abilities(
            tools=any(one.tools for one in able),
            schema=any(one.schema for one in able),
            images=any(one.images for one in able),
            audio=any(one.audio for one in able),
            files=any(one.files for one in able),
            reasoning=any(one.reasoning for one in able),
            window=self.window_of(model),
        )

    def window_of(self, model: str | None = None) -> int | None:
        """Return the announced window: the smallest among the preferred members, as far as known."""
        if self._context_window is not None:
            return self._context_window
        preferred = self._preferred(self._of(model))
        windows = [member.backend.window_of(member.model or None) for member in preferred]
        return min((window for window in windows if window is not None), default=None)

    @staticmethod
    def _preferred(members: list[Member]) -> list[Member]:
        """Return the best model of each service, without our own engine where there are others."""
        best = [member for member in members if member.rank == 0]
        return [member for member in best if member.place != "embedded"] or best

    def _of(self, model: str | None) -> list[Member]:
        return of_that_name(self._found.members, model or self.model, self.name)

    def asked_as(self, model: str | None = None) -> str:
        """Say what is asked for: the members as they were given, and the caller's policy.

        Which members are found on a day is no part of it, and neither are the caller's consents
        (`allow`, `confirmed`, `paid`): any member that may answer answers what was asked for.
        """
        made_of = self._made_of
        given = made_of["members"]
        members = [one if isinstance(one, str) else Backend.of(one).asked_as() for one in given]
        policy = {
            "members": members,
            "prefer": list(made_of["prefer"]),
            "exclude": sorted(made_of["exclude"]),
            "privacy": made_of["privacy"] or ("any" if members else "no-training"),
        }
        return f"{super().asked_as(model)} {json.dumps(policy, separators=(',', ':'))}"

    def asked_backends(self) -> tuple[Backend, ...]:
        """Return the backends of all members that are known by now."""
        return tuple([one for member in self.members for one in member.backend.asked_backends()])

    def services(self) -> list[Service]:
        """Return the services of the catalogue among the members that are known by now."""
        found = {member.row.id: member.row for member in self.members if member.row is not None}
        return list(found.values())

    def without(self, unwanted: Callable[[Service], bool]) -> Self:
        """Return a copy that does not ask some services, as where a consent is missing.

        `unwanted` is true for them, and is asked about members found with the first question too; it is
        pickled with the router. The copy answers what this one does, as far as stored answers go
        (`asked_as`). Raises `UsageError` where no member is left.
        """
        other = copy.copy(self)
        other._unwanted = (*self._unwanted, unwanted)  # noqa: SLF001 - of the same class
        other._found = other._search()  # noqa: SLF001 - the same
        return other

    def _search(self) -> Found:
        given = self._made_of
        names = ("prefer", "exclude", "allow", "confirmed", "paid", "privacy")
        found = find(given["members"], **{name: given[name] for name in names})
        if self._unwanted:
            arranged, unwanted = found.arranged, self._unwanted
            found.arranged = lambda members: arranged(
                [one for one in members if one.row is None or not any(tells(one.row) for tells in unwanted)]
            )
            found.members = found.arranged(found.members)
            if not found.members and not found.later:
                raise UsageError("There is no backend to ask.", provider=self.name)
        return found

    # --- how it is asked ---

    def configured(self, **changes: Unpack[Configuration]) -> Self:
        """Return a copy with another `timeout`, of the whole question, or another `retry`.

        Raises `UsageError` for anything else, which says how one member is reached.
        """
        if wrong := changes.keys() - _OWN_CONFIGURATION:
            raise self._of_one_member(wrong)
        other = copy.copy(self)
        rules = self._rules
        if "timeout" in changes:
            timeout = changes["timeout"]
            rules = replace(rules, timeout=None if timeout is None else Timeout.of(timeout, Timeout()))
        if "retry" in changes:
            rules = replace(rules, retry=Retry.of(changes["retry"], Retry()))
        other._rules = rules  # noqa: SLF001 - of the same class
        return other

    def _of_one_member(self, names: Iterable[str]) -> UsageError:
        """Return the error for configuration that a router has no place for."""
        return UsageError(
            f"{', '.join(sorted(names))} belongs to one member: configure the member, as "
            "OpenAICompatible(service=..., ...), and pass it to the router.",
            provider=self.name,
        )

    def _no_argument(self, names: Iterable[str]) -> UsageError:
        """Return the error for keywords that the constructor does not have."""
        if wrong := set(names) & set(CONFIGURATION) - _OWN_CONFIGURATION:
            return self._of_one_member(wrong)
        if own := sorted(set(names) & _OWN_CONFIGURATION):
            return UsageError(
                f"{', '.join(own)} belongs to a question: pass it with the question, or make a copy by "
                f"configured({own[0]}=...).",
                provider=self.name,
            )
        if wrong := set(names) & _MEMBERS:
            return UsageError(
                f"Unknown argument {min(wrong)!r}. Pass the members without a keyword, as "
                'FreeProviders("groq", "embedded").',
                provider=self.name,
            )
        return unknown_names(names, (*self.options, "cache"), self.name)

    def batches(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the answer of the first member that gives one; the same as `answer`."""
        return self.answer(request)

    def answer(self, request: ChatRequest) -> AsyncGenerator[Batch, None]:
        """Stream the answer of the first member that gives one; each is asked by its own `answer`.

        Until the first content another member takes the place of one that fails; only
        `Finish.trail` shows it.

        Raises:
            UsageError: at the call itself, before anything is sent.
            NoProviderError: while iterating: no member has answered.
            BadRequestError: while iterating: all members refused the question itself.
            OutputError: while iterating: the models answered, but not with what was required.
            ProviderError: while iterating: an answer broke off after it had begun.
        """
        if self._cache is not None:
            return self.kept_or_asked(request, lambda asked: asked.answer(request))
        try:
            check_request(request, None)
            if not self._found.later:
                self._of(request.model)
        except UsageError as error:
            raise error.about(self.name, request.model or "")  # noqa: B904 - the same error
        return Question(self._rules, self._found, request, self.name).answered()

    # --- how it fares ---

    async def status(self) -> list[Standing]:
        """Return how each member fares, as all processes of the user have seen it. Nothing is sent."""
        await self._rules.health.look([member.key for member in self._found.members])
        return Rows([self._rules.health.standing(member.key) for member in self._found.members])

    def status_sync(self) -> list[Standing]:
        """Return the same in code without an event loop."""
        return bridge.run(self.status())


FreeProviders.options = tuple(
    [
        parameter.name
        for parameter in inspect.signature(FreeProviders.__init__).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "cache"
    ]
)
