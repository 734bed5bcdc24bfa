"""A small router for tests of answers that break off: the first member answers, others go on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, contextmanager
from dataclasses import replace

from freeproviders import OpenAICompatible
from freeproviders.backend import Backend
from freeproviders.errors import FreeProvidersError
from freeproviders.retry import Retry
from freeproviders.router.member import Key, Member
from freeproviders.router.resume import Broken, Said, resumed
from freeproviders.testing import replica
from freeproviders.types import Batch, ChatRequest, Completion, Message, collect

QUESTION = (Message("user", "Tell me about fruits."),)


def asking(**fields) -> ChatRequest:
    """A question at temperature 0."""
    return ChatRequest(messages=QUESTION, **{"temperature": 0, **fields})


def as_member(backend: Backend, name: str) -> Member:
    """A member of a router."""
    return Member(backend=backend, name=name, key=Key(name, backend.model))


@contextmanager
def served(answer, model="small", service=None, faults=None, name=None, **options):
    """A replica, and a member that asks it."""
    kind = {"service": service} if service else {"provider": OpenAICompatible}
    with replica(**kind, answer=answer, faults=faults, **options) as server:
        backend = OpenAICompatible(
            model, service=service, base_url=server.base_url, api_key="k", retry=Retry(attempts=1)
        )
        yield as_member(backend, name or f"{service or server.base_url}/{model}"), server


async def ask(member: Member, request: ChatRequest) -> AsyncGenerator[Batch, None]:
    """Ask a member as a router does, without its deadlines and quota."""
    async with aclosing(member.backend.answer(replace(request, model=member.model))) as batches:
        async for batch in batches:
            yield batch


async def routed(
    members: list[Member], request: ChatRequest, policy="continue", asks: Callable = ask, **more
) -> AsyncGenerator[Batch, None]:
    """Ask the first member, and go on as the policy says where it breaks off."""
    first, *others = members
    said = Said()
    try:
        async with aclosing(asks(first, request)) as batches:
            async for batch in batches:
                said.note(batch)
                yield batch
        return
    except FreeProvidersError as error:
        broken = Broken(
            request=request, member=first, error=error, said=said, others=tuple(others), policy=policy, **more
        )
    async with aclosing(resumed(broken, asks)) as rest:
        async for batch in rest:
            yield batch


async def whole(members: list[Member], request: ChatRequest, policy="continue", **more) -> Completion:
    """The whole answer."""
    async with aclosing(routed(members, request, policy, **more)) as batches:
        return collect([part async for batch in batches for part in batch])
